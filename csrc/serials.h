/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts by their serial numbers which of a bench's frames are in captures: what is there once,
 * what came twice, what is missing. One bit a frame that was sent, so memory is bounded by that,
 * whatever the files hold.
 *
 * The struct owns its memory, and is one thread's.
 */
#ifndef FC_SERIALS_H
#define FC_SERIALS_H

#include "cancel.h"
#include "generator.h"
#include "scan.h"

enum { FC_SERIALS_LONGEST_FRAME = 262144 }; /* of files that can be read: bytes captured */

/* Zeroed, it is closed. */
struct fc_serials {
    uint32_t bench;
    uint32_t threads;
    uint64_t *sent;      /* by thread */
    uint64_t *bits;      /* one a serial, up to the highest that was sent */
    uint64_t frames;     /* records, and so the sum of the next five */
    uint64_t distinct;   /* frames that were sent, each counted once */
    uint64_t duplicates; /* those that came again */
    uint64_t never_sent; /* of this bench, with a serial that was not sent */
    uint64_t other_benches;
    uint64_t foreign; /* without a label, or cut before its end */
    /* Of the distinct ones; meaningless while there are none. */
    uint64_t highest;
    int64_t first_ns; /* when the earliest and the latest were made, as they say */
    int64_t last_ns;
};

/* Thread `i` of `threads` sent frames 0, 1, … sent[i] - 1 of its own, whose serials are
 * number * threads + i. FC_ERROR_ARGUMENT for more frames than 2^36, FC_ERROR_MEMORY. */
int fc_serials_open(struct fc_serials *serials, uint32_t bench, const uint64_t *sent,
                    uint32_t threads);

/* One frame of which `captured` bytes are there. */
void fc_serials_note(struct fc_serials *serials, const uint8_t *bytes, size_t captured);

/* Where a walk over a file ended, from its first record on, and why. */
struct fc_serials_walk {
    uint64_t bytes;
    enum fc_scan_stop stop;
};

/* Notes every record of a file or stream that is open at the first of them, up to its end or
 * damage. FC_ERROR_SYSTEM where it cannot be read, FC_ERROR_CANCELLED, FC_ERROR_ARGUMENT for a
 * layout with longer frames than FC_SERIALS_LONGEST_FRAME; what came before is counted. */
int fc_serials_read(struct fc_serials *serials, int fd, const struct fc_pcap_layout *layout,
                    const struct fc_cancel *cancel, struct fc_serials_walk *walk);

void fc_serials_close(struct fc_serials *serials);

#endif
