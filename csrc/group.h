/* SPDX-License-Identifier: Apache-2.0
 *
 * Up to 64 frames that are judged together, one bit for each. The frames' bytes are borrowed.
 */
#ifndef FC_GROUP_H
#define FC_GROUP_H

#include "frame.h"

/* Tests define FC_PORTABLE, to see what other processors run. */
#if defined __SSE2__ && !defined FC_PORTABLE
#define FC_GROUP_SSE2
#include <emmintrin.h>
#endif

enum {
    FC_GROUP = 64,        /* places */
    FC_GROUP_REACH = 256, /* a plan looks at no byte of a frame behind these */
    FC_GROUP_COLUMNS = 16,
    FC_GROUP_ANSWERS = 64, /* a bit each */
};

/* What a test said of all places, for the next program that asks the same (csrc/plan.c). */
struct fc_group_answer {
    uint32_t what;
    uint32_t mask;
    uint32_t value;
    uint64_t bits;
};

struct fc_group {
    uint32_t reach;   /* so many bytes of each of `near` may be read */
    uint32_t snaplen; /* a frame ends there at the latest */
    uint64_t present; /* bits of the places that hold a frame */
    uint64_t whole;   /* and of those whose frame has `reach` bytes */
    uint64_t held;    /* of those whose `bytes` are a frame's: `present` of fc_group_complete */
    const uint8_t *bytes[FC_GROUP];
    uint32_t captured[FC_GROUP]; /* before it is cut at `snaplen` */
    uint32_t wire[FC_GROUP];
    const uint8_t *const *near; /* `bytes`, or `patched` where frames are shorter than `reach` */
    /* Numbers that tests have asked for so far, as they lie in the frames; see fc_group_column. */
    uint32_t column_count;
    uint32_t keys[FC_GROUP_COLUMNS];
    uint32_t columns[FC_GROUP_COLUMNS][FC_GROUP];
    const uint8_t *patched[FC_GROUP]; /* zeros in their place */
    bool remembers;                   /* answers, for several programs: set behind fc_group_begin */
    uint64_t known;                   /* bits of the `answers` that are of these frames */
    struct fc_group_answer answers[FC_GROUP_ANSWERS];
};

/* FC_GROUP_REACH zeros. */
extern const uint8_t fc_group_zeros[FC_GROUP_REACH];

/* Once, so that every place can be read. */
void fc_group_begin(struct fc_group *group, uint32_t reach, uint32_t snaplen);

void fc_group_patch(struct fc_group *group);

/* Places that held a frame before and hold none now: it may have been shorter than `reach`. */
void fc_group_empty(struct fc_group *group, uint64_t places);

/* When all places of `present` are filled; `shortest`: the captured length of none is less. */
static inline void fc_group_complete(struct fc_group *group, uint64_t present, uint32_t shortest) {
    group->present = group->whole = present;
    group->near = group->bytes;
    group->column_count = 0;
    group->known = 0;
    if ((group->held & ~present) != 0)
        fc_group_empty(group, group->held & ~present);
    group->held = present;
    if (shortest < group->reach || group->snaplen < group->reach)
        fc_group_patch(group);
}

/* The `size` (1, 2 or 4) bytes at an offset of all places, as they lie there; with size 0 the
 * lengths on the wire. Fetched once for all tests and programs. */
const uint32_t *fc_group_column(struct fc_group *group, uint32_t size, uint32_t offset);

/* Those of `frames` that have a VLAN tag at an offset. They are `whole`, and the group reaches so
 * far.
 */
uint64_t fc_group_tagged(struct fc_group *group, uint32_t at, uint64_t frames);

static inline uint32_t fc_group_captured(const struct fc_group *group, uint32_t place) {
    uint32_t captured = group->captured[place];
    return captured < group->snaplen ? captured : group->snaplen;
}

static inline struct fc_frame fc_group_frame(const struct fc_group *group, uint32_t place) {
    return (struct fc_frame){.bytes = group->bytes[place],
                             .captured = fc_group_captured(group, place),
                             .wire = group->wire[place]};
}

/* A number of a column, which is as it lies in the frame, as it is meant. */
static inline uint32_t fc_group_number(uint32_t lies, uint32_t size) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return size == 4 ? fc_swap32(lies) : size == 2 ? fc_swap32(lies) >> 16 : lies;
#else
    (void)size;
    return lies;
#endif
}

/* Bytes of 0 and 1 as bits, the first one the lowest. */
static inline uint64_t fc_group_as_bits(const uint8_t flags[FC_GROUP]) {
    uint64_t bits = 0;
#ifdef FC_GROUP_SSE2 /* every x86-64 has it, and an instruction for 16 highest bits of bytes */
    for (uint32_t i = 0; i < FC_GROUP; i += 16) {
        __m128i some = _mm_loadu_si128((const __m128i *)(const void *)(flags + i));
        uint32_t sixteen = (uint32_t)_mm_movemask_epi8(_mm_slli_epi16(some, 7));
        bits |= (uint64_t)sixteen << i;
    }
#else /* eight at once, by a multiplication that moves each to its place in the highest byte */
    for (uint32_t i = 0; i < FC_GROUP; i += 8) {
        uint64_t eight;
        memcpy(&eight, flags + i, sizeof eight);
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
        eight = __builtin_bswap64(eight);
#endif
        bits |= (eight * UINT64_C(0x0102040810204080) >> 56) << i;
    }
#endif
    return bits;
}

/* For a loop over the places of some bits: the lowest one, which is taken out. */
static inline uint32_t fc_group_next(uint64_t *bits) {
    uint32_t place = (uint32_t)__builtin_ctzll(*bits);
    *bits &= *bits - 1;
    return place;
}

#endif
