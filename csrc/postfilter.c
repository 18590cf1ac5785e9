/* SPDX-License-Identifier: Apache-2.0 */
#include "postfilter.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    WINDOW = 1 << 20,    /* bytes: half of a usual second-level cache */
    CANCEL_EVERY = 1024, /* frames between two looks at `cancel` */
};

/* ---- One window -------------------------------------------------------------------------- */

/* Where the loop stands: counts, and the run of matching records that is not yet copied. */
struct walk {
    const struct fc_postfilter *postfilter;
    struct fc_postfilter_result *result;
    struct fc_scan scan;
    size_t stop;      /* records that start here or later are not ours */
    size_t run_start; /* the run is [run_start, run_end) */
    size_t run_end;
    uint32_t longest;    /* captured length in the run */
    uint32_t skipped_at; /* where tags begin for `skipping`; 0: it does not matter */
};

static int flush_run(struct walk *walk) {
    if (walk->run_start == walk->run_end)
        return FC_OK;
    return fc_convert_append(&walk->postfilter->convert, walk->scan.bytes + walk->run_start,
                             walk->run_end - walk->run_start, walk->longest, &walk->result->output);
}

static inline bool matches(const struct walk *walk, const struct fc_pcap_record *record) {
    if (!walk->postfilter->program)
        return true;
    uint32_t snaplen = walk->scan.layout.snaplen;
    const struct fc_frame frame = {
        .bytes = walk->scan.bytes + walk->scan.offset - record->captured,
        .captured = record->captured < snaplen ? record->captured : snaplen,
        .wire = record->wire,
    };
    if (fc_program_run(walk->postfilter->program, &frame) != 0)
        return true;
    if (walk->skipped_at != 0 && fc_frame_has_tag(&frame, walk->skipped_at) &&
        fc_program_run(walk->postfilter->skipping, &frame) != 0)
        walk->result->tagged_missed++;
    return false;
}

static inline int take(struct walk *walk, const struct fc_pcap_record *record, size_t start) {
    bool finer = walk->scan.layout.nanoseconds;
    int64_t ns = fc_pcap_nanoseconds(record, finer);
    if (finer && walk->postfilter->keep && !walk->postfilter->convert.to.nanoseconds)
        ns -= ns % 1000; /* as the output has it */
    fc_scan_note(&walk->result->matched, ns);
    if (!walk->postfilter->keep)
        return FC_OK;
    if (start != walk->run_end) {
        int status = flush_run(walk);
        if (status < 0)
            return status;
        walk->run_start = start;
        walk->longest = 0;
    }
    if (record->captured > walk->longest)
        walk->longest = record->captured;
    walk->run_end = walk->scan.offset;
    return FC_OK;
}

/* `swapped` is a constant in each of the two callers, so each gets a loop of its own. */
static inline __attribute__((always_inline)) int walk_records(struct walk *walk, bool swapped,
                                                              enum fc_scan_stop *stop) {
    struct fc_postfilter_result *result = walk->result;
    uint64_t limit = walk->postfilter->limit;
    while (walk->scan.offset < walk->stop && result->matched.frames < limit) {
        struct fc_pcap_record record;
        size_t start = walk->scan.offset;
        *stop = fc_scan_next(&walk->scan, swapped, &record);
        if (*stop != FC_SCAN_RECORD)
            return FC_OK;
        if (++result->frames_read % CANCEL_EVERY == 0 && fc_cancel_is_set(walk->postfilter->cancel))
            return FC_ERROR_CANCELLED;
        if (matches(walk, &record)) {
            int status = take(walk, &record, start);
            if (status < 0)
                return status;
        }
    }
    *stop = FC_SCAN_CALLER;
    return FC_OK;
}

/* Walks `length` bytes from `offset` on; moves `*offset` behind the last record read. */
static int walk_window(const struct fc_postfilter *postfilter, const uint8_t *bytes, size_t length,
                       size_t stop_at, size_t *offset, struct fc_postfilter_result *result) {
    struct walk walk = {
        .postfilter = postfilter,
        .result = result,
        .scan = {.bytes = bytes,
                 .length = length,
                 .offset = *offset,
                 .layout = postfilter->convert.from},
        .stop = stop_at,
        .skipped_at = postfilter->skipping ? fc_program_tags_at(postfilter->skipping) : 0,
    };
    int status = walk.scan.layout.swapped ? walk_records(&walk, true, &result->stop)
                                          : walk_records(&walk, false, &result->stop);
    if (status == FC_OK)
        status = flush_run(&walk);
    *offset = walk.scan.offset;
    return status;
}

/* ---- Bytes in memory --------------------------------------------------------------------- */

static void begin(const struct fc_postfilter *postfilter, struct fc_postfilter_result *result) {
    *result = (struct fc_postfilter_result){0};
    if (!postfilter->memory)
        return;
    result->output = postfilter->memory->output;
    result->output.length = 0;
    postfilter->memory->output = (struct fc_buffer){0};
}

static int finish(int status, struct fc_postfilter_result *result) {
    if (status < 0)
        fc_buffer_free(&result->output);
    return status;
}

int fc_postfilter_bytes(const struct fc_postfilter *postfilter, const uint8_t *bytes, size_t length,
                        struct fc_postfilter_result *result) {
    begin(postfilter, result);
    size_t used = 0;
    int status = walk_window(postfilter, bytes, length, length, &used, result);
    result->end = used;
    if (result->stop == FC_SCAN_CALLER && used == length)
        result->stop = FC_SCAN_END;
    return finish(status, result);
}

/* ---- A range of a file ------------------------------------------------------------------- */

/* The part of the file that is in memory: `length` bytes from file offset `start` on. */
struct window {
    int fd;
    uint64_t file_size;
    uint64_t start;
    struct fc_buffer buffer; /* its length is how much is in it */
};

/* Reads up to `want` bytes at `start`, fewer only where the file ends as it should. */
static int window_read(struct window *window, uint64_t start, size_t want) {
    uint64_t left = window->file_size - start;
    if (want > left)
        want = (size_t)left;
    window->start = start;
    window->buffer.length = 0;
    int status = fc_buffer_reserve(&window->buffer, want);
    while (status == FC_OK && window->buffer.length < want) {
        ssize_t got = pread(window->fd, window->buffer.bytes + window->buffer.length,
                            want - window->buffer.length, (off_t)(start + window->buffer.length));
        if (got > 0)
            window->buffer.length += (size_t)got;
        else if (got == 0)
            status = FC_ERROR_SHRUNK;
        else if (errno != EINTR)
            status = FC_ERROR_SYSTEM;
    }
    return status;
}

/* A guess starts the range where a record may start, or nowhere. */
static int find_start(const struct fc_postfilter *postfilter, struct window *window, uint64_t stop,
                      struct fc_postfilter_result *result) {
    int status = window_read(window, result->start, WINDOW);
    if (status < 0)
        return status;
    struct fc_scan scan = {.bytes = window->buffer.bytes,
                           .length = window->buffer.length,
                           .layout = postfilter->convert.from};
    size_t found = fc_scan_guess(&scan, 0);
    bool inside = found != SIZE_MAX && found < stop - result->start;
    result->start = inside ? result->start + found : stop;
    return FC_OK;
}

/* Window after window, each beginning with a record; a record longer than a window enlarges it. */
static int walk_range(const struct fc_postfilter *postfilter, struct window *window, uint64_t stop,
                      struct fc_postfilter_result *result) {
    size_t want = WINDOW;
    result->stop = FC_SCAN_CALLER;
    result->end = result->start;
    while (result->end < stop) {
        if (fc_cancel_is_set(postfilter->cancel))
            return FC_ERROR_CANCELLED;
        int status = window_read(window, result->end, want);
        if (status < 0)
            return status;
        uint64_t stop_at = stop - window->start;
        size_t used = 0;
        status = walk_window(postfilter, window->buffer.bytes, window->buffer.length,
                             stop_at < SIZE_MAX ? (size_t)stop_at : SIZE_MAX, &used, result);
        result->end = window->start + used;
        bool whole_file_seen = window->start + window->buffer.length == window->file_size;
        if (status < 0 || result->stop == FC_SCAN_CALLER)
            return status;
        if (result->stop != FC_SCAN_END && (whole_file_seen || !fc_scan_is_cut(result->stop)))
            return FC_OK;
        want = used > 0 ? WINDOW : want * 2;
    }
    return FC_OK;
}

int fc_postfilter_range(const struct fc_postfilter *postfilter, int fd, uint64_t start,
                        uint64_t stop, uint64_t size, bool guess,
                        struct fc_postfilter_result *result) {
    begin(postfilter, result);
    if (start > stop || stop > size)
        return finish(FC_ERROR_ARGUMENT, result);
    struct fc_postfilter_memory *memory = postfilter->memory;
    struct window window = {.fd = fd, .file_size = size};
    if (memory)
        window.buffer = memory->window;
    result->start = start;
    int status = guess ? find_start(postfilter, &window, stop, result) : FC_OK;
    if (status == FC_OK)
        status = walk_range(postfilter, &window, stop, result);
    if (memory)
        memory->window = window.buffer;
    else
        fc_buffer_free(&window.buffer);
    return finish(status, result);
}
