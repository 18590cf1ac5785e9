/* SPDX-License-Identifier: Apache-2.0
 *
 * Programs for tests: made of copies, and random ones that are valid.
 */
#ifndef FC_TEST_PROGRAMS_H
#define FC_TEST_PROGRAMS_H

#include "check.h"
#include "program.h"
#include "reference.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Each program has as many wide sets and patterns as sets. */
static const uint8_t wide_pairs[] = {1, 2, 3, 1, 2, 3, 4, 0, 0, 5, 0, 0};
static const struct fc_wide_ranges some_wide[] = {
    {.pairs = wide_pairs, .count = 2, .width = 3},
    {.pairs = wide_pairs, .count = 1, .width = 6},
    {.pairs = (const uint8_t *)"ab", .count = 1, .width = 1},
};
static const struct fc_pattern some_patterns[] = {{(const uint8_t *)"\x05\x06", 2},
                                                  {(const uint8_t *)"\x00", 1},
                                                  {(const uint8_t *)"\x81\0\0", 3}};
static uint32_t tags_at = 12;

static inline struct fc_program_source source_of(const struct fc_instruction *instructions,
                                                 size_t count, const struct fc_ranges *sets,
                                                 size_t set_count) {
    size_t others = set_count < 3 ? set_count : 3;
    return (struct fc_program_source){
        .instructions = instructions,
        .count = count,
        .sets = sets,
        .set_count = set_count,
        .wide_sets = some_wide,
        .wide_set_count = others,
        .patterns = some_patterns,
        .pattern_count = others,
        .tags_at = tags_at,
    };
}

/* Copies of everything go to fc_program_new and away again before the program runs. */
static inline struct fc_program *program_of(const struct fc_instruction *instructions, size_t count,
                                            const struct fc_ranges *sets, size_t set_count) {
    struct fc_program *program = NULL;
    size_t bad = 0;
    struct fc_instruction *copy =
        (struct fc_instruction *)(void *)block_copy(instructions, count * sizeof *instructions);
    struct fc_ranges *set_copy = block_new(set_count * sizeof *sets);
    for (size_t i = 0; i < set_count; i++) {
        size_t size = sets[i].count * 2 * sizeof *sets[i].pairs;
        const uint32_t *pairs = (const uint32_t *)(void *)block_copy(sets[i].pairs, size);
        set_copy[i] = (struct fc_ranges){.pairs = pairs, .count = sets[i].count};
    }
    const struct fc_program_source source = source_of(copy, count, set_copy, set_count);
    if (!CHECK_IS(fc_program_new(&source, &program, &bad), FC_OK))
        exit(check_result());
    for (size_t i = 0; i < set_count; i++)
        free((void *)(uintptr_t)set_copy[i].pairs);
    free(set_copy);
    free(copy);
    return program;
}

/* ---- Random programs --------------------------------------------------------------------- */

static inline bool is_look_up(uint16_t code) {
    return code == 0x105 || code == 0x115 || code == 0x125;
}

enum { MOST_INSTRUCTIONS = 48, MOST_SETS = 3, LONGEST_FRAME = 70 };

static inline uint32_t random_value(void) {
    const uint32_t special[] = {0,  1,          4,          15,         31,        32,
                                33, 0x7fffffff, 0x80000000, 0xfffffffc, UINT32_MAX};
    switch (random_below(8)) {
    case 0: return special[random_below(COUNT(special))];
    case 1: return random32();
    case 2: return random_below(256);
    default: return random_below(40);
    }
}

static inline struct fc_instruction random_instruction(size_t count, size_t left,
                                                       uint32_t set_count) {
    uint32_t at = (uint32_t)(count - 1 - left);
    if (left == 0)
        return (struct fc_instruction){.code = random_below(2) ? 0x06 : 0x16, .k = random32()};
    /* Loads and equality tests more often, for pairs of them; returns seldom, for long runs. */
    const uint16_t often[] = {0x20, 0x28, 0x30, 0x15, 0x15, 0x15, 0x50, 0x48};
    struct fc_instruction i = {
        .code = random_below(2) ? often[random_below(COUNT(often))]
                                : reference_codes[random_below(REFERENCE_CODES)],
        .k = random_value(),
        .on_true = random_below((uint32_t)(left < 6 ? left : 6)),
        .on_false = random_below((uint32_t)(left < 6 ? left : 6)),
    };
    if (is_look_up(i.code) && set_count == 0)
        i.code = 0x80;
    if (is_look_up(i.code))
        i.k %= set_count;
    bool sees_bytes = reference_is_load(i.code) || i.code == 0x80 || i.code == 0x81 ||
                      i.code == 0x100 || i.code == 0x115;
    i.flags = sees_bytes && random_below(3) == 0;
    if (i.code == 0x60 || i.code == 0x61 || i.code == 0x02 || i.code == 0x03)
        i.k %= 16;
    if (i.code == 0x135) /* rarely: loops take long */
        i = (struct fc_instruction){.code = random_below(20) ? 0x07 : 0x135,
                                    .k = 1 + random_below(at + 1 < 8 ? at + 1 : 8)};
    if ((i.code == 0x34 || i.code == 0x94) && i.k == 0)
        i.k = 1;
    if ((i.code == 0x06 || i.code == 0x16) && random_below(4))
        i.code = 0x07;
    return i;
}

static inline void random_set(struct fc_ranges *set, uint32_t *pairs) {
    uint32_t count = random_below(20);
    uint32_t value = random_below(3);
    for (uint32_t i = 0; i < count; i++) {
        pairs[2 * i] = value;
        pairs[2 * i + 1] = value += random_below(2) ? 0 : random_below(5);
        value += 1 + random_below(30);
    }
    *set = (struct fc_ranges){.pairs = pairs, .count = count};
}

#endif
