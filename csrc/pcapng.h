/* SPDX-License-Identifier: Apache-2.0
 *
 * How the blocks of a pcapng file are laid out, as far as fastcap writes them
 * (draft-ietf-opsawg-pcapng), and the walk over a file of ours that was not finished: type, length,
 * body, length again; 32 bits each, blocks a multiple of 4 bytes long. Section headers and
 * statistics are made in Python, fastcap/formats/pcapng.py.
 */
#ifndef FC_PCAPNG_H
#define FC_PCAPNG_H

#include "bytes.h"

enum {
    FC_PCAPNG_FRAME_HEADER = 28, /* of an enhanced packet block, before the captured bytes */
    FC_PCAPNG_DROPS = 16,        /* its option epb_dropcount, and the end of options */
    FC_PCAPNG_FRAME_END = 4,     /* its length again */
    FC_PCAPNG_MOST_INTERFACES = 64,
    FC_PCAPNG_LONGEST_BLOCK = 1 << 20, /* of ours; a longer one is damage */
};

enum fc_pcapng_type {
    FC_PCAPNG_INTERFACE = 1,
    FC_PCAPNG_STATISTICS = 5,
    FC_PCAPNG_FRAME = 6,
    FC_PCAPNG_SECTION = 0x0a0d0d0a,
};

/* A walk over one section in this machine's byte order. Zeroed, it is at the file's beginning. */
struct fc_pcapng_walk {
    uint64_t blocks;
    uint32_t interfaces;
    uint32_t ns_a_tick[FC_PCAPNG_MOST_INTERFACES];
    uint64_t frames;
    int64_t first_ns; /* earliest and latest, meaningless while frames is 0 */
    int64_t last_ns;
};

/* Goes on with the walk over the whole blocks that `bytes` begins with: the bytes that they have.
 * What stands behind them is cut, or damage: `*damaged` tells which. */
size_t fc_pcapng_walk_on(struct fc_pcapng_walk *walk, const uint8_t *bytes, size_t length,
                         bool *damaged);

#endif
