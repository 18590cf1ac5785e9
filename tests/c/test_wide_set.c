/* SPDX-License-Identifier: Apache-2.0
 *
 * Wide sets of every width, single numbers and ranges, beside a search from front to back.
 */
#include "check.h"
#include "wide_set.h"

static void wide_sets_agree_with_a_search(void) {
    enum { RANGES = 300 };
    uint8_t *pairs = block_new(RANGES * 2 * FC_WIDE_SET_WIDEST);
    for (uint32_t width = 1; width <= FC_WIDE_SET_WIDEST; width++) {
        uint32_t count = width == 1 ? 60 : RANGES;
        uint32_t value = random_below(3);
        memset(pairs, 0, RANGES * 2 * FC_WIDE_SET_WIDEST);
        /* small numbers in the last two bytes, and a byte in front that ascends now and then */
        for (uint32_t i = 0; i < count; i++) {
            uint32_t last = value + (random_below(2) ? 0 : random_below(3));
            for (uint32_t end = 0; end < 2; end++) {
                uint8_t *at = pairs + (2 * i + end) * width;
                uint32_t number = end ? last : value;
                at[width - 1] = (uint8_t)number;
                if (width > 1)
                    at[width - 2] = (uint8_t)(number >> 8);
                if (width > 8)
                    at[0] = (uint8_t)(i / 200);
            }
            value = last + 1 + random_below(2);
        }
        const struct fc_wide_ranges ranges = {pairs, count, width};
        struct fc_wide_set set;
        if (!CHECK(fc_wide_set_ranges_are_valid(&ranges)))
            return;
        CHECK_IS(fc_wide_set_make(&set, &ranges), FC_OK);
        for (uint32_t probe = 0; probe < 2000; probe++) {
            uint8_t bytes[FC_WIDE_SET_WIDEST] = {0};
            uint32_t number = random_below(value + 5);
            bytes[width - 1] = (uint8_t)number;
            if (width > 1)
                bytes[width - 2] = (uint8_t)(number >> 8);
            if (width > 8)
                bytes[0] = (uint8_t)random_below(3);
            bool expected = false;
            for (uint32_t i = 0; i < count; i++)
                expected |= memcmp(pairs + 2 * (size_t)i * width, bytes, width) <= 0 &&
                            memcmp(bytes, pairs + (2 * (size_t)i + 1) * width, width) <= 0;
            CHECK_IS(fc_wide_set_has(&set, bytes), expected);
        }
        fc_wide_set_free(&set);
    }
    free(pairs);
}

int main(int count, char **arguments) {
    uint64_t seed = random_seed_argument(count, arguments);
    random_seed(seed);
    check_about("seed %" PRIu64, seed);
    wide_sets_agree_with_a_search();
    return check_result();
}
