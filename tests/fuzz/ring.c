/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of a ring block through the walk over it and through the live loop: nothing outside is
 * read, every frame given lies inside, and what is written is whole records.
 *
 * Input: a byte of flags, a snaplen, then the block; make_corpus.py writes the same.
 */
#include "buffer.h"
#include "capture.h"
#include "scan.h"

#include "target.h"

enum { CHUNK = 1 << 20, CHUNKS = 3, LONGEST_BLOCK = 4096 };

static uint32_t walk(const struct fc_ring *ring) {
    struct fc_ring_block block;
    struct fc_ring_frame frame;
    uint32_t count = 0;
    uint32_t sum = 0;
    HOLDS(fc_ring_take(ring, &block));
    uint32_t promised = block.left;
    while (fc_ring_next_frame(&block, &frame)) {
        HOLDS(frame.bytes >= ring->map && frame.captured <= ring->block_size);
        HOLDS((size_t)(frame.bytes - ring->map) <= ring->block_size - frame.captured);
        for (uint32_t i = 0; i < frame.captured; i++)
            sum += frame.bytes[i];
        count++;
    }
    HOLDS(count <= promised && count <= ring->block_size / sizeof(struct tpacket3_hdr));
    return count + (sum & 0);
}

static void check_chunks(struct fc_capture *capture, uint32_t frames) {
    struct fc_buffer file = {0};
    struct fc_chunk *chunk;
    bool ended;
    uint64_t counted = 0;
    while ((chunk = fc_queue_next(&capture->queue, 0, &ended)) != NULL) {
        HOLDS(fc_buffer_append(&file, chunk->bytes, chunk->length) == FC_OK);
        counted += chunk->frames;
        fc_queue_give_back(&capture->queue, chunk);
    }
    HOLDS(ended && counted == frames && file.length >= FC_PCAP_FILE_HEADER);
    struct fc_scan scan = {
        .bytes = file.bytes,
        .length = file.length,
        .offset = FC_PCAP_FILE_HEADER,
        .layout = {.nanoseconds = true, .snaplen = 262144, .max_captured = 262144},
    };
    struct fc_scan_summary summary;
    fc_scan_take(&scan, UINT64_MAX, false, &summary);
    HOLDS(summary.frames == frames && scan.offset == scan.length);
    fc_buffer_free(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {.at = data, .left = size};
    struct fc_capture capture;
    struct fc_ring ring;
    size_t length;
    uint8_t flags = take_byte(&input);
    static const uint8_t header[FC_PCAP_FILE_HEADER];
    struct fc_capture_settings settings = {
        .header = header,
        .header_length = sizeof header,
        .snaplen = 1 + 17 * (uint32_t)take_byte(&input),
        .format = {.nanoseconds = flags & 1},
        .ethernet = flags & 2,
        .eager = true,
        .flush_ns = UINT64_MAX,
        .limit = UINT64_MAX,
        .counter_fd = -1,
    };
    uint8_t *block = take_block(&input, LONGEST_BLOCK, &length);
    if (length < sizeof(struct tpacket_block_desc)) {
        free(block);
        return 0;
    }
    block[8] |= TP_STATUS_USER; /* block_status */
    fc_ring_over(&ring, block, length, 1);
    uint32_t frames = walk(&ring);
    fc_capture_init(&capture, &settings);
    capture.ring = ring;
    HOLDS(fc_queue_open(&capture.queue, CHUNK, FC_CAPTURE_SLACK, CHUNKS) == FC_OK);
    fc_capture_stop(&capture);
    HOLDS(fc_capture_run(&capture) == FC_OK);
    check_chunks(&capture, frames);
    fc_capture_close(&capture);
    free(block);
    return 0;
}
