/* SPDX-License-Identifier: Apache-2.0 */
#include "set.h"

#include <stdlib.h>

enum {
    MOST_IN_LIST = 16, /* ranges of one upper half; more become bits, 8 KiB of them */
    BITS_WORDS = 1024,
    HALF = 0xffff,
};

bool fc_set_ranges_are_valid(const struct fc_ranges *ranges) {
    for (size_t i = 0; i < ranges->count; i++) {
        if (ranges->pairs[2 * i] > ranges->pairs[2 * i + 1])
            return false;
        if (i > 0 && ranges->pairs[2 * i - 1] >= ranges->pairs[2 * i])
            return false;
    }
    return true;
}

/* Each range cut at the borders of upper halves: called for every piece, in order. */
typedef void piece_of(struct fc_set *set, uint32_t upper, uint32_t low, uint32_t high);

static void each_piece(struct fc_set *set, const struct fc_ranges *ranges, piece_of *piece) {
    for (size_t i = 0; i < ranges->count; i++) {
        uint32_t first = ranges->pairs[2 * i];
        uint32_t last = ranges->pairs[2 * i + 1];
        for (uint32_t upper = first >> 16; upper <= last >> 16; upper++)
            piece(set, upper, upper == first >> 16 ? first & HALF : 0,
                  upper == last >> 16 ? last & HALF : HALF);
    }
}

static void mark(struct fc_set *set, uint32_t upper, uint32_t low, uint32_t high) {
    uint64_t bit = UINT64_C(1) << (upper & 63);
    set->any[upper >> 6] |= bit;
    if (low != 0 || high != HALF)
        set->roots[upper >> 6].some |= bit;
}

/* NULL: all its numbers are in the set. */
static struct fc_set_part *part_of(const struct fc_set *set, uint32_t upper) {
    const struct fc_set_root *root = &set->roots[upper >> 6];
    uint64_t bit = UINT64_C(1) << (upper & 63);
    if (!(root->some & bit))
        return NULL;
    return &set->parts[root->before + (uint32_t)__builtin_popcountll(root->some & (bit - 1))];
}

static void count(struct fc_set *set, uint32_t upper, uint32_t low, uint32_t high) {
    (void)low;
    (void)high;
    struct fc_set_part *part = part_of(set, upper);
    if (part != NULL)
        part->count++;
}

static void fill(struct fc_set *set, uint32_t upper, uint32_t low, uint32_t high) {
    struct fc_set_part *part = part_of(set, upper);
    if (part == NULL)
        return;
    if (part->bits != NULL) {
        for (uint32_t value = low; value <= high; value++)
            part->bits[value >> 6] |= UINT64_C(1) << (value & 63);
        return;
    }
    uint16_t *pair = set->pairs + 2 * ((size_t)part->first + part->count++);
    pair[0] = (uint16_t)low;
    pair[1] = (uint16_t)high;
}

/* Parts know how many ranges they will have: room for lists and bits. */
static int make_room(struct fc_set *set) {
    uint32_t listed = 0;
    for (uint32_t i = 0; i < set->part_count; i++) {
        struct fc_set_part *part = &set->parts[i];
        part->first = listed;
        if (part->count > MOST_IN_LIST) {
            part->bits = calloc(BITS_WORDS, sizeof *part->bits);
            if (part->bits == NULL)
                return FC_ERROR_MEMORY;
        } else {
            listed += part->count;
            part->count = 0;
        }
    }
    set->pairs = calloc((size_t)listed + 1, 2 * sizeof *set->pairs);
    return set->pairs != NULL ? FC_OK : FC_ERROR_MEMORY;
}

int fc_set_make(struct fc_set *set, const struct fc_ranges *ranges) {
    *set = (struct fc_set){0};
    each_piece(set, ranges, mark);
    for (uint32_t i = 0; i < FC_SET_ROOTS; i++) {
        set->roots[i].before = set->part_count;
        set->part_count += (uint32_t)__builtin_popcountll(set->roots[i].some);
    }
    set->parts = calloc((size_t)set->part_count + 1, sizeof *set->parts);
    if (set->parts == NULL)
        return FC_ERROR_MEMORY;
    each_piece(set, ranges, count);
    int status = make_room(set);
    if (status == FC_OK)
        each_piece(set, ranges, fill);
    return status;
}

void fc_set_free(struct fc_set *set) {
    if (set->parts != NULL)
        for (uint32_t i = 0; i < set->part_count; i++)
            free(set->parts[i].bits);
    free(set->parts);
    free(set->pairs);
    set->parts = NULL;
    set->pairs = NULL;
}

bool fc_set_part_has(const struct fc_set *set, uint32_t value) {
    const struct fc_set_part *part = part_of(set, value >> 16);
    uint32_t low = value & HALF;
    if (part == NULL)
        return true;
    if (part->bits != NULL)
        return (part->bits[low >> 6] >> (low & 63) & 1) != 0;
    const uint16_t *pair = set->pairs + 2 * (size_t)part->first;
    for (uint32_t i = 0; i < part->count; i++)
        if (low <= pair[2 * i + 1])
            return low >= pair[2 * i];
    return false;
}
