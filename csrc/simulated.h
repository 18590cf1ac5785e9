/* SPDX-License-Identifier: Apache-2.0
 *
 * A packet ring without a network, a kernel and rights: memory laid out as the kernel's TPACKET_V3
 * (net/packet/af_packet.c: tpacket_rcv, prb_fill_curr_block), and what plays the kernel. Frames are
 * a generator's, cut as a filter cuts them, made once: a block that comes back only gets the times
 * and serial numbers of its next frames, so that the kernel is not what a reader waits for. Linux
 * only.
 *
 * At a rate, frame n comes at the start + n / rate. Where no block is free then it is dropped and
 * counted, exactly, and its serial number is missing. Without a rate frames come as soon as there
 * is a block for them, and none is dropped.
 *
 * The struct owns memory and descriptor until fc_simulated_close; a ring that was lent ends before.
 * The generator is borrowed for fc_simulated_open. fc_simulated_run is for one thread, the ring's
 * reader is another, fc_simulated_read_account is for any.
 */
#ifndef FC_SIMULATED_H
#define FC_SIMULATED_H

#include "cancel.h"
#include "generator.h"
#include "ring.h"

enum {
    FC_SIMULATED_SMALLEST_BLOCK = 4096, /* of its bytes; a multiple of that */
    FC_SIMULATED_FEWEST_BLOCKS = 2,
};

struct fc_simulated_settings {
    const struct fc_generator *generator;
    uint32_t snaplen; /* bytes of a frame that get into the ring */
    uint32_t block_size;
    uint32_t block_count;
};

struct fc_simulated_limits {
    double rate;          /* frames a second, 10^-3 to 10^9; 0: as fast as they go */
    uint64_t frames;      /* then it ends; 0: any number */
    uint64_t duration_ns; /* likewise: frames that come before */
    const struct fc_cancel *cancel;
};

struct fc_simulated_account {
    uint64_t offered;      /* frames that came: those in the ring, and those dropped */
    uint64_t dropped;      /* of these, the ones for which no block was free */
    uint64_t wire_bytes;   /* of all that are in the ring, on the wire with their checksums */
    uint64_t full;         /* times that dropping began */
    uint64_t blocks;       /* that were handed over */
    uint64_t most_waiting; /* blocks that waited for the reader, at most */
    uint64_t late;         /* times that this thread came so late that it gave that up, */
    uint64_t late_ns;      /* and how much in all: no frames came in that time */
    uint64_t elapsed_ns;   /* of fc_simulated_run */
};

struct fc_simulated {
    uint8_t *memory;
    uint32_t block_size;
    uint32_t block_count;
    uint32_t snaplen;
    uint32_t *frames;               /* that each block has room for */
    int wakes;                      /* eventfd, as struct fc_ring has it */
    struct fc_ring_statistics told; /* and this */
    bool is_open;                   /* the block that is filled is the kernel's, and empty or: */
    uint32_t filled;                /* so many frames are in it */
    size_t end;                     /* bytes of it that are used */
    struct tpacket3_hdr *last;      /* the frame before */
    int64_t opened_ns;              /* when, monotonic */
    bool frozen;                    /* frames are dropped */
    uint64_t oldest;                /* of the blocks handed over: those before it came back */
    int64_t last_ns;                /* time of the last frame, since 1970 */
    struct fc_simulated_account counts; /* the running thread's */
    struct fc_simulated_account shown;  /* what others read */
};

/* FC_ERROR_ARGUMENT for blocks that cannot be, or are too small for a frame; FC_ERROR_MEMORY;
 * FC_ERROR_SYSTEM with errno. */
int fc_simulated_open(struct fc_simulated *simulated, const struct fc_simulated_settings *settings);

/* The ring for a reader, once. */
void fc_simulated_lend(struct fc_simulated *simulated, struct fc_ring *ring);

/* Plays the kernel until a limit or the cancel, which is no error; a block that is not full is
 * handed over then. May go on with a further call. FC_ERROR_ARGUMENT for a rate or a time that
 * cannot be. */
int fc_simulated_run(struct fc_simulated *simulated, const struct fc_simulated_limits *limits);

void fc_simulated_read_account(const struct fc_simulated *simulated,
                               struct fc_simulated_account *account);

/* Takes one whose opening failed, and one that is closed, too. */
void fc_simulated_close(struct fc_simulated *simulated);

#endif
