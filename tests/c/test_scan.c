/* SPDX-License-Identifier: Apache-2.0
 *
 * The walk over records, with bytes that lie: every reason to stop, at its exact offset, and never
 * a read outside. All bytes lie at the end of a block of their own, where ASAN guards them.
 */
#include "check.h"
#include "reference.h"
#include "scan.h"

enum { LAYOUTS = 4 };

static struct fc_scan scan_of(const struct made *made, struct fc_pcap_layout layout) {
    return (struct fc_scan){.bytes = made->bytes, .length = made->length, .layout = layout};
}

static enum fc_scan_stop next(struct fc_scan *scan, struct fc_pcap_record *record) {
    return fc_scan_next(scan, scan->layout.swapped, record);
}

/* Reads `records` records, then stops for `stop` at `offset`, and again when asked again. */
static void check_walk(const struct made *made, struct fc_pcap_layout layout, size_t records,
                       enum fc_scan_stop stop, size_t offset) {
    struct fc_scan scan = scan_of(made, layout);
    struct fc_pcap_record record;
    for (size_t i = 0; i < records; i++)
        CHECK_IS(next(&scan, &record), FC_SCAN_RECORD);
    for (int again = 0; again < 2; again++) {
        CHECK_IS(next(&scan, &record), stop);
        CHECK_IS(scan.offset, offset);
    }
}

static void empty_input_ends_at_once(void) {
    struct made made = {0};
    for (uint32_t number = 0; number < LAYOUTS; number++)
        check_walk(&made, layout_number(number), 0, FC_SCAN_END, 0);
    made_exact(&made);
    for (uint32_t number = 0; number < LAYOUTS; number++)
        check_walk(&made, layout_number(number), 0, FC_SCAN_END, 0);
    made_free(&made);
}

static void fields_and_frames_come_out_as_they_went_in(void) {
    const struct fc_pcap_record records[] = {
        {0, 0, 0, 1},
        {1, 2, 3, 4},
        {0x01020304, 999999, 60, 60},
        {UINT32_MAX, UINT32_MAX, 0, UINT32_MAX},
        {5, 0, 1, 0}, /* fewer bytes on the wire than captured: odd, and not ours to judge */
        {1700000000, 123456, 1514, 9000},
    };
    enum { COUNT = sizeof records / sizeof *records };
    for (uint32_t number = 0; number < LAYOUTS; number++) {
        struct fc_pcap_layout layout = layout_number(number);
        struct made made = {0};
        for (size_t i = 0; i < COUNT; i++) {
            made_header(&made, layout.swapped, records[i].seconds, records[i].fraction,
                        records[i].captured, records[i].wire);
            memset(made_room(&made, records[i].captured), (int)i + 1, records[i].captured);
        }
        made_exact(&made);
        struct fc_scan scan = scan_of(&made, layout);
        size_t offset = 0;
        for (size_t i = 0; i < COUNT; i++) {
            struct fc_pcap_record record;
            check_about("layout %u, record %zu", number, i);
            CHECK_IS(next(&scan, &record), FC_SCAN_RECORD);
            CHECK(memcmp(&record, &records[i], sizeof record) == 0);
            offset += 16 + (size_t)record.captured;
            CHECK_IS(scan.offset, offset);
            for (uint32_t byte = 0; byte < record.captured; byte++)
                CHECK_IS(scan.bytes[scan.offset - record.captured + byte], i + 1);
            CHECK_IS(fc_pcap_nanoseconds(&record, layout.nanoseconds),
                     reference_nanoseconds(&records[i], layout.nanoseconds));
        }
        check_walk(&made, layout, COUNT, FC_SCAN_END, made.length);
        made_free(&made);
    }
}

/* The second record is cut at every byte there is. */
static void a_cut_stops_where_the_record_starts(void) {
    enum { FIRST = 16 + 10, SECOND = 16 + 30 };
    for (uint32_t number = 0; number < LAYOUTS; number++) {
        for (size_t left = 0; left <= SECOND; left++) {
            struct fc_pcap_layout layout = layout_number(number);
            struct made made = {0};
            made_record(&made, layout.swapped, 1, 2, 10, 10);
            made_record(&made, layout.swapped, 1, 3, 30, 30);
            made.length = FIRST + left;
            made_exact(&made);
            check_about("layout %u, %zu bytes of the second record", number, left);
            if (left == 0)
                check_walk(&made, layout, 1, FC_SCAN_END, FIRST);
            else if (left < 16)
                check_walk(&made, layout, 1, FC_SCAN_CUT_HEADER, FIRST);
            else if (left < SECOND)
                check_walk(&made, layout, 1, FC_SCAN_CUT_FRAME, FIRST);
            else
                check_walk(&made, layout, 2, FC_SCAN_END, FIRST + SECOND);
            made_free(&made);
        }
    }
}

/* Whatever follows: nothing, less than the frame, or all of it. */
static void a_captured_length_above_the_most_is_damage(void) {
    const uint32_t lengths[] = {65, 66, 0x7fffffff, 0x80000000, UINT32_MAX - 15, UINT32_MAX};
    for (uint32_t number = 0; number < LAYOUTS; number++) {
        struct fc_pcap_layout layout = layout_number(number);
        layout.max_captured = 64;
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            for (size_t behind = 0; behind <= 80; behind += 8) {
                struct made made = {0};
                made_record(&made, layout.swapped, 1, 2, 64, 64); /* the most is allowed */
                made_header(&made, layout.swapped, 1, 2, lengths[i], lengths[i]);
                memset(made_room(&made, behind), 1, behind);
                made_exact(&made);
                check_about("layout %u, captured length %u", number, lengths[i]);
                check_walk(&made, layout, 1, FC_SCAN_TOO_LONG, 80);
                made_free(&made);
            }
        }
    }
}

/* With no bound but 32 bits, adding up lengths must not wrap either. */
static void the_longest_captured_lengths_are_cut_frames(void) {
    const uint32_t lengths[] = {17, 0x7fffffff, 0x80000000, UINT32_MAX - 15, UINT32_MAX};
    for (uint32_t number = 0; number < LAYOUTS; number++) {
        struct fc_pcap_layout layout = layout_number(number);
        layout.max_captured = UINT32_MAX;
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            struct made made = {0};
            made_header(&made, layout.swapped, 0, 0, lengths[i], 0);
            memset(made_room(&made, 16), 0, 16);
            made_exact(&made);
            check_about("layout %u, captured length %u", number, lengths[i]);
            check_walk(&made, layout, 0, FC_SCAN_CUT_FRAME, 0);
            made_free(&made);
        }
    }
}

static void a_header_of_zeros_is_a_hole(void) {
    for (uint32_t number = 0; number < LAYOUTS; number++) {
        for (size_t behind = 0; behind < 40; behind++) {
            struct fc_pcap_layout layout = layout_number(number);
            struct made made = {0};
            made_record(&made, layout.swapped, 1, 2, 7, 7);
            memset(made_room(&made, 16 + behind), 0, 16 + behind);
            made_exact(&made);
            check_about("layout %u, %zu zeros behind", number, behind);
            check_walk(&made, layout, 1, FC_SCAN_ZEROS, 23);
            made_free(&made);
        }
    }
}

static void one_bit_in_a_header_of_zeros_makes_it_a_record(void) {
    for (size_t bit = 0; bit < 128; bit++) {
        struct fc_pcap_layout layout = layout_number(0);
        struct made made = {0};
        memset(made_room(&made, 16), 0, 16);
        made.bytes[bit / 8] = (uint8_t)(1u << bit % 8);
        made_exact(&made);
        check_about("bit %zu", bit);
        struct fc_pcap_record record;
        enum fc_scan_stop expected = reference_record(made.bytes, 16, 0, &layout, &record);
        CHECK((bit / 32 == 2) == (expected != FC_SCAN_RECORD));
        check_walk(&made, layout, expected == FC_SCAN_RECORD,
                   expected == FC_SCAN_RECORD ? FC_SCAN_END : expected,
                   expected == FC_SCAN_RECORD ? 16 : 0);
        made_free(&made);
    }
}

/* Small numbers more often than large ones, so that some of it is records. */
static void random_bytes_walk_as_the_reference_walks(void) {
    const uint32_t largest[] = {0, 1, 20, 40, UINT32_MAX};
    for (int round = 0; round < 20000; round++) {
        struct fc_pcap_layout layout = layout_number(random32());
        layout.max_captured = largest[random_below(5)];
        struct made made = {0};
        size_t length = random_below(200);
        while (made.length < length)
            made_number(&made, random_below(8) == 0 ? random32() : random_below(24),
                        layout.swapped);
        made.length = length;
        made_exact(&made);
        check_about("round %d", round);
        struct fc_scan scan = scan_of(&made, layout);
        size_t offset = 0;
        for (enum fc_scan_stop stop = FC_SCAN_RECORD; stop == FC_SCAN_RECORD;) {
            struct fc_pcap_record expected;
            struct fc_pcap_record record;
            stop = reference_record(made.bytes, made.length, offset, &layout, &expected);
            CHECK_IS(next(&scan, &record), stop);
            if (stop == FC_SCAN_RECORD) {
                CHECK(memcmp(&record, &expected, sizeof record) == 0);
                offset += 16 + (size_t)expected.captured;
            }
            CHECK_IS(scan.offset, offset);
        }
        made_free(&made);
    }
}

static void damage_has_a_text_and_the_rest_has_none(void) {
    CHECK(fc_scan_damage_text(FC_SCAN_RECORD) == NULL);
    CHECK(fc_scan_damage_text(FC_SCAN_END) == NULL);
    CHECK(fc_scan_damage_text(FC_SCAN_CALLER) == NULL);
    const enum fc_scan_stop damage[] = {FC_SCAN_CUT_HEADER, FC_SCAN_CUT_FRAME, FC_SCAN_TOO_LONG,
                                        FC_SCAN_ZEROS};
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        const char *text = fc_scan_damage_text(damage[i]);
        CHECK(text != NULL && strlen(text) > 0);
        CHECK_IS(fc_scan_is_cut(damage[i]),
                 damage[i] == FC_SCAN_CUT_HEADER || damage[i] == FC_SCAN_CUT_FRAME);
    }
    CHECK(!fc_scan_is_cut(FC_SCAN_END) && !fc_scan_is_cut(FC_SCAN_CALLER));
}

/* ---- fc_scan_take ------------------------------------------------------------------------ */

/* Three records of 20, 30 and 25 bytes; the second is the latest, the third the earliest. */
static struct made three_records(bool swapped) {
    struct made made = {0};
    made_record(&made, swapped, 10, 500, 4, 4);
    made_record(&made, swapped, 12, 600, 14, 14);
    made_record(&made, swapped, 9, 700, 9, 9);
    made_exact(&made);
    return made;
}

static void take_fills_the_room_and_no_more(void) {
    const struct {
        uint64_t room;
        bool at_least_one;
        uint64_t frames;
        size_t offset;
    } cases[] = {
        {0, false, 0, 0},           {0, true, 1, 20},          {19, false, 0, 0},
        {19, true, 1, 20},          {20, false, 1, 20},        {20, true, 1, 20},
        {49, false, 1, 20},         {49, true, 1, 20},         {50, false, 2, 50},
        {74, true, 2, 50},          {75, false, 3, 75},        {76, false, 3, 75},
        {UINT64_MAX, false, 3, 75}, {UINT64_MAX, true, 3, 75},
    };
    for (uint32_t number = 0; number < LAYOUTS; number++) {
        struct fc_pcap_layout layout = layout_number(number);
        struct made made = three_records(layout.swapped);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct fc_scan scan = scan_of(&made, layout);
            struct fc_scan_summary summary;
            memset(&summary, 0x55, sizeof summary);
            check_about("layout %u, case %zu", number, i);
            fc_scan_take(&scan, cases[i].room, cases[i].at_least_one, &summary);
            CHECK_IS(summary.frames, cases[i].frames);
            CHECK_IS(scan.offset, cases[i].offset);
            int64_t fraction = layout.nanoseconds ? 1 : 1000;
            if (cases[i].frames == 3)
                CHECK_IS(summary.first_ns, 9000000000 + 700 * fraction);
            if (cases[i].frames == 1)
                CHECK_IS(summary.first_ns, 10000000000 + 500 * fraction);
            if (cases[i].frames == 1)
                CHECK_IS(summary.last_ns, summary.first_ns);
            if (cases[i].frames > 1)
                CHECK_IS(summary.last_ns, 12000000000 + 600 * fraction);
        }
        made_free(&made);
    }
}

static void take_counts_its_room_from_where_it_starts(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct made made = three_records(layout.swapped);
    struct fc_scan_summary summary;
    struct fc_scan scan = scan_of(&made, layout);
    scan.offset = 20;
    fc_scan_take(&scan, 30, false, &summary);
    CHECK_IS(summary.frames, 1);
    CHECK_IS(scan.offset, 50);
    fc_scan_take(&scan, 24, false, &summary);
    CHECK_IS(summary.frames, 0);
    CHECK_IS(scan.offset, 50);
    fc_scan_take(&scan, 24, true, &summary);
    CHECK_IS(summary.frames, 1);
    CHECK_IS(scan.offset, 75);
    fc_scan_take(&scan, UINT64_MAX, true, &summary);
    CHECK_IS(summary.frames, 0);
    CHECK_IS(scan.offset, 75);
    made_free(&made);
}

static void take_stops_before_damage(void) {
    for (size_t cut = 51; cut < 75; cut++) {
        struct fc_pcap_layout layout = layout_number(0);
        struct made made = three_records(layout.swapped);
        made.length = cut;
        made_exact(&made);
        struct fc_scan scan = scan_of(&made, layout);
        struct fc_scan_summary summary;
        check_about("cut at %zu", cut);
        fc_scan_take(&scan, UINT64_MAX, true, &summary);
        CHECK_IS(summary.frames, 2);
        CHECK_IS(scan.offset, 50);
        made_free(&made);
    }
}

/* ---- fc_scan_guess ----------------------------------------------------------------------- */

enum { CHAIN = 24 /* headers in a row that must agree, as in scan.c */ };

static size_t guess(const struct made *made, struct fc_pcap_layout layout, size_t offset,
                    size_t within) {
    const struct fc_scan scan = scan_of(made, layout);
    return fc_scan_guess(&scan, offset, within);
}

/* Where the records of sound bytes start; and behind them, the end. */
static size_t starts_of(const struct made *made, struct fc_pcap_layout layout, size_t *starts) {
    struct fc_scan scan = scan_of(made, layout);
    struct fc_pcap_record record;
    size_t count = 0;
    do
        starts[count++] = scan.offset;
    while (next(&scan, &record) == FC_SCAN_RECORD);
    CHECK_IS(starts[count - 1], made->length);
    return count - 1;
}

/* The last header of the chain that begins with record number `first` of `count`. */
static size_t last_of_chain(const size_t *starts, size_t count, size_t first) {
    if (first + CHAIN <= count)
        return starts[first + CHAIN - 1];
    return count - first >= 2 ? starts[count - 1] : SIZE_MAX;
}

/* From every offset: the chain begins at the next start of a record. */
static void a_guess_gives_the_last_header_of_the_next_chain(void) {
    enum { RECORDS = 120 };
    for (uint32_t number = 0; number < LAYOUTS; number++) {
        struct fc_pcap_layout layout = layout_number(number);
        struct made made = {0};
        size_t starts[RECORDS + 1];
        made_traffic(&made, &layout, RECORDS, 200);
        made_exact(&made);
        CHECK_IS(starts_of(&made, layout, starts), RECORDS);
        size_t first = 0; /* the first record at or behind `offset` */
        for (size_t offset = 0; offset <= made.length; offset++) {
            first += offset > starts[first];
            check_about("layout %u, from %zu", number, offset);
            CHECK_IS(guess(&made, layout, offset, SIZE_MAX), last_of_chain(starts, RECORDS, first));
        }
        made_free(&made);
    }
}

static void made_noise(struct made *made, size_t length) {
    uint8_t *at = made_room(made, length);
    if (length > 0)
        memset(at, 0xff, length);
}

/* The chain may go on behind them. */
static void a_guess_looks_at_so_many_offsets_and_no_more(void) {
    struct fc_pcap_layout layout = layout_number(1);
    for (size_t noise = 0; noise < 40; noise++) {
        struct made made = {0};
        made_noise(&made, noise);
        for (uint32_t i = 0; i < CHAIN; i++)
            made_record(&made, true, 1700000000, i, 20, 60);
        made_exact(&made);
        check_about("behind %zu bytes of noise", noise);
        CHECK_IS(guess(&made, layout, 0, 0), SIZE_MAX);
        CHECK_IS(guess(&made, layout, 0, noise), SIZE_MAX);
        CHECK_IS(guess(&made, layout, 0, noise + 1), noise + (CHAIN - 1) * 36);
        CHECK_IS(guess(&made, layout, noise, 1), noise + (CHAIN - 1) * 36);
        made_free(&made);
    }
}

/* Without the 24th header there is none, but where the bytes end before it. */
static void a_chain_that_breaks_is_none(void) {
    struct fc_pcap_layout layout = layout_number(0);
    for (uint32_t records = 0; records <= CHAIN + 1; records++) {
        struct made made = {0};
        for (uint32_t i = 0; i < records; i++)
            made_record(&made, false, 1700000000, i, 20, 60);
        check_about("%u records, then the end", records);
        size_t last = records < CHAIN ? records : CHAIN;
        CHECK_IS(guess(&made, layout, 0, 1), records < 2 ? SIZE_MAX : (last - 1) * 36);
        made_noise(&made, 100);
        made_exact(&made);
        check_about("%u records, then noise", records);
        CHECK_IS(guess(&made, layout, 0, SIZE_MAX), records < CHAIN ? SIZE_MAX : (CHAIN - 1) * 36);
        made_free(&made);
    }
}

/* A frame that holds noise, `fakes` records, and `behind` bytes of noise once more. */
static void made_carrier(struct made *made, const struct fc_pcap_layout *layout, uint32_t fakes,
                         uint32_t behind) {
    enum { BEFORE = 33, FAKE = 16 + 28 };
    made_header(made, layout->swapped, 1700000000, 7, BEFORE + fakes * FAKE + behind, 9000);
    made_noise(made, BEFORE);
    for (uint32_t i = 0; i < fakes; i++)
        made_record(made, layout->swapped, 1700000000 + i, i, FAKE - 16, FAKE);
    made_noise(made, behind);
}

/* A capture inside a frame: its chain runs into the true one at the frame's end, or breaks there;
 * either way the guess is the start of a true record. Only a chain that is whole in the frame
 * deceives. */
static void a_chain_inside_a_frame_leads_to_a_true_record(void) {
    for (uint32_t fakes = 1; fakes < 30; fakes++) {
        for (uint32_t behind = 0; behind < 6; behind += 5) {
            struct fc_pcap_layout layout = layout_number(fakes);
            struct made made = {0};
            size_t starts[100];
            made_traffic(&made, &layout, 3, 100);
            size_t carrier = made.length;
            made_carrier(&made, &layout, fakes, behind);
            size_t end = made.length;
            made_traffic(&made, &layout, 60, 100);
            made_exact(&made);
            CHECK_IS(starts_of(&made, layout, starts), 64);
            check_about("%u records in a frame, %u bytes behind", fakes, behind);
            size_t found = guess(&made, layout, carrier + 1, SIZE_MAX);
            if (fakes >= CHAIN)
                CHECK(found > carrier && found < end);
            else
                CHECK_IS(found, starts[4 + CHAIN - 1 - (behind == 0 ? fakes : 0)]);
            made_free(&made);
        }
    }
}

static void a_guess_bears_pauses_and_steps_back_of_an_hour(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct made made = {0};
    made_noise(&made, 11);
    for (uint32_t i = 0; i < 40; i++)
        made_record(&made, false, 1700000000 + (i % 3) * 3600, i, 20, 60);
    made_exact(&made);
    CHECK_IS(guess(&made, layout, 0, SIZE_MAX), 11 + (CHAIN - 1) * 36);
    made_free(&made);
}

static void no_record_is_guessed_in_noise(void) {
    enum { LENGTH = 1 << 16 };
    for (uint32_t number = 0; number < LAYOUTS; number++) {
        struct made made = {0};
        uint8_t *bytes = made_room(&made, LENGTH);
        made_exact(&made);
        bytes = made.bytes;
        struct fc_pcap_layout layout = layout_number(number);
        check_about("layout %u", number);
        random_fill(bytes, LENGTH);
        CHECK_IS(guess(&made, layout, 0, SIZE_MAX), SIZE_MAX);
        memset(bytes, 0, LENGTH);
        CHECK_IS(guess(&made, layout, 0, SIZE_MAX), SIZE_MAX);
        memset(bytes, 0xff, LENGTH);
        CHECK_IS(guess(&made, layout, 0, SIZE_MAX), SIZE_MAX);
        memset(bytes, 'A', LENGTH);
        CHECK_IS(guess(&made, layout, 0, SIZE_MAX), SIZE_MAX);
        made_free(&made);
    }
}

/* Bytes that look like headers all the way, and lengths up to the largest that is allowed. */
static void a_guess_stays_within_the_bytes(void) {
    const uint32_t largest[] = {0, 64, 262144, UINT32_MAX};
    for (int round = 0; round < 4000; round++) {
        struct fc_pcap_layout layout = layout_number(random32());
        layout.max_captured = largest[random_below(4)];
        struct made made = {0};
        size_t length = random_below(120);
        while (made.length < length)
            made_number(&made, random_below(16) == 0 ? random32() : random_below(40),
                        layout.swapped);
        made.length = length;
        made_exact(&made);
        for (size_t offset = 0; offset <= length + 20; offset++) {
            check_about("round %d, from %zu of %zu", round, offset, length);
            size_t found = guess(&made, layout, offset, random_below(2) ? SIZE_MAX : 7);
            CHECK(found == SIZE_MAX || (found >= offset && found + 16 <= length));
        }
        CHECK_IS(guess(&made, layout, SIZE_MAX, SIZE_MAX), SIZE_MAX);
        CHECK_IS(guess(&made, layout, SIZE_MAX - 15, SIZE_MAX), SIZE_MAX);
        made_free(&made);
    }
}

int main(void) {
    TEST(empty_input_ends_at_once);
    TEST(fields_and_frames_come_out_as_they_went_in);
    TEST(a_cut_stops_where_the_record_starts);
    TEST(a_captured_length_above_the_most_is_damage);
    TEST(the_longest_captured_lengths_are_cut_frames);
    TEST(a_header_of_zeros_is_a_hole);
    TEST(one_bit_in_a_header_of_zeros_makes_it_a_record);
    TEST(random_bytes_walk_as_the_reference_walks);
    TEST(damage_has_a_text_and_the_rest_has_none);
    TEST(take_fills_the_room_and_no_more);
    TEST(take_counts_its_room_from_where_it_starts);
    TEST(take_stops_before_damage);
    TEST(a_guess_gives_the_last_header_of_the_next_chain);
    TEST(a_guess_looks_at_so_many_offsets_and_no_more);
    TEST(a_chain_that_breaks_is_none);
    TEST(a_chain_inside_a_frame_leads_to_a_true_record);
    TEST(a_guess_bears_pauses_and_steps_back_of_an_hour);
    TEST(no_record_is_guessed_in_noise);
    TEST(a_guess_stays_within_the_bytes);
    return check_result();
}
