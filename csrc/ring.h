/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernel's packet ring (AF_PACKET, TPACKET_V3), mapped: blocks of frames that the kernel fills
 * and we give back, one after the other. Linux only.
 * Facts about it: Documentation/networking/packet_mmap.rst and net/packet/af_packet.c of Linux.
 *
 * The struct owns the socket and the mapping. One thread takes and gives back blocks and ends the
 * ring; fc_ring_fill may be called by any other meanwhile.
 *
 * What a block says of itself is not believed: a walk over it never leaves the block.
 */
#ifndef FC_RING_H
#define FC_RING_H

#include "bytes.h"
#include "status.h"

#include <linux/if_packet.h>

enum {
    /* Milliseconds after which the kernel hands over a block that is not full; never an empty one,
     * so a silent interface wakes nobody. */
    FC_RING_TIMEOUT_MS = 60,
};

/* A filter in classic BPF, struct sock_filter of linux/filter.h. What it returns is how many bytes
 * of a frame the ring gets: the cut comes before the copy. */
struct fc_ring_filter {
    const void *instructions;
    size_t count;
};

struct fc_ring_settings {
    int interface; /* its number */
    uint32_t block_size;
    uint32_t block_count;
    bool promiscuous;
    bool ignore_outgoing;
};

struct fc_ring_statistics {
    uint64_t accepted; /* frames that the filter took: those in the ring, and those dropped */
    uint64_t dropped;  /* of these, the ones that the ring had no room for */
    uint64_t full;     /* times that the ring became full */
};

struct fc_ring {
    int fd;
    uint8_t *map;
    size_t block_size;
    uint32_t block_count;
    uint32_t next;                   /* the block that the kernel fills next, or has */
    struct fc_ring_statistics *told; /* of a ring over memory: what is read next; NULL: nothing */
    const int *wakes; /* likewise: an eventfd, written to when a block is handed over; NULL: none */
};

/* Opens a socket and its ring on an interface, with a filter that rejects everything: nothing is
 * received or dropped before fc_ring_start. Needs CAP_NET_RAW. An interface that is down is no
 * error. FC_ERROR_SYSTEM with errno: EPERM, ENODEV, ENOMEM (the ring), EINVAL. */
int fc_ring_open(struct fc_ring *ring, const struct fc_ring_settings *settings);

/* A ring over memory that plays the kernel's: for tests and benches. Nothing is owned. */
void fc_ring_over(struct fc_ring *ring, uint8_t *memory, size_t block_size, uint32_t block_count);

/* Puts a filter in place of the one before, in one step. */
int fc_ring_set_filter(int fd, const struct fc_ring_filter *filter);

/* From here on the socket receives nothing. */
int fc_ring_reject_all(int fd);

/* Waits up to `milliseconds` for the kernel to hand over a block. FC_ERROR_SYSTEM with ENETDOWN:
 * the interface is down or gone (told once); the ring lives on. */
int fc_ring_wait(const struct fc_ring *ring, int milliseconds);

/* What was counted since the last call; the kernel counts in 32 bits, so ask every minute. */
int fc_ring_read_statistics(const struct fc_ring *ring, struct fc_ring_statistics *statistics);

/* The same for a socket without a ring: all frames that its filter took, whether it had room for
 * them or not. */
int fc_ring_read_counter(int fd, uint64_t *counted);

/* Blocks that wait for us. */
uint32_t fc_ring_fill(const struct fc_ring *ring);

/* Takes a ring whose opening failed, and one that is closed, too. */
void fc_ring_close(struct fc_ring *ring);

/* ---- Blocks ------------------------------------------------------------------------------ */

/* One block: borrowed from fc_ring_take to fc_ring_give_back. */
struct fc_ring_block {
    const uint8_t *bytes;
    size_t length;   /* bytes of it that may hold frames */
    size_t offset;   /* of the next frame's header */
    uint32_t left;   /* frames that are still to come, as the block says */
    bool timed_out;  /* handed over because time was up, not because it was full */
    bool losing;     /* frames were dropped since the statistics were last read */
    int64_t last_ns; /* time of its last frame, nanoseconds since 1970 */
};

/* One frame, as the kernel has it: without its outer VLAN tag. The bytes belong to the block. */
struct fc_ring_frame {
    const uint8_t *bytes;
    uint32_t captured; /* bytes that are there */
    uint32_t wire;     /* bytes on the wire; both without the tag */
    uint32_t seconds;
    uint32_t nanoseconds;
    bool tagged;
    uint16_t tpid;
    uint16_t tci;
};

static inline bool fc_ring_is_ours(const struct tpacket_block_desc *block) {
    return (__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER) != 0;
}

static inline struct tpacket_block_desc *fc_ring_at(const struct fc_ring *ring, uint32_t number) {
    return (struct tpacket_block_desc *)(void *)(ring->map + (size_t)number * ring->block_size);
}

/* The next block, if the kernel has handed it over. */
static inline bool fc_ring_take(const struct fc_ring *ring, struct fc_ring_block *block) {
    const struct tpacket_block_desc *descriptor = fc_ring_at(ring, ring->next);
    if (!fc_ring_is_ours(descriptor))
        return false;
    const struct tpacket_hdr_v1 *header = &descriptor->hdr.bh1;
    block->bytes = (const uint8_t *)descriptor;
    block->length = header->blk_len < ring->block_size ? header->blk_len : ring->block_size;
    block->offset = header->offset_to_first_pkt;
    block->left = header->num_pkts;
    block->timed_out = (header->block_status & TP_STATUS_BLK_TMO) != 0;
    block->losing = (header->block_status & TP_STATUS_LOSING) != 0;
    block->last_ns =
        (int64_t)header->ts_last_pkt.ts_sec * 1000000000 + (int64_t)header->ts_last_pkt.ts_nsec;
    return true;
}

/* The block is the kernel's again; nothing of it may be looked at any more. */
static inline void fc_ring_give_back(struct fc_ring *ring) {
    struct tpacket_block_desc *descriptor = fc_ring_at(ring, ring->next);
    __atomic_store_n(&descriptor->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    ring->next = ring->next + 1 < ring->block_count ? ring->next + 1 : 0;
}

/* The block's next frame; false when there are no more, or where what it says leads out of it. */
static inline bool fc_ring_next_frame(struct fc_ring_block *block, struct fc_ring_frame *frame) {
    if (block->left == 0 ||
        !fc_bytes_within(block->offset, sizeof(struct tpacket3_hdr), block->length))
        return false;
    size_t room = block->length - block->offset;
    struct tpacket3_hdr header;
    memcpy(&header, block->bytes + block->offset, sizeof header);
    if (!fc_bytes_within(header.tp_mac, header.tp_snaplen, room))
        return false;
    frame->bytes = block->bytes + block->offset + header.tp_mac;
    frame->captured = header.tp_snaplen;
    frame->wire = header.tp_len;
    frame->seconds = header.tp_sec;
    frame->nanoseconds = header.tp_nsec;
    frame->tagged = (header.tp_status & TP_STATUS_VLAN_VALID) != 0;
    frame->tci = (uint16_t)header.hv1.tp_vlan_tci;
    frame->tpid = header.tp_status & TP_STATUS_VLAN_TPID_VALID ? header.hv1.tp_vlan_tpid : 0x8100;
    block->left--;
    /* The last frame's is 0. One that leads back or out of the block is noticed at the next frame,
     * if there is to be one. */
    bool leads_on = header.tp_next_offset >= sizeof header && header.tp_next_offset <= room;
    block->offset = leads_on ? block->offset + header.tp_next_offset : SIZE_MAX;
    return true;
}

#endif
