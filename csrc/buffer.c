/* SPDX-License-Identifier: Apache-2.0 */
#include "buffer.h"

#include <stdlib.h>
#include <sys/mman.h>

enum {
    SMALLEST = 4096,
    LARGE = 4 << 20,
    HUGE_PAGE = 2 << 20,
};

/* The first touch of memory costs a page fault: better one for 2 MiB than one for 4 KiB. A realloc
 * would take such memory apart again. */
static uint8_t *large_block(const struct fc_buffer *buffer, size_t capacity) {
    uint8_t *bytes = aligned_alloc(HUGE_PAGE, capacity);
    if (!bytes)
        return NULL;
#ifdef MADV_HUGEPAGE
    (void)madvise(bytes, capacity, MADV_HUGEPAGE);
#endif
    if (buffer->length > 0)
        memcpy(bytes, buffer->bytes, buffer->length);
    free(buffer->bytes);
    return bytes;
}

int fc_buffer_reserve(struct fc_buffer *buffer, size_t size) {
    if (size <= buffer->capacity - buffer->length)
        return FC_OK;
    if (size > SIZE_MAX / 2 - buffer->length)
        return FC_ERROR_MEMORY;
    size_t needed = buffer->length + size;
    size_t capacity = buffer->capacity < SMALLEST ? SMALLEST : buffer->capacity;
    while (capacity < needed)
        capacity *= 2;
    uint8_t *bytes =
        capacity < LARGE ? realloc(buffer->bytes, capacity) : large_block(buffer, capacity);
    if (!bytes)
        return FC_ERROR_MEMORY;
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return FC_OK;
}

int fc_buffer_append(struct fc_buffer *buffer, const uint8_t *bytes, size_t size) {
    if (size == 0)
        return FC_OK;
    int status = fc_buffer_reserve(buffer, size);
    if (status < 0)
        return status;
    memcpy(buffer->bytes + buffer->length, bytes, size);
    buffer->length += size;
    return FC_OK;
}

void fc_buffer_free(struct fc_buffer *buffer) {
    free(buffer->bytes);
    *buffer = (struct fc_buffer){0};
}
