/* SPDX-License-Identifier: Apache-2.0 */
#include "flow.h"

enum {
    TYPE_IPV4 = 0x0800,
    TYPE_IPV6 = 0x86dd,
    TCP = 6,
    UDP = 17,
    SCTP = 132,
    UDP_LITE = 136,
    DCCP = 33,
    MOST_TAGS = 16,
};

/* The finaliser of MurmurHash3 (Appleby, public domain): every bit of the input reaches every bit
 * of the result. */
static uint64_t mix(uint64_t value) {
    value ^= value >> 33;
    value *= UINT64_C(0xff51afd7ed558ccd);
    value ^= value >> 33;
    value *= UINT64_C(0xc4ceb9fe1a85ec53);
    return value ^ value >> 33;
}

static uint32_t number(const struct fc_frame *frame, uint64_t offset, uint32_t size) {
    uint32_t value = 0;
    return fc_frame_load(frame, false, offset, size, &value) ? value : 0;
}

/* An address and a port. */
static uint64_t end_of(const struct fc_frame *frame, uint64_t offset, uint32_t size,
                       uint32_t port) {
    uint64_t hash = port;
    uint32_t done = 0;
    for (; size - done >= 4; done += 4)
        hash = mix(hash ^ (uint64_t)number(frame, offset + done, 4) << 16);
    if (size - done == 2)
        hash = mix(hash ^ (uint64_t)number(frame, offset + done, 2) << 16);
    return mix(hash + 1);
}

static bool has_ports(uint32_t protocol) {
    return protocol == TCP || protocol == UDP || protocol == SCTP || protocol == UDP_LITE ||
           protocol == DCCP;
}

/* A sum does not know which end was first. */
static uint64_t pair(const struct fc_frame *frame, uint64_t source, uint64_t destination,
                     uint32_t size, uint64_t ports, bool with_ports, uint32_t protocol) {
    uint32_t from = with_ports ? number(frame, ports, 2) : 0;
    uint32_t to = with_ports ? number(frame, ports + 2, 2) : 0;
    uint64_t both = end_of(frame, source, size, from) + end_of(frame, destination, size, to);
    return mix(both + protocol);
}

static uint64_t ipv4(const struct fc_frame *frame, uint64_t at) {
    uint32_t protocol = number(frame, at + 9, 1);
    bool fragment = (number(frame, at + 6, 2) & 0x3fff) != 0; /* more of them, or an offset */
    uint64_t ports = at + 4 * (number(frame, at, 1) & 0xf);
    return pair(frame, at + 12, at + 16, 4, ports, !fragment && has_ports(protocol), protocol);
}

static uint64_t ipv6(const struct fc_frame *frame, uint64_t at) {
    uint32_t protocol = number(frame, at + 6, 1);
    return pair(frame, at + 8, at + 24, 16, at + 40, has_ports(protocol), protocol);
}

static uint64_t ip(const struct fc_frame *frame, uint64_t at) {
    return number(frame, at, 1) >> 4 == 6 ? ipv6(frame, at) : ipv4(frame, at);
}

/* `stations`: the frame begins with two addresses. */
static uint64_t typed(const struct fc_frame *frame, uint64_t type_at, uint64_t at, bool stations) {
    uint32_t type = number(frame, type_at, 2);
    for (int i = 0; i < MOST_TAGS && at == type_at + 2 && fc_frame_is_tpid(type); i++) {
        type_at += FC_TAG_LENGTH;
        at += FC_TAG_LENGTH;
        type = number(frame, type_at, 2);
    }
    if (type == TYPE_IPV4)
        return ipv4(frame, at);
    if (type == TYPE_IPV6)
        return ipv6(frame, at);
    return stations ? pair(frame, 0, 6, 6, 0, false, type) : mix(type);
}

uint64_t fc_flow_hash(const struct fc_frame *frame, enum fc_flow_link link) {
    switch (link) {
    case FC_FLOW_ETHERNET: return typed(frame, 12, 14, true);
    case FC_FLOW_SLL: return typed(frame, 14, 16, false);
    case FC_FLOW_SLL2: return typed(frame, 0, 20, false);
    case FC_FLOW_RAW: return ip(frame, 0);
    case FC_FLOW_UNKNOWN: break;
    }
    return 0;
}
