/* SPDX-License-Identifier: Apache-2.0 */
#include "wide_set.h"

#include <stdlib.h>

enum { SLOTS_EACH = 4 /* so that most look-ups of what is not there end at an empty slot */ };

bool fc_wide_set_ranges_are_valid(const struct fc_wide_ranges *ranges) {
    size_t width = ranges->width;
    if (width == 0 || width > FC_WIDE_SET_WIDEST)
        return false;
    for (size_t i = 0; i < ranges->count; i++) {
        const uint8_t *low = ranges->pairs + 2 * i * width;
        if (memcmp(low, low + width, width) > 0)
            return false;
        if (i > 0 && memcmp(low - width, low, width) >= 0)
            return false;
    }
    return true;
}

static struct fc_wide_number number_of(const uint8_t *bytes, uint32_t width) {
    uint8_t whole[FC_WIDE_SET_WIDEST] = {0};
    memcpy(whole + FC_WIDE_SET_WIDEST - width, bytes, width);
    return (struct fc_wide_number){
        .high = (uint64_t)fc_load_big32(whole) << 32 | fc_load_big32(whole + 4),
        .low = (uint64_t)fc_load_big32(whole + 8) << 32 | fc_load_big32(whole + 12),
    };
}

static bool is_equal(struct fc_wide_number a, struct fc_wide_number b) {
    return a.high == b.high && a.low == b.low;
}

static bool is_less(struct fc_wide_number a, struct fc_wide_number b) {
    return a.high != b.high ? a.high < b.high : a.low < b.low;
}

/* A multiplication spreads each half over the upper bits (Knuth, TAOCP 3, 6.4). Whoever chooses
 * the addresses of a set chooses its collisions too: they cost its owner time, nothing else. */
static uint32_t slot_of(struct fc_wide_number number) {
    uint64_t mixed = (number.high ^ 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 32 ^ number.low) * 0x94d049bb133111eb;
    return (uint32_t)(mixed >> 32);
}

static void add_single(struct fc_wide_set *set, struct fc_wide_number number) {
    uint32_t slot = slot_of(number) & set->slot_mask;
    while (set->slots[slot] != 0)
        slot = (slot + 1) & set->slot_mask;
    set->singles[set->single_count++] = number;
    set->slots[slot] = set->single_count;
}

int fc_wide_set_make(struct fc_wide_set *set, const struct fc_wide_ranges *ranges) {
    *set = (struct fc_wide_set){.width = ranges->width};
    size_t slots = 16;
    while (slots < (size_t)ranges->count * SLOTS_EACH)
        slots *= 2;
    if (slots > UINT32_MAX)
        return FC_ERROR_MEMORY;
    set->slot_mask = (uint32_t)(slots - 1);
    set->slots = calloc(slots, sizeof *set->slots);
    set->singles = calloc((size_t)ranges->count + 1, sizeof *set->singles);
    set->ranges = calloc((size_t)ranges->count + 1, 2 * sizeof *set->ranges);
    if (!set->slots || !set->singles || !set->ranges)
        return FC_ERROR_MEMORY;
    for (size_t i = 0; i < ranges->count; i++) {
        const uint8_t *pair = ranges->pairs + 2 * i * set->width;
        struct fc_wide_number low = number_of(pair, set->width);
        struct fc_wide_number high = number_of(pair + set->width, set->width);
        if (is_equal(low, high)) {
            add_single(set, low);
        } else {
            set->ranges[2 * (size_t)set->range_count] = low;
            set->ranges[2 * (size_t)set->range_count++ + 1] = high;
        }
    }
    return FC_OK;
}

void fc_wide_set_free(struct fc_wide_set *set) {
    free(set->slots);
    free(set->singles);
    free(set->ranges);
    set->slots = NULL;
    set->singles = set->ranges = NULL;
}

static bool in_ranges(const struct fc_wide_set *set, struct fc_wide_number number) {
    uint32_t low = 0;
    uint32_t high = set->range_count;
    while (low < high) { /* the first range that does not end before the number */
        uint32_t middle = low + (high - low) / 2;
        if (is_less(set->ranges[2 * (size_t)middle + 1], number))
            low = middle + 1;
        else
            high = middle;
    }
    return low < set->range_count && !is_less(number, set->ranges[2 * (size_t)low]);
}

bool fc_wide_set_has(const struct fc_wide_set *set, const uint8_t *bytes) {
    struct fc_wide_number number = number_of(bytes, set->width);
    uint32_t slot = slot_of(number) & set->slot_mask;
    for (; set->slots[slot] != 0; slot = (slot + 1) & set->slot_mask)
        if (is_equal(set->singles[set->slots[slot] - 1], number))
            return true;
    return in_ranges(set, number);
}
