/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks of a packet ring as the kernel lays them out (prb_open_block, prb_fill_curr_block and
 * tpacket_rcv in net/packet/af_packet.c): a header of 48 bytes, then for each frame a header of 48,
 * an address of 20, padding, and the frame, all together a multiple of 8 bytes long.
 */
#ifndef FC_TEST_BLOCKS_H
#define FC_TEST_BLOCKS_H

#include "check.h"
#include "ring.h"

enum {
    BLOCK_HEADER = 48,
    FRAME_MAC = 82, /* where the kernel puts an Ethernet frame, counted from its header */
};

/* A frame as it is on the wire; with a tag, the kernel keeps bytes 12 to 15 apart. */
struct wire {
    uint8_t bytes[2048];
    uint32_t length;
    uint32_t snaplen; /* of the ring's filter: counts without the tag */
    int64_t ns;
    bool tagged;
    bool tpid_is_valid; /* else it is 802.1Q, as with old drivers */
};

static inline struct tpacket_block_desc *block_descriptor(uint8_t *block) {
    return (struct tpacket_block_desc *)(void *)block;
}

static inline void block_begin(uint8_t *block) {
    struct tpacket_block_desc *descriptor = block_descriptor(block);
    memset(descriptor, 0, BLOCK_HEADER);
    descriptor->version = 1;
    descriptor->hdr.bh1.offset_to_first_pkt = BLOCK_HEADER;
    descriptor->hdr.bh1.blk_len = BLOCK_HEADER;
}

/* False where the block has no room for it. */
static inline bool block_add(uint8_t *block, size_t block_size, const struct wire *wire) {
    struct tpacket_hdr_v1 *header = &block_descriptor(block)->hdr.bh1;
    uint32_t tag = wire->tagged ? 4 : 0;
    uint32_t length = wire->length - tag;
    uint32_t captured = length < wire->snaplen ? length : wire->snaplen;
    uint32_t size = (FRAME_MAC + captured + 7) & ~7u;
    if (size > block_size - header->blk_len)
        return false;
    uint8_t stripped[sizeof wire->bytes];
    memcpy(stripped, wire->bytes, 12);
    memcpy(stripped + 12, wire->bytes + 12 + tag, length - 12);
    struct tpacket3_hdr frame = {
        .tp_next_offset = size,
        .tp_sec = (uint32_t)(wire->ns / 1000000000),
        .tp_nsec = (uint32_t)(wire->ns % 1000000000),
        .tp_snaplen = captured,
        .tp_len = length,
        .tp_mac = FRAME_MAC,
        .tp_net = FRAME_MAC + 14,
    };
    if (wire->tagged) {
        frame.tp_status = TP_STATUS_VLAN_VALID;
        frame.hv1.tp_vlan_tci = fc_load_big16(wire->bytes + 14);
        if (wire->tpid_is_valid) {
            frame.tp_status |= TP_STATUS_VLAN_TPID_VALID;
            frame.hv1.tp_vlan_tpid = (uint16_t)fc_load_big16(wire->bytes + 12);
        }
    }
    uint8_t *at = block + header->blk_len;
    memset(at, 0, size);
    memcpy(at, &frame, sizeof frame);
    memcpy(at + FRAME_MAC, stripped, captured);
    header->ts_last_pkt.ts_sec = frame.tp_sec;
    header->ts_last_pkt.ts_nsec = frame.tp_nsec;
    header->num_pkts++;
    header->blk_len += size;
    return true;
}

static inline void block_hand_over(uint8_t *block) {
    __atomic_store_n(&block_descriptor(block)->hdr.bh1.block_status, TP_STATUS_USER,
                     __ATOMIC_RELEASE);
}

/* The block is the reader's. Its last frame leads nowhere. */
static inline void block_end(uint8_t *block) {
    const struct tpacket_hdr_v1 *header = &block_descriptor(block)->hdr.bh1;
    uint8_t *last = block + header->offset_to_first_pkt;
    for (uint32_t i = 1; i < header->num_pkts; i++)
        last += fc_load32(last);
    if (header->num_pkts > 0)
        fc_store32(last, 0);
    block_hand_over(block);
}

/* A frame of random bytes and length; about a third are tagged. */
static inline void random_wire(struct wire *wire, uint32_t snaplen, int64_t ns) {
    wire->length = 18 + random_below(random_below(4) ? 100 : 1500);
    wire->snaplen = snaplen;
    wire->ns = ns;
    wire->tagged = random_below(3) == 0;
    wire->tpid_is_valid = random_below(2) == 0;
    random_fill(wire->bytes, wire->length);
    if (wire->tagged && !wire->tpid_is_valid)
        memcpy(wire->bytes + 12, "\x81\x00", 2);
}

#endif
