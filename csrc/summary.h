/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames and their bytes on the wire, by second and protocol: the shape of traffic that is not
 * kept.
 *
 * Frames come about in the order of their times, so the counters of one second are at hand, and
 * become rows when a frame of another second comes; a second that comes again makes rows again,
 * until fc_summary_finish sorts and joins them. So there is never more than a row a frame, and no
 * order of times is slow. A struct belongs to one thread, and owns its rows; zeroed, it is empty.
 */
#ifndef FC_SUMMARY_H
#define FC_SUMMARY_H

#include "flow.h"
#include "status.h"

/* What can be seen of a frame: a header that was cut, lies or is none of these is `other` of the
 * innermost that is known. */
enum fc_summary_protocol {
    FC_SUMMARY_OTHER,
    FC_SUMMARY_ARP,
    FC_SUMMARY_LLC, /* IEEE 802.3 with a length: spanning tree, CDP, … */
    FC_SUMMARY_LLDP,
    FC_SUMMARY_MPLS,
    FC_SUMMARY_PPPOE,
    FC_SUMMARY_IPV4_OTHER,
    FC_SUMMARY_IPV4_AH,
    FC_SUMMARY_IPV4_ESP,
    FC_SUMMARY_IPV4_GRE,
    FC_SUMMARY_IPV4_ICMP,
    FC_SUMMARY_IPV4_IGMP,
    FC_SUMMARY_IPV4_OSPF,
    FC_SUMMARY_IPV4_SCTP,
    FC_SUMMARY_IPV4_TCP,
    FC_SUMMARY_IPV4_UDP,
    FC_SUMMARY_IPV6_OTHER,
    FC_SUMMARY_IPV6_AH,
    FC_SUMMARY_IPV6_ESP,
    FC_SUMMARY_IPV6_GRE,
    FC_SUMMARY_IPV6_ICMP6,
    FC_SUMMARY_IPV6_OSPF,
    FC_SUMMARY_IPV6_SCTP,
    FC_SUMMARY_IPV6_TCP,
    FC_SUMMARY_IPV6_UDP,
    FC_SUMMARY_PROTOCOLS
};

struct fc_summary_row {
    uint64_t second; /* since 1970 */
    uint64_t protocol;
    uint64_t frames;
    uint64_t bytes;
};

struct fc_summary_counter {
    uint64_t frames;
    uint64_t bytes;
};

struct fc_summary {
    uint64_t second; /* of the counters */
    struct fc_summary_counter counters[FC_SUMMARY_PROTOCOLS];
    struct fc_summary_row *rows;
    size_t count;
    size_t room;
};

/* Of an enum fc_summary_protocol, such as "ipv4/tcp"; never NULL, never freed. */
const char *fc_summary_name(uint32_t protocol);

/* VLAN tags are skipped, and those extension headers of IPv6 that any node may add: hop-by-hop,
 * routing, fragment, destination. Each fragment counts for the protocol that its header names;
 * tunnels are not looked into. */
enum fc_summary_protocol fc_summary_protocol_of(const struct fc_frame *frame,
                                                enum fc_flow_link link);

/* Makes rows of the counters. */
int fc_summary_turn(struct fc_summary *summary);

static inline int fc_summary_note(struct fc_summary *summary, uint64_t second,
                                  enum fc_summary_protocol protocol, uint32_t wire) {
    if (second != summary->second) {
        int status = fc_summary_turn(summary);
        if (status < 0)
            return status;
        summary->second = second;
    }
    summary->counters[protocol].frames++;
    summary->counters[protocol].bytes += wire;
    return FC_OK;
}

/* Adds what another one counted, which is empty afterwards, and still owns its memory. */
int fc_summary_join(struct fc_summary *summary, struct fc_summary *more);

/* Behind this there is one row for each second and protocol that came, in their order. */
int fc_summary_finish(struct fc_summary *summary);

/* Forgets everything but its memory. */
void fc_summary_clear(struct fc_summary *summary);

void fc_summary_free(struct fc_summary *summary);

#endif
