/* SPDX-License-Identifier: Apache-2.0 */
#include "sieve.h"

/* Weights guess how rare a word is. A frame that goes to the interpreter is rare: the planner left
 * it there for that. An address is one of very many; a number of 16 bits or less is a port or a
 * type, and traffic is full of some. */
enum {
    BITS = 32,
    EXIT_BITS = 12,
    TAG_BITS = 16,
    PORT_BITS = 6, /* at most, of what has 16 bits, */
    BYTE_BITS = 2, /* and of one byte: a protocol */
    TYPE_BITS = 0, /* IPv4, IPv6 */
};

static const struct fc_sieve anything = {.weight = FC_SIEVE_ANYTHING};
static const struct fc_sieve nothing = {0};

static uint8_t bits_of(const struct fc_plan_test *test) {
    uint8_t bits = 0;
    for (uint32_t mask = test->mask; mask != 0; mask &= mask - 1)
        bits++;
    uint32_t number = fc_group_number(test->value, test->size);
    if (test->size == 2 && (number == 0x0800 || number == 0x86dd))
        return TYPE_BITS;
    const uint8_t most = test->size == 1 ? BYTE_BITS : test->size == 2 ? PORT_BITS : BITS;
    return bits < most ? bits : most;
}

static bool are_alike(const struct fc_sieve_word *a, const struct fc_sieve_word *b) {
    return a->offset == b->offset && a->mask == b->mask && a->value == b->value &&
           a->differs == b->differs;
}

static uint64_t weight_of(const struct fc_sieve_word *word) {
    return (uint64_t)1 << (BITS - word->bits);
}

static void reach_for(struct fc_sieve *sieve, uint32_t reach) {
    if (sieve->reach < reach)
        sieve->reach = reach;
}

static void add_word(struct fc_sieve *sieve, const struct fc_sieve_word *word) {
    if (sieve->weight == FC_SIEVE_ANYTHING)
        return;
    for (uint32_t i = 0; i < sieve->count; i++)
        if (are_alike(&sieve->words[i], word))
            return;
    if (sieve->count == FC_SIEVE_WORDS) {
        *sieve = anything;
        return;
    }
    sieve->words[sieve->count++] = *word;
    sieve->weight += weight_of(word);
    reach_for(sieve, word->offset + (uint32_t)sizeof(uint32_t));
}

void fc_sieve_join(struct fc_sieve *sieve, const struct fc_sieve *more) {
    if (more->weight == FC_SIEVE_ANYTHING)
        *sieve = anything;
    for (uint32_t i = 0; i < more->count; i++)
        add_word(sieve, &more->words[i]);
    reach_for(sieve, more->reach);
}

/* The test's bytes as a word, which ends with them where the frame has bytes before. */
static struct fc_sieve_word word_of(const struct fc_plan_test *test) {
    uint8_t mask[4] = {0};
    uint8_t value[4] = {0};
    uint32_t before = 4U - test->size;
    if (before > test->offset)
        before = 0;
    const uint16_t half_mask = (uint16_t)test->mask;
    const uint16_t half_value = (uint16_t)test->value;
    switch (test->size) {
    case 1:
        mask[before] = (uint8_t)test->mask;
        value[before] = (uint8_t)test->value;
        break;
    case 2:
        memcpy(mask + before, &half_mask, sizeof half_mask);
        memcpy(value + before, &half_value, sizeof half_value);
        break;
    default: memcpy(mask, &test->mask, sizeof mask); memcpy(value, &test->value, sizeof value);
    }
    return (struct fc_sieve_word){.offset = test->offset - before,
                                  .mask = fc_load32(mask),
                                  .value = fc_load32(value),
                                  .bits = bits_of(test)};
}

/* Frames that pass a test in one direction and hold what is needed from there on. */
static struct fc_sieve through(const struct fc_plan_test *test, bool on_true,
                               const struct fc_sieve *from_there) {
    bool is_exit = (on_true ? test->on_true : test->on_false) >= FC_PLAN_FIRST_EXIT;
    if (test->kind != FC_PLAN_EQUAL || test->size == 0 || test->mask == 0)
        return *from_there;
    if (!on_true && !is_exit)
        return *from_there; /* most frames differ */
    struct fc_sieve_word word = word_of(test);
    if (!on_true) {
        word.differs = true;
        word.bits = EXIT_BITS;
    }
    if (from_there->weight <= weight_of(&word))
        return *from_there;
    struct fc_sieve own = nothing;
    add_word(&own, &word);
    return own;
}

static const struct fc_sieve *sieve_at(const struct fc_sieve *tests, uint8_t goal) {
    if (goal < FC_PLAN_TESTS)
        return &tests[goal];
    return goal == FC_PLAN_REJECT ? &nothing : &anything;
}

void fc_sieve_of_plan(const struct fc_plan *plan, struct fc_sieve *sieve) {
    struct fc_sieve tests[FC_PLAN_TESTS];
    for (uint32_t i = plan->count; i-- > 0;) { /* jumps go forward */
        const struct fc_plan_test *test = &plan->tests[i];
        const struct fc_sieve more = through(test, false, sieve_at(tests, test->on_false));
        tests[i] = through(test, true, sieve_at(tests, test->on_true));
        fc_sieve_join(&tests[i], &more);
    }
    *sieve = *sieve_at(tests, (uint8_t)plan->start);
    reach_for(sieve, plan->reach); /* without its bytes a frame goes other ways */
}

void fc_sieve_add_tags(struct fc_sieve *sieve, uint32_t at) {
    /* The first bytes of all TPIDs that fc_frame_is_tpid knows: 0x81 and 0x91, 0x88. */
    static const struct {
        uint8_t mask;
        uint8_t value;
    } firsts[] = {{0xef, 0x81}, {0xff, 0x88}};
    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++) {
        const struct fc_plan_test test = {
            .size = 1, .offset = at, .mask = firsts[i].mask, .value = firsts[i].value};
        struct fc_sieve_word word = word_of(&test);
        word.bits = TAG_BITS;
        add_word(sieve, &word);
    }
}
