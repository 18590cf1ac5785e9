/* SPDX-License-Identifier: Apache-2.0 */
#include "scan.h"

const char *fc_scan_damage_text(enum fc_scan_stop stop) {
    switch (stop) {
    case FC_SCAN_RECORD:
    case FC_SCAN_END:
    case FC_SCAN_CALLER: return NULL;
    case FC_SCAN_CUT_HEADER: return "the file ends inside a record header";
    case FC_SCAN_CUT_FRAME: return "the file ends inside a frame, or its captured length is wrong";
    case FC_SCAN_TOO_LONG: return "a captured length that no capture can have";
    case FC_SCAN_ZEROS: return "zeros where a record header should be";
    }
    return "unknown damage";
}

void fc_scan_take(struct fc_scan *scan, uint64_t room, bool at_least_one,
                  struct fc_scan_summary *summary) {
    size_t start = scan->offset;
    *summary = (struct fc_scan_summary){0};
    for (;;) {
        struct fc_pcap_record record;
        size_t before = scan->offset;
        enum fc_scan_stop stop = fc_scan_next(scan, scan->layout.swapped, &record);
        if (stop == FC_SCAN_ZEROS)
            scan->offset += FC_PCAP_RECORD_HEADER;
        else if (stop != FC_SCAN_RECORD)
            return;
        bool forced = at_least_one && summary->frames == 0;
        if (!forced && scan->offset - start > room) {
            scan->offset = before;
            return;
        }
        fc_scan_note(summary, fc_pcap_nanoseconds(&record, scan->layout.nanoseconds));
    }
}

/* ---- Guessing ---------------------------------------------------------------------------- */

enum {
    CHAIN_LENGTH = 24,               /* headers in a row that must agree */
    CHAIN_SECONDS = 24 * 60 * 60,    /* between neighbours; captures have pauses, and steps back */
    LARGEST_WIRE = 16 * 1024 * 1024, /* a guess need not cover what no network carries */
};

static bool plausible(const struct fc_pcap_record *record, const struct fc_pcap_layout *layout) {
    uint32_t second = layout->nanoseconds ? 1000000000 : 1000000;
    return record->fraction < second && record->wire > 0 && record->wire <= LARGEST_WIRE &&
           record->captured <= record->wire && record->captured <= layout->max_captured;
}

static bool near_in_time(uint32_t a, uint32_t b) {
    return (a > b ? a - b : b - a) <= CHAIN_SECONDS;
}

/* The last header of a chain that begins at `offset`, or SIZE_MAX where none does. A chain also
 * holds where it runs into the end of the bytes after at least two headers. */
static size_t end_of_chain(const struct fc_scan *scan, size_t offset) {
    struct fc_pcap_record record;
    uint32_t seconds = 0;
    size_t last = SIZE_MAX;
    for (int i = 0; i < CHAIN_LENGTH; i++) {
        if (!fc_bytes_within(offset, FC_PCAP_RECORD_HEADER, scan->length))
            return i >= 2 ? last : SIZE_MAX;
        fc_pcap_record_read(scan->bytes + offset, scan->layout.swapped, &record);
        if (!plausible(&record, &scan->layout) || (i > 0 && !near_in_time(record.seconds, seconds)))
            return SIZE_MAX;
        seconds = record.seconds;
        last = offset;
        offset += FC_PCAP_RECORD_HEADER + (size_t)record.captured;
    }
    return last;
}

size_t fc_scan_guess(const struct fc_scan *scan, size_t offset, size_t within) {
    for (size_t i = 0; i < within; i++, offset++) {
        if (!fc_bytes_within(offset, FC_PCAP_RECORD_HEADER, scan->length))
            break;
        size_t last = end_of_chain(scan, offset);
        if (last != SIZE_MAX)
            return last;
    }
    return SIZE_MAX;
}
