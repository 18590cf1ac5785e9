/* SPDX-License-Identifier: Apache-2.0 */
#include "pcapng.h"

enum {
    SHORTEST_BLOCK = 12,
    HEADER = 8, /* type and length */
    SECTION_BODY = 16,
    INTERFACE_BODY = 8,
    FRAME_BODY = 20,
    BYTE_ORDER_MAGIC = 0x1a2b3c4d,
    OPTION_TSRESOL = 9,
};

static uint32_t load16(const uint8_t *at) {
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint32_t padded(uint32_t length) {
    return length + (4 - length % 4) % 4;
}

/* A section's header, of any minor version and length. */
static bool take_section(const struct fc_pcapng_walk *walk, const uint8_t *body, uint32_t length) {
    return walk->blocks == 0 && length >= SECTION_BODY && fc_load32(body) == BYTE_ORDER_MAGIC &&
           load16(body + 4) == 1;
}

/* 0 where the resolution is none that a file of ours has: 10^-9 to 10^0 seconds. */
static uint32_t ns_a_tick_of(const uint8_t *options, uint32_t length) {
    uint32_t digits = 6;
    for (uint32_t at = 0; length - at >= 4;) {
        uint32_t code = load16(options + at);
        uint32_t size = load16(options + at + 2);
        at += 4;
        if (code == 0)
            break;
        if (size > length - at || padded(size) > length - at)
            return 0;
        if (code == OPTION_TSRESOL && size == 1)
            digits = options[at];
        at += padded(size);
    }
    if (digits > 9)
        return 0;
    uint32_t ns = 1;
    for (uint32_t i = digits; i < 9; i++)
        ns *= 10;
    return ns;
}

static bool take_interface(struct fc_pcapng_walk *walk, const uint8_t *body, uint32_t length) {
    if (length < INTERFACE_BODY || walk->interfaces == FC_PCAPNG_MOST_INTERFACES)
        return false;
    uint32_t ns = ns_a_tick_of(body + INTERFACE_BODY, length - INTERFACE_BODY);
    walk->ns_a_tick[walk->interfaces++] = ns;
    return ns != 0;
}

static bool take_frame(struct fc_pcapng_walk *walk, const uint8_t *body, uint32_t length) {
    if (length < FRAME_BODY)
        return false;
    uint32_t interface = fc_load32(body);
    uint64_t ticks = (uint64_t)fc_load32(body + 4) << 32 | fc_load32(body + 8);
    uint32_t captured = fc_load32(body + 12);
    if (interface >= walk->interfaces || captured > length - FRAME_BODY ||
        ticks > (uint64_t)INT64_MAX / walk->ns_a_tick[interface])
        return false;
    int64_t ns = (int64_t)(ticks * walk->ns_a_tick[interface]);
    if (walk->frames == 0 || ns < walk->first_ns)
        walk->first_ns = ns;
    if (walk->frames == 0 || ns > walk->last_ns)
        walk->last_ns = ns;
    walk->frames++;
    return true;
}

static bool take_block(struct fc_pcapng_walk *walk, uint32_t type, const uint8_t *body,
                       uint32_t length) {
    if (type == FC_PCAPNG_SECTION)
        return take_section(walk, body, length);
    if (walk->blocks == 0) /* nothing comes before the section */
        return false;
    if (type == FC_PCAPNG_INTERFACE)
        return take_interface(walk, body, length);
    if (type == FC_PCAPNG_FRAME)
        return take_frame(walk, body, length);
    return type == FC_PCAPNG_STATISTICS;
}

size_t fc_pcapng_walk_on(struct fc_pcapng_walk *walk, const uint8_t *bytes, size_t length,
                         bool *damaged) {
    size_t offset = 0;
    *damaged = false;
    while (length - offset >= HEADER) {
        uint32_t type = fc_load32(bytes + offset);
        uint32_t size = fc_load32(bytes + offset + 4);
        *damaged = size < SHORTEST_BLOCK || size > FC_PCAPNG_LONGEST_BLOCK || size % 4 != 0;
        if (*damaged || size > length - offset)
            break;
        *damaged = fc_load32(bytes + offset + size - 4) != size ||
                   !take_block(walk, type, bytes + offset + HEADER, size - SHORTEST_BLOCK);
        if (*damaged)
            break;
        walk->blocks++;
        offset += size;
    }
    return offset;
}
