/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a frame's headers end, by the lengths that they really have: how much of it a capture keeps
 * that is told to keep headers.
 *
 * Layer 2 is the link header with VLAN tags, SNAP (of 802.3 frames with a length), MPLS labels and
 * the headers of a PPPoE session; 3 is IP with options, extension headers and AH, or an ARP packet;
 * 4 is the transport header with options. Tunnels in IP are not followed.
 */
#ifndef FC_SLICE_H
#define FC_SLICE_H

#include "frame.h"

enum {
    FC_SLICE_HEADERS = 512, /* bytes of a frame in which headers are looked for */
};

struct fc_slice {
    uint32_t layer; /* 2, 3 or 4; 0: frames are not sliced */
    uint32_t more;  /* bytes that are kept behind it */
    bool ethernet;  /* else frames begin with IP */
};

/* Bytes of a frame that are kept, counted on the wire; never more than were captured.
 *
 * A header that lies (too short for its kind, longer than the frame was on the wire), and one that
 * is not known, ends the walk: the frame ends behind the header before. One that was on the wire
 * and goes on behind what was captured does not lie: all that is there of it is kept. A tag that is
 * apart may be cut. */
uint32_t fc_slice_length(const struct fc_slice *slice, const struct fc_frame *frame);

#endif
