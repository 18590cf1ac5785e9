/* SPDX-License-Identifier: Apache-2.0
 *
 * The simulated ring: what a reader gets of it, alone and beside a thread that plays the kernel, is
 * every frame of the generator that is not counted as dropped, in order.
 */
#include "capture.h"
#include "check.h"
#include "simulated.h"

#include <time.h>
#include <unistd.h>

enum { SECOND = 1000000000, MILLISECOND = 1000000, CHUNK = 65536 };

static const struct fc_generator_size SIZES[] = {{64, 7}, {594, 4}, {1518, 1}};

static const struct fc_generator *generator(void) {
    static struct fc_generator made;
    struct fc_generator_settings settings = {
        .seed = 5, .sizes = SIZES, .size_count = 3, .flows = 100, .tcp_percent = 50};
    if (!CHECK_IS(fc_generator_init(&made, &settings), FC_OK))
        abort();
    return &made;
}

static struct fc_simulated opened(uint32_t snaplen, uint32_t block_size, uint32_t block_count) {
    struct fc_simulated simulated;
    struct fc_simulated_settings settings = {.generator = generator(),
                                             .snaplen = snaplen,
                                             .block_size = block_size,
                                             .block_count = block_count};
    if (!CHECK_IS(fc_simulated_open(&simulated, &settings), FC_OK))
        abort();
    return simulated;
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (int64_t)time.tv_sec * SECOND + time.tv_nsec;
}

/* ---- Taken by hand ----------------------------------------------------------------------- */

struct taken {
    struct fc_ring ring;
    uint64_t next; /* serial that the next frame must have, where none was dropped */
    uint64_t frames;
    uint64_t wire_bytes;
    uint64_t skipped; /* serials before a block that says that frames are missing */
    uint64_t timed_out;
    int64_t last_ns;
};

/* The frame is the generator's but for its number; the head tells which. */
static void check_frame(struct taken *taken, const struct fc_ring_frame *frame, uint32_t snaplen,
                        uint64_t place) {
    uint8_t made[FC_GENERATOR_ROOM];
    struct fc_generator_label label;
    fc_generator_prepare(generator(), made);
    uint32_t wire = fc_generator_write(generator(), place, 0, made);
    int64_t ns = (int64_t)frame->seconds * SECOND + frame->nanoseconds;
    CHECK_IS(frame->wire, wire);
    CHECK_IS(frame->captured, wire < snaplen ? wire : snaplen);
    CHECK(ns >= taken->last_ns);
    taken->last_ns = ns;
    if (frame->captured >= FC_GENERATOR_HEAD) {
        CHECK(fc_generator_read(frame->bytes, frame->captured, &label));
        CHECK_IS(label.serial, taken->next);
        fc_generator_renumber(made, taken->next);
    }
    CHECK(memcmp(frame->bytes, made, frame->captured) == 0);
    taken->next++;
    taken->frames++;
    taken->wire_bytes += wire + FC_GENERATOR_FCS;
}

/* The next block; false where none waits. `place` is where its first frame is in the ring. */
static bool take_block(struct taken *taken, uint32_t snaplen, uint64_t place) {
    struct fc_ring_block block;
    struct fc_ring_frame frame;
    struct fc_generator_label label;
    if (!fc_ring_take(&taken->ring, &block))
        return false;
    uint32_t count = block.left;
    for (uint32_t i = 0; fc_ring_next_frame(&block, &frame); i++) {
        if (i == 0 && block.losing && fc_generator_read(frame.bytes, frame.captured, &label)) {
            taken->skipped += label.serial - taken->next;
            taken->next = label.serial;
        }
        check_frame(taken, &frame, snaplen, place + i);
        count--;
    }
    CHECK_IS(count, 0);
    CHECK_IS(block.last_ns, taken->last_ns);
    taken->timed_out += block.timed_out;
    fc_ring_give_back(&taken->ring);
    return true;
}

static void every_frame_is_the_generators_cut_in_order_round_after_round(void) {
    static const uint32_t snaplens[] = {0, 1, 59, 60, 80, 600, 262144};
    for (size_t i = 0; i < sizeof snaplens / sizeof *snaplens; i++) {
        struct fc_simulated simulated = opened(snaplens[i], 8192, 5);
        struct taken taken = {.last_ns = now()};
        struct fc_simulated_account account;
        check_about("snaplen %u", snaplens[i]);
        fc_simulated_lend(&simulated, &taken.ring);
        for (int round = 0; round < 3; round++) {
            uint64_t place = 0;
            for (uint32_t number = 0; number < 5; number++) {
                struct fc_simulated_limits limits = {.frames = simulated.frames[number]};
                CHECK_IS(fc_simulated_run(&simulated, &limits), FC_OK);
                CHECK(take_block(&taken, snaplens[i], place));
                place += simulated.frames[number];
            }
        }
        CHECK(!take_block(&taken, snaplens[i], 0));
        fc_simulated_read_account(&simulated, &account);
        CHECK_IS(account.offered, taken.frames);
        CHECK_IS(account.wire_bytes, taken.wire_bytes);
        CHECK_IS(account.blocks, 15);
        CHECK_IS(account.most_waiting, 1);
        CHECK_IS(account.dropped, 0);
        CHECK_IS(taken.timed_out, 0);
        CHECK(taken.last_ns <= now());
        fc_simulated_close(&simulated);
    }
}

static void a_block_that_is_not_full_is_handed_over_in_the_end(void) {
    struct fc_simulated simulated = opened(80, 4096, 2);
    struct taken taken = {0};
    struct fc_simulated_limits limits = {.frames = 3};
    uint64_t times = 0;
    fc_simulated_lend(&simulated, &taken.ring);
    CHECK_IS(fc_simulated_run(&simulated, &limits), FC_OK);
    CHECK_IS(read(*taken.ring.wakes, &times, sizeof times), sizeof times);
    CHECK_IS(times, 1);
    CHECK(take_block(&taken, 80, 0));
    CHECK_IS(taken.frames, 3);
    CHECK_IS(taken.timed_out, 1);
    CHECK_IS(fc_simulated_run(&simulated, &limits), FC_OK);
    CHECK(take_block(&taken, 80, simulated.frames[0]));
    CHECK_IS(taken.frames, 6);
    fc_simulated_close(&simulated);
}

static void at_a_low_rate_a_block_is_handed_over_when_time_is_up(void) {
    struct fc_simulated simulated = opened(80, 1 << 16, 8);
    struct fc_simulated_limits limits = {.rate = 100, .duration_ns = 300 * MILLISECOND};
    struct fc_simulated_account account;
    CHECK_IS(fc_simulated_run(&simulated, &limits), FC_OK);
    fc_simulated_read_account(&simulated, &account);
    CHECK(account.blocks > 1);
    CHECK_IS(account.most_waiting, account.blocks);
    CHECK_IS(account.dropped, 0);
    CHECK(account.late > 0 || account.offered == 30);
    CHECK(account.elapsed_ns >= 300 * MILLISECOND);
    CHECK_IS(simulated.told.accepted, account.offered);
    fc_simulated_close(&simulated);
}

/* Nobody reads: what does not fit is dropped, and what comes behind it says so. */
static void what_finds_no_block_is_dropped_and_counted(void) {
    struct fc_simulated simulated = opened(80, 4096, 4);
    struct fc_simulated_limits limits = {.rate = 1e6, .frames = 5000};
    struct taken taken = {0};
    struct fc_simulated_account account;
    fc_simulated_lend(&simulated, &taken.ring);
    CHECK_IS(fc_simulated_run(&simulated, &limits), FC_OK);
    fc_simulated_read_account(&simulated, &account);
    uint64_t room = 0;
    for (uint32_t i = 0; i < 4; i++)
        room += simulated.frames[i];
    CHECK_IS(account.offered, 5000);
    CHECK_IS(account.dropped, 5000 - room);
    CHECK_IS(account.full, 1);
    CHECK_IS(account.most_waiting, 4);
    CHECK_IS(simulated.told.dropped, account.dropped);
    CHECK_IS(simulated.told.accepted, room);
    CHECK_IS(simulated.told.full, 1);
    uint64_t place = 0;
    for (uint32_t i = 0; i < 4; i++) {
        CHECK(take_block(&taken, 80, place));
        place += simulated.frames[i];
    }
    CHECK_IS(taken.skipped, 0);
    limits.frames = simulated.frames[0];
    CHECK_IS(fc_simulated_run(&simulated, &limits), FC_OK);
    CHECK(take_block(&taken, 80, 0));
    CHECK_IS(taken.skipped, account.dropped);
    CHECK_IS(taken.frames, room + simulated.frames[0]);
    fc_simulated_close(&simulated);
}

static void without_a_rate_nothing_is_dropped(void) {
    struct fc_simulated simulated = opened(80, 4096, 2);
    struct fc_simulated_limits limits = {.duration_ns = 20 * MILLISECOND};
    struct fc_simulated_account account;
    CHECK_IS(fc_simulated_run(&simulated, &limits), FC_OK);
    fc_simulated_read_account(&simulated, &account);
    CHECK_IS(account.offered, simulated.frames[0] + simulated.frames[1]);
    CHECK_IS(account.dropped, 0);
    CHECK_IS(account.full, 0);
    fc_simulated_close(&simulated);
}

static void a_cancel_ends_it(void) {
    static const double rates[] = {0, 1, 1e6};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        struct fc_simulated simulated = opened(80, 4096, 2);
        struct fc_cancel cancel = {0};
        struct fc_simulated_limits limits = {.rate = rates[i], .cancel = &cancel};
        struct fc_simulated_account account;
        fc_cancel_set(&cancel);
        CHECK_IS(fc_simulated_run(&simulated, &limits), FC_OK);
        fc_simulated_read_account(&simulated, &account);
        CHECK_IS(account.offered, 0);
        CHECK_IS(account.blocks, 0);
        fc_simulated_close(&simulated);
    }
}

static void settings_that_cannot_be_are_refused(void) {
    static const uint32_t sizes[][2] = {{0, 8},    {2048, 8}, {4095, 8},
                                        {4100, 8}, {4096, 0}, {4096, 1}};
    struct fc_simulated_settings settings = {.generator = generator(), .snaplen = 80};
    struct fc_simulated simulated;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        settings.block_size = sizes[i][0];
        settings.block_count = sizes[i][1];
        CHECK_IS(fc_simulated_open(&simulated, &settings), FC_ERROR_ARGUMENT);
        fc_simulated_close(&simulated);
    }
    struct fc_simulated_limits wrong[] = {{.rate = -1},
                                          {.rate = 2e9},
                                          {.rate = 1e-4},
                                          {.rate = __builtin_nan("")},
                                          {.duration_ns = UINT64_MAX}};
    simulated = opened(80, 4096, 2);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_IS(fc_simulated_run(&simulated, &wrong[i]), FC_ERROR_ARGUMENT);
    fc_simulated_close(&simulated);
    fc_simulated_close(&simulated);
}

/* ---- Beside a capture -------------------------------------------------------------------- */

struct live {
    struct fc_capture capture;
    struct fc_simulated simulated;
    struct fc_simulated_limits limits;
    uint64_t records;
    uint64_t next;    /* serial */
    uint64_t missing; /* serials that were left out */
    uint64_t back;    /* records whose serial is no higher than the one before */
    uint64_t gaps;    /* frames missing, as chunks say */
};

static void *play_kernel(void *argument) {
    struct live *live = argument;
    int status = fc_simulated_run(&live->simulated, &live->limits);
    fc_capture_stop(&live->capture);
    return status == FC_OK ? NULL : argument;
}

static void *play_reader(void *argument) {
    struct live *live = argument;
    return fc_capture_run(&live->capture) == FC_OK ? NULL : argument;
}

/* Whole records: files are as long as a chunk. */
static void read_chunk(struct live *live, const struct fc_chunk *chunk) {
    struct fc_generator_label label;
    for (size_t at = 0; at < chunk->length; at += 16 + fc_load32(chunk->bytes + at + 8)) {
        if (!fc_generator_read(chunk->bytes + at + 16, fc_load32(chunk->bytes + at + 8), &label))
            continue;
        live->back += label.serial < live->next;
        live->missing += label.serial - live->next;
        live->next = label.serial + 1;
        live->records++;
    }
    for (uint32_t i = 0; i < chunk->gap_count; i++)
        live->gaps += chunk->gaps[i].frames;
    live->gaps += chunk->frames_left_out;
}

/* The calling thread is the writer, `pause_us` slower than it could be for each chunk. */
static struct fc_simulated_account play(double rate, uint64_t frames, int pause_us) {
    static struct live live;
    struct fc_capture_settings settings = {
        .snaplen = 80,
        .format = {.nanoseconds = true},
        .ethernet = true,
        .rotate_bytes = CHUNK,
        .flush_ns = SECOND,
        .limit = UINT64_MAX,
        .counter_fd = -1,
    };
    pthread_t kernel;
    pthread_t reader;
    void *failed[2];
    bool ended = false;
    live = (struct live){.simulated = opened(80, 1 << 16, 8),
                         .limits = {.rate = rate, .frames = frames}};
    fc_capture_init(&live.capture, &settings);
    fc_simulated_lend(&live.simulated, &live.capture.ring);
    CHECK_IS(fc_queue_open(&live.capture.queue, CHUNK, FC_CAPTURE_SLACK, 4), FC_OK);
    pthread_create(&reader, NULL, play_reader, &live);
    pthread_create(&kernel, NULL, play_kernel, &live);
    while (!ended) {
        struct fc_simulated_account now_known;
        struct fc_chunk *chunk = fc_queue_next(&live.capture.queue, 50, &ended);
        fc_simulated_read_account(&live.simulated, &now_known);
        CHECK(now_known.dropped <= now_known.offered);
        CHECK(fc_capture_ring_fill(&live.capture) <= 1);
        if (chunk == NULL)
            continue;
        if (pause_us > 0)
            nanosleep(&(struct timespec){.tv_nsec = 1000 * pause_us}, NULL);
        read_chunk(&live, chunk);
        fc_queue_give_back(&live.capture.queue, chunk);
    }
    pthread_join(kernel, &failed[0]);
    pthread_join(reader, &failed[1]);
    CHECK(failed[0] == NULL && failed[1] == NULL);
    struct fc_simulated_account account;
    struct fc_capture_account captured;
    fc_simulated_read_account(&live.simulated, &account);
    fc_capture_read_account(&live.capture, &captured);
    CHECK_IS(account.offered, frames);
    CHECK_IS(captured.accepted, frames);
    CHECK_IS(captured.dropped, account.dropped);
    CHECK_IS(captured.ring_full, account.full);
    CHECK_IS(captured.read, frames - account.dropped);
    CHECK_IS(captured.kept, captured.read);
    CHECK_IS(captured.kept_wire_bytes + 4 * captured.kept, account.wire_bytes);
    CHECK_IS(live.records, captured.kept);
    CHECK_IS(live.back, 0);
    CHECK_IS(live.missing + (frames - live.next), account.dropped);
    CHECK_IS(live.gaps, account.dropped);
    CHECK(account.most_waiting >= 1 && account.most_waiting <= 8);
    fc_capture_close(&live.capture);
    fc_simulated_close(&live.simulated);
    return account;
}

static void a_capture_gets_every_frame_once_and_in_order(void) {
    CHECK_IS(play(0, 200000, 0).dropped, 0);
    CHECK_IS(play(0, 20000, 500).dropped, 0);
}

static void at_a_rate_each_frame_is_in_a_record_or_counted_as_dropped(void) {
    CHECK_IS(play(20000, 3000, 0).dropped, 0);
    CHECK(play(1e6, 300000, 20000).dropped > 0);
}

int main(void) {
    TEST(every_frame_is_the_generators_cut_in_order_round_after_round);
    TEST(a_block_that_is_not_full_is_handed_over_in_the_end);
    TEST(at_a_low_rate_a_block_is_handed_over_when_time_is_up);
    TEST(what_finds_no_block_is_dropped_and_counted);
    TEST(without_a_rate_nothing_is_dropped);
    TEST(a_cancel_ends_it);
    TEST(settings_that_cannot_be_are_refused);
    TEST(a_capture_gets_every_frame_once_and_in_order);
    TEST(at_a_rate_each_frame_is_in_a_record_or_counted_as_dropped);
    return check_result();
}
