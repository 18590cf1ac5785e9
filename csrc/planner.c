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
    bool x_is_20;     /* X is surely HEADER, */
    bool x_may_be_20; /* or it may be; else it is 0, as at the start */
    bool needs_a;     /* A is read before it is written, on some path from here */
    bool needs_x;
    uint8_t goal; /* the number of the test that this instruction is, or NOT_A_TEST */
};

enum {
    NOT_A_TEST = 0xff,
    /* An IPv4 header without options. What is behind it is looked for by `ldx 4*([k]&0xf)`, and
     * that is asked as a test: most frames go on as if loads from X were at constant offsets,
     * others go to the interpreter. */
    HEADER = 20,
};

struct planner {
    struct fc_plan *plan;
    const struct fc_instruction *instructions;
    size_t count;
    struct step *steps;
};

static uint32_t size_of_load(uint16_t code) {
    switch (code) {
    case FC_LD_W_ABS:
    case FC_LD_W_IND: return 4;
    case FC_LD_H_ABS:
    case FC_LD_H_IND: return 2;
    case FC_LD_B_ABS:
    case FC_LD_B_IND: return 1;
    default: return 0;
    }
}

static bool is_indirect(uint16_t code) {
    return code == FC_LD_W_IND || code == FC_LD_H_IND || code == FC_LD_B_IND;
}

static uint32_t all_bits(uint32_t size) {
    return size == 1 ? 0xff : size == 2 ? 0xffff : 0xffffffff;
}

/* `ldx 4*([k]&0xf)`, asked as a test: see HEADER. */
static bool is_header_test(const struct fc_instruction *i) {
    return i->code == FC_LDX_MSH && i->k < FC_GROUP_REACH;
}

static bool compares_a(uint16_t code) {
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

static bool needs_x(const struct planner *planner, size_t number) {
    const struct fc_instruction *i = &planner->instructions[number];
    const struct step *following = planner->steps + number + 1;
    switch (i->code) {
    case FC_RET_K:
    case FC_RET_A:
    case FC_LDX_IMM:
    case FC_LDX_LEN:
    case FC_LDX_MEM:
    case FC_TAX: return false;
    case FC_LDX_MSH: return following[i->on_false].needs_x; /* bytes missing: X stays */
    case FC_JA: return following[i->on_true].needs_x;
    case FC_LD_W_ABS:
    case FC_LD_H_ABS:
    case FC_LD_B_ABS: return following[0].needs_x || following[i->on_false].needs_x;
    case FC_JEQ_K:
    case FC_JGT_K:
    case FC_JGE_K:
    case FC_JSET_K:
    case FC_JMP_IN_SET:
    case FC_JMP_IN_WIDE:
    case FC_JMP_CONTAINS: return following[i->on_true].needs_x || following[i->on_false].needs_x;
    case FC_LD_IMM:
    case FC_LD_LEN:
    case FC_LD_MEM:
    case FC_LD_CAPTURED:
    case FC_AND_K: return following[0].needs_x;
    default: return true; /* all that read it, and whatever is new */
    }
}

/* ---- What A holds ------------------------------------------------------------------------ */

static void come_to(struct step *step, struct value a, bool x_is_20, bool x_may_be_20) {
    struct value *there = &step->a;
    step->x_may_be_20 |= x_may_be_20;
    step->x_is_20 = there->state == NEVER_REACHED ? x_is_20 : step->x_is_20 && x_is_20;
    if (there->state == NEVER_REACHED)
        *there = a;
    else if (a.state != KNOWN || there->size != a.size || there->offset != a.offset ||
             there->mask != a.mask)
        there->state = UNKNOWN;
}

/* What A holds behind an instruction that a plan can leave to its tests; UNKNOWN for others. */
static struct value after(const struct fc_instruction *i, const struct step *step) {
    struct value a = step->a;
    uint32_t size = size_of_load(i->code);
    uint64_t offset = (uint64_t)i->k + (is_indirect(i->code) ? HEADER : 0);
    bool found = size > 0 && (step->x_is_20 || !is_indirect(i->code));
    if (found && fc_bytes_within(offset, size, FC_GROUP_REACH))
        return (struct value){KNOWN, size, (uint32_t)offset, all_bits(size)};
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
        const struct step *step = &planner->steps[number];
        struct value a = step->a;
        bool x = step->x_is_20;
        bool may = step->x_may_be_20;
        struct step *following = planner->steps + number + 1;
        if (a.state == NEVER_REACHED)
            continue;
        if (i->code == FC_JA) {
            come_to(&following[i->on_true], a, x, may);
        } else if (compares_a(i->code) && a.state == KNOWN) {
            come_to(&following[i->on_true], a, x, may);
            come_to(&following[i->on_false], a, x, may);
        } else if (is_header_test(i)) {
            come_to(&following[0], a, true, true);
        } else if (after(i, step).state == KNOWN) {
            come_to(&following[0], after(i, step), x, may);
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
    case FC_LDX_MSH:
        return (struct fc_plan_test){
            .kind = FC_PLAN_EQUAL, .size = 1, .offset = i->k, .mask = 0xf, .value = HEADER / 4};
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
        bool tests = step->a.state != NEVER_REACHED &&
                     (is_header_test(i) || (compares_a(i->code) && step->a.state == KNOWN));
        if (!tests || plan->count == FC_PLAN_TESTS)
            continue;
        step->goal = (uint8_t)plan->count;
        plan->tests[plan->count++] = test_of(i, step->a, sets);
    }
}

/* ---- Jumps ------------------------------------------------------------------------------- */

/* To the interpreter, which begins at the instruction as if nothing had run: so where A or X is
 * needed it begins at the start. */
static uint8_t exit_at(struct planner *planner, size_t number) {
    struct fc_plan *plan = planner->plan;
    const struct step *step = &planner->steps[number];
    bool needs = step->needs_a || (step->needs_x && step->x_may_be_20);
    uint32_t at = needs ? 0 : (uint32_t)number;
    for (uint32_t i = 0; i < plan->exit_count; i++)
        if (plan->exits[i] == at)
            return (uint8_t)(FC_PLAN_FIRST_EXIT + i);
    if (plan->exit_count == FC_PLAN_EXITS)
        return FC_PLAN_FIRST_EXIT; /* the start, which is always there */
    plan->exits[plan->exit_count] = at;
    return (uint8_t)(FC_PLAN_FIRST_EXIT + plan->exit_count++);
}

/* Frames of a plan have the bytes of all loads on its ways. */
static void reach_for(struct fc_plan *plan, uint32_t end) {
    if (end > plan->reach)
        plan->reach = end;
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
        else if (after(i, step).state == KNOWN) {
            struct value loaded = after(i, step);
            reach_for(planner->plan, loaded.offset + loaded.size);
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
        if (i->code == FC_LDX_MSH) {
            reach_for(plan, i->k + 1);
            plan->tests[goal].on_true = goal_at(planner, number + 1);
            plan->tests[goal].on_false = exit_at(planner, number);
            continue;
        }
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
    for (size_t i = count; i-- > 0;)
        planner.steps[i].needs_x = needs_x(&planner, i);
    follow(&planner);
    make_tests(&planner, sets);
    make_jumps(&planner);
    if (plan->reach == 0 && plan->count > 0)
        plan->reach = 1; /* lengths alone */
    free(planner.steps);
    return FC_OK;
}
