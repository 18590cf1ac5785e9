/* SPDX-License-Identifier: Apache-2.0
 *
 * Sets of numbers of up to 32 bits, given as ranges, for look-ups in a few nanoseconds whatever
 * their size: a bit for each of the 65,536 upper halves says whether any number below it is in the
 * set, another whether not all are; then there is a short list of ranges or a bit for each lower
 * half (as Roaring bitmaps do: Chambi et al., 2016, arXiv:1402.6407). Most look-ups end at the
 * first step, in 8 KiB.
 *
 * A set is read-only once it is made: any number of threads may look up in it.
 */
#ifndef FC_SET_H
#define FC_SET_H

#include "bytes.h"
#include "status.h"

/* `count` ranges, the first and the last number of each, ascending and apart. Borrowed. */
struct fc_ranges {
    const uint32_t *pairs;
    uint32_t count;
};

bool fc_set_ranges_are_valid(const struct fc_ranges *ranges);

/* Upper halves, 64 of them: bits for those of which some numbers are in the set, but not all; of
 * these there are `before` in front. */
struct fc_set_root {
    uint64_t some;
    uint32_t before;
};

/* Lower halves of one upper half: `count` ranges from number `first` on, or a bit for each. */
struct fc_set_part {
    uint32_t first;
    uint32_t count;
    uint64_t *bits; /* NULL: the ranges */
};

enum { FC_SET_ROOTS = 1024 };

struct fc_set {
    uint64_t any[FC_SET_ROOTS]; /* a bit for each upper half */
    struct fc_set_root roots[FC_SET_ROOTS];
    struct fc_set_part *parts;
    uint32_t part_count;
    uint16_t *pairs; /* lower halves: first and last */
};

/* `ranges` must be valid. FC_ERROR_MEMORY. Free with fc_set_free, also where it failed. */
int fc_set_make(struct fc_set *set, const struct fc_ranges *ranges);
void fc_set_free(struct fc_set *set);

/* Of a number whose upper half is not empty. */
bool fc_set_part_has(const struct fc_set *set, uint32_t value);

static inline bool fc_set_has(const struct fc_set *set, uint32_t value) {
    if (!(set->any[value >> 22] >> (value >> 16 & 63) & 1))
        return false;
    return fc_set_part_has(set, value);
}

#endif
