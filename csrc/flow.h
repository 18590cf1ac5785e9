/* SPDX-License-Identifier: Apache-2.0
 *
 * Which frames belong together: a number for the flow of a frame, the same for both directions.
 *
 * A flow is two addresses, a protocol and two ports; fragments have no ports but in the first, so
 * none counts for any of them. What is not IP belongs to the flow of its two MAC addresses; with
 * Linux's cooked headers, which have only the sender's, to the flow of its type. VLAN tags make no
 * difference.
 */
#ifndef FC_FLOW_H
#define FC_FLOW_H

#include "frame.h"

/* How frames begin, of those link types whose flows are known. */
enum fc_flow_link {
    FC_FLOW_UNKNOWN = 0,
    FC_FLOW_ETHERNET = 1,
    FC_FLOW_SLL = 2,  /* a type at 14, IP at 16 */
    FC_FLOW_SLL2 = 3, /* a type at 0, IP at 20 */
    FC_FLOW_RAW = 4,  /* IP at 0 */
};

/* Bytes that are missing count as zeros. The frame is in one piece. Spread over all 64 bits; the
 * same on every machine. */
uint64_t fc_flow_hash(const struct fc_frame *frame, enum fc_flow_link link);

/* Whether a flow is one of those that stand for 1 in `sample`. */
static inline bool fc_flow_is_sampled(uint64_t hash, uint32_t sample) {
    return (hash >> 32) * sample >> 32 == 0;
}

#endif
