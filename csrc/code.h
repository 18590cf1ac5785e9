/* SPDX-License-Identifier: Apache-2.0
 *
 * Machine code that does what programs say, made elsewhere (jit/): how it is called. Who brings it
 * owns it, and keeps it while anybody may call. jit/src/translate.rs has the same layouts.
 */
#ifndef FC_CODE_H
#define FC_CODE_H

#include "frame.h"

enum { FC_CODE_ABI = 1 }; /* another number means other functions or other structures */

/* What one program returns for a frame, seen without `tags` where its instructions skip them; with
 * no tags `tags->wire` is 0. */
typedef uint32_t fc_code_run(const struct fc_frame *frame, const struct fc_frame_tags *tags);

/* Frames in one piece, by their places. */
struct fc_code_group {
    const uint8_t *const *bytes;
    const uint32_t *captured; /* before it is cut at `snaplen` */
    const uint32_t *wire;
    uint32_t snaplen;
};

/* Adds the bits of the `frames` that the programs take, to a number for each program. The frames
 * have no tags that any of them skips. */
typedef void fc_code_judge(const struct fc_code_group *group, uint64_t frames, uint64_t *taken);

#endif
