/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes become instructions and sets. The checker must judge them as the rules say, and what it
 * takes must end, and give for every frame what the slow evaluator gives, with the frame as one
 * piece, with its tag apart, and in a group of others.
 *
 * Input: flags, the length of the frame and what it had on the wire; sets; the frame; instructions,
 * with flag 1 as they are (16 bytes each), else packed so that most are valid (4 bytes each; the
 * first one's highest bit is FC_SKIPS_TAGS). make_corpus.py writes the same.
 */
#include "program.h"

#include "../c/reference.h"
#include "target.h"
#ifdef FC_MACHINE_CODE
#include "../jit/check_code.h"
#endif

enum { MOST_SETS = 3, MOST_VALUES = 32, MOST_INSTRUCTIONS = 128, MOST_FRAME = 96 };

static const uint32_t special[] = {0x7fffffff, 0x80000000, 0xfffffff0, 0xfffffffc,
                                   0xfffffffe, UINT32_MAX, 0x10000,    0x800};
enum { SPECIAL = sizeof special / sizeof *special };

/* Small numbers as they are, and a few large ones. */
static uint32_t number_by(uint8_t choice) {
    return choice < 256 - SPECIAL ? choice : special[choice - (256 - SPECIAL)];
}

static struct fc_instruction take_instruction(struct input *input, bool as_it_is) {
    struct fc_instruction i = {0};
    if (as_it_is) {
        uint32_t code = take_number(input);
        i.code = (uint16_t)code;
        i.flags = (uint16_t)(code >> 16);
        i.k = take_number(input);
        i.on_true = take_number(input);
        i.on_false = take_number(input);
        return i;
    }
    uint8_t code = take_byte(input);
    i.code = reference_codes[(code & 0x7f) % REFERENCE_CODES];
    i.flags = code & 0x80 ? FC_SKIPS_TAGS : 0;
    i.k = number_by(take_byte(input));
    i.on_true = take_byte(input);
    i.on_false = take_byte(input);
    return i;
}

/* With flag 2: what would break a rule keeps it. */
static void mend(struct fc_instruction *i, size_t left, size_t set_count) {
    if (i->code == FC_JA_BACK || /* loops take long: see test_program.c */
        (i->code == FC_JMP_IN_SET && set_count == 0))
        i->code = 0x07;
    if (left > 0) {
        i->on_true %= (uint32_t)left;
        i->on_false %= (uint32_t)left;
    } else {
        i->code = i->code & 0x08 ? 0x16 : 0x06;
    }
    if (i->code == 0x60 || i->code == 0x61 || i->code == 0x02 || i->code == 0x03)
        i->k %= 16;
    if (reference_is_divide(i->code) && i->k == 0)
        i->k = 1;
    if (i->code == FC_JMP_IN_SET)
        i->k %= (uint32_t)set_count;
    if (i->code == FC_JMP_IN_WIDE || i->code == FC_JMP_CONTAINS)
        i->k %= 2;
    if (!reference_sees_bytes(i->code))
        i->flags = 0;
}

static bool set_is_valid(const struct fc_ranges *set) {
    for (uint32_t i = 0; i < set->count; i++)
        if (set->pairs[2 * i] > set->pairs[2 * i + 1] ||
            (i > 0 && set->pairs[2 * i - 1] >= set->pairs[2 * i]))
            return false;
    return true;
}

/* Two wide sets and two patterns that small frames can hold. */
static const struct fc_wide_ranges wide_sets[] = {
    {.pairs = (const uint8_t *)"\1\2\3\1\2\3\4\0\0\5\0\0", .count = 2, .width = 3},
    {.pairs = (const uint8_t *)"\0\1\2\3\4\5\1\1\2\3\4\5", .count = 1, .width = 6},
};
static const struct fc_pattern patterns[] = {{(const uint8_t *)"\5\6", 2},
                                             {(const uint8_t *)"\x81\0", 2}};

/* Every length of the frame that is near an edge: of the tag, of a load, of the frame. */
static void check_runs(const struct fc_program *program, const struct fc_program_source *source,
                       const uint8_t *bytes, uint32_t length, uint32_t wire) {
    for (uint32_t captured = 0; captured <= length; captured++) {
        if (captured > 20 && captured + 5 < length)
            continue;
        uint8_t *exact = malloc(captured ? captured : 1);
        HOLDS(exact != NULL);
        memcpy(exact, bytes, captured);
        const struct fc_frame flat = {.bytes = exact, .captured = captured, .wire = wire};
        uint32_t expected = reference_run(source, exact, captured, wire);
        HOLDS(fc_program_run(program, &flat) == expected);
        if (captured >= 16) {
            uint8_t *rest;
            const struct fc_frame tagged = reference_tagged(exact, captured, wire, &rest);
            HOLDS(fc_program_run(program, &tagged) == expected);
            free(rest);
        }
        free(exact);
    }
}

/* The frame as it is, and with one byte changed in each place; with `least` as the shortest. */
static void check_group(const struct fc_program *program, const uint8_t *bytes, uint32_t length,
                        uint32_t least, uint32_t wire) {
    uint8_t *frames[FC_GROUP];
    struct fc_group group;
    fc_group_begin(&group, fc_program_reach(program), 262144);
    for (uint32_t i = 0; i < FC_GROUP; i++) {
        uint32_t captured = i % 8 == 7 ? least : length;
        frames[i] = malloc(captured ? captured : 1);
        HOLDS(frames[i] != NULL);
        memcpy(frames[i], bytes, captured);
        if (i < captured)
            frames[i][i] ^= (uint8_t)(1 + i);
        group.bytes[i] = frames[i];
        group.captured[i] = captured;
        group.wire[i] = wire + i % 3;
    }
    fc_group_complete(&group, UINT64_MAX, least);
    uint64_t taken = fc_program_run_group(program, &group, UINT64_MAX);
    group.remembers = true;
    HOLDS(fc_program_run_group(program, &group, UINT64_MAX) == taken);
    HOLDS(fc_program_run_group(program, &group, UINT64_MAX) == taken);
    uint64_t few = fc_program_run_group(program, &group, UINT64_C(0x8000000000810000));
    HOLDS(few == (taken & UINT64_C(0x8000000000810000)));
    for (uint32_t i = 0; i < FC_GROUP; i++) {
        const struct fc_frame frame = fc_group_frame(&group, i);
        HOLDS((taken >> i & 1) == (fc_program_run(program, &frame) != 0));
        free(frames[i]);
    }
}

#ifdef FC_MACHINE_CODE
/* The same program three times in one function: what one finds out, the next one knows. */
static void check_judge(const struct fc_program_source *source, const struct fc_program *program,
                        const uint8_t *bytes, uint32_t length, uint32_t wire) {
    const struct fc_program_source sources[] = {*source, *source, *source};
    struct fc_jit *code = fc_jit_new(sources, 3, true);
    HOLDS(code != NULL);
    for (uint32_t i = 0; i <= length; i++) {
        uint8_t *at = memory_end(0) - length;
        if (length > 0)
            memcpy(at, bytes, length);
        if (i < length)
            at[i] ^= (uint8_t)(1 + i);
        const uint8_t *const pointer = at;
        const struct fc_frame frame = {.bytes = at, .captured = length, .wire = wire};
        if (fc_program_tags_at(program) != 0 &&
            fc_frame_find_tags(&frame, fc_program_tags_at(program)).wire != 0)
            continue;
        const struct fc_code_group group = {&pointer, &length, &wire, UINT32_MAX};
        uint64_t taken[3] = {0};
        judge_of(code)(&group, 1, taken);
        for (size_t p = 0; p < 3; p++)
            HOLDS(taken[p] == (fc_program_run(program, &frame) != 0));
    }
    fc_jit_free(code);
}

static void check_code(const struct fc_program_source *source, const struct fc_program *program,
                       const uint8_t *bytes, uint32_t length, uint32_t wire) {
    struct fc_jit *code = fc_jit_new(source, 1, false);
    HOLDS((code != NULL) == (program != NULL));
    for (uint32_t captured = 0; code != NULL && captured <= length; captured++)
        HOLDS(runs_alike(program, run_of(code), bytes, captured, wire));
    fc_jit_free(code);
    if (program != NULL)
        check_judge(source, program, bytes, length, wire);
}
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {.at = data, .left = size};
    uint8_t flags = take_byte(&input);
    size_t set_count = (flags >> 4) % (MOST_SETS + 1);
    size_t frame_most = take_byte(&input) % (MOST_FRAME + 1);
    uint32_t wire = number_by(take_byte(&input));
    uint32_t pairs[MOST_SETS][2 * MOST_VALUES];
    struct fc_ranges sets[MOST_SETS];
    bool sets_are_valid = true;
    for (size_t i = 0; i < set_count; i++) {
        sets[i] = (struct fc_ranges){.pairs = pairs[i], .count = take_byte(&input) % MOST_VALUES};
        for (uint32_t v = 0; v < sets[i].count; v++) {
            pairs[i][2 * v] = number_by(take_byte(&input)) + (flags & 4 ? 2 * v : 0);
            pairs[i][2 * v + 1] = pairs[i][2 * v] + (flags & 8 ? 1 : 0);
        }
        sets_are_valid = sets_are_valid && set_is_valid(&sets[i]);
    }
    size_t length;
    uint8_t *frame = take_block(&input, frame_most, &length);

    size_t count = 0;
    struct fc_instruction *instructions = malloc(MOST_INSTRUCTIONS * sizeof *instructions);
    HOLDS(instructions != NULL);
    while (input.left > 0 && count < MOST_INSTRUCTIONS)
        instructions[count++] = take_instruction(&input, flags & 1);
    for (size_t i = 0; i < count && (flags & 2); i++)
        mend(&instructions[i], count - 1 - i, set_count);
    instructions = realloc(instructions, (count ? count : 1) * sizeof *instructions);

    const struct fc_program_source source = {
        .instructions = instructions,
        .count = count,
        .sets = sets,
        .set_count = set_count,
        .wide_sets = wide_sets,
        .wide_set_count = 2,
        .patterns = patterns,
        .pattern_count = 2,
        .tags_at = flags & 8 ? 12 : 0,
    };
    size_t first_bad = 0;
    while (sets_are_valid && first_bad < count && reference_is_valid(&source, first_bad))
        first_bad++;
    bool valid = sets_are_valid && count > 0 && first_bad == count;

    struct fc_program *program;
    size_t bad;
    int status = fc_program_new(&source, &program, &bad);
    HOLDS(status == (valid ? FC_OK : FC_ERROR_PROGRAM));
    HOLDS((program != NULL) == valid);
    HOLDS(valid || bad == (sets_are_valid ? first_bad : count));
    if (valid) {
        check_runs(program, &source, frame, (uint32_t)length, wire);
        check_group(program, frame, (uint32_t)length, (uint32_t)length, wire);
        check_group(program, frame, (uint32_t)length, (uint32_t)length / 2, wire);
    }
#ifdef FC_MACHINE_CODE
    check_code(&source, program, frame, (uint32_t)length, wire);
#endif
    fc_program_free(program);
    free(instructions);
    free(frame);
    return 0;
}
