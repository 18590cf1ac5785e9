/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of a capture through everything that walks records: scan, columns, conversion, the
 * post-filter in memory and over two ranges of a file. All must agree with a slow walk.
 *
 * Input: 8 bytes of settings, then the records; make_corpus.py writes the same.
 */
#include "columns.h"
#include "postfilter.h"

#include "../c/reference.h"
#include "target.h"

#include <unistd.h>

struct settings {
    struct fc_pcap_layout from;
    struct fc_pcap_layout to;
    uint64_t limit;
    bool with_program;
    bool keep;
    bool with_room; /* the outputs' buffers have some */
    bool with_rest; /* an output for what the program does not take */
    uint8_t room;   /* in units of 8 bytes, for fc_scan_take */
    uint8_t split;  /* of 256, where two ranges meet */
    uint8_t guess;  /* where to begin guessing, likewise */
};

static uint32_t size_by(uint8_t choice) {
    static const uint32_t special[] = {0, 65535, 262144, 128 << 20, INT32_MAX, UINT32_MAX};
    enum { SPECIAL = sizeof special / sizeof *special };
    return choice < 256 - SPECIAL ? choice : special[choice - (256 - SPECIAL)];
}

static struct settings take_settings(struct input *input) {
    uint8_t flags = take_byte(input);
    struct settings settings = {
        .from = {.swapped = flags & 1, .nanoseconds = flags & 2},
        .to = {.swapped = flags & 4, .nanoseconds = flags & 8},
        .with_program = flags & 16,
        .keep = (flags & 32) == 0,
        .with_room = flags & 64,
        .with_rest = flags & 128,
    };
    settings.from.snaplen = size_by(take_byte(input));
    settings.from.max_captured = size_by(take_byte(input));
    settings.to.snaplen = size_by(take_byte(input));
    settings.to.max_captured = settings.from.max_captured;
    uint8_t limit = take_byte(input);
    settings.limit = limit == 255 ? UINT64_MAX : limit;
    settings.room = take_byte(input);
    settings.split = take_byte(input);
    settings.guess = take_byte(input);
    return settings;
}

/* Frames whose first byte is odd, and those that are empty. */
static const struct fc_instruction odd_frames[] = {
    {.code = 0x30, .k = 0, .on_false = 1},
    {.code = 0x45, .k = 1, .on_true = 0, .on_false = 1},
    {.code = 0x06, .k = 1},
    {.code = 0x06, .k = 0},
};

/* What the slow walk says: the records, those that match, and their bytes in the other layout. */
struct truth {
    size_t records;
    size_t end;
    enum fc_scan_stop stop;
};

static bool truth_matches(const struct settings *settings, const uint8_t *frame,
                          const struct fc_pcap_record *record) {
    uint32_t snaplen = settings->from.snaplen;
    uint32_t captured = record->captured < snaplen ? record->captured : snaplen;
    return !settings->with_program ||
           reference_run(&(struct fc_program_source){.instructions = odd_frames, .count = 4}, frame,
                         captured, record->wire) != 0;
}

static void check_columns(const struct settings *settings, const uint8_t *bytes, size_t length,
                          struct truth *truth) {
    struct fc_scan scan = {.bytes = bytes, .length = length, .layout = settings->from};
    struct fc_columns columns = {0};
    struct fc_pcap_record record;
    *truth = (struct truth){0};
    enum fc_scan_stop stop;
    HOLDS(fc_columns_fill(&columns, &scan, &stop) == FC_OK);
    for (;;) {
        truth->stop = reference_record(bytes, length, truth->end, &settings->from, &record);
        if (truth->stop != FC_SCAN_RECORD)
            break;
        size_t i = truth->records++;
        HOLDS(i < columns.count);
        HOLDS(columns.wire[i] == record.wire);
        HOLDS(columns.captured[i] <= record.captured);
        HOLDS(columns.captured[i] == record.captured ||
              columns.captured[i] == settings->from.snaplen);
        HOLDS(columns.offsets[i] == (int64_t)truth->end + 16);
        HOLDS(columns.timestamps[i] == reference_nanoseconds(&record, settings->from.nanoseconds));
        truth->end += 16 + (size_t)record.captured;
    }
    HOLDS(columns.count == truth->records);
    HOLDS(scan.offset == truth->end && stop == truth->stop);
    fc_columns_free(&columns);
}

/* Only what a scan has found before: there, zeros are a record too. */
static void check_take(const struct settings *settings, const uint8_t *bytes,
                       const struct truth *truth) {
    struct fc_scan scan = {.bytes = bytes, .length = truth->end, .layout = settings->from};
    struct fc_scan_summary summary;
    fc_scan_take(&scan, UINT64_MAX, false, &summary);
    HOLDS(summary.frames == truth->records && scan.offset == truth->end);

    /* Piece by piece, each as large as the room or one record: in the end, all of it. */
    uint64_t room = (uint64_t)settings->room * 8;
    uint64_t frames = 0;
    scan.offset = 0;
    for (size_t before = 1; before != scan.offset;) {
        before = scan.offset;
        fc_scan_take(&scan, room, true, &summary);
        HOLDS(summary.frames <= 1 || scan.offset - before <= room);
        HOLDS(summary.frames == 0 || summary.first_ns <= summary.last_ns);
        frames += summary.frames;
    }
    HOLDS(frames == truth->records && scan.offset == truth->end);
}

static void check_guess(const struct settings *settings, const uint8_t *bytes, size_t length) {
    struct fc_scan scan = {.bytes = bytes, .length = length, .layout = settings->from};
    size_t from = length * settings->guess / 256;
    size_t found = fc_scan_guess(&scan, from, SIZE_MAX);
    HOLDS(found == SIZE_MAX || (found >= from && found <= length && length - found >= 16));
    if (found != SIZE_MAX) {
        struct fc_pcap_record record;
        scan.offset = found;
        enum fc_scan_stop stop = fc_scan_next(&scan, settings->from.swapped, &record);
        HOLDS(stop == FC_SCAN_RECORD || stop == FC_SCAN_CUT_FRAME);
    }
    HOLDS(fc_scan_guess(&scan, from, 0) == SIZE_MAX);
    HOLDS(fc_scan_guess(&scan, length, SIZE_MAX) == SIZE_MAX);
    HOLDS(fc_scan_guess(&scan, SIZE_MAX, SIZE_MAX) == SIZE_MAX);
}

/* What one call gave, with a buffer for each of two outputs. */
struct given {
    struct fc_postfilter_result result;
    struct fc_postfilter_kept kept[2];
};

static void given_begin(const struct settings *settings, struct given *given) {
    *given = (struct given){0};
    given->result.kept = given->kept;
    for (int i = 0; i < 2 && settings->with_room; i++)
        HOLDS(fc_buffer_reserve(&given->kept[i].records, 100) == FC_OK);
}

static void given_free(struct given *given) {
    for (int i = 0; i < 2; i++)
        fc_buffer_free(&given->kept[i].records);
}

/* An output is, byte for byte, what the slow walk makes of its records. */
struct wanted {
    struct fc_scan_summary matched;
    uint8_t *bytes;
    size_t length;
};

static void want(const struct settings *settings, struct wanted *wanted, const uint8_t *record_at,
                 const struct fc_pcap_record *record) {
    struct fc_scan_summary *matched = &wanted->matched;
    int64_t ns = reference_nanoseconds(record, settings->from.nanoseconds);
    if (settings->keep && !settings->to.nanoseconds)
        ns = ns / 1000 * 1000;
    matched->first_ns = matched->frames && matched->first_ns < ns ? matched->first_ns : ns;
    matched->last_ns = matched->frames && matched->last_ns > ns ? matched->last_ns : ns;
    matched->frames++;
    wanted->length += reference_convert(record_at, &settings->from, wanted->bytes + wanted->length,
                                        &settings->to);
}

/* Walks cleanly, and is as many records as were said to match. */
static void check_output(const struct settings *settings, const struct fc_postfilter_kept *kept) {
    struct fc_scan scan = {
        .bytes = kept->records.bytes, .length = kept->records.length, .layout = settings->to};
    struct fc_pcap_record record;
    uint64_t frames = 0;
    enum fc_scan_stop stop;
    while ((stop = fc_scan_next(&scan, scan.layout.swapped, &record)) == FC_SCAN_RECORD)
        frames++;
    /* A frame that is cut to nothing, with the rest of its header zero, looks like a hole. */
    if (stop != FC_SCAN_ZEROS) {
        HOLDS(stop == FC_SCAN_END);
        HOLDS(!settings->keep || frames == kept->matched.frames);
    }
}

static void check_kept(const struct settings *settings, const struct fc_postfilter_kept *kept,
                       const struct wanted *wanted) {
    HOLDS(kept->matched.frames == wanted->matched.frames);
    HOLDS(kept->matched.frames == 0 || kept->matched.first_ns == wanted->matched.first_ns);
    HOLDS(kept->matched.frames == 0 || kept->matched.last_ns == wanted->matched.last_ns);
    HOLDS(kept->records.length == (settings->keep ? wanted->length : 0));
    HOLDS(kept->records.length == 0 ||
          memcmp(kept->records.bytes, wanted->bytes, kept->records.length) == 0);
    check_output(settings, kept);
}

static void check_result(const struct settings *settings, const uint8_t *bytes, size_t length,
                         const struct truth *truth, const struct given *given) {
    struct wanted wanted[2] = {0};
    size_t offset = 0;
    uint64_t frames_read = 0;
    uint64_t taken = 0;
    for (int i = 0; i < 2; i++) {
        wanted[i].bytes = malloc(truth->end ? truth->end : 1);
        HOLDS(wanted[i].bytes != NULL);
    }
    while (taken < settings->limit && offset < truth->end) {
        struct fc_pcap_record record;
        HOLDS(reference_record(bytes, length, offset, &settings->from, &record) == FC_SCAN_RECORD);
        bool matches = truth_matches(settings, bytes + offset + 16, &record);
        if (matches || settings->with_rest) {
            want(settings, &wanted[!matches], bytes + offset, &record);
            taken++;
        }
        frames_read++;
        offset += 16 + (size_t)record.captured;
    }
    HOLDS(given->result.frames_read == frames_read);
    HOLDS(given->result.frames_taken == taken && taken <= settings->limit);
    HOLDS(given->result.end == offset && given->result.end <= length);
    for (int i = 0; i < 2; i++) {
        check_kept(settings, &given->kept[i], &wanted[i]);
        free(wanted[i].bytes);
    }
}

static void join_kept(struct fc_postfilter_kept *all, const struct fc_postfilter_kept *more) {
    struct fc_scan_summary *a = &all->matched;
    const struct fc_scan_summary *b = &more->matched;
    if (b->frames > 0) {
        a->first_ns = a->frames && a->first_ns < b->first_ns ? a->first_ns : b->first_ns;
        a->last_ns = a->frames && a->last_ns > b->last_ns ? a->last_ns : b->last_ns;
        a->frames += b->frames;
    }
    HOLDS(fc_buffer_append(&all->records, more->records.bytes, more->records.length) == FC_OK);
}

static void check_ranges(const struct fc_postfilter *postfilter, const struct settings *settings,
                         const uint8_t *bytes, size_t length, const struct truth *truth) {
    static int fd = -1;
    if (fd < 0) {
        FILE *file = tmpfile();
        HOLDS(file != NULL);
        fd = fileno(file);
    }
    HOLDS(ftruncate(fd, (off_t)length) == 0);
    HOLDS(length == 0 || pwrite(fd, bytes, length, 0) == (ssize_t)length);

    uint64_t split = length * settings->split / 256;
    struct given first, second;
    given_begin(settings, &first);
    given_begin(settings, &second);
    HOLDS(fc_postfilter_range(postfilter, fd, 0, split, length, false, &first.result) == FC_OK);
    struct fc_postfilter_result *all = &first.result;
    bool enough = all->frames_taken == settings->limit;
    HOLDS(all->end <= length && (all->stop != FC_SCAN_CALLER || all->end >= split || enough));
    if (all->stop == FC_SCAN_CALLER && !enough) {
        struct fc_postfilter rest = *postfilter;
        if (rest.limit != UINT64_MAX)
            rest.limit -= all->frames_taken;
        HOLDS(fc_postfilter_range(&rest, fd, all->end, length, length, false, &second.result) ==
              FC_OK);
        HOLDS(second.result.start == all->end);
        all->frames_read += second.result.frames_read;
        all->frames_taken += second.result.frames_taken;
        all->end = second.result.end;
        all->stop = second.result.stop;
        for (int i = 0; i < 2; i++)
            join_kept(&first.kept[i], &second.kept[i]);
    }
    check_result(settings, bytes, length, truth, &first);
    HOLDS(all->stop == FC_SCAN_CALLER || all->stop == truth->stop);

    HOLDS(fc_postfilter_range(postfilter, fd, split, length, length, true, &second.result) ==
          FC_OK);
    HOLDS(second.result.start >= split && second.result.start <= second.result.end);
    HOLDS(second.result.end <= length);
    given_free(&first);
    given_free(&second);
}

static void check_postfilter(const struct settings *settings, const uint8_t *bytes, size_t length,
                             const struct truth *truth) {
    struct fc_program *program;
    struct given given;
    size_t bad;
    HOLDS(fc_program_new(&(struct fc_program_source){.instructions = odd_frames, .count = 4},
                         &program, &bad) == FC_OK);
    const struct fc_program *const programs[] = {settings->with_program ? program : NULL, NULL};
    const struct fc_postfilter postfilter = {
        .convert = {.from = settings->from, .to = settings->to},
        .programs = programs,
        .outputs = settings->with_rest ? 2 : 1,
        .rest = settings->with_rest,
        .since_ns = INT64_MIN,
        .until_ns = INT64_MAX,
        .limit = settings->limit,
        .most_kept = UINT64_MAX,
        .keep = settings->keep,
    };
    given_begin(settings, &given);
    HOLDS(fc_postfilter_bytes(&postfilter, bytes, length, &given.result) == FC_OK);
    HOLDS(given.result.stop == FC_SCAN_CALLER ? given.result.frames_taken == settings->limit
                                              : given.result.stop == truth->stop);
    check_result(settings, bytes, length, truth, &given);
    given_free(&given);
    check_ranges(&postfilter, settings, bytes, length, truth);
    fc_program_free(program);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {.at = data, .left = size};
    struct settings settings = take_settings(&input);
    struct truth truth;
    size_t length;
    uint8_t *bytes = take_block(&input, SIZE_MAX, &length);
    check_columns(&settings, bytes, length, &truth);
    check_take(&settings, bytes, &truth);
    check_guess(&settings, bytes, length);
    check_postfilter(&settings, bytes, length, &truth);
    free(bytes);
    return 0;
}
