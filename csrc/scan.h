/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks the records of a pcap file in memory. Bytes are borrowed and hostile; no check can wrap.
 * The walk never guesses: it gives records until it cannot, and says where and why it stopped.
 * Several scans may run over the same bytes in different threads.
 */
#ifndef FC_SCAN_H
#define FC_SCAN_H

#include "pcap.h"

enum fc_scan_stop {
    FC_SCAN_RECORD = 0,     /* no stop: a record was given */
    FC_SCAN_END = 1,        /* the bytes end where a record ends */
    FC_SCAN_CUT_HEADER = 2, /* the bytes end inside a record header */
    FC_SCAN_CUT_FRAME = 3,  /* the bytes end inside a frame */
    FC_SCAN_TOO_LONG = 4,   /* a captured length that no capture can have */
    FC_SCAN_ZEROS = 5,  /* a record header of zeros: a hole, for no frame has 0 bytes on the wire */
    FC_SCAN_CALLER = 6, /* the caller had enough (a range's end, a limit) */
};

struct fc_scan {
    const uint8_t *bytes;
    size_t length;
    size_t offset; /* of the next record header */
    struct fc_pcap_layout layout;
};

static inline bool fc_scan_is_zeros(const struct fc_pcap_record *record) {
    return (record->seconds | record->fraction | record->captured | record->wire) == 0;
}

/* Gives the record at scan->offset and moves behind it, or says why not and stays.
 * The frame's bytes are at scan->offset - record->captured afterwards.
 * `swapped` repeats the layout's so that a loop can be compiled for each value. */
static inline enum fc_scan_stop fc_scan_next(struct fc_scan *scan, bool swapped,
                                             struct fc_pcap_record *record) {
    size_t left = scan->length - scan->offset;
    if (left < FC_PCAP_RECORD_HEADER)
        return left == 0 ? FC_SCAN_END : FC_SCAN_CUT_HEADER;
    fc_pcap_record_read(scan->bytes + scan->offset, swapped, record);
    if (record->captured > scan->layout.max_captured)
        return FC_SCAN_TOO_LONG;
    if (record->captured > left - FC_PCAP_RECORD_HEADER)
        return FC_SCAN_CUT_FRAME;
    if (record->captured == 0 && fc_scan_is_zeros(record))
        return FC_SCAN_ZEROS;
    scan->offset += FC_PCAP_RECORD_HEADER + (size_t)record->captured;
    return FC_SCAN_RECORD;
}

/* The bytes end inside a record: with more of them it may turn out to be whole. */
static inline bool fc_scan_is_cut(enum fc_scan_stop stop) {
    return stop == FC_SCAN_CUT_HEADER || stop == FC_SCAN_CUT_FRAME;
}

/* What a scan and its stop mean when the bytes are all there is. NULL where nothing is wrong. */
const char *fc_scan_damage_text(enum fc_scan_stop stop);

/* How many records, and their earliest and latest time in nanoseconds since 1970. */
struct fc_scan_summary {
    uint64_t frames;
    int64_t first_ns; /* both meaningless while frames is 0 */
    int64_t last_ns;
};

static inline void fc_scan_note(struct fc_scan_summary *summary, int64_t ns) {
    if (summary->frames == 0 || ns < summary->first_ns)
        summary->first_ns = ns;
    if (summary->frames == 0 || ns > summary->last_ns)
        summary->last_ns = ns;
    summary->frames++;
}

/* Moves over as many records as fit `room` bytes, and sums them up. With `at_least_one` the first
 * is taken even where it is longer. The bytes are records that a scan has found before, converted
 * or not, so a header of zeros is one too: 500 ns after 1970 began are 0 us. */
void fc_scan_take(struct fc_scan *scan, uint64_t room, bool at_least_one,
                  struct fc_scan_summary *summary);

/* Looks for a place where a record plausibly starts: a chain of headers whose lengths and times
 * agree, which begins at one of `within` offsets from `offset` on. Gives the last header of the
 * chain, not the first: a capture inside a frame looks like records too, and often its chain runs
 * into the true one where the frame ends. A guess, for a caller that verifies it; SIZE_MAX for
 * none. It depends on the bytes from `offset` to scan->length alone. */
size_t fc_scan_guess(const struct fc_scan *scan, size_t offset, size_t within);

#endif
