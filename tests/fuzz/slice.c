/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a frame whose headers are looked for: nothing outside is read, no more is kept than
 * there is, more layers never keep less, and a tag that is apart makes no difference.
 *
 * Input: a byte of flags, one of bytes more, two by which the frame was longer on the wire, then
 * the frame; make_corpus.py writes the same.
 */
#include "slice.h"

#include "target.h"

enum { ETHERNET = 1 };

static uint32_t length_of(uint32_t layer, uint32_t more, bool is_ethernet,
                          const struct fc_frame *frame) {
    struct fc_slice slice = {.layer = layer, .more = more, .ethernet = is_ethernet};
    uint32_t length = fc_slice_length(&slice, frame);
    HOLDS(length <= frame->captured);
    return length;
}

/* The same frame with its outer tag apart, in a block of its own. */
static void check_apart(const struct fc_frame *whole, uint32_t layer, uint32_t length) {
    uint32_t rest = whole->captured - FC_TAG_OFFSET - FC_TAG_LENGTH;
    uint8_t *bytes = malloc(FC_TAG_OFFSET + rest);
    if (!bytes)
        abort();
    memcpy(bytes, whole->bytes, FC_TAG_OFFSET);
    memcpy(bytes + FC_TAG_OFFSET, whole->bytes + FC_TAG_OFFSET + FC_TAG_LENGTH, rest);
    struct fc_frame frame = {
        .bytes = bytes, .captured = whole->captured, .wire = whole->wire, .tagged = true};
    memcpy(frame.tag, whole->bytes + FC_TAG_OFFSET, FC_TAG_LENGTH);
    HOLDS(length_of(layer, 0, true, &frame) == length);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {.at = data, .left = size};
    bool is_ethernet = (take_byte(&input) & ETHERNET) != 0;
    uint32_t more = take_byte(&input);
    uint32_t longer = take_byte(&input);
    longer |= (uint32_t)take_byte(&input) << 8;
    size_t length;
    uint8_t *bytes = take_block(&input, 4096, &length);
    struct fc_frame frame = {
        .bytes = bytes, .captured = (uint32_t)length, .wire = (uint32_t)length + longer};
    uint32_t before = 0;
    for (uint32_t layer = 2; layer <= 4; layer++) {
        uint32_t end = length_of(layer, 0, is_ethernet, &frame);
        uint32_t end_more = end + more < frame.captured ? end + more : frame.captured;
        HOLDS(end >= before && end <= FC_SLICE_HEADERS);
        HOLDS(length_of(layer, more, is_ethernet, &frame) == end_more);
        if (is_ethernet && length >= FC_TAG_OFFSET + FC_TAG_LENGTH &&
            fc_frame_has_tag(&frame, FC_TAG_OFFSET))
            check_apart(&frame, layer, end);
        before = end;
    }
    free(bytes);
    return 0;
}
