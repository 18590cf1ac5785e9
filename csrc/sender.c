/* SPDX-License-Identifier: Apache-2.0 */
#include "sender.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH = 64,                    /* frames a call, at most; more are no faster */
    BURST_NS = 100000,             /* and no more than are due in this time */
    SPIN_NS = 50000,               /* so near to its time a thread does not sleep any more */
    SLEEP_NS = 50000000,           /* how late a stop is noticed */
    MOST_LATE_NS = 1000000,        /* what a sender makes up for */
    SEND_BUFFER = 8 << 20,         /* bytes under way in the interface's queue */
    SLOT = FC_GENERATOR_ROOM + 22, /* of a frame in the batch: a multiple of 64 bytes */
};
static const double SECOND = 1e9;
static const double LEAST_RATE = 1e-3; /* frames a second */
static const double MOST_RATE = 1e9;

/* sendmmsg(2), not a PACKET_TX_RING: over a veth pair, one thread, the best of five rounds, it
 * takes 356 ns for a frame of 60 bytes and the ring 428; of 1514 bytes 367 and 513, since the ring
 * lends the kernel pages and gets them back one by one. (Two processors of an AMD EPYC, Linux 6.18;
 * benches/sender.py shows what this one takes.) And sendmmsg says at once which frame the device
 * refused, so that the count is exact. */
struct fc_sender_batch {
    uint8_t frames[BATCH][SLOT];
    uint32_t lengths[BATCH];
    struct iovec pieces[BATCH];
    struct mmsghdr messages[BATCH];
};

static int64_t now_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- Opening ------------------------------------------------------------------------------- */

static bool possible(const struct fc_sender_settings *settings) {
    bool keeps_pace = settings->rate >= LEAST_RATE && settings->rate <= MOST_RATE;
    return settings->threads > 0 && settings->index < settings->threads &&
           (keeps_pace || settings->rate == 0) && settings->start_ns >= 0 &&
           settings->duration_ns <= INT64_MAX / 4 && settings->start_ns <= INT64_MAX / 4;
}

static void prepare(struct fc_sender *sender) {
    struct fc_sender_batch *batch = sender->batch;
    for (size_t i = 0; i < BATCH; i++) {
        fc_generator_prepare(sender->settings.generator, batch->frames[i]);
        batch->pieces[i] = (struct iovec){.iov_base = batch->frames[i]};
        batch->messages[i].msg_hdr.msg_iov = &batch->pieces[i];
        batch->messages[i].msg_hdr.msg_iovlen = 1;
    }
}

int fc_sender_over(struct fc_sender *sender, const struct fc_sender_settings *settings, int fd) {
    *sender = (struct fc_sender){.fd = fd, .settings = *settings};
    if (!possible(settings))
        return FC_ERROR_ARGUMENT;
    sender->batch = calloc(1, sizeof *sender->batch);
    if (sender->batch == NULL)
        return FC_ERROR_MEMORY;
    prepare(sender);
    return FC_OK;
}

/* Protocol 0: it receives nothing. Past the queueing discipline, where a full one would drop frames
 * that count as sent. */
static int set_up(int fd, int interface) {
    int yes = 1;
    int room = SEND_BUFFER;
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = interface};
    if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof yes) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return FC_ERROR_SYSTEM;
    /* a smaller one is refused more often, and nothing worse */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) < 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    return FC_OK;
}

int fc_sender_open(struct fc_sender *sender, const struct fc_sender_settings *settings,
                   int interface) {
    int status = fc_sender_over(sender, settings, -1);
    if (status < 0)
        return status;
    sender->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    sender->owns_fd = sender->fd >= 0;
    status = sender->owns_fd ? set_up(sender->fd, interface) : FC_ERROR_SYSTEM;
    if (status < 0) {
        int why = errno;
        fc_sender_close(sender);
        errno = why;
    }
    return status;
}

void fc_sender_close(struct fc_sender *sender) {
    if (sender->owns_fd)
        close(sender->fd);
    free(sender->batch);
    sender->batch = NULL;
    sender->owns_fd = false;
    sender->fd = -1;
}

/* ---- The account --------------------------------------------------------------------------- */

#define SHOW(field)    __atomic_store_n(&sender->shown.field, sender->counts.field, __ATOMIC_RELAXED)
#define READ(field)    account->field = __atomic_load_n(&sender->shown.field, __ATOMIC_RELAXED)
#define EACH_COUNT(DO) DO(sent), DO(bytes), DO(refused), DO(late), DO(late_ns), DO(elapsed_ns)

static void show(struct fc_sender *sender, int64_t begin) {
    int64_t now = now_of(CLOCK_MONOTONIC);
    sender->counts.elapsed_ns = now > begin ? (uint64_t)(now - begin) : 0;
    EACH_COUNT(SHOW);
}

void fc_sender_read_account(const struct fc_sender *sender, struct fc_sender_account *account) {
    EACH_COUNT(READ);
}

/* ---- The pace ------------------------------------------------------------------------------ */

/* Frame n is due at begin + shift + n * interval. Numbers of nanoseconds since the start are exact
 * in a double for three months. */
struct pace {
    int64_t begin;
    double interval; /* 0: as fast as they go */
    double shift;    /* lateness that was given up */
    uint32_t burst;
};

static struct pace pace_of(const struct fc_sender_settings *settings) {
    double burst = settings->rate * BURST_NS / SECOND;
    bool paced = settings->rate > 0;
    return (struct pace){
        .begin = settings->start_ns > 0 ? settings->start_ns : now_of(CLOCK_MONOTONIC),
        .interval = paced ? SECOND / settings->rate : 0,
        .burst = !paced || burst > BATCH ? BATCH
                 : burst < 1             ? 1
                                         : (uint32_t)burst,
    };
}

/* Nanoseconds from the beginning, within what a wait can be: some 70 years. */
static int64_t due(const struct pace *pace, uint64_t number) {
    double after = pace->shift + (double)number * pace->interval;
    return pace->begin + (after < (double)(INT64_MAX / 4) ? (int64_t)after : INT64_MAX / 4);
}

/* False where it was told to stop meanwhile. */
static bool wait_until(const struct fc_sender *sender, int64_t time) {
    for (;;) {
        if (fc_cancel_is_set(sender->settings.cancel))
            return false;
        int64_t left = time - now_of(CLOCK_MONOTONIC);
        if (left <= 0)
            return true;
        if (left > 2 * SPIN_NS) {
            int64_t asleep = left - SPIN_NS < SLEEP_NS ? left - SPIN_NS : SLEEP_NS;
            nanosleep(&(struct timespec){.tv_nsec = asleep}, NULL);
        }
    }
}

/* When time is up. */
static int64_t end_of(const struct fc_sender *sender, const struct pace *pace) {
    uint64_t duration = sender->settings.duration_ns;
    return duration > 0 ? pace->begin + (int64_t)duration : INT64_MAX;
}

/* How many frames go together next; 0 at the end. */
static uint32_t next_burst(const struct fc_sender *sender, const struct pace *pace) {
    uint64_t frames = sender->settings.frames;
    uint64_t sent = sender->counts.sent;
    uint64_t count = pace->burst;
    int64_t end = end_of(sender, pace);
    if (frames > 0 && frames - sent < count)
        count = frames - sent;
    if (pace->interval <= 0)
        return now_of(CLOCK_MONOTONIC) < end ? (uint32_t)count : 0;
    while (count > 0 && due(pace, sent + count - 1) >= end)
        count--;
    return (uint32_t)count;
}

/* So that a rate is frames over the time that was theirs. */
static void wait_for_the_end(const struct fc_sender *sender, const struct pace *pace) {
    int64_t next = due(pace, sender->counts.sent);
    int64_t end = end_of(sender, pace);
    if (pace->interval > 0)
        (void)wait_until(sender, next < end ? next : end);
}

static void give_up_lateness(struct fc_sender *sender, struct pace *pace, int64_t time) {
    int64_t late = now_of(CLOCK_MONOTONIC) - time;
    if (late <= MOST_LATE_NS)
        return;
    sender->counts.late++;
    sender->counts.late_ns += (uint64_t)late;
    pace->shift += (double)late;
}

/* ---- Sending ------------------------------------------------------------------------------- */

static void make_frames(const struct fc_sender *sender, uint32_t count) {
    const struct fc_sender_settings *settings = &sender->settings;
    struct fc_sender_batch *batch = sender->batch;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t serial = (sender->counts.sent + i) * settings->threads + settings->index;
        batch->lengths[i] = fc_generator_write(settings->generator, serial, now_of(CLOCK_REALTIME),
                                               batch->frames[i]);
        batch->pieces[i].iov_len = batch->lengths[i];
    }
}

/* Frames that the kernel has no room for are made and tried again, with the same serials. */
static int send_frames(struct fc_sender *sender, uint32_t count) {
    struct fc_sender_batch *batch = sender->batch;
    make_frames(sender, count);
    int taken = sendmmsg(sender->fd, batch->messages, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (taken < 0 && errno == EINTR)
        return FC_OK;
    if (taken < 0 && errno != ENOBUFS && errno != EAGAIN)
        return FC_ERROR_SYSTEM;
    for (int i = 0; i < taken; i++)
        sender->counts.bytes += batch->lengths[i] + FC_GENERATOR_FCS;
    sender->counts.sent += taken > 0 ? (uint64_t)taken : 0;
    if (taken < (int)count) {
        sender->counts.refused++;
        sched_yield();
    }
    return FC_OK;
}

static int send_all(struct fc_sender *sender, struct pace *pace) {
    uint32_t count;
    if (!wait_until(sender, pace->begin))
        return FC_OK;
    while ((count = next_burst(sender, pace)) > 0) {
        if (pace->interval > 0) {
            int64_t time = due(pace, sender->counts.sent + count - 1);
            if (!wait_until(sender, time))
                return FC_OK;
            give_up_lateness(sender, pace, time);
        } else if (fc_cancel_is_set(sender->settings.cancel)) {
            return FC_OK;
        }
        int status = send_frames(sender, count);
        show(sender, pace->begin);
        if (status < 0)
            return status;
    }
    wait_for_the_end(sender, pace);
    return FC_OK;
}

int fc_sender_run(struct fc_sender *sender) {
    struct pace pace = pace_of(&sender->settings);
    /* The kernel may let a thread sleep 50 us longer to save wake-ups. */
    int slack = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
    (void)prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    int status = send_all(sender, &pace);
    int why = errno;
    show(sender, pace.begin);
    if (slack > 0)
        (void)prctl(PR_SET_TIMERSLACK, slack, 0, 0, 0);
    errno = why;
    return status;
}
