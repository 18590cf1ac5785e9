/* SPDX-License-Identifier: Apache-2.0 */
#include "slice.h"

enum {
    MACS_AND_TYPE = 14,
    TYPE_OFFSET = 12,
    /* From here on it is a type, below it a length (IEEE 802.3). */
    SMALLEST_TYPE = 0x600,
    SNAP = 8,

    NO_TYPE = 0,
    TYPE_IPV4 = 0x0800,
    TYPE_ARP = 0x0806,
    TYPE_RARP = 0x8035,
    TYPE_IPV6 = 0x86dd,
    TYPE_MPLS = 0x8847,
    TYPE_MPLS_UPSTREAM = 0x8848,
    TYPE_PPPOE = 0x8864, /* a session */
    PPP_IPV4 = 0x0021,
    PPP_IPV6 = 0x0057,
    PPPOE = 8, /* bytes, the protocol of PPP among them */
    PPPOE_VERSION = 0x11,

    HOP_BY_HOP = 0,
    ICMP = 1,
    IGMP = 2,
    TCP = 6,
    UDP = 17,
    DCCP = 33,
    ROUTING = 43,
    FRAGMENT = 44,
    GRE = 47,
    ESP = 50,
    AH = 51,
    ICMPV6 = 58,
    DESTINATION = 60,
    SCTP = 132,
    MOBILITY = 135,
    UDP_LITE = 136,
    HIP = 139,
    SHIM6 = 140,
    NO_PROTOCOL = 256, /* a fragment's rest, say */
};

/* All offsets count bytes on the wire. */
struct walk {
    const uint8_t *bytes;
    uint32_t
        apart;     /* bytes that lie elsewhere, and before `at`: the tag that the kernel took off */
    uint32_t seen; /* bytes that are there, and may be looked at */
    uint32_t wire;
    uint32_t at; /* the end of what is known; never more than `seen` */
};

static const uint8_t *here(const struct walk *walk) {
    return walk->bytes + (walk->at - walk->apart);
}

/* Whether the next `size` bytes can be looked at. Where they cannot, though they were on the wire,
 * they are a header's that was cut: it is kept as far as it goes. */
static bool there(struct walk *walk, uint32_t size) {
    if (!fc_bytes_within(walk->at, size, walk->wire))
        return false;
    if (fc_bytes_within(walk->at, size, walk->seen))
        return true;
    walk->at = walk->seen;
    return false;
}

static bool take(struct walk *walk, uint32_t size) {
    if (!there(walk, size))
        return false;
    walk->at += size;
    return true;
}

/* ---- Link -------------------------------------------------------------------------------- */

static uint32_t type_by_version(struct walk *walk) {
    if (!there(walk, 1))
        return NO_TYPE;
    uint32_t version = here(walk)[0] >> 4;
    return version == 4 ? TYPE_IPV4 : version == 6 ? TYPE_IPV6 : NO_TYPE;
}

static uint32_t behind_snap(struct walk *walk) {
    if (!there(walk, 1) || here(walk)[0] != 0xaa)
        return NO_TYPE;
    if (!there(walk, 3) || here(walk)[1] != 0xaa || here(walk)[2] != 3)
        return NO_TYPE;
    const uint8_t *header = here(walk);
    if (!take(walk, SNAP))
        return NO_TYPE;
    /* RFC 1042; with other organisations' codes the type is theirs */
    return (fc_load_big32(header + 2) & 0xffffff) == 0 ? fc_load_big16(header + 6) : NO_TYPE;
}

static uint32_t behind_labels(struct walk *walk) {
    bool last = false;
    while (!last) {
        const uint8_t *label = here(walk);
        if (!take(walk, 4))
            return NO_TYPE;
        last = label[2] & 1;
    }
    return type_by_version(walk); /* nothing else says what they carry */
}

static uint32_t behind_pppoe(struct walk *walk) {
    const uint8_t *header = here(walk);
    if (!there(walk, PPPOE) || header[0] != PPPOE_VERSION || header[1] != 0)
        return NO_TYPE;
    walk->at += PPPOE;
    uint32_t protocol = fc_load_big16(header + 6);
    return protocol == PPP_IPV4 ? TYPE_IPV4 : protocol == PPP_IPV6 ? TYPE_IPV6 : NO_TYPE;
}

/* The type of what is behind the link header. */
static uint32_t ethernet(struct walk *walk, const struct fc_frame *frame) {
    if (walk->seen < MACS_AND_TYPE) {
        walk->at = walk->seen;
        return NO_TYPE;
    }
    uint32_t type = fc_load_big16(frame->tagged ? frame->tag : frame->bytes + TYPE_OFFSET);
    walk->apart = frame->tagged ? FC_TAG_LENGTH : 0;
    walk->at = MACS_AND_TYPE;
    if (frame->tagged && !fc_frame_is_tpid(type)) /* not what the kernel takes off */
        return NO_TYPE;
    while (fc_frame_is_tpid(type)) {
        if (!take(walk, FC_TAG_LENGTH))
            return NO_TYPE;
        type = fc_load_big16(walk->bytes + (walk->at - walk->apart - 2));
    }
    if (type < SMALLEST_TYPE)
        return behind_snap(walk);
    if (type == TYPE_MPLS || type == TYPE_MPLS_UPSTREAM)
        return behind_labels(walk);
    return type == TYPE_PPPOE ? behind_pppoe(walk) : type;
}

/* ---- Network ----------------------------------------------------------------------------- */

/* 8 bytes, or 4 with AH, are the unit of their lengths. */
static uint32_t extension_size(uint32_t protocol, uint32_t length) {
    if (protocol == FRAGMENT)
        return 8;
    if (protocol == AH)
        return length == 0 ? 0 : 4 * (length + 2);
    return 8 * (length + 1);
}

static bool is_extension(uint32_t protocol, bool ipv6) {
    switch (protocol) {
    case AH: return true;
    case HOP_BY_HOP:
    case ROUTING:
    case FRAGMENT:
    case DESTINATION:
    case MOBILITY:
    case HIP:
    case SHIM6: return ipv6;
    default: return false;
    }
}

/* The protocol behind extension headers and AH, of which `protocol` may be the first. */
static uint32_t behind_extensions(struct walk *walk, uint32_t protocol, bool ipv6) {
    while (is_extension(protocol, ipv6)) {
        if (!there(walk, 8))
            return NO_PROTOCOL;
        const uint8_t *header = here(walk);
        uint32_t size = extension_size(protocol, header[1]);
        if (size == 0 || !take(walk, size))
            return NO_PROTOCOL;
        if (protocol == FRAGMENT && fc_load_big16(header + 2) >> 3 != 0)
            return NO_PROTOCOL;
        protocol = header[0];
    }
    return protocol;
}

static uint32_t ipv4(struct walk *walk) {
    if (!there(walk, 20))
        return NO_PROTOCOL;
    const uint8_t *header = here(walk);
    uint32_t size = 4 * (header[0] & 0xfu);
    if (header[0] >> 4 != 4 || size < 20 || !take(walk, size))
        return NO_PROTOCOL;
    if ((fc_load_big16(header + 6) & 0x1fff) != 0)
        return NO_PROTOCOL;
    return behind_extensions(walk, header[9], false);
}

static uint32_t ipv6(struct walk *walk) {
    if (!there(walk, 40))
        return NO_PROTOCOL;
    const uint8_t *header = here(walk);
    if (header[0] >> 4 != 6)
        return NO_PROTOCOL;
    walk->at += 40;
    return behind_extensions(walk, header[6], true);
}

static uint32_t arp(struct walk *walk) {
    if (there(walk, 8))
        take(walk, 8 + 2 * ((uint32_t)here(walk)[4] + here(walk)[5]));
    return NO_PROTOCOL;
}

/* The protocol of the transport header. */
static uint32_t network(struct walk *walk, uint32_t type) {
    switch (type) {
    case TYPE_IPV4: return ipv4(walk);
    case TYPE_IPV6: return ipv6(walk);
    case TYPE_ARP:
    case TYPE_RARP: return arp(walk);
    default: return NO_PROTOCOL;
    }
}

/* ---- Transport --------------------------------------------------------------------------- */

static void tcp(struct walk *walk) {
    if (!there(walk, 20))
        return;
    uint32_t size = 4 * (uint32_t)(here(walk)[12] >> 4);
    if (size >= 20)
        take(walk, size);
}

/* RFC 4340, 5.1: a sequence number of 48 bits makes the shortest header longer. */
static void dccp(struct walk *walk) {
    if (!there(walk, 12))
        return;
    uint32_t size = 4 * (uint32_t)here(walk)[4];
    if (size >= ((here(walk)[8] & 1) != 0 ? 16 : 12))
        take(walk, size);
}

/* RFC 2784 and 2890: checksum, key, sequence number; RFC 2637 (version 1): an acknowledgement. The
 * routing of RFC 1701 is not known. */
static void gre(struct walk *walk) {
    if (!there(walk, 4))
        return;
    uint32_t flags = fc_load_big16(here(walk));
    uint32_t version = flags & 7;
    if (version > 1 || (flags & 0x4000) != 0)
        return;
    uint32_t fields = (flags >> 15 & 1) + (flags >> 13 & 1) + (flags >> 12 & 1);
    if (version == 1)
        fields += flags >> 7 & 1;
    take(walk, 4 + 4 * fields);
}

static void transport(struct walk *walk, uint32_t protocol) {
    switch (protocol) {
    case TCP: tcp(walk); break;
    case DCCP: dccp(walk); break;
    case GRE: gre(walk); break;
    case SCTP: take(walk, 12); break;
    case UDP:
    case UDP_LITE:
    case ICMP:
    case ICMPV6:
    case IGMP:
    case ESP: take(walk, 8); break;
    default: break;
    }
}

uint32_t fc_slice_length(const struct fc_slice *slice, const struct fc_frame *frame) {
    uint32_t captured = frame->captured;
    struct walk walk = {
        .bytes = frame->bytes,
        .seen = captured < FC_SLICE_HEADERS ? captured : FC_SLICE_HEADERS,
        .wire = captured > frame->wire ? captured : frame->wire,
    };
    uint32_t type = slice->ethernet ? ethernet(&walk, frame) : type_by_version(&walk);
    if (slice->layer > 2) {
        uint32_t protocol = network(&walk, type);
        if (slice->layer > 3)
            transport(&walk, protocol);
    }
    return slice->more < captured - walk.at ? walk.at + slice->more : captured;
}
