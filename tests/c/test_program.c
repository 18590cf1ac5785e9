/* SPDX-License-Identifier: Apache-2.0
 *
 * Filter programs: what the checker refuses, and what every instruction does, by hand-computed
 * values and beside a slow evaluator of its own. Frames lie in blocks of exactly their length.
 */
#include "check.h"
#include "programs.h"

#define RET(value) {.code = 0x06, .k = (value)}

/* ---- The checker ------------------------------------------------------------------------- */

static void check_refused(const struct fc_instruction *instructions, size_t count,
                          const struct fc_ranges *sets, size_t set_count, size_t expected_bad) {
    const struct fc_program_source source = source_of(instructions, count, sets, set_count);
    struct fc_program *program = (struct fc_program *)(uintptr_t)1;
    size_t bad = 12345;
    int status = fc_program_new(&source, &program, &bad);
    CHECK_IS(status, FC_ERROR_PROGRAM);
    CHECK_IS(bad, expected_bad);
    CHECK(program == NULL);
    if (status == FC_OK)
        fc_program_free(program);
}

static void check_accepted(const struct fc_instruction *instructions, size_t count,
                           const struct fc_ranges *sets, size_t set_count) {
    const struct fc_program_source source = source_of(instructions, count, sets, set_count);
    struct fc_program *program = NULL;
    size_t bad;
    CHECK_IS(fc_program_new(&source, &program, &bad), FC_OK);
    fc_program_free(program);
}

static void free_takes_null(void) {
    fc_program_free(NULL);
    CHECK(true);
}

static void an_empty_program_is_refused(void) {
    const struct fc_instruction one = RET(1);
    check_refused(NULL, 0, NULL, 0, 0);
    check_refused(&one, 0, NULL, 0, 0);
}

/* The count alone is enough to refuse: no instruction behind the first is there to be read. */
static void too_many_instructions_or_sets_are_refused(void) {
    const struct fc_instruction one = RET(1);
    const size_t counts[] = {FC_PROGRAM_LONGEST + 1, SIZE_MAX / 16, SIZE_MAX};
    const struct fc_ranges set = {0};
    for (size_t i = 0; i < COUNT(counts); i++)
        check_refused(&one, counts[i], NULL, 0, counts[i]);
    check_refused(&one, 1, &set, FC_PROGRAM_MOST_SETS + 1, 1);
    check_refused(&one, 1, &set, SIZE_MAX, 1);
}

static void only_codes_that_exist_are_taken(void) {
    const struct fc_ranges set = {0};
    const struct fc_ranges sets[] = {set, set};
    for (uint32_t code = 0; code <= UINT16_MAX; code++) {
        const struct fc_instruction program[] = {{.code = (uint16_t)code, .k = 1}, RET(1)};
        check_about("code 0x%x", code);
        if (reference_is_code((uint16_t)code))
            check_accepted(program, 2, sets, 2);
        else
            check_refused(program, 2, sets, 2, 0);
    }
}

static void flags_must_be_known_and_at_home(void) {
    const uint16_t values[] = {1, 0x8000, 0xffff};
    for (size_t i = 0; i < COUNT(values); i++) {
        struct fc_instruction program[] = {{.code = 0x00}, RET(1)};
        program[1].flags = values[i];
        check_refused(program, 2, NULL, 0, 1);
        program[0].flags = values[i];
        check_refused(program, 2, NULL, 0, 0);
    }
}

static void only_what_sees_bytes_can_skip_tags(void) {
    const struct fc_ranges set = {0};
    for (size_t i = 0; i < REFERENCE_CODES; i++) {
        uint16_t code = reference_codes[i];
        bool sees = reference_is_load(code) || code == 0x80 || code == 0x81 || code == 0x100 ||
                    code == 0x115;
        const struct fc_instruction program[] = {{.code = code, .k = !is_look_up(code), .flags = 1},
                                                 RET(1)};
        check_about("code 0x%x", code);
        if (sees)
            check_accepted(program, 2, &set, 1);
        else
            check_refused(program, 2, &set, 1, 0);
    }
}

static void nothing_but_a_return_may_be_last(void) {
    const struct fc_ranges set = {0};
    for (size_t i = 0; i < REFERENCE_CODES; i++) {
        uint16_t code = reference_codes[i];
        const struct fc_instruction program[] = {RET(1), {.code = code, .k = !is_look_up(code)}};
        check_about("code 0x%x", code);
        if (code == 0x06 || code == 0x16 || code == 0x135) {
            check_accepted(program, 2, &set, 1);
            check_accepted(program + 1, 1, &set, 1);
        } else {
            check_refused(program, 2, &set, 1, 1);
            check_refused(program + 1, 1, &set, 1, 0);
        }
    }
}

/* Three returns behind each instruction: targets 0 to 2 are inside. */
static void targets_must_be_inside(void) {
    const uint32_t outside[] = {3, 4, 0x7fffffff, 0x80000000, UINT32_MAX - 1, UINT32_MAX};
    const struct fc_ranges set = {0};
    for (size_t i = 0; i < REFERENCE_CODES; i++) {
        uint16_t code = reference_codes[i];
        bool both = (code & 0x07) == 5 && code != 0x05 && code != 0x135; /* our own 0x105 too */
        bool uses_true = code == 0x05 || both;
        bool uses_false = both || reference_is_load(code) || code == 0x3c || code == 0x9c;
        struct fc_instruction program[] = {
            {.code = 0x00}, {.code = code, .k = !is_look_up(code)}, RET(1), RET(1), RET(1)};
        check_about("code 0x%x", code);
        for (uint32_t inside = 0; inside < 3; inside++) {
            program[1].on_true = program[1].on_false = inside;
            check_accepted(program, COUNT(program), &set, 1);
        }
        for (size_t o = 0; o < COUNT(outside); o++) {
            program[1].on_true = outside[o];
            program[1].on_false = 0;
            if (uses_true)
                check_refused(program, COUNT(program), &set, 1, 1);
            else
                check_accepted(program, COUNT(program), &set, 1);
            program[1].on_true = 0;
            program[1].on_false = outside[o];
            if (uses_false)
                check_refused(program, COUNT(program), &set, 1, 1);
            else
                check_accepted(program, COUNT(program), &set, 1);
        }
    }
}

static void division_by_the_constant_zero_is_refused(void) {
    const uint16_t codes[] = {0x34, 0x94};
    for (size_t i = 0; i < COUNT(codes); i++) {
        struct fc_instruction program[] = {{.code = codes[i], .k = 0}, RET(1)};
        check_refused(program, 2, NULL, 0, 0);
        program[0].k = UINT32_MAX;
        check_accepted(program, 2, NULL, 0);
    }
}

static void memory_has_sixteen_words(void) {
    const uint16_t codes[] = {0x60, 0x61, 0x02, 0x03};
    for (size_t i = 0; i < COUNT(codes); i++) {
        struct fc_instruction program[] = {{.code = codes[i], .k = 15}, RET(1)};
        check_accepted(program, 2, NULL, 0);
        program[0].k = 16;
        check_refused(program, 2, NULL, 0, 0);
        program[0].k = UINT32_MAX;
        check_refused(program, 2, NULL, 0, 0);
    }
}

static void a_set_must_be_there(void) {
    const struct fc_ranges set = {0};
    const struct fc_ranges sets[] = {set, set};
    for (size_t set_count = 0; set_count <= 2; set_count++) {
        for (uint32_t k = 0; k < 4; k++) {
            const struct fc_instruction program[] = {{.code = FC_JMP_IN_SET, .k = k}, RET(1)};
            if (k < set_count)
                check_accepted(program, 2, sets, set_count);
            else
                check_refused(program, 2, sets, set_count, 0);
        }
    }
    const struct fc_instruction far[] = {{.code = FC_JMP_IN_SET, .k = UINT32_MAX}, RET(1)};
    check_refused(far, 2, sets, 2, 0);
}

static void ranges_must_ascend_and_be_apart(void) {
    const struct fc_instruction program[] = {RET(1)};
    const uint32_t ascending[] = {0, 0, 1, 5, 6, 0x80000000, UINT32_MAX, UINT32_MAX};
    const uint32_t wrong[][6] = {{1, 1, 1, 1, 2, 2},          {1, 2, 2, 2, 3, 3},
                                 {2, 1, 3, 3, 4, 4},          {1, 1, 3, 3, 2, 2},
                                 {0, UINT32_MAX, 0, 0, 1, 1}, {1, 1, 5, 4, 6, 6}};
    const struct fc_ranges good = {.pairs = ascending, .count = COUNT(ascending) / 2};
    check_accepted(program, 1, &good, 1);
    for (size_t i = 0; i < COUNT(wrong); i++) {
        const struct fc_ranges bad = {.pairs = wrong[i], .count = 3};
        const struct fc_ranges first[] = {bad, good};
        const struct fc_ranges last[] = {good, bad};
        check_about("wrong set %zu", i);
        check_refused(program, 1, first, 2, 1);
        check_refused(program, 1, last, 2, 1);
    }
}

static void wide_ranges_and_patterns_are_checked_too(void) {
    const struct fc_instruction program[] = {RET(1)};
    const struct fc_wide_ranges wide[] = {
        {.pairs = (const uint8_t *)"bbaa", .count = 1, .width = 2},
        {.pairs = (const uint8_t *)"aabbbbcc", .count = 2, .width = 2},
        {.pairs = (const uint8_t *)"aabb", .count = 1, .width = 0},
        {.pairs = (const uint8_t *)"aabb", .count = 1, .width = 17},
    };
    const struct fc_pattern patterns[] = {{(const uint8_t *)"a", 0}, {NULL, 1025}};
    for (size_t i = 0; i < COUNT(wide) + COUNT(patterns); i++) {
        struct fc_program_source source = {.instructions = program, .count = 1};
        struct fc_program *made;
        size_t bad = 0;
        source.wide_sets = &wide[i < COUNT(wide) ? i : 0];
        source.wide_set_count = i < COUNT(wide);
        source.patterns = &patterns[i < COUNT(wide) ? 0 : i - COUNT(wide)];
        source.pattern_count = i >= COUNT(wide);
        CHECK_IS(fc_program_new(&source, &made, &bad), FC_ERROR_PROGRAM);
        CHECK_IS(bad, 1);
    }
}

/* ---- What instructions do ---------------------------------------------------------------- */

/* A frame and its length; the bytes in the program's way are at the end of a block. */
struct sample {
    const uint8_t *bytes;
    uint32_t captured;
    uint32_t wire;
};

static const uint8_t sample_bytes[20] = {0x81, 0x02, 0x03, 0x04, 0xf5, 0x06, 0x07,
                                         0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e,
                                         0x0f, 0x10, 0x11, 0x12, 0x13, 0x94};
static const struct sample sample = {sample_bytes, sizeof sample_bytes, 1514};

/* The result, which must be the same with the tag apart and by the slow evaluator. */
static uint32_t run_with_sets(const struct fc_instruction *instructions, size_t count,
                              const struct fc_ranges *sets, size_t set_count,
                              const struct sample *of) {
    struct fc_program *program = program_of(instructions, count, sets, set_count);
    uint8_t *bytes = block_copy(of->bytes, of->captured);
    const struct fc_frame flat = {.bytes = bytes, .captured = of->captured, .wire = of->wire};
    uint32_t result = fc_program_run(program, &flat);
    const struct fc_program_source source = source_of(instructions, count, sets, set_count);
    CHECK_IS(result, reference_run(&source, bytes, of->captured, of->wire));
    if (of->captured >= 16) {
        uint8_t *rest;
        const struct fc_frame tagged = reference_tagged(bytes, of->captured, of->wire, &rest);
        CHECK_IS(fc_program_run(program, &tagged), result);
        free(rest);
    }
    free(bytes);
    fc_program_free(program);
    return result;
}

#define RUN(instructions, of) run_with_sets((instructions), COUNT(instructions), NULL, 0, (of))

/* ldx #x; ld #a; the instruction; ret a */
static uint32_t alu(uint16_t code, uint32_t a, uint32_t x, uint32_t k) {
    const struct fc_instruction program[] = {
        {.code = 0x01, .k = x}, {.code = 0x00, .k = a}, {.code = code, .k = k}, {.code = 0x16}};
    return RUN(program, &sample);
}

static void arithmetic_is_that_of_32_bits(void) {
    /* With X the operand, K must not matter, and the other way round. */
    const struct {
        uint16_t by_k;
        uint32_t a;
        uint32_t operand;
        uint32_t result;
    } cases[] = {
        {0x04, 5, 7, 12},
        {0x04, UINT32_MAX, 1, 0},
        {0x04, 0x80000000, 0x80000001, 1},
        {0x14, 7, 5, 2},
        {0x14, 5, 7, 0xfffffffe},
        {0x14, 0, 0x80000000, 0x80000000},
        {0x24, 6, 7, 42},
        {0x24, 0x10001, 0x10001, 0x20001},
        {0x24, UINT32_MAX, UINT32_MAX, 1},
        {0x34, 100, 7, 14},
        {0x34, UINT32_MAX, 1, UINT32_MAX},
        {0x34, 0x80000000, UINT32_MAX, 0}, /* unsigned: no overflow to trap on */
        {0x34, UINT32_MAX, 2, 0x7fffffff},
        {0x94, 100, 7, 2},
        {0x94, 0x80000000, UINT32_MAX, 0x80000000},
        {0x94, UINT32_MAX, 10, 5},
        {0x44, 0xf0f00000, 0x00000f0f, 0xf0f00f0f},
        {0x54, 0xff00ff00, 0x0ff00ff0, 0x0f000f00},
        {0xa4, 0xff00ff00, 0x0ff00ff0, 0xf0f0f0f0},
        {0x64, 0x80000001, 0, 0x80000001},
        {0x64, 0x80000001, 1, 2},
        {0x64, 3, 31, 0x80000000},
        {0x64, 3, 32, 0},
        {0x64, 3, 33, 0},
        {0x64, 3, UINT32_MAX, 0},
        {0x74, 0x80000001, 0, 0x80000001},
        {0x74, 0x80000001, 1, 0x40000000},
        {0x74, 0xc0000000, 31, 1},
        {0x74, 0xc0000000, 32, 0},
        {0x74, 0xc0000000, 33, 0},
        {0x74, 0xc0000000, UINT32_MAX, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint16_t by_x = cases[i].by_k | 0x08;
        check_about("code 0x%x, %u and %u", cases[i].by_k, cases[i].a, cases[i].operand);
        CHECK_IS(alu(cases[i].by_k, cases[i].a, 77, cases[i].operand), cases[i].result);
        CHECK_IS(alu(by_x, cases[i].a, cases[i].operand, 77), cases[i].result);
    }
}

static void negation_is_that_of_32_bits(void) {
    CHECK_IS(alu(0x84, 0, 77, 77), 0);
    CHECK_IS(alu(0x84, 1, 77, 77), UINT32_MAX);
    CHECK_IS(alu(0x84, UINT32_MAX, 77, 77), 1);
    CHECK_IS(alu(0x84, 0x80000000, 77, 77), 0x80000000);
}

static void registers_are_copied_both_ways(void) {
    CHECK_IS(alu(0x87, 1, 2, 3), 2); /* txa */
    CHECK_IS(alu(0x07, 1, 2, 3), 1); /* tax leaves A */
    const struct fc_instruction program[] = {{.code = 0x00, .k = 9},
                                             {.code = 0x07},
                                             {.code = 0x00, .k = 1},
                                             {.code = 0x87},
                                             {.code = 0x16}};
    CHECK_IS(RUN(program, &sample), 9);
}

static void lengths_are_those_of_the_frame(void) {
    CHECK_IS(alu(0x80, 1, 2, 3), 1514);
    CHECK_IS(alu(FC_LD_CAPTURED, 1, 2, 3), 20);
    const struct fc_instruction index[] = {{.code = 0x81}, {.code = 0x87}, {.code = 0x16}};
    CHECK_IS(RUN(index, &sample), 1514);
    const struct sample odd = {sample_bytes, 20, 0};
    CHECK_IS(RUN(index, &odd), 0);
    const struct sample none = {sample_bytes, 0, UINT32_MAX};
    CHECK_IS(RUN(index, &none), UINT32_MAX);
}

/* All registers and words are zero at the start, also where memory is only read. */
static void everything_starts_as_zero(void) {
    const struct fc_instruction a[] = {{.code = 0x16}};
    const struct fc_instruction x[] = {{.code = 0x87}, {.code = 0x16}};
    CHECK_IS(RUN(a, &sample), 0);
    CHECK_IS(RUN(x, &sample), 0);
    for (uint32_t word = 0; word < 16; word++) {
        const struct fc_instruction to_a[] = {
            {.code = 0x00, .k = 5}, {.code = 0x60, .k = word}, {.code = 0x16}};
        const struct fc_instruction to_x[] = {
            {.code = 0x01, .k = 5}, {.code = 0x61, .k = word}, {.code = 0x87}, {.code = 0x16}};
        CHECK_IS(RUN(to_a, &sample), 0);
        CHECK_IS(RUN(to_x, &sample), 0);
    }
}

static void memory_words_are_apart(void) {
    struct fc_instruction program[16 * 2 + 2];
    for (uint32_t read = 0; read < 16; read++) {
        for (uint32_t word = 0; word < 16; word++) {
            bool by_x = word % 2;
            program[2 * word] = (struct fc_instruction){.code = by_x, .k = 100 + word};
            program[2 * word + 1] = (struct fc_instruction){.code = by_x ? 0x03 : 0x02, .k = word};
        }
        program[32] = (struct fc_instruction){.code = 0x60, .k = read};
        program[33] = (struct fc_instruction){.code = 0x16};
        CHECK_IS(RUN(program, &sample), 100 + read);
    }
}

static void a_run_does_not_see_the_memory_of_the_one_before(void) {
    const struct fc_instruction instructions[] = {
        {.code = 0x60, .k = 3}, {.code = 0x04, .k = 1}, {.code = 0x02, .k = 3}, {.code = 0x16}};
    struct fc_program *program = program_of(instructions, COUNT(instructions), NULL, 0);
    const struct fc_frame frame = {.bytes = sample_bytes, .captured = 20, .wire = 20};
    for (int round = 0; round < 3; round++)
        CHECK_IS(fc_program_run(program, &frame), 1);
    fc_program_free(program);
}

static void tests_go_to_the_right_side(void) {
    const uint32_t values[] = {0, 1, 2, 0x7fffffff, 0x80000000, UINT32_MAX};
    const uint16_t by_k[] = {0x15, 0x25, 0x35, 0x45};
    for (size_t c = 0; c < COUNT(by_k); c++) {
        for (size_t i = 0; i < COUNT(values) * COUNT(values); i++) {
            uint32_t a = values[i / COUNT(values)];
            uint32_t b = values[i % COUNT(values)];
            bool holds[] = {a == b, a > b, a >= b, (a & b) != 0};
            for (uint32_t by_x = 0; by_x < 2; by_x++) {
                const struct fc_instruction program[] = {
                    {.code = 0x01, .k = by_x ? b : 77},
                    {.code = 0x00, .k = a},
                    {.code = (uint16_t)(by_k[c] | by_x * 8),
                     .k = by_x ? 77 : b,
                     .on_true = 2,
                     .on_false = 1},
                    RET(10),
                    RET(11),
                    RET(12),
                };
                check_about("code 0x%x by %s, %u and %u", by_k[c], by_x ? "x" : "k", a, b);
                CHECK_IS(RUN(program, &sample), holds[c] ? 12 : 11);
            }
        }
    }
}

static void ja_goes_by_on_true(void) {
    for (uint32_t target = 0; target < 3; target++) {
        const struct fc_instruction program[] = {
            {.code = 0x05, .k = 1, .on_true = target, .on_false = 1}, RET(20), RET(21), RET(22)};
        CHECK_IS(RUN(program, &sample), 20 + target);
    }
}

static void returns_give_k_or_a(void) {
    const struct fc_instruction constant[] = {{.code = 0x00, .k = 1}, RET(UINT32_MAX)};
    const struct fc_instruction register_a[] = {{.code = 0x00, .k = 0x80000000},
                                                {.code = 0x16, .k = 3}};
    CHECK_IS(RUN(constant, &sample), UINT32_MAX);
    CHECK_IS(RUN(register_a, &sample), 0x80000000);
}

static void division_by_x_of_zero_goes_to_on_false(void) {
    const uint16_t codes[] = {0x3c, 0x9c};
    for (size_t i = 0; i < COUNT(codes); i++) {
        struct fc_instruction program[] = {{.code = 0x00, .k = 40},
                                           {.code = 0x01, .k = 0},
                                           {.code = codes[i], .k = 3, .on_true = 0, .on_false = 2},
                                           RET(50),
                                           RET(51),
                                           {.code = 0x16}};
        CHECK_IS(RUN(program, &sample), 40); /* and A is as it was */
        program[1].k = 3;
        CHECK_IS(RUN(program, &sample), 50);
    }
}

/* ---- Loads ------------------------------------------------------------------------------- */

/* The result of a load at k with X, or 999 where its bytes are missing. */
static uint32_t load(uint16_t code, uint32_t x, uint32_t k, const struct sample *of) {
    const struct fc_instruction program[] = {
        {.code = 0x01, .k = x},
        {.code = code, .k = k, .on_true = UINT32_MAX, .on_false = 2},
        {.code = code == 0xb1 ? 0x87 : 0x07}, /* the index load's result is in X */
        {.code = 0x16},
        RET(999),
    };
    return RUN(program, of);
}

static void loads_are_big_endian(void) {
    CHECK_IS(load(0x20, 0, 0, &sample), 0x81020304);
    CHECK_IS(load(0x20, 0, 1, &sample), 0x020304f5);
    CHECK_IS(load(0x28, 0, 0, &sample), 0x8102);
    CHECK_IS(load(0x28, 0, 18, &sample), 0x1394);
    CHECK_IS(load(0x30, 0, 4, &sample), 0xf5);
    CHECK_IS(load(0x30, 0, 19, &sample), 0x94);
    CHECK_IS(load(0x40, 3, 1, &sample), 0xf5060708);
    CHECK_IS(load(0x48, 2, 1, &sample), 0x04f5);
    CHECK_IS(load(0x50, 4, 0, &sample), 0xf5);
    CHECK_IS(load(0xb1, 77, 4, &sample), 20); /* 4 * (0xf5 & 0xf) */
    CHECK_IS(load(0xb1, 77, 14, &sample), 60);
}

/* Around the tag that may lie apart: all of its bytes, both edges. */
static void loads_cross_the_edges_of_the_tag(void) {
    CHECK_IS(load(0x20, 0, 9, &sample), 0x0a0b0c0d);
    CHECK_IS(load(0x20, 0, 11, &sample), 0x0c0d0e0f);
    CHECK_IS(load(0x20, 0, 12, &sample), 0x0d0e0f10);
    CHECK_IS(load(0x20, 0, 13, &sample), 0x0e0f1011);
    CHECK_IS(load(0x20, 0, 16, &sample), 0x11121394);
    CHECK_IS(load(0x28, 0, 15, &sample), 0x1011);
    CHECK_IS(load(0x48, 6, 5, &sample), 0x0c0d);
    CHECK_IS(load(0xb1, 0, 15, &sample), 0);
    CHECK_IS(load(0xb1, 0, 16, &sample), 4);
}

static void missing_bytes_go_to_on_false(void) {
    const struct {
        uint16_t absolute;
        uint16_t indirect;
        uint32_t size;
    } loads[] = {{0x20, 0x40, 4}, {0x28, 0x48, 2}, {0x30, 0x50, 1}, {0xb1, 0, 1}};
    for (size_t i = 0; i < COUNT(loads); i++) {
        for (uint32_t captured = 0; captured <= 20; captured++) {
            const struct sample cut = {sample_bytes, captured, 20};
            for (uint32_t offset = 0; offset <= 21; offset++) {
                bool there = offset + loads[i].size <= captured;
                check_about("code 0x%x at %u of %u", loads[i].absolute, offset, captured);
                CHECK_IS(load(loads[i].absolute, 0, offset, &cut) != 999, there);
                for (uint32_t x = 0; x <= offset && loads[i].indirect != 0; x += 3)
                    CHECK_IS(load(loads[i].indirect, x, offset - x, &cut) != 999, there);
            }
        }
    }
}

static void offsets_never_wrap(void) {
    const uint32_t far[] = {21, 0x7fffffff, 0x80000000, UINT32_MAX - 3, UINT32_MAX - 1, UINT32_MAX};
    const uint16_t absolute[] = {0x20, 0x28, 0x30, 0xb1};
    const uint16_t indirect[] = {0x40, 0x48, 0x50};
    const struct sample empty = {sample_bytes, 0, 20};
    for (size_t i = 0; i < COUNT(far); i++) {
        check_about("offset %u", far[i]);
        for (size_t c = 0; c < COUNT(absolute); c++) {
            CHECK_IS(load(absolute[c], 0, far[i], &sample), 999);
            CHECK_IS(load(absolute[c], 0, far[i], &empty), 999);
        }
        for (size_t c = 0; c < COUNT(indirect); c++) {
            for (uint32_t more = 0; more < 24; more++) {
                CHECK_IS(load(indirect[c], far[i], more, &sample), 999);
                CHECK_IS(load(indirect[c], more, far[i], &sample), 999);
            }
            /* In 32 bits these would be 0, 1 and 4. */
            CHECK_IS(load(indirect[c], UINT32_MAX, 1, &sample), 999);
            CHECK_IS(load(indirect[c], UINT32_MAX - 1, 3, &sample), 999);
            CHECK_IS(load(indirect[c], 0x80000000, 0x80000004, &sample), 999);
            CHECK_IS(load(indirect[c], UINT32_MAX, UINT32_MAX, &sample), 999);
        }
    }
}

static void a_load_that_fails_changes_no_register(void) {
    const uint16_t codes[] = {0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0xb1};
    for (size_t i = 0; i < COUNT(codes); i++) {
        for (uint32_t by_x = 0; by_x < 2; by_x++) {
            const struct fc_instruction program[] = {{.code = 0x00, .k = 61},
                                                     {.code = 0x01, .k = 62},
                                                     {.code = codes[i], .k = 100, .on_false = 1},
                                                     RET(0),
                                                     {.code = by_x ? 0x87 : 0x16},
                                                     {.code = 0x16}};
            CHECK_IS(RUN(program, &sample), 61 + by_x);
        }
    }
}

/* ---- Sets -------------------------------------------------------------------------------- */

static uint32_t in_set(uint32_t value, const uint32_t *values, uint32_t count) {
    const struct fc_instruction program[] = {
        {.code = 0x00, .k = value},
        {.code = FC_JMP_IN_SET, .k = 1, .on_true = 1, .on_false = 0},
        RET(0),
        RET(1),
    };
    const uint32_t other[] = {0, 4, UINT32_MAX, UINT32_MAX};
    uint32_t pairs[2 * 16];
    for (uint32_t i = 0; i < count; i++)
        pairs[2 * i] = pairs[2 * i + 1] = values[i];
    const struct fc_ranges sets[] = {{.pairs = other, .count = 2},
                                     {.pairs = pairs, .count = count}};
    return run_with_sets(program, COUNT(program), sets, 2, &sample);
}

static void a_set_has_its_values_and_no_others(void) {
    const uint32_t values[] = {1, 2, 3, 7, 100, 101, 0x7fffffff, 0x80000000, UINT32_MAX - 1};
    for (uint32_t count = 0; count <= COUNT(values); count++) {
        for (size_t i = 0; i < COUNT(values); i++) {
            check_about("%u values, looking for the one with number %zu", count, i);
            CHECK_IS(in_set(values[i], values, count), i < count);
        }
        CHECK_IS(in_set(0, values, count), 0);
        CHECK_IS(in_set(5, values, count), 0);
        CHECK_IS(in_set(UINT32_MAX, values, count), 0);
    }
    const uint32_t edges[] = {0, UINT32_MAX};
    CHECK_IS(in_set(0, edges, 2), 1);
    CHECK_IS(in_set(1, edges, 2), 0);
    CHECK_IS(in_set(UINT32_MAX, edges, 2), 1);
}

/* ---- A load and the test behind it, in one step ------------------------------------------ */

static void a_load_and_its_test_work_as_two(void) {
    const struct {
        uint16_t code;
        uint32_t right;
    } loads[] = {{0x20, 0x0a0b0c0d}, {0x28, 0x0a0b}, {0x30, 0x0a}};
    for (size_t i = 0; i < COUNT(loads); i++) {
        struct fc_instruction program[] = {
            {.code = loads[i].code, .k = 9, .on_false = 3}, /* missing: to ret 72 */
            {.code = 0x15, .k = loads[i].right, .on_true = 0, .on_false = 1},
            RET(70),
            {.code = 0x16}, /* the test failed: A is what was loaded */
            RET(72),
        };
        check_about("code 0x%x", loads[i].code);
        CHECK_IS(RUN(program, &sample), 70);
        program[1].k++;
        CHECK_IS(RUN(program, &sample), loads[i].right);
        const struct sample cut = {sample_bytes, 9, 20};
        CHECK_IS(RUN(program, &cut), 72);
        program[0].on_false = 0; /* missing: into the test, with A as it was */
        program[1].k = 0;
        CHECK_IS(RUN(program, &cut), 70);
        program[1].k = 1;
        CHECK_IS(RUN(program, &cut), 0);
    }
}

static void a_jump_may_lead_to_the_second_of_the_two(void) {
    const uint16_t codes[] = {0x20, 0x28, 0x30};
    for (size_t i = 0; i < COUNT(codes); i++) {
        struct fc_instruction program[] = {
            {.code = 0x00, .k = 5},
            {.code = 0x05, .on_true = 1},
            {.code = codes[i], .k = 0, .on_false = 2},
            {.code = 0x15, .k = 5, .on_true = 1, .on_false = 0},
            RET(80),
            RET(81),
        };
        CHECK_IS(RUN(program, &sample), 81);
        program[0].k = 6;
        CHECK_IS(RUN(program, &sample), 80);
        program[1].on_true = 0; /* now the load is not left out */
        CHECK_IS(RUN(program, &sample), 80);
    }
}

/* ---- Random programs --------------------------------------------------------------------- */

/* The same program with an instruction that does nothing behind each: no pair is left to be made
 * one step of. Jumps lead to where they led. */
static size_t spread(const struct fc_instruction *from, size_t count, struct fc_instruction *to) {
    for (size_t i = 0; i < count; i++) {
        to[2 * i] = from[i];
        to[2 * i].on_true = 2 * from[i].on_true + 1;
        to[2 * i].on_false = 2 * from[i].on_false + 1;
        if (from[i].code == FC_JA_BACK)
            to[2 * i].k = 2 * from[i].k - 1;
        to[2 * i + 1] = (struct fc_instruction){.code = 0x44, .k = 0};
    }
    return 2 * count - 1;
}

static void random_programs_agree_with_the_slow_evaluator(void) {
    for (int round = 0; round < 12000; round++) {
        uint32_t pairs[MOST_SETS][40];
        struct fc_ranges sets[MOST_SETS];
        struct fc_instruction program[MOST_INSTRUCTIONS];
        struct fc_instruction apart[2 * MOST_INSTRUCTIONS];
        uint32_t set_count = random_below(MOST_SETS + 1);
        tags_at = random_below(4) ? 12 : random_below(20);
        for (uint32_t i = 0; i < set_count; i++)
            random_set(&sets[i], pairs[i]);
        size_t count = 1 + random_below(MOST_INSTRUCTIONS);
        for (size_t i = 0; i < count; i++)
            program[i] = random_instruction(count, count - 1 - i, set_count);
        size_t apart_count = spread(program, count, apart);
        struct fc_program *one = program_of(program, count, sets, set_count);
        struct fc_program *two = program_of(apart, apart_count, sets, set_count);
        for (int frames = 0; frames < 6; frames++) {
            uint32_t captured = random_below(4) ? random_below(LONGEST_FRAME) : random_below(20);
            uint32_t wire = captured + (random_below(3) ? 0 : random_value());
            uint8_t *bytes = block_new(captured);
            for (uint32_t i = 0; i < captured; i++)
                bytes[i] = (uint8_t)(random_below(3) ? random_below(40) : random32());
            const struct fc_frame flat = {.bytes = bytes, .captured = captured, .wire = wire};
            if (captured > 28 && random_below(3)) /* tags, and what only looks like them */
                for (uint32_t at = 12; at < 12 + 4 * random_below(4); at += 2)
                    memcpy(bytes + at, &"\x81\0\x88\xa8\x91\0\x08\0"[2 * random_below(4)], 2);
            const struct fc_program_source source = source_of(program, count, sets, set_count);
            uint32_t expected = reference_run(&source, bytes, captured, wire);
            CHECK_IS(fc_program_run(one, &flat), expected);
            CHECK_IS(fc_program_run(two, &flat), expected);
            if (captured >= 16) {
                uint8_t *rest;
                const struct fc_frame tagged = reference_tagged(bytes, captured, wire, &rest);
                CHECK_IS(fc_program_run(one, &tagged), expected);
                CHECK_IS(fc_program_run(two, &tagged), expected);
                free(rest);
            }
            free(bytes);
        }
        fc_program_free(one);
        fc_program_free(two);
    }
}

/* Rules of the checker and of the reference, over instructions that break them at random. */
static void random_instructions_are_judged_by_the_rules(void) {
    const uint32_t pairs[] = {1, 1, 2, 2};
    const struct fc_ranges set = {.pairs = pairs, .count = 2};
    for (int round = 0; round < 50000; round++) {
        struct fc_instruction program[5];
        size_t count = 1 + random_below(5);
        size_t set_count = random_below(2);
        size_t first_bad = count;
        for (size_t i = count; i-- > 0;) {
            program[i] = random_instruction(count, count - 1 - i, (uint32_t)set_count);
            switch (random_below(16)) {
            case 0: program[i].code = (uint16_t)random_below(0x130); break;
            case 1: program[i].k = random_value(); break;
            case 2: program[i].on_true = random_value(); break;
            case 3: program[i].on_false = random_value(); break;
            case 4: program[i].flags = (uint16_t)random_below(2); break;
            }
            const struct fc_program_source source = source_of(program, count, &set, set_count);
            if (!reference_is_valid(&source, i))
                first_bad = i;
        }
        if (first_bad == count)
            check_accepted(program, count, &set, set_count);
        else
            check_refused(program, count, &set, set_count, first_bad);
    }
}

int main(int count, char **arguments) {
    TEST(free_takes_null);
    TEST(an_empty_program_is_refused);
    TEST(too_many_instructions_or_sets_are_refused);
    TEST(only_codes_that_exist_are_taken);
    TEST(flags_must_be_known_and_at_home);
    TEST(only_what_sees_bytes_can_skip_tags);
    TEST(nothing_but_a_return_may_be_last);
    TEST(targets_must_be_inside);
    TEST(division_by_the_constant_zero_is_refused);
    TEST(memory_has_sixteen_words);
    TEST(a_set_must_be_there);
    TEST(ranges_must_ascend_and_be_apart);
    TEST(wide_ranges_and_patterns_are_checked_too);
    TEST(arithmetic_is_that_of_32_bits);
    TEST(negation_is_that_of_32_bits);
    TEST(registers_are_copied_both_ways);
    TEST(lengths_are_those_of_the_frame);
    TEST(everything_starts_as_zero);
    TEST(memory_words_are_apart);
    TEST(a_run_does_not_see_the_memory_of_the_one_before);
    TEST(tests_go_to_the_right_side);
    TEST(ja_goes_by_on_true);
    TEST(returns_give_k_or_a);
    TEST(division_by_x_of_zero_goes_to_on_false);
    TEST(loads_are_big_endian);
    TEST(loads_cross_the_edges_of_the_tag);
    TEST(missing_bytes_go_to_on_false);
    TEST(offsets_never_wrap);
    TEST(a_load_that_fails_changes_no_register);
    TEST(a_set_has_its_values_and_no_others);
    TEST(a_load_and_its_test_work_as_two);
    TEST(a_jump_may_lead_to_the_second_of_the_two);
    uint64_t seed = random_seed_argument(count, arguments);
    random_seed(seed);
    check_about("seed %" PRIu64, seed);
    random_programs_agree_with_the_slow_evaluator();
    random_instructions_are_judged_by_the_rules();
    return check_result();
}
