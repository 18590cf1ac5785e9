/* SPDX-License-Identifier: Apache-2.0
 *
 * Sets of numbers of up to 16 bytes, given as ranges (addresses of IPv6, MAC addresses): single
 * ones in a hash table, ranges by binary search.
 *
 * A set is read-only once it is made: any number of threads may look up in it.
 */
#ifndef FC_WIDE_SET_H
#define FC_WIDE_SET_H

#include "bytes.h"
#include "status.h"

enum { FC_WIDE_SET_WIDEST = 16 /* bytes */ };

/* `count` ranges, the first and the last number of each, ascending and apart; numbers are of
 * `width` bytes, big-endian, one behind the other. Borrowed. */
struct fc_wide_ranges {
    const uint8_t *pairs;
    uint32_t count;
    uint32_t width;
};

bool fc_wide_set_ranges_are_valid(const struct fc_wide_ranges *ranges);

struct fc_wide_number {
    uint64_t high;
    uint64_t low;
};

struct fc_wide_set {
    uint32_t width;
    uint32_t *slots; /* hash table: 1 + the index of a single number, or 0 */
    uint32_t slot_mask;
    struct fc_wide_number *singles;
    uint32_t single_count;
    struct fc_wide_number *ranges; /* first and last, ascending */
    uint32_t range_count;
};

int fc_wide_set_make(struct fc_wide_set *set, const struct fc_wide_ranges *ranges);
void fc_wide_set_free(struct fc_wide_set *set);

/* `bytes`: `set->width` of them. */
bool fc_wide_set_has(const struct fc_wide_set *set, const uint8_t *bytes);

#endif
