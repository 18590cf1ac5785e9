/* SPDX-License-Identifier: Apache-2.0
 *
 * What the planner makes of programs, by hand; and that groups are judged as frames are one by one,
 * whatever the program, the frames, and the group's reach.
 */
#include "planner.h"
#include "programs.h"

#define RET(value) {.code = 0x06, .k = (value)}

/* ---- Plans by hand ----------------------------------------------------------------------- */

static const uint32_t some_pairs[] = {1, 5, 9, 9};
static const struct fc_set *made_sets; /* two, borrowed by all plans */

static struct fc_plan plan_of(const struct fc_instruction *instructions, size_t count) {
    struct fc_plan plan;
    memset(&plan, 0x55, sizeof plan);
    CHECK_IS(fc_planner_make(&plan, instructions, count, made_sets), FC_OK);
    return plan;
}

#define PLAN(instructions) plan_of((instructions), COUNT(instructions))

static uint32_t half_as_it_lies(uint8_t high, uint8_t low) {
    const uint8_t bytes[] = {high, low};
    uint16_t half;
    memcpy(&half, bytes, sizeof half);
    return half;
}

static uint32_t word_as_it_lies(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
    return fc_load32((const uint8_t[]){a, b, c, d});
}

static void check_test(const struct fc_plan_test *test, enum fc_plan_kind kind, uint32_t size,
                       uint32_t offset, uint32_t mask, uint32_t value) {
    CHECK_IS(test->kind, kind);
    CHECK_IS(test->size, size);
    CHECK_IS(test->offset, offset);
    CHECK_IS(test->mask, mask);
    CHECK_IS(test->value, value);
}

static void check_goals(const struct fc_plan_test *test, uint32_t on_true, uint32_t on_false) {
    CHECK_IS(test->on_true, on_true);
    CHECK_IS(test->on_false, on_false);
}

static void tests_of_loads_become_tests_of_the_plan(void) {
    const struct fc_instruction tcp[] = {
        {.code = FC_LD_H_ABS, .k = 12, .on_false = 6},
        {.code = FC_JEQ_K, .k = 0x0800, .on_false = 5},
        {.code = FC_LD_B_ABS, .k = 23, .on_false = 4},
        {.code = FC_JEQ_K, .k = 6, .on_false = 3},
        {.code = FC_LD_W_ABS, .k = 26, .on_false = 2},
        {.code = FC_JEQ_K, .k = 0x0a000001, .on_true = 0, .on_false = 1},
        RET(9),
        RET(0),
    };
    struct fc_plan plan = PLAN(tcp);
    CHECK_IS(plan.count, 3);
    CHECK_IS(plan.reach, 30);
    CHECK_IS(plan.start, 0);
    check_test(&plan.tests[0], FC_PLAN_EQUAL, 2, 12, 0xffff, half_as_it_lies(8, 0));
    check_test(&plan.tests[1], FC_PLAN_EQUAL, 1, 23, 0xff, 6);
    check_test(&plan.tests[2], FC_PLAN_EQUAL, 4, 26, UINT32_MAX, word_as_it_lies(10, 0, 0, 1));
    check_goals(&plan.tests[0], 1, FC_PLAN_REJECT);
    check_goals(&plan.tests[1], 2, FC_PLAN_REJECT);
    check_goals(&plan.tests[2], FC_PLAN_TAKE, FC_PLAN_REJECT);
    CHECK_IS(plan.exit_count, 1); /* the start, which nobody takes */
    CHECK_IS(plan.exits[0], 0);
}

static void every_test_of_a_constant_has_its_kind(void) {
    const struct {
        uint16_t code;
        enum fc_plan_kind kind;
    } kinds[] = {{FC_JGT_K, FC_PLAN_GREATER},
                 {FC_JGE_K, FC_PLAN_AT_LEAST},
                 {FC_JSET_K, FC_PLAN_ANY_BIT},
                 {FC_JMP_IN_SET, FC_PLAN_IN_SET}};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        const struct fc_instruction program[] = {
            {.code = FC_LD_H_ABS, .k = 30, .on_false = 2},
            {.code = kinds[i].code, .k = 1, .on_true = 1},
            RET(1),
            RET(0),
        };
        struct fc_plan plan = PLAN(program);
        check_about("code 0x%x", kinds[i].code);
        CHECK_IS(plan.count, 1);
        CHECK_IS(plan.reach, 32);
        check_test(&plan.tests[0], kinds[i].kind, 2, 30, 0xffff, 1);
        check_goals(&plan.tests[0], FC_PLAN_REJECT, FC_PLAN_TAKE);
        CHECK((plan.tests[0].set == &made_sets[1]) == (kinds[i].kind == FC_PLAN_IN_SET));
    }
}

/* One behind the other; what cannot be equal, is not. */
static void masks_are_part_of_the_test(void) {
    const struct fc_instruction program[] = {
        {.code = FC_LD_W_ABS, .k = 26, .on_false = 6},
        {.code = FC_AND_K, .k = 0xffffff00},
        {.code = FC_JEQ_K, .k = 0x0a000100, .on_true = 3, .on_false = 0},
        {.code = FC_AND_K, .k = 0xff0000ff},
        {.code = FC_JEQ_K, .k = 0x0a0000ff, .on_true = 1, .on_false = 0},
        {.code = FC_JGT_K, .k = 0x7f000000, .on_true = 0, .on_false = 1},
        RET(1),
        RET(0),
    };
    struct fc_plan plan = PLAN(program);
    CHECK_IS(plan.count, 3);
    CHECK_IS(plan.reach, 30);
    check_test(&plan.tests[0], FC_PLAN_EQUAL, 4, 26, word_as_it_lies(255, 255, 255, 0),
               word_as_it_lies(10, 0, 1, 0));
    check_test(&plan.tests[1], FC_PLAN_EQUAL, 4, 26, 0, 1);
    check_test(&plan.tests[2], FC_PLAN_GREATER, 4, 26, 0xff000000, 0x7f000000);
}

static void numbers_too_large_for_their_bytes_are_never_equal(void) {
    const struct fc_instruction program[] = {
        {.code = FC_LD_H_ABS, .k = 12, .on_false = 2},
        {.code = FC_JEQ_K, .k = 0x10800, .on_true = 1},
        RET(1),
        RET(0),
    };
    struct fc_plan plan = PLAN(program);
    CHECK_IS(plan.count, 1);
    CHECK_IS(plan.tests[0].mask, 0);
    CHECK_IS(plan.tests[0].value, 1);
}

static void lengths_on_the_wire_need_a_byte_of_the_frame(void) {
    const struct fc_instruction program[] = {
        {.code = FC_LD_LEN},
        {.code = FC_JGE_K, .k = 100, .on_true = 1},
        RET(0),
        RET(1),
    };
    struct fc_plan plan = PLAN(program);
    CHECK_IS(plan.count, 1);
    CHECK_IS(plan.reach, 1);
    check_test(&plan.tests[0], FC_PLAN_AT_LEAST, 0, 0, UINT32_MAX, 100);
}

/* In the frame they decide whether it goes to `on_false`. */
static void loads_that_no_test_uses_extend_the_reach(void) {
    const struct fc_instruction program[] = {
        {.code = FC_LD_B_ABS, .k = 0, .on_false = 3},
        {.code = FC_JEQ_K, .k = 1, .on_true = 0, .on_false = 1},
        {.code = FC_LD_W_ABS, .k = 60, .on_false = 1},
        RET(1),
        RET(0),
    };
    struct fc_plan plan = PLAN(program);
    CHECK_IS(plan.count, 1);
    CHECK_IS(plan.reach, 64);
    check_goals(&plan.tests[0], FC_PLAN_TAKE, FC_PLAN_TAKE);
}

static void loads_reach_as_far_as_a_group_does(void) {
    for (uint32_t offset = FC_GROUP_REACH - 8; offset < FC_GROUP_REACH + 3; offset++) {
        const struct fc_instruction program[] = {
            {.code = FC_LD_B_ABS, .k = 3, .on_false = 4},
            {.code = FC_JEQ_K, .k = 1, .on_true = 0, .on_false = 3},
            {.code = FC_LD_W_ABS, .k = offset, .on_false = 2},
            {.code = FC_JEQ_K, .k = 1, .on_true = 0, .on_false = 1},
            RET(1),
            RET(0),
        };
        struct fc_plan plan = PLAN(program);
        bool inside = offset + 4 <= FC_GROUP_REACH;
        check_about("offset %u", offset);
        CHECK_IS(plan.count, inside ? 2 : 1);
        CHECK_IS(plan.reach, inside ? offset + 4 : 4);
        CHECK_IS(plan.exit_count, inside ? 1 : 2);
        check_goals(&plan.tests[0], inside ? 1 : FC_PLAN_FIRST_EXIT + 1, FC_PLAN_REJECT);
        if (!inside)
            CHECK_IS(plan.exits[1], 2);
    }
}

/* A is one byte or another where the last test is: so that is one test for each. */
static void a_value_loaded_in_two_ways_makes_two_tests(void) {
    const struct fc_instruction program[] = {
        {.code = FC_LD_B_ABS, .k = 0, .on_false = 4},
        {.code = FC_JEQ_K, .k = 4, .on_true = 0, .on_false = 1},
        {.code = FC_LD_B_ABS, .k = 1, .on_false = 2},
        {.code = FC_JEQ_K, .k = 7, .on_true = 0, .on_false = 1},
        RET(1),
        RET(0),
    };
    struct fc_plan plan = PLAN(program);
    CHECK_IS(plan.count, 3);
    CHECK_IS(plan.exit_count, 1);
    CHECK_IS(plan.reach, 2);
    check_test(&plan.tests[1], FC_PLAN_EQUAL, 1, 0, 0xff, 7);
    check_test(&plan.tests[2], FC_PLAN_EQUAL, 1, 1, 0xff, 7);
    check_goals(&plan.tests[0], 2, 1);
    check_goals(&plan.tests[1], FC_PLAN_TAKE, FC_PLAN_REJECT);
    check_goals(&plan.tests[2], FC_PLAN_TAKE, FC_PLAN_REJECT);
}

/* As libpcap's optimizer lets IPv6 and IPv4 share the last test of `portrange`: A is a number from
 * a constant place, or from behind X; and X is the header's length, or was never set. */
static void a_shared_tail_is_planned_for_each_way_to_it(void) {
    const struct fc_instruction program[] = {
        {.code = FC_LD_H_ABS, .k = 12, .on_false = 9},
        {.code = FC_JEQ_K, .k = 0x86dd, .on_true = 0, .on_false = 2},
        {.code = FC_LD_H_ABS, .k = 56, .on_false = 7},
        {.code = FC_JA, .on_true = 2},
        {.code = FC_LDX_MSH, .k = 14, .on_false = 5},
        {.code = FC_LD_H_IND, .k = 16, .on_false = 4},
        {.code = FC_JGE_K, .k = 40000, .on_true = 0, .on_false = 3},
        {.code = FC_AND_K, .k = 0xff00},
        {.code = FC_JGT_K, .k = 40191, .on_true = 1, .on_false = 0},
        RET(1),
        RET(0),
    };
    struct fc_plan plan = PLAN(program);
    CHECK_IS(plan.count, 6);
    CHECK_IS(plan.reach, 58);
    CHECK_IS(plan.exit_count, 2); /* for options of IPv4 alone */
    CHECK_IS(plan.exits[1], 4);
    check_goals(&plan.tests[0], 2, 1);
    check_goals(&plan.tests[1], 3, FC_PLAN_FIRST_EXIT + 1);
    check_test(&plan.tests[2], FC_PLAN_AT_LEAST, 2, 56, 0xffff, 40000);
    check_test(&plan.tests[3], FC_PLAN_AT_LEAST, 2, 36, 0xffff, 40000);
    check_goals(&plan.tests[2], 4, FC_PLAN_REJECT);
    check_goals(&plan.tests[3], 5, FC_PLAN_REJECT);
    check_test(&plan.tests[4], FC_PLAN_GREATER, 2, 56, 0xff00, 40191);
    check_test(&plan.tests[5], FC_PLAN_GREATER, 2, 36, 0xff00, 40191);
}

/* So many loads, one behind the other, each followed by a test that goes on to a shared one. */
static size_t with_ways(struct fc_instruction *program, uint32_t ways) {
    for (uint32_t i = 0; i < ways; i++) {
        program[2 * i] =
            (struct fc_instruction){.code = FC_LD_B_ABS, .k = i, .on_false = 2 * (ways - i) + 1};
        program[2 * i + 1] = (struct fc_instruction){
            .code = FC_JEQ_K, .k = i, .on_true = 2 * (ways - i) - 2, .on_false = 0};
    }
    program[2 * ways] = (struct fc_instruction){.code = FC_JGT_K, .k = 50, .on_false = 1};
    program[2 * ways + 1] = (struct fc_instruction)RET(1);
    program[2 * ways + 2] = (struct fc_instruction)RET(0);
    return 2 * ways + 3;
}

/* Beyond a few, A is not known: those frames are the interpreter's, from the start. */
static void ways_beyond_a_few_are_merged(void) {
    for (uint32_t ways = 1; ways < 10; ways++) {
        struct fc_instruction program[2 * 10 + 3];
        struct fc_plan plan = plan_of(program, with_ways(program, ways));
        uint32_t apart = ways <= 4 ? ways : 3;
        check_about("%u ways", ways);
        CHECK_IS(plan.count, ways + apart);
        CHECK_IS(plan.exit_count, 1);
        for (uint32_t i = 0; i < ways; i++)
            CHECK_IS(plan.tests[i].on_true, i < apart ? ways + i : FC_PLAN_FIRST_EXIT);
    }
}

/* The ways come with different values of A and X, of which nothing is read any more. */
static void values_that_are_not_needed_make_one_test(void) {
    const struct fc_instruction program[] = {
        {.code = FC_LD_B_ABS, .k = 0, .on_false = 9},
        {.code = FC_JEQ_K, .k = 4, .on_true = 0, .on_false = 3},
        {.code = FC_LDX_MSH, .k = 2, .on_false = 7},
        {.code = FC_LD_B_IND, .k = 1, .on_false = 6},
        {.code = FC_JEQ_K, .k = 5, .on_true = 0, .on_false = 5},
        {.code = FC_LD_B_ABS, .k = 1, .on_false = 4},
        {.code = FC_JEQ_K, .k = 7, .on_true = 0, .on_false = 3},
        {.code = FC_LDX_MSH, .k = 3, .on_false = 2},
        {.code = FC_LD_B_IND, .k = 9, .on_false = 1},
        {.code = FC_JEQ_K, .k = 8, .on_true = 1, .on_false = 0},
        RET(0),
        RET(1),
    };
    struct fc_plan plan = PLAN(program);
    CHECK_IS(plan.count, 6);
    check_goals(&plan.tests[0], 1, 3);
    check_goals(&plan.tests[2], 3, FC_PLAN_REJECT);
    check_goals(&plan.tests[3], 4, FC_PLAN_REJECT);
    CHECK_IS(plan.tests[5].offset, 29);
}

static void a_value_loaded_alike_in_two_ways_is_known(void) {
    const struct fc_instruction program[] = {
        {.code = FC_LD_B_ABS, .k = 0, .on_false = 6},
        {.code = FC_JEQ_K, .k = 4, .on_true = 0, .on_false = 2},
        {.code = FC_LD_B_ABS, .k = 1, .on_false = 4},
        {.code = FC_JA, .on_true = 1},
        {.code = FC_LD_B_ABS, .k = 1, .on_false = 2},
        {.code = FC_JEQ_K, .k = 7, .on_true = 0, .on_false = 1},
        RET(1),
        RET(0),
    };
    struct fc_plan plan = PLAN(program);
    CHECK_IS(plan.count, 2);
    CHECK_IS(plan.reach, 2);
    check_goals(&plan.tests[0], 1, 1);
    check_goals(&plan.tests[1], FC_PLAN_TAKE, FC_PLAN_REJECT);
}

/* Ports behind IPv4: with 20 bytes of header their places are constant, else the interpreter's. */
static void a_header_without_options_is_asked_for_as_a_test(void) {
    const struct fc_instruction program[] = {
        {.code = FC_LDX_MSH, .k = 14, .on_false = 3},
        {.code = FC_LD_H_IND, .k = 16, .on_false = 2},
        {.code = FC_JEQ_K, .k = 443, .on_true = 0, .on_false = 1},
        RET(1),
        RET(0),
    };
    struct fc_plan plan = PLAN(program);
    CHECK_IS(plan.count, 2);
    CHECK_IS(plan.reach, 38);
    CHECK_IS(plan.exit_count, 1);
    CHECK_IS(plan.tests[0].offset, 14);
    CHECK_IS(plan.tests[0].mask, 0xf);
    CHECK_IS(plan.tests[0].value, 5);
    check_goals(&plan.tests[0], 1, FC_PLAN_FIRST_EXIT);
    CHECK_IS(plan.tests[1].offset, 36);
    check_goals(&plan.tests[1], FC_PLAN_TAKE, FC_PLAN_REJECT);
}

/* Where A is read it was loaded by the plan, so the interpreter begins at the start; else there. */
static void exits_begin_where_nothing_is_missing(void) {
    const struct {
        struct fc_instruction next;
        bool needs_a;
    } cases[] = {
        {{.code = FC_TAX}, true},
        {{.code = FC_ST, .k = 3}, true},
        {{.code = FC_ADD_K, .k = 3}, true},
        {{.code = FC_JEQ_X}, true},
        {{.code = FC_JMP_IN_WIDE}, true},
        {{.code = FC_RET_A}, true},
        {{.code = FC_LDX_MSH, .k = FC_GROUP_REACH, .on_false = 1}, false},
        {{.code = FC_LDX_IMM, .k = 14}, false},
        {{.code = FC_LD_CAPTURED}, false},
        {{.code = FC_TXA}, false},
        {{.code = FC_LD_IMM, .k = 5}, false},
        {{.code = FC_LD_MEM, .k = 5}, false},
        {{.code = FC_LD_B_IND, .k = 5, .on_false = 1}, false},
        {{.code = FC_LD_B_IND, .k = 5, .on_false = 0}, true}, /* bytes missing: then A is read */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        bool goes_on = cases[i].next.code == FC_LD_B_IND && cases[i].needs_a;
        const struct fc_instruction program[] = {
            {.code = FC_LD_B_ABS, .k = 20, .on_false = 4},
            {.code = FC_JEQ_K, .k = 4, .on_true = 0, .on_false = 3},
            cases[i].next,
            {.code = goes_on ? FC_TAX : FC_LD_IMM},
            RET(1),
            RET(0),
        };
        struct fc_plan plan = PLAN(program);
        check_about("case %zu", i);
        CHECK_IS(plan.count, 1);
        CHECK_IS(plan.reach, 21);
        CHECK_IS(plan.exit_count, cases[i].needs_a ? 1 : 2);
        check_goals(&plan.tests[0], FC_PLAN_FIRST_EXIT + !cases[i].needs_a, FC_PLAN_REJECT);
        if (!cases[i].needs_a)
            CHECK_IS(plan.exits[1], 2);
    }
}

static void a_program_that_asks_for_nothing_is_a_plan(void) {
    const struct fc_instruction all[] = {RET(1)};
    const struct fc_instruction none[] = {RET(0)};
    CHECK_IS(PLAN(all).reach, 1);
    CHECK_IS(PLAN(all).start, FC_PLAN_TAKE);
    CHECK_IS(PLAN(none).start, FC_PLAN_REJECT);
}

static void some_programs_have_no_plan(void) {
    const struct fc_instruction back[] = {
        {.code = FC_LD_B_ABS, .k = 0, .on_false = 3},
        {.code = FC_JEQ_K, .k = 4, .on_false = 1},
        {.code = FC_JA_BACK, .k = 3},
        RET(1),
        RET(0),
    };
    CHECK_IS(PLAN(back).reach, 0);
    const struct fc_instruction captured[] = {
        {.code = FC_LD_CAPTURED}, {.code = FC_JGT_K, .k = 4, .on_false = 1}, RET(1), RET(0)};
    CHECK_IS(PLAN(captured).reach, 0);
    struct fc_instruction *long_one = block_new((FC_PLANNER_LONGEST + 1) * sizeof *long_one);
    for (size_t i = 0; i <= FC_PLANNER_LONGEST; i++)
        long_one[i] = (struct fc_instruction){.code = FC_LD_B_ABS};
    long_one[1] = (struct fc_instruction){.code = FC_JEQ_K};
    long_one[FC_PLANNER_LONGEST] = long_one[FC_PLANNER_LONGEST - 1] = (struct fc_instruction)RET(1);
    CHECK_IS(plan_of(long_one, FC_PLANNER_LONGEST + 1).reach, 0);
    CHECK_IS(plan_of(long_one, FC_PLANNER_LONGEST).reach, 1);
    free(long_one);
}

/* ---- Groups ------------------------------------------------------------------------------ */

/* Frames of a group in blocks of exactly their length. */
struct frames {
    struct fc_group group;
    uint8_t *blocks[FC_GROUP];
};

static uint64_t random_bits(void) {
    switch (random_below(4)) {
    case 0: return UINT64_MAX;
    case 1: return UINT64_C(1) << random_below(64);
    default: return (uint64_t)random32() << 32 | random32();
    }
}

static void random_frame(struct frames *frames, uint32_t place, uint32_t least) {
    uint32_t captured = random_below(4) ? least + random_below(LONGEST_FRAME) : random_below(20);
    uint8_t *bytes = block_new(captured);
    for (uint32_t i = 0; i < captured; i++)
        bytes[i] = (uint8_t)(random_below(3) ? random_below(40) : random32());
    if (captured > 28 && random_below(6) == 0) /* tags, and what only looks like them */
        for (uint32_t at = 12; at < 12 + 4 * random_below(4); at += 2)
            memcpy(bytes + at, &"\x81\0\x88\xa8\x91\0\x08\0"[2 * random_below(4)], 2);
    frames->blocks[place] = bytes;
    frames->group.bytes[place] = bytes;
    frames->group.captured[place] = captured;
    frames->group.wire[place] = captured + (random_below(3) ? 0 : random_value());
}

/* In the places of `present`; with `least` no frame is shorter, but for one in four. */
static void frames_make(struct frames *frames, uint32_t reach, uint32_t snaplen, uint64_t present,
                        uint32_t least) {
    uint32_t shortest = UINT32_MAX;
    memset(frames->blocks, 0, sizeof frames->blocks);
    fc_group_begin(&frames->group, reach, snaplen);
    frames->group.remembers = random_below(2);
    for (uint32_t i = 0; i < FC_GROUP; i++) {
        if (!(present >> i & 1))
            continue;
        random_frame(frames, i, least);
        if (frames->group.captured[i] < shortest)
            shortest = frames->group.captured[i];
    }
    fc_group_complete(&frames->group, present, shortest);
}

static void frames_free(struct frames *frames) {
    for (size_t i = 0; i < FC_GROUP; i++)
        free(frames->blocks[i]);
}

static uint64_t told_apart; /* frames that did not pass a program's sieve */

/* Frames that are taken pass. */
static void check_sieve(const struct fc_program *program, const struct fc_group *group,
                        uint64_t taken) {
    struct fc_sieve sieve;
    fc_program_sieve(program, &sieve);
    if (sieve.weight == FC_SIEVE_ANYTHING)
        return;
    for (uint64_t left = group->present; left != 0;) {
        uint32_t place = fc_group_next(&left);
        bool differs = fc_sieve_differs(&sieve);
        if (fc_group_captured(group, place) < sieve.reach ||
            fc_sieve_passes(sieve.words, sieve.count, differs, group->bytes[place]))
            continue;
        CHECK((taken >> place & 1) == 0);
        told_apart++;
    }
}

/* Against each frame alone, which test_program.c compares with the slow evaluator. */
static void check_group(const struct fc_program *program, struct frames *frames, uint64_t asked) {
    asked &= frames->group.present;
    uint64_t taken = fc_program_run_group(program, &frames->group, asked);
    CHECK((taken & ~asked) == 0);
    check_sieve(program, &frames->group, taken);
    for (uint64_t left = asked; left != 0;) {
        uint32_t place = fc_group_next(&left);
        const struct fc_frame frame = fc_group_frame(&frames->group, place);
        CHECK_IS(taken >> place & 1, fc_program_run(program, &frame) != 0);
    }
}

/* What can be planned comes more often than in other random programs. */
static struct fc_instruction plannable(struct fc_instruction i, size_t left, uint32_t set_count) {
    const uint16_t often[] = {0x20, 0x28, 0x30, 0x30, 0x15, 0x15, 0x15, 0x25,
                              0x35, 0x45, 0x54, 0x80, 0x05, 0x06, 0x105};
    if (left == 0 || random_below(12) == 0)
        return i;
    uint16_t code = often[random_below(COUNT(often))];
    if (code == 0x105 && set_count == 0)
        return i;
    i.code = code;
    i.k = code == 0x105                     ? random_below(set_count)
          : code == 0x54                    ? random32() | random32()
          : code == 0x06 && random_below(2) ? 0
                                            : random_below(40);
    i.flags = reference_sees_bytes(code) && random_below(3) == 0;
    return i;
}

struct random_program {
    struct fc_program *program;
    struct fc_instruction instructions[MOST_INSTRUCTIONS];
    size_t count;
};

static uint32_t any_of(const uint16_t *codes, size_t count) {
    return codes[random_below((uint32_t)count)];
}
#define ANY_OF(...)                                                                                \
    (uint16_t)any_of((const uint16_t[]){__VA_ARGS__}, COUNT(((const uint16_t[]){__VA_ARGS__})))

/* Ways that load A, and sometimes X, from places of their own, or not at all, and come together in
 * the first instruction of the tail or in the second, to which `tail` counts. */
static size_t random_ways(struct fc_instruction *made, size_t tail, size_t count) {
    size_t at = 0;
    while (at + 4 < tail) {
        uint32_t to = (uint32_t)(tail - at);
        uint32_t out = (uint32_t)(count - at);
        uint32_t k = random_below(24);
        if (random_below(3) == 0)
            made[at++] = (struct fc_instruction){.code = ANY_OF(0xb1, 0xb1, 0xb1, 0x01),
                                                 .k = k,
                                                 .on_false = out-- - 2},
            to--;
        made[at++] = (struct fc_instruction){
            .code = ANY_OF(0x20, 0x28, 0x30, 0x48, 0x50, 0x80), .k = k, .on_false = out-- - 2};
        to--;
        bool first = random_below(2);
        made[at++] = (struct fc_instruction){
            .code = ANY_OF(0x15, 0x25, 0x35, 0x45),
            .k = random_below(40),
            .on_true = first ? 0 : to - 1 + random_below(2),
            .on_false = first ? to - 1 + random_below(2) : 0,
        };
    }
    while (at < tail)
        made[at++] = (struct fc_instruction){.code = 0x05};
    return at;
}

/* What comes last tests A, and looks at X, as its ways have left them. */
static size_t random_tail(struct fc_instruction *made, size_t at, size_t count) {
    for (; at + 2 < count; at++) {
        uint32_t left = (uint32_t)(count - 1 - at);
        made[at] = (struct fc_instruction){
            .code = ANY_OF(0x15, 0x25, 0x35, 0x45, 0x25, 0x35, 0x54, 0x50, 0x48, 0x87, 0x1d, 0x16),
            .k = random_below(40),
            .on_true = random_below(left),
            .on_false = random_below(left),
        };
        if (made[at].code == 0x54)
            made[at].k = random32() | random32();
    }
    made[at++] = (struct fc_instruction)RET(1);
    made[at++] = (struct fc_instruction)RET(0);
    return at;
}

static void shared_tail(struct random_program *made) {
    made->count = 12 + random_below(MOST_INSTRUCTIONS - 12);
    size_t tail = made->count - 4 - random_below(4);
    size_t at = random_ways(made->instructions, tail, made->count);
    CHECK_IS(random_tail(made->instructions, at, made->count), made->count);
    made->program = program_of(made->instructions, made->count, NULL, 0);
}

static void random_program(struct random_program *made, bool can_be_planned) {
    uint32_t pairs[MOST_SETS][40];
    struct fc_ranges sets[MOST_SETS];
    uint32_t set_count = random_below(MOST_SETS + 1);
    for (uint32_t i = 0; i < set_count; i++)
        random_set(&sets[i], pairs[i]);
    made->count = 1 + random_below(MOST_INSTRUCTIONS);
    for (size_t i = 0; i < made->count; i++) {
        size_t left = made->count - 1 - i;
        made->instructions[i] = random_instruction(made->count, left, set_count);
        if (can_be_planned)
            made->instructions[i] = plannable(made->instructions[i], left, set_count);
    }
    made->program = program_of(made->instructions, made->count, sets, set_count);
}

/* Two programs on one group, for they share its columns and answers. */
static void groups_are_judged_as_frames_are(void) {
    uint64_t planned = 0;
    for (int round = 0; round < 12000; round++) {
        struct random_program one, two;
        struct frames frames;
        tags_at = random_below(4) ? 12 : random_below(20);
        random_program(&one, round % 4 != 0);
        random_program(&two, round % 4 != 1);
        uint32_t needed = fc_program_reach(one.program);
        planned += needed > 1;
        uint32_t reach = random_below(3) ? needed : random_below(FC_GROUP_REACH + 1);
        uint32_t snaplen = random_below(4) ? 262144 : random_below(60);
        frames_make(&frames, reach, snaplen, random_bits(), random_below(2) ? reach : 0);
        check_about("round %d, reach %u of %u, snaplen %u", round, needed, reach, snaplen);
        check_group(one.program, &frames, random_bits());
        check_group(two.program, &frames, random_bits());
        check_group(one.program, &frames, UINT64_MAX);
        frames_free(&frames);
        fc_program_free(one.program);
        fc_program_free(two.program);
    }
    CHECK(planned > 3000);
    CHECK(told_apart > 1000);
}

/* With A and X that differ by the way. */
static void shared_tails_are_judged_as_frames_are(void) {
    uint64_t planned = 0;
    for (int round = 0; round < 6000; round++) {
        struct random_program made;
        struct frames frames;
        tags_at = 0;
        shared_tail(&made);
        uint32_t reach = fc_program_reach(made.program);
        planned += reach > 1;
        frames_make(&frames, reach, 262144, UINT64_MAX, reach);
        for (uint32_t i = 0; i < FC_GROUP; i += 1 + random_below(3)) /* headers of 20 bytes */
            for (uint32_t byte = 0; byte < 24 && byte < frames.group.captured[i]; byte++)
                frames.blocks[i][byte] = (uint8_t)(0x05 | random_below(3) << 4);
        check_about("round %d", round);
        check_group(made.program, &frames, UINT64_MAX);
        frames_free(&frames);
        fc_program_free(made.program);
    }
    CHECK(planned > 3000);
}

/* More tests, and more exits, than a plan has room for. */
static void programs_longer_than_a_plan_give_the_same(void) {
    for (uint32_t tests = FC_PLAN_TESTS - 2; tests < FC_PLAN_TESTS + 20; tests++) {
        for (int with_exits = 0; with_exits < 2; with_exits++) {
            struct fc_instruction program[4 * (FC_PLAN_TESTS + 20) + 1];
            size_t count = 0;
            for (uint32_t i = 0; i < tests; i++) {
                program[count++] = (struct fc_instruction){
                    .code = FC_LD_B_ABS, .k = random_below(LONGEST_FRAME), .on_false = 3};
                program[count++] =
                    (struct fc_instruction){.code = FC_JGT_K, .k = 30, .on_true = 0, .on_false = 2};
                program[count++] =
                    (struct fc_instruction){.code = with_exits ? FC_LDX_IMM : FC_LD_IMM, .k = i};
                program[count++] = (struct fc_instruction){.code = FC_RET_K, .k = random_below(2)};
            }
            program[count++] = (struct fc_instruction)RET(1);
            struct fc_program *made = program_of(program, count, NULL, 0);
            struct frames frames;
            check_about("%u tests, exits %d", tests, with_exits);
            frames_make(&frames, fc_program_reach(made), 262144, UINT64_MAX, LONGEST_FRAME);
            check_group(made, &frames, UINT64_MAX);
            frames_free(&frames);
            fc_program_free(made);
        }
    }
}

/* The plan sees no tags, so frames with one are left to the interpreter. */
static void a_program_that_skips_tags_reaches_for_them(void) {
    const struct fc_instruction program[] = {
        {.code = FC_LD_B_ABS, .k = 0, .on_false = 2},
        {.code = FC_JEQ_K, .k = 1, .on_true = 0, .on_false = 1},
        RET(1),
        RET(0),
    };
    struct fc_instruction skipping[COUNT(program)];
    memcpy(skipping, program, sizeof program);
    skipping[0].flags = FC_SKIPS_TAGS;
    tags_at = 12;
    struct fc_program *one = program_of(program, COUNT(program), NULL, 0);
    struct fc_program *two = program_of(skipping, COUNT(program), NULL, 0);
    tags_at = 0;
    struct fc_program *three = program_of(skipping, COUNT(program), NULL, 0);
    CHECK_IS(fc_program_reach(one), 1);
    CHECK_IS(fc_program_reach(two), 14);
    CHECK_IS(fc_program_reach(three), 1);
    fc_program_free(one);
    fc_program_free(two);
    fc_program_free(three);
}

/* Where groups do not reach, frames are judged one by one. */
static void tags_may_begin_anywhere(void) {
    const uint32_t places[] = {1,   13,  14,   200,        FC_GROUP_REACH - 2, FC_GROUP_REACH - 1,
                               256, 257, 1000, 0x80000000, UINT32_MAX - 1,     UINT32_MAX};
    for (size_t i = 0; i < COUNT(places); i++) {
        for (int round = 0; round < 100; round++) {
            struct random_program made;
            struct frames frames;
            tags_at = places[i];
            random_program(&made, true);
            check_about("tags at %u", tags_at);
            CHECK(fc_program_reach(made.program) <= FC_GROUP_REACH);
            frames_make(&frames, FC_GROUP_REACH, 262144, UINT64_MAX, FC_GROUP_REACH);
            check_group(made.program, &frames, UINT64_MAX);
            frames_free(&frames);
            fc_program_free(made.program);
        }
    }
}

int main(int count, char **arguments) {
    const struct fc_ranges ranges = {.pairs = some_pairs, .count = 2};
    struct fc_set *sets = block_new(2 * sizeof *sets);
    for (size_t i = 0; i < 2; i++)
        CHECK_IS(fc_set_make(&sets[i], &ranges), FC_OK);
    made_sets = sets;
    TEST(tests_of_loads_become_tests_of_the_plan);
    TEST(every_test_of_a_constant_has_its_kind);
    TEST(masks_are_part_of_the_test);
    TEST(numbers_too_large_for_their_bytes_are_never_equal);
    TEST(lengths_on_the_wire_need_a_byte_of_the_frame);
    TEST(loads_that_no_test_uses_extend_the_reach);
    TEST(loads_reach_as_far_as_a_group_does);
    TEST(a_value_loaded_in_two_ways_makes_two_tests);
    TEST(a_shared_tail_is_planned_for_each_way_to_it);
    TEST(ways_beyond_a_few_are_merged);
    TEST(values_that_are_not_needed_make_one_test);
    TEST(a_value_loaded_alike_in_two_ways_is_known);
    TEST(a_header_without_options_is_asked_for_as_a_test);
    TEST(exits_begin_where_nothing_is_missing);
    TEST(a_program_that_asks_for_nothing_is_a_plan);
    TEST(some_programs_have_no_plan);
    for (size_t i = 0; i < 2; i++)
        fc_set_free(&sets[i]);
    free(sets);
    uint64_t seed = random_seed_argument(count, arguments);
    random_seed(seed);
    TEST(groups_are_judged_as_frames_are);
    TEST(shared_tails_are_judged_as_frames_are);
    TEST(programs_longer_than_a_plan_give_the_same);
    TEST(a_program_that_skips_tags_reaches_for_them);
    TEST(tags_may_begin_anywhere);
    return check_result();
}
