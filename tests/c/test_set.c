/* SPDX-License-Identifier: Apache-2.0
 *
 * Sets: every border of ranges, halves and lists, beside a search from front to back.
 */
#include "check.h"
#include "set.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { MOST = 4000 };

static bool is_in(const uint32_t *pairs, uint32_t count, uint32_t value) {
    for (uint32_t i = 0; i < count; i++)
        if (pairs[2 * i] <= value && value <= pairs[2 * i + 1])
            return true;
    return false;
}

/* Each border of each range, and its neighbours. */
static void check_borders(const uint32_t *pairs, uint32_t count) {
    const struct fc_ranges ranges = {.pairs = pairs, .count = count};
    struct fc_set *set = block_new(sizeof *set);
    CHECK(fc_set_ranges_are_valid(&ranges));
    CHECK_IS(fc_set_make(set, &ranges), FC_OK);
    for (uint32_t i = 0; i < 2 * count; i++)
        for (uint32_t near = 0; near < 3; near++) {
            uint32_t value = pairs[i] + near - 1; /* may wrap: then it is the other end */
            CHECK_IS(fc_set_has(set, value), is_in(pairs, count, value));
        }
    const uint32_t edges[] = {0, 0xffff, 0x10000, 0x7fffffff, 0x80000000, UINT32_MAX};
    for (size_t i = 0; i < COUNT(edges); i++)
        CHECK_IS(fc_set_has(set, edges[i]), is_in(pairs, count, edges[i]));
    fc_set_free(set);
    free(set);
}

static void ranges_begin_and_end_where_they_say(void) {
    const uint32_t sets[][4] = {
        {0, 0, UINT32_MAX, UINT32_MAX},          {0, UINT32_MAX, 0, 0}, /* the second is not used */
        {0xffff, 0x10000, 0x1fffe, 0x20000},     {0x10000, 0x1ffff, 0x20001, 0x3ffff},
        {1, 0xfffffffe, UINT32_MAX, UINT32_MAX}, {0x0a000000, 0x0affffff, 0xc0a80000, 0xc0a800ff},
    };
    check_borders(NULL, 0);
    for (size_t i = 0; i < COUNT(sets); i++) {
        check_borders(sets[i], 1);
        if (sets[i][1] < sets[i][2])
            check_borders(sets[i], 2);
    }
}

/* In one upper half and in many, with lists of 15, 16 and 17 ranges and longer ones. */
static void lists_and_bits_hold_the_same(void) {
    static uint32_t pairs[2 * MOST];
    for (uint32_t count = 1; count < 40; count++) {
        for (uint32_t i = 0; i < count; i++) {
            pairs[2 * i] = 0x12340000 + 7 * i;
            pairs[2 * i + 1] = pairs[2 * i] + i % 5;
        }
        check_borders(pairs, count);
    }
}

static void random_sets_agree_with_a_search(void) {
    static uint32_t pairs[2 * MOST];
    for (int round = 0; round < 40; round++) {
        uint32_t steps[] = {3, 300, 70000, 3000000};
        uint32_t step = steps[random_below(4)];
        uint32_t count = 0;
        uint64_t value = random_below(step);
        while (count < MOST / 10 && value + step < UINT32_MAX) {
            pairs[2 * count] = (uint32_t)value;
            value += random_below(2) ? 0 : random_below(step);
            pairs[2 * count++ + 1] = (uint32_t)value;
            value += 1 + random_below(step);
        }
        check_borders(pairs, count);
    }
}

int main(int count, char **arguments) {
    uint64_t seed = random_seed_argument(count, arguments);
    random_seed(seed);
    TEST(ranges_begin_and_end_where_they_say);
    TEST(lists_and_bits_hold_the_same);
    check_about("seed %" PRIu64, seed);
    random_sets_agree_with_a_search();
    return check_result();
}
