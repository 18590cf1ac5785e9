/* SPDX-License-Identifier: Apache-2.0
 *
 * Ring, reader, queue and writer on threads of their own, under the thread sanitizer: one thread
 * plays the kernel, one reads, one writes files, one looks at the counts, rotates and stops.
 */
#include "blocks.h"
#include "capture.h"
#include "writer.h"

#include <fcntl.h>
#include <unistd.h>

enum {
    BLOCK = 16384,
    BLOCKS = 8,
    CHUNK = 8192,
    MOST_FILES = 100000,
    FRAMES = 20000,
    SERIAL = 30, /* where it is in a frame */
};

static const uint8_t HEADER[FC_PCAP_FILE_HEADER] = {0};

struct play {
    struct fc_capture capture;
    uint8_t *memory;
    uint64_t put;
    uint64_t wrong; /* checks that failed in other threads; each has its own in turn */
    uint64_t files;
    uint64_t written;
    uint32_t done;
};

static void make_wire(struct wire *wire, uint64_t serial) {
    wire->length = 60;
    wire->snaplen = 80;
    wire->ns = 1700000000 * (int64_t)1000000000 + (int64_t)serial * 1000;
    memset(wire->bytes, (int)serial & 0xff, wire->length);
    memcpy(wire->bytes + SERIAL, &serial, sizeof serial);
}

/* Fills one block after the other, as soon as it is its own; some are handed over half empty. */
static void *play_kernel(void *argument) {
    struct play *play = argument;
    struct wire wire = {0};
    for (uint32_t place = 0; play->put < FRAMES; place = (place + 1) % BLOCKS) {
        uint8_t *block = play->memory + (size_t)place * BLOCK;
        while (fc_ring_is_ours(block_descriptor(block)))
            usleep(100);
        block_begin(block);
        for (uint64_t count = 1 + play->put * 7919 % 110; count > 0 && play->put < FRAMES;
             count--) {
            make_wire(&wire, play->put);
            if (!block_add(block, BLOCK, &wire))
                break;
            play->put++;
        }
        block_end(block);
    }
    return NULL;
}

static void *play_reader(void *argument) {
    struct play *play = argument;
    return fc_capture_run(&play->capture) == FC_OK ? NULL : argument;
}

static void name_of(char *name, size_t size, uint64_t number, bool finished) {
    snprintf(name, size, "%s%08" PRIu64 ".pcap", finished ? "" : ".", number);
}

/* True where all went well. */
static bool write_chunk(struct fc_writer *writer, int *fd, const struct fc_chunk *chunk) {
    char hidden[40];
    char name[40];
    name_of(hidden, sizeof hidden, chunk->file, false);
    name_of(name, sizeof name, chunk->file, true);
    if (*fd < 0) {
        *fd = open(hidden, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (*fd < 0 || fc_writer_open(writer, *fd, FC_WRITER_BLOCK, NULL) < 0)
            return false;
    }
    if (fc_writer_write(writer, chunk->bytes, chunk->length) < 0)
        return false;
    if (!chunk->ends)
        return true;
    fc_writer_close(writer);
    close(*fd);
    *fd = -1;
    return fc_writer_publish(hidden, name, false) == FC_OK;
}

static void *play_writer(void *argument) {
    struct play *play = argument;
    struct fc_writer writers[2];
    uint64_t numbers[2] = {UINT64_MAX, UINT64_MAX};
    int fds[2] = {-1, -1};
    bool ended = false;
    while (!ended) {
        struct fc_chunk *chunk = fc_queue_next(&play->capture.queue, 50, &ended);
        if (chunk == NULL)
            continue;
        int slot = numbers[0] == chunk->file   ? 0
                   : numbers[1] == chunk->file ? 1
                   : fds[0] < 0                ? 0
                                               : 1;
        numbers[slot] = chunk->file;
        play->wrong += !write_chunk(&writers[slot], &fds[slot], chunk);
        play->written += chunk->frames;
        if (chunk->file >= play->files)
            play->files = chunk->file + 1;
        fc_queue_give_back(&play->capture.queue, chunk);
    }
    play->wrong += fds[0] >= 0 || fds[1] >= 0;
    return NULL;
}

/* Every frame that was put into the ring, once and in order. */
static void check_files(const struct play *play) {
    static uint8_t bytes[64 << 20];
    uint64_t serial = 0;
    for (uint64_t i = 0; i < play->files; i++) {
        char name[40];
        name_of(name, sizeof name, i, true);
        int fd = open(name, O_RDONLY);
        ssize_t length = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
        if (!CHECK(length >= FC_PCAP_FILE_HEADER))
            return;
        close(fd);
        unlink(name);
        for (ssize_t at = FC_PCAP_FILE_HEADER; at < length; at += 76, serial++) {
            uint64_t found;
            memcpy(&found, bytes + at + 16 + SERIAL, sizeof found);
            if (!CHECK_IS(found, serial))
                return;
        }
    }
    CHECK_IS(serial, play->put);
}

static void everything_arrives(uint64_t rotate_bytes, uint64_t rotate_ns, uint32_t chunks) {
    static struct play play;
    pthread_t kernel;
    pthread_t reader;
    pthread_t writer;
    void *failed;
    play = (struct play){.memory = block_new((size_t)BLOCK * BLOCKS)};
    struct fc_capture_settings settings = {
        .header = HEADER,
        .header_length = sizeof HEADER,
        .snaplen = 80,
        .format = {.nanoseconds = true},
        .ethernet = true,
        .rotate_bytes = rotate_bytes,
        .rotate_ns = rotate_ns,
        .flush_ns = 1000000,
        .limit = UINT64_MAX,
        .counter_fd = -1,
    };
    check_about("%u bytes, %u ns, %u chunks", (unsigned)rotate_bytes, (unsigned)rotate_ns, chunks);
    fc_capture_init(&play.capture, &settings);
    fc_ring_over(&play.capture.ring, play.memory, BLOCK, BLOCKS);
    CHECK_IS(fc_queue_open(&play.capture.queue, CHUNK, FC_CAPTURE_SLACK, chunks), FC_OK);
    pthread_create(&writer, NULL, play_writer, &play);
    pthread_create(&reader, NULL, play_reader, &play);
    pthread_create(&kernel, NULL, play_kernel, &play);
    for (int i = 0; i < 50; i++) {
        struct fc_capture_account account;
        uint64_t now;
        uint64_t most;
        fc_capture_read_account(&play.capture, &account);
        fc_queue_used(&play.capture.queue, &now, &most);
        CHECK(now <= most && most <= (uint64_t)chunks * CHUNK);
        CHECK(fc_capture_ring_fill(&play.capture) <= 1);
        fc_capture_set_longest(&play.capture, 60 + (uint32_t)i);
        CHECK(account.kept <= FRAMES);
        if (i % 7 == 0)
            fc_capture_rotate(&play.capture);
        usleep(500);
    }
    pthread_join(kernel, NULL);
    fc_capture_stop(&play.capture);
    pthread_join(reader, &failed);
    pthread_join(writer, NULL);
    struct fc_capture_account account;
    fc_capture_read_account(&play.capture, &account);
    CHECK(failed == NULL);
    CHECK_IS(play.wrong, 0);
    CHECK_IS(play.put, FRAMES);
    CHECK_IS(account.read, play.put);
    CHECK_IS(account.kept, play.put);
    CHECK_IS(play.written, play.put);
    check_files(&play);
    fc_capture_close(&play.capture);
    free(play.memory);
}

int main(void) {
    everything_arrives(0, 0, 64);
    everything_arrives(100000, 0, 64);
    everything_arrives(0, 5000000, 64);
    everything_arrives(50000, 3000000, 64);
    everything_arrives(50000, 3000000, 4); /* the reader waits for the writer */
    return check_result();
}
