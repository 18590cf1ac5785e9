/* SPDX-License-Identifier: Apache-2.0
 *
 * What sieves are made of plans, by hand. That no frame is lost is tested where programs and files
 * are made at random: test_planner.c and test_postfilter.c.
 */
#include "check.h"
#include "sieve.h"

static struct fc_plan_test test_of(uint32_t size, uint32_t offset, const uint8_t *bytes,
                                   uint32_t on_true, uint32_t on_false) {
    struct fc_plan_test test = {.kind = FC_PLAN_EQUAL,
                                .size = (uint8_t)size,
                                .offset = offset,
                                .on_true = (uint8_t)on_true,
                                .on_false = (uint8_t)on_false};
    uint16_t half;
    memcpy(&half, bytes, sizeof half);
    test.mask = size == 4 ? UINT32_MAX : size == 2 ? 0xffff : 0xff;
    test.value = size == 4 ? fc_load32(bytes) : size == 2 ? half : bytes[0];
    return test;
}

static const uint8_t address[] = {10, 35, 69, 103};

/* `host A` for IPv4: a type, then one of two addresses. */
static struct fc_plan host_plan(void) {
    struct fc_plan plan = {.reach = 34, .count = 3, .exit_count = 1};
    plan.tests[0] = test_of(2, 12, (const uint8_t *)"\x08\0", 1, FC_PLAN_REJECT);
    plan.tests[1] = test_of(4, 26, address, FC_PLAN_TAKE, 2);
    plan.tests[2] = test_of(4, 30, address, FC_PLAN_TAKE, FC_PLAN_REJECT);
    return plan;
}

static struct fc_sieve sieve_of(const struct fc_plan *plan) {
    struct fc_sieve sieve;
    memset(&sieve, 0x55, sizeof sieve);
    fc_sieve_of_plan(plan, &sieve);
    return sieve;
}

static bool passes(const struct fc_sieve *sieve, const uint8_t *frame) {
    bool differs = fc_sieve_differs(sieve);
    CHECK(differs || fc_sieve_passes(sieve->words, sieve->count, true, frame) ==
                         fc_sieve_passes(sieve->words, sieve->count, false, frame));
    return fc_sieve_passes(sieve->words, sieve->count, differs, frame);
}

static void rare_words_are_chosen_before_frequent_ones(void) {
    struct fc_plan plan = host_plan();
    struct fc_sieve sieve = sieve_of(&plan);
    uint8_t frame[60] = {0};
    CHECK_IS(sieve.count, 2); /* the addresses; of so many frames the type is the same */
    CHECK_IS(sieve.reach, 34);
    CHECK(!passes(&sieve, frame));
    memcpy(frame + 26, address, 4);
    CHECK(passes(&sieve, frame)); /* whatever its type is: the program judges it */
    memcpy(frame + 30, address, 4);
    frame[26]++;
    CHECK(passes(&sieve, frame));
    frame[30]++;
    CHECK(!passes(&sieve, frame));
}

/* IPv4, TCP, port 443, and then perhaps `host A`. */
static struct fc_plan web_plan(bool of_a_host) {
    uint32_t behind = of_a_host ? 4 : FC_PLAN_TAKE;
    struct fc_plan plan = {.reach = 38, .count = of_a_host ? 6 : 4, .exit_count = 1};
    plan.tests[0] = test_of(2, 12, (const uint8_t *)"\x08\0", 1, FC_PLAN_REJECT);
    plan.tests[1] = test_of(1, 23, (const uint8_t *)"\x06\0", 2, FC_PLAN_REJECT);
    plan.tests[2] = test_of(2, 34, (const uint8_t *)"\x01\xbb", behind, 3);
    plan.tests[3] = test_of(2, 36, (const uint8_t *)"\x01\xbb", behind, FC_PLAN_REJECT);
    plan.tests[4] = test_of(4, 26, address, FC_PLAN_TAKE, 5);
    plan.tests[5] = test_of(4, 30, address, FC_PLAN_TAKE, FC_PLAN_REJECT);
    return plan;
}

/* Traffic is full of IPv4, of TCP, and of port 443: in this order. Which of them are looked for is
 * half of the time that a filter takes. */
static void an_address_is_rarer_than_a_port_and_that_than_a_protocol(void) {
    struct fc_plan of_a_host = web_plan(true);
    struct fc_plan of_all = web_plan(false);
    struct fc_sieve host = sieve_of(&of_a_host);
    struct fc_sieve port = sieve_of(&of_all);
    CHECK_IS(host.count, 2);
    CHECK(host.words[0].offset + host.words[1].offset == 26 + 30);
    CHECK_IS(port.count, 2);
    uint8_t frame[60] = {0};
    memcpy(frame + 12, "\x08\0", 2);
    frame[23] = 6;
    CHECK(!passes(&host, frame));
    CHECK(!passes(&port, frame));
    memcpy(frame + 36, "\x01\xbb", 2);
    CHECK(!passes(&host, frame));
    CHECK(passes(&port, frame));
    memcpy(frame + 30, address, 4);
    CHECK(passes(&host, frame));
}

static void a_word_ends_with_its_bytes(void) {
    struct fc_plan plan = {.reach = 60, .count = 2, .exit_count = 1};
    plan.tests[0] = test_of(1, 59, (const uint8_t *)"\x07\0", FC_PLAN_TAKE, 1);
    plan.tests[1] = test_of(2, 1, (const uint8_t *)"\x08\x09", FC_PLAN_TAKE, FC_PLAN_REJECT);
    struct fc_sieve sieve = sieve_of(&plan);
    uint8_t frame[60] = {0}; /* ASAN sees who reads behind it */
    CHECK_IS(sieve.reach, 60);
    CHECK(!passes(&sieve, frame));
    frame[59] = 7;
    CHECK(passes(&sieve, frame));
    frame[59] = 0;
    frame[1] = 8;
    CHECK(!passes(&sieve, frame));
    frame[2] = 9;
    CHECK(passes(&sieve, frame));
}

/* What is behind an IPv4 header that may have options: see planner.c. */
static void what_goes_to_the_interpreter_passes(void) {
    struct fc_plan plan = {.reach = 38, .count = 2, .exit_count = 1};
    plan.tests[0] = test_of(1, 14, (const uint8_t *)"\x05\0", 1, FC_PLAN_FIRST_EXIT);
    plan.tests[0].mask = 0xf;
    plan.tests[1] = test_of(2, 36, (const uint8_t *)"\x01\xbb", FC_PLAN_TAKE, FC_PLAN_REJECT);
    struct fc_sieve sieve = sieve_of(&plan);
    uint8_t frame[60] = {0};
    CHECK(fc_sieve_differs(&sieve));
    CHECK(passes(&sieve, frame));
    frame[14] = 0x45;
    CHECK(!passes(&sieve, frame));
    frame[36] = 1;
    frame[37] = 0xbb;
    CHECK(passes(&sieve, frame));
}

static void a_plan_that_takes_most_has_no_sieve(void) {
    struct fc_plan not_host = host_plan();
    not_host.tests[0].on_false = FC_PLAN_TAKE;
    CHECK(sieve_of(&not_host).weight == FC_SIEVE_ANYTHING);
    struct fc_plan all = {.start = FC_PLAN_TAKE};
    CHECK(sieve_of(&all).weight == FC_SIEVE_ANYTHING);
    struct fc_plan none = {.reach = 20, .start = FC_PLAN_REJECT};
    struct fc_sieve sieve = sieve_of(&none);
    CHECK_IS(sieve.weight, 0);
    CHECK_IS(sieve.count, 0);
    CHECK_IS(sieve.reach, 20); /* a shorter frame goes other ways */
}

static void tests_that_are_no_words_are_passed_by(void) {
    struct fc_plan plan = host_plan();
    plan.tests[2].kind = FC_PLAN_GREATER;
    CHECK_IS(sieve_of(&plan).count, 1); /* then the type is all there is */
    plan.tests[0].size = 0;             /* the length on the wire */
    CHECK(sieve_of(&plan).weight == FC_SIEVE_ANYTHING);
}

static void sieves_are_joined_as_far_as_there_is_room(void) {
    struct fc_plan plan = host_plan();
    struct fc_sieve all = {0};
    for (uint32_t i = 0; i < FC_SIEVE_WORDS / 2; i++) {
        plan.tests[2].offset = 30 + 40 * i;
        plan.tests[1].offset = 26 + 40 * i;
        struct fc_sieve more = sieve_of(&plan);
        fc_sieve_join(&all, &more);
        fc_sieve_join(&all, &more); /* the same words once */
        CHECK_IS(all.count, 2 * (i + 1));
        CHECK_IS(all.reach, 34 + 40 * i);
    }
    plan.tests[1].offset = 500;
    struct fc_sieve more = sieve_of(&plan);
    fc_sieve_join(&all, &more);
    CHECK(all.weight == FC_SIEVE_ANYTHING);
    fc_sieve_join(&more, &all);
    CHECK(more.weight == FC_SIEVE_ANYTHING);
}

static void tags_pass(void) {
    const uint16_t types[] = {0x8100, 0x88a8, 0x9100};
    for (uint32_t at = 0; at < 20; at++) {
        struct fc_plan none = {.reach = 1, .start = FC_PLAN_REJECT};
        struct fc_sieve sieve = sieve_of(&none);
        uint8_t frame[60] = {0};
        fc_sieve_add_tags(&sieve, at);
        CHECK(!passes(&sieve, frame));
        memcpy(frame + at, "\x08\0", 2);
        CHECK(!passes(&sieve, frame));
        memcpy(frame + at, "\x86\xdd", 2);
        CHECK(!passes(&sieve, frame));
        for (size_t i = 0; i < 3; i++) {
            frame[at] = (uint8_t)(types[i] >> 8);
            frame[at + 1] = (uint8_t)types[i];
            CHECK(passes(&sieve, frame));
        }
    }
}

int main(void) {
    TEST(rare_words_are_chosen_before_frequent_ones);
    TEST(an_address_is_rarer_than_a_port_and_that_than_a_protocol);
    TEST(a_word_ends_with_its_bytes);
    TEST(what_goes_to_the_interpreter_passes);
    TEST(a_plan_that_takes_most_has_no_sieve);
    TEST(tests_that_are_no_words_are_passed_by);
    TEST(sieves_are_joined_as_far_as_there_is_room);
    TEST(tags_pass);
    return check_result();
}
