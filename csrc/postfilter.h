/* SPDX-License-Identifier: Apache-2.0
 *
 * The offline loop: scan -> programs -> outputs, over one range of a file or over bytes in memory.
 *
 * A range is mapped, and walked from several places at once: on large frames the walk waits for
 * one cache miss a record, on several chains for that of each at the same time. All places but the
 * first are guesses (fc_scan_guess); each chain must land exactly where the next one began, else
 * that one is walked again. So the result is that of one walk. Frames are judged in groups
 * (csrc/group.h). Matching records are noted as runs of neighbours, and copied a run at a time when
 * the walk is over; with one chain at once.
 *
 * A file that is shortened meanwhile is an error and never a signal (csrc/guard.h). The core starts
 * no threads: ranges are made and joined in Python, each call works on its own job and result.
 */
#ifndef FC_POSTFILTER_H
#define FC_POSTFILTER_H

#include "buffer.h"
#include "cancel.h"
#include "convert.h"
#include "flow.h"
#include "program.h"
#include "scan.h"
#include "summary.h"

enum { FC_POSTFILTER_OUTPUTS = 256 };

/* What is the same for every range of a file. Borrowed. */
struct fc_postfilter {
    struct fc_convert convert;
    const struct fc_program *const *programs; /* one for each output; NULL takes every frame */
    uint32_t outputs;                         /* at least 1 */
    fc_code_judge *code; /* all programs at once, `rest` left out; NULL: one after the other */
    bool rest;           /* the last output takes what no other takes; its program is not used */
    bool keep;           /* copy matching records, or only count */
    bool summary;        /* sum up the frames that are judged and that no output takes */
    const struct fc_program *skipping; /* programs[0] without VLAN tags, or NULL: tagged_missed */
    int64_t since_ns;                  /* frames from here on, */
    int64_t until_ns;                  /* and before this, in nanoseconds since 1970, */
    uint32_t sample;    /* and of one flow in so many (0: all) are judged; others are not taken */
    uint32_t link;      /* enum fc_flow_link, for `sample` and `summary` */
    uint64_t limit;     /* stop behind this many frames that any output takes; UINT64_MAX: none */
    uint64_t most_kept; /* and behind those with which this many bytes are kept and summed up */
    const struct fc_cancel *cancel; /* may be NULL */
};

/* What one output gets. */
struct fc_postfilter_kept {
    struct fc_scan_summary matched; /* with `keep`, times as precise as the output */
    struct fc_buffer records; /* given empty, perhaps with room; owned by whoever has the result */
};

struct fc_postfilter_result {
    uint64_t frames_read;
    uint64_t frames_taken; /* by any output */
    uint64_t start;        /* offset of the first record read; the end, where none was found */
    uint64_t end;          /* offset behind the last record read */
    enum fc_scan_stop stop;
    bool filled;               /* it stopped early, for `most_kept`: go on from `end` */
    uint64_t tagged_missed;    /* frames with tags that `program` rejects and `skipping` takes */
    uint64_t chains_redone;    /* wrong guesses inside the range */
    struct fc_summary summary; /* finished; owned by whoever has the result */
    struct fc_postfilter_kept *kept; /* the caller's, one for each output */
};

/* Reads a range of a file of `size` bytes: the records from `start` up to the place near `stop`
 * where the range after it begins. With `guess`, `start` is any offset, and the first record is
 * looked for behind it, as the range before it looks for its end: so the caller must compare
 * result->start with where the range before ended, and where they differ ask again for what is
 * between without a guess; `start` may then lie behind `stop`. Only the range that ends with the
 * file has `stop` == `size`. Damage is no error: it is in result->stop, and all before it counts.
 * After an error result->kept and result->summary hold nothing that counts, and are still the
 * caller's to free. */
int fc_postfilter_range(const struct fc_postfilter *postfilter, int fd, uint64_t start,
                        uint64_t stop, uint64_t size, bool guess,
                        struct fc_postfilter_result *result);

/* The same for `length` bytes in memory that start with a record; offsets count from `bytes`.
 * Bytes that end inside a record are no fault of theirs: result->end says how many were used. */
int fc_postfilter_bytes(const struct fc_postfilter *postfilter, const uint8_t *bytes, size_t length,
                        struct fc_postfilter_result *result);

#endif
