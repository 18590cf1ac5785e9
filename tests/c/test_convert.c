/* SPDX-License-Identifier: Apache-2.0
 *
 * Records in another layout: every pair of byte orders and precisions, with and without a cut.
 */
#include "check.h"
#include "convert.h"
#include "reference.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* What the reference makes of whole records. */
static struct made converted(const struct made *records, const struct fc_convert *convert) {
    struct made made = {0};
    for (size_t offset = 0; offset < records->length;) {
        struct fc_pcap_record record;
        if (reference_record(records->bytes, records->length, offset, &convert->from, &record) !=
            FC_SCAN_RECORD)
            abort();
        size_t size = 16 + (size_t)record.captured;
        uint8_t *to = made_room(&made, size);
        size_t used = reference_convert(records->bytes + offset, &convert->from, to, &convert->to);
        made.length -= size - used;
        offset += size;
    }
    return made;
}

static uint32_t longest_of(const struct made *records, const struct fc_pcap_layout *layout) {
    uint32_t longest = 0;
    struct fc_pcap_record record;
    for (size_t offset = 0; reference_record(records->bytes, records->length, offset, layout,
                                             &record) == FC_SCAN_RECORD;
         offset += 16 + (size_t)record.captured)
        longest = record.captured > longest ? record.captured : longest;
    return longest;
}

/* Says `longest` as it is, and as large as can be, where nothing may be taken for a plain copy. */
static void check_convert(const struct made *records, const struct fc_convert *convert) {
    struct made expected = converted(records, convert);
    const uint32_t longest[] = {longest_of(records, &convert->from), UINT32_MAX};
    for (size_t i = 0; i < COUNT(longest); i++) {
        struct fc_buffer output = {0};
        CHECK_IS(fc_buffer_append(&output, (const uint8_t *)"before", 6), FC_OK);
        CHECK_IS(fc_convert_append(convert, records->bytes, records->length, longest[i], &output),
                 FC_OK);
        if (CHECK_IS(output.length, 6 + expected.length)) {
            CHECK(memcmp(output.bytes, "before", 6) == 0);
            CHECK(memcmp(output.bytes + 6, expected.bytes, expected.length) == 0);
        }
        fc_buffer_free(&output);
    }
    made_free(&expected);
}

static void every_layout_becomes_every_other(void) {
    const uint32_t snaplens[] = {0, 1, 14, 63, 64, 299, 300, 301, UINT32_MAX};
    for (uint32_t from = 0; from < 4; from++) {
        struct fc_convert convert = {.from = layout_number(from)};
        struct made records = {0};
        convert.from.max_captured = 300;
        made_traffic(&records, &convert.from, 40, 300);
        made_record(&records, convert.from.swapped, 1, 2, 300, 300);
        made_exact(&records);
        for (uint32_t to = 0; to < 4; to++) {
            for (size_t i = 0; i < COUNT(snaplens) * COUNT(snaplens); i++) {
                convert.to = layout_number(to);
                convert.from.snaplen = snaplens[i / COUNT(snaplens)];
                convert.to.snaplen = snaplens[i % COUNT(snaplens)];
                check_about("layout %u to %u, cut at %u and %u", from, to, convert.from.snaplen,
                            convert.to.snaplen);
                check_convert(&records, &convert);
            }
        }
        made_free(&records);
    }
}

/* Also where times could not be converted there and back. */
static void equal_layouts_are_copied_byte_for_byte(void) {
    for (uint32_t number = 0; number < 4; number++) {
        struct fc_convert convert = {.from = layout_number(number), .to = layout_number(number)};
        struct made records = {0};
        struct fc_buffer output = {0};
        made_traffic(&records, &convert.from, 40, 299);
        made_record(&records, convert.from.swapped, UINT32_MAX, UINT32_MAX, 300, 0);
        made_exact(&records);
        convert.from.snaplen = 300;
        convert.to.snaplen = 300;
        check_about("layout %u", number);
        CHECK_IS(fc_convert_append(&convert, records.bytes, records.length, 300, &output), FC_OK);
        if (CHECK_IS(output.length, records.length))
            CHECK(memcmp(output.bytes, records.bytes, records.length) == 0);
        fc_buffer_free(&output);
        made_free(&records);
    }
}

/* The header of one record of 8 bytes after its way through `convert`. */
static struct fc_pcap_record one_converted(const struct fc_convert *convert, uint32_t seconds,
                                           uint32_t fraction) {
    struct made made = {0};
    struct fc_buffer output = {0};
    struct fc_pcap_record record = {0};
    made_record(&made, convert->from.swapped, seconds, fraction, 8, 3000000000);
    made_exact(&made);
    check_convert(&made, convert);
    CHECK_IS(fc_convert_append(convert, made.bytes, made.length, 8, &output), FC_OK);
    if (CHECK_IS(output.length, 24))
        CHECK_IS(reference_record(output.bytes, 24, 0, &convert->to, &record), FC_SCAN_RECORD);
    CHECK_IS(record.captured, 8);
    CHECK_IS(record.wire, 3000000000);
    fc_buffer_free(&output);
    made_free(&made);
    return record;
}

static void times_are_carried_and_cut(void) {
    const struct {
        bool from_nanoseconds;
        bool to_nanoseconds;
        uint32_t seconds, fraction;
        uint32_t expected_seconds, expected_fraction;
    } cases[] = {
        {false, true, 7, 0, 7, 0},
        {false, true, 7, 1, 7, 1000},
        {false, true, 7, 999999, 7, 999999000},
        {false, true, 7, 1000000, 8, 0},
        {false, true, 7, 1000001, 8, 1000},
        {false, true, 7, 4294967295, 4301, 967295000},
        {true, false, 7, 0, 7, 0},
        {true, false, 7, 999, 7, 0},
        {true, false, 7, 1000, 7, 1},
        {true, false, 7, 999999999, 7, 999999},
        {true, false, 7, 1000000000, 7, 1000000}, /* a second too many stays one */
        {true, false, 7, 4294967295, 7, 4294967},
        {true, true, 7, 4294967295, 7, 4294967295},
        {false, false, 7, 4294967295, 7, 4294967295},
        {false, true, 4294967295, 999999, 4294967295, 999999000},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (uint32_t orders = 0; orders < 4; orders++) {
            struct fc_convert convert = {.from = layout_number(orders & 1),
                                         .to = layout_number(orders >> 1)};
            convert.from.nanoseconds = cases[i].from_nanoseconds;
            convert.to.nanoseconds = cases[i].to_nanoseconds;
            check_about("case %zu, byte orders %u", i, orders);
            struct fc_pcap_record record =
                one_converted(&convert, cases[i].seconds, cases[i].fraction);
            CHECK_IS(record.seconds, cases[i].expected_seconds);
            CHECK_IS(record.fraction, cases[i].expected_fraction);
        }
    }
}

static void a_cut_frame_keeps_its_length_on_the_wire(void) {
    struct fc_convert convert = {.from = layout_number(0), .to = layout_number(1)};
    struct made made = {0};
    struct fc_buffer output = {0};
    struct fc_pcap_record record;
    made_record(&made, false, 1, 2, 100, 1500);
    made_record(&made, false, 1, 3, 20, 20);
    made_exact(&made);
    convert.to.snaplen = 20;
    CHECK_IS(fc_convert_append(&convert, made.bytes, made.length, 100, &output), FC_OK);
    CHECK_IS(output.length, 72);
    CHECK_IS(reference_record(output.bytes, 72, 0, &convert.to, &record), FC_SCAN_RECORD);
    CHECK_IS(record.captured, 20);
    CHECK_IS(record.wire, 1500);
    CHECK(memcmp(output.bytes + 16, made.bytes + 16, 20) == 0);
    CHECK(memcmp(output.bytes + 52, made.bytes + 132, 20) == 0);
    fc_buffer_free(&output);
    made_free(&made);
}

static void no_records_give_no_bytes(void) {
    for (uint32_t to = 0; to < 4; to++) {
        struct fc_convert convert = {.from = layout_number(0), .to = layout_number(to)};
        struct fc_buffer output = {0};
        uint8_t *nothing = block_new(0);
        CHECK_IS(fc_buffer_reserve(&output, 1), FC_OK);
        CHECK_IS(fc_convert_append(&convert, nothing, 0, 0, &output), FC_OK);
        CHECK_IS(output.length, 0);
        free(nothing);
        fc_buffer_free(&output);
    }
}

int main(void) {
    TEST(every_layout_becomes_every_other);
    TEST(equal_layouts_are_copied_byte_for_byte);
    TEST(times_are_carried_and_cut);
    TEST(a_cut_frame_keeps_its_length_on_the_wire);
    TEST(no_records_give_no_bytes);
    return check_result();
}
