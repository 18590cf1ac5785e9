/* SPDX-License-Identifier: Apache-2.0
 *
 * Where frames are missing, over a ring that is filled as the kernel does it, drops included: a
 * kernel that counts and flags as af_packet.c does, and the truth beside it.
 */
#include "blocks.h"
#include "loss.h"

enum { BLOCK = 4096, BLOCKS = 5, TRUTH = 100000 };

struct kernel {
    struct fc_ring ring;
    uint8_t *memory;
    struct fc_loss loss;
    uint32_t drops;          /* since the last reading */
    uint64_t opened;         /* blocks so far; the last of them is the kernel's */
    bool frozen;             /* it has none */
    uint64_t before[TRUTH];  /* frames that are missing before each block */
    uint64_t dropped, found; /* in all */
};

static uint8_t *block_of(struct kernel *kernel, uint64_t number) {
    return kernel->memory + number % BLOCKS * BLOCK;
}

static void open_block(struct kernel *kernel) {
    block_begin(block_of(kernel, kernel->opened));
    kernel->opened++;
    kernel->frozen = false;
}

/* prb_close_block */
static void close_block(struct kernel *kernel) {
    uint8_t *block = block_of(kernel, kernel->opened - 1);
    block_hand_over(block);
    if (kernel->drops > 0)
        block_descriptor(block)->hdr.bh1.block_status |= TP_STATUS_LOSING;
    kernel->frozen = true;
}

/* A frame comes: the kernel needs a block for it. `fills`: it is the last that the block holds. */
static void receive(struct kernel *kernel, bool fills) {
    if (kernel->frozen && fc_ring_is_ours(block_descriptor(block_of(kernel, kernel->opened)))) {
        kernel->drops++;
        kernel->dropped++;
        kernel->before[kernel->opened]++;
        return;
    }
    if (kernel->frozen)
        open_block(kernel);
    if (fills)
        close_block(kernel);
}

static void read_statistics(struct kernel *kernel) {
    fc_loss_look(&kernel->loss, &kernel->ring);
    fc_loss_found(&kernel->loss, kernel->drops);
    kernel->drops = 0;
}

static struct kernel *kernel_new(void) {
    struct kernel *kernel = calloc(1, sizeof *kernel);
    kernel->memory = block_new((size_t)BLOCK * BLOCKS);
    for (uint32_t i = 0; i < BLOCKS; i++)
        block_begin(kernel->memory + (size_t)i * BLOCK);
    fc_ring_over(&kernel->ring, kernel->memory, BLOCK, BLOCKS);
    open_block(kernel);
    return kernel;
}

static void kernel_free(struct kernel *kernel) {
    free(kernel->memory);
    free(kernel);
}

/* As the live loop does; what is missing before the block. */
static bool take(struct kernel *kernel, uint64_t *missing, bool prompt) {
    struct fc_ring_block block;
    if (!fc_ring_take(&kernel->ring, &block))
        return false;
    if (fc_loss_is_news(&kernel->loss, &block))
        read_statistics(kernel);
    *missing = fc_loss_before_block(&kernel->loss);
    kernel->found += *missing;
    bool full = fc_loss_is_full(&kernel->ring);
    fc_ring_give_back(&kernel->ring);
    fc_loss_give_back(&kernel->loss);
    if (full && prompt)
        read_statistics(kernel);
    return true;
}

static void a_reader_that_looks_in_time_knows_each_gap(void) {
    for (int round = 0; round < 300; round++) {
        struct kernel *kernel = kernel_new();
        uint64_t taken = 0;
        uint64_t missing;
        check_about("round %d", round);
        for (int step = 0; step < 400; step++) {
            for (uint32_t frames = random_below(40); frames > 0; frames--)
                receive(kernel, random_below(4) == 0);
            if (random_below(5) == 0)
                read_statistics(kernel);
            for (uint32_t blocks = random_below(4); blocks > 0; blocks--) {
                if (!take(kernel, &missing, true))
                    break;
                CHECK_IS(missing, kernel->before[taken]);
                taken++;
            }
        }
        read_statistics(kernel);
        kernel->found += fc_loss_at_end(&kernel->loss);
        CHECK_IS(kernel->found, kernel->dropped);
        kernel_free(kernel);
    }
}

/* One that is held up just there may give the frames of several gaps to the first of them: never
 * to a later one, and none is lost. */
static void a_reader_that_is_late_knows_the_first_gap_and_all_frames(void) {
    for (int round = 0; round < 300; round++) {
        struct kernel *kernel = kernel_new();
        uint64_t taken = 0;
        uint64_t truth = 0;
        uint64_t missing;
        check_about("round %d", round);
        for (int step = 0; step < 400; step++) {
            for (uint32_t frames = random_below(40); frames > 0; frames--)
                receive(kernel, random_below(4) == 0);
            if (random_below(5) == 0)
                read_statistics(kernel);
            for (uint32_t blocks = random_below(4); blocks > 0; blocks--) {
                if (!take(kernel, &missing, random_below(2)))
                    break;
                truth += kernel->before[taken++];
                CHECK(kernel->found >= truth);
                CHECK(missing == 0 || kernel->before[taken - 1] > 0);
            }
        }
        read_statistics(kernel);
        kernel->found += fc_loss_at_end(&kernel->loss);
        CHECK_IS(kernel->found, kernel->dropped);
        kernel_free(kernel);
    }
}

static void more_gaps_than_there_is_room_for_are_one(void) {
    static struct fc_loss loss;
    uint64_t frames = 0;
    loss = (struct fc_loss){0};
    for (uint64_t i = 0; i < 3 * FC_LOSS_MOST; i++) {
        loss.place = 10 + 2 * i;
        fc_loss_found(&loss, 1);
        fc_loss_found(&loss, 0);
    }
    for (uint64_t block = 0; block < 20 * FC_LOSS_MOST; block++) {
        bool starts = block >= 10 && block % 2 == 0 && block < 10 + 2 * FC_LOSS_MOST;
        bool last = block == 10 + 2 * (FC_LOSS_MOST - 1);
        uint64_t missing = fc_loss_before_block(&loss);
        CHECK_IS(missing, last ? 2 * FC_LOSS_MOST + 1 : starts);
        frames += missing;
        fc_loss_give_back(&loss);
    }
    CHECK_IS(frames, 3 * FC_LOSS_MOST);
    CHECK_IS(fc_loss_at_end(&loss), 0);
}

int main(int count, char **arguments) {
    random_seed(random_seed_argument(count, arguments));
    TEST(a_reader_that_looks_in_time_knows_each_gap);
    TEST(a_reader_that_is_late_knows_the_first_gap_and_all_frames);
    TEST(more_gaps_than_there_is_room_for_are_one);
    return check_result();
}
