/* SPDX-License-Identifier: Apache-2.0
 *
 * How the records of one pcap file are laid out (pcap-savefile(5)). File headers are read and
 * written in Python, fastcap/formats/pcap.py; here are only records:
 * seconds, fraction, captured length, length on the wire; each 32 bits, then the captured bytes.
 */
#ifndef FC_PCAP_H
#define FC_PCAP_H

#include "bytes.h"

enum { FC_PCAP_FILE_HEADER = 24, FC_PCAP_RECORD_HEADER = 16 };

struct fc_pcap_layout {
    bool swapped;          /* the file has the other byte order than this machine */
    bool nanoseconds;      /* the fraction counts nanoseconds, else microseconds */
    uint32_t snaplen;      /* bytes of a frame that count, as libpcap reads them: the rest is cut */
    uint32_t max_captured; /* a longer captured length is damage; by link type */
};

struct fc_pcap_record {
    uint32_t seconds;
    uint32_t fraction;
    uint32_t captured; /* as the record says, so the next record is 16 + captured bytes on */
    uint32_t wire;
};

static inline uint32_t fc_pcap_field(const uint8_t *at, bool swapped) {
    uint32_t value = fc_load32(at);
    return swapped ? fc_swap32(value) : value;
}

static inline void fc_pcap_record_read(const uint8_t *at, bool swapped,
                                       struct fc_pcap_record *record) {
    record->seconds = fc_pcap_field(at, swapped);
    record->fraction = fc_pcap_field(at + 4, swapped);
    record->captured = fc_pcap_field(at + 8, swapped);
    record->wire = fc_pcap_field(at + 12, swapped);
}

/* Nanoseconds since 1970. No input overflows: at most 2^32 * 10^9 + 2^32 * 1000 < 2^63. */
static inline int64_t fc_pcap_nanoseconds(const struct fc_pcap_record *record, bool nanoseconds) {
    return (int64_t)record->seconds * 1000000000 +
           (int64_t)record->fraction * (nanoseconds ? 1 : 1000);
}

#endif
