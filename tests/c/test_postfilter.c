/* SPDX-License-Identifier: Apache-2.0
 *
 * The offline loop: ranges of a file give together what the bytes in memory give at once, however
 * the file is split, whatever pread returns, and with records longer than a window. Every result
 * is compared with a slow walk, and errors leave nothing to free.
 */
#include "check.h"
#include "postfilter.h"
#include "reference.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { WINDOW = 1 << 20 }; /* as in postfilter.c: the sizes around it are the interesting ones */

/* ---- A pread that misbehaves ------------------------------------------------------------- */

static struct {
    size_t most;      /* bytes a call gives; 0 for all */
    int interrupts;   /* calls that fail with EINTR first */
    int calls_to_eio; /* calls until one fails with EIO; 0 for never */
    struct fc_cancel *cancel_on_read;
} trouble;

/* Takes the place of the C library's in this program. */
ssize_t pread(int fd, void *to, size_t size, off_t offset) {
    if (trouble.cancel_on_read)
        fc_cancel_set(trouble.cancel_on_read);
    if (trouble.interrupts > 0) {
        trouble.interrupts--;
        errno = EINTR;
        return -1;
    }
    if (trouble.calls_to_eio > 0 && --trouble.calls_to_eio == 0) {
        errno = EIO;
        return -1;
    }
    if (trouble.most > 0 && size > trouble.most)
        size = trouble.most;
    if (lseek(fd, offset, SEEK_SET) < 0)
        return -1;
    return read(fd, to, size);
}

/* ---- Files and what is expected of them -------------------------------------------------- */

static int file_of(const struct made *made) {
    FILE *stream = tmpfile();
    if (!stream)
        abort();
    int fd = dup(fileno(stream));
    fclose(stream);
    for (size_t done = 0; done < made->length;) {
        ssize_t wrote = write(fd, made->bytes + done, made->length - done);
        if (wrote < 0)
            abort();
        done += (size_t)wrote;
    }
    return fd;
}

static struct fc_postfilter postfilter_of(struct fc_pcap_layout layout,
                                          const struct fc_program *program) {
    return (struct fc_postfilter){
        .convert = {.from = layout, .to = layout},
        .program = program,
        .limit = UINT64_MAX,
        .keep = true,
    };
}

/* About one frame in three, by its first byte; none that is empty. */
static const struct fc_instruction some_frames[] = {
    {.code = 0x30, .k = 0, .on_false = 4},
    {.code = 0x94, .k = 3},
    {.code = 0x15, .k = 1, .on_true = 0, .on_false = 2},
    {.code = FC_LD_CAPTURED},
    {.code = 0x16},
    {.code = 0x06, .k = 0},
};

static struct fc_program *some_program(void) {
    struct fc_program *program;
    size_t bad;
    if (fc_program_new(
            &(struct fc_program_source){.instructions = some_frames, .count = COUNT(some_frames)},
            &program, &bad) != FC_OK)
        abort();
    return program;
}

/* What a postfilter must find in `length` bytes, by the slow walk; owns `output`. */
struct expected {
    uint64_t frames_read;
    struct fc_scan_summary matched;
    uint64_t end;
    enum fc_scan_stop stop;
    struct made output;
};

static struct expected expect(const struct fc_postfilter *postfilter, const uint8_t *bytes,
                              size_t length) {
    const struct fc_pcap_layout *from = &postfilter->convert.from;
    struct expected expected = {.stop = FC_SCAN_CALLER};
    while (expected.matched.frames < postfilter->limit) {
        struct fc_pcap_record record;
        expected.stop = reference_record(bytes, length, expected.end, from, &record);
        if (expected.stop != FC_SCAN_RECORD)
            return expected;
        const uint8_t *at = bytes + expected.end;
        uint32_t captured = record.captured < from->snaplen ? record.captured : from->snaplen;
        expected.frames_read++;
        expected.end += 16 + (uint64_t)record.captured;
        if (postfilter->program &&
            reference_run(&(struct fc_program_source){.instructions = some_frames,
                                                      .count = COUNT(some_frames)},
                          at + 16, captured, record.wire) == 0)
            continue;
        int64_t ns = reference_nanoseconds(&record, from->nanoseconds);
        if (postfilter->keep && !postfilter->convert.to.nanoseconds)
            ns = ns / 1000 * 1000;
        struct fc_scan_summary *matched = &expected.matched;
        matched->first_ns = matched->frames == 0 || ns < matched->first_ns ? ns : matched->first_ns;
        matched->last_ns = matched->frames == 0 || ns > matched->last_ns ? ns : matched->last_ns;
        matched->frames++;
        if (postfilter->keep) {
            size_t size = 16 + (size_t)record.captured;
            uint8_t *to = made_room(&expected.output, size);
            size_t used = reference_convert(at, from, to, &postfilter->convert.to);
            expected.output.length -= size - used;
        }
    }
    expected.stop = expected.end == length ? FC_SCAN_END : FC_SCAN_CALLER;
    return expected;
}

static void check_summary(const struct fc_scan_summary *actual,
                          const struct fc_scan_summary *expected) {
    CHECK_IS(actual->frames, expected->frames);
    if (expected->frames > 0) {
        CHECK_IS(actual->first_ns, expected->first_ns);
        CHECK_IS(actual->last_ns, expected->last_ns);
    }
}

static void check_bytes_equal(const uint8_t *actual, size_t length, const struct made *expected) {
    if (CHECK_IS(length, expected->length) && length > 0)
        CHECK(memcmp(actual, expected->bytes, length) == 0);
}

static void check_in_memory(const struct fc_postfilter *postfilter, const uint8_t *bytes,
                            size_t length) {
    struct expected expected = expect(postfilter, bytes, length);
    struct fc_postfilter_result result;
    memset(&result, 0x55, sizeof result);
    CHECK_IS(fc_postfilter_bytes(postfilter, bytes, length, &result), FC_OK);
    CHECK_IS(result.frames_read, expected.frames_read);
    CHECK_IS(result.start, 0);
    CHECK_IS(result.end, expected.end);
    CHECK_IS(result.stop, expected.stop);
    check_summary(&result.matched, &expected.matched);
    check_bytes_equal(result.output.bytes, result.output.length, &expected.output);
    fc_buffer_free(&result.output);
    made_free(&expected.output);
}

/* Whole ranges say CALLER where bytes in memory say END. */
static enum fc_scan_stop as_range(enum fc_scan_stop stop) {
    return stop == FC_SCAN_END ? FC_SCAN_CALLER : stop;
}

/* Reads the file in ranges that end at `stops` (ascending, the last is the file's size), as a
 * caller does that joins them: with `guess` each range finds its own start, and is read again from
 * where the one before ended unless the two agree. */
static void check_ranges(const struct fc_postfilter *postfilter, int fd, const struct made *made,
                         const uint64_t *stops, size_t count, bool guess) {
    struct expected expected = expect(postfilter, made->bytes, made->length);
    struct made output = {0};
    struct fc_scan_summary matched = {0};
    uint64_t frames_read = 0;
    uint64_t end = 0;
    enum fc_scan_stop stop = FC_SCAN_CALLER;
    for (size_t i = 0; i < count && stop == FC_SCAN_CALLER; i++) {
        struct fc_postfilter_result result;
        if (end > stops[i])
            continue; /* a record of the range before covers this one */
        uint64_t start = guess && i > 0 ? stops[i - 1] : end;
        CHECK_IS(fc_postfilter_range(postfilter, fd, start, stops[i], made->length, guess && i > 0,
                                     &result),
                 FC_OK);
        CHECK(result.start >= start && result.start <= stops[i]);
        CHECK(result.start <= result.end && result.end <= made->length);
        if (result.start != end) {
            fc_buffer_free(&result.output);
            CHECK_IS(
                fc_postfilter_range(postfilter, fd, end, stops[i], made->length, false, &result),
                FC_OK);
            CHECK_IS(result.start, end);
        }
        CHECK(result.stop != FC_SCAN_CALLER || result.end >= stops[i]);
        if (result.matched.frames > 0) {
            bool first = matched.frames == 0;
            if (first || result.matched.first_ns < matched.first_ns)
                matched.first_ns = result.matched.first_ns;
            if (first || result.matched.last_ns > matched.last_ns)
                matched.last_ns = result.matched.last_ns;
            matched.frames += result.matched.frames;
        }
        made_append(&output, result.output.bytes, result.output.length);
        fc_buffer_free(&result.output);
        frames_read += result.frames_read;
        end = result.end;
        stop = result.stop;
    }
    CHECK_IS(frames_read, expected.frames_read);
    CHECK_IS(end, expected.end);
    CHECK_IS(stop, as_range(expected.stop));
    check_summary(&matched, &expected.matched);
    check_bytes_equal(output.bytes, output.length, &expected.output);
    made_free(&output);
    made_free(&expected.output);
}

static int compare_stops(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void check_random_splits(const struct fc_postfilter *postfilter, int fd,
                                const struct made *made, int rounds) {
    for (int round = 0; round < rounds; round++) {
        uint64_t stops[9];
        size_t count = 1 + random_below(COUNT(stops));
        for (size_t i = 0; i < count; i++)
            stops[i] = random_below((uint32_t)made->length + 1);
        stops[count - 1] = made->length;
        qsort(stops, count, sizeof *stops, compare_stops);
        check_ranges(postfilter, fd, made, stops, count, false);
        check_ranges(postfilter, fd, made, stops, count, true);
    }
}

/* ---- Bytes in memory --------------------------------------------------------------------- */

static void bytes_in_memory_give_what_the_reference_gives(void) {
    struct fc_program *program = some_program();
    for (uint32_t number = 0; number < 4; number++) {
        for (uint32_t variant = 0; variant < 16; variant++) {
            struct fc_pcap_layout layout = layout_number(number);
            struct fc_postfilter postfilter = postfilter_of(layout, variant & 1 ? program : NULL);
            struct made made = {0};
            made_traffic(&made, &layout, 500, 120);
            made_exact(&made);
            postfilter.keep = variant & 2;
            postfilter.convert.from.snaplen = variant & 4 ? 50 : layout.snaplen;
            postfilter.convert.to = layout_number(variant & 8 ? 3 - number : number);
            postfilter.convert.to.snaplen = variant & 8 ? 70 : layout.snaplen;
            check_about("layout %u, variant %u", number, variant);
            check_in_memory(&postfilter, made.bytes, made.length);
            made_free(&made);
        }
    }
    fc_program_free(program);
}

static void bytes_may_end_anywhere(void) {
    struct fc_program *program = some_program();
    struct fc_pcap_layout layout = layout_number(1);
    struct fc_postfilter postfilter = postfilter_of(layout, program);
    struct made made = {0};
    made_traffic(&made, &layout, 12, 40);
    for (size_t length = 0; length <= made.length; length++) {
        uint8_t *bytes = block_copy(made.bytes, length);
        check_about("%zu bytes", length);
        postfilter.program = NULL;
        check_in_memory(&postfilter, bytes, length);
        postfilter.program = program;
        check_in_memory(&postfilter, bytes, length);
        free(bytes);
    }
    postfilter.program = NULL;
    check_in_memory(&postfilter, NULL, 0);
    made_free(&made);
    fc_program_free(program);
}

/* Matches and misses in every pattern of eight, so runs begin and end everywhere. */
static void runs_of_matches_are_copied_whole(void) {
    struct fc_program *program = some_program();
    struct fc_pcap_layout layout = layout_number(0);
    for (uint32_t pattern = 0; pattern < 256; pattern++) {
        struct made made = {0};
        for (uint32_t i = 0; i < 8; i++) {
            made_record(&made, false, 100 + i, i, 1 + i * 9, 100);
            made.bytes[made.length - 1 - i * 9] = pattern >> i & 1 ? 4 : 5;
        }
        made_exact(&made);
        check_about("pattern 0x%x", pattern);
        struct fc_postfilter postfilter = postfilter_of(layout, program);
        check_in_memory(&postfilter, made.bytes, made.length);
        postfilter.convert.to.snaplen = 30; /* some runs are cut, some are not */
        check_in_memory(&postfilter, made.bytes, made.length);
        made_free(&made);
    }
    fc_program_free(program);
}

/* The program sees what libpcap shows: at most snaplen bytes. */
static void programs_see_no_more_than_the_snaplen(void) {
    const struct fc_instruction instructions[] = {
        {.code = 0x30, .k = 19, .on_false = 1}, {.code = 0x06, .k = 1}, {.code = 0x06, .k = 0}};
    struct fc_program *program;
    size_t bad;
    CHECK_IS(fc_program_new(&(struct fc_program_source){.instructions = instructions, .count = 3},
                            &program, &bad),
             FC_OK);
    for (uint32_t snaplen = 17; snaplen < 24; snaplen++) {
        struct fc_pcap_layout layout = layout_number(0);
        struct fc_postfilter_result result;
        struct made made = {0};
        made_record(&made, false, 1, 1, 21, 21);
        made_record(&made, false, 1, 1, 19, 21);
        made_exact(&made);
        layout.snaplen = snaplen;
        struct fc_postfilter postfilter = postfilter_of(layout, program);
        check_about("snaplen %u", snaplen);
        CHECK_IS(fc_postfilter_bytes(&postfilter, made.bytes, made.length, &result), FC_OK);
        CHECK_IS(result.frames_read, 2);
        CHECK_IS(result.matched.frames, snaplen >= 20);
        fc_buffer_free(&result.output);
        made_free(&made);
    }
    fc_program_free(program);
}

static void a_limit_stops_behind_the_last_match(void) {
    const uint64_t limits[] = {0, 1, 2, 7, 99, 100, 101, UINT64_MAX - 1, UINT64_MAX};
    struct fc_program *program = some_program();
    struct fc_pcap_layout layout = layout_number(2);
    struct made made = {0};
    made_traffic(&made, &layout, 100, 60);
    made_exact(&made);
    int fd = file_of(&made);
    for (size_t i = 0; i < COUNT(limits); i++) {
        for (int with = 0; with < 2; with++) {
            struct fc_postfilter postfilter = postfilter_of(layout, with ? program : NULL);
            postfilter.limit = limits[i];
            check_about("limit %" PRIu64 ", program %d", limits[i], with);
            check_in_memory(&postfilter, made.bytes, made.length);
            struct expected expected = expect(&postfilter, made.bytes, made.length);
            struct fc_postfilter_result result;
            CHECK_IS(
                fc_postfilter_range(&postfilter, fd, 0, made.length, made.length, false, &result),
                FC_OK);
            CHECK_IS(result.matched.frames, expected.matched.frames);
            CHECK_IS(result.end, expected.end);
            CHECK_IS(result.stop, FC_SCAN_CALLER);
            check_bytes_equal(result.output.bytes, result.output.length, &expected.output);
            fc_buffer_free(&result.output);
            made_free(&expected.output);
        }
    }
    close(fd);
    made_free(&made);
    fc_program_free(program);
}

static void a_limit_counts_over_windows(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct made made = {0};
    made_traffic(&made, &layout, 2000, 2500);
    int fd = file_of(&made);
    CHECK(made.length > 2 * WINDOW);
    struct fc_postfilter postfilter = postfilter_of(layout, NULL);
    postfilter.limit = 1900;
    struct expected expected = expect(&postfilter, made.bytes, made.length);
    struct fc_postfilter_result result;
    CHECK_IS(fc_postfilter_range(&postfilter, fd, 0, made.length, made.length, false, &result),
             FC_OK);
    CHECK_IS(result.frames_read, 1900);
    CHECK_IS(result.end, expected.end);
    check_bytes_equal(result.output.bytes, result.output.length, &expected.output);
    fc_buffer_free(&result.output);
    made_free(&expected.output);
    close(fd);
    made_free(&made);
}

/* ---- Ranges of a file -------------------------------------------------------------------- */

/* Records start in one range only, whichever byte the ranges meet at. */
static void two_ranges_meet_at_any_byte(void) {
    struct fc_program *program = some_program();
    struct fc_pcap_layout layout = layout_number(1);
    struct made made = {0};
    made_traffic(&made, &layout, 40, 40);
    made_exact(&made);
    int fd = file_of(&made);
    for (uint64_t split = 0; split <= made.length; split++) {
        const uint64_t stops[] = {split, made.length};
        const struct fc_postfilter postfilter = postfilter_of(layout, split % 2 ? program : NULL);
        check_about("split at %" PRIu64, split);
        check_ranges(&postfilter, fd, &made, stops, 2, false);
        check_ranges(&postfilter, fd, &made, stops, 2, true);
    }
    close(fd);
    made_free(&made);
    fc_program_free(program);
}

static void ranges_give_what_bytes_in_memory_give(void) {
    struct fc_program *program = some_program();
    for (uint32_t number = 0; number < 4; number++) {
        struct fc_pcap_layout layout = layout_number(number);
        struct made made = {0};
        made_traffic(&made, &layout, 5000, 1000);
        made_exact(&made);
        CHECK(made.length > 2 * WINDOW);
        int fd = file_of(&made);
        struct fc_postfilter postfilter = postfilter_of(layout, number % 2 ? program : NULL);
        postfilter.convert.to = layout_number((number + 1) % 4);
        check_about("layout %u", number);
        check_in_memory(&postfilter, made.bytes, made.length);
        check_random_splits(&postfilter, fd, &made, 4);
        close(fd);
        made_free(&made);
    }
    fc_program_free(program);
}

/* A record's end one byte before, at and behind each place where windows end. */
static void records_meet_the_ends_of_windows(void) {
    struct fc_pcap_layout layout = layout_number(0);
    layout.max_captured = layout.snaplen = 128 << 20;
    for (int first = -18; first <= 18; first++) {
        struct made made = {0};
        uint32_t captured = (uint32_t)(WINDOW - 16 + first);
        made_header(&made, false, 1, 1, captured, captured);
        memset(made_room(&made, captured), 0x33, captured);
        made_record(&made, false, 1, 2, 30, 30);
        made_record(&made, false, 1, 3, 40, 40);
        int fd = file_of(&made);
        const struct fc_postfilter postfilter = postfilter_of(layout, NULL);
        const uint64_t stops[] = {made.length};
        check_about("the first record ends at the window's end %+d", first);
        check_ranges(&postfilter, fd, &made, stops, 1, false);
        close(fd);
        made_free(&made);
    }
}

static void records_longer_than_a_window_are_read_whole(void) {
    const uint32_t longest[] = {2 * WINDOW - 17, 2 * WINDOW - 16, 2 * WINDOW - 15, 5000000};
    struct fc_program *program = some_program();
    struct fc_pcap_layout layout = layout_number(3);
    layout.max_captured = layout.snaplen = 128 << 20;
    struct made made = {0};
    for (size_t i = 0; i < COUNT(longest); i++) {
        made_traffic(&made, &layout, 10, 200);
        made_header(&made, true, 1700000000, 5, longest[i], longest[i]);
        memset(made_room(&made, longest[i]), 0x31, longest[i]); /* matches: 0x31 % 3 == 1 */
    }
    made_traffic(&made, &layout, 10, 200);
    int fd = file_of(&made);
    for (int with = 0; with < 2; with++) {
        struct fc_postfilter postfilter = postfilter_of(layout, with ? program : NULL);
        check_about("program %d", with);
        check_random_splits(&postfilter, fd, &made, 2);
        struct made cut = made;
        cut.length -= 4000000; /* inside the last long frame: all of it is read, to no avail */
        CHECK_IS(ftruncate(fd, (off_t)cut.length), 0);
        const uint64_t stops[] = {cut.length};
        check_ranges(&postfilter, fd, &cut, stops, 1, false);
        close(fd);
        fd = file_of(&made);
    }
    close(fd);
    made_free(&made);
    fc_program_free(program);
}

/* The longest frame that a link type allows (USB captures): 128 MiB, a hole in the file. */
static void the_longest_frame_there_is_can_be_read(void) {
    enum { LONGEST = 128 << 20 };
    struct fc_pcap_layout layout = layout_number(0);
    struct fc_postfilter_result result;
    layout.max_captured = LONGEST;
    struct made made = {0};
    made_header(&made, false, 1, 2, LONGEST, LONGEST);
    int fd = file_of(&made);
    uint64_t size = 16 + (uint64_t)LONGEST;
    CHECK_IS(ftruncate(fd, (off_t)size), 0);
    struct fc_postfilter postfilter = postfilter_of(layout, NULL);
    postfilter.keep = false;
    CHECK_IS(fc_postfilter_range(&postfilter, fd, 0, size, size, false, &result), FC_OK);
    CHECK_IS(result.frames_read, 1);
    CHECK_IS(result.matched.frames, 1);
    CHECK_IS(result.end, size);
    CHECK_IS(result.stop, FC_SCAN_CALLER);
    CHECK_IS(result.output.length, 0);
    close(fd);
    made_free(&made);
}

/* Damage at the same place, in every range that reaches it. */
static void damage_is_found_where_it_is(void) {
    for (uint32_t kind = 0; kind < 4; kind++) {
        struct fc_pcap_layout layout = layout_number(0);
        struct made made = {0};
        made_traffic(&made, &layout, 3000, 1000);
        size_t whole = made.length;
        switch (kind) {
        case 0: made_record(&made, false, 1, 1, 5, 5), made.length -= 1; break;
        case 1: made_header(&made, false, 1, 1, 5, 5), made.length -= 3; break;
        case 2: made_header(&made, false, 1, 1, layout.max_captured + 1, 5); break;
        case 3: memset(made_room(&made, 5000), 0, 5000); break;
        }
        made_exact(&made);
        int fd = file_of(&made);
        const enum fc_scan_stop stops[] = {FC_SCAN_CUT_FRAME, FC_SCAN_CUT_HEADER, FC_SCAN_TOO_LONG,
                                           FC_SCAN_ZEROS};
        const struct fc_postfilter postfilter = postfilter_of(layout, NULL);
        struct fc_postfilter_result result;
        check_about("kind %u", kind);
        CHECK_IS(fc_postfilter_range(&postfilter, fd, 0, made.length, made.length, false, &result),
                 FC_OK);
        CHECK_IS(result.stop, stops[kind]);
        CHECK_IS(result.end, whole);
        CHECK_IS(result.frames_read, 3000);
        fc_buffer_free(&result.output);
        check_random_splits(&postfilter, fd, &made, 3);
        close(fd);
        made_free(&made);
    }
}

static void an_empty_range_reads_nothing(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct made made = {0};
    made_traffic(&made, &layout, 10, 40);
    int fd = file_of(&made);
    const struct fc_postfilter postfilter = postfilter_of(layout, NULL);
    const uint64_t places[] = {0, 1, made.length};
    for (size_t i = 0; i < COUNT(places); i++) {
        for (int guess = 0; guess < 2; guess++) {
            struct fc_postfilter_result result;
            CHECK_IS(fc_postfilter_range(&postfilter, fd, places[i], places[i], made.length, guess,
                                         &result),
                     FC_OK);
            CHECK_IS(result.start, places[i]);
            CHECK_IS(result.end, places[i]);
            CHECK_IS(result.frames_read, 0);
            CHECK_IS(result.stop, FC_SCAN_CALLER);
            CHECK(result.output.bytes == NULL);
        }
    }
    close(fd);
    made_free(&made);
}

static void a_guess_starts_where_a_record_starts(void) {
    struct fc_pcap_layout layout = layout_number(1);
    struct made made = {0};
    made_traffic(&made, &layout, 3000, 1000);
    int fd = file_of(&made);
    const struct fc_postfilter postfilter = postfilter_of(layout, NULL);
    struct fc_postfilter_result result;
    struct fc_pcap_record record;
    uint64_t next = 0;
    for (uint64_t start = 0; start < made.length - WINDOW; start += 77777) {
        while (next < start) {
            CHECK_IS(reference_record(made.bytes, made.length, next, &layout, &record),
                     FC_SCAN_RECORD);
            next += 16 + (uint64_t)record.captured;
        }
        check_about("from %" PRIu64, start);
        CHECK_IS(
            fc_postfilter_range(&postfilter, fd, start, start + 5000, made.length, true, &result),
            FC_OK);
        CHECK_IS(result.start, next);
        CHECK(result.end >= start + 5000);
        fc_buffer_free(&result.output);
        /* A range that ends before the next record starts is not searched behind its end. */
        if (next > start) {
            CHECK_IS(fc_postfilter_range(&postfilter, fd, start, next, made.length, true, &result),
                     FC_OK);
            CHECK_IS(result.start, next);
            CHECK_IS(result.end, next);
            CHECK_IS(result.frames_read, 0);
            CHECK_IS(result.stop, FC_SCAN_CALLER);
        }
    }
    close(fd);
    made_free(&made);
}

static void a_guess_that_finds_nothing_starts_at_the_stop(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct made made = {0};
    memset(made_room(&made, 3 * WINDOW), 0xff, 3 * WINDOW);
    int fd = file_of(&made);
    const struct fc_postfilter postfilter = postfilter_of(layout, NULL);
    struct fc_postfilter_result result;
    CHECK_IS(fc_postfilter_range(&postfilter, fd, 5, 2 * WINDOW, made.length, true, &result),
             FC_OK);
    CHECK_IS(result.start, 2 * WINDOW);
    CHECK_IS(result.end, 2 * WINDOW);
    CHECK_IS(result.frames_read, 0);
    CHECK_IS(result.stop, FC_SCAN_CALLER);
    close(fd);
    made_free(&made);
}

/* ---- Errors ------------------------------------------------------------------------------ */

static void check_error(const struct fc_postfilter *postfilter, int fd, uint64_t start,
                        uint64_t stop, uint64_t size, bool guess, int expected) {
    struct fc_postfilter_result result;
    memset(&result, 0x55, sizeof result);
    CHECK_IS(fc_postfilter_range(postfilter, fd, start, stop, size, guess, &result), expected);
    CHECK(result.output.bytes == NULL && result.output.length == 0);
}

static void ranges_must_lie_in_the_file(void) {
    const struct fc_postfilter postfilter = postfilter_of(layout_number(0), NULL);
    for (int guess = 0; guess < 2; guess++) {
        check_error(&postfilter, -1, 2, 1, 3, guess, FC_ERROR_ARGUMENT);
        check_error(&postfilter, -1, 0, 4, 3, guess, FC_ERROR_ARGUMENT);
        check_error(&postfilter, -1, 4, 4, 3, guess, FC_ERROR_ARGUMENT);
        check_error(&postfilter, -1, 0, UINT64_MAX, 3, guess, FC_ERROR_ARGUMENT);
        check_error(&postfilter, -1, UINT64_MAX, 0, 3, guess, FC_ERROR_ARGUMENT);
    }
}

/* After the first window there is output to be freed. */
static void a_file_that_shrinks_is_an_error(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct made made = {0};
    made_traffic(&made, &layout, 3000, 1000);
    int fd = file_of(&made);
    const struct fc_postfilter postfilter = postfilter_of(layout, NULL);
    const uint64_t lengths[] = {0, 1, WINDOW - 1, WINDOW, WINDOW + 1, made.length - 1};
    for (size_t i = COUNT(lengths); i-- > 0;) {
        CHECK_IS(ftruncate(fd, (off_t)lengths[i]), 0);
        check_about("shrunk to %" PRIu64, lengths[i]);
        check_error(&postfilter, fd, 0, made.length, made.length, false, FC_ERROR_SHRUNK);
    }
    check_error(&postfilter, fd, 100, made.length, made.length, true, FC_ERROR_SHRUNK);
    check_error(&postfilter, fd, 0, UINT64_MAX / 4, UINT64_MAX / 4, false, FC_ERROR_SHRUNK);
    close(fd);
    made_free(&made);
}

static void a_failed_read_is_an_error(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct made made = {0};
    made_traffic(&made, &layout, 3000, 1000);
    int fd = file_of(&made);
    const struct fc_postfilter postfilter = postfilter_of(layout, NULL);
    for (int calls = 1; calls <= 2; calls++) {
        trouble.calls_to_eio = calls;
        errno = 0;
        check_error(&postfilter, fd, 0, made.length, made.length, false, FC_ERROR_SYSTEM);
        CHECK_IS(errno, EIO);
        trouble.calls_to_eio = calls;
        check_error(&postfilter, fd, 9, made.length, made.length, true, FC_ERROR_SYSTEM);
    }
    trouble.calls_to_eio = 0;
    close(fd);
    check_error(&postfilter, -1, 0, 100, 100, false, FC_ERROR_SYSTEM);
    CHECK_IS(errno, EBADF);
    made_free(&made);
}

static void short_and_interrupted_reads_go_on(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct made made = {0};
    made_traffic(&made, &layout, 2500, 1000);
    made_exact(&made);
    int fd = file_of(&made);
    const struct fc_postfilter postfilter = postfilter_of(layout, NULL);
    trouble.most = 1777;
    trouble.interrupts = 5;
    check_random_splits(&postfilter, fd, &made, 2);
    CHECK_IS(trouble.interrupts, 0);
    trouble.most = 0;
    close(fd);
    made_free(&made);
}

static void cancel_stops_and_frees(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct fc_postfilter_result result;
    struct fc_cancel cancel = {0};
    struct made made = {0};
    made_traffic(&made, &layout, 3000, 1000);
    made_exact(&made);
    int fd = file_of(&made);
    struct fc_postfilter postfilter = postfilter_of(layout, NULL);
    postfilter.cancel = &cancel;
    check_in_memory(&postfilter, made.bytes, made.length);
    trouble.cancel_on_read = &cancel; /* set while the first window is read */
    check_error(&postfilter, fd, 0, made.length, made.length, false, FC_ERROR_CANCELLED);
    trouble.cancel_on_read = NULL;
    CHECK(fc_cancel_is_set(&cancel));
    check_error(&postfilter, fd, 0, made.length, made.length, false, FC_ERROR_CANCELLED);
    check_error(&postfilter, fd, 9, made.length, made.length, true, FC_ERROR_CANCELLED);
    memset(&result, 0x55, sizeof result);
    CHECK_IS(fc_postfilter_bytes(&postfilter, made.bytes, made.length, &result),
             FC_ERROR_CANCELLED);
    CHECK(result.output.bytes == NULL && result.output.length == 0);
    CHECK(result.frames_read <= 2000); /* it looked long before the end */
    close(fd);
    made_free(&made);
}

/* ---- Memory that calls leave to each other ----------------------------------------------- */

static void calls_may_share_their_memory(void) {
    struct fc_program *program = some_program();
    struct fc_postfilter_memory memory = {0};
    for (int round = 0; round < 12; round++) {
        struct fc_pcap_layout layout = layout_number(random32());
        struct made made = {0};
        struct fc_postfilter_result result;
        made_traffic(&made, &layout, random_below(2) ? 20 : 3000, 1000);
        made_exact(&made);
        int fd = file_of(&made);
        struct fc_postfilter postfilter = postfilter_of(layout, program);
        struct expected expected = expect(&postfilter, made.bytes, made.length);
        postfilter.memory = &memory;
        check_about("round %d", round);
        if (round % 3 == 0)
            CHECK_IS(fc_postfilter_bytes(&postfilter, made.bytes, made.length, &result), FC_OK);
        else
            CHECK_IS(fc_postfilter_range(&postfilter, fd, 0, made.length, made.length,
                                         round % 3 == 1, &result),
                     FC_OK);
        CHECK_IS(result.start, 0);
        CHECK_IS(result.frames_read, expected.frames_read);
        CHECK_IS(result.end, expected.end);
        check_summary(&result.matched, &expected.matched);
        check_bytes_equal(result.output.bytes, result.output.length, &expected.output);
        CHECK(memory.output.bytes == NULL && memory.output.capacity == 0);
        CHECK(memory.window.bytes == NULL || memory.window.bytes != result.output.bytes);
        if (round % 2)
            memory.output = result.output; /* with what is in it */
        else
            fc_buffer_free(&result.output);
        made_free(&expected.output);
        close(fd);
        made_free(&made);
    }
    fc_buffer_free(&memory.window);
    fc_buffer_free(&memory.output);
    fc_program_free(program);
}

/* An error frees the output that was taken over, and gives back the window. */
static void errors_lose_no_memory(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct fc_postfilter_memory memory = {0};
    struct fc_cancel cancel = {0};
    struct made made = {0};
    made_traffic(&made, &layout, 3000, 1000);
    int fd = file_of(&made);
    struct fc_postfilter postfilter = postfilter_of(layout, NULL);
    postfilter.memory = &memory;
    for (int round = 0; round < 3; round++) {
        uint64_t size = made.length + 5000;
        CHECK_IS(fc_buffer_reserve(&memory.output, 100000), FC_OK);
        check_error(&postfilter, fd, 0, size, size, false, FC_ERROR_SHRUNK);
        CHECK(memory.window.bytes != NULL && memory.output.bytes == NULL);
        CHECK_IS(fc_buffer_reserve(&memory.output, 100000), FC_OK);
        check_error(&postfilter, fd, 2, 1, size, round % 2, FC_ERROR_ARGUMENT);
        CHECK(memory.window.bytes != NULL && memory.output.bytes == NULL);
        CHECK_IS(fc_buffer_reserve(&memory.output, 100000), FC_OK);
        check_error(&postfilter, -1, 0, size, size, round % 2, FC_ERROR_SYSTEM);
        CHECK(memory.window.bytes != NULL && memory.output.bytes == NULL);
    }
    fc_cancel_set(&cancel);
    postfilter.cancel = &cancel;
    CHECK_IS(fc_buffer_reserve(&memory.output, 100000), FC_OK);
    check_error(&postfilter, fd, 0, made.length, made.length, false, FC_ERROR_CANCELLED);
    CHECK(memory.output.bytes == NULL);
    fc_buffer_free(&memory.window);
    close(fd);
    made_free(&made);
}

int main(void) {
    TEST(bytes_in_memory_give_what_the_reference_gives);
    TEST(bytes_may_end_anywhere);
    TEST(runs_of_matches_are_copied_whole);
    TEST(programs_see_no_more_than_the_snaplen);
    TEST(a_limit_stops_behind_the_last_match);
    TEST(a_limit_counts_over_windows);
    TEST(two_ranges_meet_at_any_byte);
    TEST(ranges_give_what_bytes_in_memory_give);
    TEST(records_meet_the_ends_of_windows);
    TEST(records_longer_than_a_window_are_read_whole);
    TEST(the_longest_frame_there_is_can_be_read);
    TEST(damage_is_found_where_it_is);
    TEST(an_empty_range_reads_nothing);
    TEST(a_guess_starts_where_a_record_starts);
    TEST(a_guess_that_finds_nothing_starts_at_the_stop);
    TEST(ranges_must_lie_in_the_file);
    TEST(a_file_that_shrinks_is_an_error);
    TEST(a_failed_read_is_an_error);
    TEST(short_and_interrupted_reads_go_on);
    TEST(cancel_stops_and_frees);
    TEST(calls_may_share_their_memory);
    TEST(errors_lose_no_memory);
    return check_result();
}
