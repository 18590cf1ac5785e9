/* SPDX-License-Identifier: Apache-2.0
 *
 * Sends the frames of a generator at an interface (AF_PACKET), at its own pace, and counts exactly
 * those that the kernel took. Linux only. Several threads have a sender each, with every so-manyth
 * serial number.
 *
 * The pace is a clock's: frame n is due at the start + n / rate, and none is sent before. Where the
 * sender comes late it makes up for a millisecond at most; what is more is given up and told, so
 * that no one is hit by a burst that nobody asked for, and what was sent at which rate is what was
 * measured.
 *
 * A driver may drop what it took; then its own counters tell, and no socket's. Older kernels' veth
 * does where the other end has no room, and newer ones refuse the frame.
 *
 * The struct owns its socket and its batch; the generator is borrowed until it is closed.
 * fc_sender_run is for one thread, fc_sender_read_account for any meanwhile.
 */
#ifndef FC_SENDER_H
#define FC_SENDER_H

#include "cancel.h"
#include "generator.h"

struct fc_sender_settings {
    const struct fc_generator *generator;
    uint32_t index; /* of this thread; its frame n has the serial n * threads + index */
    uint32_t threads;
    double rate;          /* frames a second of this thread, 10^-3 to 10^9; 0: as fast as they go */
    uint64_t frames;      /* then it ends; 0: any number */
    uint64_t duration_ns; /* likewise: frames that are due before */
    int64_t start_ns;     /* of CLOCK_MONOTONIC; 0: at once */
    const struct fc_cancel *cancel;
};

struct fc_sender_account {
    uint64_t sent;       /* frames that the kernel took */
    uint64_t bytes;      /* of these, on the wire with their checksums */
    uint64_t refused;    /* calls of which it did not take all frames: they were tried again */
    uint64_t late;       /* times that lateness was given up, */
    uint64_t late_ns;    /* and how much in all: so much longer a run of as many frames takes */
    uint64_t elapsed_ns; /* since the start; in the end until one frame more would be due, or
                            time is up */
};

struct fc_sender_batch;

struct fc_sender {
    int fd;
    bool owns_fd;
    struct fc_sender_settings settings;
    struct fc_sender_batch *batch;
    struct fc_sender_account counts; /* the sending thread's */
    struct fc_sender_account shown;  /* what others read */
};

/* Opens a socket at the interface of that number. Needs CAP_NET_RAW. FC_ERROR_SYSTEM with errno,
 * FC_ERROR_MEMORY, FC_ERROR_ARGUMENT for settings that cannot be. */
int fc_sender_open(struct fc_sender *sender, const struct fc_sender_settings *settings,
                   int interface);

/* The same over any socket that keeps frames apart, which stays its caller's: for tests. */
int fc_sender_over(struct fc_sender *sender, const struct fc_sender_settings *settings, int fd);

/* Sends until a limit or `cancel`, which is no error. FC_ERROR_SYSTEM where the kernel refuses for
 * good: ENETDOWN, ENXIO, EMSGSIZE. What was sent is in the account in any case. */
int fc_sender_run(struct fc_sender *sender);

void fc_sender_read_account(const struct fc_sender *sender, struct fc_sender_account *account);

/* Takes one whose opening failed, and one that is closed, too. */
void fc_sender_close(struct fc_sender *sender);

#endif
