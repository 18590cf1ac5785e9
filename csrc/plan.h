/* SPDX-License-Identifier: Apache-2.0
 *
 * The part of a program that compares bytes at constant offsets, laid out to run on a group of
 * frames at once: test after test, each on all frames that come to it, with bits in place of
 * jumps. That has no branch to mispredict and no instruction to decode for a frame. Where a frame
 * comes to anything else (IPv4's options, a search), the interpreter goes on with it.
 *
 * Sound because programs only jump forward, and because tests have no side effect: a frame that is
 * tested though it never comes there costs time alone.
 */
#ifndef FC_PLAN_H
#define FC_PLAN_H

#include "group.h"
#include "set.h"

enum {
    FC_PLAN_TESTS = 48, /* what comes behind so many is the interpreter's */
    FC_PLAN_EXITS = 24,
};

enum fc_plan_kind {
    FC_PLAN_EQUAL,
    FC_PLAN_GREATER,
    FC_PLAN_AT_LEAST,
    FC_PLAN_ANY_BIT,
    FC_PLAN_IN_SET,
};

/* Where a frame goes: to a test by its number, or out. */
enum {
    FC_PLAN_REJECT = FC_PLAN_TESTS,
    FC_PLAN_TAKE,
    FC_PLAN_FIRST_EXIT, /* to the interpreter, at `exits[i]` */
    FC_PLAN_GOALS = FC_PLAN_FIRST_EXIT + FC_PLAN_EXITS,
};

struct fc_plan_test {
    uint8_t kind;
    uint8_t size; /* bytes: 1, 2 or 4; 0: the length on the wire */
    uint8_t on_true;
    uint8_t on_false;
    uint8_t slot; /* of a group's answers: any, and best fc_plan_slot */
    uint32_t offset;
    uint32_t mask;
    uint32_t value; /* for equality of bytes, it and the mask are as they lie in the frame */
    const struct fc_set *set;
};

struct fc_plan {
    uint32_t reach; /* bytes of a frame that the tests look at; 0: there is no plan */
    uint32_t start; /* the first goal */
    uint32_t count;
    uint32_t exit_count;
    struct fc_plan_test tests[FC_PLAN_TESTS];
    uint32_t exits[FC_PLAN_EXITS]; /* numbers of instructions */
};

/* The same for tests that ask the same. */
uint8_t fc_plan_slot(const struct fc_plan_test *test);

/* Bits by goal, of those of `frames` that come there; only REJECT, TAKE and exits mean something
 * afterwards. `group->reach` is at least `plan->reach`, and `frames` are `whole`. */
void fc_plan_run(const struct fc_plan *plan, struct fc_group *group, uint64_t frames,
                 uint64_t goals[FC_PLAN_GOALS]);

#endif
