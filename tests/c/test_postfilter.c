/* SPDX-License-Identifier: Apache-2.0
 *
 * The offline loop: whatever is asked of it, and from however many places it walks, it gives what
 * one slow walk gives. Files are split anywhere, lie about where their records are, are damaged,
 * cannot be mapped, and become shorter while they are read.
 */
#include "check.h"
#include "postfilter.h"
#include "reference.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum {
    MAPPED_AT = 2 << 20, /* as in postfilter.c: mappings begin at multiples of it, */
    MOST_CHAINS = 12,    /* for large records there are so many chains, */
    FEW_CHAINS = 2,      /* and for small ones so many, */
    CHAIN = 256 << 10,   /* where each has so many bytes */
};

/* ---- An mmap and a pread that misbehave -------------------------------------------------- */

static struct {
    bool no_mapping;
    struct fc_cancel *cancel_on_map;
    int64_t cut_on_map; /* the file is cut there when it has been mapped; -1: it is not */
    size_t most;        /* bytes that pread gives; 0 for all */
    int interrupts;     /* calls of pread that fail with EINTR first */
    int calls_to_eio;   /* calls of pread until one fails with EIO; 0 for never */
    struct fc_cancel *cancel_on_read;
    int64_t cut_on_read; /* the file is cut there when some of it has been read; -1: it is not */
} trouble = {.cut_on_map = -1, .cut_on_read = -1};

/* Takes the place of the C library's in this program. */
void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    if (fd >= 0 && trouble.no_mapping) {
        errno = ENODEV;
        return MAP_FAILED;
    }
    long mapped = syscall(SYS_mmap, address, length, protection, flags, fd, offset);
    if (fd >= 0 && trouble.cancel_on_map)
        fc_cancel_set(trouble.cancel_on_map);
    if (fd >= 0 && trouble.cut_on_map >= 0 && ftruncate(fd, trouble.cut_on_map) < 0)
        abort();
    return (void *)mapped; /* -1 is MAP_FAILED */
}

/* This too. */
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
    ssize_t got = read(fd, to, size);
    if (trouble.cut_on_read >= 0 && ftruncate(fd, trouble.cut_on_read) < 0)
        abort();
    return got;
}

/* ---- Files ------------------------------------------------------------------------------- */

static void fill_file(int fd, const struct made *made) {
    if (ftruncate(fd, 0) < 0)
        abort();
    for (size_t done = 0; done < made->length;) {
        ssize_t wrote = pwrite(fd, made->bytes + done, made->length - done, (off_t)done);
        if (wrote < 0)
            abort();
        done += (size_t)wrote;
    }
}

static int file_of(const struct made *made) {
    FILE *stream = tmpfile();
    if (!stream)
        abort();
    int fd = dup(fileno(stream));
    fclose(stream);
    fill_file(fd, made);
    return fd;
}

/* Of about so many bytes, by the largest frame. */
static struct made traffic_of(const struct fc_pcap_layout *layout, size_t bytes, uint32_t longest) {
    struct made made = {0};
    made_traffic(&made, layout, (uint32_t)(bytes / (16 + longest / 2)), longest);
    made_exact(&made);
    return made;
}

/* Offsets of the records, as far as they are sound; `*count` of them. */
static size_t *starts_of(const struct made *made, const struct fc_pcap_layout *layout,
                         size_t *count) {
    size_t *starts = block_new((made->length / 16 + 1) * sizeof *starts);
    struct fc_pcap_record record;
    size_t offset = 0;
    for (*count = 0;
         reference_record(made->bytes, made->length, offset, layout, &record) == FC_SCAN_RECORD;
         offset += 16 + (size_t)record.captured)
        starts[(*count)++] = offset;
    return starts;
}

/* ---- Filters ----------------------------------------------------------------------------- */

/* About one frame in three, by its first byte, in the interpreter; none that is empty. */
static const struct fc_instruction by_first_byte[] = {
    {.code = 0x30, .k = 0, .on_false = 4},
    {.code = 0x94, .k = 3},
    {.code = 0x15, .k = 1, .on_true = 0, .on_false = 2},
    {.code = FC_LD_CAPTURED},
    {.code = 0x16},
    {.code = 0x06, .k = 0},
};

/* By bytes at constant offsets: all of it is a plan. */
static const struct fc_instruction by_plan[] = {
    {.code = 0x30, .k = 5, .on_false = 5},
    {.code = 0x45, .k = 3, .on_true = 2, .on_false = 0},
    {.code = 0x28, .k = 32, .on_false = 3},
    {.code = 0x25, .k = 0x4000, .on_true = 1, .on_false = 2},
    {.code = 0x20, .k = 2, .on_false = 1},
    {.code = 0x06, .k = 1},
    {.code = 0x06, .k = 0},
};

static const struct fc_instruction by_length[] = {
    {.code = 0x80},
    {.code = 0x35, .k = 60, .on_true = 0, .on_false = 1},
    {.code = 0x06, .k = 1},
    {.code = 0x06, .k = 0},
};

/* A type at 12, in front of which tags do not count. */
static const struct fc_instruction by_type[] = {
    {.code = 0x28, .flags = FC_SKIPS_TAGS, .k = 12, .on_false = 2},
    {.code = 0x15, .k = 0x0800, .on_true = 0, .on_false = 1},
    {.code = 0x06, .k = 1},
    {.code = 0x06, .k = 0},
};

static const struct fc_instruction by_type_as_it_is[] = {
    {.code = 0x28, .k = 12, .on_false = 2},
    {.code = 0x15, .k = 0x0800, .on_true = 0, .on_false = 1},
    {.code = 0x06, .k = 1},
    {.code = 0x06, .k = 0},
};

/* One frame in hundreds, so that most are told apart by a sieve. */
static const struct fc_instruction by_words[] = {
    {.code = 0x30, .k = 7, .on_false = 5},
    {.code = 0x15, .k = 9, .on_true = 3, .on_false = 0},
    {.code = 0x28, .k = 41, .on_false = 3},
    {.code = 0x54, .k = 0xff0f},
    {.code = 0x15, .k = 0x1204, .on_true = 0, .on_false = 1},
    {.code = 0x06, .k = 1},
    {.code = 0x06, .k = 0},
};

static const struct fc_instruction by_words_behind_tags[] = {
    {.code = 0x30, .flags = FC_SKIPS_TAGS, .k = 20, .on_false = 2},
    {.code = 0x15, .k = 7, .on_true = 0, .on_false = 1},
    {.code = 0x06, .k = 1},
    {.code = 0x06, .k = 0},
};

static const struct fc_instruction by_nothing[] = {{.code = 0x06, .k = 0}};

enum { FIRST_BYTE, PLAN, LENGTH, TYPE, TYPE_AS_IT_IS, WORDS, WORDS_BEHIND_TAGS, NOTHING, FILTERS };

#define SOURCE(array, tags) {.instructions = array, .count = COUNT(array), .tags_at = tags}
static const struct fc_program_source sources[FILTERS] = {
    [FIRST_BYTE] = SOURCE(by_first_byte, 0),
    [PLAN] = SOURCE(by_plan, 0),
    [LENGTH] = SOURCE(by_length, 0),
    [TYPE] = SOURCE(by_type, 12),
    [TYPE_AS_IT_IS] = SOURCE(by_type_as_it_is, 0),
    [WORDS] = SOURCE(by_words, 0),
    [WORDS_BEHIND_TAGS] = SOURCE(by_words_behind_tags, 12),
    [NOTHING] = SOURCE(by_nothing, 0),
};
static struct fc_program *programs[FILTERS];

static void make_programs(void) {
    size_t bad;
    for (size_t i = 0; i < FILTERS; i++)
        if (fc_program_new(&sources[i], &programs[i], &bad) != FC_OK)
            abort();
}

static void free_programs(void) {
    for (size_t i = 0; i < FILTERS; i++)
        fc_program_free(programs[i]);
}

static bool takes(const struct fc_program *program, const uint8_t *frame, uint32_t captured,
                  uint32_t wire) {
    for (size_t i = 0; i < FILTERS; i++)
        if (programs[i] == program)
            return reference_run(&sources[i], frame, captured, wire) != 0;
    return true; /* NULL */
}

static const struct fc_program *const everything[] = {NULL};

/* One output, which keeps what one program takes. */
static struct fc_postfilter postfilter_of(struct fc_pcap_layout layout,
                                          const struct fc_program *const *program) {
    return (struct fc_postfilter){
        .convert = {.from = layout, .to = layout},
        .programs = program,
        .outputs = 1,
        .keep = true,
        .since_ns = INT64_MIN,
        .until_ns = INT64_MAX,
        .link = FC_FLOW_RAW, /* of random frames a quarter is known */
        .limit = UINT64_MAX,
        .most_kept = UINT64_MAX,
    };
}

static const struct fc_program *const *with(int number) {
    return (const struct fc_program *const *)&programs[number];
}

/* ---- What is expected, by the slow walk -------------------------------------------------- */

/* Owns the outputs. */
struct expected {
    uint64_t frames_read;
    uint64_t frames_taken;
    uint64_t tagged_missed;
    uint64_t end;
    enum fc_scan_stop stop;
    struct fc_scan_summary matched[FC_POSTFILTER_OUTPUTS];
    struct made outputs[FC_POSTFILTER_OUTPUTS];
    struct made summary; /* a row for each frame */
};

static void expect_in(struct expected *expected, const struct fc_postfilter *postfilter,
                      uint32_t output, const uint8_t *at, const struct fc_pcap_record *record) {
    struct fc_scan_summary *matched = &expected->matched[output];
    int64_t ns = reference_nanoseconds(record, postfilter->convert.from.nanoseconds);
    if (postfilter->keep && !postfilter->convert.to.nanoseconds)
        ns = ns / 1000 * 1000;
    matched->first_ns = matched->frames == 0 || ns < matched->first_ns ? ns : matched->first_ns;
    matched->last_ns = matched->frames == 0 || ns > matched->last_ns ? ns : matched->last_ns;
    matched->frames++;
    if (postfilter->keep) {
        struct made *made = &expected->outputs[output];
        size_t size = 16 + (size_t)record->captured;
        uint8_t *to = made_room(made, size);
        made->length -=
            size - reference_convert(at, &postfilter->convert.from, to, &postfilter->convert.to);
    }
}

static bool is_tag(const uint8_t *at) {
    unsigned type = at[0] * 256u + at[1];
    return type == 0x8100 || type == 0x88a8 || type == 0x9100;
}

static void expect_frame(struct expected *expected, const struct fc_postfilter *postfilter,
                         const uint8_t *at, const struct fc_pcap_record *record) {
    const struct fc_pcap_layout *from = &postfilter->convert.from;
    uint32_t captured = record->captured < from->snaplen ? record->captured : from->snaplen;
    const struct fc_frame frame = {.bytes = at + 16, .captured = captured, .wire = record->wire};
    int64_t ns = reference_nanoseconds(record, from->nanoseconds);
    if (ns < postfilter->since_ns || ns >= postfilter->until_ns)
        return;
    if (postfilter->sample != 0 &&
        !fc_flow_is_sampled(fc_flow_hash(&frame, (enum fc_flow_link)postfilter->link),
                            postfilter->sample))
        return;
    bool taken = false;
    for (uint32_t i = 0; i < postfilter->outputs; i++) {
        bool is_rest = postfilter->rest && i == postfilter->outputs - 1;
        if (is_rest ? taken : !takes(postfilter->programs[i], at + 16, captured, record->wire))
            continue;
        expect_in(expected, postfilter, i, at, record);
        taken = true;
    }
    expected->frames_taken += taken;
    if (postfilter->summary && !taken) {
        const struct fc_summary_row row = {
            (uint64_t)ns / 1000000000,
            fc_summary_protocol_of(&frame, (enum fc_flow_link)postfilter->link), 1, record->wire};
        made_append(&expected->summary, &row, sizeof row);
    }
    expected->tagged_missed += !taken && postfilter->skipping && captured >= 14 &&
                               is_tag(at + 16 + 12) &&
                               takes(postfilter->skipping, at + 16, captured, record->wire);
}

static struct expected *expect(const struct fc_postfilter *postfilter, const uint8_t *bytes,
                               size_t length) {
    struct expected *expected = block_new(sizeof *expected);
    while (expected->frames_taken < postfilter->limit) {
        struct fc_pcap_record record;
        expected->stop =
            reference_record(bytes, length, expected->end, &postfilter->convert.from, &record);
        if (expected->stop != FC_SCAN_RECORD)
            return expected;
        const uint8_t *at = bytes + expected->end;
        expected->frames_read++;
        expected->end += 16 + (uint64_t)record.captured;
        expect_frame(expected, postfilter, at, &record);
    }
    expected->stop = expected->end == length ? FC_SCAN_END : FC_SCAN_CALLER;
    return expected;
}

static void expected_free(struct expected *expected) {
    for (size_t i = 0; i < FC_POSTFILTER_OUTPUTS; i++)
        made_free(&expected->outputs[i]);
    made_free(&expected->summary);
    free(expected);
}

/* ---- What is given ----------------------------------------------------------------------- */

struct given {
    struct fc_postfilter_result result;
    struct fc_postfilter_kept kept[FC_POSTFILTER_OUTPUTS];
};

/* Everything but `kept` is for the call to set; the buffers are empty, some have room. */
static struct given *given_new(void) {
    struct given *given = block_new(sizeof *given);
    memset(&given->result, 0x55, sizeof given->result);
    given->result.kept = given->kept;
    for (size_t i = 0; i < 3; i++)
        if (random_below(2))
            CHECK_IS(fc_buffer_reserve(&given->kept[i].records, 100), FC_OK);
    return given;
}

static void given_free(struct given *given) {
    for (size_t i = 0; i < FC_POSTFILTER_OUTPUTS; i++)
        fc_buffer_free(&given->kept[i].records);
    fc_summary_free(&given->result.summary);
    free(given);
}

static void join_kept(struct fc_postfilter_kept *all, const struct fc_postfilter_kept *more) {
    bool first = all->matched.frames == 0;
    if (more->matched.frames > 0) {
        if (first || more->matched.first_ns < all->matched.first_ns)
            all->matched.first_ns = more->matched.first_ns;
        if (first || more->matched.last_ns > all->matched.last_ns)
            all->matched.last_ns = more->matched.last_ns;
        all->matched.frames += more->matched.frames;
    }
    CHECK_IS(fc_buffer_append(&all->records, more->records.bytes, more->records.length), FC_OK);
}

/* What follows another result. */
static void join(struct given *all, struct given *more, uint32_t outputs) {
    all->result.frames_read += more->result.frames_read;
    all->result.frames_taken += more->result.frames_taken;
    all->result.tagged_missed += more->result.tagged_missed;
    all->result.chains_redone += more->result.chains_redone;
    all->result.end = more->result.end;
    all->result.stop = more->result.stop;
    for (uint32_t i = 0; i < outputs; i++)
        join_kept(&all->kept[i], &more->kept[i]);
    CHECK_IS(fc_summary_join(&all->result.summary, &more->result.summary), FC_OK);
}

static int compare_rows(const void *one, const void *other) {
    const struct fc_summary_row *a = one, *b = other;
    int seconds = (a->second > b->second) - (a->second < b->second);
    return seconds != 0 ? seconds : (a->protocol > b->protocol) - (a->protocol < b->protocol);
}

/* The rows of a call are sorted and each is one of a kind; those of ranges were joined. */
static void check_summary(struct fc_summary *summary, struct expected *expected, bool joined) {
    size_t count = expected->summary.length / sizeof(struct fc_summary_row);
    const struct fc_summary_row *rows = (const void *)expected->summary.bytes;
    if (count > 0)
        qsort(expected->summary.bytes, count, sizeof *rows, compare_rows);
    if (joined)
        CHECK_IS(fc_summary_finish(summary), FC_OK);
    size_t done = 0;
    size_t i = 0;
    for (; i < summary->count && done < count; i++) {
        struct fc_summary_row sum = rows[done++];
        for (; done < count && compare_rows(&rows[done], &sum) == 0; done++) {
            sum.frames++;
            sum.bytes += rows[done].bytes;
        }
        CHECK(memcmp(&summary->rows[i], &sum, sizeof sum) == 0);
    }
    CHECK_IS(summary->count, i);
    CHECK_IS(done, count);
}

static void check_given(const struct given *given, const struct expected *expected,
                        uint32_t outputs) {
    CHECK_IS(given->result.frames_read, expected->frames_read);
    CHECK_IS(given->result.frames_taken, expected->frames_taken);
    CHECK_IS(given->result.tagged_missed, expected->tagged_missed);
    CHECK_IS(given->result.end, expected->end);
    for (uint32_t i = 0; i < outputs; i++) {
        const struct fc_postfilter_kept *kept = &given->kept[i];
        const struct made *output = &expected->outputs[i];
        CHECK_IS(kept->matched.frames, expected->matched[i].frames);
        if (expected->matched[i].frames > 0) {
            CHECK_IS(kept->matched.first_ns, expected->matched[i].first_ns);
            CHECK_IS(kept->matched.last_ns, expected->matched[i].last_ns);
        }
        if (CHECK_IS(kept->records.length, output->length) && output->length > 0)
            CHECK(memcmp(kept->records.bytes, output->bytes, output->length) == 0);
    }
}

/* ---- Machine code ------------------------------------------------------------------------ */

static const struct fc_postfilter *judged;

/* In place of machine code for the programs of `judged`: it must get no frame whose tags one of
 * them skips. */
static void judge_by_reference(const struct fc_code_group *group, uint64_t frames,
                               uint64_t *taken) {
    for (uint32_t i = 0; i < judged->outputs - judged->rest; i++) {
        const struct fc_program *program = judged->programs[i];
        for (uint32_t place = 0; place < FC_GROUP; place++) {
            if (!(frames >> place & 1))
                continue;
            uint32_t captured = group->captured[place];
            if (captured > group->snaplen)
                captured = group->snaplen;
            const uint8_t *bytes = group->bytes[place];
            CHECK(fc_program_tags_at(program) == 0 || captured < 14 || !is_tag(bytes + 12));
            if (takes(program, bytes, captured, group->wire[place]))
                taken[i] |= UINT64_C(1) << place;
        }
    }
}

/* The same, every other time with machine code. */
static struct fc_postfilter perhaps_with_code(const struct fc_postfilter *postfilter) {
    struct fc_postfilter made = *postfilter;
    judged = postfilter;
    if (random_below(2))
        made.code = judge_by_reference;
    for (uint32_t i = 0; i < postfilter->outputs - postfilter->rest; i++)
        if (postfilter->programs[i] == NULL)
            made.code = NULL;
    return made;
}

/* Gives how many chains were walked again. */
static uint64_t check_in_memory(const struct fc_postfilter *postfilter, const uint8_t *bytes,
                                size_t length) {
    struct expected *expected = expect(postfilter, bytes, length);
    struct given *given = given_new();
    const struct fc_postfilter asked = perhaps_with_code(postfilter);
    CHECK_IS(fc_postfilter_bytes(&asked, bytes, length, &given->result), FC_OK);
    CHECK_IS(given->result.start, 0);
    CHECK_IS(given->result.stop, expected->stop);
    check_given(given, expected, postfilter->outputs);
    check_summary(&given->result.summary, expected, false);
    uint64_t redone = given->result.chains_redone;
    given_free(given);
    expected_free(expected);
    return redone;
}

/* How ranges are joined: one reads on where the one before ended; or each guesses its start, and
 * is read again from the end of the one before unless the two agree, and that either only where
 * something of it is left, or always. */
enum joining { ONE_BY_ONE, GUESSED, GUESSED_AND_ALWAYS_ASKED };

static struct given *read_range(const struct fc_postfilter *postfilter, int fd, uint64_t start,
                                uint64_t stop, uint64_t size, bool guess) {
    struct given *given = given_new();
    const struct fc_postfilter asked = perhaps_with_code(postfilter);
    CHECK_IS(fc_postfilter_range(&asked, fd, start, stop, size, guess, &given->result), FC_OK);
    CHECK(guess ? given->result.start >= start : given->result.start == start);
    CHECK(given->result.start <= given->result.end && given->result.end <= size);
    bool all = given->result.stop != FC_SCAN_CALLER || given->result.end >= stop;
    CHECK(given->result.filled ? given->result.end > start : all);
    return given;
}

/* Reads the file in ranges that end at `stops` (ascending, the last is the file's size). */
static uint64_t check_ranges(const struct fc_postfilter *postfilter, int fd,
                             const struct made *made, const uint64_t *stops, size_t count,
                             enum joining joining) {
    struct expected *expected = expect(postfilter, made->bytes, made->length);
    struct given *all = block_new(sizeof *all);
    all->result.stop = FC_SCAN_CALLER;
    for (size_t i = 0; i < count && all->result.stop == FC_SCAN_CALLER; i++) {
        bool guess = joining != ONE_BY_ONE && i > 0;
        uint64_t start = guess ? stops[i - 1] : all->result.end;
        struct given *given = read_range(postfilter, fd, start, stops[i], made->length, guess);
        if (given->result.start != all->result.end) {
            given_free(given);
            if (joining == GUESSED && all->result.end >= stops[i])
                continue; /* a record of the range before covers this one */
            given = read_range(postfilter, fd, all->result.end, stops[i], made->length, false);
        }
        join(all, given, postfilter->outputs);
        given_free(given);
    }
    CHECK_IS(all->result.stop, expected->stop == FC_SCAN_END ? FC_SCAN_CALLER : expected->stop);
    check_given(all, expected, postfilter->outputs);
    check_summary(&all->result.summary, expected, true);
    uint64_t redone = all->result.chains_redone;
    given_free(all);
    expected_free(expected);
    return redone;
}

static uint64_t check_split(const struct fc_postfilter *postfilter, int fd, const struct made *made,
                            const uint64_t *stops, size_t count) {
    return check_ranges(postfilter, fd, made, stops, count, ONE_BY_ONE) +
           check_ranges(postfilter, fd, made, stops, count, GUESSED) +
           check_ranges(postfilter, fd, made, stops, count, GUESSED_AND_ALWAYS_ASKED);
}

/* In one piece. */
static uint64_t check_whole(const struct fc_postfilter *postfilter, int fd,
                            const struct made *made) {
    const uint64_t stops[] = {made->length};
    return check_ranges(postfilter, fd, made, stops, 1, ONE_BY_ONE);
}

static int compare_stops(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static uint64_t check_random_splits(const struct fc_postfilter *postfilter, int fd,
                                    const struct made *made, int rounds) {
    uint64_t redone = 0;
    for (int round = 0; round < rounds; round++) {
        uint64_t stops[9];
        size_t count = 1 + random_below(COUNT(stops));
        for (size_t i = 0; i < count; i++)
            stops[i] = random_below((uint32_t)made->length + 1);
        if (count > 3 && random_below(2))
            stops[1] = stops[0] + random_below(200); /* two that are near to each other */
        for (size_t i = 0; i < count; i++)
            stops[i] = stops[i] < made->length ? stops[i] : made->length;
        stops[count - 1] = made->length;
        qsort(stops, count, sizeof *stops, compare_stops);
        redone += check_split(postfilter, fd, made, stops, count);
    }
    return redone;
}

/* ---- Bytes in memory --------------------------------------------------------------------- */

static void bytes_in_memory_give_what_the_reference_gives(void) {
    for (uint32_t number = 0; number < 4; number++) {
        for (uint32_t variant = 0; variant < 32; variant++) {
            struct fc_pcap_layout layout = layout_number(number);
            struct fc_postfilter postfilter = postfilter_of(
                layout, variant & 1 ? with(variant & 16 ? PLAN : FIRST_BYTE) : everything);
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
}

static void bytes_may_end_anywhere(void) {
    struct fc_pcap_layout layout = layout_number(1);
    struct made made = {0};
    made_traffic(&made, &layout, 12, 40);
    for (size_t length = 0; length <= made.length; length++) {
        uint8_t *bytes = block_copy(made.bytes, length);
        const struct fc_program *const *all[] = {everything, with(FIRST_BYTE), with(PLAN),
                                                 with(WORDS)};
        check_about("%zu bytes", length);
        for (size_t i = 0; i < COUNT(all); i++) {
            struct fc_postfilter postfilter = postfilter_of(layout, all[i]);
            check_in_memory(&postfilter, bytes, length);
        }
        free(bytes);
    }
    struct fc_postfilter postfilter = postfilter_of(layout, everything);
    check_in_memory(&postfilter, NULL, 0);
    made_free(&made);
}

/* Matches and misses in every pattern of eight, so runs begin and end everywhere. */
static void runs_of_matches_are_copied_whole(void) {
    struct fc_pcap_layout layout = layout_number(0);
    for (uint32_t pattern = 0; pattern < 256; pattern++) {
        struct made made = {0};
        for (uint32_t i = 0; i < 8; i++) {
            made_record(&made, false, 100 + i, i, 1 + i * 9, 100);
            made.bytes[made.length - 1 - i * 9] = pattern >> i & 1 ? 4 : 5;
        }
        made_exact(&made);
        check_about("pattern 0x%x", pattern);
        struct fc_postfilter postfilter = postfilter_of(layout, with(FIRST_BYTE));
        check_in_memory(&postfilter, made.bytes, made.length);
        postfilter.convert.to.snaplen = 30; /* some runs are cut, some are not */
        check_in_memory(&postfilter, made.bytes, made.length);
        made_free(&made);
    }
}

/* The program sees what libpcap shows: at most snaplen bytes. */
static void programs_see_no_more_than_the_snaplen(void) {
    struct made made = {0};
    made_record(&made, false, 1, 1, 36, 36);
    made_record(&made, false, 1, 1, 33, 36);
    memset(made.bytes + 16, 0x7f, 36);
    memset(made.bytes + 16 + 36 + 16, 0x7f, 33);
    made.bytes[16 + 5] = made.bytes[16 + 36 + 16 + 5] = 0; /* by_plan asks for byte 32 */
    made_exact(&made);
    for (uint32_t snaplen = 30; snaplen < 40; snaplen++) {
        struct fc_pcap_layout layout = layout_number(0);
        layout.snaplen = snaplen;
        struct fc_postfilter postfilter = postfilter_of(layout, with(PLAN));
        struct given *given = given_new();
        check_about("snaplen %u", snaplen);
        CHECK_IS(fc_postfilter_bytes(&postfilter, made.bytes, made.length, &given->result), FC_OK);
        CHECK_IS(given->result.frames_read, 2);
        CHECK_IS(given->result.frames_taken, snaplen >= 34);
        given_free(given);
    }
    made_free(&made);
}

/* ---- Outputs ----------------------------------------------------------------------------- */

static void outputs_get_what_their_programs_take(void) {
    const uint32_t counts[] = {1, 2, 3, 7, 255, FC_POSTFILTER_OUTPUTS};
    for (uint32_t round = 0; round < 24; round++) {
        const struct fc_program *chosen[FC_POSTFILTER_OUTPUTS];
        struct fc_pcap_layout layout = layout_number(round);
        struct fc_postfilter postfilter = postfilter_of(layout, chosen);
        struct made made = {0};
        made_traffic(&made, &layout, 700, 100);
        made_exact(&made);
        int fd = file_of(&made);
        postfilter.outputs = counts[round % COUNT(counts)];
        postfilter.rest = round & 1;
        postfilter.keep = round % 5 != 4;
        postfilter.summary = round % 3 == 0;
        postfilter.convert.to = layout_number(random_below(4));
        for (uint32_t i = 0; i < postfilter.outputs; i++)
            chosen[i] = random_below(20) ? programs[random_below(FILTERS)] : NULL;
        if (postfilter.rest) /* not used, and need not be one */
            chosen[postfilter.outputs - 1] = programs[NOTHING];
        check_about("round %u, %u outputs", round, postfilter.outputs);
        check_in_memory(&postfilter, made.bytes, made.length);
        check_random_splits(&postfilter, fd, &made, 1);
        close(fd);
        made_free(&made);
    }
}

static void the_rest_alone_takes_every_frame(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct fc_postfilter postfilter = postfilter_of(layout, NULL);
    struct made made = {0};
    made_traffic(&made, &layout, 100, 100);
    made_exact(&made);
    postfilter.rest = true;
    check_in_memory(&postfilter, made.bytes, made.length);
    made_free(&made);
}

static void a_number_of_outputs_that_cannot_be_is_refused(void) {
    const uint32_t counts[] = {0, FC_POSTFILTER_OUTPUTS + 1};
    for (size_t i = 0; i < COUNT(counts); i++) {
        const struct fc_program *none[FC_POSTFILTER_OUTPUTS + 1] = {0};
        struct fc_postfilter_kept kept[FC_POSTFILTER_OUTPUTS + 1] = {0};
        struct fc_postfilter_result result = {.kept = kept};
        struct fc_postfilter postfilter = postfilter_of(layout_number(0), none);
        postfilter.outputs = counts[i];
        check_about("%u outputs", counts[i]);
        CHECK_IS(fc_postfilter_bytes(&postfilter, NULL, 0, &result), FC_ERROR_ARGUMENT);
        CHECK_IS(fc_postfilter_range(&postfilter, -1, 0, 9, 9, false, &result), FC_ERROR_ARGUMENT);
    }
}

/* Frames with and without tags, of which the program takes none that has one. */
static void frames_that_a_tag_hides_are_counted(void) {
    const char types[][3] = {"\x08\0", "\x81\0", "\x88\xa8", "\x91\0", "\x86\xdd"};
    for (uint32_t longest = 12; longest < 80; longest += 3) {
        struct fc_pcap_layout layout = layout_number(longest);
        struct fc_postfilter postfilter = postfilter_of(layout, with(TYPE_AS_IT_IS));
        struct made made = {0};
        for (uint32_t i = 0; i < 300; i++) {
            uint32_t captured = random_below(longest + 1);
            made_record(&made, layout.swapped, 1700000000, i, captured, 100);
            for (uint32_t at = 12; at + 2 <= captured && at < 24; at += 4)
                memcpy(made.bytes + made.length - captured + at, types[random_below(5)], 2);
        }
        made_exact(&made);
        postfilter.skipping = programs[TYPE];
        check_about("frames of up to %u bytes", longest);
        check_in_memory(&postfilter, made.bytes, made.length);
        postfilter.limit = 20;
        check_in_memory(&postfilter, made.bytes, made.length);
        made_free(&made);
    }
}

/* ---- Sieves ------------------------------------------------------------------------------ */

static struct made tagged_traffic(const struct fc_pcap_layout *layout, uint32_t longest) {
    const char types[][3] = {"\x08\0", "\x81\0", "\x88\xa8", "\x91\0", "\x86\xdd"};
    struct made made = {0};
    for (uint32_t i = 0; made.length < 3 * CHAIN; i++) {
        uint32_t captured = random_below(20) ? longest : random_below(longest + 1);
        made_record(&made, layout->swapped, 1700000000 + i / 100, i % 100, captured, captured + 1);
        if (captured > 20 && random_below(4) == 0)
            memcpy(made.bytes + made.length - captured + 12, types[random_below(5)], 2);
    }
    made_exact(&made);
    return made;
}

static void most_frames_are_told_apart_and_none_is_lost(void) {
    const struct fc_program *const two[] = {programs[WORDS], programs[WORDS_BEHIND_TAGS]};
    const uint32_t sizes[] = {41, 42, 43, 44, 60, 260, 1500};
    for (uint32_t i = 0; i < 4 * COUNT(sizes); i++) {
        struct fc_pcap_layout layout = layout_number(i);
        struct made made = tagged_traffic(&layout, sizes[i / 4]);
        int fd = file_of(&made);
        struct fc_postfilter postfilter = postfilter_of(layout, two);
        postfilter.outputs = i & 1 ? 2 : 1;
        postfilter.keep = random_below(4);
        postfilter.skipping = i & 2 ? programs[WORDS_BEHIND_TAGS] : NULL;
        if (random_below(4) == 0)
            postfilter.since_ns = INT64_C(1700000005) * 1000000000;
        check_about("frames of %u bytes, layout %u", sizes[i / 4], i & 3);
        check_in_memory(&postfilter, made.bytes, made.length);
        check_whole(&postfilter, fd, &made);
        check_random_splits(&postfilter, fd, &made, 1);
        close(fd);
        made_free(&made);
    }
}

/* All pass at first, then none, then all: the walk may change its way at any moment. */
static void a_sieve_that_all_pass_is_given_up(void) {
    for (uint32_t i = 0; i < 12; i++) {
        struct fc_pcap_layout layout = layout_number(i);
        struct made made = {0};
        for (uint32_t record = 0; record < 24000; record++) {
            bool take = (record < 5000 && i % 3 != 1) || (record > 15000 && i % 3 != 2);
            made_record(&made, layout.swapped, 1700000000, record, 60, 60);
            made.bytes[made.length - 60 + 7] = take ? 9 : 8;
        }
        made_exact(&made);
        const struct fc_postfilter postfilter = postfilter_of(layout, with(WORDS));
        check_about("layout %u, pattern %u", i & 3, i % 3);
        check_in_memory(&postfilter, made.bytes, made.length);
        made_free(&made);
    }
}

/* ---- Limits ------------------------------------------------------------------------------ */

static void check_limit(struct fc_postfilter *postfilter, int fd, const struct made *made) {
    check_in_memory(postfilter, made->bytes, made->length);
    struct expected *expected = expect(postfilter, made->bytes, made->length);
    struct given *given = given_new();
    CHECK_IS(
        fc_postfilter_range(postfilter, fd, 0, made->length, made->length, false, &given->result),
        FC_OK);
    CHECK_IS(given->result.stop, expected->stop == FC_SCAN_END ? FC_SCAN_CALLER : expected->stop);
    check_given(given, expected, postfilter->outputs);
    given_free(given);
    expected_free(expected);
}

static void a_limit_stops_behind_the_last_frame_taken(void) {
    const uint64_t limits[] = {0,
                               1,
                               2,
                               7,
                               31,
                               32,
                               33,
                               62,
                               63,
                               64,
                               65,
                               98,
                               99,
                               127,
                               128,
                               129,
                               299,
                               300,
                               UINT64_MAX - 1,
                               UINT64_MAX};
    struct fc_pcap_layout layout = layout_number(2);
    struct made made = {0};
    made_traffic(&made, &layout, 300, 60);
    made_exact(&made);
    int fd = file_of(&made);
    const struct fc_program *const both[] = {programs[FIRST_BYTE], programs[PLAN]};
    for (size_t i = 0; i < COUNT(limits); i++) {
        for (int variant = 0; variant < 4; variant++) {
            struct fc_postfilter postfilter =
                postfilter_of(layout, variant == 0 ? everything : both);
            postfilter.outputs = variant >= 2 ? 2 : 1; /* a frame that both take counts once */
            postfilter.rest = variant == 3;
            postfilter.summary = true;
            postfilter.limit = limits[i];
            check_about("limit %" PRIu64 ", variant %d", limits[i], variant);
            check_limit(&postfilter, fd, &made);
        }
    }
    close(fd);
    made_free(&made);
}

static void a_limit_may_be_reached_far_inside(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct made made = traffic_of(&layout, 20 * CHAIN, 1000);
    int fd = file_of(&made);
    for (uint64_t limit = 1; limit < 9000; limit = limit * 3 + 1) {
        for (int variant = 0; variant < 2; variant++) {
            struct fc_postfilter postfilter =
                postfilter_of(layout, variant ? with(PLAN) : everything);
            postfilter.limit = limit;
            check_about("limit %" PRIu64 ", program %d", limit, variant);
            check_limit(&postfilter, fd, &made);
        }
    }
    close(fd);
    made_free(&made);
}

/* Asks again from where each call ends that kept as much as it may. Gives how many calls it took.
 */
static uint32_t check_filled(const struct fc_postfilter *postfilter, int fd,
                             const struct made *made, uint64_t largest_group) {
    struct expected *expected = expect(postfilter, made->bytes, made->length);
    struct given *all = block_new(sizeof *all);
    uint32_t calls = 0;
    for (bool goes_on = true; goes_on; calls++) {
        struct given *given =
            read_range(postfilter, fd, all->result.end, made->length, made->length, false);
        uint64_t kept = 0;
        for (uint32_t i = 0; i < postfilter->outputs; i++)
            kept += given->kept[i].records.length;
        CHECK(postfilter->most_kept > UINT64_MAX - largest_group ||
              kept <= postfilter->most_kept + largest_group);
        goes_on = given->result.filled;
        CHECK(!goes_on || given->result.stop == FC_SCAN_CALLER);
        join(all, given, postfilter->outputs);
        given_free(given);
    }
    CHECK_IS(all->result.stop, expected->stop == FC_SCAN_END ? FC_SCAN_CALLER : expected->stop);
    check_given(all, expected, postfilter->outputs);
    check_summary(&all->result.summary, expected, true);
    given_free(all);
    expected_free(expected);
    return calls;
}

/* With several chains only the first one's frames count where a call ends early. */
static void a_call_that_kept_enough_ends_and_another_goes_on(void) {
    const uint64_t most[] = {0, 1, 1000, 100000, 1 << 20, UINT64_MAX};
    const uint32_t longest[] = {90, 1000};
    const struct fc_program *const *all[] = {everything, with(FIRST_BYTE), with(PLAN)};
    for (size_t l = 0; l < COUNT(longest); l++) {
        struct fc_pcap_layout layout = layout_number((uint32_t)l);
        struct made made = traffic_of(&layout, 8 * CHAIN, longest[l]);
        int fd = file_of(&made);
        for (size_t i = 0; i < COUNT(most) * COUNT(all); i++) {
            const struct fc_program *chosen[] = {all[i % COUNT(all)][0], programs[PLAN]};
            struct fc_postfilter postfilter = postfilter_of(layout, chosen);
            postfilter.outputs = 2;
            postfilter.rest = i & 1;
            postfilter.summary = i & 4;
            postfilter.most_kept = most[i / COUNT(all)];
            check_about("%" PRIu64 " bytes, frames of up to %u", postfilter.most_kept, longest[l]);
            uint32_t calls =
                check_filled(&postfilter, fd, &made, UINT64_C(128) * (16 + longest[l]));
            CHECK(i % COUNT(all) != 0 || (calls > 1) == (postfilter.most_kept < UINT64_MAX));
        }
        close(fd);
        made_free(&made);
    }
}

/* ---- Times and flows --------------------------------------------------------------------- */

/* Times that stay, go on and go back, one after the other by one unit of the file. */
static void times_are_from_and_before(void) {
    for (uint32_t number = 0; number < 4; number++) {
        struct fc_pcap_layout layout = layout_number(number);
        uint32_t second = layout.nanoseconds ? 1000000000 : 1000000;
        int64_t unit = layout.nanoseconds ? 1 : 1000;
        const uint32_t steps[] = {0, 1, 2, 2, 3, 1, 4, second - 1, second};
        struct made made = {0};
        for (size_t i = 0; i < COUNT(steps); i++)
            made_record(&made, layout.swapped, 1700000000 + steps[i] / second, steps[i] % second,
                        20, 20);
        made_exact(&made);
        int fd = file_of(&made);
        for (size_t i = 0; i < COUNT(steps) * COUNT(steps) * 9; i++) {
            size_t from = i / 9 % COUNT(steps);
            size_t until = i / 9 / COUNT(steps);
            struct fc_postfilter postfilter = postfilter_of(layout, everything);
            int64_t base = INT64_C(1700000000000000000);
            postfilter.since_ns = base + steps[from] * unit + (int)(i % 3) - 1;
            postfilter.until_ns = base + steps[until] * unit + (int)(i / 3 % 3) - 1;
            check_about("layout %u, case %zu", number, i);
            check_in_memory(&postfilter, made.bytes, made.length);
            if (i % 10 == 0)
                check_whole(&postfilter, fd, &made);
        }
        close(fd);
        made_free(&made);
    }
}

/* Also with outputs, the rest, a limit, and several chains. */
static void frames_outside_the_time_are_nobodys(void) {
    struct fc_pcap_layout layout = layout_number(2);
    struct made made = traffic_of(&layout, 16 * CHAIN, 1000);
    int fd = file_of(&made);
    const struct fc_program *chosen[] = {programs[PLAN], programs[FIRST_BYTE], NULL};
    struct fc_postfilter postfilter = postfilter_of(layout, chosen);
    postfilter.outputs = 3;
    postfilter.summary = true;
    int64_t base = INT64_C(1700000000000000000);
    const int64_t borders[] = {INT64_MIN, base, base + 700000000000, base + 1234567890123,
                               INT64_MAX};
    for (size_t i = 0; i < COUNT(borders) * COUNT(borders); i++) {
        postfilter.since_ns = borders[i / COUNT(borders)];
        postfilter.until_ns = borders[i % COUNT(borders)];
        postfilter.rest = i & 1;
        postfilter.limit = i % 3 == 2 ? 1000 : UINT64_MAX;
        check_about("case %zu", i);
        check_limit(&postfilter, fd, &made);
    }
    close(fd);
    made_free(&made);
}

static void one_flow_of_so_many_is_judged(void) {
    const uint32_t samples[] = {1, 2, 3, 10, UINT32_MAX};
    struct fc_pcap_layout layout = layout_number(3);
    struct made made = {0};
    for (uint32_t i = 0; i < 3000; i++) {
        made_record(&made, true, 1700000000, i, 60, 60);
        uint8_t *frame = made.bytes + made.length - 60;
        memcpy(frame + 12, "\x08\0\x45", 3);
        frame[23] = random_below(2) ? 6 : 17;
    }
    made_exact(&made);
    for (size_t i = 0; i < COUNT(samples) * 5; i++) {
        struct fc_postfilter postfilter =
            postfilter_of(layout, i % 2 ? everything : with(FIRST_BYTE));
        postfilter.sample = samples[i / 5];
        postfilter.link = (uint32_t)(i % 5);
        postfilter.summary = i & 4;
        check_about("1 of %u, link %u", postfilter.sample, postfilter.link);
        check_in_memory(&postfilter, made.bytes, made.length);
    }
    made_free(&made);
}

/* ---- Ranges of a file -------------------------------------------------------------------- */

/* Records start in one range only, whichever byte the ranges meet at. */
static void two_ranges_meet_at_any_byte(void) {
    struct fc_pcap_layout layout = layout_number(1);
    struct made made = {0};
    made_traffic(&made, &layout, 60, 40);
    made_exact(&made);
    int fd = file_of(&made);
    for (uint64_t split = 0; split <= made.length; split++) {
        const uint64_t stops[] = {split, made.length};
        const struct fc_postfilter postfilter =
            postfilter_of(layout, split % 2 ? with(FIRST_BYTE) : everything);
        check_about("split at %" PRIu64, split);
        check_split(&postfilter, fd, &made, stops, 2);
    }
    close(fd);
    made_free(&made);
}

/* The one before ends where the one behind begins, and no range is read twice for that. */
static void ranges_find_the_same_border(void) {
    struct fc_pcap_layout layout = layout_number(0);
    const uint32_t longest[] = {60, 1500, 60000};
    for (size_t l = 0; l < COUNT(longest); l++) {
        struct made made = traffic_of(&layout, 24 * CHAIN, longest[l]);
        int fd = file_of(&made);
        const struct fc_postfilter postfilter = postfilter_of(layout, everything);
        size_t count;
        size_t *starts = starts_of(&made, &layout, &count);
        for (uint64_t border = 1; border < made.length - 40 * 60000; border += 333333) {
            struct given *before = read_range(&postfilter, fd, 0, border, made.length, false);
            struct given *behind =
                read_range(&postfilter, fd, border, made.length, made.length, true);
            size_t first = 0;
            while (starts[first] < border)
                first++;
            check_about("frames of up to %u, border %" PRIu64, longest[l], border);
            CHECK_IS(before->result.end, behind->result.start);
            CHECK_IS(before->result.end, starts[first + 23]);
            given_free(before);
            given_free(behind);
        }
        free(starts);
        close(fd);
        made_free(&made);
    }
}

static void ranges_give_what_bytes_in_memory_give(void) {
    const uint32_t longest[] = {100, 1000, 20000};
    for (uint32_t number = 0; number < 4; number++) {
        for (size_t l = 0; l < COUNT(longest); l++) {
            struct fc_pcap_layout layout = layout_number(number);
            struct made made = traffic_of(&layout, (l == 0 ? 5 : 17) * CHAIN, longest[l]);
            int fd = file_of(&made);
            const struct fc_program *chosen[] = {programs[PLAN], programs[FIRST_BYTE]};
            struct fc_postfilter postfilter = postfilter_of(layout, chosen);
            postfilter.outputs = 2;
            postfilter.rest = number & 1;
            postfilter.summary = number != 1;
            postfilter.convert.to = layout_number((number + 1) % 4);
            check_about("layout %u, frames of up to %u", number, longest[l]);
            CHECK_IS(check_in_memory(&postfilter, made.bytes, made.length), 0);
            check_random_splits(&postfilter, fd, &made, 2);
            close(fd);
            made_free(&made);
        }
    }
}

/* A record's end one byte before, at and behind each place where mappings can begin. */
static void records_meet_the_places_where_mappings_begin(void) {
    struct fc_pcap_layout layout = layout_number(0);
    layout.max_captured = layout.snaplen = 128 << 20;
    for (int first = -18; first <= 18; first++) {
        struct made made = {0};
        uint32_t captured = (uint32_t)(MAPPED_AT - 16 + first);
        made_header(&made, false, 1, 1, captured, captured);
        memset(made_room(&made, captured), 0x33, captured);
        for (uint32_t i = 0; i < 40; i++)
            made_record(&made, false, 1, 2, 30 + i, 100);
        int fd = file_of(&made);
        const struct fc_postfilter postfilter = postfilter_of(layout, everything);
        check_about("the first record ends %+d from there", first);
        check_whole(&postfilter, fd, &made);
        for (uint64_t stop = MAPPED_AT - 1; stop <= MAPPED_AT + 1; stop++) {
            const uint64_t stops[] = {stop, made.length};
            check_split(&postfilter, fd, &made, stops, 2);
        }
        close(fd);
        made_free(&made);
    }
}

static void records_longer_than_a_range_are_read_whole(void) {
    const uint32_t longest[] = {MAPPED_AT - 17, MAPPED_AT - 16, 2 * MAPPED_AT - 15, 5000000};
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
    for (int variant = 0; variant < 2; variant++) {
        struct fc_postfilter postfilter =
            postfilter_of(layout, variant ? with(FIRST_BYTE) : everything);
        check_about("program %d", variant);
        check_random_splits(&postfilter, fd, &made, 2);
        struct made cut = made;
        cut.length -= 4000000; /* inside the last long frame */
        CHECK_IS(ftruncate(fd, (off_t)cut.length), 0);
        check_whole(&postfilter, fd, &cut);
        fill_file(fd, &made);
    }
    close(fd);
    made_free(&made);
}

/* The longest frame that a link type allows (USB captures): 128 MiB, a hole in the file. */
static void the_longest_frame_there_is_can_be_read(void) {
    enum { LONGEST = 128 << 20 };
    struct fc_pcap_layout layout = layout_number(0);
    layout.max_captured = LONGEST;
    struct made made = {0};
    made_header(&made, false, 1, 2, LONGEST, LONGEST);
    int fd = file_of(&made);
    uint64_t size = 16 + (uint64_t)LONGEST;
    CHECK_IS(ftruncate(fd, (off_t)size), 0);
    struct fc_postfilter postfilter = postfilter_of(layout, everything);
    postfilter.keep = false;
    struct given *given = read_range(&postfilter, fd, 0, size, size, false);
    CHECK_IS(given->result.frames_read, 1);
    CHECK_IS(given->kept[0].matched.frames, 1);
    CHECK_IS(given->result.end, size);
    CHECK_IS(given->result.stop, FC_SCAN_CALLER);
    CHECK_IS(given->kept[0].records.length, 0);
    given_free(given);
    close(fd);
    made_free(&made);
}

/* Of a file that is as long as mappings are apart, the end is a place where one could begin. */
static void an_empty_range_reads_nothing(void) {
    struct fc_pcap_layout layout = layout_number(0);
    const struct fc_postfilter postfilter = postfilter_of(layout, everything);
    const uint64_t sizes[] = {0, 24, 1000, MAPPED_AT, MAPPED_AT + 1, 2 * MAPPED_AT};
    for (size_t s = 0; s < COUNT(sizes); s++) {
        struct made made = {0};
        memset(made_room(&made, sizes[s] + 1), 0xff, sizes[s] + 1);
        made.length = sizes[s];
        int fd = file_of(&made);
        const uint64_t places[] = {0, sizes[s] / 2, sizes[s]};
        for (size_t i = 0; i < 2 * COUNT(places); i++) {
            uint64_t place = places[i / 2];
            check_about("at %" PRIu64 " of %" PRIu64, place, sizes[s]);
            struct given *given = read_range(&postfilter, fd, place, place, sizes[s], i % 2);
            CHECK_IS(given->result.start, place);
            CHECK_IS(given->result.end, place);
            CHECK_IS(given->result.frames_read, 0);
            CHECK_IS(given->result.stop, FC_SCAN_CALLER);
            CHECK_IS(given->kept[0].records.length, 0);
            given_free(given);
        }
        close(fd);
        made_free(&made);
    }
}

static void a_guess_that_finds_nothing_starts_at_the_stop(void) {
    enum { STOP = 3 << 20, LENGTH = 5 << 20 };
    struct fc_pcap_layout layout = layout_number(0);
    struct made made = {0};
    memset(made_room(&made, LENGTH), 0xff, LENGTH);
    int fd = file_of(&made);
    const struct fc_postfilter postfilter = postfilter_of(layout, everything);
    struct given *given = read_range(&postfilter, fd, 5, STOP, made.length, true);
    CHECK_IS(given->result.start, STOP);
    CHECK_IS(given->result.end, STOP);
    CHECK_IS(given->result.frames_read, 0);
    CHECK_IS(given->result.stop, FC_SCAN_CALLER);
    given_free(given);
    close(fd);
    made_free(&made);
}

/* ---- Damage ------------------------------------------------------------------------------ */

enum { DAMAGES = 6 };

/* At a record, of which there are more behind. */
static void damage_record(uint8_t *record, uint32_t kind, size_t left) {
    switch (kind) {
    case 0: memset(record + 8, 0xff, 4); break;                  /* too long */
    case 1: memset(record, 0, left < 5000 ? left : 5000); break; /* a hole */
    case 2: record[8]++; break;                                  /* the next is found elsewhere */
    case 3: record[8]--; break;
    case 4: memset(record, 0xff, left); break;
    case 5: memset(record + 8, 0, 4); break; /* an empty frame, and noise behind it */
    }
}

static void damage_is_found_where_it_is(void) {
    const uint32_t longest[] = {100, 1000};
    for (uint32_t i = 0; i < DAMAGES * 2 * 4; i++) {
        uint32_t kind = i % DAMAGES;
        uint32_t place = i / DAMAGES % 4; /* of the file, in fifths */
        struct fc_pcap_layout layout = layout_number(i % 4);
        struct made made = traffic_of(&layout, 14 * CHAIN, longest[i / DAMAGES / 4]);
        size_t count;
        size_t *starts = starts_of(&made, &layout, &count);
        size_t at = starts[count * (place + 1) / 5];
        damage_record(made.bytes + at, kind, made.length - at);
        int fd = file_of(&made);
        struct fc_postfilter postfilter = postfilter_of(layout, i % 3 ? with(PLAN) : everything);
        postfilter.summary = i & 1;
        check_about("kind %u in place %u, frames of up to %u", kind, place,
                    longest[i / DAMAGES / 4]);
        check_in_memory(&postfilter, made.bytes, made.length);
        check_whole(&postfilter, fd, &made);
        check_random_splits(&postfilter, fd, &made, 1);
        free(starts);
        close(fd);
        made_free(&made);
    }
}

static void damage_at_the_end_is_found_too(void) {
    const enum fc_scan_stop stops[] = {FC_SCAN_CUT_FRAME, FC_SCAN_CUT_HEADER, FC_SCAN_TOO_LONG,
                                       FC_SCAN_ZEROS};
    for (uint32_t kind = 0; kind < COUNT(stops); kind++) {
        struct fc_pcap_layout layout = layout_number(0);
        struct made made = traffic_of(&layout, 14 * CHAIN, 1000);
        size_t whole = made.length;
        switch (kind) {
        case 0: made_record(&made, false, 1, 1, 5, 5), made.length -= 1; break;
        case 1: made_header(&made, false, 1, 1, 5, 5), made.length -= 3; break;
        case 2: made_header(&made, false, 1, 1, layout.max_captured + 1, 5); break;
        case 3: memset(made_room(&made, 5000), 0, 5000); break;
        }
        made_exact(&made);
        int fd = file_of(&made);
        const struct fc_postfilter postfilter = postfilter_of(layout, everything);
        check_about("kind %u", kind);
        struct given *given = read_range(&postfilter, fd, 0, made.length, made.length, false);
        CHECK_IS(given->result.stop, stops[kind]);
        CHECK_IS(given->result.end, whole);
        given_free(given);
        check_in_memory(&postfilter, made.bytes, made.length);
        check_random_splits(&postfilter, fd, &made, 2);
        close(fd);
        made_free(&made);
    }
}

/* Before it, at the last sound record, and behind it. */
static void a_limit_and_damage_are_told_apart(void) {
    for (uint32_t kind = 0; kind < DAMAGES; kind++) {
        struct fc_pcap_layout layout = layout_number(kind);
        struct made made = traffic_of(&layout, 13 * CHAIN, 1000);
        size_t count;
        size_t *starts = starts_of(&made, &layout, &count);
        size_t bad = count * 2 / 3;
        damage_record(made.bytes + starts[bad], kind, made.length - starts[bad]);
        int fd = file_of(&made);
        const uint64_t limits[] = {1, bad / 2, bad - 1, bad, bad + 1, bad + 2, bad + 70, count};
        for (size_t i = 0; i < COUNT(limits); i++) {
            struct fc_postfilter postfilter = postfilter_of(layout, everything);
            postfilter.limit = limits[i];
            check_about("kind %u, limit %" PRIu64, kind, limits[i]);
            check_limit(&postfilter, fd, &made);
        }
        free(starts);
        close(fd);
        made_free(&made);
    }
}

/* ---- Files that lie ---------------------------------------------------------------------- */

enum { LIES = 7 };

/* Fills a frame with what looks like records. */
static void lie(struct made *made, const struct fc_pcap_layout *layout, uint32_t kind,
                uint32_t captured) {
    struct made frame = {0};
    while (frame.length < captured) {
        uint32_t inside = kind == 0   ? 28  /* a capture that does not end with the frame */
                          : kind == 1 ? 0   /* headers alone */
                          : kind == 2 ? 48  /* a capture that runs into the true one */
                          : kind == 3 ? 112 /* the same, larger */
                          : kind == 4 ? random_below(3) * 700
                          : kind == 5 ? 3000
                                      : random_below(40) * random_below(40);
        bool noise = kind == 6 && random_below(30) == 0;
        made_record(&frame, layout->swapped, noise ? 5 : 1700000000 + random_below(99), 5, inside,
                    inside + 1);
    }
    memcpy(made_room(made, captured), frame.bytes, captured);
    made_free(&frame);
}

static struct made lies_of(const struct fc_pcap_layout *layout, uint32_t kind, uint32_t longest) {
    struct made made = {0};
    while (made.length < 14 * CHAIN) {
        uint32_t captured = kind == 0 || kind == 5 ? longest : longest / 128 * 128;
        made_header(&made, layout->swapped, 1700000000, 5, captured, captured);
        lie(&made, layout, kind, captured);
    }
    made_exact(&made);
    return made;
}

/* Frames that hold captures, all alike or not, so long that guesses find nothing else. */
static void files_that_lie_are_walked_right(void) {
    uint64_t redone[LIES] = {0};
    for (uint32_t i = 0; i < LIES * 4; i++) {
        uint32_t kind = i % LIES;
        uint32_t longest = i / LIES % 2 ? 60001 : 2001;
        struct fc_pcap_layout layout = layout_number(i);
        struct made made = lies_of(&layout, kind, longest);
        int fd = file_of(&made);
        const struct fc_program *const *all[] = {everything, with(PLAN), with(WORDS)};
        struct fc_postfilter postfilter = postfilter_of(layout, all[i % 3]);
        postfilter.convert.to = layout_number(i / 2);
        postfilter.summary = i & 1;
        check_about("lie %u, frames of up to %u", kind, longest);
        redone[kind] += check_in_memory(&postfilter, made.bytes, made.length);
        redone[kind] += check_whole(&postfilter, fd, &made);
        redone[kind] += check_random_splits(&postfilter, fd, &made, 1);
        close(fd);
        made_free(&made);
    }
    for (uint32_t kind = 0; kind < LIES; kind++) {
        check_about("lie %u", kind);
        CHECK(redone[kind] > 0 || kind == 5); /* too few in a frame */
    }
}

/* Every guess is wrong, for none hits one of 23 frames near its end: so many chains there are
 * besides the first. */
static void chains_are_as_many_as_the_size_of_records_says(void) {
    for (uint32_t large = 0; large < 2; large++) {
        struct fc_pcap_layout layout = layout_number(large);
        struct made made = {0};
        if (!large) /* these 16 decide */
            made_traffic(&made, &layout, 20, 60);
        struct made lies = lies_of(&layout, 0, 160001);
        made_append(&made, lies.bytes, lies.length);
        made_exact(&made);
        struct fc_postfilter postfilter = postfilter_of(layout, with(FIRST_BYTE));
        check_about("large: %u", large);
        CHECK_IS(check_in_memory(&postfilter, made.bytes, made.length),
                 large ? MOST_CHAINS - 1 : 0); /* one chain keeps small records best */
        postfilter.keep = false;
        CHECK_IS(check_in_memory(&postfilter, made.bytes, made.length),
                 (large ? MOST_CHAINS : FEW_CHAINS) - 1);
        struct fc_postfilter limited = postfilter;
        limited.limit = 1000000; /* one chain */
        CHECK_IS(check_in_memory(&limited, made.bytes, made.length), 0);
        made_free(&lies);
        made_free(&made);
    }
}

/* The last chain ends first, with a frame that is shorter than all others: nobody reads what would
 * be behind it in the groups that follow. */
static void a_short_frame_at_the_end_is_not_read_on(void) {
    for (uint32_t count = 7000; count < 7030; count++) {
        struct fc_pcap_layout layout = layout_number(count);
        struct made made = {0};
        for (uint32_t i = 0; i < count; i++)
            made_record(&made, layout.swapped, 1700000000, i, 61, 61);
        made_record(&made, layout.swapped, 1700000000, count, count % 34, 61);
        made_exact(&made);
        CHECK(made.length > FEW_CHAINS * CHAIN);
        const struct fc_postfilter postfilter =
            postfilter_of(layout, with(count % 2 ? PLAN : WORDS));
        check_about("%u records", count);
        check_in_memory(&postfilter, made.bytes, made.length);
        made_free(&made);
    }
}

/* Damage where chains begin at wrong places, before it and behind it. */
static void damaged_files_that_lie_are_walked_right(void) {
    for (uint32_t i = 0; i < DAMAGES * 3; i++) {
        uint32_t kind = i % DAMAGES;
        struct fc_pcap_layout layout = layout_number(i);
        struct made made = lies_of(&layout, i % LIES, 20001);
        size_t count;
        size_t *starts = starts_of(&made, &layout, &count);
        size_t at = starts[count * (i / DAMAGES + 1) / 4];
        damage_record(made.bytes + at, kind, made.length - at);
        int fd = file_of(&made);
        struct fc_postfilter postfilter = postfilter_of(layout, with(FIRST_BYTE));
        postfilter.summary = i & 1;
        check_about("lie %u, damage %u", i % LIES, kind);
        check_in_memory(&postfilter, made.bytes, made.length);
        check_whole(&postfilter, fd, &made);
        check_random_splits(&postfilter, fd, &made, 1);
        free(starts);
        close(fd);
        made_free(&made);
    }
}

/* ---- Errors ------------------------------------------------------------------------------ */

static void check_error(const struct fc_postfilter *postfilter, int fd, uint64_t start,
                        uint64_t stop, uint64_t size, bool guess, int expected) {
    struct given *given = given_new();
    CHECK_IS(fc_postfilter_range(postfilter, fd, start, stop, size, guess, &given->result),
             expected);
    int number = errno;
    CHECK(given->result.kept == given->kept);
    given_free(given);
    errno = number;
}

static void ranges_must_lie_in_the_file(void) {
    const struct fc_postfilter postfilter = postfilter_of(layout_number(0), everything);
    for (int guess = 0; guess < 2; guess++) {
        check_error(&postfilter, -1, 0, 4, 3, guess, FC_ERROR_ARGUMENT);
        check_error(&postfilter, -1, 4, 3, 3, guess, FC_ERROR_ARGUMENT);
        check_error(&postfilter, -1, 4, 4, 3, guess, FC_ERROR_ARGUMENT);
        check_error(&postfilter, -1, 0, UINT64_MAX, 3, guess, FC_ERROR_ARGUMENT);
        check_error(&postfilter, -1, UINT64_MAX, 0, 3, guess, FC_ERROR_ARGUMENT);
        check_error(&postfilter, -1, 0, 1, UINT64_MAX, guess, FC_ERROR_ARGUMENT);
        check_error(&postfilter, -1, 0, 1, (uint64_t)INT64_MAX + 1, guess, FC_ERROR_ARGUMENT);
    }
}

/* Before the call; and right behind the mapping, which shows nothing of it. */
static void a_file_that_shrinks_is_an_error(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct made made = traffic_of(&layout, 13 * CHAIN, 1000);
    int fd = file_of(&made);
    const struct fc_postfilter postfilter = postfilter_of(layout, with(PLAN));
    const uint64_t lengths[] = {
        0, 1, 4096, MAPPED_AT - 1, MAPPED_AT, MAPPED_AT + 1, made.length - 5000, made.length - 1};
    for (size_t i = 0; i < COUNT(lengths) * 3; i++) {
        uint64_t length = lengths[i / 3];
        fill_file(fd, &made);
        trouble.no_mapping = i % 3 == 2;
        trouble.cut_on_map = i % 3 == 1 ? (int64_t)length : -1;
        CHECK(i % 3 == 1 || ftruncate(fd, (off_t)length) == 0);
        check_about("shrunk to %" PRIu64 ", way %zu", length, i % 3);
        check_error(&postfilter, fd, 0, made.length, made.length, false, FC_ERROR_SHRUNK);
        check_error(&postfilter, fd, 100, made.length, made.length, true, FC_ERROR_SHRUNK);
    }
    trouble.no_mapping = false;
    trouble.cut_on_map = -1;
    close(fd);
    made_free(&made);
}

/* A read may give zeros of a page that is being cut, and count them. */
static void a_file_that_shrinks_while_it_is_copied_is_an_error(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct made made = traffic_of(&layout, 5 * CHAIN, 1000);
    int fd = file_of(&made);
    const struct fc_postfilter postfilter = postfilter_of(layout, with(PLAN));
    const uint64_t lengths[] = {0, made.length / 2, made.length - 1};
    trouble.no_mapping = true;
    for (size_t i = 0; i < COUNT(lengths); i++) {
        fill_file(fd, &made);
        trouble.cut_on_read = (int64_t)lengths[i];
        check_about("shrunk to %" PRIu64, lengths[i]);
        check_error(&postfilter, fd, 0, made.length, made.length, false, FC_ERROR_SHRUNK);
    }
    trouble.no_mapping = false;
    trouble.cut_on_read = -1;
    close(fd);
    made_free(&made);
}

struct cutter {
    int fd;
    off_t length;
    uint32_t spins;
    atomic_bool go;
};

static void *cut_file(void *argument) {
    struct cutter *cutter = argument;
    while (!atomic_load(&cutter->go))
        ;
    for (volatile uint32_t i = 0; i < cutter->spins; i++)
        ;
    if (ftruncate(cutter->fd, cutter->length) < 0)
        abort();
    return NULL;
}

/* Reads it over and over; all is right until the file is cut, and an error from then on. */
static void read_until_cut(const struct fc_postfilter *postfilter, int fd, const struct made *made,
                           const struct expected *expected) {
    struct cutter cutter = {.fd = fd,
                            .length = random_below(4) ? random_below((uint32_t)made->length) : 0,
                            .spins = random_below(20000000)};
    pthread_t thread;
    fill_file(fd, made);
    if (pthread_create(&thread, NULL, cut_file, &cutter) != 0)
        abort();
    atomic_store(&cutter.go, true);
    int status = FC_OK;
    while (status == FC_OK) {
        struct given *given = given_new();
        status = fc_postfilter_range(postfilter, fd, 0, made->length, made->length, false,
                                     &given->result);
        if (status == FC_OK)
            check_given(given, expected, postfilter->outputs);
        given_free(given);
    }
    CHECK_IS(status, FC_ERROR_SHRUNK);
    pthread_join(thread, NULL);
}

static void a_file_may_shrink_at_any_moment(void) {
    struct fc_pcap_layout layout = layout_number(1);
    struct made made = traffic_of(&layout, 13 * CHAIN, 1000);
    int fd = file_of(&made);
    for (int way = 0; way < 3; way++) {
        struct fc_postfilter postfilter =
            postfilter_of(layout, way ? with(PLAN) : with(FIRST_BYTE));
        if (way == 1)
            postfilter.convert.to = layout_number(2); /* record by record */
        trouble.no_mapping = way == 2;
        struct expected *expected = expect(&postfilter, made.bytes, made.length);
        for (int i = 0; i < (way == 2 ? 10 : 50); i++) {
            check_about("way %d, try %d", way, i);
            read_until_cut(&postfilter, fd, &made, expected);
        }
        expected_free(expected);
    }
    trouble.no_mapping = false;
    close(fd);
    made_free(&made);
}

static void a_file_that_cannot_be_mapped_is_read(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct made made = traffic_of(&layout, 13 * CHAIN, 1000);
    int fd = file_of(&made);
    const struct fc_postfilter postfilter = postfilter_of(layout, with(PLAN));
    trouble.no_mapping = true;
    check_random_splits(&postfilter, fd, &made, 3);
    trouble.no_mapping = false;
    close(fd);
    made_free(&made);
}

static void a_failed_read_is_an_error(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct made made = traffic_of(&layout, 6 * CHAIN, 1000);
    int fd = file_of(&made);
    const struct fc_postfilter postfilter = postfilter_of(layout, everything);
    trouble.no_mapping = true;
    trouble.most = 100000;
    for (int calls = 1; calls <= 3; calls++) {
        for (int guess = 0; guess < 2; guess++) {
            trouble.calls_to_eio = calls;
            check_about("call %d fails", calls);
            check_error(&postfilter, fd, 0, made.length, made.length, guess, FC_ERROR_SYSTEM);
            CHECK_IS(errno, EIO);
            CHECK_IS(trouble.calls_to_eio, 0);
        }
    }
    trouble.most = 0;
    trouble.no_mapping = false;
    close(fd);
    check_error(&postfilter, -1, 0, 100, 100, false, FC_ERROR_SYSTEM);
    CHECK_IS(errno, EBADF);
    made_free(&made);
}

static void short_and_interrupted_reads_go_on(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct made made = traffic_of(&layout, 5 * CHAIN, 1000);
    int fd = file_of(&made);
    const struct fc_postfilter postfilter = postfilter_of(layout, everything);
    trouble.no_mapping = true;
    trouble.most = 1777;
    trouble.interrupts = 5;
    check_random_splits(&postfilter, fd, &made, 2);
    CHECK_IS(trouble.interrupts, 0);
    trouble.most = 0;
    trouble.no_mapping = false;
    close(fd);
    made_free(&made);
}

static void cancel_stops_and_frees(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct made made = traffic_of(&layout, 13 * CHAIN, 1000);
    int fd = file_of(&made);
    for (int way = 0; way < 2; way++) {
        struct fc_cancel cancel = {0};
        struct fc_postfilter postfilter = postfilter_of(layout, everything);
        postfilter.cancel = &cancel;
        trouble.no_mapping = way;
        check_in_memory(&postfilter, made.bytes, made.length);
        trouble.cancel_on_map = trouble.cancel_on_read = &cancel; /* set when the call has begun */
        check_error(&postfilter, fd, 0, made.length, made.length, false, FC_ERROR_CANCELLED);
        trouble.cancel_on_map = trouble.cancel_on_read = NULL;
        CHECK(fc_cancel_is_set(&cancel));
        check_error(&postfilter, fd, 0, made.length, made.length, false, FC_ERROR_CANCELLED);
        check_error(&postfilter, fd, 9, made.length, made.length, true, FC_ERROR_CANCELLED);
        struct given *given = given_new();
        CHECK_IS(fc_postfilter_bytes(&postfilter, made.bytes, made.length, &given->result),
                 FC_ERROR_CANCELLED);
        given_free(given);
    }
    trouble.no_mapping = false;
    close(fd);
    made_free(&made);
}

static void *cancel_soon(void *argument) {
    usleep(2000);
    fc_cancel_set(argument);
    return NULL;
}

/* Sooner or later a call is cancelled in the middle. */
static void cancel_may_come_at_any_moment(void) {
    struct fc_pcap_layout layout = layout_number(0);
    struct made made = traffic_of(&layout, 13 * CHAIN, 100);
    for (int i = 0; i < 20; i++) {
        struct fc_cancel cancel = {0};
        struct fc_postfilter postfilter = postfilter_of(layout, with(PLAN));
        pthread_t thread;
        int status = FC_OK;
        postfilter.cancel = &cancel;
        if (pthread_create(&thread, NULL, cancel_soon, &cancel) != 0)
            abort();
        while (status == FC_OK) {
            struct given *given = given_new();
            status = fc_postfilter_bytes(&postfilter, made.bytes, made.length, &given->result);
            given_free(given);
        }
        CHECK_IS(status, FC_ERROR_CANCELLED);
        pthread_join(thread, NULL);
    }
    made_free(&made);
}

int main(int count, char **arguments) {
    uint64_t seed = random_seed_argument(count, arguments);
    random_seed(seed);
    make_programs();
    TEST(bytes_in_memory_give_what_the_reference_gives);
    TEST(bytes_may_end_anywhere);
    TEST(runs_of_matches_are_copied_whole);
    TEST(programs_see_no_more_than_the_snaplen);
    TEST(outputs_get_what_their_programs_take);
    TEST(the_rest_alone_takes_every_frame);
    TEST(a_number_of_outputs_that_cannot_be_is_refused);
    TEST(frames_that_a_tag_hides_are_counted);
    TEST(most_frames_are_told_apart_and_none_is_lost);
    TEST(a_sieve_that_all_pass_is_given_up);
    TEST(times_are_from_and_before);
    TEST(frames_outside_the_time_are_nobodys);
    TEST(one_flow_of_so_many_is_judged);
    TEST(a_limit_stops_behind_the_last_frame_taken);
    TEST(a_limit_may_be_reached_far_inside);
    TEST(a_call_that_kept_enough_ends_and_another_goes_on);
    TEST(two_ranges_meet_at_any_byte);
    TEST(ranges_find_the_same_border);
    TEST(ranges_give_what_bytes_in_memory_give);
    TEST(records_meet_the_places_where_mappings_begin);
    TEST(records_longer_than_a_range_are_read_whole);
    TEST(the_longest_frame_there_is_can_be_read);
    TEST(an_empty_range_reads_nothing);
    TEST(a_guess_that_finds_nothing_starts_at_the_stop);
    TEST(damage_is_found_where_it_is);
    TEST(damage_at_the_end_is_found_too);
    TEST(a_limit_and_damage_are_told_apart);
    TEST(files_that_lie_are_walked_right);
    TEST(chains_are_as_many_as_the_size_of_records_says);
    TEST(a_short_frame_at_the_end_is_not_read_on);
    TEST(damaged_files_that_lie_are_walked_right);
    TEST(ranges_must_lie_in_the_file);
    TEST(a_file_that_shrinks_is_an_error);
    TEST(a_file_that_shrinks_while_it_is_copied_is_an_error);
    TEST(a_file_may_shrink_at_any_moment);
    TEST(a_file_that_cannot_be_mapped_is_read);
    TEST(a_failed_read_is_an_error);
    TEST(short_and_interrupted_reads_go_on);
    TEST(cancel_stops_and_frees);
    TEST(cancel_may_come_at_any_moment);
    free_programs();
    return check_result();
}
