/* SPDX-License-Identifier: Apache-2.0 */
#include "planner.h"

#include <stdlib.h>

/* What A surely holds before an instruction: a number from a constant offset of the frame, or its
 * length on the wire, some bits of it. */
struct value {
    enum { NEVER_REACHED, UNKNOWN, KNOWN } state;
    uint32_t size; /* as in fc_plan_test */
    uint32_t offset;
    uint32_t mask;
};

struct step {
    struct value a;
    bool needs_a; /* A is read before it is written, on some path from here */
    uint8_t goal; /* the number of the test that this instruction is, or NOT_A_TEST */
};

enum { NOT_A_TEST = 0xff };

struct planner {
    struct fc_plan *plan;
    const struct fc_instruction *instructions;
    size_t count;
    struct step *steps;
};

static uint32_t size_of_load(uint16_t code) {
    return code == FC_LD_W_ABS ? 4 : code == FC_LD_H_ABS ? 2 : code == FC_LD_B_ABS ? 1 : 0;
}

static uint32_t all_bits(uint32_t size) {
    return size == 1 ? 0xff : size == 2 ? 0xffff : 0xffffffff;
}

static bool is_test(uint16_t code) {
    return code == FC_JEQ_K || code == FC_JGT_K || code == FC_JGE_K || code == FC_JSET_K ||
           code == FC_JMP_IN_SET;
}

/* ---- Where A is needed ------------------------------------------------------------------- */

static bool needs_a(const struct planner *planner, size_t number) {
    const struct fc_instruction *i = &planner->instructions[number];
    const struct step *following = planner->steps + number + 1;
    switch (i->code) {
    case FC_RET_K: return false;
    case FC_JA: return following[i->on_true].needs_a;
    case FC_LD_W_ABS:
    case FC_LD_H_ABS:
    case FC_LD_B_ABS:
    case FC_LD_W_IND:
    case FC_LD_H_IND:
    case FC_LD_B_IND: return following[i->on_false].needs_a; /* bytes missing: A stays */
    case FC_LD_IMM:
    case FC_LD_LEN:
    case FC_LD_MEM:
    case FC_LD_CAPTURED:
    case FC_TXA: return false;
    case FC_LDX_IMM:
    case FC_LDX_LEN:
    case FC_LDX_MEM:
    case FC_STX: return following[0].needs_a;
    case FC_LDX_MSH: return following[0].needs_a || following[i->on_false].needs_a;
    default: return true; /* all that read it, and whatever is new */
    }
}

/* ---- What A holds ------------------------------------------------------------------------ */

static void come_to(struct step *step, struct value a) {
    struct value *there = &step->a;
    if (there->state == NEVER_REACHED)
        *there = a;
    else if (a.state != KNOWN || there->size != a.size || there->offset != a.offset ||
             there->mask != a.mask)
        there->state = UNKNOWN;
}

/* What A holds behind an instruction that a plan can leave to its tests; UNKNOWN for others. */
static struct value after(const struct fc_instruction *i, struct value a) {
    uint32_t size = size_of_load(i->code);
    if (size > 0 && fc_bytes_within(i->k, size, FC_GROUP_REACH))
        return (struct value){KNOWN, size, i->k, all_bits(size)};
    if (i->code == FC_LD_LEN)
        return (struct value){KNOWN, 0, 0, all_bits(0)};
    if (i->code == FC_AND_K && a.state == KNOWN) {
        a.mask &= i->k;
        return a;
    }
    return (struct value){.state = UNKNOWN};
}

static void follow(struct planner *planner) {
    planner->steps[0].a.state = UNKNOWN;
    for (size_t number = 0; number < planner->count; number++) {
        const struct fc_instruction *i = &planner->instructions[number];
        struct value a = planner->steps[number].a;
        struct step *following = planner->steps + number + 1;
        if (a.state == NEVER_REACHED)
            continue;
        if (i->code == FC_JA) {
            come_to(&following[i->on_true], a);
        } else if (is_test(i->code) && a.state == KNOWN) {
            come_to(&following[i->on_true], a);
            come_to(&following[i->on_false], a);
        } else if (after(i, a).state == KNOWN) {
            come_to(&following[0], after(i, a));
        }
    }
}

/* ---- Tests ------------------------------------------------------------------------------- */

static uint32_t as_it_lies(uint32_t value, uint32_t size) {
    if (size == 0 || size == 1)
        return value;
    uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                        (uint8_t)value};
    uint16_t half;
    memcpy(&half, bytes + 2, sizeof half);
    return size == 2 ? half : fc_load32(bytes);
}

static struct fc_plan_test test_of(const struct fc_instruction *i, struct value a,
                                   const struct fc_set *sets) {
    struct fc_plan_test test = {
        .size = (uint8_t)a.size, .offset = a.offset, .mask = a.mask, .value = i->k};
    switch (i->code) {
    case FC_JGT_K: test.kind = FC_PLAN_GREATER; return test;
    case FC_JGE_K: test.kind = FC_PLAN_AT_LEAST; return test;
    case FC_JSET_K: test.kind = FC_PLAN_ANY_BIT; return test;
    case FC_JMP_IN_SET:
        test.kind = FC_PLAN_IN_SET;
        test.set = &sets[i->k];
        return test;
    default: break;
    }
    test.kind = FC_PLAN_EQUAL;
    if ((i->k & ~a.mask) != 0) { /* never: no bits can be 1 */
        test.mask = 0;
        test.value = 1;
        return test;
    }
    test.mask = as_it_lies(a.mask, a.size);
    test.value = as_it_lies(i->k, a.size);
    return test;
}

static void make_tests(struct planner *planner, const struct fc_set *sets) {
    struct fc_plan *plan = planner->plan;
    for (size_t number = 0; number < planner->count; number++) {
        struct step *step = &planner->steps[number];
        const struct fc_instruction *i = &planner->instructions[number];
        step->goal = NOT_A_TEST;
        if (!is_test(i->code) || step->a.state != KNOWN || plan->count == FC_PLAN_TESTS)
            continue;
        step->goal = (uint8_t)plan->count;
        plan->tests[plan->count++] = test_of(i, step->a, sets);
    }
}

/* ---- Jumps ------------------------------------------------------------------------------- */

/* To the interpreter, which begins at the instruction as if nothing had run: so where A is needed
 * it begins at the start. */
static uint8_t exit_at(struct planner *planner, size_t number) {
    struct fc_plan *plan = planner->plan;
    uint32_t at = planner->steps[number].needs_a ? 0 : (uint32_t)number;
    for (uint32_t i = 0; i < plan->exit_count; i++)
        if (plan->exits[i] == at)
            return (uint8_t)(FC_PLAN_FIRST_EXIT + i);
    if (plan->exit_count == FC_PLAN_EXITS)
        return FC_PLAN_FIRST_EXIT; /* the start, which is always there */
    plan->exits[plan->exit_count] = at;
    return (uint8_t)(FC_PLAN_FIRST_EXIT + plan->exit_count++);
}

/* Frames of a plan have the bytes of all loads on its ways. */
static void reach_for(struct fc_plan *plan, const struct fc_instruction *load) {
    uint32_t size = size_of_load(load->code);
    if (size > 0 && load->k + size > plan->reach)
        plan->reach = load->k + size;
}

static uint8_t goal_at(struct planner *planner, size_t number) {
    for (size_t at = number;;) {
        const struct fc_instruction *i = &planner->instructions[at];
        const struct step *step = &planner->steps[at];
        if (step->goal != NOT_A_TEST)
            return step->goal;
        if (i->code == FC_RET_K)
            return i->k != 0 ? FC_PLAN_TAKE : FC_PLAN_REJECT;
        if (i->code == FC_JA)
            at += 1 + (size_t)i->on_true;
        else if (after(i, step->a).state == KNOWN) {
            reach_for(planner->plan, i);
            at++;
        } else
            return exit_at(planner, number);
    }
}

static void make_jumps(struct planner *planner) {
    struct fc_plan *plan = planner->plan;
    plan->exit_count = 1; /* exits[0] is the start */
    plan->start = goal_at(planner, 0);
    for (size_t number = 0; number < planner->count; number++) {
        uint8_t goal = planner->steps[number].goal;
        const struct fc_instruction *i = &planner->instructions[number];
        if (goal == NOT_A_TEST)
            continue;
        plan->tests[goal].on_true = goal_at(planner, number + 1 + i->on_true);
        plan->tests[goal].on_false = goal_at(planner, number + 1 + i->on_false);
    }
}

int fc_planner_make(struct fc_plan *plan, const struct fc_instruction *instructions, size_t count,
                    const struct fc_set *sets) {
    *plan = (struct fc_plan){0};
    if (count > FC_PLANNER_LONGEST)
        return FC_OK;
    for (size_t i = 0; i < count; i++)
        if (instructions[i].code == FC_JA_BACK)
            return FC_OK;
    struct planner planner = {.plan = plan, .instructions = instructions, .count = count};
    planner.steps = calloc(count, sizeof *planner.steps);
    if (!planner.steps)
        return FC_ERROR_MEMORY;
    for (size_t i = count; i-- > 0;)
        planner.steps[i].needs_a = needs_a(&planner, i);
    follow(&planner);
    make_tests(&planner, sets);
    make_jumps(&planner);
    if (plan->reach == 0 && plan->count > 0)
        plan->reach = 1; /* lengths alone */
    free(planner.steps);
    return FC_OK;
}
