/* SPDX-License-Identifier: Apache-2.0
 *
 * The walk over blocks: what it finds in whole files, torn ones, and ones that lie.
 */
#include "check.h"
#include "pcapng.h"
#include "record.h"

enum { MOST_BYTES = 1 << 16, MOST_BLOCKS = 200 };

static uint8_t file[MOST_BYTES];
static size_t length;
static size_t ends[MOST_BLOCKS]; /* of each block */
static size_t block_count;
static uint64_t frames;
static int64_t first_ns, last_ns;
static uint32_t ns_a_tick;

static void end_block(size_t start) {
    while (length % 4 != 0)
        file[length++] = 0;
    uint32_t size = (uint32_t)(length - start) + 4;
    fc_store32(file + start + 4, size);
    fc_store32(file + length, size);
    length += 4;
    ends[block_count++] = length;
}

static size_t begin_block(uint32_t type) {
    fc_store32(file + length, type);
    length += 8;
    return length - 8;
}

static void put32(uint32_t value) {
    fc_store32(file + length, value);
    length += 4;
}

/* An option of a code and size; its first byte is `value`. */
static void put_option(uint32_t code, uint32_t size, uint8_t value) {
    put32(code | size << 16);
    memset(file + length, 'x', size);
    file[length] = value;
    length += (size + 3) & ~3u;
}

static void make_file(uint32_t count, uint8_t resolution) {
    length = block_count = frames = 0;
    ns_a_tick = resolution == 9 ? 1 : resolution == 6 ? 1000 : 1000000000;
    size_t start = begin_block(FC_PCAPNG_SECTION);
    put32(0x1a2b3c4d);
    put32(1);
    put32(UINT32_MAX);
    put32(UINT32_MAX);
    put_option(4, 1 + random_below(30), 'f');
    end_block(start);
    start = begin_block(FC_PCAPNG_INTERFACE);
    put32(1);
    put32(80);
    put_option(2, 1 + random_below(9), 'v');
    put_option(9, 1, resolution);
    put32(0);
    end_block(start);
    for (uint32_t i = 0; i < count; i++) {
        struct fc_record record = {
            .seconds = 1700000000 + random_below(1000),
            .nanoseconds = random_below(1000000000),
            .captured = random_below(100),
            .wire = 1500,
            .missing = random_below(2) ? random32() : 0,
        };
        uint8_t *bytes = fc_record_begin_pcapng(file + length, resolution == 9, &record);
        random_fill(bytes, record.captured);
        fc_record_end_pcapng(bytes, &record);
        uint32_t size = fc_record_size(true, record.captured, record.missing);
        CHECK_IS(size % 4, 0);
        CHECK_IS(size, 32 + ((record.captured + 3) & ~3u) + (record.missing ? 16 : 0));
        CHECK(size <= FC_RECORD_MOST_AROUND + record.captured);
        length += size;
        ends[block_count++] = length;
        int64_t ns = record.seconds * (int64_t)1000000000 + record.nanoseconds;
        ns -= ns % ns_a_tick;
        first_ns = frames == 0 || ns < first_ns ? ns : first_ns;
        last_ns = frames == 0 || ns > last_ns ? ns : last_ns;
        frames++;
    }
    start = begin_block(FC_PCAPNG_STATISTICS);
    put32(0);
    put32(random32());
    put32(random32());
    end_block(start);
}

static size_t walk_all(struct fc_pcapng_walk *walk, size_t piece, bool *damaged) {
    size_t at = 0;
    *damaged = false;
    while (at < length && !*damaged) {
        size_t there = length - at < piece ? length - at : piece;
        uint8_t *copy = malloc(there); /* of just that length, for ASAN */
        memcpy(copy, file + at, there);
        size_t taken = fc_pcapng_walk_on(walk, copy, there, damaged);
        free(copy);
        if (taken == 0)
            break;
        at += taken;
    }
    return at;
}

static void whole_files_are_counted_in_pieces_of_any_length(void) {
    for (int round = 0; round < 200; round++) {
        struct fc_pcapng_walk walk = {0};
        bool damaged;
        make_file(random_below(MOST_BLOCKS - 3), random_below(2) ? 9 : 6);
        check_about("round %d", round);
        CHECK_IS(walk_all(&walk, 200 + random_below(3000), &damaged), length);
        CHECK(!damaged);
        CHECK_IS(walk.frames, frames);
        CHECK_IS(walk.blocks, frames + 3);
        CHECK(frames == 0 || (walk.first_ns == first_ns && walk.last_ns == last_ns));
    }
}

static void a_torn_file_ends_with_its_last_whole_block(void) {
    make_file(20, 9);
    size_t whole = length;
    for (length = 0; length < whole; length++) {
        struct fc_pcapng_walk walk = {0};
        bool damaged;
        size_t blocks = 0;
        check_about("cut at %u", (unsigned)length);
        while (ends[blocks] <= length)
            blocks++;
        CHECK_IS(walk_all(&walk, MOST_BYTES, &damaged), blocks > 0 ? ends[blocks - 1] : 0);
        CHECK(!damaged);
        CHECK_IS(walk.blocks, blocks);
    }
    length = whole;
}

static void check_damaged(size_t end) {
    struct fc_pcapng_walk walk = {0};
    bool damaged;
    CHECK_IS(walk_all(&walk, MOST_BYTES, &damaged), end);
    CHECK(damaged);
}

static void store_and_check(size_t block, size_t offset, uint32_t value) {
    uint32_t was = fc_load32(file + ends[block - 1] + offset);
    check_about("block %u, offset %u: %u", (unsigned)block, (unsigned)offset, value);
    fc_store32(file + ends[block - 1] + offset, value);
    check_damaged(ends[block - 1]);
    fc_store32(file + ends[block - 1] + offset, was);
}

static void what_no_block_of_ours_has_is_damage(void) {
    make_file(20, 6);
    static const uint32_t lengths[] = {0,  4,  8,          11,         13,
                                       34, 35, 0xffffffff, 0xfffffffc, FC_PCAPNG_LONGEST_BLOCK + 4};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        store_and_check(5, 4, lengths[i]);
    store_and_check(5, 0, 0);                 /* a hole */
    store_and_check(5, 0, 2);                 /* a type that is not written */
    store_and_check(5, 0, FC_PCAPNG_SECTION); /* a second section */
    store_and_check(5, 8, 1);                 /* an interface that is not there */
    store_and_check(5, 12, 0xffffffff);       /* a time behind all that 64 bits can say */
    store_and_check(5, 20, 0xffffffff);       /* more bytes than the block has */
    store_and_check(5, 20, fc_load32(file + ends[4] + 4) - 32 + 1); /* a byte more */
    store_and_check(5, (size_t)fc_load32(file + ends[4] + 4) - 4,
                    12); /* another length behind it */
    file[8] ^= 0xff;     /* the byte order */
    check_damaged(0);
}

static void resolutions_are_those_of_powers_of_ten(void) {
    for (uint32_t resolution = 0; resolution < 256; resolution++) {
        struct fc_pcapng_walk walk = {0};
        bool damaged;
        make_file(0, (uint8_t)resolution);
        check_about("resolution %u", resolution);
        walk_all(&walk, MOST_BYTES, &damaged);
        CHECK_IS(damaged, resolution > 9);
        if (!damaged && (resolution == 0 || resolution == 6 || resolution == 9))
            CHECK_IS(walk.ns_a_tick[0], ns_a_tick);
    }
}

static void bytes_that_lie_are_survived(void) {
    for (int round = 0; round < 3000; round++) {
        struct fc_pcapng_walk walk = {0};
        bool damaged;
        make_file(10, 9);
        for (uint32_t lies = 1 + random_below(10); lies > 0; lies--) {
            size_t at = random_below((uint32_t)length / 4) * 4;
            fc_store32(file + at, random_below(2) ? random32() : random_below(300));
        }
        check_about("round %d", round);
        CHECK(walk_all(&walk, 1 + random_below(2000), &damaged) <= length);
        CHECK(walk.frames <= 13);
    }
}

int main(int count, char **arguments) {
    random_seed(random_seed_argument(count, arguments));
    TEST(whole_files_are_counted_in_pieces_of_any_length);
    TEST(a_torn_file_ends_with_its_last_whole_block);
    TEST(what_no_block_of_ours_has_is_damage);
    TEST(resolutions_are_those_of_powers_of_ten);
    TEST(bytes_that_lie_are_survived);
    return check_result();
}
