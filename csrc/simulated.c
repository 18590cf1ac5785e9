/* SPDX-License-Identifier: Apache-2.0 */
#include "simulated.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
    FIRST = 48,    /* of a block's frames: sizeof(struct tpacket_block_desc), aligned */
    FRAME = 82,    /* where a frame begins behind its header: tpacket_rcv has room for an address
                      and a link header between, aligned to 16, and 14 bytes end there */
    ALIGNMENT = 8, /* of frames in a block */
    ETHERNET = 14,
    PAUSE_NS = 200000,       /* where nothing is to do; a ring of megabytes lasts for longer */
    MOST_LATE_NS = 10000000, /* what is made up for */
};
static const int64_t SECOND = 1000000000;
static const int64_t TIMEOUT_NS = FC_RING_TIMEOUT_MS * INT64_C(1000000);
static const double LEAST_RATE = 1e-3; /* frames a second */
static const double MOST_RATE = 1e9;

static int64_t now_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

static uint64_t less(uint64_t one, uint64_t other) {
    return one < other ? one : other;
}

/* ---- The account ------------------------------------------------------------------------- */

#define SHOW(field)                                                                                \
    __atomic_store_n(&simulated->shown.field, simulated->counts.field, __ATOMIC_RELAXED)
#define READ(field) account->field = __atomic_load_n(&simulated->shown.field, __ATOMIC_RELAXED)
#define EACH_COUNT(DO)                                                                             \
    DO(offered), DO(dropped), DO(wire_bytes), DO(full), DO(blocks), DO(most_waiting), DO(late),    \
        DO(late_ns), DO(elapsed_ns)

static void show(struct fc_simulated *simulated) {
    EACH_COUNT(SHOW);
}

void fc_simulated_read_account(const struct fc_simulated *simulated,
                               struct fc_simulated_account *account) {
    EACH_COUNT(READ);
}

/* ---- Blocks ------------------------------------------------------------------------------ */

static struct tpacket_block_desc *block_at(const struct fc_simulated *simulated, uint64_t number) {
    size_t place = (size_t)(number % simulated->block_count);
    return (void *)(simulated->memory + place * simulated->block_size);
}

/* Bytes of the ring that a frame takes. */
static uint32_t room_for(uint32_t captured) {
    return (FRAME + captured + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* As the kernel, which leaves some bytes unused rather than fill a block to its end. */
static uint32_t fill_block(const struct fc_simulated *simulated,
                           const struct fc_generator *generator, uint8_t *block, uint64_t serial) {
    uint8_t frame[FC_GENERATOR_ROOM];
    uint32_t count = 0;
    fc_generator_prepare(generator, frame);
    for (size_t at = FIRST;; count++, serial++) {
        uint32_t wire = fc_generator_write(generator, serial, 0, frame);
        uint32_t captured = wire < simulated->snaplen ? wire : simulated->snaplen;
        if (room_for(captured) >= simulated->block_size - at)
            return count;
        struct tpacket3_hdr *header = (void *)(block + at);
        *header = (struct tpacket3_hdr){
            .tp_snaplen = captured,
            .tp_len = wire,
            .tp_status = TP_STATUS_USER | TP_STATUS_TS_SOFTWARE,
            .tp_mac = FRAME,
            .tp_net = FRAME + ETHERNET,
        };
        memcpy(block + at + FRAME, frame, captured);
        at += room_for(captured);
    }
}

static bool possible(const struct fc_simulated_settings *settings) {
    return settings->block_size >= FC_SIMULATED_SMALLEST_BLOCK &&
           settings->block_size % FC_SIMULATED_SMALLEST_BLOCK == 0 &&
           settings->block_count >= FC_SIMULATED_FEWEST_BLOCKS &&
           settings->block_count <= SIZE_MAX / 2 / settings->block_size;
}

/* In pages of 4 KiB, as the kernel's ring is mapped. */
static int make_ring(struct fc_simulated *simulated, const struct fc_generator *generator) {
    size_t size = (size_t)simulated->block_size * simulated->block_count;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return FC_ERROR_MEMORY;
    simulated->memory = memory;
    (void)madvise(memory, size, MADV_NOHUGEPAGE); /* not every kernel has huge ones */
    simulated->frames = calloc(simulated->block_count, sizeof *simulated->frames);
    if (simulated->frames == NULL)
        return FC_ERROR_MEMORY;
    uint64_t serial = 0;
    for (uint32_t i = 0; i < simulated->block_count; i++) {
        struct tpacket_block_desc *block = block_at(simulated, i);
        block->version = TPACKET_V3;
        block->offset_to_priv = FIRST;
        block->hdr.bh1.offset_to_first_pkt = FIRST;
        simulated->frames[i] = fill_block(simulated, generator, (uint8_t *)block, serial);
        serial += simulated->frames[i];
    }
    return FC_OK;
}

int fc_simulated_open(struct fc_simulated *simulated,
                      const struct fc_simulated_settings *settings) {
    *simulated = (struct fc_simulated){
        .wakes = -1,
        .block_size = settings->block_size,
        .block_count = settings->block_count,
        .snaplen = settings->snaplen,
    };
    if (!possible(settings))
        return FC_ERROR_ARGUMENT;
    int status = make_ring(simulated, settings->generator);
    if (status < 0)
        return status;
    simulated->wakes = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return simulated->wakes < 0 ? FC_ERROR_SYSTEM : FC_OK;
}

void fc_simulated_lend(struct fc_simulated *simulated, struct fc_ring *ring) {
    fc_ring_over(ring, simulated->memory, simulated->block_size, simulated->block_count);
    ring->told = &simulated->told;
    ring->wakes = &simulated->wakes;
}

void fc_simulated_close(struct fc_simulated *simulated) {
    if (simulated->memory != NULL)
        munmap(simulated->memory, (size_t)simulated->block_size * simulated->block_count);
    if (simulated->wakes >= 0)
        close(simulated->wakes);
    free(simulated->frames);
    *simulated = (struct fc_simulated){.wakes = -1};
}

/* ---- Filling ----------------------------------------------------------------------------- */

/* Frames of this run: when they come, by both clocks. */
struct pace {
    int64_t begin;      /* monotonic */
    int64_t since_1970; /* what is to be added */
    double interval;    /* 0: as fast as they go */
    double shift;       /* lateness that was given up */
    uint64_t before;    /* frames that came in earlier runs */
};

static int64_t time_of(const struct fc_simulated *simulated, const struct pace *pace,
                       uint64_t number) {
    double after = pace->shift + (double)(number - pace->before) * pace->interval;
    int64_t ns = pace->begin + pace->since_1970 + (int64_t)after;
    return ns > simulated->last_ns ? ns : simulated->last_ns;
}

/* False where the next block is still the reader's. */
static bool open_block(struct fc_simulated *simulated) {
    if (simulated->is_open)
        return true;
    struct tpacket_block_desc *block = block_at(simulated, simulated->counts.blocks);
    if (fc_ring_is_ours(block))
        return false;
    simulated->is_open = true;
    simulated->frozen = false;
    simulated->filled = 0;
    simulated->end = FIRST;
    simulated->last = NULL;
    simulated->opened_ns = now_of(CLOCK_MONOTONIC);
    return true;
}

/* Frames that the open block has room for. */
static uint32_t left_in_block(const struct fc_simulated *simulated) {
    return simulated->frames[simulated->counts.blocks % simulated->block_count] - simulated->filled;
}

/* The next frame, which is in the block already but for its time and serial. What else is read
 * there nobody writes. */
static void put_frame(struct fc_simulated *simulated, uint8_t *block, int64_t ns) {
    struct tpacket3_hdr *header = (void *)(block + simulated->end);
    uint32_t size = room_for(header->tp_snaplen);
    header->tp_next_offset = size;
    header->tp_sec = (uint32_t)(ns / SECOND);
    header->tp_nsec = (uint32_t)(ns % SECOND);
    if (header->tp_snaplen >= FC_GENERATOR_HEAD)
        fc_generator_renumber(block + simulated->end + FRAME, simulated->counts.offered);
    simulated->counts.offered++;
    simulated->counts.wire_bytes += header->tp_len + FC_GENERATOR_FCS;
    simulated->last = header;
    simulated->last_ns = ns;
    simulated->end += size;
    simulated->filled++;
}

static void put_frames(struct fc_simulated *simulated, const struct pace *pace, uint32_t count) {
    struct tpacket_block_desc *block = block_at(simulated, simulated->counts.blocks);
    struct tpacket_bd_ts *first = &block->hdr.bh1.ts_first_pkt;
    /* as fast as they go they come a nanosecond apart */
    int64_t now = now_of(CLOCK_MONOTONIC) + pace->since_1970;
    for (uint32_t i = 0; i < count; i++) {
        int64_t ns = pace->interval > 0 ? time_of(simulated, pace, simulated->counts.offered)
                     : now > simulated->last_ns ? now
                                                : simulated->last_ns + 1;
        if (simulated->filled == 0) {
            first->ts_sec = (uint32_t)(ns / SECOND);
            first->ts_nsec = (uint32_t)(ns % SECOND);
        }
        put_frame(simulated, (uint8_t *)block, ns);
    }
}

/* How many blocks wait, the one just handed over among them; what was in its place is back. */
static uint64_t waiting(struct fc_simulated *simulated) {
    if (simulated->counts.blocks - simulated->oldest > simulated->block_count)
        simulated->oldest = simulated->counts.blocks - simulated->block_count;
    while (simulated->oldest < simulated->counts.blocks &&
           !fc_ring_is_ours(block_at(simulated, simulated->oldest)))
        simulated->oldest++;
    return simulated->counts.blocks - simulated->oldest;
}

/* The open block is the reader's. The statistics are told before that, as the kernel does. */
static void hand_over(struct fc_simulated *simulated, uint32_t why) {
    struct tpacket_block_desc *block = block_at(simulated, simulated->counts.blocks);
    struct tpacket_hdr_v1 *header = &block->hdr.bh1;
    const uint64_t once = 1;
    simulated->last->tp_next_offset = 0;
    header->num_pkts = simulated->filled;
    header->blk_len = (uint32_t)simulated->end;
    header->seq_num = simulated->counts.blocks + 1;
    header->ts_last_pkt.ts_sec = simulated->last->tp_sec;
    header->ts_last_pkt.ts_nsec = simulated->last->tp_nsec;
    if (__atomic_load_n(&simulated->told.dropped, __ATOMIC_RELAXED) > 0)
        why |= TP_STATUS_LOSING;
    __atomic_fetch_add(&simulated->told.accepted, simulated->filled, __ATOMIC_RELAXED);
    __atomic_store_n(&header->block_status, TP_STATUS_USER | why, __ATOMIC_RELEASE);
    simulated->is_open = false;
    simulated->counts.blocks++;
    uint64_t now_waiting = waiting(simulated);
    if (now_waiting > simulated->counts.most_waiting)
        simulated->counts.most_waiting = now_waiting;
    /* a counter that is at its end is readable all the same */
    ssize_t written = write(simulated->wakes, &once, sizeof once);
    (void)written;
    show(simulated);
}

static void drop(struct fc_simulated *simulated, uint64_t frames) {
    simulated->counts.offered += frames;
    simulated->counts.dropped += frames;
    __atomic_fetch_add(&simulated->told.dropped, frames, __ATOMIC_RELAXED);
    if (!simulated->frozen) {
        simulated->frozen = true;
        simulated->counts.full++;
        __atomic_fetch_add(&simulated->told.full, 1, __ATOMIC_RELAXED);
    }
    show(simulated);
}

/* ---- The loop ---------------------------------------------------------------------------- */

/* Frames that have come by `now` and are not in the ring yet. */
static uint64_t due(const struct fc_simulated *simulated, struct pace *pace, int64_t now) {
    uint64_t came = simulated->counts.offered - pace->before;
    if (pace->interval <= 0)
        return UINT64_MAX;
    double by_now = ((double)(now - pace->begin) - pace->shift) / pace->interval;
    return by_now < (double)came ? 0 : (uint64_t)by_now + 1 - came;
}

static void give_up_lateness(struct fc_simulated *simulated, struct pace *pace, int64_t now) {
    double next = (double)(simulated->counts.offered - pace->before) * pace->interval;
    double late = (double)(now - pace->begin) - pace->shift - next;
    if (pace->interval <= 0 || late <= MOST_LATE_NS)
        return;
    simulated->counts.late++;
    simulated->counts.late_ns += (uint64_t)late;
    pace->shift += late;
}

/* What came by now. Without a rate, a block: then it is time to look at the limits again. */
static void take_frames(struct fc_simulated *simulated, struct pace *pace, uint64_t frames) {
    while (frames > 0) {
        if (!open_block(simulated)) {
            if (pace->interval > 0)
                drop(simulated, frames);
            return;
        }
        uint32_t count = (uint32_t)less(frames, left_in_block(simulated));
        put_frames(simulated, pace, count);
        frames -= count;
        if (left_in_block(simulated) == 0)
            hand_over(simulated, 0);
        if (pace->interval <= 0)
            return;
    }
}

static bool is_half_full(const struct fc_simulated *simulated) {
    return simulated->is_open && simulated->filled > 0;
}

static void play(struct fc_simulated *simulated, const struct fc_simulated_limits *limits,
                 struct pace *pace) {
    const uint64_t most = limits->frames > 0 ? pace->before + limits->frames : UINT64_MAX;
    const int64_t end =
        limits->duration_ns > 0 ? pace->begin + (int64_t)limits->duration_ns : INT64_MAX;
    while (!fc_cancel_is_set(limits->cancel) && simulated->counts.offered < most) {
        int64_t now = now_of(CLOCK_MONOTONIC);
        uint64_t before = simulated->counts.offered;
        bool over = now >= end;
        if (over && pace->interval <= 0)
            return;
        give_up_lateness(simulated, pace, over ? end - 1 : now);
        take_frames(simulated, pace,
                    less(due(simulated, pace, over ? end - 1 : now), most - before));
        if (is_half_full(simulated) && now - simulated->opened_ns >= TIMEOUT_NS)
            hand_over(simulated, TP_STATUS_BLK_TMO);
        if (over)
            return;
        if (pace->interval > 0 || simulated->counts.offered == before)
            nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    }
}

int fc_simulated_run(struct fc_simulated *simulated, const struct fc_simulated_limits *limits) {
    bool keeps_pace = limits->rate >= LEAST_RATE && limits->rate <= MOST_RATE;
    if ((!keeps_pace && limits->rate != 0) || limits->duration_ns > INT64_MAX / 4)
        return FC_ERROR_ARGUMENT;
    struct pace pace = {
        .begin = now_of(CLOCK_MONOTONIC),
        .interval = keeps_pace ? (double)SECOND / limits->rate : 0,
        .before = simulated->counts.offered,
    };
    pace.since_1970 = now_of(CLOCK_REALTIME) - pace.begin;
    /* The kernel may let a thread sleep 50 us longer to save wake-ups. */
    int slack = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
    (void)prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    play(simulated, limits, &pace);
    if (slack > 0)
        (void)prctl(PR_SET_TIMERSLACK, slack, 0, 0, 0);
    if (is_half_full(simulated))
        hand_over(simulated, TP_STATUS_BLK_TMO);
    simulated->counts.elapsed_ns += (uint64_t)(now_of(CLOCK_MONOTONIC) - pace.begin);
    show(simulated);
    return FC_OK;
}
