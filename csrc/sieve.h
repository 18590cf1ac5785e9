/* SPDX-License-Identifier: Apache-2.0
 *
 * What a frame must hold for a program to take it: at least one of a few words at constant offsets.
 * Most filters look for few frames (`host A`: A lies at one of four places), so most frames are
 * told apart by this alone, while the walk has their record in hand; the program judges the rest.
 *
 * Sound for any program: from every test of its plan, each way to where a frame may be taken passes
 * a word of the sieve.
 */
#ifndef FC_SIEVE_H
#define FC_SIEVE_H

#include "bytes.h"
#include "plan.h"

enum { FC_SIEVE_WORDS = 8 };

struct fc_sieve_word {
    uint32_t offset; /* of 4 bytes */
    uint32_t mask;   /* mask and value are as they lie in the frame */
    uint32_t value;
    bool differs; /* it holds where the bytes are not the value */
    uint8_t bits; /* of 2^bits random frames, one holds it */
};

struct fc_sieve {
    uint64_t weight; /* the share of random frames that hold a word, times 2^32; ANYTHING */
    uint32_t reach;  /* bytes of a frame that the words look at; a shorter one passes */
    uint32_t count;
    struct fc_sieve_word words[FC_SIEVE_WORDS];
};

#define FC_SIEVE_ANYTHING UINT64_MAX /* it tells no frames apart */

/* Of the frames that a plan does not reject. */
void fc_sieve_of_plan(const struct fc_plan *plan, struct fc_sieve *sieve);

/* Passes what any of two passes. */
void fc_sieve_join(struct fc_sieve *sieve, const struct fc_sieve *more);

/* Passes frames with a VLAN tag at an offset too. */
void fc_sieve_add_tags(struct fc_sieve *sieve, uint32_t at);

/* Is there a word that holds where the bytes are not its value? */
static inline bool fc_sieve_differs(const struct fc_sieve *sieve) {
    for (uint32_t i = 0; i < sieve->count; i++)
        if (sieve->words[i].differs)
            return true;
    return false;
}

/* Does a frame of at least `reach` bytes hold one of the first `count` words? Without `differs`
 * none of them is one that differs. */
static inline __attribute__((always_inline)) bool fc_sieve_passes(const struct fc_sieve_word *words,
                                                                  uint32_t count, bool differs,
                                                                  const uint8_t *frame) {
    bool holds = false;
    for (uint32_t i = 0; i < count; i++) {
        bool is_equal = (fc_load32(frame + words[i].offset) & words[i].mask) == words[i].value;
        holds |= differs ? is_equal != words[i].differs : is_equal;
    }
    return holds;
}

#endif
