/* SPDX-License-Identifier: Apache-2.0
 *
 * The header-only parts: numbers at any alignment, the one bounds check, the view of a frame, and
 * the flag that stops others.
 */
#include "cancel.h"
#include "check.h"
#include "frame.h"
#include "reference.h"

static void within_cannot_wrap(void) {
    CHECK(fc_bytes_within(0, 0, 0));
    CHECK(fc_bytes_within(4, 0, 4));
    CHECK(fc_bytes_within(0, 4, 4));
    CHECK(fc_bytes_within(3, 1, 4));
    CHECK(!fc_bytes_within(3, 2, 4));
    CHECK(!fc_bytes_within(5, 0, 4));
    CHECK(!fc_bytes_within(0, 5, 4));
    CHECK(!fc_bytes_within(UINT64_MAX, 1, 4));
    CHECK(!fc_bytes_within(UINT64_MAX, 4, 4));
    CHECK(!fc_bytes_within(UINT64_MAX - 3, 4, 4));
    CHECK(!fc_bytes_within(1, UINT64_MAX, 4));
    CHECK(!fc_bytes_within(4, UINT64_MAX, 4));
    CHECK(fc_bytes_within(UINT64_MAX, 0, UINT64_MAX));
    CHECK(fc_bytes_within(UINT64_MAX - 1, 1, UINT64_MAX));
    CHECK(!fc_bytes_within(UINT64_MAX - 1, 2, UINT64_MAX));
}

static void numbers_are_read_at_any_alignment(void) {
    const uint8_t pattern[] = {0x12, 0x34, 0x56, 0x78};
    for (size_t shift = 0; shift < 8; shift++) {
        uint8_t *block = block_new(shift + sizeof pattern);
        memcpy(block + shift, pattern, sizeof pattern);
        CHECK_IS(fc_load_big32(block + shift), 0x12345678);
        CHECK_IS(fc_load_big16(block + shift), 0x1234);
        CHECK_IS(fc_load_big16(block + shift + 2), 0x5678);
        fc_store32(block + shift, fc_swap32(fc_load32(block + shift)));
        CHECK_IS(fc_load_big32(block + shift), 0x78563412);
        free(block);
    }
}

static void fields_have_the_order_of_the_file(void) {
    const uint8_t pattern[] = {0x12, 0x34, 0x56, 0x78};
    bool big_file = __BYTE_ORDER__ != __ORDER_BIG_ENDIAN__;
    CHECK_IS(fc_pcap_field(pattern, big_file), 0x12345678);
    CHECK_IS(fc_pcap_field(pattern, !big_file), 0x78563412);
}

static void no_time_overflows(void) {
    const struct fc_pcap_record latest = {.seconds = UINT32_MAX, .fraction = UINT32_MAX};
    CHECK_IS(fc_pcap_nanoseconds(&latest, true), INT64_C(4294967299294967295));
    CHECK_IS(fc_pcap_nanoseconds(&latest, false), INT64_C(4294971589967295000));
    const struct fc_pcap_record first = {.seconds = 1, .fraction = 2};
    CHECK_IS(fc_pcap_nanoseconds(&first, true), 1000000002);
    CHECK_IS(fc_pcap_nanoseconds(&first, false), 1000002000);
}

/* Every size at every offset, to the far end of what offsets can be. */
static void a_load_finds_what_is_there_and_nothing_else(void) {
    const uint64_t far[] = {UINT32_MAX, (uint64_t)UINT32_MAX * 2, UINT64_MAX - 1, UINT64_MAX};
    uint8_t bytes[40];
    for (uint8_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + 1);
    for (uint32_t captured = 0; captured <= sizeof bytes; captured++) {
        uint8_t *block = block_copy(bytes, captured);
        uint8_t *rest = NULL;
        struct fc_frame flat = {.bytes = block, .captured = captured, .wire = captured};
        struct fc_frame apart = flat;
        if (captured >= 16)
            apart = reference_tagged(block, captured, captured, &rest);
        for (uint32_t size = 1; size <= 4; size *= 2) {
            for (uint64_t offset = 0; offset <= captured + 1; offset++) {
                uint32_t expected = 0;
                for (uint32_t i = 0; i < size && offset + i < captured; i++)
                    expected = expected * 256 + bytes[offset + i];
                uint32_t value = 0;
                bool there = offset + size <= captured;
                check_about("%u of %u bytes at %u", size, captured, (uint32_t)offset);
                CHECK_IS(fc_frame_load(&flat, false, offset, size, &value), there);
                CHECK(!there || value == expected);
                value = 0;
                CHECK_IS(fc_frame_load(&apart, apart.tagged, offset, size, &value), there);
                CHECK(!there || value == expected);
            }
            for (size_t i = 0; i < sizeof far / sizeof *far; i++) {
                uint32_t value = 0;
                CHECK(!fc_frame_load(&flat, false, far[i], size, &value));
                CHECK(!fc_frame_load(&apart, apart.tagged, far[i], size, &value));
            }
        }
        free(rest);
        free(block);
    }
}

static void cancel_is_set_once_and_for_all(void) {
    struct fc_cancel cancel = {0};
    CHECK(!fc_cancel_is_set(NULL));
    CHECK(!fc_cancel_is_set(&cancel));
    fc_cancel_set(&cancel);
    fc_cancel_set(&cancel);
    CHECK(fc_cancel_is_set(&cancel));
}

int main(void) {
    TEST(within_cannot_wrap);
    TEST(numbers_are_read_at_any_alignment);
    TEST(fields_have_the_order_of_the_file);
    TEST(no_time_overflows);
    TEST(a_load_finds_what_is_there_and_nothing_else);
    TEST(cancel_is_set_once_and_for_all);
    return check_result();
}
