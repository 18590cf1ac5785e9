/* SPDX-License-Identifier: Apache-2.0
 *
 * send_frames IFACE COUNT SIZE [--rate PPS] [--first SERIAL] [--tags 88a8:2005,8100:a064]
 *             [--type 88b5] [--source 02:00:00:00:00:01] [--bypass 0]
 *
 * Sends COUNT Ethernet frames of SIZE bytes each, every one exactly once and in order, and prints
 * how many. SIZE is the length on the wire without the checksum, the tags included. --rate is in
 * frames a second; without it they go as fast as they can. --tags are TPID:TCI, hexadecimal, the
 * outer one first, and stand in the frame's bytes. They go straight to the driver, which captures
 * of outgoing frames at IFACE do not see; with --bypass 0 they do.
 *
 *     02:00:00:00:00:02, source, tags, type, serial, body
 *
 * The serial has 64 bits, big-endian, and grows by one with each frame. The body's byte i, counted
 * from 0 behind the serial, is (serial % 256 + i) % 251, so bytes of another frame, or of another
 * place, are noticed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH = 64, /* frames a call */
    LONGEST = 9100,
    MOST_TAGS = 16,
    ADDRESS = 6,
    ADDRESSES = 2 * ADDRESS,
    TAG = 4,
    SERIAL = 8,
    PAUSES_A_SECOND = 1000, /* when paced: what is due in a millisecond goes at once */
};
static const int64_t SECOND = 1000000000;

struct plan {
    const char *interface;
    uint64_t count;
    size_t size;
    uint64_t rate; /* frames a second; 0: as fast as they go */
    uint64_t first;
    uint8_t source[ADDRESS];
    uint16_t tags[MOST_TAGS][2];
    size_t tag_count;
    uint16_t type;
    bool bypass;
};

struct batch {
    uint8_t frames[BATCH][LONGEST];
    struct iovec pieces[BATCH];
    struct mmsghdr messages[BATCH];
};

static void die(const char *what, const char *why) {
    fprintf(stderr, "send_frames: %s: %s\n", what, why);
    exit(1);
}

/* ---- Command line ------------------------------------------------------------------------ */

static uint64_t number(const char *text, const char **end, int base, uint64_t most) {
    char *stop = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &stop, base);
    if (stop == text || (end == NULL && *stop != '\0') || errno != 0 || value > most)
        die(text, "not such a number");
    if (end != NULL)
        *end = stop;
    return value;
}

static void read_tags(struct plan *plan, const char *text) {
    for (;; text++) {
        if (plan->tag_count == MOST_TAGS)
            die(text, "too many tags");
        uint16_t *tag = plan->tags[plan->tag_count++];
        tag[0] = (uint16_t)number(text, &text, 16, UINT16_MAX);
        if (*text++ != ':')
            die(text, "a tag is TPID:TCI");
        tag[1] = (uint16_t)number(text, &text, 16, UINT16_MAX);
        if (*text != ',')
            break;
    }
    if (*text != '\0')
        die(text, "not a list of tags");
}

static void read_address(uint8_t *address, const char *text) {
    for (size_t i = 0; i < ADDRESS; i++) {
        address[i] = (uint8_t)number(text, &text, 16, UINT8_MAX);
        if (*text != (i + 1 < ADDRESS ? ':' : '\0'))
            die(text, "an address is six bytes");
        text++;
    }
}

static struct plan read_plan(int argc, char **argv) {
    struct plan plan = {.type = 0x88b5, .bypass = true}; /* IEEE: for experiments */
    read_address(plan.source, "02:00:00:00:00:01");
    if (argc < 4 || argc % 2 != 0)
        die("usage", "send_frames IFACE COUNT SIZE [--rate PPS] [--first SERIAL] "
                     "[--tags TPID:TCI,...] [--type TYPE] [--source ADDRESS] [--bypass 0]");
    plan.interface = argv[1];
    plan.count = number(argv[2], NULL, 10, UINT64_MAX);
    plan.size = number(argv[3], NULL, 10, LONGEST);
    for (int i = 4; i < argc; i += 2) {
        const char *value = argv[i + 1];
        if (strcmp(argv[i], "--rate") == 0)
            plan.rate = number(value, NULL, 10, UINT32_MAX);
        else if (strcmp(argv[i], "--first") == 0)
            plan.first = number(value, NULL, 10, UINT64_MAX);
        else if (strcmp(argv[i], "--tags") == 0)
            read_tags(&plan, value);
        else if (strcmp(argv[i], "--type") == 0)
            plan.type = (uint16_t)number(value, NULL, 16, UINT16_MAX);
        else if (strcmp(argv[i], "--source") == 0)
            read_address(plan.source, value);
        else if (strcmp(argv[i], "--bypass") == 0)
            plan.bypass = number(value, NULL, 10, 1) != 0;
        else
            die(argv[i], "no such option");
    }
    if (plan.size < ADDRESSES + TAG * plan.tag_count + sizeof plan.type + SERIAL)
        die(argv[3], "no room for the serial number");
    return plan;
}

/* ---- Frames ------------------------------------------------------------------------------ */

static uint8_t *put16(uint8_t *to, uint16_t value) {
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
    return to + 2;
}

/* What all frames begin with; its length. */
static size_t write_start(const struct plan *plan, uint8_t *frame) {
    static const uint8_t destination[ADDRESS] = {2, 0, 0, 0, 0, 2};
    memcpy(frame, destination, ADDRESS);
    memcpy(frame + ADDRESS, plan->source, ADDRESS);
    uint8_t *to = frame + ADDRESSES;
    for (size_t i = 0; i < plan->tag_count; i++)
        to = put16(put16(to, plan->tags[i][0]), plan->tags[i][1]);
    return (size_t)(put16(to, plan->type) - frame);
}

static void write_rest(const struct plan *plan, uint8_t *frame, size_t start, uint64_t serial) {
    static uint8_t pattern[UINT8_MAX + LONGEST];
    if (pattern[1] == 0) {
        for (size_t i = 0; i < sizeof pattern; i++)
            pattern[i] = (uint8_t)(i % 251);
    }
    for (int i = 0; i < SERIAL; i++)
        frame[start + (size_t)i] = (uint8_t)(serial >> (8 * (SERIAL - 1 - i)));
    memcpy(frame + start + SERIAL, pattern + serial % 256, plan->size - start - SERIAL);
}

/* ---- Sending ----------------------------------------------------------------------------- */

static int open_socket(const char *interface, int bypass) {
    int fd = socket(AF_PACKET, SOCK_RAW, 0); /* protocol 0: it receives nothing */
    if (fd < 0)
        die("socket", strerror(errno));
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_ifindex = (int)if_nametoindex(interface),
    };
    if (address.sll_ifindex == 0)
        die(interface, strerror(errno));
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die(interface, strerror(errno));
    /* faster, and a full queue is an error, not a loss */
    if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &bypass, sizeof bypass) < 0)
        die("PACKET_QDISC_BYPASS", strerror(errno));
    return fd;
}

/* Queues of received frames are one for each processor: on two of them frames would overtake each
 * other. */
static void stay_on_one_processor(void) {
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET((size_t)sched_getcpu(), &here);
    if (sched_setaffinity(0, sizeof here, &here) < 0)
        die("sched_setaffinity", strerror(errno));
}

static void wait_until(const struct timespec *start, int64_t after) {
    int64_t ns = start->tv_nsec + after % SECOND;
    struct timespec until = {
        .tv_sec = start->tv_sec + after / SECOND + ns / SECOND,
        .tv_nsec = ns % SECOND,
    };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

/* All of them: what has no room now has it in a moment. */
static void send_batch(int fd, struct mmsghdr *messages, unsigned int count) {
    while (count > 0) {
        int sent = sendmmsg(fd, messages, count, 0);
        if (sent >= 0) {
            messages += sent;
            count -= (unsigned int)sent;
        } else if (errno == ENOBUFS || errno == EAGAIN) {
            sched_yield();
        } else if (errno != EINTR) {
            die("sendmmsg", strerror(errno));
        }
    }
}

static unsigned int batch_size(const struct plan *plan) {
    if (plan->rate == 0 || plan->rate / PAUSES_A_SECOND >= BATCH)
        return BATCH;
    return plan->rate < PAUSES_A_SECOND ? 1 : (unsigned int)(plan->rate / PAUSES_A_SECOND);
}

static void send_all(const struct plan *plan, int fd, struct batch *batch) {
    size_t start = 0;
    for (size_t i = 0; i < BATCH; i++) {
        start = write_start(plan, batch->frames[i]);
        batch->pieces[i] = (struct iovec){batch->frames[i], plan->size};
        batch->messages[i].msg_hdr.msg_iov = &batch->pieces[i];
        batch->messages[i].msg_hdr.msg_iovlen = 1;
    }
    struct timespec begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    unsigned int most = batch_size(plan);
    uint64_t pause_at = 0;
    for (uint64_t sent = 0; sent < plan->count;) {
        unsigned int now = plan->count - sent < most ? (unsigned int)(plan->count - sent) : most;
        for (unsigned int i = 0; i < now; i++)
            write_rest(plan, batch->frames[i], start, plan->first + sent + i);
        if (plan->rate != 0 && sent >= pause_at) {
            wait_until(&begin, (int64_t)((double)sent / (double)plan->rate * (double)SECOND));
            pause_at = sent + plan->rate / PAUSES_A_SECOND;
        }
        send_batch(fd, batch->messages, now);
        sent += now;
    }
}

int main(int argc, char **argv) {
    static struct batch batch;
    struct plan plan = read_plan(argc, argv);
    int fd = open_socket(plan.interface, plan.bypass);
    stay_on_one_processor();
    send_all(&plan, fd, &batch);
    close(fd);
    printf("%llu\n", (unsigned long long)plan.count);
    return 0;
}
