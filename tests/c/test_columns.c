/* SPDX-License-Identifier: Apache-2.0
 *
 * Records as arrays: one entry a frame, in order, also over several fills and after damage.
 */
#include "check.h"
#include "columns.h"
#include "reference.h"

/* Entry for entry what the reference finds, from entry `first` and file offset `offset` on. */
static size_t check_entries(const struct fc_columns *columns, size_t first, const struct made *made,
                            size_t offset, const struct fc_pcap_layout *layout) {
    struct fc_pcap_record record;
    size_t i = first;
    while (reference_record(made->bytes, made->length, offset, layout, &record) == FC_SCAN_RECORD) {
        if (!CHECK(i < columns->count))
            break;
        uint32_t captured = record.captured < layout->snaplen ? record.captured : layout->snaplen;
        CHECK_IS(columns->timestamps[i], reference_nanoseconds(&record, layout->nanoseconds));
        CHECK_IS(columns->captured[i], captured);
        CHECK_IS(columns->wire[i], record.wire);
        CHECK_IS(columns->offsets[i], offset + 16);
        offset += 16 + (size_t)record.captured;
        i++;
    }
    CHECK_IS(i, columns->count);
    return offset;
}

static void columns_have_every_record(void) {
    const uint32_t counts[] = {0, 1, 2, 1023, 1024, 1025, 3000};
    for (uint32_t number = 0; number < 4; number++) {
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            struct fc_pcap_layout layout = layout_number(number);
            struct fc_columns columns = {0};
            struct made made = {0};
            enum fc_scan_stop stop = FC_SCAN_RECORD;
            layout.snaplen = 33; /* some frames are cut */
            made_traffic(&made, &layout, counts[c], 50);
            made_exact(&made);
            struct fc_scan scan = {.bytes = made.bytes, .length = made.length, .layout = layout};
            check_about("layout %u, %u records", number, counts[c]);
            CHECK_IS(fc_columns_fill(&columns, &scan, &stop), FC_OK);
            CHECK_IS(stop, FC_SCAN_END);
            CHECK_IS(columns.count, counts[c]);
            CHECK_IS(scan.offset, made.length);
            check_entries(&columns, 0, &made, 0, &layout);
            fc_columns_free(&columns);
            made_free(&made);
        }
    }
}

static void a_second_fill_appends(void) {
    struct fc_pcap_layout layout = layout_number(2);
    struct fc_columns columns = {0};
    enum fc_scan_stop stop;
    size_t count = 0;
    for (int round = 0; round < 5; round++) {
        struct made made = {0};
        made_traffic(&made, &layout, 700, 20);
        made_exact(&made);
        struct fc_scan scan = {.bytes = made.bytes, .length = made.length, .layout = layout};
        CHECK_IS(fc_columns_fill(&columns, &scan, &stop), FC_OK);
        check_entries(&columns, count, &made, 0, &layout);
        count += 700;
        CHECK_IS(columns.count, count);
        made_free(&made);
    }
    fc_columns_free(&columns);
    fc_columns_free(&columns);
    CHECK(columns.count == 0 && columns.timestamps == NULL && columns.offsets == NULL);
}

static void damage_ends_the_columns_where_it_is(void) {
    struct fc_pcap_layout layout = layout_number(1);
    struct made whole = {0};
    made_traffic(&whole, &layout, 20, 40);
    for (size_t length = 0; length <= whole.length; length++) {
        struct made made = {.bytes = block_copy(whole.bytes, length), .length = length};
        struct fc_scan scan = {.bytes = made.bytes, .length = length, .layout = layout};
        struct fc_columns columns = {0};
        struct fc_pcap_record record;
        enum fc_scan_stop stop;
        check_about("cut at %zu", length);
        CHECK_IS(fc_columns_fill(&columns, &scan, &stop), FC_OK);
        size_t end = check_entries(&columns, 0, &made, 0, &layout);
        CHECK_IS(scan.offset, end);
        CHECK_IS(stop, reference_record(made.bytes, length, end, &layout, &record));
        fc_columns_free(&columns);
        made_free(&made);
    }
    made_free(&whole);
}

int main(void) {
    TEST(columns_have_every_record);
    TEST(a_second_fill_appends);
    TEST(damage_ends_the_columns_where_it_is);
    return check_result();
}
