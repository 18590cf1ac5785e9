/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames of a bench counted by their serials, beside a count made frame by frame; and files, whole,
 * cut and damaged.
 */
#include "check.h"
#include "serials.h"

#include <errno.h>
#include <unistd.h>

enum { BENCH = 77, MOST_THREADS = 5, FRAME = 60 };

static struct fc_generator made_for(uint32_t bench) {
    static const struct fc_generator_size smallest = {64, 1};
    struct fc_generator_settings settings = {.seed = 1,
                                             .bench = bench,
                                             .sizes = &smallest,
                                             .size_count = 1,
                                             .flows = 10,
                                             .tcp_percent = 50};
    struct fc_generator generator;
    if (!CHECK_IS(fc_generator_init(&generator, &settings), FC_OK))
        abort();
    return generator;
}

static void make_frame(uint32_t bench, uint64_t serial, int64_t ns, uint8_t *frame) {
    struct fc_generator generator = made_for(bench);
    fc_generator_prepare(&generator, frame);
    fc_generator_write(&generator, serial, ns, frame);
}

static void note(struct fc_serials *serials, uint32_t bench, uint64_t serial, int64_t ns) {
    static uint8_t frame[FC_GENERATOR_ROOM];
    make_frame(bench, serial, ns, frame);
    fc_serials_note(serials, frame, FRAME);
}

static void check_sum(const struct fc_serials *serials) {
    CHECK_IS(serials->frames, serials->distinct + serials->duplicates + serials->never_sent +
                                  serials->other_benches + serials->foreign);
}

static void counts_are_those_of_a_count_frame_by_frame(void) {
    for (int round = 0; round < 200; round++) {
        uint64_t sent[MOST_THREADS];
        uint32_t threads = 1 + random_below(MOST_THREADS);
        uint8_t seen[1000] = {0};
        struct fc_serials serials;
        struct fc_serials expected = {0};
        for (uint32_t i = 0; i < threads; i++)
            sent[i] = random_below(100);
        CHECK_IS(fc_serials_open(&serials, BENCH, sent, threads), FC_OK);
        for (uint32_t frames = random_below(300); frames > 0; frames--) {
            uint32_t serial = random_below(120 * threads);
            int64_t ns = (int64_t)random32() - 1000;
            note(&serials, BENCH, serial, ns);
            if (serial / threads >= sent[serial % threads]) {
                expected.never_sent++;
            } else if (seen[serial]++) {
                expected.duplicates++;
            } else {
                bool first = expected.distinct++ == 0;
                if (first || serial > expected.highest)
                    expected.highest = serial;
                if (first || ns < expected.first_ns)
                    expected.first_ns = ns;
                if (first || ns > expected.last_ns)
                    expected.last_ns = ns;
            }
        }
        check_about("round %d, %u threads", round, threads);
        CHECK_IS(serials.distinct, expected.distinct);
        CHECK_IS(serials.duplicates, expected.duplicates);
        CHECK_IS(serials.never_sent, expected.never_sent);
        CHECK_IS(serials.highest, expected.highest);
        CHECK_IS(serials.first_ns, expected.first_ns);
        CHECK_IS(serials.last_ns, expected.last_ns);
        check_sum(&serials);
        fc_serials_close(&serials);
    }
}

/* What a frame claims leads nowhere. */
static void serials_that_nobody_sent_are_counted_apart_however_large(void) {
    const uint64_t sent[2] = {64, 63};
    struct fc_serials serials;
    CHECK_IS(fc_serials_open(&serials, BENCH, sent, 2), FC_OK);
    note(&serials, BENCH, 126, 0);
    CHECK_IS(serials.distinct, 1);
    static const uint64_t wrong[] = {
        127, 128, 129, 191, 192, 1 << 20, UINT64_C(1) << 63, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        note(&serials, BENCH, wrong[i], 0);
    CHECK_IS(serials.never_sent, sizeof wrong / sizeof *wrong);
    CHECK_IS(serials.distinct, 1);
    CHECK_IS(serials.highest, 126);
    fc_serials_close(&serials);
    fc_serials_close(&serials);
}

static void frames_of_others_are_counted_apart(void) {
    const uint64_t sent = 10;
    struct fc_serials serials;
    uint8_t frame[FC_GENERATOR_ROOM];
    CHECK_IS(fc_serials_open(&serials, BENCH, &sent, 1), FC_OK);
    note(&serials, BENCH + 1, 3, 0);
    CHECK_IS(serials.other_benches, 1);
    make_frame(BENCH, 3, 0, frame);
    for (size_t length = 0; length < FRAME; length++) {
        uint8_t *cut = block_copy(frame, length);
        fc_serials_note(&serials, cut, length);
        free(cut);
    }
    CHECK_IS(serials.foreign, FRAME);
    CHECK_IS(serials.distinct, 0);
    check_sum(&serials);
    fc_serials_close(&serials);
}

static void more_than_can_be_counted_is_refused(void) {
    static const uint64_t many[2] = {(UINT64_C(1) << 35) + 1, 0};
    static const uint64_t all[2] = {UINT64_MAX, UINT64_MAX};
    struct fc_serials serials;
    CHECK_IS(fc_serials_open(&serials, BENCH, many, 2), FC_ERROR_ARGUMENT);
    CHECK_IS(fc_serials_open(&serials, BENCH, all, 2), FC_ERROR_ARGUMENT);
    CHECK_IS(fc_serials_open(&serials, BENCH, all, 0), FC_ERROR_ARGUMENT);
    fc_serials_close(&serials);
}

/* ---- Files --------------------------------------------------------------------------------- */

/* Frames 0 to count - 1, and after every third one a frame of nobody's with `noise` bytes. */
static void make_records(struct made *made, bool swapped, uint32_t count, uint32_t noise) {
    uint8_t frame[FC_GENERATOR_ROOM];
    struct fc_generator generator = made_for(BENCH);
    fc_generator_prepare(&generator, frame);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t length = fc_generator_write(&generator, i, i, frame);
        made_header(made, swapped, 1700000000, 5, length, length);
        made_append(made, frame, length);
        if (i % 3 == 2)
            made_record(made, swapped, 1700000000, 5, noise, noise);
    }
}

static int file_of(const uint8_t *bytes, size_t length) {
    char name[] = "serials-XXXXXX";
    int fd = mkstemp(name);
    if (fd < 0 || write(fd, bytes, length) != (ssize_t)length || lseek(fd, 0, SEEK_SET) != 0)
        abort();
    unlink(name);
    return fd;
}

static struct fc_serials read_bytes(const struct made *made, size_t length, uint64_t sent,
                                    const struct fc_pcap_layout *layout,
                                    struct fc_serials_walk *walk) {
    struct fc_serials serials;
    int fd = file_of(made->bytes, length);
    CHECK_IS(fc_serials_open(&serials, BENCH, &sent, 1), FC_OK);
    CHECK_IS(fc_serials_read(&serials, fd, layout, NULL, walk), FC_OK);
    close(fd);
    check_sum(&serials);
    return serials;
}

/* The file is many windows long, and records lie across their ends. */
static void a_long_file_is_read_to_its_end(void) {
    const uint32_t count = 30000;
    for (uint32_t number = 0; number < 4; number++) {
        struct fc_pcap_layout layout = layout_number(number);
        struct fc_serials_walk walk;
        struct made made = {0};
        make_records(&made, layout.swapped, count, 271);
        struct fc_serials serials = read_bytes(&made, made.length, count + 5, &layout, &walk);
        check_about("layout %u", number);
        CHECK_IS(walk.stop, FC_SCAN_END);
        CHECK_IS(walk.bytes, made.length);
        CHECK_IS(serials.distinct, count);
        CHECK_IS(serials.duplicates, 0);
        CHECK_IS(serials.foreign, count / 3);
        CHECK_IS(serials.highest, count - 1);
        CHECK_IS(serials.last_ns, count - 1);
        fc_serials_close(&serials);
        made_free(&made);
    }
}

static void the_longest_records_fit(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct fc_serials_walk walk;
    struct made made = {0};
    make_records(&made, layout.swapped, 12, FC_SERIALS_LONGEST_FRAME);
    struct fc_serials serials = read_bytes(&made, made.length, 12, &layout, &walk);
    CHECK_IS(walk.stop, FC_SCAN_END);
    CHECK_IS(serials.distinct, 12);
    CHECK_IS(serials.foreign, 4);
    fc_serials_close(&serials);
    made_free(&made);
}

static void a_file_that_is_cut_is_counted_up_to_its_last_whole_record(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct made made = {0};
    make_records(&made, layout.swapped, 9, 30);
    for (size_t length = 0; length <= made.length; length++) {
        struct fc_serials_walk walk;
        struct fc_serials serials = read_bytes(&made, length, 9, &layout, &walk);
        struct fc_scan scan = {.bytes = made.bytes, .length = length, .layout = layout};
        struct fc_pcap_record record;
        uint64_t whole = 0;
        enum fc_scan_stop stop;
        while ((stop = fc_scan_next(&scan, false, &record)) == FC_SCAN_RECORD)
            whole++;
        check_about("cut at %zu", length);
        CHECK_IS(serials.frames, whole);
        CHECK_IS(walk.stop, stop);
        CHECK_IS(walk.bytes, scan.offset);
        fc_serials_close(&serials);
    }
    made_free(&made);
}

static void damage_ends_a_file_where_it_is(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct fc_serials_walk walk;
    struct made made = {0};
    make_records(&made, layout.swapped, 3, 30);
    size_t there = made.length;
    made_header(&made, layout.swapped, 1, 2, layout.max_captured + 1, 4);
    make_records(&made, layout.swapped, 3, 30);
    struct fc_serials serials = read_bytes(&made, made.length, 9, &layout, &walk);
    CHECK_IS(walk.stop, FC_SCAN_TOO_LONG);
    CHECK_IS(walk.bytes, there);
    CHECK_IS(serials.frames, 4);
    fc_serials_close(&serials);
    made_free(&made);
}

/* libpcap cuts frames at the snaplen of their file, so the bytes behind it are not there. */
static void bytes_behind_the_snaplen_do_not_count(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct fc_serials_walk walk;
    struct made made = {0};
    make_records(&made, layout.swapped, 2, 30);
    layout.snaplen = FRAME - 1;
    struct fc_serials serials = read_bytes(&made, made.length, 9, &layout, &walk);
    CHECK_IS(serials.foreign, 2);
    fc_serials_close(&serials);
    made_free(&made);
}

static void what_cannot_be_read_is_an_error(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct fc_cancel cancel = {0};
    struct fc_serials_walk walk;
    struct fc_serials serials;
    const uint64_t sent = 1;
    CHECK_IS(fc_serials_open(&serials, BENCH, &sent, 1), FC_OK);
    CHECK_IS(fc_serials_read(&serials, -1, &layout, &cancel, &walk), FC_ERROR_SYSTEM);
    CHECK_IS(errno, EBADF);
    fc_cancel_set(&cancel);
    CHECK_IS(fc_serials_read(&serials, -1, &layout, &cancel, &walk), FC_ERROR_CANCELLED);
    layout.max_captured = FC_SERIALS_LONGEST_FRAME + 1;
    CHECK_IS(fc_serials_read(&serials, -1, &layout, NULL, &walk), FC_ERROR_ARGUMENT);
    CHECK_IS(serials.frames, 0);
    fc_serials_close(&serials);
}

int main(int count, char **arguments) {
    random_seed(random_seed_argument(count, arguments));
    TEST(counts_are_those_of_a_count_frame_by_frame);
    TEST(serials_that_nobody_sent_are_counted_apart_however_large);
    TEST(frames_of_others_are_counted_apart);
    TEST(more_than_can_be_counted_is_refused);
    TEST(a_long_file_is_read_to_its_end);
    TEST(the_longest_records_fit);
    TEST(a_file_that_is_cut_is_counted_up_to_its_last_whole_record);
    TEST(damage_ends_a_file_where_it_is);
    TEST(bytes_behind_the_snaplen_do_not_count);
    TEST(what_cannot_be_read_is_an_error);
    return check_result();
}
