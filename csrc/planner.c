/* SPDX-License-Identifier: Apache-2.0 */
#include "planner.h"

#include <stdlib.h>

/* What A holds: a number from a constant offset of the frame, or its length on the wire, some bits
 * of it. */
struct value {
    bool known;    /* else the rest is 0 */
    uint32_t size; /* as in fc_plan_test */
    uint32_t offset;
    uint32_t mask;
};

enum index {
    UNTOUCHED, /* X is 0, as at the start */
    IS_HEADER,
    UNCERTAIN, /* or nobody asks for it */
};

/* An instruction, together with what is known before it. Ways that come to one instruction with
 * different values (libpcap lets IPv4 and IPv6 share what comes last) are states of their own, and
 * a test there becomes a test of each. */
struct state {
    struct value a;
    uint8_t x; /* enum index */
    bool reached;
    uint8_t goal;          /* the number of the test that this is, or NOT_A_TEST */
    struct state *on_true; /* what comes next, also where nothing is tested; NULL: not planned */
    struct state *on_false;
};

struct need {
    bool a; /* A is read before it is written, on some path from here */
    bool x;
};

enum {
    NOT_A_TEST = 0xff,
    STATES = 4, /* of an instruction; in the last one all further ways are merged */
    /* An IPv4 header without options. What is behind it is looked for by `ldx 4*([k]&0xf)`, and
     * that is asked as a test: most frames go on as if loads from X were at constant offsets,
     * others go to the interpreter. */
    HEADER = 20,
};

struct planner {
    struct fc_plan *plan;
    const struct fc_instruction *instructions;
    const struct fc_set *sets;
    size_t count;
    struct need *needs;
    struct state *states; /* STATES of each instruction */
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

/* ---- Where A and X are needed ------------------------------------------------------------- */

static bool needs_a(const struct planner *planner, size_t number) {
    const struct fc_instruction *i = &planner->instructions[number];
    const struct need *following = planner->needs + number + 1;
    switch (i->code) {
    case FC_RET_K: return false;
    case FC_JA: return following[i->on_true].a;
    case FC_LD_W_ABS:
    case FC_LD_H_ABS:
    case FC_LD_B_ABS:
    case FC_LD_W_IND:
    case FC_LD_H_IND:
    case FC_LD_B_IND: return following[i->on_false].a; /* bytes missing: A stays */
    case FC_LD_IMM:
    case FC_LD_LEN:
    case FC_LD_MEM:
    case FC_LD_CAPTURED:
    case FC_TXA: return false;
    case FC_LDX_IMM:
    case FC_LDX_LEN:
    case FC_LDX_MEM:
    case FC_STX: return following[0].a;
    case FC_LDX_MSH: return following[0].a || following[i->on_false].a;
    default: return true; /* all that read it, and whatever is new */
    }
}

static bool needs_x(const struct planner *planner, size_t number) {
    const struct fc_instruction *i = &planner->instructions[number];
    const struct need *following = planner->needs + number + 1;
    switch (i->code) {
    case FC_RET_K:
    case FC_RET_A:
    case FC_LDX_IMM:
    case FC_LDX_LEN:
    case FC_LDX_MEM:
    case FC_TAX: return false;
    case FC_LDX_MSH: return following[i->on_false].x; /* bytes missing: X stays */
    case FC_JA: return following[i->on_true].x;
    case FC_LD_W_ABS:
    case FC_LD_H_ABS:
    case FC_LD_B_ABS: return following[0].x || following[i->on_false].x;
    case FC_JEQ_K:
    case FC_JGT_K:
    case FC_JGE_K:
    case FC_JSET_K:
    case FC_JMP_IN_SET:
    case FC_JMP_IN_WIDE:
    case FC_JMP_CONTAINS: return following[i->on_true].x || following[i->on_false].x;
    case FC_LD_IMM:
    case FC_LD_LEN:
    case FC_LD_MEM:
    case FC_LD_CAPTURED:
    case FC_AND_K: return following[0].x;
    default: return true; /* all that read it, and whatever is new */
    }
}

static void find_needs(struct planner *planner) {
    for (size_t number = planner->count; number-- > 0;)
        planner->needs[number] =
            (struct need){.a = needs_a(planner, number), .x = needs_x(planner, number)};
}

/* ---- States ------------------------------------------------------------------------------ */

static size_t number_of(const struct planner *planner, const struct state *state) {
    return (size_t)(state - planner->states) / STATES;
}

static const struct fc_instruction *instruction_of(const struct planner *planner,
                                                   const struct state *state) {
    return &planner->instructions[number_of(planner, state)];
}

static bool are_alike(const struct state *one, struct value a, enum index x) {
    return one->x == x && one->a.known == a.known && one->a.size == a.size &&
           one->a.offset == a.offset && one->a.mask == a.mask;
}

/* The state of an instruction for what comes there. What nobody asks for makes no difference. */
static struct state *come_to(struct planner *planner, size_t number, struct value a, enum index x) {
    struct state *state = planner->states + number * STATES;
    struct state *last = state + STATES - 1;
    if (!planner->needs[number].a)
        a = (struct value){0};
    if (!planner->needs[number].x)
        x = UNCERTAIN;
    while (state < last && state->reached && !are_alike(state, a, x))
        state++;
    if (!state->reached) {
        *state = (struct state){.a = a, .x = (uint8_t)x, .reached = true, .goal = NOT_A_TEST};
    } else if (!are_alike(state, a, x)) {
        state->a = (struct value){0};
        state->x = UNCERTAIN;
    }
    return state;
}

/* What A holds behind an instruction that a plan can leave to its tests; unknown for others. */
static struct value after(const struct fc_instruction *i, const struct state *state) {
    struct value a = state->a;
    uint32_t size = size_of_load(i->code);
    uint64_t offset = (uint64_t)i->k + (is_indirect(i->code) ? HEADER : 0);
    bool found = size > 0 && (state->x == IS_HEADER || !is_indirect(i->code));
    if (found && fc_bytes_within(offset, size, FC_GROUP_REACH))
        return (struct value){true, size, (uint32_t)offset, all_bits(size)};
    if (i->code == FC_LD_LEN)
        return (struct value){true, 0, 0, all_bits(0)};
    if (i->code == FC_AND_K && a.known) {
        a.mask &= i->k;
        return a;
    }
    return (struct value){0};
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

/* Whether it becomes a test: not behind the last that a plan has room for. */
static bool add_test(struct planner *planner, struct state *state, const struct fc_instruction *i) {
    struct fc_plan *plan = planner->plan;
    bool tests = is_header_test(i) || (compares_a(i->code) && state->a.known);
    if (!tests || plan->count == FC_PLAN_TESTS)
        return false;
    state->goal = (uint8_t)plan->count;
    plan->tests[plan->count] = test_of(i, state->a, planner->sets);
    plan->tests[plan->count].slot = fc_plan_slot(&plan->tests[plan->count]);
    plan->count++;
    return true;
}

static void follow_one(struct planner *planner, struct state *state) {
    const struct fc_instruction *i = instruction_of(planner, state);
    size_t next = number_of(planner, state) + 1;
    enum index x = state->x;
    if (i->code == FC_JA) {
        state->on_true = come_to(planner, next + i->on_true, state->a, x);
    } else if (add_test(planner, state, i)) {
        bool header = is_header_test(i);
        state->on_true =
            come_to(planner, header ? next : next + i->on_true, state->a, header ? IS_HEADER : x);
        if (!header)
            state->on_false = come_to(planner, next + i->on_false, state->a, x);
    } else {
        struct value a = after(i, state);
        if (a.known)
            state->on_true = come_to(planner, next, a, x);
    }
}

/* Jumps go forward: when an instruction's turn comes, all ways to it are known. So tests are in an
 * order that they can run in. */
static void follow(struct planner *planner) {
    come_to(planner, 0, (struct value){0}, UNTOUCHED);
    for (struct state *state = planner->states; state < planner->states + planner->count * STATES;
         state++)
        if (state->reached)
            follow_one(planner, state);
}

/* ---- Jumps ------------------------------------------------------------------------------- */

/* To the interpreter, which begins at the instruction as if nothing had run: so where A or X is
 * needed it begins at the start. */
static uint8_t exit_at(struct planner *planner, const struct state *state) {
    struct fc_plan *plan = planner->plan;
    size_t number = number_of(planner, state);
    struct need need = planner->needs[number];
    uint32_t at = need.a || (need.x && state->x != UNTOUCHED) ? 0 : (uint32_t)number;
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

static uint8_t goal_at(struct planner *planner, const struct state *start) {
    for (const struct state *state = start;; state = state->on_true) {
        const struct fc_instruction *i = instruction_of(planner, state);
        if (state->goal != NOT_A_TEST)
            return state->goal;
        if (i->code == FC_RET_K)
            return i->k != 0 ? FC_PLAN_TAKE : FC_PLAN_REJECT;
        if (state->on_true == NULL)
            return exit_at(planner, start);
        struct value loaded = after(i, state);
        reach_for(planner->plan, loaded.offset + loaded.size);
    }
}

static void make_jumps_of(struct planner *planner, const struct state *state) {
    const struct fc_instruction *i = instruction_of(planner, state);
    struct fc_plan_test *test = &planner->plan->tests[state->goal];
    if (is_header_test(i))
        reach_for(planner->plan, i->k + 1);
    test->on_true = goal_at(planner, state->on_true);
    test->on_false =
        state->on_false != NULL ? goal_at(planner, state->on_false) : exit_at(planner, state);
}

static void make_jumps(struct planner *planner) {
    planner->plan->exit_count = 1; /* exits[0] is the start */
    planner->plan->start = goal_at(planner, planner->states);
    for (const struct state *state = planner->states;
         state < planner->states + planner->count * STATES; state++)
        if (state->reached && state->goal != NOT_A_TEST)
            make_jumps_of(planner, state);
}

static void make_plan(struct planner *planner) {
    find_needs(planner);
    follow(planner);
    make_jumps(planner);
    if (planner->plan->reach == 0 && planner->plan->start < FC_PLAN_FIRST_EXIT)
        planner->plan->reach = 1; /* lengths alone, or nothing */
}

int fc_planner_make(struct fc_plan *plan, const struct fc_instruction *instructions, size_t count,
                    const struct fc_set *sets) {
    *plan = (struct fc_plan){0};
    if (count > FC_PLANNER_LONGEST)
        return FC_OK;
    for (size_t i = 0; i < count; i++)
        if (instructions[i].code == FC_JA_BACK)
            return FC_OK;
    struct planner planner = {
        .plan = plan, .instructions = instructions, .sets = sets, .count = count};
    planner.needs = calloc(count, sizeof *planner.needs);
    planner.states = calloc(count * STATES, sizeof *planner.states);
    bool has_memory = planner.needs != NULL && planner.states != NULL;
    if (has_memory)
        make_plan(&planner);
    free(planner.needs);
    free(planner.states);
    return has_memory ? FC_OK : FC_ERROR_MEMORY;
}
