/* SPDX-License-Identifier: Apache-2.0
 *
 * The records of a piece of a file as plain arrays, one entry a frame, for numpy.
 */
#ifndef FC_COLUMNS_H
#define FC_COLUMNS_H

#include "scan.h"
#include "status.h"

/* Owns its arrays: fc_columns_free. Zeroed, it is valid and empty. */
struct fc_columns {
    int64_t *timestamps; /* nanoseconds since 1970 */
    uint32_t *captured;  /* bytes of the frame that are there, at most the layout's snaplen */
    uint32_t *wire;      /* length on the wire */
    int64_t *offsets;    /* of the frame's first byte, from scan->bytes */
    size_t count;
    size_t capacity;
};

/* Appends every record up to where the scan stops, and says in `*stop` why it did. */
int fc_columns_fill(struct fc_columns *columns, struct fc_scan *scan, enum fc_scan_stop *stop);
void fc_columns_free(struct fc_columns *columns);

#endif
