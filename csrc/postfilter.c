/* SPDX-License-Identifier: Apache-2.0 */
#include "postfilter.h"

#include "guard.h"
#include "sieve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/magic.h>
#include <sys/vfs.h>
#ifndef MADV_POPULATE_READ /* linux/mman.h, since 5.14 */
#define MADV_POPULATE_READ 22
#endif
#endif

enum {
    MOST_CHAINS = 12,        /* for large records; */
    FEW_CHAINS = 2,          /* for small ones, which come faster than cache misses, */
    SMALL = 256,             /* bytes in the mean, */
    SAMPLE = 16,             /* of the first records. Measured: docs/performance.md */
    FAR = 6 << 10,           /* a group of small records: fetched while the one before is judged */
    CHAIN_BYTES = 256 << 10, /* a chain is at least so long: a guess costs microseconds */
    GUESS_WITHIN = 64 << 10, /* bytes that are searched for the start of a chain, */
    GUESS_AHEAD = 1 << 20,   /* and for that of a range, */
    GUESS_SPAN = 8 << 20,    /* looking no further ahead than this */
    CANCEL_EVERY = 64,       /* groups between two looks at `cancel` */
    SIFT_TURNS = 4096,       /* records of each chain that are sifted at once, at most */
    FEW_WORDS = 4,           /* loops of their own for sieves that have no more: two Blobs, */
    SOME_WORDS = 6,          /* a host where tags are looked for */
    COARSE = 4,              /* a sieve that one frame in so many passes costs more than it saves */
    KINDS = 64,              /* bytes that programs ask for, and values, that are told apart, */
    KIND_WITHIN = 64,        /* near a frame's start, which was fetched */
    HUGE = 2 << 20,          /* mappings begin where the kernel can map so much at once */
};

/* Matching records that stand next to each other. */
struct run {
    size_t start;
    size_t end;
    uint32_t longest; /* captured length in it */
};

/* What an output gets of a chain. */
struct track {
    struct fc_scan_summary matched;
    struct run *runs;
    size_t count;
    size_t room;
};

/* A walk from one place up to the next chain's. */
struct chain {
    struct fc_scan scan;
    size_t first;
    size_t stop; /* records that start here or later are not its own */
    enum fc_scan_stop why;
    bool ended;
    uint64_t frames_read;
    uint64_t frames_taken;
    uint64_t tagged_missed;
    struct fc_summary summary;
    struct track *tracks;
};

struct walk {
    const struct fc_postfilter *postfilter;
    struct fc_postfilter_kept *kept; /* of each output */
    const uint8_t *bytes;
    struct chain chains[MOST_CHAINS];
    uint32_t count;
    struct track *tracks; /* of all chains: room for MOST_CHAINS times the outputs */
    uint32_t reach;       /* of a group */
    uint32_t ahead;       /* bytes of the next record that are fetched before it is looked at, */
    uint32_t far;         /* or of one that begins so many bytes behind it */
    uint32_t skipped_at;  /* where tags begin for `skipping`; 0: it does not matter */
    uint32_t tags_at;     /* and for the programs */
    fc_code_judge *code;  /* NULL: program after program */
    struct fc_program_kind kind; /* frames with this byte are asked for apart; asked 0: none */
    uint64_t of_kind;            /* those of the group: a hint, for a frame may be shorter */
    bool copies_at_once;         /* with one chain there is nothing to wait for */
    bool filled;                 /* as in the result */
    uint64_t kept_bytes;         /* of all outputs and chains */
    bool selects;                /* by time or flow */
    bool sifts;
    uint64_t sifted; /* frames, */
    uint64_t passed; /* and those that are judged */
    struct fc_sieve sieve;
};

/* ---- Runs -------------------------------------------------------------------------------- */

static int add_run(struct track *track, size_t start) {
    if (track->count == track->room) {
        size_t room = track->room > 0 ? 2 * track->room : 64;
        struct run *runs = realloc(track->runs, room * sizeof *runs);
        if (!runs)
            return FC_ERROR_MEMORY;
        track->runs = runs;
        track->room = room;
    }
    track->runs[track->count++] = (struct run){.start = start, .end = start};
    return FC_OK;
}

static inline int keep_record(struct track *track, size_t start, uint32_t captured) {
    if (track->count == 0 || track->runs[track->count - 1].end != start) {
        int status = add_run(track, start);
        if (status < 0)
            return status;
    }
    struct run *run = &track->runs[track->count - 1];
    run->end = start + FC_PCAP_RECORD_HEADER + (size_t)captured;
    if (captured > run->longest)
        run->longest = captured;
    return FC_OK;
}

/* Takes the runs out of a track. */
static int copy_runs(const struct walk *walk, struct track *track, struct fc_buffer *output) {
    for (size_t i = 0; i < track->count; i++) {
        const struct run *run = &track->runs[i];
        int status = fc_convert_append(&walk->postfilter->convert, walk->bytes + run->start,
                                       run->end - run->start, run->longest, output);
        if (status < 0)
            return status;
    }
    track->count = 0;
    return FC_OK;
}

/* ---- Groups ------------------------------------------------------------------------------ */

static inline uint64_t lowest(uint32_t count) {
    return count < FC_GROUP ? (UINT64_C(1) << count) - 1 : UINT64_MAX;
}

/* Where the record of a frame begins. */
static inline size_t start_of(const struct walk *walk, const struct fc_group *group,
                              uint32_t place) {
    return (size_t)(group->bytes[place] - walk->bytes) - FC_PCAP_RECORD_HEADER;
}

static inline int64_t time_of(const struct walk *walk, const struct fc_group *group,
                              uint32_t place) {
    struct fc_pcap_layout layout = walk->postfilter->convert.from;
    struct fc_pcap_record record;
    fc_pcap_record_read(group->bytes[place] - FC_PCAP_RECORD_HEADER, layout.swapped, &record);
    return fc_pcap_nanoseconds(&record, layout.nanoseconds);
}

static inline void end_chain(struct chain *chain, enum fc_scan_stop why) {
    chain->why = why;
    chain->ended = true;
}

/* The slow way to the next record: near the end of the bytes, and where something is wrong. */
static __attribute__((noinline)) bool next_record(struct chain *chain, size_t offset,
                                                  uint32_t *captured) {
    struct fc_pcap_record record;
    enum fc_scan_stop why = FC_SCAN_CALLER;
    if (chain->ended)
        return false;
    chain->scan.offset = offset;
    if (offset < chain->stop)
        why = fc_scan_next(&chain->scan, chain->scan.layout.swapped, &record);
    if (why != FC_SCAN_RECORD) {
        end_chain(chain, why);
        return false;
    }
    *captured = record.captured;
    return true;
}

/* Offsets before which a record of any length is whole. */
static size_t quick_before(const struct chain *chain) {
    size_t longest = FC_PCAP_RECORD_HEADER + (size_t)chain->scan.layout.max_captured;
    size_t before = chain->scan.length > longest ? chain->scan.length - longest : 0;
    return before < chain->stop ? before : chain->stop;
}

/* A chain came to `offset` over so many records. */
static inline void advance(struct chain *chain, size_t offset, uint32_t records) {
    chain->scan.offset = offset;
    chain->frames_read += records;
    if (!chain->ended && offset >= chain->stop)
        end_chain(chain, FC_SCAN_CALLER);
}

/* `share` records of each chain that goes on; those of one chain are in places next to each other.
 * The chains take turns, so that each waits for its cache misses while the others do.
 * `swapped` is a constant in each of the two callers, so each gets a loop of its own. */
static inline __attribute__((always_inline)) void fill(struct walk *walk, struct chain **going,
                                                       uint32_t count, uint32_t share,
                                                       struct fc_group *group, bool swapped) {
    const uint8_t *bytes = walk->bytes;
    const size_t next = walk->far;
    const size_t more = next + walk->ahead;
    const uint32_t most = going[0]->scan.layout.max_captured;
    const uint32_t kind_at = FC_PCAP_RECORD_HEADER + walk->kind.offset;
    const uint8_t kind = walk->kind.value;
    uint64_t of_kind = 0;
    size_t offsets[MOST_CHAINS];
    size_t quick[MOST_CHAINS];
    uint32_t filled[MOST_CHAINS];
    uint32_t shortest = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        offsets[i] = going[i]->scan.offset;
        quick[i] = quick_before(going[i]);
        filled[i] = share;
    }
    for (uint32_t turn = 0; turn < share; turn++) {
        for (uint32_t i = 0; i < count; i++) {
            uint32_t place = i * share + turn;
            const uint8_t *at = bytes + offsets[i];
            uint32_t captured = 0;
            if (__builtin_expect(offsets[i] < quick[i], 1)) {
                captured = fc_pcap_field(at + 8, swapped);
                of_kind |= (uint64_t)(at[kind_at] == kind) << place;
            }
            /* a record of no bytes may be a hole */
            if (__builtin_expect(captured - 1 >= most, 0)) {
                if (!next_record(going[i], offsets[i], &captured)) {
                    filled[i] = turn < filled[i] ? turn : filled[i];
                    quick[i] = 0; /* nothing more of it, though somebody may mend the bytes */
                    continue;
                }
            }
            offsets[i] += FC_PCAP_RECORD_HEADER + (size_t)captured;
            __builtin_prefetch(bytes + offsets[i] + next);
            __builtin_prefetch(bytes + offsets[i] + more);
            group->bytes[place] = at + FC_PCAP_RECORD_HEADER;
            group->captured[place] = captured;
            group->wire[place] = fc_pcap_field(at + 12, swapped);
            shortest = captured < shortest ? captured : shortest;
        }
    }
    uint64_t present = 0;
    for (uint32_t i = 0; i < count; i++) {
        advance(going[i], offsets[i], filled[i]);
        present |= lowest(filled[i]) << i * share;
    }
    walk->of_kind = walk->kind.asked > 0 ? of_kind : 0;
    fc_group_complete(group, present, shortest);
}

/* Walks chains until one has `share` frames that pass the sieve: just these are in the group, at
 * their chain's places. What comes behind `share` is a constant in most of the callers. */
static inline __attribute__((always_inline)) void sift_with(struct walk *walk, struct chain **going,
                                                            struct fc_group *group, uint32_t count,
                                                            uint32_t share, uint32_t word_count,
                                                            bool differs, bool swapped) {
    const uint32_t ahead = walk->ahead;
    const uint32_t reach = walk->sieve.reach;
    const uint32_t most = going[0]->scan.layout.max_captured;
    struct fc_sieve_word words[FC_SIEVE_WORDS];
    const uint8_t *records[MOST_CHAINS];
    const uint8_t *quick[MOST_CHAINS];
    uint32_t passed[MOST_CHAINS];
    uint32_t shortest = UINT32_MAX;
    memcpy(words, walk->sieve.words, sizeof words);
    for (uint32_t i = 0; i < count; i++) {
        records[i] = walk->bytes + going[i]->scan.offset;
        quick[i] = walk->bytes + quick_before(going[i]);
        passed[i] = 0;
    }
    uint32_t turn = 0;
    uint32_t last = count; /* chains that have a record in the last turn */
    for (bool goes_on = true; goes_on && turn < SIFT_TURNS; turn++) {
#pragma GCC unroll 2
        for (uint32_t i = 0; i < count; i++) {
            const uint8_t *at = records[i];
            const uint8_t *frame = at + FC_PCAP_RECORD_HEADER;
            uint32_t captured = 0;
            bool passes = true; /* near the end its words may not be there */
            if (__builtin_expect(at < quick[i], 1))
                captured = fc_pcap_field(at + 8, swapped);
            if (__builtin_expect(captured - reach <= most - reach, 1)) {
                passes = fc_sieve_passes(words, word_count, differs, frame);
            } else if (captured - 1 >= most) {
                uint32_t found = 0;
                if (!next_record(going[i], (size_t)(at - walk->bytes), &found)) {
                    last = i;
                    goes_on = false;
                    break;
                }
                captured = found;
            }
            records[i] = frame + captured;
            __builtin_prefetch(records[i]);
            __builtin_prefetch(records[i] + ahead);
            if (__builtin_expect(passes, 0)) {
                uint32_t place = i * share + passed[i]++;
                group->bytes[place] = frame;
                group->captured[place] = captured;
                group->wire[place] = fc_pcap_field(at + 12, swapped);
                shortest = captured < shortest ? captured : shortest;
                goes_on &= passed[i] < share;
            }
        }
    }
    uint64_t present = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t frames = turn - (i >= last);
        advance(going[i], (size_t)(records[i] - walk->bytes), frames);
        walk->sifted += frames;
        walk->passed += passed[i];
        present |= lowest(passed[i]) << i * share;
    }
    fc_group_complete(group, present, shortest);
}

static void sift(struct walk *walk, struct chain **going, uint32_t count, uint32_t share,
                 struct fc_group *group, bool swapped) {
    const struct fc_sieve *sieve = &walk->sieve;
    if (count != FEW_CHAINS || swapped)
        sift_with(walk, going, group, count, share, FC_SIEVE_WORDS, true, swapped);
    else if (fc_sieve_differs(sieve) && sieve->count > FEW_WORDS)
        sift_with(walk, going, group, FEW_CHAINS, share, FC_SIEVE_WORDS, true, false);
    else if (fc_sieve_differs(sieve))
        sift_with(walk, going, group, FEW_CHAINS, share, FEW_WORDS, true, false);
    else if (sieve->count > SOME_WORDS)
        sift_with(walk, going, group, FEW_CHAINS, share, FC_SIEVE_WORDS, false, false);
    else if (sieve->count > FEW_WORDS)
        sift_with(walk, going, group, FEW_CHAINS, share, SOME_WORDS, false, false);
    else
        sift_with(walk, going, group, FEW_CHAINS, share, FEW_WORDS, false, false);
    if (walk->sifted >= SIFT_TURNS && walk->passed > walk->sifted / COARSE)
        walk->sifts = false;
}

static bool is_wanted(const struct walk *walk, const struct fc_group *group, uint32_t place) {
    const struct fc_postfilter *postfilter = walk->postfilter;
    int64_t ns = time_of(walk, group, place);
    if (ns < postfilter->since_ns || ns >= postfilter->until_ns)
        return false;
    const struct fc_frame frame = fc_group_frame(group, place);
    return postfilter->sample == 0 ||
           fc_flow_is_sampled(fc_flow_hash(&frame, (enum fc_flow_link)postfilter->link),
                              postfilter->sample);
}

static uint64_t those_wanted(const struct walk *walk, const struct fc_group *group) {
    uint64_t found = 0;
    for (uint64_t left = group->present; left != 0;) {
        uint32_t place = fc_group_next(&left);
        found |= (uint64_t)is_wanted(walk, group, place) << place;
    }
    return found;
}

static void note_times(const struct walk *walk, const struct fc_group *group, struct track *track,
                       uint64_t bits) {
    const struct fc_postfilter *postfilter = walk->postfilter;
    bool cuts = postfilter->keep && postfilter->convert.from.nanoseconds &&
                !postfilter->convert.to.nanoseconds;
    struct fc_scan_summary matched = track->matched; /* in registers */
    while (bits != 0) {
        int64_t ns = time_of(walk, group, fc_group_next(&bits));
        fc_scan_note(&matched, cuts ? ns - ns % 1000 : ns);
    }
    track->matched = matched;
}

/* Takes the lowest bits that are set next to each other out of some: gives the place of the first,
 * and the place behind the last. */
static inline uint32_t next_neighbours(uint64_t *bits, uint32_t *end) {
    uint32_t first = (uint32_t)__builtin_ctzll(*bits);
    uint64_t carried = *bits + (UINT64_C(1) << first);
    *end = carried != 0 ? (uint32_t)__builtin_ctzll(carried) : FC_GROUP;
    *bits &= carried;
    return first;
}

/* Frames in places next to each other are neighbours in the file, where a chain is all there is and
 * nothing was sifted. */
static int copy_at_once(struct walk *walk, const struct fc_group *group, struct fc_buffer *output,
                        uint64_t bits) {
    while (bits != 0) {
        uint32_t end = 0;
        uint32_t longest = 0;
        uint32_t first = next_neighbours(&bits, &end);
        for (uint32_t place = first; place < end; place++)
            longest = group->captured[place] > longest ? group->captured[place] : longest;
        const uint8_t *at = group->bytes[first] - FC_PCAP_RECORD_HEADER;
        size_t length = (size_t)(group->bytes[end - 1] - at) + group->captured[end - 1];
        int status = fc_convert_append(&walk->postfilter->convert, at, length, longest, output);
        if (status < 0)
            return status;
        walk->kept_bytes += length;
    }
    return FC_OK;
}

static int note(struct walk *walk, const struct fc_group *group, struct track *track,
                uint64_t bits) {
    note_times(walk, group, track, bits);
    while (walk->postfilter->keep && bits != 0) {
        uint32_t place = fc_group_next(&bits);
        int status = keep_record(track, start_of(walk, group, place), group->captured[place]);
        if (status < 0)
            return status;
        walk->kept_bytes += sizeof(struct run) + FC_PCAP_RECORD_HEADER;
        walk->kept_bytes += group->captured[place];
    }
    return FC_OK;
}

static int take(struct walk *walk, const struct fc_group *group, uint32_t output, uint64_t bits) {
    note_times(walk, group, &walk->chains[0].tracks[output], bits);
    return copy_at_once(walk, group, &walk->kept[output].records, bits);
}

static int summarise(const struct walk *walk, const struct fc_group *group,
                     struct fc_summary *summary, uint64_t bits) {
    enum fc_flow_link link = (enum fc_flow_link)walk->postfilter->link;
    while (bits != 0) {
        uint32_t place = fc_group_next(&bits);
        const struct fc_frame frame = fc_group_frame(group, place);
        uint64_t second = (uint64_t)time_of(walk, group, place) / 1000000000;
        int status =
            fc_summary_note(summary, second, fc_summary_protocol_of(&frame, link), frame.wire);
        if (status < 0)
            return status;
    }
    return FC_OK;
}

/* Frames with a VLAN tag at an offset. The group reaches so far. */
static uint64_t those_tagged(struct fc_group *group, uint32_t at, uint64_t frames) {
    uint64_t found = 0;
    if ((frames & group->whole) != 0)
        found = fc_group_tagged(group, at, frames & group->whole);
    for (uint64_t cut = frames & ~group->whole; cut != 0;) {
        uint32_t place = fc_group_next(&cut);
        const struct fc_frame frame = fc_group_frame(group, place);
        found |= (uint64_t)fc_frame_has_tag(&frame, at) << place;
    }
    return found;
}

/* Of rejected frames: those that `skipping` would take. */
static uint64_t missed(const struct walk *walk, struct fc_group *group, uint64_t rejected) {
    uint64_t tagged = those_tagged(group, walk->skipped_at, rejected);
    return tagged != 0 ? fc_program_run_each(walk->postfilter->skipping, group, tagged) : 0;
}

/* What each program takes, by one function of machine code for all. Frames with tags that programs
 * skip are not in one piece for it. */
static void ask_code(const struct walk *walk, struct fc_group *group, uint64_t frames,
                     uint32_t programs, uint64_t *bits) {
    const struct fc_code_group view = {group->bytes, group->captured, group->wire, group->snaplen};
    uint64_t tagged = walk->tags_at != 0 ? those_tagged(group, walk->tags_at, frames) : 0;
    memset(bits, 0, programs * sizeof *bits);
    uint64_t first = frames & ~tagged & walk->of_kind;
    if (first != 0)
        walk->code(&view, first, bits);
    walk->code(&view, frames & ~tagged & ~first, bits);
    for (uint32_t i = 0; tagged != 0 && i < programs; i++)
        bits[i] |= fc_program_run_each(walk->postfilter->programs[i], group, tagged);
}

static void ask(const struct walk *walk, struct fc_group *group, uint64_t frames, uint32_t programs,
                uint64_t *bits) {
    const struct fc_program *const *asked = walk->postfilter->programs;
    if (walk->code != NULL) {
        ask_code(walk, group, frames, programs, bits);
        return;
    }
    for (uint32_t i = 0; i < programs; i++)
        bits[i] = asked[i] != NULL ? fc_program_run_group(asked[i], group, frames) : frames;
}

/* Processors without an instruction for it get a call for __builtin_popcountll. */
static uint32_t count_bits(uint64_t bits) {
    uint32_t count = 0;
    for (; bits != 0; bits &= bits - 1)
        count++;
    return count;
}

/* With a limit there is one chain. Takes out all frames behind the one that reaches it, and ends
 * the walk there. */
static void stop_at_limit(const struct walk *walk, struct chain *chain, struct fc_group *group,
                          uint64_t taken, uint64_t left) {
    if (count_bits(taken) < left)
        return;
    uint32_t last = 0;
    for (; left > 0; left--)
        last = fc_group_next(&taken);
    uint64_t kept = group->present & UINT64_MAX >> (FC_GROUP - 1 - last);
    chain->frames_read -= count_bits(group->present & ~kept);
    group->present = kept;
    chain->scan.offset =
        start_of(walk, group, last) + FC_PCAP_RECORD_HEADER + (size_t)group->captured[last];
    end_chain(chain, FC_SCAN_CALLER);
}

/* Asks the programs, and notes for each chain what its frames are. */
static int judge(struct walk *walk, struct chain **going, uint32_t count, uint32_t share,
                 struct fc_group *group) {
    const struct fc_postfilter *postfilter = walk->postfilter;
    uint64_t bits[FC_POSTFILTER_OUTPUTS];
    uint64_t wanted = walk->selects ? those_wanted(walk, group) : group->present;
    uint64_t taken = 0;
    uint32_t programs = postfilter->outputs - postfilter->rest;
    ask(walk, group, wanted, programs, bits);
    for (uint32_t i = 0; i < programs; i++)
        taken |= bits[i];
    if (postfilter->rest) {
        bits[programs] = wanted & ~taken;
        taken = wanted;
    }
    if (postfilter->limit != UINT64_MAX)
        stop_at_limit(walk, going[0], group, taken, postfilter->limit - going[0]->frames_taken);
    uint64_t also = 0; /* which a filter without tags would take */
    if (walk->skipped_at != 0)
        also = missed(walk, group, wanted & group->present & ~taken);
    for (uint32_t i = 0; i < count; i++) {
        struct chain *chain = going[i];
        uint64_t frames = lowest(share) << i * share & group->present;
        chain->frames_taken += count_bits(frames & taken);
        chain->tagged_missed += count_bits(frames & also);
        for (uint32_t output = 0; output < postfilter->outputs; output++) {
            if ((bits[output] & frames) == 0)
                continue;
            int status = walk->copies_at_once
                             ? take(walk, group, output, bits[output] & frames)
                             : note(walk, group, &chain->tracks[output], bits[output] & frames);
            if (status < 0)
                return status;
        }
        if (postfilter->summary) {
            int status = summarise(walk, group, &chain->summary, wanted & ~taken & frames);
            if (status < 0)
                return status;
        }
    }
    return FC_OK;
}

/* ---- Chains ------------------------------------------------------------------------------ */

static void begin_chain(struct walk *walk, struct chain *chain, size_t offset) {
    chain->first = chain->scan.offset = offset;
    chain->why = FC_SCAN_CALLER;
    chain->ended = false;
    chain->frames_read = chain->frames_taken = chain->tagged_missed = 0;
    fc_summary_clear(&chain->summary);
    for (uint32_t i = 0; i < walk->postfilter->outputs; i++) {
        chain->tracks[i].matched = (struct fc_scan_summary){0};
        chain->tracks[i].count = 0;
    }
}

static uint32_t those_going(struct chain *chains, uint32_t count, struct chain **going) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!chains[i].ended)
            going[found++] = &chains[i];
    return found;
}

static bool is_full(const struct walk *walk) {
    uint64_t rows = 0;
    for (uint32_t i = 0; walk->postfilter->summary && i < walk->count; i++)
        rows += walk->chains[i].summary.count;
    return walk->kept_bytes + rows * sizeof(struct fc_summary_row) > walk->postfilter->most_kept;
}

/* Ends the walk in its first chain: what the others found is found again by whoever goes on. */
static void cut_short(struct walk *walk, struct chain *chain) {
    if (!chain->ended)
        end_chain(chain, FC_SCAN_CALLER);
    walk->count = (uint32_t)(chain - walk->chains) + 1;
    walk->filled = chain->why == FC_SCAN_CALLER;
}

/* `swapped` is a constant in each of the two callers, so each gets a loop of its own. */
static inline __attribute__((always_inline)) int run_chains(struct walk *walk, struct chain *chains,
                                                            uint32_t count, bool swapped) {
    struct chain *going[MOST_CHAINS];
    struct fc_group group;
    fc_group_begin(&group, walk->reach, chains[0].scan.layout.snaplen);
    group.remembers = walk->postfilter->outputs > 1;
    for (uint32_t turn = 0;; turn++) {
        uint32_t left = those_going(chains, count, going);
        if (left == 0)
            return FC_OK;
        if (turn > 0 && is_full(walk)) {
            cut_short(walk, chains);
            return FC_OK;
        }
        if (turn % CANCEL_EVERY == 0 && fc_cancel_is_set(walk->postfilter->cancel))
            return FC_ERROR_CANCELLED;
        if (walk->sifts)
            sift(walk, going, left, FC_GROUP / left, &group, swapped);
        else
            fill(walk, going, left, FC_GROUP / left, &group, swapped);
        int status = judge(walk, going, left, FC_GROUP / left, &group);
        if (status < 0)
            return status;
    }
}

static int walk_chains(struct walk *walk, struct chain *chains, uint32_t count) {
    return chains[0].scan.layout.swapped ? run_chains(walk, chains, count, true)
                                         : run_chains(walk, chains, count, false);
}

static struct chain *add_chain(struct walk *walk, const struct fc_scan *scan, size_t offset) {
    struct chain *chain = &walk->chains[walk->count];
    chain->scan = *scan;
    chain->tracks = walk->tracks + (size_t)walk->count * walk->postfilter->outputs;
    begin_chain(walk, chain, offset);
    walk->count++;
    return chain;
}

/* One chain of small records is fetched ahead of the walk, so it is hardly slower than two, and
 * what matches is copied while it is in the cache. That is little behind a sieve. */
static uint32_t chains_for(struct walk *walk, const struct fc_scan *scan, size_t start,
                           size_t stop) {
    struct fc_scan sample = *scan;
    struct fc_pcap_record record;
    uint32_t records = 0;
    sample.offset = start;
    while (records < SAMPLE &&
           fc_scan_next(&sample, scan->layout.swapped, &record) == FC_SCAN_RECORD)
        records++;
    bool small = records == 0 || (sample.offset - start) / records < SMALL;
    size_t most = (stop - start) / CHAIN_BYTES;
    bool copies_much = walk->postfilter->keep && !walk->sifts;
    uint32_t few = copies_much ? 1 : FEW_CHAINS;
    walk->far = small && copies_much ? FAR : 0;
    uint32_t wanted = small ? few : MOST_CHAINS;
    return most < wanted ? (uint32_t)most : wanted;
}

/* One at `start`, others where records seem to begin: each ends where the next one begins. */
static void plan_chains(struct walk *walk, const struct fc_scan *scan, size_t start, size_t stop) {
    size_t room = stop - start;
    size_t wanted = walk->postfilter->limit != UINT64_MAX ? 1 : chains_for(walk, scan, start, stop);
    struct chain *last = add_chain(walk, scan, start);
    last->ended = walk->postfilter->limit == 0;
    for (size_t i = 1; i < wanted; i++) {
        size_t from = start + room / wanted * i;
        size_t found = fc_scan_guess(scan, from, GUESS_WITHIN);
        if (found == SIZE_MAX || found >= stop || found <= last->first)
            continue;
        last->stop = found;
        last = add_chain(walk, scan, found);
    }
    last->stop = stop;
    walk->copies_at_once = walk->postfilter->keep && walk->count == 1 && !walk->sifts;
}

/* Every chain must end where the next one begins. One that began elsewhere is walked again, and
 * behind damage nothing counts. */
static int join_chains(struct walk *walk, struct fc_postfilter_result *result) {
    for (uint32_t i = 1; i < walk->count; i++) {
        const struct chain *before = &walk->chains[i - 1];
        struct chain *chain = &walk->chains[i];
        if (before->why != FC_SCAN_CALLER) {
            walk->count = i;
            return FC_OK;
        }
        if (before->scan.offset == chain->first)
            continue;
        result->chains_redone++;
        begin_chain(walk, chain, before->scan.offset);
        int status = walk_chains(walk, chain, 1);
        if (status < 0)
            return status;
    }
    return FC_OK;
}

/* ---- Results ----------------------------------------------------------------------------- */

static void join_summary(struct fc_scan_summary *all, const struct fc_scan_summary *more) {
    if (more->frames == 0)
        return;
    if (all->frames == 0 || more->first_ns < all->first_ns)
        all->first_ns = more->first_ns;
    if (all->frames == 0 || more->last_ns > all->last_ns)
        all->last_ns = more->last_ns;
    all->frames += more->frames;
}

static int sum_up(struct walk *walk, struct fc_postfilter_result *result) {
    for (uint32_t i = 0; i < walk->count; i++) {
        struct chain *chain = &walk->chains[i];
        result->frames_read += chain->frames_read;
        result->frames_taken += chain->frames_taken;
        result->tagged_missed += chain->tagged_missed;
        int status = fc_summary_join(&result->summary, &chain->summary);
        if (status < 0)
            return status;
    }
    const struct chain *last = &walk->chains[walk->count - 1];
    result->end = last->scan.offset;
    result->stop = last->why;
    result->filled = walk->filled;
    for (uint32_t output = 0; output < walk->postfilter->outputs; output++) {
        struct fc_postfilter_kept *kept = &result->kept[output];
        for (uint32_t i = 0; i < walk->count; i++) {
            struct track *track = &walk->chains[i].tracks[output];
            join_summary(&kept->matched, &track->matched);
            int status = copy_runs(walk, track, &kept->records);
            if (status < 0)
                return status;
        }
    }
    return fc_summary_finish(&result->summary);
}

static void begin(const struct fc_postfilter *postfilter, struct fc_postfilter_result *result) {
    struct fc_postfilter_kept *kept = result->kept;
    *result = (struct fc_postfilter_result){.kept = kept, .stop = FC_SCAN_CALLER};
    for (uint32_t i = 0; i < postfilter->outputs; i++) {
        kept[i].matched = (struct fc_scan_summary){0};
        kept[i].records.length = 0;
    }
}

static bool is_asked(const struct fc_postfilter *postfilter, uint32_t output) {
    bool is_rest = postfilter->rest && output == postfilter->outputs - 1;
    return !is_rest && postfilter->programs[output] != NULL;
}

static uint32_t reach_of(const struct fc_postfilter *postfilter) {
    uint32_t reach = 0;
    for (uint32_t i = 0; i < postfilter->outputs; i++) {
        if (!is_asked(postfilter, i))
            continue;
        uint32_t needed = fc_program_reach(postfilter->programs[i]);
        reach = needed > reach ? needed : reach;
    }
    return reach;
}

/* Machine code is for programs that skip tags at the same place, or none. */
static void prepare_code(struct walk *walk) {
    const struct fc_postfilter *postfilter = walk->postfilter;
    walk->code = postfilter->code;
    for (uint32_t i = 0; i < postfilter->outputs; i++) {
        if (!is_asked(postfilter, i))
            continue;
        uint32_t at = fc_program_tags_at(postfilter->programs[i]);
        if (at == 0)
            continue;
        if ((walk->tags_at != 0 && at != walk->tags_at) || at > FC_GROUP_REACH - 2)
            walk->code = NULL;
        walk->tags_at = at;
    }
}

/* Nobody foresees whether the next frame is TCP or UDP: a processor that guesses wrong loses as
 * much as several filters take. So frames are asked for in two parts, by the byte that most tests
 * of several programs are about; what is taken does not depend on it. */
static void prepare_kinds(struct walk *walk) {
    const struct fc_postfilter *postfilter = walk->postfilter;
    struct fc_program_kind kinds[KINDS];
    uint32_t count = 0;
    if (walk->code == NULL || postfilter->outputs - postfilter->rest < 2 ||
        postfilter->convert.from.max_captured < KIND_WITHIN) /* then `fill` may read so far */
        return;
    for (uint32_t i = 0; i < postfilter->outputs; i++)
        if (is_asked(postfilter, i))
            fc_program_count_kinds(postfilter->programs[i], kinds, &count, KINDS);
    for (uint32_t i = 0; i < count; i++)
        if (kinds[i].asked > walk->kind.asked && kinds[i].offset < KIND_WITHIN)
            walk->kind = kinds[i];
}

/* So many bytes of a frame are looked at without asking each frame for them. */
static void prepare_reach(struct walk *walk) {
    uint32_t planned = reach_of(walk->postfilter);
    walk->reach = walk->code != NULL ? 0 : planned;
    const uint32_t tags[] = {walk->skipped_at, walk->code != NULL ? walk->tags_at : 0};
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++)
        if (tags[i] != 0 && walk->reach < tags[i] + 2)
            walk->reach = tags[i] + 2;
    uint32_t fetched = planned > walk->reach ? planned : walk->reach;
    walk->ahead = FC_PCAP_RECORD_HEADER - 1 + (fetched > 34 ? fetched : 34);
}

/* The words that all frames hold which matter; not all matter where an output takes the rest or
 * that is summed up, or where they are counted up to a limit. */
static void prepare_sieve(struct walk *walk) {
    const struct fc_postfilter *postfilter = walk->postfilter;
    struct fc_sieve *sieve = &walk->sieve;
    if (postfilter->rest || postfilter->summary || postfilter->limit != UINT64_MAX)
        return;
    for (uint32_t i = 0; i < postfilter->outputs; i++) {
        struct fc_sieve more;
        if (postfilter->programs[i] == NULL)
            return;
        fc_program_sieve(postfilter->programs[i], &more);
        fc_sieve_join(sieve, &more);
    }
    if (walk->skipped_at != 0)
        fc_sieve_add_tags(sieve, walk->skipped_at);
    for (uint32_t i = sieve->count; i < FC_SIEVE_WORDS; i++)
        sieve->words[i] = (struct fc_sieve_word){.value = 1}; /* never */
    struct fc_pcap_layout layout = postfilter->convert.from;
    walk->sifts = sieve->weight <= (UINT64_C(1) << 32) / COARSE && sieve->reach <= layout.snaplen &&
                  sieve->reach <= layout.max_captured;
}

/* ---- One walk ---------------------------------------------------------------------------- */

/* Everything of one call, so that it can be freed wherever a walk ends. Offsets are those of
 * call->scan; `start` and `stop` as in fc_postfilter_range. */
struct call {
    struct walk walk;
    struct fc_scan scan;
    size_t start;
    size_t stop;
    bool guess;
    bool last; /* `stop` is the end */
    struct fc_postfilter_result *result;
};

static int call_prepare(struct call *call, const struct fc_postfilter *postfilter,
                        struct fc_postfilter_result *result) {
    if (postfilter->outputs == 0 || postfilter->outputs > FC_POSTFILTER_OUTPUTS)
        return FC_ERROR_ARGUMENT;
    call->result = result;
    call->walk.postfilter = postfilter;
    call->walk.kept = result->kept;
    call->walk.skipped_at = postfilter->skipping ? fc_program_tags_at(postfilter->skipping) : 0;
    prepare_code(&call->walk);
    prepare_kinds(&call->walk);
    prepare_reach(&call->walk);
    call->walk.selects = postfilter->since_ns != INT64_MIN || postfilter->until_ns != INT64_MAX ||
                         postfilter->sample != 0;
    prepare_sieve(&call->walk);
    call->walk.tracks =
        calloc((size_t)MOST_CHAINS * postfilter->outputs, sizeof *call->walk.tracks);
    return call->walk.tracks ? FC_OK : FC_ERROR_MEMORY;
}

static void call_end(struct call *call) {
    if (call->walk.tracks != NULL)
        for (size_t i = 0; i < (size_t)MOST_CHAINS * call->walk.postfilter->outputs; i++)
            free(call->walk.tracks[i].runs);
    free(call->walk.tracks);
    for (uint32_t i = 0; i < MOST_CHAINS; i++)
        fc_summary_free(&call->walk.chains[i].summary);
}

/* Where ranges meet that are cut at `offset`; both find the same, because both look at the same
 * bytes. SIZE_MAX for none. */
static size_t border_at(const struct call *call, size_t offset) {
    struct fc_scan scan = call->scan;
    if (scan.length - offset > GUESS_SPAN)
        scan.length = offset + GUESS_SPAN;
    return fc_scan_guess(&scan, offset, GUESS_AHEAD);
}

/* May end at any load from the bytes. */
static int call_run(void *argument) {
    struct call *call = argument;
    struct walk *walk = &call->walk;
    size_t stop = call->last ? SIZE_MAX : border_at(call, call->stop);
    if (stop == SIZE_MAX)
        stop = call->stop;
    size_t start = call->guess ? border_at(call, call->start) : call->start;
    if (start == SIZE_MAX)
        start = stop;
    if (stop < start)
        stop = start;
    call->result->start = start;
    walk->bytes = call->scan.bytes;
    walk->count = 0;
    plan_chains(walk, &call->scan, start, stop);
    int status = walk_chains(walk, walk->chains, walk->count);
    if (status == FC_OK)
        status = join_chains(walk, call->result);
    return status == FC_OK ? sum_up(walk, call->result) : status;
}

int fc_postfilter_bytes(const struct fc_postfilter *postfilter, const uint8_t *bytes, size_t length,
                        struct fc_postfilter_result *result) {
    struct call call = {.scan = {.bytes = bytes, .length = length}, .stop = length, .last = true};
    call.scan.layout = postfilter->convert.from;
    begin(postfilter, result);
    int status = call_prepare(&call, postfilter, result);
    if (status == FC_OK)
        status = call_run(&call);
    call_end(&call);
    if (result->stop == FC_SCAN_CALLER && result->end == length)
        result->stop = FC_SCAN_END;
    return status;
}

/* ---- A range of a file ------------------------------------------------------------------- */

/* A part of a file in memory, from offset `from` on. */
struct part {
    uint64_t from;
    size_t length;
    size_t first; /* what is walked, but for a few bytes behind it */
    size_t most;
    uint8_t *mapped;         /* NULL: it was read */
    struct fc_buffer copied; /* of what cannot be mapped */
};

static int part_read(struct part *part, int fd) {
    int status = fc_buffer_reserve(&part->copied, part->length);
    while (status == FC_OK && part->copied.length < part->length) {
        ssize_t got =
            pread(fd, part->copied.bytes + part->copied.length, part->length - part->copied.length,
                  (off_t)(part->from + part->copied.length));
        if (got > 0)
            part->copied.length += (size_t)got;
        else if (got == 0)
            status = FC_ERROR_SHRUNK;
        else if (errno != EINTR)
            status = FC_ERROR_SYSTEM;
    }
    return status;
}

#ifdef RWF_NOWAIT
enum nearness { IN_MEMORY, ON_DISK, UNKNOWN };

static enum nearness nearness_of(int fd, uint64_t offset) {
    uint8_t byte;
    const struct iovec to = {.iov_base = &byte, .iov_len = 1};
    ssize_t got = preadv2(fd, &to, 1, (off_t)offset, RWF_NOWAIT);
    return got >= 0 ? IN_MEMORY : errno == EAGAIN ? ON_DISK : UNKNOWN;
}

static bool is_tmpfs(int fd) {
    struct statfs system;
    return fstatfs(fd, &system) == 0 && system.f_type == TMPFS_MAGIC;
}
#endif

/* Chains read a part from several places at once. A disk is better asked for all of it, in order,
 * and for what comes next; but to ask for what is in memory already would take a fifth of the time
 * of the walk. The kernel takes no more than its read-ahead at once (mm/readahead.c of Linux).
 * Gives whether all seems to be in memory. */
static bool fetch_from_disk(const struct part *part, int fd) {
#ifdef RWF_NOWAIT
    enum { AT_ONCE = 128 << 10 };
    for (uint64_t i = 0; i < SAMPLE; i++) {
        enum nearness nearness = nearness_of(fd, part->from + part->length / SAMPLE * i);
        if (nearness == UNKNOWN) /* the file system does not say */
            return is_tmpfs(fd);
        if (nearness == IN_MEMORY)
            continue;
        uint64_t end = part->from + 2 * (uint64_t)part->length;
        for (uint64_t at = part->from; at < end; at += AT_ONCE)
            (void)posix_fadvise(fd, (off_t)at, AT_ONCE, POSIX_FADV_WILLNEED);
        return false;
    }
    return true;
#else
    (void)part, (void)fd;
    return false;
#endif
}

/* Pages that the walk comes to one after the other are a fault for every 64 KiB, which together
 * take as long as a walk with a sieve; at once they take a fifth of that. Kernels before Linux 5.14
 * do not know it, and a file that was shortened has none: the walk goes on all the same. */
static void map_pages(const struct part *part) {
#ifdef MADV_POPULATE_READ
    size_t page = part->first & ~(size_t)0xffff; /* no page is larger */
    (void)madvise(part->mapped + page, part->most - page, MADV_POPULATE_READ);
#else
    (void)part;
#endif
}

static int part_open(struct part *part, int fd) {
    bool is_near = fetch_from_disk(part, fd);
    void *mapped = mmap(NULL, part->length, PROT_READ, MAP_SHARED, fd, (off_t)part->from);
    if (mapped == MAP_FAILED)
        return part_read(part, fd);
    part->mapped = mapped;
    if (is_near)
        map_pages(part);
    return FC_OK;
}

static void part_close(struct part *part) {
    if (part->mapped != NULL)
        munmap(part->mapped, part->length);
    fc_buffer_free(&part->copied);
}

/* Zeros behind the end of a file that was shortened are not its bytes; a read that comes at the
 * same time may give them too. */
static int check_length(const struct part *part, int fd) {
    struct stat status;
    if (fstat(fd, &status) < 0)
        return FC_ERROR_SYSTEM;
    return (uint64_t)status.st_size < part->from + part->length ? FC_ERROR_SHRUNK : FC_OK;
}

static int run_part(struct call *call, struct part *part, int fd) {
    int status = part_open(part, fd);
    if (status < 0)
        return status;
    call->scan.bytes = part->mapped ? part->mapped : part->copied.bytes;
    call->scan.length = part->length;
    status = part->mapped ? fc_guard_run(call_run, call, part->mapped, part->length)
                          : call_run(call); /* on a copy */
    return status == FC_OK ? check_length(part, fd) : status;
}

int fc_postfilter_range(const struct fc_postfilter *postfilter, int fd, uint64_t start,
                        uint64_t stop, uint64_t size, bool guess,
                        struct fc_postfilter_result *result) {
    begin(postfilter, result);
    uint64_t first = start < stop ? start : stop;
    uint64_t most = start < stop ? stop : start;
    if (most > size || size > INT64_MAX || size - first > SIZE_MAX)
        return FC_ERROR_ARGUMENT;
    struct part part = {.from = first / HUGE * HUGE};
    uint64_t ahead =
        GUESS_SPAN + FC_PCAP_RECORD_HEADER + 2 * (uint64_t)postfilter->convert.from.max_captured;
    uint64_t end = size - most > ahead ? most + ahead : size;
    part.length = (size_t)(end - part.from);
    part.first = (size_t)(first - part.from);
    part.most = (size_t)(most - part.from);
    struct call call = {.start = (size_t)(start - part.from),
                        .stop = (size_t)(stop - part.from),
                        .guess = guess,
                        .last = stop == size,
                        .scan.layout = postfilter->convert.from};
    int status = call_prepare(&call, postfilter, result);
    if (status == FC_OK && part.length > 0)
        status = run_part(&call, &part, fd);
    call_end(&call);
    part_close(&part);
    result->start += part.from;
    result->end += part.from;
    return status;
}
