/* SPDX-License-Identifier: Apache-2.0 */
#include "columns.h"

#include <stdlib.h>

enum { FIRST_CAPACITY = 1024 };

static bool grow(void **array, size_t capacity, size_t size) {
    void *grown = realloc(*array, capacity * size);
    if (grown)
        *array = grown;
    return grown != NULL;
}

static int reserve_one(struct fc_columns *columns) {
    if (columns->count < columns->capacity)
        return FC_OK;
    if (columns->capacity > SIZE_MAX / 64)
        return FC_ERROR_MEMORY;
    size_t capacity = columns->capacity ? columns->capacity * 2 : FIRST_CAPACITY;
    if (!grow((void **)&columns->timestamps, capacity, sizeof *columns->timestamps) ||
        !grow((void **)&columns->captured, capacity, sizeof *columns->captured) ||
        !grow((void **)&columns->wire, capacity, sizeof *columns->wire) ||
        !grow((void **)&columns->offsets, capacity, sizeof *columns->offsets))
        return FC_ERROR_MEMORY;
    columns->capacity = capacity;
    return FC_OK;
}

int fc_columns_fill(struct fc_columns *columns, struct fc_scan *scan, enum fc_scan_stop *stop) {
    for (;;) {
        int status = reserve_one(columns);
        if (status < 0)
            return status;
        struct fc_pcap_record record;
        *stop = fc_scan_next(scan, scan->layout.swapped, &record);
        if (*stop != FC_SCAN_RECORD)
            return FC_OK;
        size_t i = columns->count++;
        uint32_t snaplen = scan->layout.snaplen;
        columns->timestamps[i] = fc_pcap_nanoseconds(&record, scan->layout.nanoseconds);
        columns->captured[i] = record.captured < snaplen ? record.captured : snaplen;
        columns->wire[i] = record.wire;
        columns->offsets[i] = (int64_t)(scan->offset - record.captured);
    }
}

void fc_columns_free(struct fc_columns *columns) {
    free(columns->timestamps);
    free(columns->captured);
    free(columns->wire);
    free(columns->offsets);
    *columns = (struct fc_columns){0};
}
