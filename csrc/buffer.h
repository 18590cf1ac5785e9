/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes that grow. The struct owns its memory; zeroed, it is a valid empty buffer. Appending may
 * move the bytes, so pointers into them end at the next append.
 */
#ifndef FC_BUFFER_H
#define FC_BUFFER_H

#include "bytes.h"
#include "status.h"

struct fc_buffer {
    uint8_t *bytes;
    size_t length;
    size_t capacity;
};

/* Makes room for `size` bytes behind the ones there; does not change `length`. */
int fc_buffer_reserve(struct fc_buffer *buffer, size_t size);
int fc_buffer_append(struct fc_buffer *buffer, const uint8_t *bytes, size_t size);
void fc_buffer_free(struct fc_buffer *buffer);

#endif
