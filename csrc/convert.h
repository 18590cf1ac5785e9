/* SPDX-License-Identifier: Apache-2.0
 *
 * Appends records to an output, in the output's layout: a plain copy where input and output agree,
 * else record by record (byte order, precision of time, frames cut to a snaplen).
 */
#ifndef FC_CONVERT_H
#define FC_CONVERT_H

#include "buffer.h"
#include "pcap.h"

struct fc_convert {
    struct fc_pcap_layout from;
    struct fc_pcap_layout to; /* frames are cut to the smaller snaplen of the two */
};

/* `records` holds whole records only, as a scan found them; `longest` is the largest captured
 * length among them, so that a copy is made wherever nothing has to be cut. From microseconds to
 * nanoseconds a fraction of a second or more is carried into the seconds; the other way the digits
 * below a microsecond are lost. */
int fc_convert_append(const struct fc_convert *convert, const uint8_t *records, size_t length,
                      uint32_t longest, struct fc_buffer *output);

#endif
