/* SPDX-License-Identifier: Apache-2.0 */
#include "summary.h"

#include <stdlib.h>

enum {
    /* From here on it is a type, below it a length (IEEE 802.3). */
    SMALLEST_TYPE = 0x600,
    TYPE_IPV4 = 0x0800,
    TYPE_ARP = 0x0806,
    TYPE_IPV6 = 0x86dd,
    TYPE_MPLS = 0x8847,
    TYPE_MPLS_UPSTREAM = 0x8848,
    TYPE_PPPOE_DISCOVERY = 0x8863,
    TYPE_PPPOE_SESSION = 0x8864,
    TYPE_LLDP = 0x88cc,

    HOP_BY_HOP = 0,
    ROUTING = 43,
    FRAGMENT = 44,
    DESTINATION = 60,

    FIRST_ROWS = 64,
};

const char *fc_summary_name(uint32_t protocol) {
    switch ((enum fc_summary_protocol)protocol) {
    case FC_SUMMARY_ARP: return "arp";
    case FC_SUMMARY_LLC: return "llc";
    case FC_SUMMARY_LLDP: return "lldp";
    case FC_SUMMARY_MPLS: return "mpls";
    case FC_SUMMARY_PPPOE: return "pppoe";
    case FC_SUMMARY_IPV4_OTHER: return "ipv4/other";
    case FC_SUMMARY_IPV4_AH: return "ipv4/ah";
    case FC_SUMMARY_IPV4_ESP: return "ipv4/esp";
    case FC_SUMMARY_IPV4_GRE: return "ipv4/gre";
    case FC_SUMMARY_IPV4_ICMP: return "ipv4/icmp";
    case FC_SUMMARY_IPV4_IGMP: return "ipv4/igmp";
    case FC_SUMMARY_IPV4_OSPF: return "ipv4/ospf";
    case FC_SUMMARY_IPV4_SCTP: return "ipv4/sctp";
    case FC_SUMMARY_IPV4_TCP: return "ipv4/tcp";
    case FC_SUMMARY_IPV4_UDP: return "ipv4/udp";
    case FC_SUMMARY_IPV6_OTHER: return "ipv6/other";
    case FC_SUMMARY_IPV6_AH: return "ipv6/ah";
    case FC_SUMMARY_IPV6_ESP: return "ipv6/esp";
    case FC_SUMMARY_IPV6_GRE: return "ipv6/gre";
    case FC_SUMMARY_IPV6_ICMP6: return "ipv6/icmp6";
    case FC_SUMMARY_IPV6_OSPF: return "ipv6/ospf";
    case FC_SUMMARY_IPV6_SCTP: return "ipv6/sctp";
    case FC_SUMMARY_IPV6_TCP: return "ipv6/tcp";
    case FC_SUMMARY_IPV6_UDP: return "ipv6/udp";
    case FC_SUMMARY_OTHER:
    case FC_SUMMARY_PROTOCOLS: break;
    }
    return "other";
}

/* ---- Protocols --------------------------------------------------------------------------- */

/* By the numbers of the IANA; 0, which is no protocol of these, where it is none of ours. */
static const uint8_t ipv4_protocols[256] = {
    [1] = FC_SUMMARY_IPV4_ICMP, [2] = FC_SUMMARY_IPV4_IGMP,  [6] = FC_SUMMARY_IPV4_TCP,
    [17] = FC_SUMMARY_IPV4_UDP, [47] = FC_SUMMARY_IPV4_GRE,  [50] = FC_SUMMARY_IPV4_ESP,
    [51] = FC_SUMMARY_IPV4_AH,  [89] = FC_SUMMARY_IPV4_OSPF, [132] = FC_SUMMARY_IPV4_SCTP,
};
static const uint8_t ipv6_protocols[256] = {
    [6] = FC_SUMMARY_IPV6_TCP,   [17] = FC_SUMMARY_IPV6_UDP,   [47] = FC_SUMMARY_IPV6_GRE,
    [50] = FC_SUMMARY_IPV6_ESP,  [51] = FC_SUMMARY_IPV6_AH,    [58] = FC_SUMMARY_IPV6_ICMP6,
    [89] = FC_SUMMARY_IPV6_OSPF, [132] = FC_SUMMARY_IPV6_SCTP,
};

static inline bool load(const struct fc_frame *frame, uint64_t offset, uint32_t size,
                        uint32_t *value) {
    return fc_frame_load(frame, frame->tagged, offset, size, value);
}

static enum fc_summary_protocol ipv4(const struct fc_frame *frame, uint64_t at) {
    uint32_t first, protocol;
    if (!load(frame, at, 1, &first) || first >> 4 != 4 || (first & 0xf) < 5)
        return FC_SUMMARY_IPV4_OTHER;
    if (!load(frame, at + 9, 1, &protocol) || ipv4_protocols[protocol] == 0)
        return FC_SUMMARY_IPV4_OTHER;
    return ipv4_protocols[protocol];
}

/* Extension headers are 8 bytes long at least, so the walk ends where the frame does. */
static enum fc_summary_protocol ipv6(const struct fc_frame *frame, uint64_t at) {
    uint32_t first, protocol, length, field;
    if (!load(frame, at, 1, &first) || first >> 4 != 6 || !load(frame, at + 6, 1, &protocol))
        return FC_SUMMARY_IPV6_OTHER;
    at += 40;
    bool behind = false; /* a later fragment: what comes is not a header */
    while (protocol == HOP_BY_HOP || protocol == ROUTING || protocol == FRAGMENT ||
           protocol == DESTINATION) {
        bool fragment = protocol == FRAGMENT;
        if (behind || !load(frame, at, 1, &protocol) || !load(frame, at + 1, 1, &length))
            return FC_SUMMARY_IPV6_OTHER;
        if (fragment && !load(frame, at + 2, 2, &field))
            return FC_SUMMARY_IPV6_OTHER;
        behind = fragment && field >> 3 != 0;
        at += fragment ? 8 : 8 * (length + 1);
    }
    return ipv6_protocols[protocol] != 0 ? ipv6_protocols[protocol] : FC_SUMMARY_IPV6_OTHER;
}

/* `at`: what is behind the type, or behind the TPID of a tag. */
static enum fc_summary_protocol typed(const struct fc_frame *frame, uint64_t type_at, uint64_t at,
                                      bool has_lengths) {
    uint32_t type;
    if (!load(frame, type_at, 2, &type))
        return FC_SUMMARY_OTHER;
    for (; fc_frame_is_tpid(type); at += FC_TAG_LENGTH)
        if (!load(frame, at + 2, 2, &type))
            return FC_SUMMARY_OTHER;
    switch (type) {
    case TYPE_IPV4: return ipv4(frame, at);
    case TYPE_IPV6: return ipv6(frame, at);
    case TYPE_ARP: return FC_SUMMARY_ARP;
    case TYPE_LLDP: return FC_SUMMARY_LLDP;
    case TYPE_MPLS:
    case TYPE_MPLS_UPSTREAM: return FC_SUMMARY_MPLS;
    case TYPE_PPPOE_DISCOVERY:
    case TYPE_PPPOE_SESSION: return FC_SUMMARY_PPPOE;
    default: return has_lengths && type < SMALLEST_TYPE ? FC_SUMMARY_LLC : FC_SUMMARY_OTHER;
    }
}

static enum fc_summary_protocol raw(const struct fc_frame *frame) {
    uint32_t first;
    if (!load(frame, 0, 1, &first))
        return FC_SUMMARY_OTHER;
    return first >> 4 == 4 ? ipv4(frame, 0) : first >> 4 == 6 ? ipv6(frame, 0) : FC_SUMMARY_OTHER;
}

enum fc_summary_protocol fc_summary_protocol_of(const struct fc_frame *frame,
                                                enum fc_flow_link link) {
    switch (link) {
    case FC_FLOW_ETHERNET: return typed(frame, 12, 14, true);
    case FC_FLOW_SLL: return typed(frame, 14, 16, false);
    case FC_FLOW_SLL2: return typed(frame, 0, 20, false);
    case FC_FLOW_RAW: return raw(frame);
    case FC_FLOW_UNKNOWN: break;
    }
    return FC_SUMMARY_OTHER;
}

/* ---- Rows -------------------------------------------------------------------------------- */

static int reserve(struct fc_summary *summary, size_t more) {
    if (more <= summary->room - summary->count)
        return FC_OK;
    size_t room = summary->room > 0 ? 2 * summary->room : FIRST_ROWS;
    while (room - summary->count < more)
        room *= 2;
    struct fc_summary_row *rows = realloc(summary->rows, room * sizeof *rows);
    if (!rows)
        return FC_ERROR_MEMORY;
    summary->rows = rows;
    summary->room = room;
    return FC_OK;
}

int fc_summary_turn(struct fc_summary *summary) {
    for (uint32_t i = 0; i < FC_SUMMARY_PROTOCOLS; i++) {
        struct fc_summary_counter *counter = &summary->counters[i];
        if (counter->frames == 0)
            continue;
        int status = reserve(summary, 1);
        if (status < 0)
            return status;
        summary->rows[summary->count++] =
            (struct fc_summary_row){summary->second, i, counter->frames, counter->bytes};
        *counter = (struct fc_summary_counter){0};
    }
    return FC_OK;
}

int fc_summary_join(struct fc_summary *summary, struct fc_summary *more) {
    int status = fc_summary_turn(more);
    if (status == FC_OK)
        status = reserve(summary, more->count);
    if (status < 0)
        return status;
    if (more->count > 0)
        memcpy(summary->rows + summary->count, more->rows, more->count * sizeof *more->rows);
    summary->count += more->count;
    more->count = 0;
    return FC_OK;
}

static int compare(const void *one, const void *other) {
    const struct fc_summary_row *a = one, *b = other;
    if (a->second != b->second)
        return a->second < b->second ? -1 : 1;
    return (a->protocol > b->protocol) - (a->protocol < b->protocol);
}

int fc_summary_finish(struct fc_summary *summary) {
    int status = fc_summary_turn(summary);
    if (status < 0 || summary->count == 0)
        return status;
    struct fc_summary_row *rows = summary->rows;
    qsort(rows, summary->count, sizeof *rows, compare);
    size_t last = 0;
    for (size_t i = 1; i < summary->count; i++) {
        if (compare(&rows[last], &rows[i]) == 0) {
            rows[last].frames += rows[i].frames;
            rows[last].bytes += rows[i].bytes;
        } else {
            rows[++last] = rows[i];
        }
    }
    summary->count = last + 1;
    return FC_OK;
}

void fc_summary_clear(struct fc_summary *summary) {
    memset(summary->counters, 0, sizeof summary->counters);
    summary->count = 0;
}

void fc_summary_free(struct fc_summary *summary) {
    free(summary->rows);
    *summary = (struct fc_summary){0};
}
