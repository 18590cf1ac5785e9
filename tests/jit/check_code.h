/* SPDX-License-Identifier: Apache-2.0
 *
 * Machine code beside the interpreter, on frames that end where memory ends: a byte too much is a
 * crash, though no sanitizer sees what machine code reads.
 */
#ifndef FC_TEST_CHECK_CODE_H
#define FC_TEST_CHECK_CODE_H

#include "machine_code.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ENDS = 64 };

/* Behind the last byte of one of some pages that are followed by none. */
static inline uint8_t *memory_end(uint32_t number) {
    static uint8_t *pages;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (pages == NULL) {
        pages =
            mmap(NULL, 2 * ENDS * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pages == MAP_FAILED)
            abort();
        for (size_t i = 0; i < ENDS; i++)
            if (mprotect(pages + (2 * i + 1) * page, page, PROT_NONE) < 0)
                abort();
    }
    return pages + (2 * (size_t)number + 1) * page;
}

/* The frame of `length` bytes, less than a page, in one piece and with its tag apart. */
static inline bool runs_alike(const struct fc_program *program, fc_code_run *run,
                              const uint8_t *bytes, uint32_t length, uint32_t wire) {
    uint8_t *at = memory_end(0) - length;
    if (length > 0)
        memcpy(at, bytes, length);
    struct fc_frame frame = {.bytes = at, .captured = length, .wire = wire};
    struct fc_frame_tags tags = {0};
    if (fc_program_tags_at(program) != 0)
        tags = fc_frame_find_tags(&frame, fc_program_tags_at(program));
    uint32_t expected = fc_program_run(program, &frame);
    if (run(&frame, &tags) != expected)
        return false;
    if (length < FC_TAG_OFFSET + FC_TAG_LENGTH)
        return true;
    frame.tagged = true;
    frame.bytes = at + FC_TAG_LENGTH;
    memcpy(frame.tag, at + FC_TAG_OFFSET, FC_TAG_LENGTH);
    memmove(at + FC_TAG_LENGTH, at, FC_TAG_OFFSET);
    return run(&frame, &tags) == expected;
}

static inline fc_code_run *run_of(const struct fc_jit *code) {
    fc_code_run *run;
    const void *function = fc_jit_function(code);
    memcpy(&run, &function, sizeof run);
    return run;
}

static inline fc_code_judge *judge_of(const struct fc_jit *code) {
    fc_code_judge *judge;
    const void *function = fc_jit_function(code);
    memcpy(&judge, &function, sizeof judge);
    return judge;
}

#endif
