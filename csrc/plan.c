/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

#if defined __x86_64__ && defined __GNUC__ && !defined FC_PORTABLE
#define MAY_HAVE_AVX2
#endif

static inline __attribute__((always_inline)) bool holds(const struct fc_plan_test *test,
                                                        enum fc_plan_kind kind, uint32_t lies) {
    if (kind == FC_PLAN_EQUAL)
        return (lies & test->mask) == test->value;
    uint32_t a = fc_group_number(lies, test->size) & test->mask;
    switch (kind) {
    case FC_PLAN_GREATER: return a > test->value;
    case FC_PLAN_AT_LEAST: return a >= test->value;
    case FC_PLAN_ANY_BIT: return (a & test->value) != 0;
    case FC_PLAN_IN_SET: return fc_set_has(test->set, a);
    case FC_PLAN_EQUAL: break;
    }
    return false;
}

/* `kind` is a constant in each of the callers, so each gets a loop of its own. */
static inline __attribute__((always_inline)) uint64_t test_all(const struct fc_plan_test *test,
                                                               enum fc_plan_kind kind,
                                                               struct fc_group *group) {
    uint8_t flags[FC_GROUP];
    const uint32_t *column = fc_group_column(group, test->size, test->offset);
    const struct fc_plan_test own = *test; /* which the flags cannot overlap */
    for (uint32_t i = 0; i < FC_GROUP; i++)
        flags[i] = holds(&own, kind, column[i]);
    return fc_group_as_bits(flags);
}

static uint32_t fetch_one(const struct fc_plan_test *test, const struct fc_group *group,
                          uint32_t place) {
    const uint8_t *at = group->near[place] + test->offset;
    uint16_t half;
    switch (test->size) {
    case 0: return group->wire[place];
    case 1: return at[0];
    case 2: memcpy(&half, at, sizeof half); return half;
    default: return fc_load32(at);
    }
}

static inline __attribute__((always_inline)) uint64_t test_some(const struct fc_plan_test *test,
                                                                enum fc_plan_kind kind,
                                                                const struct fc_group *group,
                                                                uint64_t frames) {
    uint64_t bits = 0;
    while (frames != 0) {
        uint32_t place = fc_group_next(&frames);
        bits |= (uint64_t)holds(test, kind, fetch_one(test, group, place)) << place;
    }
    return bits;
}

/* Two or more frames are tested faster with all others: that never takes another way than the
 * processor foresaw. */
static bool is_one(uint64_t frames) {
    return (frames & (frames - 1)) == 0;
}

static inline __attribute__((always_inline)) uint64_t test_frames(const struct fc_plan_test *test,
                                                                  enum fc_plan_kind kind,
                                                                  struct fc_group *group,
                                                                  uint64_t frames) {
    return is_one(frames) ? test_some(test, kind, group, frames) : test_all(test, kind, group);
}

/* A look-up is not free: those who do not ask are left out. */
static uint64_t look_up(const struct fc_plan_test *test, struct fc_group *group, uint64_t frames) {
    return test_some(test, FC_PLAN_IN_SET, group, frames);
}

static inline __attribute__((always_inline)) uint64_t run_anew(const struct fc_plan_test *test,
                                                               struct fc_group *group,
                                                               uint64_t frames) {
    switch ((enum fc_plan_kind)test->kind) {
    case FC_PLAN_EQUAL: return test_frames(test, FC_PLAN_EQUAL, group, frames);
    case FC_PLAN_GREATER: return test_frames(test, FC_PLAN_GREATER, group, frames);
    case FC_PLAN_AT_LEAST: return test_frames(test, FC_PLAN_AT_LEAST, group, frames);
    case FC_PLAN_ANY_BIT: return test_frames(test, FC_PLAN_ANY_BIT, group, frames);
    case FC_PLAN_IN_SET: return look_up(test, group, frames);
    }
    return 0;
}

/* ---- Answers ----------------------------------------------------------------------------- */

/* Kind, size and offset. */
static uint32_t what_is_asked(const struct fc_plan_test *test) {
    return test->kind | (uint32_t)test->size << 8 | test->offset << 16;
}

uint8_t fc_plan_slot(const struct fc_plan_test *test) {
    uint32_t mixed = (what_is_asked(test) ^ test->mask) * 0x9e3779b1 + test->value;
    return (uint8_t)(mixed * 0x85ebca6b >> 26);
}

static bool is_answer_to(const struct fc_group_answer *answer, const struct fc_plan_test *test) {
    return answer->what == what_is_asked(test) && answer->mask == test->mask &&
           answer->value == test->value;
}

/* Programs ask the same of a group: whether it is IPv4, a fragment, has options. A test of all
 * places leaves its answer, unless another one has its slot. Sets are not told apart. */
static inline __attribute__((always_inline)) uint64_t ask_once(const struct fc_plan_test *test,
                                                               struct fc_group *group,
                                                               uint64_t frames) {
    struct fc_group_answer *answer = &group->answers[test->slot];
    bool is_free = (group->known >> test->slot & 1) == 0;
    if (!is_free && is_answer_to(answer, test))
        return answer->bits;
    uint64_t bits = run_anew(test, group, frames);
    if (is_free && !is_one(frames) && test->kind != FC_PLAN_IN_SET) {
        *answer = (struct fc_group_answer){what_is_asked(test), test->mask, test->value, bits};
        group->known |= UINT64_C(1) << test->slot;
    }
    return bits;
}

/* ---- Plans ------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) uint64_t run_test(const struct fc_plan_test *test,
                                                               struct fc_group *group,
                                                               uint64_t frames) {
    return group->remembers ? ask_once(test, group, frames) : run_anew(test, group, frames);
}

static inline __attribute__((always_inline)) void run_plan(const struct fc_plan *plan,
                                                           struct fc_group *group, uint64_t frames,
                                                           uint64_t goals[FC_PLAN_GOALS]) {
    memset(goals, 0, plan->count * sizeof *goals);
    goals[FC_PLAN_REJECT] = goals[FC_PLAN_TAKE] = 0;
    memset(goals + FC_PLAN_FIRST_EXIT, 0, plan->exit_count * sizeof *goals);
    goals[plan->start] = frames;
    for (uint32_t i = 0; i < plan->count; i++) {
        uint64_t here = goals[i];
        if (here == 0)
            continue;
        uint64_t bits = run_test(&plan->tests[i], group, here);
        goals[plan->tests[i].on_true] |= here & bits;
        goals[plan->tests[i].on_false] |= here & ~bits;
    }
}

/* The loops over places are twice as wide with AVX2. Everything is compiled a second time for it,
 * and the processor is asked once a group, which is a look at a variable of the compiler's. */
#ifdef MAY_HAVE_AVX2
static __attribute__((target("avx2"))) void run_plan_avx2(const struct fc_plan *plan,
                                                          struct fc_group *group, uint64_t frames,
                                                          uint64_t goals[FC_PLAN_GOALS]) {
    run_plan(plan, group, frames, goals);
}
#endif

void fc_plan_run(const struct fc_plan *plan, struct fc_group *group, uint64_t frames,
                 uint64_t goals[FC_PLAN_GOALS]) {
#ifdef MAY_HAVE_AVX2
    if (__builtin_cpu_supports("avx2")) {
        run_plan_avx2(plan, group, frames, goals);
        return;
    }
#endif
    run_plan(plan, group, frames, goals);
}
