/* SPDX-License-Identifier: Apache-2.0
 *
 * How a kept frame becomes a record of the file that is written, pcap or pcapng: how long the
 * record is, and what stands around the captured bytes. In this machine's byte order.
 */
#ifndef FC_RECORD_H
#define FC_RECORD_H

#include "pcap.h"
#include "pcapng.h"

enum {
    FC_RECORD_MOST_AROUND =
        FC_PCAPNG_FRAME_HEADER + 3 + FC_PCAPNG_DROPS + FC_PCAPNG_FRAME_END, /* and padding */
};

struct fc_record_format {
    bool pcapng;
    bool nanoseconds; /* the times count nanoseconds, else microseconds */
};

struct fc_record {
    uint32_t seconds;
    uint32_t nanoseconds;
    uint32_t captured;
    uint32_t wire;
    uint64_t missing; /* frames that were lost just before it; only pcapng has a word for it */
};

static inline uint32_t fc_record_padding(uint32_t captured) {
    return (4 - captured % 4) % 4;
}

/* `captured` is far from where this could wrap. */
static inline uint32_t fc_record_size(bool pcapng, uint32_t captured, uint64_t missing) {
    if (!pcapng)
        return FC_PCAP_RECORD_HEADER + captured;
    return FC_PCAPNG_FRAME_HEADER + captured + fc_record_padding(captured) +
           (missing > 0 ? FC_PCAPNG_DROPS : 0) + FC_PCAPNG_FRAME_END;
}

/* Stores what comes before the captured bytes of a pcap record. */
static inline void fc_record_begin_pcap(uint8_t *at, bool nanoseconds, uint32_t seconds,
                                        uint32_t fraction_ns, uint32_t captured, uint32_t wire) {
    fc_store32(at, seconds);
    fc_store32(at + 4, nanoseconds ? fraction_ns : fraction_ns / 1000);
    fc_store32(at + 8, captured);
    fc_store32(at + 12, wire);
}

/* The same for pcapng; where the captured bytes go. */
static inline uint8_t *fc_record_begin_pcapng(uint8_t *at, bool nanoseconds,
                                              const struct fc_record *record) {
    uint64_t second = nanoseconds ? 1000000000 : 1000000;
    uint64_t ticks =
        record->seconds * second + (nanoseconds ? record->nanoseconds : record->nanoseconds / 1000);
    fc_store32(at, FC_PCAPNG_FRAME);
    fc_store32(at + 4, fc_record_size(true, record->captured, record->missing));
    fc_store32(at + 8, 0); /* the interface, of which there is one */
    fc_store32(at + 12, (uint32_t)(ticks >> 32));
    fc_store32(at + 16, (uint32_t)ticks);
    fc_store32(at + 20, record->captured);
    fc_store32(at + 24, record->wire);
    return at + FC_PCAPNG_FRAME_HEADER;
}

/* Stores what comes behind the captured bytes, which begin at `bytes`. */
static inline void fc_record_end_pcapng(uint8_t *bytes, const struct fc_record *record) {
    static const uint8_t zeros[4] = {0};
    static const uint16_t drop_count[2] = {4, sizeof record->missing};
    uint8_t *at = bytes + record->captured;
    memcpy(at, zeros, fc_record_padding(record->captured));
    at += fc_record_padding(record->captured);
    if (record->missing > 0) {
        memcpy(at, drop_count, sizeof drop_count);
        memcpy(at + 4, &record->missing, sizeof record->missing);
        memcpy(at + 12, zeros, sizeof zeros);
        at += FC_PCAPNG_DROPS;
    }
    fc_store32(at, fc_record_size(true, record->captured, record->missing));
}

#endif
