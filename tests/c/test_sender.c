/* SPDX-License-Identifier: Apache-2.0
 *
 * Pace, limits and counts of a sender, over a pair of sockets instead of an interface: it keeps
 * frames apart and refuses those that it has no room for, as an interface does.
 */
#include "check.h"
#include "sender.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SECOND = 1000000000, MILLISECOND = 1000000 };

/* What came out at the other end. */
struct other_end {
    int fd;
    const struct fc_sender *sender;
    uint64_t told; /* by it, of frames that were sent: never less than before */
    uint32_t step; /* from serial to serial */
    uint64_t next;
    uint64_t frames;
    uint64_t bytes;
    uint64_t wrong;     /* no label, or not the serial whose turn it is; a count that fell */
    double interval;    /* at which frames are due */
    int64_t start;      /* of the first one, by the clock that frames have; 0: it does not matter */
    uint64_t early;     /* frames that were made before they were due */
    uint32_t pause_us;  /* before each frame */
    uint64_t cancel_at; /* frames, */
    uint32_t cancels;   /* and whether that matters */
    struct fc_cancel cancel;
};

static void *receive(void *argument) {
    struct other_end *end = argument;
    uint8_t frame[2000];
    ssize_t length;
    while ((length = recv(end->fd, frame, sizeof frame, 0)) > 0) {
        struct fc_generator_label label;
        struct fc_sender_account account;
        fc_sender_read_account(end->sender, &account);
        end->wrong += account.sent < end->told;
        end->told = account.sent;
        bool right = fc_generator_read(frame, (size_t)length, &label) && label.serial == end->next;
        end->wrong += !right;
        end->early +=
            right && (double)(label.ns - end->start) < end->interval * (double)end->frames;
        end->next += end->step;
        end->frames++;
        end->bytes += (uint64_t)length + 4;
        if (end->cancels && end->frames == end->cancel_at)
            fc_cancel_set(&end->cancel);
        if (end->pause_us > 0)
            usleep(end->pause_us);
    }
    return NULL;
}

static const struct fc_generator *generator(void) {
    static struct fc_generator made;
    static const struct fc_generator_size sizes[] = {{64, 7}, {594, 4}, {1518, 1}};
    struct fc_generator_settings settings = {
        .seed = 5, .sizes = sizes, .size_count = 3, .flows = 100, .tcp_percent = 85};
    if (!CHECK_IS(fc_generator_init(&made, &settings), FC_OK))
        abort();
    return &made;
}

/* Runs a sender to its end; what it says it sent came out, once and in order. */
static struct fc_sender_account send_through(struct fc_sender_settings settings,
                                             struct other_end *end) {
    struct fc_sender_account account;
    struct fc_sender sender;
    pthread_t thread;
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) < 0)
        abort();
    end->fd = fds[1];
    end->sender = &sender;
    end->step = settings.threads;
    end->next = settings.index;
    settings.generator = generator();
    settings.cancel = &end->cancel;
    CHECK_IS(fc_sender_over(&sender, &settings, fds[0]), FC_OK);
    pthread_create(&thread, NULL, receive, end);
    CHECK_IS(fc_sender_run(&sender), FC_OK);
    fc_sender_read_account(&sender, &account);
    fc_sender_close(&sender);
    fc_sender_close(&sender);
    close(fds[0]);
    pthread_join(thread, NULL);
    close(fds[1]);
    CHECK_IS(end->wrong, 0);
    CHECK_IS(account.sent, end->frames);
    CHECK_IS(account.bytes, end->bytes);
    return account;
}

static void so_many_frames_as_asked_for_are_sent_and_no_more(void) {
    static const uint64_t counts[] = {1, 63, 64, 65, 20000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct other_end end = {0};
        struct fc_sender_settings settings = {.index = 2, .threads = 3, .frames = counts[i]};
        check_about("%" PRIu64 " frames", counts[i]);
        CHECK_IS(send_through(settings, &end).sent, counts[i]);
    }
}

/* The other end is slow, so there is no room for most of the time. */
static void what_is_refused_is_sent_again_and_counted_once(void) {
    struct other_end end = {.pause_us = 200};
    struct fc_sender_settings settings = {.threads = 1, .frames = 2000};
    struct fc_sender_account account = send_through(settings, &end);
    CHECK_IS(account.sent, 2000);
    CHECK(account.refused > 0);
}

/* Frame n is due at n / rate and what was given up for lateness: all that were due in their time
 * are sent, and none that was not due before the end. */
static void check_pace(const struct fc_sender_account *account, uint64_t per_second, uint64_t ms) {
    double rate = (double)per_second / SECOND;
    double least = rate * ((double)(ms * MILLISECOND) - (double)account->late_ns);
    double most = rate * ((double)account->elapsed_ns - (double)account->late_ns);
    check_about("rate %" PRIu64 ": %" PRIu64 " sent, %g to %g due, late %" PRIu64 " times",
                per_second, account->sent, least, most, account->late);
    CHECK((double)account->sent >= least - 1);
    CHECK((double)account->sent <= most + 1);
    CHECK((account->late == 0) == (account->late_ns == 0));
    if (account->late == 0)
        CHECK_IS(account->sent, (per_second * ms + 999) / 1000);
}

static void a_paced_sender_sends_what_is_due_in_its_time(void) {
    static const uint64_t rates[] = {10, 1000, 33333, 100000};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        struct other_end end = {0};
        struct fc_sender_settings settings = {
            .threads = 1, .rate = (double)rates[i], .duration_ns = 300 * MILLISECOND};
        struct fc_sender_account account = send_through(settings, &end);
        check_pace(&account, rates[i], 300);
        CHECK(account.elapsed_ns >= 300 * MILLISECOND - 1000);
    }
}

/* And not when the frame would be due that it does not send any more. */
static void a_slow_sender_ends_when_time_is_up(void) {
    struct other_end end = {0};
    struct fc_sender_settings settings = {
        .threads = 1, .rate = 0.05, .duration_ns = 20 * MILLISECOND};
    struct fc_sender_account account = send_through(settings, &end);
    CHECK_IS(account.sent, 1);
    CHECK(account.elapsed_ns >= 20 * MILLISECOND - 1000);
    CHECK(account.elapsed_ns < UINT64_C(15) * SECOND);
}

/* 33333 a second go in bursts of 3, and 34 of them are due in a millisecond. */
static void a_burst_ends_where_the_time_does(void) {
    for (int round = 0; round < 30; round++) {
        struct other_end end = {0};
        struct fc_sender_settings settings = {
            .threads = 1, .rate = 33333, .duration_ns = MILLISECOND};
        struct fc_sender_account account = send_through(settings, &end);
        check_about("round %d: %" PRIu64 " sent", round, account.sent);
        CHECK(account.sent <= 34);
        CHECK(account.late > 0 || account.sent == 34);
    }
}

static int64_t now_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

/* The clocks are read in this order, so that the start is no later than the sender's. */
static void no_frame_is_sent_before_its_time(void) {
    static const double rates[] = {100, 5000, 100000};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        struct other_end end = {.interval = SECOND / rates[i]};
        uint64_t frames = (uint64_t)rates[i] / 10;
        struct fc_sender_settings settings = {.threads = 1, .rate = rates[i], .frames = frames};
        end.start = now_of(CLOCK_REALTIME) + 20 * MILLISECOND;
        settings.start_ns = now_of(CLOCK_MONOTONIC) + 20 * MILLISECOND;
        struct fc_sender_account account = send_through(settings, &end);
        check_about("rate %g", rates[i]);
        CHECK_IS(account.sent, frames);
        CHECK_IS(end.early, 0);
        CHECK(account.elapsed_ns >= 100 * MILLISECOND - 1000);
    }
}

/* More is asked for than the other end takes: lateness is given up, not kept for a burst. */
static void a_sender_that_cannot_keep_up_says_so(void) {
    struct other_end end = {.pause_us = 100};
    struct fc_sender_settings settings = {
        .threads = 1, .rate = 1000000, .duration_ns = 200 * MILLISECOND};
    struct fc_sender_account account = send_through(settings, &end);
    CHECK(account.late > 0);
    CHECK(account.sent < 100000);
    CHECK(account.late_ns > 50 * MILLISECOND);
    check_pace(&account, 1000000, 200);
}

static void a_start_in_the_past_is_lateness_too(void) {
    struct other_end end = {0};
    struct fc_sender_settings settings = {
        .threads = 1,
        .rate = 10000,
        .duration_ns = 200 * MILLISECOND,
        .start_ns = now_of(CLOCK_MONOTONIC) - 150 * MILLISECOND,
    };
    struct fc_sender_account account = send_through(settings, &end);
    CHECK(account.late >= 1);
    CHECK(account.late_ns >= 140 * MILLISECOND);
    CHECK(account.sent <= 600);
}

static void without_a_rate_it_ends_when_time_is_up(void) {
    struct other_end end = {0};
    struct fc_sender_settings settings = {.threads = 1, .duration_ns = 50 * MILLISECOND};
    struct fc_sender_account account = send_through(settings, &end);
    CHECK(account.sent > 0);
    CHECK_IS(account.late, 0);
    CHECK(account.elapsed_ns >= 50 * MILLISECOND);
}

static void a_cancel_ends_it_in_any_state(void) {
    static const double rates[] = {0, 1000, 1000000};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        struct other_end end = {.cancels = 1, .cancel_at = 20};
        struct fc_sender_settings settings = {.threads = 1, .rate = rates[i]};
        struct fc_sender_account account = send_through(settings, &end);
        CHECK(account.sent >= 20);
        struct other_end before = {0};
        fc_cancel_set(&before.cancel);
        CHECK_IS(send_through(settings, &before).sent, 0);
        struct other_end waiting = {0};
        settings.start_ns = INT64_MAX / 4;
        fc_cancel_set(&waiting.cancel);
        account = send_through(settings, &waiting);
        CHECK_IS(account.sent, 0);
        CHECK_IS(account.elapsed_ns, 0);
    }
}

static void errors_that_stay_end_it(void) {
    struct fc_sender_settings settings = {.generator = generator(), .threads = 1};
    struct fc_sender_account account;
    struct fc_sender sender;
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) < 0)
        abort();
    close(fds[1]);
    CHECK_IS(fc_sender_over(&sender, &settings, fds[0]), FC_OK);
    CHECK_IS(fc_sender_run(&sender), FC_ERROR_SYSTEM);
    CHECK_IS(errno, EPIPE);
    fc_sender_read_account(&sender, &account);
    CHECK_IS(account.sent, 0);
    fc_sender_close(&sender);
    close(fds[0]);
    CHECK_IS(fc_sender_open(&sender, &settings, INT32_MAX), FC_ERROR_SYSTEM);
    CHECK(errno == ENODEV || errno == EPERM);
    fc_sender_close(&sender);
}

static void settings_that_cannot_be_are_refused(void) {
    struct fc_sender_settings right = {.generator = generator(), .threads = 2};
    struct fc_sender_settings wrong[9];
    size_t count = sizeof wrong / sizeof *wrong;
    for (size_t i = 0; i < count; i++)
        wrong[i] = right;
    wrong[0].threads = 0;
    wrong[1].index = 2;
    wrong[2].rate = -1;
    wrong[3].rate = 1.1e9;
    wrong[4].rate = __builtin_nan("");
    wrong[5].start_ns = -1;
    wrong[6].start_ns = INT64_MAX;
    wrong[7].duration_ns = UINT64_MAX;
    wrong[8].rate = 1e-4;
    for (size_t i = 0; i < count; i++) {
        struct fc_sender sender;
        check_about("settings %zu", i);
        CHECK_IS(fc_sender_over(&sender, &wrong[i], -1), FC_ERROR_ARGUMENT);
        fc_sender_close(&sender);
        CHECK_IS(fc_sender_open(&sender, &wrong[i], 1), FC_ERROR_ARGUMENT);
        fc_sender_close(&sender);
    }
}

int main(void) {
    TEST(so_many_frames_as_asked_for_are_sent_and_no_more);
    TEST(what_is_refused_is_sent_again_and_counted_once);
    TEST(a_paced_sender_sends_what_is_due_in_its_time);
    TEST(a_slow_sender_ends_when_time_is_up);
    TEST(a_burst_ends_where_the_time_does);
    TEST(no_frame_is_sent_before_its_time);
    TEST(a_sender_that_cannot_keep_up_says_so);
    TEST(a_start_in_the_past_is_lateness_too);
    TEST(without_a_rate_it_ends_when_time_is_up);
    TEST(a_cancel_ends_it_in_any_state);
    TEST(errors_that_stay_end_it);
    TEST(settings_that_cannot_be_are_refused);
    return check_result();
}
