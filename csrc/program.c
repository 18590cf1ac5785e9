/* SPDX-License-Identifier: Apache-2.0 */
#include "program.h"

#include "planner.h"

#include <stdlib.h>

/* Only inside: a load at a constant offset and the test behind it, in one step. */
enum {
    FUSED_W_JEQ = 0x200,
    FUSED_H_JEQ = 0x208,
    FUSED_B_JEQ = 0x210,
    FUSED_W_IN_SET = 0x220,
    FUSED_H_IN_SET = 0x228,
    FUSED_B_IN_SET = 0x230,
};

/* An instruction as it runs. Targets count from the next operation, as in fc_instruction. */
struct operation {
    uint16_t code;
    bool skips; /* FC_SKIPS_TAGS */
    uint32_t k;
    uint32_t value; /* fused: what A is compared with, or the set */
    uint32_t on_true;
    uint32_t on_false;
    uint32_t on_missing;
};

struct fc_program {
    struct fc_set *sets;
    size_t set_count;
    struct fc_wide_set *wide_sets;
    size_t wide_set_count;
    struct fc_pattern *patterns;
    size_t pattern_count;
    uint32_t tags_at; /* 0: no instruction skips tags */
    bool uses_memory;
    fc_code_run *code; /* NULL: the interpreter */
    struct fc_plan plan;
    struct operation operations[];
};

/* ---- Checking ---------------------------------------------------------------------------- */

enum shape {
    UNKNOWN,
    PLAIN,
    MEMORY,
    DIVIDE,
    DIVIDE_X,
    LOAD,
    JUMP,
    JUMP_ALWAYS,
    LOOK_UP,
    JUMP_BACK,
    RETURN
};

/* clang-format off: a table, one kind a paragraph */
static enum shape shape_of(uint16_t code) {
    switch (code) {
    case FC_LD_W_ABS:
    case FC_LD_H_ABS:
    case FC_LD_B_ABS:
    case FC_LD_W_IND:
    case FC_LD_H_IND:
    case FC_LD_B_IND:
    case FC_LDX_MSH: return LOAD;
    case FC_LD_IMM:
    case FC_LD_LEN:
    case FC_LDX_IMM:
    case FC_LDX_LEN:
    case FC_LD_CAPTURED:
    case FC_ADD_K:
    case FC_ADD_X:
    case FC_SUB_K:
    case FC_SUB_X:
    case FC_MUL_K:
    case FC_MUL_X:
    case FC_OR_K:
    case FC_OR_X:
    case FC_AND_K:
    case FC_AND_X:
    case FC_XOR_K:
    case FC_XOR_X:
    case FC_LSH_K:
    case FC_LSH_X:
    case FC_RSH_K:
    case FC_RSH_X:
    case FC_NEG:
    case FC_TAX:
    case FC_TXA: return PLAIN;
    case FC_LD_MEM:
    case FC_LDX_MEM:
    case FC_ST:
    case FC_STX: return MEMORY;
    case FC_DIV_K:
    case FC_MOD_K: return DIVIDE;
    case FC_DIV_X:
    case FC_MOD_X: return DIVIDE_X;
    case FC_JEQ_K:
    case FC_JEQ_X:
    case FC_JGT_K:
    case FC_JGT_X:
    case FC_JGE_K:
    case FC_JGE_X:
    case FC_JSET_K:
    case FC_JSET_X: return JUMP;
    case FC_JA: return JUMP_ALWAYS;
    case FC_JMP_IN_SET:
    case FC_JMP_IN_WIDE:
    case FC_JMP_CONTAINS: return LOOK_UP;
    case FC_JA_BACK: return JUMP_BACK;
    case FC_RET_K:
    case FC_RET_A: return RETURN;
    }
    return UNKNOWN;
}
/* clang-format on */

static size_t looked_up_in(const struct fc_program_source *source, uint16_t code) {
    return code == FC_JMP_IN_SET    ? source->set_count
           : code == FC_JMP_IN_WIDE ? source->wide_set_count
                                    : source->pattern_count;
}

static bool can_skip_tags(uint16_t code) {
    return shape_of(code) == LOAD || code == FC_LD_LEN || code == FC_LDX_LEN ||
           code == FC_LD_CAPTURED || code == FC_JMP_IN_WIDE;
}

/* `left` is the number of instructions behind this one: a target t is inside where t < left. */
static bool instruction_is_valid(const struct fc_program_source *source,
                                 const struct fc_instruction *i, size_t left) {
    bool goes_on = left > 0;
    if (i->flags != 0 && (i->flags != FC_SKIPS_TAGS || !can_skip_tags(i->code)))
        return false;
    switch (shape_of(i->code)) {
    case PLAIN: return goes_on;
    case MEMORY: return goes_on && i->k < FC_PROGRAM_MEMORY;
    case DIVIDE: return goes_on && i->k != 0;
    case LOAD:
    case DIVIDE_X: return goes_on && i->on_false < left;
    case JUMP: return i->on_true < left && i->on_false < left;
    case LOOK_UP:
        return i->on_true < left && i->on_false < left && i->k < looked_up_in(source, i->code);
    case JUMP_ALWAYS: return i->on_true < left;
    case JUMP_BACK: return i->k > 0 && i->k <= source->count - left;
    case RETURN: return true;
    case UNKNOWN: break;
    }
    return false;
}

static bool tables_are_valid(const struct fc_program_source *source) {
    for (size_t i = 0; i < source->set_count; i++)
        if (!fc_set_ranges_are_valid(&source->sets[i]))
            return false;
    for (size_t i = 0; i < source->wide_set_count; i++)
        if (!fc_wide_set_ranges_are_valid(&source->wide_sets[i]))
            return false;
    for (size_t i = 0; i < source->pattern_count; i++)
        if (source->patterns[i].length == 0 ||
            source->patterns[i].length > FC_PROGRAM_LONGEST_PATTERN)
            return false;
    return true;
}

static bool is_valid(const struct fc_program_source *source, size_t *bad) {
    size_t count = source->count;
    *bad = count;
    if (count == 0 || count > FC_PROGRAM_LONGEST || source->set_count > FC_PROGRAM_MOST_SETS ||
        source->wide_set_count > FC_PROGRAM_MOST_SETS ||
        source->pattern_count > FC_PROGRAM_MOST_SETS || !tables_are_valid(source))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!instruction_is_valid(source, &source->instructions[i], count - 1 - i)) {
            *bad = i;
            return false;
        }
    }
    return true;
}

/* ---- Making ------------------------------------------------------------------------------ */

static uint16_t fused_code(uint16_t load, uint16_t jump) {
    if (jump == FC_JEQ_K)
        return load == FC_LD_W_ABS   ? FUSED_W_JEQ
               : load == FC_LD_H_ABS ? FUSED_H_JEQ
               : load == FC_LD_B_ABS ? FUSED_B_JEQ
                                     : 0;
    if (jump == FC_JMP_IN_SET)
        return load == FC_LD_W_ABS   ? FUSED_W_IN_SET
               : load == FC_LD_H_ABS ? FUSED_H_IN_SET
               : load == FC_LD_B_ABS ? FUSED_B_IN_SET
                                     : 0;
    return 0;
}

/* The test stays where it is, for jumps that lead to it; the load before it does both. */
static struct operation translate(const struct fc_instruction *i, size_t left) {
    struct operation operation = {
        .code = i->code,
        .skips = i->flags == FC_SKIPS_TAGS,
        .k = i->k,
        .on_true = i->on_true,
        .on_false = i->on_false,
        .on_missing = i->on_false,
    };
    uint16_t fused = left > 0 ? fused_code(i->code, i[1].code) : 0;
    if (fused != 0) {
        operation.code = fused;
        operation.value = i[1].k;
        operation.on_true = i[1].on_true + 1;
        operation.on_false = i[1].on_false + 1;
    }
    return operation;
}

static int copy_patterns(struct fc_program *program, const struct fc_program_source *source) {
    for (size_t i = 0; i < source->pattern_count; i++) {
        uint8_t *bytes = malloc(source->patterns[i].length);
        if (!bytes)
            return FC_ERROR_MEMORY;
        memcpy(bytes, source->patterns[i].bytes, source->patterns[i].length);
        program->patterns[i] = (struct fc_pattern){bytes, source->patterns[i].length};
        program->pattern_count++;
    }
    return FC_OK;
}

/* The counts say how much there is to free, also when memory runs out half way. */
static int copy_tables(struct fc_program *program, const struct fc_program_source *source) {
    program->sets = calloc(source->set_count + 1, sizeof *program->sets);
    program->wide_sets = calloc(source->wide_set_count + 1, sizeof *program->wide_sets);
    program->patterns = calloc(source->pattern_count + 1, sizeof *program->patterns);
    if (!program->sets || !program->wide_sets || !program->patterns)
        return FC_ERROR_MEMORY;
    int status = FC_OK;
    for (size_t i = 0; i < source->set_count && status == FC_OK; i++)
        status = fc_set_make(&program->sets[program->set_count++], &source->sets[i]);
    for (size_t i = 0; i < source->wide_set_count && status == FC_OK; i++)
        status =
            fc_wide_set_make(&program->wide_sets[program->wide_set_count++], &source->wide_sets[i]);
    return status == FC_OK ? copy_patterns(program, source) : status;
}

int fc_program_new(const struct fc_program_source *source, struct fc_program **program,
                   size_t *bad) {
    *program = NULL;
    if (!is_valid(source, bad))
        return FC_ERROR_PROGRAM;
    size_t count = source->count;
    struct fc_program *made = calloc(1, sizeof *made + count * sizeof *made->operations);
    if (!made)
        return FC_ERROR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        const struct fc_instruction *instruction = &source->instructions[i];
        made->operations[i] = translate(instruction, count - 1 - i);
        made->uses_memory |= shape_of(instruction->code) == MEMORY;
        if (instruction->flags == FC_SKIPS_TAGS)
            made->tags_at = source->tags_at;
    }
    int status = copy_tables(made, source);
    if (status == FC_OK)
        status = fc_planner_make(&made->plan, source->instructions, count, made->sets);
    if (status < 0) {
        fc_program_free(made);
        return status;
    }
    *program = made;
    return FC_OK;
}

void fc_program_free(struct fc_program *program) {
    if (!program)
        return;
    for (size_t i = 0; i < program->set_count; i++)
        fc_set_free(&program->sets[i]);
    for (size_t i = 0; i < program->wide_set_count; i++)
        fc_wide_set_free(&program->wide_sets[i]);
    for (size_t i = 0; i < program->pattern_count; i++)
        free((void *)(uintptr_t)program->patterns[i].bytes);
    free(program->sets);
    free(program->wide_sets);
    free(program->patterns);
    free(program);
}

/* ---- Running ----------------------------------------------------------------------------- */

/* Shifts by 32 and more give 0, as libpcap's do with X. */
static uint32_t shift_left(uint32_t a, uint32_t by) {
    return by < 32 ? a << by : 0;
}

static uint32_t shift_right(uint32_t a, uint32_t by) {
    return by < 32 ? a >> by : 0;
}

/* How the bytes of a frame are reached: one piece, its outer tag apart, or either with tags to be
 * skipped. */
enum view { WHOLE, TAG_APART, SKIPPING };

static inline __attribute__((always_inline)) bool load(const struct fc_frame *frame, enum view view,
                                                       const struct fc_frame_tags *tags,
                                                       const struct operation *op, uint64_t offset,
                                                       uint32_t size, uint32_t *value) {
    if (view == SKIPPING && op->skips)
        return fc_frame_load_skipping(frame, tags, offset, size, value);
    return fc_frame_load(frame, view != WHOLE && frame->tagged, offset, size, value);
}

/* A record may claim to have been shorter than its tags. */
static uint32_t wire_without(const struct fc_frame *frame, const struct fc_frame_tags *tags) {
    return frame->wire > tags->wire ? frame->wire - tags->wire : 0;
}

static bool is_in_wide(const struct fc_frame *frame, const struct fc_frame_tags *tags,
                       const struct fc_wide_set *set, uint32_t offset) {
    if (tags->wire == 0 && !frame->tagged)
        return fc_bytes_within(offset, set->width, frame->captured) &&
               fc_wide_set_has(set, frame->bytes + offset);
    uint8_t bytes[FC_WIDE_SET_WIDEST];
    for (uint32_t i = 0; i < set->width; i++) {
        uint32_t byte;
        if (!fc_frame_load_skipping(frame, tags, (uint64_t)offset + i, 1, &byte))
            return false;
        bytes[i] = (uint8_t)byte;
    }
    return fc_wide_set_has(set, bytes);
}

static bool contains(const uint8_t *bytes, size_t length, const struct fc_pattern *pattern) {
    return memmem(bytes, length, pattern->bytes, pattern->length) != NULL;
}

/* With the tag apart: what begins in it or before it, byte by byte, then the rest in one piece. */
static bool frame_contains(const struct fc_frame *frame, const struct fc_pattern *pattern) {
    if (!frame->tagged)
        return contains(frame->bytes, frame->captured, pattern);
    const uint32_t behind = FC_TAG_OFFSET + FC_TAG_LENGTH;
    for (uint32_t at = 0; at < behind; at++) {
        if (!fc_bytes_within(at, pattern->length, frame->captured))
            return false;
        uint32_t i = 0;
        while (i < pattern->length && fc_frame_tagged_byte(frame, at + i) == pattern->bytes[i])
            i++;
        if (i == pattern->length)
            return true;
    }
    return contains(frame->bytes + FC_TAG_OFFSET, frame->captured - behind, pattern);
}

static const struct fc_frame_tags no_tags = {0};

#define LOAD_OR_GO(offset, size, into)                                                             \
    if (!load(frame, view, tags, op, (offset), (size), &(into)))                                   \
    op += op->on_missing
#define JUMP_IF(test) op += (test) ? op->on_true : op->on_false
#define FUSED(size, test)                                                                          \
    if (load(frame, view, tags, op, op->k, (size), &a))                                            \
        JUMP_IF(test);                                                                             \
    else                                                                                           \
        op += op->on_missing
#define IN_SET(number) fc_set_has(&program->sets[number], a)
#define WIRE           (view == SKIPPING && op->skips ? wire_without(frame, tags) : frame->wire)
#define CAPTURED       (frame->captured - (view == SKIPPING && op->skips ? tags->captured : 0))

/* `view` is a constant in each of the callers, so each gets a loop of its own. */
static inline __attribute__((always_inline)) uint32_t run(const struct fc_program *program,
                                                          const struct fc_frame *frame,
                                                          enum view view,
                                                          const struct fc_frame_tags *tags,
                                                          uint32_t start) {
    uint32_t a = 0;
    uint32_t x = 0;
    uint32_t turns = 0;
    uint32_t memory[FC_PROGRAM_MEMORY];
    if (program->uses_memory)
        memset(memory, 0, sizeof memory);
    for (const struct operation *op = program->operations + start;; op++) {
        switch (op->code) {
        case FUSED_W_JEQ: FUSED(4, a == op->value); break;
        case FUSED_H_JEQ: FUSED(2, a == op->value); break;
        case FUSED_B_JEQ: FUSED(1, a == op->value); break;
        case FUSED_W_IN_SET: FUSED(4, IN_SET(op->value)); break;
        case FUSED_H_IN_SET: FUSED(2, IN_SET(op->value)); break;
        case FUSED_B_IN_SET: FUSED(1, IN_SET(op->value)); break;
        case FC_LD_W_ABS: LOAD_OR_GO(op->k, 4, a); break;
        case FC_LD_H_ABS: LOAD_OR_GO(op->k, 2, a); break;
        case FC_LD_B_ABS: LOAD_OR_GO(op->k, 1, a); break;
        case FC_LD_W_IND: LOAD_OR_GO((uint64_t)x + op->k, 4, a); break;
        case FC_LD_H_IND: LOAD_OR_GO((uint64_t)x + op->k, 2, a); break;
        case FC_LD_B_IND: LOAD_OR_GO((uint64_t)x + op->k, 1, a); break;
        case FC_LDX_MSH: {
            uint32_t byte;
            if (load(frame, view, tags, op, op->k, 1, &byte))
                x = (byte & 0xf) << 2;
            else
                op += op->on_missing;
            break;
        }
        case FC_LD_IMM: a = op->k; break;
        case FC_LD_LEN: a = WIRE; break;
        case FC_LD_MEM: a = memory[op->k]; break;
        case FC_LD_CAPTURED: a = CAPTURED; break;
        case FC_LDX_IMM: x = op->k; break;
        case FC_LDX_LEN: x = WIRE; break;
        case FC_LDX_MEM: x = memory[op->k]; break;
        case FC_ST: memory[op->k] = a; break;
        case FC_STX: memory[op->k] = x; break;
        case FC_ADD_K: a += op->k; break;
        case FC_ADD_X: a += x; break;
        case FC_SUB_K: a -= op->k; break;
        case FC_SUB_X: a -= x; break;
        case FC_MUL_K: a *= op->k; break;
        case FC_MUL_X: a *= x; break;
        case FC_DIV_K: a /= op->k; break;
        case FC_MOD_K: a %= op->k; break;
        case FC_DIV_X:
            if (x == 0)
                op += op->on_missing;
            else
                a /= x;
            break;
        case FC_MOD_X:
            if (x == 0)
                op += op->on_missing;
            else
                a %= x;
            break;
        case FC_OR_K: a |= op->k; break;
        case FC_OR_X: a |= x; break;
        case FC_AND_K: a &= op->k; break;
        case FC_AND_X: a &= x; break;
        case FC_XOR_K: a ^= op->k; break;
        case FC_XOR_X: a ^= x; break;
        case FC_LSH_K: a = shift_left(a, op->k); break;
        case FC_LSH_X: a = shift_left(a, x); break;
        case FC_RSH_K: a = shift_right(a, op->k); break;
        case FC_RSH_X: a = shift_right(a, x); break;
        case FC_NEG: a = 0u - a; break;
        case FC_TAX: x = a; break;
        case FC_TXA: a = x; break;
        case FC_JA: op += op->on_true; break;
        case FC_JEQ_K: JUMP_IF(a == op->k); break;
        case FC_JEQ_X: JUMP_IF(a == x); break;
        case FC_JGT_K: JUMP_IF(a > op->k); break;
        case FC_JGT_X: JUMP_IF(a > x); break;
        case FC_JGE_K: JUMP_IF(a >= op->k); break;
        case FC_JGE_X: JUMP_IF(a >= x); break;
        case FC_JSET_K: JUMP_IF((a & op->k) != 0); break;
        case FC_JSET_X: JUMP_IF((a & x) != 0); break;
        case FC_JMP_IN_SET: JUMP_IF(IN_SET(op->k)); break;
        case FC_JMP_IN_WIDE:
            JUMP_IF(is_in_wide(frame, view == SKIPPING && op->skips ? tags : &no_tags,
                               &program->wide_sets[op->k], a));
            break;
        case FC_JMP_CONTAINS: JUMP_IF(frame_contains(frame, &program->patterns[op->k])); break;
        case FC_JA_BACK:
            if (++turns > FC_PROGRAM_MOST_TURNS)
                return 0;
            op -= op->k;
            break;
        case FC_RET_K: return op->k;
        case FC_RET_A: return a;
        default: return 0; /* not reached: fc_program_new let no other code in */
        }
    }
}

uint32_t fc_program_tags_at(const struct fc_program *program) {
    return program->tags_at;
}

void fc_program_use(struct fc_program *program, fc_code_run *code) {
    program->code = code;
}

static uint32_t run_code(const struct fc_program *program, const struct fc_frame *frame) {
    if (program->tags_at == 0)
        return program->code(frame, &no_tags);
    struct fc_frame_tags tags = fc_frame_find_tags(frame, program->tags_at);
    return program->code(frame, &tags);
}

uint32_t fc_program_run(const struct fc_program *program, const struct fc_frame *frame) {
    if (program->code != NULL)
        return run_code(program, frame);
    if (program->tags_at != 0) {
        struct fc_frame_tags tags = fc_frame_find_tags(frame, program->tags_at);
        if (tags.wire != 0)
            return run(program, frame, SKIPPING, &tags, 0);
    }
    return frame->tagged ? run(program, frame, TAG_APART, &no_tags, 0)
                         : run(program, frame, WHOLE, &no_tags, 0);
}

/* ---- Groups ------------------------------------------------------------------------------ */

uint32_t fc_program_reach(const struct fc_program *program) {
    uint32_t reach = program->plan.reach;
    if (reach == 0 || program->tags_at == 0)
        return reach;
    if (program->tags_at > FC_GROUP_REACH - 2)
        return 0;
    uint32_t tags = program->tags_at + 2;
    return reach < tags ? tags : reach;
}

void fc_program_sieve(const struct fc_program *program, struct fc_sieve *sieve) {
    *sieve = (struct fc_sieve){.weight = FC_SIEVE_ANYTHING};
    if (fc_program_reach(program) == 0)
        return;
    fc_sieve_of_plan(&program->plan, sieve);
    if (program->tags_at != 0)
        fc_sieve_add_tags(sieve, program->tags_at);
}

static void count_kind(struct fc_program_kind *kinds, uint32_t *count, uint32_t room,
                       uint32_t offset, uint8_t value) {
    for (uint32_t i = 0; i < *count; i++) {
        if (kinds[i].offset == offset && kinds[i].value == value) {
            kinds[i].asked++;
            return;
        }
    }
    if (*count < room)
        kinds[(*count)++] = (struct fc_program_kind){offset, value, 1};
}

void fc_program_count_kinds(const struct fc_program *program, struct fc_program_kind *kinds,
                            uint32_t *count, uint32_t room) {
    for (uint32_t i = 0; i < program->plan.count; i++) {
        const struct fc_plan_test *test = &program->plan.tests[i];
        if (test->kind == FC_PLAN_EQUAL && test->size == 1 && test->mask == 0xff)
            count_kind(kinds, count, room, test->offset, (uint8_t)test->value);
    }
}

static uint64_t go_on(const struct fc_program *program, const struct fc_group *group,
                      uint64_t frames, uint32_t start) {
    uint64_t taken = 0;
    while (frames != 0) {
        uint32_t place = fc_group_next(&frames);
        const struct fc_frame frame = fc_group_frame(group, place);
        taken |= (uint64_t)(run(program, &frame, WHOLE, &no_tags, start) != 0) << place;
    }
    return taken;
}

uint64_t fc_program_run_each(const struct fc_program *program, const struct fc_group *group,
                             uint64_t frames) {
    uint64_t taken = 0;
    while (frames != 0) {
        uint32_t place = fc_group_next(&frames);
        const struct fc_frame frame = fc_group_frame(group, place);
        taken |= (uint64_t)(fc_program_run(program, &frame) != 0) << place;
    }
    return taken;
}

uint64_t fc_program_run_group(const struct fc_program *program, struct fc_group *group,
                              uint64_t frames) {
    const struct fc_plan *plan = &program->plan;
    uint32_t reach = fc_program_reach(program);
    if (reach == 0 || reach > group->reach)
        return fc_program_run_each(program, group, frames);
    uint64_t together = frames & group->whole;
    if (program->tags_at != 0)
        together &= ~fc_group_tagged(group, program->tags_at, together);
    uint64_t goals[FC_PLAN_GOALS];
    fc_plan_run(plan, group, together, goals);
    uint64_t taken = goals[FC_PLAN_TAKE];
    for (uint32_t i = 0; i < plan->exit_count; i++)
        taken |= go_on(program, group, goals[FC_PLAN_FIRST_EXIT + i], plan->exits[i]);
    return taken | fc_program_run_each(program, group, frames & ~together);
}
