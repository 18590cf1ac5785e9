/* SPDX-License-Identifier: Apache-2.0
 *
 * Random valid programs on random frames: machine code and the interpreter agree. Frames end where
 * memory ends, so that a byte too much is a crash. pairs SEED COUNT.
 */
#include "check_code.h"
#include "programs.h"

enum {
    PROGRAMS = 4, /* judged together, at most */
    FRAMES = 64,
    TURN = 16,      /* frames that a program runs on alone, besides */
    LONGEST = 1500, /* instructions: some programs are too long to be specialised */
    MOST_BYTES = 256,
};

static void fail(const char *what, const struct fc_instruction *instructions, size_t count) {
    printf("%s\n", what);
    for (size_t i = 0; i < count; i++)
        printf("%3zu: 0x%03x flags %u k 0x%x true %u false %u\n", i, instructions[i].code,
               instructions[i].flags, instructions[i].k, instructions[i].on_true,
               instructions[i].on_false);
    exit(1);
}

/* Bytes that often are what programs look for. */
static uint32_t random_frame(uint8_t *frame) {
    uint32_t length = random_below(4) ? random_below(LONGEST_FRAME + 1) : random_below(MOST_BYTES);
    for (uint32_t i = 0; i < length; i++)
        frame[i] = (uint8_t)(random_below(3) ? random_below(8) : random32());
    uint32_t tags = random_below(3) ? 0 : 1 + random_below(3);
    for (uint32_t at = 12; tags > 0 && at + 4 <= length; at += 4, tags--) {
        frame[at] = 0x81;
        frame[at + 1] = 0;
    }
    if (length > 14 && random_below(2))
        frame[14] = 0x45;
    return length;
}

struct random_program {
    struct fc_instruction instructions[LONGEST];
    uint32_t pairs[MOST_SETS][40];
    struct fc_ranges sets[MOST_SETS];
    struct fc_program_source source;
    struct fc_program *program;
};

static void make(struct random_program *made) {
    uint32_t most = random_below(4) ? 12 : random_below(60) ? MOST_INSTRUCTIONS : LONGEST;
    size_t count = 1 + random_below(most);
    uint32_t sets = random_below(MOST_SETS + 1);
    for (uint32_t i = 0; i < sets; i++)
        random_set(&made->sets[i], made->pairs[i]);
    if (sets > 0 && random_below(2)) { /* one that needs all kinds of tables */
        uint32_t *pairs = made->pairs[0];
        uint32_t last = made->sets[0].count;
        if (last > 0)
            pairs[2 * last - 1] = random_below(2) ? 0x20000 : UINT32_MAX;
    }
    for (size_t i = 0; i < count; i++)
        made->instructions[i] = random_instruction(count, count - 1 - i, sets);
    made->source = source_of(made->instructions, count, made->sets, sets);
    size_t bad;
    if (fc_program_new(&made->source, &made->program, &bad) != FC_OK)
        fail("a random program is not valid", made->instructions, count);
}

static void check_judge(struct random_program *all, uint32_t count, fc_code_judge *judge) {
    uint8_t bytes[MOST_BYTES];
    const uint8_t *pointers[FRAMES];
    uint32_t captured[FRAMES];
    uint32_t wire[FRAMES];
    uint64_t frames = 0;
    const struct fc_code_group group = {pointers, captured, wire,
                                        random_below(2) ? 262144 : random_below(80)};
    uint64_t taken[PROGRAMS] = {0};
    uint64_t expected[PROGRAMS] = {0};
    for (uint32_t i = 0; i < FRAMES; i++) {
        captured[i] = random_frame(bytes);
        wire[i] = captured[i] + random_below(3);
        pointers[i] = memcpy(memory_end(i) - captured[i], bytes, captured[i]);
        const struct fc_frame frame = {.bytes = pointers[i],
                                       .captured = captured[i] < group.snaplen ? captured[i]
                                                                               : group.snaplen,
                                       .wire = wire[i]};
        if (random_below(8) == 0 || fc_frame_find_tags(&frame, tags_at).wire != 0)
            continue;
        frames |= UINT64_C(1) << i;
        for (uint32_t p = 0; p < count; p++)
            expected[p] |= (uint64_t)(fc_program_run(all[p].program, &frame) != 0) << i;
    }
    judge(&group, frames, taken);
    for (uint32_t p = 0; p < count; p++)
        if (taken[p] != expected[p])
            fail("a group", all[p].instructions, all[p].source.count);
}

int main(int argc, char **argv) {
    static struct random_program all[PROGRAMS];
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 100000;
    random_seed(argc > 1 ? strtoull(argv[1], NULL, 10) : 1);
    for (uint64_t pairs = 0; pairs < count;) {
        uint32_t programs = 1 + random_below(PROGRAMS);
        struct fc_program_source sources[PROGRAMS];
        for (uint32_t p = 0; p < programs; p++) {
            make(&all[p]);
            sources[p] = all[p].source;
        }
        struct fc_jit *run = fc_jit_new(sources, 1, false);
        struct fc_jit *judge = fc_jit_new(sources, programs, true);
        if (run == NULL || judge == NULL)
            fail("refused", all[0].instructions, all[0].source.count);
        for (uint32_t turn = 0; turn < TURN; turn++) {
            uint8_t frame[MOST_BYTES];
            uint32_t length = random_frame(frame);
            if (!runs_alike(all[0].program, run_of(run), frame, length, length + random_below(3)))
                fail("a frame alone", all[0].instructions, all[0].source.count);
            pairs++;
        }
        check_judge(all, programs, judge_of(judge));
        pairs += (uint64_t)FRAMES * programs;
        fc_jit_free(run);
        fc_jit_free(judge);
        for (uint32_t p = 0; p < programs; p++)
            fc_program_free(all[p].program);
    }
    printf("%llu pairs agree\n", (unsigned long long)count);
    return 0;
}
