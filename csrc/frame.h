/* SPDX-License-Identifier: Apache-2.0
 *
 * A borrowed view of one frame: what an executor reads. The bytes belong to whoever made the view
 * (a scan's window, a ring block) and the view is valid no longer than they are.
 *
 * A frame from a file is one piece. The kernel hands live frames over without their outer
 * 802.1Q or 802.1ad tag; then the view is: the first 12 bytes, the tag, the rest. Offsets in
 * filters always count the bytes as they were on the wire, so an executor sees no difference.
 */
#ifndef FC_FRAME_H
#define FC_FRAME_H

#include "bytes.h"

enum {
    FC_TAG_OFFSET = 12, /* behind the two MAC addresses */
    FC_TAG_LENGTH = 4,  /* TPID and TCI */
};

struct fc_frame {
    const uint8_t *bytes; /* the captured bytes, less the tag where that is apart */
    uint32_t captured;    /* captured length, the tag's 4 bytes included */
    uint32_t wire;        /* length on the wire, likewise */
    bool tagged;          /* the tag lies in `tag`, not in `bytes`; then captured >= 16 */
    uint8_t tag[FC_TAG_LENGTH];
};

/* One byte of a frame whose tag is apart; the caller has checked offset < captured. */
static inline uint8_t fc_frame_tagged_byte(const struct fc_frame *frame, uint32_t offset) {
    if (offset < FC_TAG_OFFSET)
        return frame->bytes[offset];
    if (offset < FC_TAG_OFFSET + FC_TAG_LENGTH)
        return frame->tag[offset - FC_TAG_OFFSET];
    return frame->bytes[offset - FC_TAG_LENGTH];
}

/* The VLAN tags from offset `at` on, one behind the other: how many of their bytes were captured,
 * and how many there were on the wire. */
struct fc_frame_tags {
    uint32_t at;
    uint32_t captured;
    uint32_t wire;
};

/* 802.1Q, 802.1ad, and what older switches used for outer tags. */
static inline bool fc_frame_is_tpid(uint32_t type) {
    return type == 0x8100 || type == 0x88a8 || type == 0x9100;
}

static inline uint32_t fc_frame_byte(const struct fc_frame *frame, uint32_t offset) {
    return frame->tagged ? fc_frame_tagged_byte(frame, offset) : frame->bytes[offset];
}

/* Of a frame in one piece. */
static inline bool fc_frame_has_tag(const struct fc_frame *frame, uint32_t at) {
    return fc_bytes_within(at, 2, frame->captured) &&
           fc_frame_is_tpid(fc_load_big16(frame->bytes + at));
}

/* A tag is there where its TPID was captured, though the frame may be cut behind that. */
static inline struct fc_frame_tags fc_frame_find_tags(const struct fc_frame *frame, uint32_t at) {
    struct fc_frame_tags tags = {.at = at};
    uint32_t offset = at;
    while (fc_bytes_within(offset, 2, frame->captured) &&
           fc_frame_is_tpid(fc_frame_byte(frame, offset) << 8 | fc_frame_byte(frame, offset + 1))) {
        tags.wire += FC_TAG_LENGTH;
        if (!fc_bytes_within(offset, FC_TAG_LENGTH, frame->captured)) {
            tags.captured = frame->captured - at;
            break;
        }
        offset += FC_TAG_LENGTH;
        tags.captured = offset - at;
    }
    return tags;
}

/* The same as fc_frame_load, of the frame as it would be without `tags`. */
static inline bool fc_frame_load_skipping(const struct fc_frame *frame,
                                          const struct fc_frame_tags *tags, uint64_t offset,
                                          uint32_t size, uint32_t *value) {
    if (!fc_bytes_within(offset, size, frame->captured - tags->captured))
        return false;
    *value = 0;
    for (uint32_t i = 0; i < size; i++) {
        uint32_t from = (uint32_t)offset + i;
        *value = *value << 8 | fc_frame_byte(frame, from < tags->at ? from : from + tags->captured);
    }
    return true;
}

/* `size` (1, 2 or 4) bytes at `offset` as a big-endian number; false where they are missing. */
static inline bool fc_frame_load(const struct fc_frame *frame, bool tagged, uint64_t offset,
                                 uint32_t size, uint32_t *value) {
    if (!fc_bytes_within(offset, size, frame->captured))
        return false;
    if (tagged) {
        *value = 0;
        for (uint32_t i = 0; i < size; i++)
            *value = *value << 8 | fc_frame_tagged_byte(frame, (uint32_t)offset + i);
        return true;
    }
    const uint8_t *at = frame->bytes + offset;
    *value = size == 4 ? fc_load_big32(at) : size == 2 ? fc_load_big16(at) : at[0];
    return true;
}

#endif
