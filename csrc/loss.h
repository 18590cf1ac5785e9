/* SPDX-License-Identifier: Apache-2.0
 *
 * Where in the stream of blocks the frames are missing that the ring had no room for.
 *
 * The kernel counts them in one number, which is 0 again after each reading. It drops only between
 * two blocks: when it has filled one and the next is still ours. The first frame behind the gap
 * opens that next block, and when a block is handed over while the number is not 0 it says so
 * (TP_STATUS_LOSING; prb_close_block in net/packet/af_packet.c). So what a reading finds is missing
 * before the first block that was handed over since the reading before and says so; where none
 * does, before the one that the kernel has, or gets next. Where frames were dropped before several
 * blocks between two readings, their number is that of all: no counter tells them apart, and they
 * are missing before the first.
 *
 * The struct owns nothing; zeroed, it is that of a new ring. For the ring's reader.
 */
#ifndef FC_LOSS_H
#define FC_LOSS_H

#include "ring.h"

enum { FC_LOSS_MOST = 64 }; /* gaps that are known before their block is taken */

struct fc_loss_gap {
    uint64_t block; /* that it is before, counted from the ring's first */
    uint64_t frames;
};

struct fc_loss {
    uint64_t given_back; /* blocks so far: the number of the next one, or of the one we have */
    uint32_t old;        /* so many of those that wait did before the last reading */
    uint64_t place;      /* of what the next reading finds */
    struct fc_loss_gap gaps[FC_LOSS_MOST]; /* a circle */
    uint32_t first;
    uint32_t count;
};

/* Just before the statistics are read: a block that is handed over between the two may be taken for
 * the one behind the gap, though it is the one before it. */
void fc_loss_look(struct fc_loss *loss, const struct fc_ring *ring);

/* What the reading found. */
void fc_loss_found(struct fc_loss *loss, uint64_t frames);

/* The block that was just taken says that frames are missing, and the statistics were not read
 * since it was handed over: read now, they are found before this one. */
static inline bool fc_loss_is_news(const struct fc_loss *loss, const struct fc_ring_block *block) {
    return block->losing && loss->old == 0;
}

/* Whether the kernel has no block: it drops until one is given back, and then no more until that is
 * full. So the statistics are to be read just after. Asked before that. */
static inline bool fc_loss_is_full(const struct fc_ring *ring) {
    uint32_t last = (ring->next > 0 ? ring->next : ring->block_count) - 1;
    return fc_ring_is_ours(fc_ring_at(ring, last));
}

/* Frames that are missing before the block that was just taken. */
uint64_t fc_loss_before_block(struct fc_loss *loss);

/* All that are still to come: no further block will be taken. */
uint64_t fc_loss_at_end(struct fc_loss *loss);

/* The block was given back. */
static inline void fc_loss_give_back(struct fc_loss *loss) {
    loss->given_back++;
    loss->old -= loss->old > 0;
}

#endif
