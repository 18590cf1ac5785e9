/* SPDX-License-Identifier: Apache-2.0
 *
 * The live loop over a ring in memory: what comes out in chunks is compared with files that are
 * made here, slowly and plainly, of the frames that went in.
 */
#include "blocks.h"
#include "capture.h"

#include <unistd.h>

enum {
    BLOCK = 32768,
    MOST_BLOCKS = 64,
    CHUNK = 8192,
    CHUNKS = 4,
    MOST_FRAMES = 4000,
    MOST_FILES = 4000,
};

static const uint8_t HEADER[FC_PCAP_FILE_HEADER] = "the header of every file";

/* ---- Frames in, files out ---------------------------------------------------------------- */

static struct wire wires[MOST_FRAMES];
static uint32_t wire_count;
static uint8_t *memory; /* of the ring */
static uint32_t block_count;
/* Frames are missing before a block of the ring, whose first frame is the wire `gap_wire`. */
static uint64_t gap_frames; /* 0: none are */
static uint32_t gap_block;
static uint32_t gap_wire;

struct file {
    struct made made;
    uint64_t frames;
    int64_t first_ns;
    int64_t last_ns;
    bool ended;
    size_t next; /* where its next record begins, or the one of which a part is there */
    size_t tail; /* bytes of that part */
    struct fc_gap gap;
    uint32_t gaps;
};
static struct file out[MOST_FILES];
static uint64_t out_count;
static bool times_go_back;

/* Fills a ring with the wires from `first` on; the number that it holds. */
static uint32_t fill_ring(uint32_t first) {
    uint32_t at = first;
    block_count = 0;
    while (at < wire_count && block_count < MOST_BLOCKS) {
        uint8_t *block = memory + (size_t)block_count++ * BLOCK;
        bool behind_gap = gap_frames > 0 && block_count > gap_block;
        if (block_count - 1 == gap_block)
            gap_wire = at;
        block_begin(block);
        while (at < wire_count && block_add(block, BLOCK, &wires[at]))
            at++;
        block_end(block);
        if (behind_gap)
            block_descriptor(block)->hdr.bh1.block_status |= TP_STATUS_LOSING;
    }
    return at - first;
}

/* Of a record that is there as far as its lengths. */
static size_t end_of_record(const struct file *file, size_t at, bool pcapng) {
    const uint8_t *record = file->made.bytes + at;
    return at + (pcapng ? fc_load32(record + 4) : 16 + fc_load32(record + 8));
}

/* What a chunk, which is in the file by now, says of records that lie in two. */
static void check_ends(struct file *file, const struct fc_chunk *chunk, bool pcapng) {
    size_t start = file->made.length - chunk->length;
    size_t head = 0;
    if (start == 0)
        file->next = sizeof HEADER;
    if (file->tail > 0) {
        file->next = end_of_record(file, file->next, pcapng);
        head = file->next - start;
    }
    CHECK_IS(chunk->head, head);
    while (file->next + 16 <= file->made.length &&
           end_of_record(file, file->next, pcapng) <= file->made.length)
        file->next = end_of_record(file, file->next, pcapng);
    file->tail = file->made.length - file->next;
    CHECK_IS(chunk->tail, file->tail);
}

static void take_gaps(struct file *file, const struct fc_chunk *chunk) {
    CHECK_IS(chunk->gaps_left_out, 0);
    for (uint32_t i = 0; i < chunk->gap_count; i++) {
        /* behind all records stands only what no further one comes behind */
        CHECK(chunk->gaps[i].record < chunk->frames || (chunk->ends && chunk->gaps[i].ns == 0));
        file->gap = chunk->gaps[i];
        file->gap.record += file->frames;
        file->gaps++;
    }
}

static void take_chunks(struct fc_capture *capture) {
    struct fc_chunk *chunk;
    bool ended = false;
    while (!ended) {
        chunk = fc_queue_next(&capture->queue, 1000, &ended);
        if (chunk == NULL)
            continue;
        if (!CHECK(chunk->file < MOST_FILES))
            abort();
        struct file *file = &out[chunk->file];
        CHECK(chunk->file <= out_count || times_go_back); /* files begin in order */
        if (chunk->file >= out_count)
            out_count = chunk->file + 1;
        CHECK(!file->ended); /* nothing comes behind the end */
        made_append(&file->made, chunk->bytes, chunk->length);
        check_ends(file, chunk, capture->settings.format.pcapng);
        take_gaps(file, chunk);
        if (chunk->frames > 0 && (file->frames == 0 || chunk->first_ns < file->first_ns))
            file->first_ns = chunk->first_ns;
        if (chunk->frames > 0 && (file->frames == 0 || chunk->last_ns > file->last_ns))
            file->last_ns = chunk->last_ns;
        file->frames += chunk->frames;
        CHECK(chunk->length <= CHUNK);
        /* what is written next begins where a chunk begins, unless the lane has changed */
        CHECK(chunk->ends || chunk->length == CHUNK || capture->settings.rotate_ns != 0);
        file->ended = chunk->ends;
        fc_queue_give_back(&capture->queue, chunk);
    }
    for (uint64_t i = 0; i < out_count; i++)
        CHECK(out[i].ended);
}

static void *run_reader(void *capture) {
    return fc_capture_run(capture) == FC_OK ? capture : NULL;
}

/* What is in the ring is still read after a stop; this thread is the writer meanwhile. */
static void run_to_the_end(struct fc_capture *capture) {
    pthread_t reader;
    void *result;
    fc_capture_stop(capture);
    if (pthread_create(&reader, NULL, run_reader, capture) != 0)
        abort();
    take_chunks(capture);
    pthread_join(reader, &result);
    CHECK(result == capture);
}

static void forget_files(struct file *files, uint64_t *count) {
    for (uint64_t i = 0; i < *count; i++) {
        made_free(&files[i].made);
        files[i] = (struct file){0};
    }
    *count = 0;
}

/* Runs a capture over all wires in one ring; they must fit. */
static struct fc_capture_account run(const struct fc_capture_settings *settings) {
    static struct fc_capture capture;
    struct fc_ring_statistics told = {.dropped = gap_frames, .full = gap_frames > 0};
    struct fc_capture_account account;
    forget_files(out, &out_count);
    CHECK_IS(fill_ring(0), wire_count);
    fc_capture_init(&capture, settings);
    fc_ring_over(&capture.ring, memory, BLOCK, block_count);
    capture.ring.told = &told;
    CHECK_IS(fc_queue_open(&capture.queue, CHUNK, FC_CAPTURE_SLACK, CHUNKS), FC_OK);
    run_to_the_end(&capture);
    fc_capture_read_account(&capture, &account);
    CHECK_IS(account.dropped, gap_frames);
    CHECK_IS(account.read, account.rejected + account.after_limit + account.kept);
    CHECK_IS(fc_ring_fill(&capture.ring), 0);
    fc_capture_close(&capture);
    return account;
}

/* ---- The reference ----------------------------------------------------------------------- */

static struct file expected[MOST_FILES];
static uint64_t expected_count;

static struct file *new_file(void) {
    struct file *file = &expected[expected_count++];
    made_append(&file->made, HEADER, sizeof HEADER);
    return file;
}

static void append32(struct made *made, uint32_t value) {
    made_append(made, (const uint8_t *)&value, sizeof value);
}

/* An enhanced packet block. */
static void add_block(struct made *made, int64_t ticks, const uint8_t *bytes, uint32_t captured,
                      uint32_t length, uint64_t missing) {
    uint32_t padding = captured % 4 == 0 ? 0 : 4 - captured % 4;
    uint32_t size = 8 + 20 + captured + padding + (missing > 0 ? 4 + 8 + 4 : 0) + 4;
    append32(made, 6);
    append32(made, size);
    append32(made, 0);
    append32(made, (uint32_t)(ticks >> 32));
    append32(made, (uint32_t)ticks);
    append32(made, captured);
    append32(made, length);
    made_append(made, bytes, captured);
    made_append(made, (const uint8_t[4]){0}, padding);
    if (missing > 0) {
        append32(made, 4 | 8 << 16);
        made_append(made, (const uint8_t *)&missing, 8);
        append32(made, 0);
    }
    append32(made, size);
}

static void add_record(struct file *file, const struct wire *wire,
                       const struct fc_capture_settings *settings, uint64_t missing) {
    uint32_t tag = wire->tagged ? 4 : 0;
    uint8_t stripped[sizeof wire->bytes];
    const uint8_t *bytes = wire->bytes;
    uint32_t length = wire->length;
    if (tag && !settings->ethernet) {
        memcpy(stripped, wire->bytes, 12);
        memcpy(stripped + 12, wire->bytes + 16, wire->length - 16);
        bytes = stripped;
        length -= 4;
    }
    uint32_t there = length;
    uint32_t ring = wire->length - tag < wire->snaplen ? wire->length - tag : wire->snaplen;
    if (!settings->ethernet || !tag)
        there = ring;
    else if (ring < 12)
        there = ring;
    else
        there = ring + 4;
    uint32_t captured = there < settings->snaplen ? there : settings->snaplen;
    if (settings->slice.layer != 0) {
        struct fc_frame frame = {.bytes = bytes, .captured = captured, .wire = length};
        captured = fc_slice_length(&settings->slice, &frame);
    }
    uint32_t fraction = (uint32_t)(wire->ns % 1000000000);
    int64_t ns = settings->format.nanoseconds ? wire->ns : wire->ns / 1000 * 1000;
    if (settings->format.pcapng) {
        add_block(&file->made, ns / (settings->format.nanoseconds ? 1 : 1000), bytes, captured,
                  length, missing);
    } else {
        made_header(&file->made, false, (uint32_t)(wire->ns / 1000000000),
                    settings->format.nanoseconds ? fraction : fraction / 1000, captured, length);
        made_append(&file->made, bytes, captured);
    }
    if (missing > 0) {
        file->gap = (struct fc_gap){.record = file->frames, .frames = missing, .ns = ns};
        file->gaps++;
    }
    if (file->frames == 0 || ns < file->first_ns)
        file->first_ns = ns;
    if (file->frames == 0 || ns > file->last_ns)
        file->last_ns = ns;
    file->frames++;
}

static size_t record_size(const struct wire *wire, const struct fc_capture_settings *settings,
                          uint64_t missing) {
    static struct file scratch;
    scratch.made.length = 0;
    add_record(&scratch, wire, settings, missing);
    return scratch.made.length;
}

/* Times that never go back. */
static void expect(const struct fc_capture_settings *settings) {
    struct file *file = NULL;
    int64_t interval = 0;
    forget_files(expected, &expected_count);
    if (settings->eager)
        file = new_file();
    for (uint32_t i = 0; i < wire_count && i < settings->limit; i++) {
        const struct wire *wire = &wires[i];
        uint64_t missing =
            gap_frames > 0 && gap_block < block_count && i == gap_wire ? gap_frames : 0;
        uint64_t size = record_size(wire, settings, missing) + settings->trailer_length;
        int64_t now = settings->rotate_ns ? wire->ns / (int64_t)settings->rotate_ns : 0;
        if (file == NULL || now != interval)
            file = new_file();
        else if (settings->rotate_bytes && file->frames > 0 &&
                 file->made.length + size > settings->rotate_bytes)
            file = new_file();
        interval = now;
        add_record(file, wire, settings, missing);
    }
    if (gap_frames > 0 && gap_block >= block_count && file != NULL) {
        file->gap = (struct fc_gap){.record = file->frames, .frames = gap_frames};
        file->gaps++;
    }
}

static void compare(void) {
    CHECK_IS(out_count, expected_count);
    for (uint64_t i = 0; i < out_count && i < expected_count; i++) {
        CHECK_IS(out[i].made.length, expected[i].made.length);
        CHECK_IS(out[i].frames, expected[i].frames);
        if (out[i].made.length == expected[i].made.length)
            CHECK(memcmp(out[i].made.bytes, expected[i].made.bytes, out[i].made.length) == 0);
        CHECK_IS(out[i].gaps, expected[i].gaps);
        CHECK_IS(out[i].gap.record, expected[i].gap.record);
        CHECK_IS(out[i].gap.frames, expected[i].gap.frames);
        CHECK_IS(out[i].gap.ns, expected[i].gap.ns);
        if (out[i].frames > 0 && expected[i].frames > 0) {
            CHECK_IS(out[i].first_ns, expected[i].first_ns);
            CHECK_IS(out[i].last_ns, expected[i].last_ns);
        }
    }
}

static const struct fc_capture_settings PLAIN = {
    .header = HEADER,
    .header_length = sizeof HEADER,
    .snaplen = 262144,
    .format = {.nanoseconds = true},
    .ethernet = true,
    .flush_ns = 1000000000,
    .limit = UINT64_MAX,
    .counter_fd = -1,
};

static void make_wires(uint32_t count, uint32_t snaplen, uint32_t gap) {
    int64_t ns = 1700000000 * (int64_t)1000000000 + random_below(1000000000);
    wire_count = count;
    for (uint32_t i = 0; i < count; i++) {
        ns += random_below(gap);
        random_wire(&wires[i], snaplen, ns);
    }
}

/* ---- Tests ------------------------------------------------------------------------------- */

static void files_are_those_of_a_slow_walk(void) {
    static const uint64_t sizes[] = {0, 1, 24, 25, 500, 4096, CHUNK, 3 * CHUNK + 77};
    static const uint64_t intervals[] = {0, 1, 1000, 1000000, 50000000};
    for (int round = 0; round < 300; round++) {
        struct fc_capture_settings settings = PLAIN;
        settings.format.nanoseconds = random_below(2);
        settings.ethernet = random_below(4) > 0;
        settings.eager = random_below(3) == 0;
        settings.snaplen = random_below(2) ? 80 : 1 + random_below(3000);
        settings.rotate_bytes = sizes[random_below(sizeof sizes / sizeof *sizes)];
        settings.rotate_ns = intervals[random_below(sizeof intervals / sizeof *intervals)];
        settings.eager &= settings.rotate_ns == 0;
        settings.format.pcapng = random_below(2);
        settings.trailer_length = settings.format.pcapng ? random_below(200) : 0;
        gap_frames = random_below(2) ? 1 + random32() : 0;
        gap_block = random_below(8);
        check_about("round %d: snaplen %u, bytes %u, ns %u", round, settings.snaplen,
                    (unsigned)settings.rotate_bytes, (unsigned)settings.rotate_ns);
        make_wires(random_below(1000), settings.snaplen, 1 + random_below(3000000));
        struct fc_capture_account account = run(&settings);
        CHECK_IS(account.kept, wire_count);
        expect(&settings);
        compare();
    }
    gap_frames = 0;
}

static void a_mark_goes_with_its_record_into_the_chunk_where_that_ends(void) {
    for (int round = 0; round < 100; round++) {
        struct fc_capture_settings settings = PLAIN;
        settings.format.pcapng = random_below(2);
        gap_frames = 1;
        gap_block = random_below(4);
        check_about("round %d", round);
        make_wires(500, 262144, 1000);
        for (uint32_t i = 0; i < wire_count; i++)
            wires[i].length = 1400 + random_below(300);
        run(&settings);
        expect(&settings);
        compare();
    }
    gap_frames = 0;
}

static void a_snaplen_counts_bytes_on_the_wire(void) {
    for (uint32_t snaplen = 1; snaplen < 30; snaplen++) {
        struct fc_capture_settings settings = PLAIN;
        settings.snaplen = snaplen;
        check_about("snaplen %u", snaplen);
        make_wires(100, snaplen, 1000);
        run(&settings);
        expect(&settings);
        compare();
        if (snaplen <= 18) /* no frame is shorter */
            CHECK_IS(out[0].made.length, 24 + 100 * (snaplen + 16));
    }
}

/* Their file is still open: that of the interval before is, for frames that another processor
 * received just before the interval began. */
static void late_frames_go_to_the_file_of_their_time(void) {
    struct fc_capture_settings settings = PLAIN;
    const int64_t second = 1000000000;
    const int64_t start = 1700000000 * second;
    static const int64_t offsets[] = {0,          999999999, 1000000000, 999999998,
                                      1000000001, 5,         1100000000};
    settings.rotate_ns = (uint64_t)second;
    wire_count = 7;
    for (uint32_t i = 0; i < wire_count; i++)
        random_wire(&wires[i], 262144, start + offsets[i]);
    run(&settings);
    forget_files(expected, &expected_count);
    new_file();
    new_file();
    for (uint32_t i = 0; i < wire_count; i++)
        add_record(&expected[offsets[i] / second], &wires[i], &settings, 0);
    compare();
}

static void a_clock_that_steps_loses_nothing_and_mixes_no_intervals(void) {
    for (int round = 0; round < 50; round++) {
        struct fc_capture_settings settings = PLAIN;
        settings.rotate_ns = 1000000;
        settings.rotate_bytes = random_below(2) ? 2000 : 0;
        make_wires(500, 262144, 100000);
        for (uint32_t i = 0; i < wire_count; i++)
            if (random_below(20) == 0)
                wires[i].ns += (int64_t)random_below(20000000) - 10000000;
        check_about("round %d", round);
        times_go_back = true;
        struct fc_capture_account account = run(&settings);
        times_go_back = false;
        uint64_t frames = 0;
        CHECK_IS(account.kept, wire_count);
        for (uint64_t i = 0; i < out_count; i++) {
            frames += out[i].frames;
            CHECK(out[i].frames > 0);
            CHECK_IS(out[i].first_ns / 1000000, out[i].last_ns / 1000000);
        }
        CHECK_IS(frames, wire_count);
    }
}

static void a_limit_is_exact_and_what_comes_after_it_is_told(void) {
    for (uint32_t limit = 1; limit < 300; limit += 37) {
        struct fc_capture_settings settings = PLAIN;
        settings.limit = limit;
        check_about("limit %u", limit);
        make_wires(200, 262144, 1000);
        struct fc_capture_account account = run(&settings);
        CHECK_IS(account.kept, limit < 200 ? limit : 200);
        CHECK_IS(account.after_limit, limit < 200 ? 200 - limit : 0);
        expect(&settings);
        compare();
    }
}

/* Makes it IPv4 with TCP, as far as it has the bytes. */
static void carry_tcp(struct wire *wire) {
    static const uint8_t tag[] = {0x81, 0x00};
    static const uint8_t type[] = {0x08, 0x00};
    uint32_t at = wire->tagged ? 18 : 14;
    if (wire->tagged)
        memcpy(wire->bytes + 12, tag, sizeof tag);
    memcpy(wire->bytes + at - 2, type, sizeof type);
    uint32_t words = 5 + random_below(3);
    wire->bytes[at] = (uint8_t)(0x40 + words);
    wire->bytes[at + 6] = wire->bytes[at + 7] = 0;
    wire->bytes[at + 9] = 6;
    wire->bytes[at + 4 * words + 12] = (uint8_t)((5 + random_below(11)) << 4);
}

/* Headers are where they are with and without the tag apart, and files are measured by what is left
 * of frames. */
static void a_slice_ends_frames_before_files_are_measured(void) {
    for (int round = 0; round < 100; round++) {
        struct fc_capture_settings settings = PLAIN;
        settings.slice.layer = 2 + random_below(3);
        settings.slice.more = random_below(2) ? 0 : random_below(40);
        settings.slice.ethernet = true;
        settings.snaplen = random_below(2) ? 262144 : 10 + random_below(70);
        settings.rotate_bytes = random_below(3) ? 200 + random_below(3000) : 0;
        settings.format.nanoseconds = random_below(2);
        settings.limit = random_below(3) ? UINT64_MAX : 1 + random_below(300);
        check_about("round %d: l%u+%u, snaplen %u, bytes %u", round, settings.slice.layer,
                    settings.slice.more, settings.snaplen, (unsigned)settings.rotate_bytes);
        make_wires(1 + random_below(600), 262144, 1000);
        for (uint32_t i = 0; i < wire_count; i++)
            if (random_below(8) && wires[i].length > 64)
                carry_tcp(&wires[i]);
        run(&settings);
        expect(&settings);
        compare();
        for (uint64_t i = 0; settings.rotate_bytes && i < out_count; i++)
            CHECK(out[i].made.length <= settings.rotate_bytes);
    }
}

/* ldb [at]; jeq value */
static struct fc_program *byte_is(uint32_t at, uint32_t value) {
    struct fc_instruction instructions[] = {
        {.code = 0x30, .k = at, .on_false = 2},
        {.code = 0x15, .k = value, .on_false = 1},
        {.code = 0x06, .k = 1},
        {.code = 0x06, .k = 0},
    };
    struct fc_program *program;
    size_t bad;
    if (fc_program_new(&(struct fc_program_source){.instructions = instructions, .count = 4},
                       &program, &bad) < 0)
        abort();
    return program;
}

static void a_program_sees_frames_as_they_were_on_the_wire(void) {
    for (uint32_t at = 0; at < 40; at++) {
        struct fc_capture_settings settings = PLAIN;
        struct fc_program *program = byte_is(at, 7);
        settings.program = program;
        settings.snaplen = 20; /* the cut comes after the filter */
        check_about("byte %u", at);
        make_wires(500, 100, 1000);
        for (uint32_t i = 0; i < wire_count; i++)
            if (random_below(2) && at < wires[i].length && (at < 12 || at > 15))
                wires[i].bytes[at] = 7;
        struct fc_capture_account account = run(&settings);
        uint32_t kept = 0;
        for (uint32_t i = 0; i < wire_count; i++)
            if (at < wires[i].length && wires[i].bytes[at] == 7)
                wires[kept++] = wires[i];
        CHECK_IS(account.rejected, wire_count - kept);
        CHECK_IS(account.kept, kept);
        wire_count = kept;
        if (kept > 0) {
            expect(&settings);
            compare();
        }
        fc_program_free(program);
    }
}

static void blocks_that_lie_are_survived_and_counted(void) {
    for (int round = 0; round < 500; round++) {
        struct fc_capture_settings settings = PLAIN;
        struct fc_capture capture;
        struct fc_capture_account account;
        uint8_t *block = block_new(BLOCK);
        make_wires(50, 262144, 1000);
        block_begin(block);
        for (uint32_t i = 0; i < wire_count && block_add(block, BLOCK, &wires[i]); i++)
            ;
        block_end(block);
        for (uint32_t lies = random_below(20); lies > 0; lies--)
            block[8 + random_below(BLOCK - 8)] = (uint8_t)random32();
        random_fill(block + BLOCK_HEADER + 8 * random_below(100), 8);
        block_hand_over(block);
        check_about("round %d", round);
        fc_capture_init(&capture, &settings);
        fc_ring_over(&capture.ring, block, BLOCK, 1);
        CHECK_IS(fc_queue_open(&capture.queue, CHUNK, FC_CAPTURE_SLACK, CHUNKS), FC_OK);
        forget_files(out, &out_count);
        run_to_the_end(&capture);
        fc_capture_read_account(&capture, &account);
        CHECK_IS(account.read, account.kept);
        CHECK(account.kept <= 700);
        fc_capture_close(&capture);
        free(block);
    }
}

static void wait_for(const uint32_t *flag) {
    while (__atomic_load_n(flag, __ATOMIC_ACQUIRE) != 0)
        usleep(100);
}

/* The reader runs meanwhile; this thread is the one that watches the interface. */
static void a_ring_that_is_replaced_costs_no_frame(void) {
    static struct fc_capture capture;
    struct fc_capture_settings settings = PLAIN;
    struct fc_capture_account account;
    struct fc_ring second;
    pthread_t reader;
    uint8_t *first_memory = memory;
    uint8_t *second_memory = block_new((size_t)BLOCK * MOST_BLOCKS);
    settings.snaplen = 80; /* so that no chunk is missed while nobody takes them */
    settings.eager = true;
    make_wires(200, settings.snaplen, 1000);
    forget_files(out, &out_count);
    wire_count = 100;
    fill_ring(0);
    fc_capture_init(&capture, &settings);
    fc_ring_over(&capture.ring, memory, BLOCK, block_count);
    CHECK_IS(fc_queue_open(&capture.queue, CHUNK, FC_CAPTURE_SLACK, CHUNKS), FC_OK);
    if (pthread_create(&reader, NULL, run_reader, &capture) != 0)
        abort();
    fc_capture_detach(&capture);
    wait_for(&capture.detaching);
    CHECK(!fc_capture_is_attached(&capture));
    CHECK(fc_capture_ring_fill(&capture) <= 0);
    fc_capture_read_account(&capture, &account);
    CHECK_IS(account.read, 100);
    memory = second_memory;
    wire_count = 200;
    fill_ring(100);
    fc_ring_over(&second, second_memory, BLOCK, block_count);
    CHECK_IS(fc_capture_attach(&capture, &second, -1), FC_OK);
    wait_for(&capture.attaching);
    fc_capture_stop(&capture);
    take_chunks(&capture);
    pthread_join(reader, NULL);
    expect(&settings);
    compare();
    fc_capture_close(&capture);
    free(second_memory);
    memory = first_memory;
}

/* What the watching thread wished for is there before the reader looks, and the capture ends. */
static void a_ring_that_was_not_taken_yet_is_read_too(void) {
    for (int gone = 0; gone < 2; gone++) {
        static struct fc_capture capture;
        struct fc_capture_settings settings = PLAIN;
        struct fc_ring ring;
        check_about("gone again: %d", gone);
        make_wires(100, 262144, 1000);
        settings.eager = true;
        fill_ring(0);
        fc_capture_init(&capture, &settings);
        fc_ring_over(&ring, memory, BLOCK, block_count);
        CHECK_IS(fc_queue_open(&capture.queue, CHUNK, FC_CAPTURE_SLACK, 64), FC_OK);
        CHECK_IS(fc_capture_attach(&capture, &ring, -1), FC_OK);
        if (gone)
            fc_capture_detach(&capture);
        forget_files(out, &out_count);
        run_to_the_end(&capture);
        CHECK((capture.ring.map == NULL) == gone);
        expect(&settings);
        compare();
        fc_capture_close(&capture);
    }
}

static void frames_that_are_too_long_are_counted(void) {
    static struct fc_capture capture;
    struct fc_capture_settings settings = PLAIN;
    struct fc_capture_account account;
    uint64_t longer = 0;
    make_wires(100, 262144, 1000);
    for (uint32_t i = 0; i < wire_count; i++)
        longer += wires[i].length > 60;
    forget_files(out, &out_count);
    fill_ring(0);
    fc_capture_init(&capture, &settings);
    fc_capture_set_longest(&capture, 60);
    fc_ring_over(&capture.ring, memory, BLOCK, block_count);
    CHECK_IS(fc_queue_open(&capture.queue, CHUNK, FC_CAPTURE_SLACK, CHUNKS), FC_OK);
    run_to_the_end(&capture);
    fc_capture_read_account(&capture, &account);
    CHECK(longer > 0 && longer < 100);
    CHECK_IS(account.oversize, longer);
    fc_capture_close(&capture);
}

/* Short frames are copied in whole words. */
static void the_last_frame_may_end_with_its_block(void) {
    struct fc_capture_settings settings = PLAIN;
    static struct fc_capture capture;
    uint8_t *block = block_new(BLOCK);
    make_wires(204, 262144, 1000);
    block_begin(block);
    for (uint32_t i = 0; i < wire_count; i++) {
        wires[i].tagged = false;
        wires[i].length = i == 0 ? 158 : 78; /* 240 and 160 bytes of the block */
        random_fill(wires[i].bytes, wires[i].length);
        CHECK(block_add(block, BLOCK, &wires[i]));
    }
    CHECK_IS(block_descriptor(block)->hdr.bh1.blk_len, BLOCK);
    block_end(block);
    forget_files(out, &out_count);
    fc_capture_init(&capture, &settings);
    fc_ring_over(&capture.ring, block, BLOCK, 1);
    CHECK_IS(fc_queue_open(&capture.queue, CHUNK, FC_CAPTURE_SLACK, CHUNKS), FC_OK);
    run_to_the_end(&capture);
    expect(&settings);
    compare();
    fc_capture_close(&capture);
    free(block);
}

static void a_capture_of_nothing_has_a_file_only_where_one_was_asked_for(void) {
    struct fc_capture_settings settings = PLAIN;
    wire_count = 0;
    make_wires(0, 80, 1);
    block_begin(memory); /* an empty block, which the kernel never gives */
    for (int eager = 0; eager < 2; eager++) {
        static struct fc_capture capture;
        settings.eager = eager;
        forget_files(out, &out_count);
        fc_capture_init(&capture, &settings);
        block_hand_over(memory);
        fc_ring_over(&capture.ring, memory, BLOCK, 1);
        CHECK_IS(fc_queue_open(&capture.queue, CHUNK, FC_CAPTURE_SLACK, CHUNKS), FC_OK);
        run_to_the_end(&capture);
        fc_capture_close(&capture);
        CHECK_IS(out_count, eager);
        CHECK(!eager || out[0].made.length == FC_PCAP_FILE_HEADER);
    }
}

int main(int count, char **arguments) {
    random_seed(random_seed_argument(count, arguments));
    memory = block_new((size_t)BLOCK * MOST_BLOCKS);
    TEST(files_are_those_of_a_slow_walk);
    TEST(a_mark_goes_with_its_record_into_the_chunk_where_that_ends);
    TEST(a_snaplen_counts_bytes_on_the_wire);
    TEST(late_frames_go_to_the_file_of_their_time);
    TEST(a_clock_that_steps_loses_nothing_and_mixes_no_intervals);
    TEST(a_limit_is_exact_and_what_comes_after_it_is_told);
    TEST(a_slice_ends_frames_before_files_are_measured);
    TEST(a_program_sees_frames_as_they_were_on_the_wire);
    TEST(blocks_that_lie_are_survived_and_counted);
    TEST(a_ring_that_is_replaced_costs_no_frame);
    TEST(a_ring_that_was_not_taken_yet_is_read_too);
    TEST(frames_that_are_too_long_are_counted);
    TEST(the_last_frame_may_end_with_its_block);
    TEST(a_capture_of_nothing_has_a_file_only_where_one_was_asked_for);
    forget_files(out, &out_count);
    forget_files(expected, &expected_count);
    free(memory);
    return check_result();
}
