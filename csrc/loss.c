/* SPDX-License-Identifier: Apache-2.0 */
#include "loss.h"

static const struct tpacket_block_desc *waiting_at(const struct fc_ring *ring, uint32_t index) {
    uint64_t number = (uint64_t)ring->next + index;
    return fc_ring_at(ring, (uint32_t)(number % ring->block_count));
}

/* The kernel hands blocks over in their order, so those that wait come first. */
void fc_loss_look(struct fc_loss *loss, const struct fc_ring *ring) {
    uint32_t place = ring->block_count;
    uint32_t waiting = loss->old;
    for (; waiting < ring->block_count; waiting++) {
        const struct tpacket_block_desc *block = waiting_at(ring, waiting);
        if (!fc_ring_is_ours(block))
            break;
        if (place == ring->block_count && (block->hdr.bh1.block_status & TP_STATUS_LOSING) != 0)
            place = waiting;
    }
    loss->place = loss->given_back + (place < waiting ? place : waiting);
    loss->old = waiting;
}

static struct fc_loss_gap *gap_at(struct fc_loss *loss, uint32_t index) {
    return &loss->gaps[(loss->first + index) % FC_LOSS_MOST];
}

/* Places never go back. Where there are too many, the last one stands for those behind it too. */
void fc_loss_found(struct fc_loss *loss, uint64_t frames) {
    if (frames == 0)
        return;
    struct fc_loss_gap *last = loss->count > 0 ? gap_at(loss, loss->count - 1) : NULL;
    if (last != NULL && (last->block >= loss->place || loss->count == FC_LOSS_MOST)) {
        last->frames += frames;
        return;
    }
    *gap_at(loss, loss->count) = (struct fc_loss_gap){.block = loss->place, .frames = frames};
    loss->count++;
}

static uint64_t take_first(struct fc_loss *loss) {
    uint64_t frames = loss->gaps[loss->first].frames;
    loss->first = (loss->first + 1) % FC_LOSS_MOST;
    loss->count--;
    return frames;
}

uint64_t fc_loss_before_block(struct fc_loss *loss) {
    uint64_t frames = 0;
    while (loss->count > 0 && loss->gaps[loss->first].block <= loss->given_back)
        frames += take_first(loss);
    return frames;
}

uint64_t fc_loss_at_end(struct fc_loss *loss) {
    uint64_t frames = 0;
    while (loss->count > 0)
        frames += take_first(loss);
    return frames;
}
