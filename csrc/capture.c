/* SPDX-License-Identifier: Apache-2.0 */
#include "capture.h"

#include <errno.h>
#include <time.h>

enum {
    WAIT_MS = 25, /* how late a stop, a rotation, or the end of an interval is noticed */
    STALL_MS = 100,
    /* A frame may sit in the kernel's block until the block is handed over; then it is read. */
    LATE_MS = FC_RING_TIMEOUT_MS + 90,
    VLAN_8021Q = 0x8100,
};
static const int64_t SECOND = 1000000000;
static const int64_t MILLISECOND = 1000000;
static const int64_t STATISTICS_EVERY = 500000000;

static int64_t now_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

/* ---- The account ------------------------------------------------------------------------- */

#define SHOW(field) __atomic_store_n(&capture->shown.field, capture->counts.field, __ATOMIC_RELAXED)
#define READ(field) account->field = __atomic_load_n(&capture->shown.field, __ATOMIC_RELAXED)
#define EACH_COUNT(DO)                                                                             \
    DO(accepted), DO(dropped), DO(ring_full), DO(read), DO(rejected), DO(after_limit), DO(kept),   \
        DO(kept_wire_bytes), DO(counted), DO(longest_wait_ns), DO(waits_for_writer),               \
        DO(link_downs), DO(oversize)

static void show(struct fc_capture *capture) {
    EACH_COUNT(SHOW);
}

void fc_capture_read_account(const struct fc_capture *capture, struct fc_capture_account *account) {
    EACH_COUNT(READ);
}

/* The first failure ends the capture, in order: what was received by then is still written. */
static void fail(struct fc_capture *capture) {
    if (capture->failure == 0)
        capture->failure = errno;
}

static void read_statistics(struct fc_capture *capture) {
    struct fc_capture_account *counts = &capture->counts;
    struct fc_ring_statistics new;
    uint64_t counted = 0;
    fc_loss_look(&capture->loss, &capture->ring);
    if (fc_ring_read_statistics(&capture->ring, &new) < 0)
        fail(capture);
    if (capture->settings.counter_fd >= 0 &&
        fc_ring_read_counter(capture->settings.counter_fd, &counted) < 0)
        fail(capture);
    fc_loss_found(&capture->loss, new.dropped);
    counts->accepted += new.accepted;
    counts->dropped += new.dropped;
    counts->ring_full += new.full;
    counts->counted += counted;
    capture->next_statistics = now_of(CLOCK_MONOTONIC) + STATISTICS_EVERY;
    show(capture);
}

/* ---- Chunks and files -------------------------------------------------------------------- */

/* Waits for the writer where it must: then the ring fills up, and the kernel counts what is lost.
 */
static struct fc_chunk *take_chunk(struct fc_capture *capture) {
    struct fc_chunk *chunk = fc_queue_take(&capture->queue, 0);
    if (chunk != NULL)
        return chunk;
    capture->counts.waits_for_writer++;
    while ((chunk = fc_queue_take(&capture->queue, STALL_MS)) == NULL)
        read_statistics(capture); /* its counters have 32 bits and go on meanwhile */
    return chunk;
}

static void note(struct fc_chunk *chunk, int64_t ns) {
    if (chunk->frames == 0 || ns < chunk->first_ns)
        chunk->first_ns = ns;
    if (chunk->frames == 0 || ns > chunk->last_ns)
        chunk->last_ns = ns;
    chunk->frames++;
}

/* Before the next record of the chunk, of time `ns`, or behind all. */
static void note_gap(struct fc_chunk *chunk, uint64_t frames, int64_t ns) {
    if (chunk->gap_count == FC_CHUNK_GAPS) {
        chunk->gaps_left_out++;
        chunk->frames_left_out += frames;
        return;
    }
    chunk->gaps[chunk->gap_count++] =
        (struct fc_gap){.record = chunk->frames, .frames = frames, .ns = ns};
}

/* A record counts where it ends, and so does what is missing before it. */
static void move_gap(struct fc_chunk *chunk, struct fc_chunk *next) {
    if (chunk->gap_count == 0 || chunk->gaps[chunk->gap_count - 1].record != chunk->frames)
        return;
    next->gaps[next->gap_count++] = chunk->gaps[--chunk->gap_count];
    next->gaps[0].record = 0;
}

/* Hands the lane's chunk over and goes on in a new one. The part of the last record, of time `ns`
 * and at `start`, that is longer than the chunk goes there; the record counts where it ends. */
static void hand_over(struct fc_capture *capture, struct fc_capture_lane *lane, int64_t ns,
                      size_t start) {
    struct fc_chunk *chunk = lane->chunk;
    struct fc_chunk *next = take_chunk(capture);
    next->file = lane->file;
    if (chunk->length > lane->full_at) {
        next->length = chunk->length - lane->full_at;
        memcpy(next->bytes, chunk->bytes + lane->full_at, next->length);
        next->head = next->length;
        chunk->length = lane->full_at;
        chunk->tail = lane->full_at - start;
        chunk->frames--;
        move_gap(chunk, next);
        note(next, ns);
    }
    lane->full_at -= chunk->length;
    if (lane->full_at == 0)
        lane->full_at = capture->queue.chunk_size;
    lane->chunk = next;
    lane->handed_over = now_of(CLOCK_MONOTONIC);
    fc_queue_put(&capture->queue, chunk);
}

static void begin_file(struct fc_capture *capture, struct fc_capture_lane *lane) {
    const struct fc_capture_settings *settings = &capture->settings;
    uint64_t bytes = settings->rotate_bytes;
    uint64_t around = settings->header_length + settings->trailer_length;
    lane->chunk = take_chunk(capture);
    lane->file = capture->files++;
    lane->room = bytes == 0 ? UINT64_MAX : bytes - (bytes < around ? bytes : around);
    lane->empty = true;
    lane->full_at = capture->queue.chunk_size;
    lane->handed_over = now_of(CLOCK_MONOTONIC);
    lane->chunk->file = lane->file;
    if (settings->header_length > 0)
        memcpy(lane->chunk->bytes, settings->header, settings->header_length);
    lane->chunk->length = settings->header_length;
}

static void end_file(struct fc_capture *capture, struct fc_capture_lane *lane) {
    lane->length_ns = 0;
    if (lane->chunk == NULL)
        return;
    lane->chunk->ends = true;
    lane->chunk->ended_ns = now_of(CLOCK_REALTIME);
    read_statistics(capture); /* so that what is told of this file's time is all of it */
    fc_queue_put(&capture->queue, lane->chunk);
    lane->chunk = NULL;
}

/* ---- Lanes ------------------------------------------------------------------------------- */

static bool lane_holds(const struct fc_capture_lane *lane, int64_t ns) {
    return (uint64_t)ns - (uint64_t)lane->start_ns < lane->length_ns;
}

static void begin_lane(struct fc_capture *capture, struct fc_capture_lane *lane, int64_t ns) {
    uint64_t length = capture->settings.rotate_ns;
    begin_file(capture, lane);
    lane->start_ns = length ? ns - (int64_t)((uint64_t)ns % length) : 0;
    lane->length_ns = length ? length : UINT64_MAX;
}

/* The lane of a frame that the current one does not hold: a late frame's, or that of an interval
 * which begins. What was current stays open for late frames; what it has is handed over, so that
 * the writer sees files in the order in which they begin. */
static struct fc_capture_lane *other_lane(struct fc_capture *capture, int64_t ns) {
    if (lane_holds(&capture->previous, ns))
        return &capture->previous;
    end_file(capture, &capture->previous);
    capture->previous = capture->current;
    capture->current = (struct fc_capture_lane){0};
    if (capture->previous.chunk != NULL && capture->previous.chunk->length > 0)
        hand_over(capture, &capture->previous, 0, 0);
    begin_lane(capture, &capture->current, ns);
    return &capture->current;
}

/* An interval is over for good when it is `now`, and no frame of it can be under way. */
static void end_if_over(struct fc_capture *capture, struct fc_capture_lane *lane, int64_t now) {
    int64_t late = (int64_t)LATE_MS * MILLISECOND;
    if (lane->chunk == NULL || capture->settings.rotate_ns == 0 || now < late)
        return;
    if (now - late >= lane->start_ns && !lane_holds(lane, now - late))
        end_file(capture, lane);
}

static void end_what_is_over(struct fc_capture *capture, int64_t now) {
    end_if_over(capture, &capture->previous, now);
    end_if_over(capture, &capture->current, now);
}

static void end_all(struct fc_capture *capture) {
    end_file(capture, &capture->previous);
    end_file(capture, &capture->current);
}

/* ---- Frames ------------------------------------------------------------------------------ */

/* A frame as it was on the wire. */
struct wire_frame {
    uint32_t captured; /* bytes that there are, the tag's among them */
    uint32_t wire;
    bool tagged; /* the tag goes behind the first 12 bytes */
    uint8_t tag[FC_TAG_LENGTH];
};

static struct wire_frame as_on_the_wire(const struct fc_capture *capture,
                                        const struct fc_ring_frame *frame) {
    struct wire_frame whole = {.captured = frame->captured, .wire = frame->wire};
    if (!frame->tagged || !capture->settings.ethernet)
        return whole;
    whole.wire += whole.wire > UINT32_MAX - FC_TAG_LENGTH ? 0 : FC_TAG_LENGTH;
    if (frame->captured < FC_TAG_OFFSET) /* cut before the place where the tag was */
        return whole;
    whole.captured += FC_TAG_LENGTH;
    whole.tagged = true;
    whole.tag[0] = (uint8_t)(frame->tpid >> 8);
    whole.tag[1] = (uint8_t)frame->tpid;
    whole.tag[2] = (uint8_t)(frame->tci >> 8);
    whole.tag[3] = (uint8_t)frame->tci;
    return whole;
}

/* Its first `captured` bytes. */
static struct fc_frame view_of(const struct fc_ring_frame *frame, const struct wire_frame *whole,
                               uint32_t captured) {
    struct fc_frame view = {
        .bytes = frame->bytes,
        .captured = captured,
        .wire = whole->wire,
        .tagged = whole->tagged,
    };
    memcpy(view.tag, whole->tag, sizeof view.tag);
    return view;
}

static bool passes(const struct fc_capture *capture, const struct fc_ring_frame *frame,
                   const struct wire_frame *whole) {
    struct fc_frame view = view_of(frame, whole, whole->captured);
    return fc_program_run(capture->settings.program, &view) != 0;
}

/* How much of it goes into a record. */
static uint32_t length_kept(const struct fc_capture_settings *settings,
                            const struct fc_ring_frame *frame, const struct wire_frame *whole) {
    uint32_t captured = whole->captured < settings->snaplen ? whole->captured : settings->snaplen;
    if (settings->slice.layer == 0)
        return captured;
    struct fc_frame view = view_of(frame, whole, captured);
    return fc_slice_length(&settings->slice, &view);
}

static void copy_frame(uint8_t *to, const struct fc_ring_frame *frame,
                       const struct wire_frame *whole, uint32_t captured) {
    if (!whole->tagged || captured <= FC_TAG_OFFSET) {
        memcpy(to, frame->bytes, captured);
        return;
    }
    uint32_t behind = captured - FC_TAG_OFFSET;
    uint32_t tag = behind < FC_TAG_LENGTH ? behind : FC_TAG_LENGTH;
    memcpy(to, frame->bytes, FC_TAG_OFFSET);
    memcpy(to + FC_TAG_OFFSET, whole->tag, tag);
    memcpy(to + FC_TAG_OFFSET + tag, frame->bytes + FC_TAG_OFFSET, behind - tag);
}

/* The lane's file gets a record of `size` bytes: if it must not, the next one. */
static void make_room(struct fc_capture *capture, struct fc_capture_lane *lane, uint32_t size) {
    if (size > lane->room && !lane->empty) {
        struct fc_capture_lane ended = *lane;
        end_file(capture, &ended);
        begin_file(capture, lane);
    }
    lane->empty = false;
    lane->room -= size < lane->room ? size : lane->room;
}

static void store_record(uint8_t *at, struct fc_record_format format,
                         const struct fc_ring_frame *frame, const struct wire_frame *whole,
                         uint32_t captured) {
    fc_record_begin_pcap(at, format.nanoseconds, frame->seconds, frame->nanoseconds, captured,
                         whole->wire);
    copy_frame(at + FC_PCAP_RECORD_HEADER, frame, whole, captured);
}

/* Apart, so that the loop over frames for pcap stays as short as it is. */
__attribute__((noinline)) static void store_block(uint8_t *at, struct fc_record_format format,
                                                  const struct fc_ring_frame *frame,
                                                  const struct wire_frame *whole, uint32_t captured,
                                                  uint64_t missing) {
    struct fc_record record = {
        .seconds = frame->seconds,
        .nanoseconds = frame->nanoseconds,
        .captured = captured,
        .wire = whole->wire,
        .missing = missing,
    };
    uint8_t *bytes = fc_record_begin_pcapng(at, format.nanoseconds, &record);
    copy_frame(bytes, frame, whole, captured);
    fc_record_end_pcapng(bytes, &record);
}

static void keep_frame(struct fc_capture *capture, const struct fc_ring_frame *frame,
                       const struct wire_frame *whole) {
    const struct fc_capture_settings *settings = &capture->settings;
    int64_t ns = (int64_t)frame->seconds * SECOND + (int64_t)frame->nanoseconds;
    struct fc_capture_lane *lane = &capture->current;
    if (!lane_holds(lane, ns))
        lane = other_lane(capture, ns);
    uint32_t captured = length_kept(settings, frame, whole);
    uint64_t missing = capture->missing;
    uint32_t size = fc_record_size(settings->format.pcapng, captured, missing);
    make_room(capture, lane, size);

    struct fc_chunk *chunk = lane->chunk;
    uint8_t *at = chunk->bytes + chunk->length;
    if (settings->format.pcapng)
        store_block(at, settings->format, frame, whole, captured, missing);
    else
        store_record(at, settings->format, frame, whole, captured);
    if (!settings->format.nanoseconds)
        ns -= frame->nanoseconds % 1000;
    if (missing > 0) {
        note_gap(chunk, missing, ns);
        capture->missing = 0;
    }
    chunk->length += size;
    note(chunk, ns);
    capture->counts.kept++;
    capture->counts.kept_wire_bytes += whole->wire;
    if (chunk->length >= lane->full_at)
        hand_over(capture, lane, ns, chunk->length - size);
}

static void take_frame(struct fc_capture *capture, const struct fc_ring_frame *frame) {
    struct fc_capture_account *counts = &capture->counts;
    counts->read++;
    if (counts->kept >= capture->settings.limit) {
        counts->after_limit++;
        return;
    }
    struct wire_frame whole = as_on_the_wire(capture, frame);
    counts->oversize += whole.wire > capture->longest_now;
    if (capture->settings.program != NULL && !passes(capture, frame, &whole))
        counts->rejected++;
    else
        keep_frame(capture, frame, &whole);
}

/* ---- Runs of plain frames ---------------------------------------------------------------- */

/* Nothing is to be decided about a frame but where it goes. */
static bool is_plain(const struct fc_capture_settings *settings) {
    return settings->program == NULL && settings->slice.layer == 0 && !settings->format.pcapng;
}

/* Copies what is mostly a few headers in whole words, beyond the end where `room` bytes may be read
 * from there on; behind a chunk there is always room to write. */
static void copy_short(uint8_t *to, const uint8_t *from, uint32_t length, size_t room) {
    enum { WORD = 16, MOST = 8 * WORD };
    uint32_t rounded = (length + WORD - 1) / WORD * WORD;
    if (length > MOST || rounded > room) {
        memcpy(to, from, length);
        return;
    }
    for (uint32_t at = 0; at < rounded; at += WORD)
        memcpy(to + at, from + at, WORD);
}

/* Takes frames as long as they go into the chunk that is filled, and then does what take_frame
 * would have done for each, with all that changes held in registers: frame bytes could alias
 * anything. True with the frame that has to be taken by itself, false at the end of the block. */
static bool take_plain_frames(struct fc_capture *capture, struct fc_ring_block *block,
                              struct fc_ring_frame *frame) {
    const struct fc_capture_settings *settings = &capture->settings;
    struct fc_capture_account *counts = &capture->counts;
    struct fc_capture_lane *lane = &capture->current;
    struct fc_chunk *chunk = lane->chunk;
    if (chunk == NULL || capture->missing > 0)
        return fc_ring_next_frame(block, frame);
    const uint32_t snaplen = settings->snaplen;
    const uint32_t longest = capture->longest_now;
    const bool nanoseconds = settings->format.nanoseconds;
    const uint64_t most = settings->limit - counts->kept; /* the limit is not passed, see run */
    const struct fc_capture_lane before = *lane;
    struct fc_ring_block walk = *block;
    int64_t first_ns = chunk->frames > 0 ? chunk->first_ns : INT64_MAX;
    int64_t last_ns = chunk->frames > 0 ? chunk->last_ns : INT64_MIN;
    uint8_t *at = chunk->bytes + chunk->length;
    size_t left = before.full_at > chunk->length ? before.full_at - chunk->length : 0;
    uint64_t room = before.room;
    uint64_t frames = 0;
    uint64_t wire_bytes = 0;
    uint64_t oversize = 0;
    bool more;
    while ((more = fc_ring_next_frame(&walk, frame))) {
        int64_t ns = (int64_t)frame->seconds * SECOND + (int64_t)frame->nanoseconds;
        struct wire_frame whole = as_on_the_wire(capture, frame);
        uint32_t captured = whole.captured < snaplen ? whole.captured : snaplen;
        uint32_t size = FC_PCAP_RECORD_HEADER + captured;
        if (!lane_holds(&before, ns) || size > room || size >= left || frames == most)
            break;
        fc_record_begin_pcap(at, nanoseconds, frame->seconds, frame->nanoseconds, captured,
                             whole.wire);
        if (whole.tagged)
            copy_frame(at + FC_PCAP_RECORD_HEADER, frame, &whole, captured);
        else
            copy_short(at + FC_PCAP_RECORD_HEADER, frame->bytes, captured,
                       walk.length - (size_t)(frame->bytes - walk.bytes));
        if (!nanoseconds)
            ns -= frame->nanoseconds % 1000;
        first_ns = ns < first_ns ? ns : first_ns;
        last_ns = ns > last_ns ? ns : last_ns;
        at += size;
        left -= size;
        room -= size;
        frames++;
        wire_bytes += whole.wire;
        oversize += whole.wire > longest;
    }
    *block = walk;
    if (frames > 0) {
        chunk->length = (size_t)(at - chunk->bytes);
        chunk->frames += frames;
        chunk->first_ns = first_ns;
        chunk->last_ns = last_ns;
        lane->room = room;
        lane->empty = false;
        counts->read += frames;
        counts->kept += frames;
        counts->kept_wire_bytes += wire_bytes;
        counts->oversize += oversize;
    }
    return more;
}

/* ---- Blocks ------------------------------------------------------------------------------ */

/* The clock that stamps frames may be set meanwhile; no block waits for longer than the ring has
 * not been empty. One that was handed over because time was up was so at most two timeouts behind
 * its last frame (net/packet/af_packet.c: the first may find that the block is new): it waited at
 * least since then. */
static void note_wait(struct fc_capture *capture, const struct fc_ring_block *block) {
    int64_t waited = now_of(CLOCK_REALTIME) - block->last_ns;
    if (block->timed_out)
        waited -= 2 * FC_RING_TIMEOUT_MS * MILLISECOND;
    int64_t most = now_of(CLOCK_MONOTONIC) - capture->empty_at;
    if (waited > most)
        waited = most;
    if (waited > 0 && (uint64_t)waited > capture->counts.longest_wait_ns)
        capture->counts.longest_wait_ns = (uint64_t)waited;
}

static void give_back(struct fc_capture *capture) {
    bool full = fc_loss_is_full(&capture->ring);
    fc_ring_give_back(&capture->ring);
    fc_loss_give_back(&capture->loss);
    if (full)
        read_statistics(capture);
}

/* One block, if there is one. */
static bool take_block(struct fc_capture *capture) {
    struct fc_ring_block block;
    struct fc_ring_frame frame;
    capture->longest_now = __atomic_load_n(&capture->longest, __ATOMIC_RELAXED);
    if (capture->ring.block_count == 0 || !fc_ring_take(&capture->ring, &block)) {
        capture->empty_at = now_of(CLOCK_MONOTONIC);
        return false;
    }
    note_wait(capture, &block);
    if (fc_loss_is_news(&capture->loss, &block))
        read_statistics(capture);
    capture->missing += fc_loss_before_block(&capture->loss);
    const bool plain = is_plain(&capture->settings);
    while (plain ? take_plain_frames(capture, &block, &frame) : fc_ring_next_frame(&block, &frame))
        take_frame(capture, &frame);
    end_what_is_over(capture, block.last_ns);
    give_back(capture);
    show(capture);
    return true;
}

/* ---- The loop ---------------------------------------------------------------------------- */

/* Only to a writer that has nothing to do: one that hangs must not be given chunks half empty, or
 * the buffer would be used up before its memory is. */
static void flush(struct fc_capture *capture, struct fc_capture_lane *lane, int64_t now) {
    uint64_t waiting;
    uint64_t most;
    if (lane->chunk == NULL || lane->chunk->length == 0 ||
        (uint64_t)(now - lane->handed_over) < capture->settings.flush_ns)
        return;
    fc_queue_used(&capture->queue, &waiting, &most);
    if (waiting == 0)
        hand_over(capture, lane, 0, 0);
}

static void wait_for_block(struct fc_capture *capture, int milliseconds) {
    if (fc_ring_wait(&capture->ring, milliseconds) == FC_OK)
        return;
    if (errno == ENETDOWN) /* the socket receives again when the interface is up */
        capture->counts.link_downs++;
    else
        fail(capture);
    show(capture);
}

/* The ring is empty: what depends on time alone. */
static void idle(struct fc_capture *capture) {
    int64_t now = now_of(CLOCK_MONOTONIC);
    end_what_is_over(capture, now_of(CLOCK_REALTIME));
    flush(capture, &capture->previous, now);
    flush(capture, &capture->current, now);
    wait_for_block(capture, WAIT_MS);
}

static void reject_all(struct fc_capture *capture) {
    if (fc_ring_reject_all(capture->ring.fd) < 0)
        fail(capture);
    if (capture->settings.counter_fd >= 0 && fc_ring_reject_all(capture->settings.counter_fd) < 0)
        fail(capture);
}

static void drain(struct fc_capture *capture) {
    int64_t until = now_of(CLOCK_MONOTONIC);
    if (capture->ring.fd >= 0) {
        reject_all(capture);
        until += (2 * FC_RING_TIMEOUT_MS + 10) * MILLISECOND;
    }
    for (;;) {
        bool last = now_of(CLOCK_MONOTONIC) >= until; /* looked at before the ring, not after */
        if (take_block(capture))
            continue;
        if (last)
            break;
        wait_for_block(capture, FC_RING_TIMEOUT_MS / 2);
    }
    read_statistics(capture);
}

/* ---- Rings that come and go -------------------------------------------------------------- */

/* Counter first: what it counts and the ring has not is at least not lost. */
static int start_filters(const struct fc_capture_settings *settings, const struct fc_ring *ring,
                         int counter_fd) {
    int status = FC_OK;
    if (counter_fd >= 0)
        status = fc_ring_set_filter(counter_fd, &settings->counter_filter);
    if (status == FC_OK && ring->fd >= 0)
        status = fc_ring_set_filter(ring->fd, &settings->ring_filter);
    return status;
}

/* What the ring before dropped at its end is missing before the first record of the next. */
static void put_ring(struct fc_capture *capture, const struct fc_ring *ring, int counter_fd) {
    struct fc_ring before = capture->ring;
    capture->missing += fc_loss_at_end(&capture->loss);
    capture->loss = (struct fc_loss){0};
    pthread_mutex_lock(&capture->ring_mutex);
    capture->ring = *ring;
    capture->settings.counter_fd = counter_fd;
    pthread_mutex_unlock(&capture->ring_mutex);
    fc_ring_close(&before);
}

/* The block that the kernel had open is handed over some time after the interface is gone. */
static void detach(struct fc_capture *capture) {
    const struct fc_ring none = {.fd = -1};
    drain(capture);
    put_ring(capture, &none, -1);
    __atomic_store_n(&capture->detaching, 0, __ATOMIC_RELEASE);
}

static void attach(struct fc_capture *capture) {
    put_ring(capture, &capture->incoming, capture->incoming_counter_fd);
    capture->incoming = (struct fc_ring){.fd = -1};
    __atomic_store_n(&capture->attaching, 0, __ATOMIC_RELEASE);
}

/* ---- From the beginning to the end ------------------------------------------------------- */

static bool is_set(const uint32_t *flag) {
    return __atomic_load_n(flag, __ATOMIC_RELAXED) != 0;
}

/* In the order in which they were asked for: a ring is only attached where none is, so one that
 * waits to be attached was there before the wish to detach it. */
static void change_rings(struct fc_capture *capture) {
    bool detaching = __atomic_load_n(&capture->detaching, __ATOMIC_ACQUIRE) != 0;
    if (__atomic_load_n(&capture->attaching, __ATOMIC_ACQUIRE) != 0)
        attach(capture);
    if (detaching)
        detach(capture);
}

static void turn(struct fc_capture *capture) {
    if (!take_block(capture))
        idle(capture);
    change_rings(capture);
    if (now_of(CLOCK_MONOTONIC) >= capture->next_statistics)
        read_statistics(capture);
    if (is_set(&capture->rotating)) {
        __atomic_store_n(&capture->rotating, 0, __ATOMIC_RELAXED);
        end_all(capture);
    }
}

/* The counting socket and the ring begin, and end, together: a few microseconds apart. */
int fc_capture_begin(struct fc_capture *capture) {
    capture->begun = true;
    capture->empty_at = now_of(CLOCK_MONOTONIC);
    if (capture->settings.eager)
        begin_lane(capture, &capture->current, 0);
    return start_filters(&capture->settings, &capture->ring, capture->settings.counter_fd);
}

/* What no record came behind any more. */
static void note_rest(struct fc_capture *capture) {
    struct fc_capture_lane *last =
        capture->current.chunk != NULL ? &capture->current : &capture->previous;
    capture->missing += fc_loss_at_end(&capture->loss);
    if (capture->missing > 0 && last->chunk != NULL)
        note_gap(last->chunk, capture->missing, 0);
}

int fc_capture_run(struct fc_capture *capture) {
    if (!capture->begun && fc_capture_begin(capture) < 0)
        fail(capture);
    while (capture->failure == 0 && !is_set(&capture->stopping) &&
           capture->counts.kept < capture->settings.limit)
        turn(capture);
    change_rings(capture); /* what a ring that was not attached yet holds is received too */
    drain(capture);
    note_rest(capture);
    end_all(capture);
    fc_queue_end(&capture->queue);
    show(capture);
    errno = capture->failure;
    return capture->failure == 0 ? FC_OK : FC_ERROR_SYSTEM;
}

/* ---- From other threads ------------------------------------------------------------------ */

void fc_capture_init(struct fc_capture *capture, const struct fc_capture_settings *settings) {
    *capture = (struct fc_capture){.settings = *settings};
    capture->ring.fd = capture->incoming.fd = -1;
    capture->longest = capture->longest_now = UINT32_MAX;
    pthread_mutex_init(&capture->ring_mutex, NULL);
    if (capture->settings.snaplen > FC_CAPTURE_LONGEST_FRAME)
        capture->settings.snaplen = FC_CAPTURE_LONGEST_FRAME;
}

void fc_capture_stop(struct fc_capture *capture) {
    __atomic_store_n(&capture->stopping, 1, __ATOMIC_RELAXED);
}

void fc_capture_rotate(struct fc_capture *capture) {
    __atomic_store_n(&capture->rotating, 1, __ATOMIC_RELAXED);
}

void fc_capture_detach(struct fc_capture *capture) {
    __atomic_store_n(&capture->detaching, 1, __ATOMIC_RELEASE);
}

bool fc_capture_is_attached(const struct fc_capture *capture) {
    return __atomic_load_n(&capture->detaching, __ATOMIC_ACQUIRE) != 0 ||
           __atomic_load_n(&capture->attaching, __ATOMIC_ACQUIRE) != 0 || capture->ring.fd >= 0;
}

int fc_capture_attach(struct fc_capture *capture, const struct fc_ring *ring, int counter_fd) {
    int status = start_filters(&capture->settings, ring, counter_fd);
    if (status < 0)
        return status;
    capture->incoming = *ring;
    capture->incoming_counter_fd = counter_fd;
    __atomic_store_n(&capture->attaching, 1, __ATOMIC_RELEASE);
    return FC_OK;
}

void fc_capture_set_longest(struct fc_capture *capture, uint32_t bytes) {
    __atomic_store_n(&capture->longest, bytes == 0 ? UINT32_MAX : bytes, __ATOMIC_RELAXED);
}

double fc_capture_ring_fill(struct fc_capture *capture) {
    double fill = 0;
    pthread_mutex_lock(&capture->ring_mutex);
    if (capture->ring.block_count > 0)
        fill = (double)fc_ring_fill(&capture->ring) / capture->ring.block_count;
    pthread_mutex_unlock(&capture->ring_mutex);
    return fill;
}

void fc_capture_close(struct fc_capture *capture) {
    fc_ring_close(&capture->ring);
    fc_ring_close(&capture->incoming);
    pthread_mutex_destroy(&capture->ring_mutex);
    fc_queue_close(&capture->queue);
}
