/* SPDX-License-Identifier: Apache-2.0
 *
 * How long does the live loop (csrc/capture.c) take for a frame, from the ring into a chunk?
 *
 *     ring_reader VARIANT RING_MIB RUNS [PROGRAM_FILE]
 *
 * The ring lies in memory, filled once as the kernel lays out a ring of TPACKET_V3
 * (net/packet/af_packet.c: tpacket_rcv, prb_fill_curr_block). One thread runs fc_capture_run. The
 * other plays the writer, which gives chunks back and does nothing else, and the kernel, which
 * hands blocks over again as they are: it stores one word for a block of 6,241 frames, so that it
 * is never what the reader waits for, also where there are only two processors.
 *
 * First a run in which every record of every file is compared with the frame that was sent. Then
 * RUNS runs that are timed: by the reader's processor time, which is the answer, and by the wall
 * clock. Prints one object of JSON.
 */
#include "capture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum {
    BLOCK_SIZE = 1 << 20,
    CHUNK_SIZE = 4 << 20,
    CHUNKS = 16,
    BLOCKS_A_RUN = 2048, /* 12.8 million short frames: some tenths of a second */
    CHECKED_ROUNDS = 2,  /* of the ring: the second begins with a block that was given back */
    MOST_RUNS = 100,

    LONGEST_WIRE = 1514,
    HIT_EVERY = 100, /* of so many frames one has the address, at random */
    HIT = 0x0a234567,
    ADDRESS_OFFSET = 26,
    SERIAL_OFFSET = 42,
    ETHERNET_HEADER = 14,
    TCP_OPTIONS = 12,
    HEADERS = ETHERNET_HEADER + 20 + 20 + TCP_OPTIONS,
    /* About 10 Gbit/s of shortest frames. It divides the interval of a file and the first frame is
     * not at the beginning of one, so that frames fall on all limits but the first. */
    NS_A_FRAME = 64,
    FIRST_NS = 12345 * NS_A_FRAME,
};
static const uint8_t HEADER[FC_PCAP_FILE_HEADER] = "what every file begins";
static const int64_t SECOND = 1000000000;
/* Since 1970. In the future, so that no interval is over by the clock: only frames end files. */
static const int64_t FIRST_SECOND = 4000000000;

/* ---- What is measured -------------------------------------------------------------------- */

struct variant {
    const char *name;
    uint32_t wire;    /* length of each frame on the wire, a tag not counted */
    uint32_t snaplen; /* what the ring's filter returns, and the file's */
    bool tagged;
    bool filtered; /* by the program, in user space */
    bool sliced;   /* behind TCP's options */
    bool pcapng;
    uint64_t rotate_bytes;
    uint64_t rotate_ns;
};

static const struct variant VARIANTS[] = {
    {.name = "plain", .wire = 300, .snaplen = 80},
    {.name = "tagged", .wire = 300, .snaplen = 80, .tagged = true},
    {.name = "filtered", .wire = 300, .snaplen = 80, .filtered = true},
    {.name = "size", .wire = 300, .snaplen = 80, .rotate_bytes = 1 << 20},
    {.name = "time", .wire = 300, .snaplen = 80, .rotate_ns = 5000000},
    {.name = "sliced", .wire = 300, .snaplen = 80, .sliced = true},
    {.name = "pcapng", .wire = 300, .snaplen = 80, .pcapng = true},
    {.name = "full", .wire = LONGEST_WIRE, .snaplen = 262144},
};

struct bench {
    const struct variant *variant;
    struct fc_capture_settings settings;
    uint8_t *ring;
    uint32_t blocks;
    uint32_t frames_a_block;
    uint64_t frames_a_round;
    uint64_t kept_a_round;
};

static _Noreturn void fail(const char *what, uint64_t number) {
    fprintf(stderr, "ring_reader: %s: %" PRIu64 "\n", what, number);
    exit(1);
}

static void check(bool holds, const char *what, uint64_t number) {
    if (!holds)
        fail(what, number);
}

static int64_t now_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

/* ---- Frames ------------------------------------------------------------------------------ */

/* splitmix64: numbers that look random, the same in every run. */
static uint64_t random_of(uint64_t serial) {
    uint64_t x = serial * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* The last frame of a round is one: a run then ends with the frame that reaches its limit. */
static bool is_hit(const struct bench *bench, uint64_t serial) {
    return random_of(serial) % HIT_EVERY == 0 || serial + 1 == bench->frames_a_round;
}

static bool is_kept(const struct bench *bench, uint64_t serial) {
    return !bench->variant->filtered || is_hit(bench, serial);
}

static int64_t time_of(uint64_t serial) {
    return FIRST_SECOND * SECOND + FIRST_NS + (int64_t)serial * NS_A_FRAME;
}

static uint16_t tci_of(uint64_t serial) {
    return (uint16_t)random_of(~serial);
}

static void store_big(uint8_t *at, uint64_t value, size_t size) {
    while (size-- > 0) {
        at[size] = (uint8_t)value;
        value >>= 8;
    }
}

/* A frame without its tag, `bench->variant->wire` bytes. */
static void make_frame(const struct bench *bench, uint64_t serial, uint8_t *frame) {
    uint64_t random = random_of(serial);
    for (size_t at = 0; at < bench->variant->wire; at += sizeof random) {
        size_t rest = bench->variant->wire - at;
        uint64_t word = random + at;
        memcpy(frame + at, &word, rest < sizeof word ? rest : sizeof word);
    }
    store_big(frame + 12, 0x0800, 2);
    uint32_t address = is_hit(bench, serial) ? HIT : 0x0b000000 | (uint32_t)(random >> 40);
    store_big(frame + ADDRESS_OFFSET, address, 4);
    store_big(frame + ADDRESS_OFFSET + 4, 0x0c000000, 4);
    store_big(frame + SERIAL_OFFSET, serial, 8);
    if (bench->variant->sliced) { /* IPv4 without options, no fragment, and TCP with them */
        frame[ETHERNET_HEADER] = 0x45;
        store_big(frame + ETHERNET_HEADER + 6, 0x4000, 2);
        frame[ETHERNET_HEADER + 9] = 6;
        frame[ETHERNET_HEADER + 20 + 12] = (20 + TCP_OPTIONS) / 4 << 4;
    }
}

/* The same as it was on the wire; returns its length. */
static uint32_t make_wire_frame(const struct bench *bench, uint64_t serial, uint8_t *frame) {
    make_frame(bench, serial, frame);
    if (!bench->variant->tagged)
        return bench->variant->wire;
    memmove(frame + FC_TAG_OFFSET + FC_TAG_LENGTH, frame + FC_TAG_OFFSET,
            bench->variant->wire - FC_TAG_OFFSET);
    store_big(frame + FC_TAG_OFFSET, 0x88a8, 2);
    store_big(frame + FC_TAG_OFFSET + 2, tci_of(serial), 2);
    return bench->variant->wire + FC_TAG_LENGTH;
}

/* ---- The kernel's side ------------------------------------------------------------------- */

static uint32_t align(size_t size, size_t to) {
    return (uint32_t)((size + to - 1) / to * to);
}

/* tpacket_rcv: header and address, 16 bytes for a link header, all aligned to 16; what is captured
 * ends its link header there. */
static uint32_t frame_offset(void) {
    uint32_t header = align(sizeof(struct tpacket3_hdr), TPACKET_ALIGNMENT);
    return align(header + sizeof(struct sockaddr_ll) + 16, TPACKET_ALIGNMENT) - ETHERNET_HEADER;
}

static uint32_t captured_of(const struct variant *variant) {
    return variant->wire < variant->snaplen ? variant->wire : variant->snaplen;
}

static uint32_t frame_size(const struct variant *variant) {
    return align(frame_offset() + captured_of(variant), 8);
}

static void fill_header(const struct bench *bench, uint64_t serial, struct tpacket3_hdr *header) {
    int64_t ns = time_of(serial);
    header->tp_next_offset = frame_size(bench->variant);
    header->tp_sec = (uint32_t)(ns / SECOND);
    header->tp_nsec = (uint32_t)(ns % SECOND);
    header->tp_snaplen = captured_of(bench->variant);
    header->tp_len = bench->variant->wire;
    header->tp_status = TP_STATUS_USER | TP_STATUS_TS_SOFTWARE;
    header->tp_mac = (uint16_t)frame_offset();
    header->tp_net = (uint16_t)(frame_offset() + ETHERNET_HEADER);
    if (!bench->variant->tagged)
        return;
    header->tp_status |= TP_STATUS_VLAN_VALID | TP_STATUS_VLAN_TPID_VALID;
    header->hv1.tp_vlan_tci = tci_of(serial);
    header->hv1.tp_vlan_tpid = 0x88a8;
}

static void fill_block(const struct bench *bench, uint32_t number) {
    uint8_t frame[LONGEST_WIRE + FC_TAG_LENGTH];
    uint8_t *start = bench->ring + (size_t)number * BLOCK_SIZE;
    struct tpacket_block_desc *block = (void *)start;
    struct tpacket_hdr_v1 *header = &block->hdr.bh1;
    uint32_t offset = align(sizeof *block, 8);
    uint32_t size = frame_size(bench->variant);
    uint64_t serial = (uint64_t)number * bench->frames_a_block;
    block->version = TPACKET_V3;
    block->offset_to_priv = offset;
    header->num_pkts = bench->frames_a_block;
    header->offset_to_first_pkt = offset;
    header->blk_len = offset + size * bench->frames_a_block;
    header->seq_num = number + 1;
    header->ts_first_pkt.ts_sec = (uint32_t)(time_of(serial) / SECOND);
    header->ts_first_pkt.ts_nsec = (uint32_t)(time_of(serial) % SECOND);
    for (uint32_t i = 0; i < bench->frames_a_block; i++, serial++, offset += size) {
        struct tpacket3_hdr *of_frame = (void *)(start + offset);
        fill_header(bench, serial, of_frame);
        make_frame(bench, serial, frame);
        memcpy(start + offset + frame_offset(), frame, captured_of(bench->variant));
        if (i + 1 == bench->frames_a_block) {
            of_frame->tp_next_offset = 0;
            header->ts_last_pkt.ts_sec = of_frame->tp_sec;
            header->ts_last_pkt.ts_nsec = of_frame->tp_nsec;
        }
    }
}

/* In pages of 4 KiB, as the kernel's ring is mapped. */
static void make_ring(struct bench *bench) {
    size_t size = (size_t)bench->blocks * BLOCK_SIZE;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(memory != MAP_FAILED, "no memory for a ring of bytes", size);
    madvise(memory, size, MADV_NOHUGEPAGE);
    bench->ring = memory;
    /* the kernel leaves some bytes of a block unused rather than fill it to its end */
    uint32_t room = BLOCK_SIZE - align(sizeof(struct tpacket_block_desc), 8);
    bench->frames_a_block = (room - 1) / frame_size(bench->variant);
    bench->frames_a_round = (uint64_t)bench->frames_a_block * bench->blocks;
    /* where times begin again, the first interval must be over: neither now nor the one before */
    check(bench->frames_a_round * NS_A_FRAME > 3 * bench->variant->rotate_ns,
          "too small for the intervals is a ring of bytes", size);
    for (uint32_t number = 0; number < bench->blocks; number++)
        fill_block(bench, number);
    for (uint64_t serial = 0; serial < bench->frames_a_round; serial++)
        bench->kept_a_round += is_kept(bench, serial);
}

/* Hands over the blocks that were given back, in order; `handed` counts all, up to `most`. */
static void hand_over(const struct bench *bench, uint64_t *handed, uint64_t most) {
    while (*handed < most) {
        size_t number = *handed % bench->blocks;
        struct tpacket_block_desc *block = (void *)(bench->ring + number * BLOCK_SIZE);
        uint32_t *status = &block->hdr.bh1.block_status;
        if (__atomic_load_n(status, __ATOMIC_ACQUIRE) != TP_STATUS_KERNEL)
            return;
        __atomic_store_n(status, TP_STATUS_USER, __ATOMIC_RELEASE);
        (*handed)++;
    }
}

/* ---- Checking ---------------------------------------------------------------------------- */

enum { MOST_OPEN = 2 }; /* files: that of now, and the one before */

struct file {
    uint8_t *bytes;
    size_t length;
    size_t room;
};

struct checker {
    const struct bench *bench;
    struct file open[MOST_OPEN]; /* by file number modulo MOST_OPEN */
    uint64_t ended;
    uint64_t next; /* frame that the next record must hold, over all rounds */
    int64_t last_interval;
};

static void append(struct file *file, const struct fc_chunk *chunk) {
    if (chunk->length > file->room - file->length) {
        file->room = 2 * file->room + chunk->length;
        file->bytes = realloc(file->bytes, file->room);
        check(file->bytes != NULL, "no memory for a file of bytes", file->room);
    }
    memcpy(file->bytes + file->length, chunk->bytes, chunk->length);
    file->length += chunk->length;
}

/* Serial number of the next frame that must be there. */
static uint64_t next_kept(struct checker *checker) {
    const struct bench *bench = checker->bench;
    while (!is_kept(bench, checker->next % bench->frames_a_round))
        checker->next++;
    return checker->next++ % bench->frames_a_round;
}

/* As a record of pcap: the header of one before its bytes; how far the next record is. */
static uint32_t read_pcapng(const uint8_t *at, uint64_t serial, struct fc_pcap_record *record) {
    uint64_t ns = (uint64_t)fc_load32(at + 12) << 32 | fc_load32(at + 16);
    uint32_t size = fc_load32(at + 4);
    *record = (struct fc_pcap_record){
        .seconds = (uint32_t)(ns / (uint64_t)SECOND),
        .fraction = (uint32_t)(ns % (uint64_t)SECOND),
        .captured = fc_load32(at + 20),
        .wire = fc_load32(at + 24),
    };
    check(fc_load32(at) == FC_PCAPNG_FRAME, "no frame's block at", serial);
    check(size == 32 + record->captured + 3 - (record->captured + 3) % 4, "wrong size of", serial);
    check(fc_load32(at + size - 4) == size, "wrong end of", serial);
    return size;
}

static uint32_t check_record(const struct bench *bench, const uint8_t *at, size_t left,
                             uint64_t serial) {
    uint8_t frame[LONGEST_WIRE + FC_TAG_LENGTH];
    uint32_t wire = make_wire_frame(bench, serial, frame);
    uint32_t captured = captured_of(bench->variant) + (bench->variant->tagged ? FC_TAG_LENGTH : 0);
    if (captured > bench->variant->snaplen)
        captured = bench->variant->snaplen;
    if (bench->variant->sliced)
        captured = HEADERS;
    struct fc_pcap_record record;
    bool pcapng = bench->variant->pcapng;
    uint32_t header = pcapng ? FC_PCAPNG_FRAME_HEADER : FC_PCAP_RECORD_HEADER;
    uint32_t size = fc_record_size(pcapng, captured, 0);
    check(left >= size, "a file ends inside the record of", serial);
    if (pcapng)
        check(read_pcapng(at, serial, &record) == size, "wrong size of", serial);
    else
        fc_pcap_record_read(at, false, &record);
    check(fc_pcap_nanoseconds(&record, true) == time_of(serial), "wrong time of", serial);
    check(record.captured == captured, "wrong captured length of", serial);
    check(record.wire == wire, "wrong length on the wire of", serial);
    check(memcmp(at + header, frame, captured) == 0, "wrong bytes of", serial);
    return size;
}

static void check_file(struct checker *checker, const struct file *file, uint64_t frames) {
    const struct bench *bench = checker->bench;
    uint64_t number = checker->ended;
    uint64_t most = bench->variant->rotate_bytes;
    int64_t interval = (int64_t)bench->variant->rotate_ns;
    size_t at = FC_PCAP_FILE_HEADER;
    uint32_t size = 0;
    check(file->length > at, "a file without records", number);
    check(memcmp(file->bytes, bench->settings.header, at) == 0, "wrong header of file", number);
    for (int64_t here = -1; at < file->length; at += size) {
        uint64_t serial = next_kept(checker);
        size = check_record(bench, file->bytes + at, file->length - at, serial);
        if (interval > 0 && here < 0) {
            here = time_of(serial) / interval;
            check(here != checker->last_interval, "two files of one interval", number);
            checker->last_interval = here;
        }
        check(interval == 0 || time_of(serial) / interval == here, "wrong file of", serial);
    }
    check(most == 0 || file->length <= most, "too long is file", number);
    bool last = checker->next == frames;
    check(most == 0 || last || file->length + size > most, "too short is file", number);
}

static void check_chunk(struct checker *checker, const struct fc_chunk *chunk, uint64_t frames) {
    struct file *file = &checker->open[chunk->file % MOST_OPEN];
    check(chunk->file - checker->ended < MOST_OPEN, "more files are open, up to", chunk->file);
    /* what the file of an interval has is handed over when the next interval begins */
    check(chunk->ends || chunk->length == CHUNK_SIZE || checker->bench->variant->rotate_ns > 0,
          "a write of bytes", chunk->length);
    append(file, chunk);
    if (!chunk->ends)
        return;
    check(chunk->file == checker->ended, "ended out of order: file", chunk->file);
    check_file(checker, file, frames);
    file->length = 0;
    checker->ended++;
}

/* ---- One run ----------------------------------------------------------------------------- */

struct run {
    struct fc_capture capture;
    uint64_t frames;
    uint64_t files;
    int64_t cpu_ns; /* of the reader's thread */
    int64_t wall_ns;
};

static void *read_ring(void *argument) {
    struct run *run = argument;
    int64_t cpu = now_of(CLOCK_THREAD_CPUTIME_ID);
    int64_t wall = now_of(CLOCK_MONOTONIC);
    int status = fc_capture_run(&run->capture);
    run->wall_ns = now_of(CLOCK_MONOTONIC) - wall;
    run->cpu_ns = now_of(CLOCK_THREAD_CPUTIME_ID) - cpu;
    check(status == FC_OK, "fc_capture_run returned minus", (uint64_t)-status);
    return NULL;
}

/* `handed` of `blocks` are the reader's already. Returns the frames in all chunks. */
static uint64_t write_and_refill(struct run *run, const struct bench *bench, uint64_t handed,
                                 uint64_t blocks, struct checker *checker) {
    struct fc_queue *queue = &run->capture.queue;
    uint64_t frames = 0;
    bool ended = false;
    while (!ended) {
        /* where little is kept, chunks come seldom, and blocks go all the same */
        struct fc_chunk *chunk = fc_queue_next(queue, 1, &ended);
        hand_over(bench, &handed, blocks);
        if (chunk == NULL)
            continue;
        if (checker != NULL)
            check_chunk(checker, chunk, run->frames);
        frames += chunk->frames;
        run->files += chunk->ends;
        fc_queue_give_back(queue, chunk);
    }
    return frames;
}

/* `rounds` of the ring; every record is checked where there is a checker. */
static void run_rounds(struct run *run, const struct bench *bench, uint64_t rounds,
                       struct checker *checker) {
    struct fc_capture *capture = &run->capture;
    struct fc_capture_account account;
    struct fc_capture_settings settings = bench->settings;
    uint64_t handed = 0;
    uint64_t blocks = rounds * bench->blocks;
    uint64_t kept = rounds * bench->kept_a_round;
    pthread_t reader;
    *run = (struct run){.frames = rounds * bench->frames_a_round};
    settings.limit = kept;
    fc_capture_init(capture, &settings);
    fc_ring_over(&capture->ring, bench->ring, BLOCK_SIZE, bench->blocks);
    int status = fc_queue_open(&capture->queue, CHUNK_SIZE, FC_CAPTURE_SLACK, CHUNKS);
    check(status == FC_OK, "no memory for chunks", CHUNKS);
    hand_over(bench, &handed, bench->blocks);
    check(pthread_create(&reader, NULL, read_ring, run) == 0, "no thread", 0);
    uint64_t in_chunks = write_and_refill(run, bench, handed, blocks, checker);
    pthread_join(reader, NULL);

    fc_capture_read_account(capture, &account);
    check(account.read == run->frames, "frames that were read", account.read);
    check(account.kept == kept, "frames that were kept", account.kept);
    check(account.rejected == run->frames - kept, "frames that were rejected", account.rejected);
    check(account.after_limit == 0, "frames behind the limit", account.after_limit);
    check(in_chunks == kept, "frames in chunks", in_chunks);
    fc_capture_close(capture);
}

static void check_all(const struct bench *bench) {
    struct checker checker = {.bench = bench, .last_interval = -1};
    struct run run;
    run_rounds(&run, bench, CHECKED_ROUNDS, &checker);
    check(checker.next == run.frames, "frames in files end before", checker.next);
    check(checker.ended == run.files && run.files > 0, "files that ended", checker.ended);
    for (size_t i = 0; i < MOST_OPEN; i++)
        free(checker.open[i].bytes);
}

/* ---- The command ------------------------------------------------------------------------- */

/* Instructions as struct fc_instruction, one behind the other; a program without sets. */
static struct fc_program *read_program(const char *path) {
    static struct fc_instruction instructions[4096];
    struct fc_program *program = NULL;
    size_t bad = 0;
    FILE *file = fopen(path, "rb");
    check(file != NULL, "the program cannot be opened", 0);
    size_t count = fread(instructions, sizeof instructions[0], 4096, file);
    fclose(file);
    int status = fc_program_new(
        &(struct fc_program_source){.instructions = instructions, .count = count}, &program, &bad);
    check(status == FC_OK, "not a program: instruction", bad);
    return program;
}

static const struct variant *variant_named(const char *name) {
    for (size_t i = 0; i < sizeof VARIANTS / sizeof VARIANTS[0]; i++)
        if (strcmp(VARIANTS[i].name, name) == 0)
            return &VARIANTS[i];
    return NULL;
}

static uint32_t number_of(const char *text, uint32_t most) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    check(*text != '\0' && *end == '\0' && value >= 1 && value <= most, "numbers are 1 to", most);
    return (uint32_t)value;
}

static int compare(const void *one, const void *other) {
    double difference = *(const double *)one - *(const double *)other;
    return (difference > 0) - (difference < 0);
}

static void print_times(const char *name, double *ns, uint32_t runs) {
    qsort(ns, runs, sizeof *ns, compare);
    printf(", \"%s_ns_best\": %.2f, \"%s_ns_median\": %.2f", name, ns[0], name, ns[runs / 2]);
}

static void measure(const struct bench *bench, uint32_t runs) {
    static double cpu[MOST_RUNS];
    static double wall[MOST_RUNS];
    struct run run;
    uint64_t rounds = BLOCKS_A_RUN > bench->blocks ? BLOCKS_A_RUN / bench->blocks : 1;
    for (uint32_t i = 0; i < runs; i++) {
        run_rounds(&run, bench, rounds, NULL);
        cpu[i] = (double)run.cpu_ns / (double)run.frames;
        wall[i] = (double)run.wall_ns / (double)run.frames;
    }
    printf("{\"variant\": \"%s\", \"ring_mib\": %" PRIu32 ", \"runs\": %" PRIu32
           ", \"frames\": %" PRIu64 ", \"kept\": %" PRIu64 ", \"files\": %" PRIu64
           ", \"ring_bytes_a_frame\": %" PRIu32,
           bench->variant->name, bench->blocks, runs, run.frames, rounds * bench->kept_a_round,
           run.files, frame_size(bench->variant));
    print_times("cpu", cpu, runs);
    print_times("wall", wall, runs);
    printf(", \"million_frames_s\": %.1f}\n", 1000 / cpu[runs / 2]);
}

int main(int count, char **arguments) {
    const struct variant *variant = count >= 4 ? variant_named(arguments[1]) : NULL;
    if (variant == NULL || count != 4 + variant->filtered) {
        fprintf(stderr,
                "usage: ring_reader plain|tagged|sliced|size|time|pcapng|full RING_MIB RUNS\n"
                "       ring_reader filtered RING_MIB RUNS PROGRAM_FILE\n");
        return 2;
    }
    struct bench bench = {.variant = variant, .blocks = number_of(arguments[2], 4096)};
    uint32_t runs = number_of(arguments[3], MOST_RUNS);
    struct fc_program *program = variant->filtered ? read_program(arguments[4]) : NULL;
    bench.settings = (struct fc_capture_settings){
        .header = HEADER,
        .header_length = sizeof HEADER,
        .snaplen = variant->snaplen,
        .slice = {.layer = variant->sliced ? 4 : 0, .ethernet = true},
        .format = {.pcapng = variant->pcapng, .nanoseconds = true},
        .ethernet = true,
        .rotate_bytes = variant->rotate_bytes,
        .rotate_ns = variant->rotate_ns,
        .flush_ns = UINT64_MAX,
        .program = program,
        .counter_fd = -1,
    };
    make_ring(&bench);
    check_all(&bench);
    measure(&bench, runs);
    munmap(bench.ring, (size_t)bench.blocks * BLOCK_SIZE);
    fc_program_free(program);
    return 0;
}
