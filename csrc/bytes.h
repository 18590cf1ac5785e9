/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads and writes of numbers at any alignment. They check nothing: whoever calls them has shown,
 * with a comparison that cannot wrap, that the bytes are there:
 *     offset > length || size > length - offset   means: not there
 */
#ifndef FC_BYTES_H
#define FC_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* True where `size` bytes at `offset` lie within `length` bytes. */
static inline bool fc_bytes_within(uint64_t offset, uint64_t size, uint64_t length) {
    return offset <= length && size <= length - offset;
}

static inline uint32_t fc_swap32(uint32_t value) {
    return __builtin_bswap32(value);
}

/* In the byte order of this machine. */
static inline uint32_t fc_load32(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline void fc_store32(uint8_t *at, uint32_t value) {
    memcpy(at, &value, sizeof value);
}

/* Network byte order, as frames and filter programs have it. */
static inline uint32_t fc_load_big32(const uint8_t *at) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return fc_swap32(fc_load32(at));
#else
    return fc_load32(at);
#endif
}

static inline uint32_t fc_load_big16(const uint8_t *at) {
    return ((uint32_t)at[0] << 8) | at[1];
}

#endif
