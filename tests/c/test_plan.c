/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans on groups, beside a walk of each frame from test to test.
 */
#include "check.h"
#include "plan.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { LENGTH = 64 /* of frames, and of the reach */ };

struct sample {
    struct fc_group group;
    uint8_t *frames[FC_GROUP];
};

static void sample_make(struct sample *sample) {
    fc_group_begin(&sample->group, LENGTH, 262144);
    for (size_t i = 0; i < FC_GROUP; i++) {
        sample->frames[i] = block_new(LENGTH);
        for (size_t byte = 0; byte < LENGTH; byte++)
            sample->frames[i][byte] = (uint8_t)(random_below(4) ? random_below(4) : random32());
        sample->group.bytes[i] = sample->frames[i];
        sample->group.captured[i] = LENGTH;
        sample->group.wire[i] = random_below(4);
    }
    fc_group_complete(&sample->group, UINT64_MAX, LENGTH);
}

static void sample_free(struct sample *sample) {
    for (size_t i = 0; i < FC_GROUP; i++)
        free(sample->frames[i]);
}

static uint32_t big_number(const struct sample *sample, const struct fc_plan_test *test,
                           uint32_t place) {
    uint32_t value = 0;
    for (uint32_t i = 0; i < test->size; i++)
        value = value << 8 | sample->frames[place][test->offset + i];
    return test->size == 0 ? sample->group.wire[place] : value;
}

/* `plain` is the value and the mask of an equality as they are meant. */
static bool holds(const struct sample *sample, const struct fc_plan_test *test,
                  const uint32_t plain[2], uint32_t place) {
    uint32_t value = big_number(sample, test, place);
    switch ((enum fc_plan_kind)test->kind) {
    case FC_PLAN_EQUAL: return (value & plain[1]) == plain[0];
    case FC_PLAN_GREATER: return (value & test->mask) > test->value;
    case FC_PLAN_AT_LEAST: return (value & test->mask) >= test->value;
    case FC_PLAN_ANY_BIT: return (value & test->mask & test->value) != 0;
    case FC_PLAN_IN_SET: return fc_set_has(test->set, value & test->mask);
    }
    return false;
}

/* A number of some bytes as it lies in a frame. */
static uint32_t as_it_lies(uint32_t value, uint32_t size) {
    uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                        (uint8_t)value};
    uint16_t half;
    uint32_t word;
    memcpy(&half, bytes + 2, sizeof half);
    memcpy(&word, bytes, sizeof word);
    return size == 4 ? word : size == 2 ? half : value;
}

static void random_test(struct fc_plan_test *test, uint32_t plain[2], const struct fc_set *set) {
    const uint8_t sizes[] = {0, 1, 2, 4};
    *test = (struct fc_plan_test){
        .kind = (uint8_t)random_below(5),
        .size = sizes[random_below(4)],
        .mask = random_below(2)   ? UINT32_MAX
                : random_below(2) ? 3
                                  : random32(),
        .value = random_below(4) ? random_below(4) : random32(),
        .set = set,
    };
    test->offset = random_below(LENGTH - test->size + 1u);
    if (test->size == 0)
        test->offset = 0;
    else if (test->size < 4)
        test->mask &= (1u << 8 * test->size) - 1;
    if (test->kind != FC_PLAN_EQUAL)
        return;
    plain[0] = test->value &= test->mask;
    plain[1] = test->mask;
    test->value = as_it_lies(plain[0], test->size);
    test->mask = as_it_lies(plain[1], test->size);
}

/* A test behind number `at` (-1: any), or out. */
static uint8_t random_goal(const struct fc_plan *plan, int at) {
    uint32_t left = plan->count - (uint32_t)(at + 1);
    if (left > 0 && random_below(4))
        return (uint8_t)(at + 1 + (int)random_below(left < 4 ? left : 4));
    uint32_t out = random_below(2 + plan->exit_count);
    return (uint8_t)(out == 0   ? FC_PLAN_REJECT
                     : out == 1 ? FC_PLAN_TAKE
                                : FC_PLAN_FIRST_EXIT + out - 2);
}

static uint64_t random_frames(void) {
    uint64_t all = (uint64_t)random32() << 32 | random32();
    switch (random_below(4)) {
    case 0: return UINT64_MAX;
    case 1: return all & ((uint64_t)random32() << 32 | random32()) & random32(); /* few */
    case 2: return random_below(2) ? 0 : UINT64_C(1) << random_below(64);
    default: return all;
    }
}

/* One of an earlier plan is asked again, sometimes, with a number changed. */
static void test_again(struct fc_plan_test *test, uint32_t plain[2], const struct fc_plan *before,
                       uint32_t before_plain[][2]) {
    uint32_t which = random_below(before->count);
    *test = before->tests[which];
    memcpy(plain, before_plain[which], 2 * sizeof *plain);
    if (test->kind != FC_PLAN_EQUAL && random_below(4) == 0)
        test->value += random_below(2);
    if (test->kind != FC_PLAN_EQUAL && random_below(4) == 0)
        test->mask &= ~(1u << random_below(3));
    if (test->kind != FC_PLAN_EQUAL && random_below(8) == 0)
        test->kind = (uint8_t)(1 + random_below(4));
}

/* Several on one group, as programs share its columns and its answers. */
static void plans_agree_with_a_walk_of_each_frame(void) {
    const uint32_t pairs[] = {1, 2, 0x0100, 0x0203, 0x02000000, 0x03ffffff};
    const struct fc_ranges ranges = {.pairs = pairs, .count = 3};
    struct fc_set *set = block_new(sizeof *set);
    CHECK_IS(fc_set_make(set, &ranges), FC_OK);
    for (int round = 0; round < 3000; round++) {
        struct sample sample;
        struct fc_plan before = {0};
        uint32_t before_plain[FC_PLAN_TESTS][2];
        sample_make(&sample);
        sample.group.remembers = random_below(4) != 0;
        for (int plans = 0; plans < 4; plans++) {
            struct fc_plan plan = {.reach = LENGTH,
                                   .count = random_below(FC_PLAN_TESTS + 1),
                                   .exit_count = random_below(FC_PLAN_EXITS + 1)};
            uint32_t plain[FC_PLAN_TESTS][2];
            uint64_t goals[FC_PLAN_GOALS];
            memset(goals, 0x55, sizeof goals);
            for (uint32_t i = 0; i < plan.count; i++) {
                if (before.count > 0 && random_below(2))
                    test_again(&plan.tests[i], plain[i], &before, before_plain);
                else
                    random_test(&plan.tests[i], plain[i], set);
                plan.tests[i].slot = fc_plan_slot(&plan.tests[i]);
                if (random_below(4) == 0) /* which need not be the best one */
                    plan.tests[i].slot = (uint8_t)random_below(FC_GROUP_ANSWERS);
                plan.tests[i].on_true = random_goal(&plan, (int)i);
                plan.tests[i].on_false = random_goal(&plan, (int)i);
            }
            plan.start = random_goal(&plan, -1);
            uint64_t frames = random_frames();
            fc_plan_run(&plan, &sample.group, frames, goals);
            uint64_t all = goals[FC_PLAN_REJECT] | goals[FC_PLAN_TAKE];
            for (uint32_t i = 0; i < plan.exit_count; i++)
                all |= goals[FC_PLAN_FIRST_EXIT + i];
            check_about("round %d, plan %d", round, plans);
            CHECK(all == frames);
            for (uint32_t place = 0; place < FC_GROUP; place++) {
                uint32_t at = plan.start;
                while (at < plan.count)
                    at = holds(&sample, &plan.tests[at], plain[at], place)
                             ? plan.tests[at].on_true
                             : plan.tests[at].on_false;
                CHECK_IS(goals[at] >> place & 1, frames >> place & 1);
            }
            before = plan;
            memcpy(before_plain, plain, sizeof plain);
        }
        sample_free(&sample);
    }
    fc_set_free(set);
    free(set);
}

/* Each test, with more frames than are tested one by one, and with fewer. */
static void tests_hold_at_their_borders(void) {
    const struct {
        enum fc_plan_kind kind;
        uint32_t mask;
        uint32_t value;
        uint64_t expected; /* of the numbers 0 to 63 */
    } cases[] = {
        {FC_PLAN_EQUAL, 0xff, 5, UINT64_C(1) << 5},
        {FC_PLAN_EQUAL, 0x3e, 4, UINT64_C(3) << 4},
        {FC_PLAN_EQUAL, 0, 1, 0}, /* never */
        {FC_PLAN_EQUAL, 0, 0, UINT64_MAX},
        {FC_PLAN_GREATER, 0xff, 62, UINT64_C(1) << 63},
        {FC_PLAN_GREATER, 0xff, 63, 0},
        {FC_PLAN_GREATER, 0xff, 0, ~UINT64_C(1)},
        {FC_PLAN_AT_LEAST, 0xff, 63, UINT64_C(1) << 63},
        {FC_PLAN_AT_LEAST, 0xff, 0, UINT64_MAX},
        {FC_PLAN_AT_LEAST, 0x0f, 8, UINT64_C(0xff00ff00ff00ff00)},
        {FC_PLAN_ANY_BIT, 0xff, 0x20, UINT64_C(0xffffffff00000000)},
        {FC_PLAN_ANY_BIT, 0x0f, 0x21, UINT64_C(0xaaaaaaaaaaaaaaaa)},
        {FC_PLAN_ANY_BIT, 0xff, 0, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sample sample;
        sample_make(&sample);
        for (uint32_t place = 0; place < FC_GROUP; place++) {
            sample.frames[place][7] = (uint8_t)place;
            sample.group.wire[place] = place;
        }
        for (uint8_t size = 0; size < 2; size++) {
            struct fc_plan plan = {.reach = LENGTH, .count = 1};
            uint64_t goals[FC_PLAN_GOALS];
            plan.tests[0] = (struct fc_plan_test){.kind = (uint8_t)cases[i].kind,
                                                  .size = size,
                                                  .on_true = FC_PLAN_TAKE,
                                                  .on_false = FC_PLAN_REJECT,
                                                  .offset = size ? 7 : 0,
                                                  .mask = cases[i].mask,
                                                  .value = cases[i].value};
            for (uint32_t place = 0; place <= FC_GROUP; place++) {
                uint64_t frames = place < FC_GROUP ? UINT64_C(1) << place : UINT64_MAX;
                fc_plan_run(&plan, &sample.group, frames, goals);
                check_about("case %zu, size %u", i, size);
                CHECK(goals[FC_PLAN_TAKE] == (cases[i].expected & frames));
                CHECK(goals[FC_PLAN_REJECT] == (~cases[i].expected & frames));
            }
        }
        sample_free(&sample);
    }
}

/* And none of the frames before. */
static void answers_are_those_of_the_group(void) {
    struct sample sample;
    struct fc_plan plan = {.reach = LENGTH, .count = 1};
    uint64_t goals[FC_PLAN_GOALS];
    plan.tests[0] = (struct fc_plan_test){.kind = FC_PLAN_GREATER,
                                          .size = 1,
                                          .on_true = FC_PLAN_TAKE,
                                          .on_false = FC_PLAN_REJECT,
                                          .mask = 0xff,
                                          .value = 9};
    sample_make(&sample);
    sample.group.remembers = true;
    for (uint32_t turn = 0; turn < 4; turn++) {
        for (uint32_t place = 0; place < FC_GROUP; place++)
            sample.frames[place][0] = turn % 2 ? 10 : 9;
        fc_group_complete(&sample.group, UINT64_MAX, LENGTH);
        for (int again = 0; again < 2; again++) {
            fc_plan_run(&plan, &sample.group, UINT64_MAX, goals);
            CHECK(goals[FC_PLAN_TAKE] == (turn % 2 ? UINT64_MAX : 0));
            CHECK(sample.group.known == 1);
        }
    }
    sample_free(&sample);
}

int main(int count, char **arguments) {
    random_seed(random_seed_argument(count, arguments));
    TEST(tests_hold_at_their_borders);
    TEST(answers_are_those_of_the_group);
    TEST(plans_agree_with_a_walk_of_each_frame);
    return check_result();
}
