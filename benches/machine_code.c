/* SPDX-License-Identifier: Apache-2.0
 *
 * The loops of machine_code.py: nanoseconds a frame of one way to run a program on frames in
 * memory, after it said which frames it takes.
 */
#include "code.h"
#include "program.h"

#include <time.h>

typedef unsigned bpf_filter(const void *program, const uint8_t *frame, unsigned wire,
                            unsigned captured);

struct frames {
    const uint8_t *const *bytes;
    const uint32_t *captured;
    const uint32_t *wire;
    uint32_t count; /* full groups */
    uint32_t rounds;
};

struct way {
    const void *function; /* bpf_filter, fc_code_run or fc_code_judge */
    const void *program;  /* struct bpf_insn, or struct fc_program */
    uint32_t programs;
};

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static struct fc_frame frame_at(const struct frames *frames, uint32_t i) {
    return (struct fc_frame){
        .bytes = frames->bytes[i], .captured = frames->captured[i], .wire = frames->wire[i]};
}

/* Each gives the bits of a group. */
typedef uint64_t judge_group(const struct way *way, const struct frames *frames, uint32_t first);

static uint64_t with_libpcap(const struct way *way, const struct frames *frames, uint32_t first) {
    bpf_filter *filter = (bpf_filter *)(uintptr_t)way->function;
    uint64_t taken = 0;
    for (uint32_t i = 0; i < FC_GROUP; i++)
        taken |= (uint64_t)(filter(way->program, frames->bytes[first + i], frames->wire[first + i],
                                   frames->captured[first + i]) != 0)
                 << i;
    return taken;
}

static uint64_t with_interpreter(const struct way *way, const struct frames *frames,
                                 uint32_t first) {
    uint64_t taken = 0;
    for (uint32_t i = 0; i < FC_GROUP; i++) {
        const struct fc_frame frame = frame_at(frames, first + i);
        taken |= (uint64_t)(fc_program_run(way->program, &frame) != 0) << i;
    }
    return taken;
}

static uint64_t with_plan(const struct way *way, const struct frames *frames, uint32_t first) {
    static struct fc_group group;
    if (group.snaplen == 0)
        fc_group_begin(&group, fc_program_reach(way->program), 262144);
    group.reach = fc_program_reach(way->program);
    uint32_t shortest = UINT32_MAX;
    for (uint32_t i = 0; i < FC_GROUP; i++) {
        group.bytes[i] = frames->bytes[first + i];
        group.captured[i] = frames->captured[first + i];
        group.wire[i] = frames->wire[first + i];
        if (group.captured[i] < shortest)
            shortest = group.captured[i];
    }
    fc_group_complete(&group, UINT64_MAX, shortest);
    return fc_program_run_group(way->program, &group, UINT64_MAX);
}

static uint64_t with_calls(const struct way *way, const struct frames *frames, uint32_t first) {
    static const struct fc_frame_tags no_tags = {0};
    fc_code_run *run = (fc_code_run *)(uintptr_t)way->function;
    uint64_t taken = 0;
    for (uint32_t i = 0; i < FC_GROUP; i++) {
        const struct fc_frame frame = frame_at(frames, first + i);
        taken |= (uint64_t)(run(&frame, &no_tags) != 0) << i;
    }
    return taken;
}

static uint64_t with_loop(const struct way *way, const struct frames *frames, uint32_t first) {
    fc_code_judge *judge = (fc_code_judge *)(uintptr_t)way->function;
    const struct fc_code_group group = {frames->bytes + first, frames->captured + first,
                                        frames->wire + first, 262144};
    uint64_t taken[256] = {0};
    uint64_t any = 0;
    judge(&group, UINT64_MAX, taken);
    for (uint32_t i = 0; i < way->programs; i++)
        any |= taken[i];
    return any;
}

static judge_group *const ways[] = {with_libpcap, with_interpreter, with_plan, with_calls,
                                    with_loop};

/* Nanoseconds a frame; `taken` gets the bits of all groups first. */
double measure(uint32_t number, const struct way *way, const struct frames *frames,
               uint64_t *taken) {
    judge_group *judge = ways[number];
    for (uint32_t first = 0; first < frames->count; first += FC_GROUP)
        taken[first / FC_GROUP] = judge(way, frames, first);
    volatile uint64_t kept = 0;
    double began = now();
    for (uint32_t round = 0; round < frames->rounds; round++)
        for (uint32_t first = 0; first < frames->count; first += FC_GROUP)
            kept += judge(way, frames, first);
    return (now() - began) / ((double)frames->rounds * frames->count);
}
