/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a frame whose protocol is looked for: nothing outside is read, a tag before the type
 * makes no difference, in the frame or apart, and a frame that is cut is what it was or an `other`.
 *
 * Input: a byte of enum fc_flow_link, then the frame; make_corpus.py writes the same.
 */
#include "summary.h"

#include "target.h"

/* Of a frame in a block of just its length. */
static uint32_t protocol_of(const uint8_t *bytes, size_t length, enum fc_flow_link link) {
    uint8_t *block = malloc(length ? length : 1);
    if (!block)
        abort();
    if (length)
        memcpy(block, bytes, length);
    struct fc_frame frame = {.bytes = block, .captured = (uint32_t)length, .wire = UINT32_MAX};
    uint32_t protocol = fc_summary_protocol_of(&frame, link);
    HOLDS(protocol < FC_SUMMARY_PROTOCOLS);
    free(block);
    return protocol;
}

static uint32_t other_of(uint32_t protocol) {
    return protocol >= FC_SUMMARY_IPV6_OTHER   ? FC_SUMMARY_IPV6_OTHER
           : protocol >= FC_SUMMARY_IPV4_OTHER ? FC_SUMMARY_IPV4_OTHER
                                               : FC_SUMMARY_OTHER;
}

static void check_tagged(const uint8_t *bytes, size_t length, uint32_t protocol) {
    static const uint8_t tag[FC_TAG_LENGTH] = {0x88, 0xa8, 0xa0, 0x64};
    uint8_t *tagged = malloc(length + FC_TAG_LENGTH);
    if (!tagged)
        abort();
    memcpy(tagged, bytes, FC_TAG_OFFSET);
    memcpy(tagged + FC_TAG_OFFSET, tag, FC_TAG_LENGTH);
    memcpy(tagged + FC_TAG_OFFSET + FC_TAG_LENGTH, bytes + FC_TAG_OFFSET, length - FC_TAG_OFFSET);
    HOLDS(protocol_of(tagged, length + FC_TAG_LENGTH, FC_FLOW_ETHERNET) == protocol);
    free(tagged);
    struct fc_frame apart = {.bytes = bytes,
                             .captured = (uint32_t)length + FC_TAG_LENGTH,
                             .wire = UINT32_MAX,
                             .tagged = true};
    memcpy(apart.tag, tag, FC_TAG_LENGTH);
    HOLDS(fc_summary_protocol_of(&apart, FC_FLOW_ETHERNET) == protocol);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {.at = data, .left = size};
    enum fc_flow_link link = (enum fc_flow_link)(take_byte(&input) % (FC_FLOW_RAW + 1));
    size_t length;
    uint8_t *bytes = take_block(&input, 4096, &length);
    uint32_t protocol = protocol_of(bytes, length, link);
    if (link == FC_FLOW_ETHERNET && length >= FC_TAG_OFFSET)
        check_tagged(bytes, length, protocol);
    for (size_t cut = 0; cut < length && cut < 200; cut++) {
        uint32_t seen = protocol_of(bytes, cut, link);
        HOLDS(seen == protocol || seen == other_of(protocol) || seen == FC_SUMMARY_OTHER);
    }
    free(bytes);
    return 0;
}
