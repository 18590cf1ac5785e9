/* SPDX-License-Identifier: Apache-2.0
 *
 * The offline loop: scan -> program -> output, over one range of a file or over bytes in memory.
 *
 * A range is read with pread into a window of its own, so a file that shrinks gives an error and
 * never a signal. Matching records leave as runs of neighbours, one copy a run. The core starts
 * no threads: ranges are made and joined in Python, each call works on its own job and result.
 */
#ifndef FC_POSTFILTER_H
#define FC_POSTFILTER_H

#include "buffer.h"
#include "cancel.h"
#include "convert.h"
#include "program.h"
#include "scan.h"

/* Buffers that one call leaves for the next, so that their pages are touched only once. Owned by
 * the caller. A call takes `output` over into its result, and gives `window` back. */
struct fc_postfilter_memory {
    struct fc_buffer window;
    struct fc_buffer output;
};

/* What is the same for every range of a file. Borrowed. */
struct fc_postfilter {
    struct fc_convert convert;
    const struct fc_program *program;  /* NULL takes every frame */
    const struct fc_program *skipping; /* the same without VLAN tags, or NULL: see tagged_missed */
    uint64_t limit;                    /* stop behind this many matches; UINT64_MAX for no limit */
    bool keep;                         /* append matching records to the output, or only count */
    const struct fc_cancel *cancel;    /* may be NULL */
    struct fc_postfilter_memory *memory; /* may be NULL; for one call at a time */
};

struct fc_postfilter_result {
    uint64_t frames_read;
    struct fc_scan_summary matched; /* with `keep`, times as precise as the output */
    uint64_t start; /* offset of the first record read; for a guess that found none, the stop */
    uint64_t end;   /* offset behind the last record read */
    enum fc_scan_stop stop;
    uint64_t tagged_missed;  /* frames with tags that `program` rejects and `skipping` takes */
    struct fc_buffer output; /* owned by the result: fc_buffer_free */
};

/* Reads the records that start in [start, stop) of a file of `size` bytes. With `guess`, `start`
 * is any offset and the first record is looked for behind it: then the caller must compare
 * result->start with where the range before ended. A record may reach past `stop`, never past
 * `size`. Damage is no error: it is in result->stop, and all before it counts.
 * On an error the result holds nothing that needs freeing. */
int fc_postfilter_range(const struct fc_postfilter *postfilter, int fd, uint64_t start,
                        uint64_t stop, uint64_t size, bool guess,
                        struct fc_postfilter_result *result);

/* The same for `length` bytes in memory that start with a record; offsets count from `bytes`.
 * Bytes that end inside a record are no fault of theirs: result->end says how many were used. */
int fc_postfilter_bytes(const struct fc_postfilter *postfilter, const uint8_t *bytes, size_t length,
                        struct fc_postfilter_result *result);

#endif
