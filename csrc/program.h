/* SPDX-License-Identifier: Apache-2.0
 *
 * Filter programs: what an expression is compiled to, and the interpreter that runs them.
 *
 * The machine is classic BPF's: a 32-bit accumulator A, an index register X, 16 words of memory,
 * all zero at the start; jumps go forward; loads are big-endian. Codes that classic BPF has
 * keep their numbers and exactly the meaning that libpcap's bpf_filter gives them on a file.
 * Five things are ours, because classic BPF cannot say them:
 *   - every load names where to go when its bytes are missing (`on_false`); libpcap's rule, that
 *     the whole frame is rejected, is a load whose `on_false` leads to `ret #0`;
 *   - the captured length can be loaded (classic `ld len` is the length on the wire);
 *   - A can be looked up in a set, and so can a number wider than A;
 *   - the captured bytes can be searched;
 *   - loads can be told to see the frame without its VLAN tags (FC_SKIPS_TAGS).
 * One jump goes back, for `protochain`, as it does in libpcap: a run ends after so many of them.
 *
 * A program is checked once, in fc_program_new, and runs without further checks. It is read-only
 * afterwards: any number of threads may run one program at once.
 */
#ifndef FC_PROGRAM_H
#define FC_PROGRAM_H

#include "code.h"
#include "group.h"
#include "instruction.h"
#include "set.h"
#include "sieve.h"
#include "status.h"
#include "wide_set.h"

enum {
    FC_PROGRAM_MEMORY = 16,            /* words, as BPF_MEMWORDS */
    FC_PROGRAM_LONGEST = 16777216,     /* instructions */
    FC_PROGRAM_MOST_SETS = 65536,      /* of each kind, and patterns */
    FC_PROGRAM_LONGEST_PATTERN = 1024, /* bytes */
    FC_PROGRAM_MOST_TURNS = 65536,     /* jumps back in one run; then it rejects the frame */
};

struct fc_pattern {
    const uint8_t *bytes;
    uint32_t length; /* at least 1 */
};

/* What a program is made of. Borrowed during fc_program_new, copied by it. */
struct fc_program_source {
    const struct fc_instruction *instructions;
    size_t count;
    const struct fc_ranges *sets;
    size_t set_count;
    const struct fc_wide_ranges *wide_sets;
    size_t wide_set_count;
    const struct fc_pattern *patterns;
    size_t pattern_count;
    uint32_t tags_at; /* where the first VLAN tag would begin; 0: these frames have none */
};

struct fc_program;

/* Checks the source and makes a program of its own copies. FC_ERROR_PROGRAM for what breaks a
 * rule; then `*bad` is the number of the first bad instruction (or `count` where the fault is not
 * in one). Free it with fc_program_free, which takes NULL too. */
int fc_program_new(const struct fc_program_source *source, struct fc_program **program,
                   size_t *bad);
void fc_program_free(struct fc_program *program);

/* Machine code that does what the program says; fc_program_run calls it from now on. It is the
 * caller's, and outlives the program. Before anybody runs the program. */
void fc_program_use(struct fc_program *program, fc_code_run *code);

/* Where the tags begin that it skips; 0 where it skips none. */
uint32_t fc_program_tags_at(const struct fc_program *program);

/* The value that the program returns for this frame: 0 rejects it. */
uint32_t fc_program_run(const struct fc_program *program, const struct fc_frame *frame);

/* How many bytes of a frame a group should reach for, so that frames are judged together; 0 where
 * they are judged one by one. */
uint32_t fc_program_reach(const struct fc_program *program);

/* What all frames that the program takes pass. */
void fc_program_sieve(const struct fc_program *program, struct fc_sieve *sieve);

/* A byte at an offset, of which programs ask whether it is a value. */
struct fc_program_kind {
    uint32_t offset;
    uint8_t value;
    uint32_t asked; /* how often */
};

/* Counts those that a program's plan asks for, in `kinds`, which has room for so many and holds
 * *count of them; more are left out. */
void fc_program_count_kinds(const struct fc_program *program, struct fc_program_kind *kinds,
                            uint32_t *count, uint32_t room);

/* Those of some frames of a group that the program takes, by fc_program_run of each. The frames are
 * in one piece each. */
uint64_t fc_program_run_each(const struct fc_program *program, const struct fc_group *group,
                             uint64_t frames);

/* The same, judged together as far as they can be. */
uint64_t fc_program_run_group(const struct fc_program *program, struct fc_group *group,
                              uint64_t frames);

#endif
