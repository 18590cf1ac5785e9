/* SPDX-License-Identifier: Apache-2.0
 *
 * Filter programs: what an expression is compiled to, and the interpreter that runs them.
 *
 * The machine is classic BPF's: a 32-bit accumulator A, an index register X, 16 words of memory,
 * all zero at the start; jumps go forward only; loads are big-endian. Codes that classic BPF has
 * keep their numbers and exactly the meaning that libpcap's bpf_filter gives them on a file.
 * Three things are ours, because classic BPF cannot say them:
 *   - every load names where to go when its bytes are missing (`on_false`); libpcap's rule, that
 *     the whole frame is rejected, is a load whose `on_false` leads to `ret #0`;
 *   - the captured length can be loaded (classic `ld len` is the length on the wire);
 *   - A can be looked up in a set.
 *
 * A program is checked once, in fc_program_new, and runs without further checks. It is read-only
 * afterwards: any number of threads may run one program at once.
 */
#ifndef FC_PROGRAM_H
#define FC_PROGRAM_H

#include "frame.h"
#include "status.h"

/* One instruction as Python hands it over. Targets count instructions, from the next one on. */
struct fc_instruction {
    uint16_t code;
    uint16_t reserved; /* 0 */
    uint32_t k;
    uint32_t on_true;  /* jumps: taken when the test holds */
    uint32_t on_false; /* jumps: when not; loads: bytes missing; div and mod by X: X is 0 */
};

/* Codes beside classic BPF's. */
enum {
    FC_LD_CAPTURED = 0x100, /* A = captured length */
    FC_JMP_IN_SET = 0x105,  /* A is in set number k */
};

enum {
    FC_PROGRAM_MEMORY = 16,        /* words, as BPF_MEMWORDS */
    FC_PROGRAM_LONGEST = 16777216, /* instructions */
    FC_PROGRAM_MOST_SETS = 65536,
};

/* Values in ascending order, each once. Borrowed during fc_program_new, copied by it. */
struct fc_set {
    const uint32_t *values;
    uint32_t count;
};

struct fc_program;

/* Checks the instructions and sets and makes a program of its own copies. FC_ERROR_PROGRAM for
 * what breaks a rule; then `*bad` is the number of the first bad instruction (or `count` where
 * the fault is not in one). Free it with fc_program_free, which takes NULL too. */
int fc_program_new(const struct fc_instruction *instructions, size_t count,
                   const struct fc_set *sets, size_t set_count, struct fc_program **program,
                   size_t *bad);
void fc_program_free(struct fc_program *program);

/* The value that the program returns for this frame: 0 rejects it. */
uint32_t fc_program_run(const struct fc_program *program, const struct fc_frame *frame);

#endif
