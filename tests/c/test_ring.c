/* SPDX-License-Identifier: Apache-2.0
 *
 * The packet ring: blocks as the kernel makes them, and blocks that lie.
 */
#include "blocks.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { BLOCK = 16384, BLOCKS = 5 };

static void frames_come_out_as_they_were_put_in(void) {
    static struct wire wires[200];
    for (int round = 0; round < 50; round++) {
        uint8_t *memory = block_new(BLOCK);
        struct fc_ring ring;
        struct fc_ring_block block;
        struct fc_ring_frame frame;
        uint32_t count = 0;
        uint32_t snaplen = random_below(2) ? 80 : 262144;
        check_about("round %d", round);
        block_begin(memory);
        do
            random_wire(&wires[count], snaplen,
                        (int64_t)random32() * 1000000000 + random_below(1000000000));
        while (count < 200 && block_add(memory, BLOCK, &wires[count]) && ++count < 200);
        fc_ring_over(&ring, memory, BLOCK, 1);
        CHECK(!fc_ring_take(&ring, &block));
        block_end(memory);
        CHECK(fc_ring_take(&ring, &block));
        CHECK_IS(block.left, count);
        CHECK_IS(block.last_ns, wires[count - 1].ns);
        for (uint32_t i = 0; i < count; i++) {
            const struct wire *wire = &wires[i];
            uint32_t tag = wire->tagged ? 4 : 0;
            if (!CHECK(fc_ring_next_frame(&block, &frame)))
                break;
            uint32_t length = wire->length - tag;
            CHECK_IS(frame.wire, length);
            CHECK_IS(frame.captured, length < snaplen ? length : snaplen);
            CHECK_IS(frame.seconds * (int64_t)1000000000 + frame.nanoseconds, wire->ns);
            CHECK(frame.captured < 12 || memcmp(frame.bytes, wire->bytes, 12) == 0);
            CHECK(memcmp(frame.bytes + 12, wire->bytes + 12 + tag, frame.captured - 12) == 0);
            CHECK_IS(frame.tagged, wire->tagged);
            if (wire->tagged) {
                CHECK_IS(frame.tpid, fc_load_big16(wire->bytes + 12));
                CHECK_IS(frame.tci, fc_load_big16(wire->bytes + 14));
            }
        }
        CHECK(!fc_ring_next_frame(&block, &frame));
        free(memory);
    }
}

static uint32_t odd_number(void) {
    static const uint32_t odd[] = {0,          1,          47,        48,        49,
                                   82,         BLOCK - 1,  BLOCK,     BLOCK + 1, 0x7fffffff,
                                   0x80000000, 0xffffffff, 0xfffffff8};
    return random_below(3) ? odd[random_below(sizeof odd / sizeof *odd)] : random32();
}

/* One to three fields of a block or of one of its frames say something else. */
static void lie(uint8_t *memory) {
    struct tpacket_hdr_v1 *header = &block_descriptor(memory)->hdr.bh1;
    for (uint32_t lies = 1 + random_below(3); lies > 0; lies--) {
        struct tpacket3_hdr frame;
        uint8_t *at = memory + BLOCK_HEADER + 8 * random_below((BLOCK - 100) / 8);
        memcpy(&frame, at, sizeof frame);
        switch (random_below(9)) {
        case 0: header->num_pkts = odd_number(); break;
        case 1: header->offset_to_first_pkt = odd_number(); break;
        case 2: header->blk_len = odd_number(); break;
        case 3: frame.tp_next_offset = odd_number(); break;
        case 4: frame.tp_snaplen = odd_number(); break;
        case 5: frame.tp_mac = (uint16_t)odd_number(); break;
        case 6: frame.tp_len = odd_number(); break;
        case 7: frame.tp_status = odd_number(); break;
        case 8: random_fill(memory + BLOCK_HEADER, BLOCK - BLOCK_HEADER); return;
        }
        memcpy(at, &frame, sizeof frame);
    }
}

static void a_block_that_lies_is_never_left(void) {
    struct wire wire;
    uint32_t sum = 0;
    for (int round = 0; round < 20000; round++) {
        uint8_t *memory = block_new(BLOCK); /* so that ASAN sees the first byte behind it */
        struct fc_ring ring;
        struct fc_ring_block block;
        struct fc_ring_frame frame;
        check_about("round %d", round);
        block_begin(memory);
        do
            random_wire(&wire, 80, round);
        while (block_add(memory, BLOCK, &wire));
        block_end(memory);
        block_descriptor(memory)->hdr.bh1.block_status = TP_STATUS_KERNEL;
        lie(memory);
        block_hand_over(memory);
        fc_ring_over(&ring, memory, BLOCK, 1);
        CHECK(fc_ring_take(&ring, &block));
        uint32_t left = block.left;
        uint32_t most = BLOCK / sizeof(struct tpacket3_hdr); /* none leads back */
        while (fc_ring_next_frame(&block, &frame) && CHECK(most > 0)) {
            CHECK(frame.captured <= BLOCK);
            if (frame.captured > 0)
                sum += frame.bytes[0] + frame.bytes[frame.captured - 1];
            most--;
            left--;
        }
        CHECK_IS(block.left, left);
        free(memory);
    }
    CHECK(sum != 1); /* the bytes were looked at */
}

static void blocks_are_taken_and_given_back_in_order_round_and_round(void) {
    uint8_t *memory = block_new(BLOCK * BLOCKS);
    struct fc_ring ring;
    struct fc_ring_block block;
    fc_ring_over(&ring, memory, BLOCK, BLOCKS);
    for (uint32_t i = 0; i < BLOCKS; i++)
        block_begin(memory + i * BLOCK);
    CHECK_IS(fc_ring_fill(&ring), 0);
    for (uint32_t turn = 0; turn < 3 * BLOCKS; turn++) {
        uint32_t place = turn % BLOCKS;
        check_about("turn %u", turn);
        CHECK(!fc_ring_take(&ring, &block));
        block_end(memory + place * BLOCK);
        block_end(memory + (place + 1) % BLOCKS * BLOCK);
        CHECK_IS(fc_ring_fill(&ring), 2);
        CHECK(fc_ring_take(&ring, &block));
        CHECK(block.bytes == memory + place * BLOCK);
        fc_ring_give_back(&ring);
        CHECK_IS(fc_ring_fill(&ring), 1);
        CHECK(fc_ring_take(&ring, &block)); /* the next one */
        CHECK(block.bytes == memory + (place + 1) % BLOCKS * BLOCK);
        block_descriptor(memory + (place + 1) % BLOCKS * BLOCK)->hdr.bh1.block_status = 0;
    }
    fc_ring_close(&ring); /* the memory is ours still */
    memory[0] = 1;
    free(memory);
}

static void why_a_block_was_handed_over_is_told(void) {
    uint8_t *memory = block_new(BLOCK);
    struct fc_ring ring;
    struct fc_ring_block block;
    fc_ring_over(&ring, memory, BLOCK, 1);
    block_begin(memory);
    for (uint32_t flags = 0; flags < 4; flags++) {
        block_descriptor(memory)->hdr.bh1.block_status = TP_STATUS_USER |
                                                         (flags & 1 ? TP_STATUS_BLK_TMO : 0) |
                                                         (flags & 2 ? TP_STATUS_LOSING : 0);
        CHECK(fc_ring_take(&ring, &block));
        CHECK_IS(block.timed_out, flags & 1);
        CHECK_IS(block.losing, flags >> 1);
    }
    free(memory);
}

static void a_ring_over_memory_is_woken_once_for_what_was_handed_over(void) {
    const uint64_t twice = 2;
    int wakes = eventfd(0, EFD_NONBLOCK);
    struct pollfd poll_fd = {.fd = wakes, .events = POLLIN};
    struct fc_ring ring;
    fc_ring_over(&ring, NULL, BLOCK, 0);
    ring.wakes = &wakes;
    CHECK_IS(fc_ring_wait(&ring, 1), FC_OK);
    CHECK_IS(write(wakes, &twice, sizeof twice), sizeof twice);
    CHECK_IS(fc_ring_wait(&ring, 1 << 30), FC_OK);
    CHECK_IS(poll(&poll_fd, 1, 0), 0);
    close(wakes);
    CHECK_IS(fc_ring_wait(&ring, 1), FC_ERROR_SYSTEM);
    CHECK_IS(errno, EBADF);
}

static int descriptors(void) {
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;
    while (folder != NULL && readdir(folder) != NULL)
        count++;
    if (folder != NULL)
        closedir(folder);
    return count;
}

static void a_ring_that_cannot_be_opened_says_why_and_leaves_nothing(void) {
    struct fc_ring_settings settings = {
        .interface = 0x7ffffff0, .block_size = 4096, .block_count = 2};
    struct fc_ring ring;
    int before = descriptors();
    CHECK_IS(fc_ring_open(&ring, &settings), FC_ERROR_SYSTEM);
    CHECK(errno == ENODEV || errno == EPERM || errno == EAFNOSUPPORT);
    settings.block_size = 4095;
    CHECK_IS(fc_ring_open(&ring, &settings), FC_ERROR_SYSTEM);
    CHECK(errno == EINVAL || errno == EPERM || errno == EAFNOSUPPORT);
    CHECK_IS(descriptors(), before);
    CHECK_IS(ring.fd, -1);
    fc_ring_close(&ring);
}

static void filters_of_no_and_of_too_many_instructions_are_refused(void) {
    static uint64_t instructions[4097];
    struct fc_ring_filter filter = {.instructions = instructions};
    CHECK_IS(fc_ring_set_filter(-1, &filter), FC_ERROR_ARGUMENT);
    filter.count = 4097;
    CHECK_IS(fc_ring_set_filter(-1, &filter), FC_ERROR_ARGUMENT);
    filter.count = 1;
    CHECK_IS(fc_ring_set_filter(-1, &filter), FC_ERROR_SYSTEM);
    CHECK_IS(errno, EBADF);
}

int main(int count, char **arguments) {
    random_seed(random_seed_argument(count, arguments));
    TEST(frames_come_out_as_they_were_put_in);
    TEST(a_block_that_lies_is_never_left);
    TEST(blocks_are_taken_and_given_back_in_order_round_and_round);
    TEST(why_a_block_was_handed_over_is_told);
    TEST(a_ring_over_memory_is_woken_once_for_what_was_handed_over);
    TEST(a_ring_that_cannot_be_opened_says_why_and_leaves_nothing);
    TEST(filters_of_no_and_of_too_many_instructions_are_refused);
    return check_result();
}
