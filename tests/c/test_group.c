/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups: columns are the frames' bytes, frames that are too short count as zeros, and places
 * without a frame are safe to read. Frames lie in blocks of exactly their length.
 */
#include "check.h"
#include "group.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Frames of a group, each in a block of its own. */
struct frames {
    uint8_t *blocks[FC_GROUP];
    uint32_t lengths[FC_GROUP];
};

static void frames_free(struct frames *frames) {
    for (size_t i = 0; i < FC_GROUP; i++)
        free(frames->blocks[i]);
    *frames = (struct frames){0};
}

static uint64_t random_bits(void) {
    switch (random_below(4)) {
    case 0: return UINT64_MAX;
    case 1: return (UINT64_C(1) << random_below(64)) - 1;
    default: return (uint64_t)random32() << 32 | random32();
    }
}

/* New frames in some places; those of the others are gone. */
static void fill(struct fc_group *group, struct frames *frames, uint64_t present, uint32_t least,
                 uint32_t most) {
    uint32_t shortest = UINT32_MAX;
    struct frames made = {0};
    for (uint32_t i = 0; i < FC_GROUP; i++) {
        if (!(present >> i & 1))
            continue;
        uint32_t length = least + random_below(most - least + 1);
        made.blocks[i] = block_new(length);
        made.lengths[i] = length;
        random_fill(made.blocks[i], length);
        group->bytes[i] = made.blocks[i];
        group->captured[i] = length;
        group->wire[i] = random32();
        shortest = length < shortest ? length : shortest;
    }
    frames_free(frames);
    *frames = made;
    fc_group_complete(group, present, shortest);
}

static uint32_t cut(const struct fc_group *group, const struct frames *frames, uint32_t place) {
    uint32_t length = frames->lengths[place];
    return length < group->snaplen ? length : group->snaplen;
}

/* As the bytes lie there. */
static uint32_t number_at(const uint8_t *at, uint32_t size) {
    uint32_t value = 0;
    uint8_t bytes[4] = {0};
    memcpy(bytes, at, size);
    if (size == 1)
        return bytes[0];
    uint16_t half;
    memcpy(&half, bytes, sizeof half);
    memcpy(&value, bytes, sizeof value);
    return size == 2 ? half : value;
}

static void check_column(struct fc_group *group, const struct frames *frames, uint32_t size,
                         uint32_t offset) {
    const uint32_t *column = fc_group_column(group, size, offset);
    for (uint32_t i = 0; i < FC_GROUP; i++) {
        bool there = (group->present >> i & 1) != 0;
        if (size == 0) {
            CHECK(!there || column[i] == group->wire[i]);
            continue;
        }
        bool whole = there && cut(group, frames, i) >= group->reach;
        CHECK_IS(column[i], whole ? number_at(frames->blocks[i] + offset, size) : 0);
    }
}

static void check_group(struct fc_group *group, const struct frames *frames, uint64_t present) {
    CHECK(group->present == present);
    for (uint32_t i = 0; i < FC_GROUP; i++) {
        bool there = (present >> i & 1) != 0;
        bool whole = there && cut(group, frames, i) >= group->reach;
        CHECK_IS(group->whole >> i & 1, whole);
        if (there) {
            const struct fc_frame frame = fc_group_frame(group, i);
            CHECK(frame.bytes == frames->blocks[i] && !frame.tagged);
            CHECK_IS(frame.captured, cut(group, frames, i));
            CHECK_IS(frame.wire, group->wire[i]);
        }
    }
}

static void a_new_group_is_empty_and_can_be_read(void) {
    struct fc_group group;
    struct frames none = {0};
    fc_group_begin(&group, FC_GROUP_REACH, 262144);
    CHECK(group.present == 0 && group.whole == 0);
    for (uint32_t offset = 0; offset < FC_GROUP_REACH; offset++)
        check_column(&group, &none, 1, offset);
    check_column(&group, &none, 4, FC_GROUP_REACH - 4);
    fc_group_complete(&group, 0, UINT32_MAX);
    check_group(&group, &none, 0);
    check_column(&group, &none, 2, FC_GROUP_REACH - 2);
}

/* More of them than are kept, and each asked for again. */
static void columns_are_the_bytes_of_frames(void) {
    const uint32_t sizes[] = {0, 1, 2, 4};
    for (int round = 0; round < 200; round++) {
        uint32_t reach = 4 + random_below(FC_GROUP_REACH - 3);
        struct fc_group group;
        struct frames frames = {0};
        uint64_t present = random_bits();
        fc_group_begin(&group, reach, random_below(3) ? 262144 : random_below(300));
        fill(&group, &frames, present, random_below(2) ? reach : 0, reach + 20);
        check_about("round %d", round);
        check_group(&group, &frames, present);
        uint32_t asked[40][2];
        for (size_t i = 0; i < COUNT(asked); i++) {
            size_t again = random_below((uint32_t)i + 1);
            asked[i][0] = sizes[random_below(4)];
            asked[i][1] = random_below(reach - 3);
            check_column(&group, &frames, asked[i][0], asked[i][1]);
            check_column(&group, &frames, asked[again][0], asked[again][1]);
        }
        CHECK(group.column_count <= FC_GROUP_COLUMNS);
        frames_free(&frames);
    }
}

/* One group after the other: nothing of the last one is left. */
static void a_group_is_filled_again_and_again(void) {
    for (int round = 0; round < 60; round++) {
        uint32_t reach = 1 + random_below(100);
        struct fc_group group;
        struct frames frames = {0};
        fc_group_begin(&group, reach, random_below(3) ? 262144 : reach + random_below(30) - 15);
        for (int turn = 0; turn < 12; turn++) {
            uint64_t present = random_below(8) ? random_bits() : 0;
            fill(&group, &frames, present, random_below(2) ? reach : 0, reach + random_below(30));
            check_about("round %d, turn %d", round, turn);
            check_group(&group, &frames, present);
            for (int i = 0; i < 4; i++)
                check_column(&group, &frames, 1, random_below(reach));
        }
        frames_free(&frames);
    }
}

/* The first was shorter than the group reaches, and is gone; the second alone would do. */
static void places_that_are_given_up_are_not_read(void) {
    struct fc_group group;
    uint8_t *gone = block_new(3);
    uint8_t *stays = block_new(40);
    fc_group_begin(&group, 34, 262144);
    group.bytes[0] = stays;
    group.captured[0] = 40;
    group.bytes[1] = gone;
    group.captured[1] = 3;
    fc_group_complete(&group, 3, 3);
    CHECK(group.present == 3 && group.whole == 1);
    fc_group_complete(&group, 1, 40);
    CHECK(group.present == 1 && group.whole == 1);
    for (uint32_t offset = 0; offset < 34; offset++)
        CHECK_IS(fc_group_column(&group, 1, offset)[1], 0);
    free(gone);
    CHECK_IS(fc_group_column(&group, 4, 30)[1], 0);
    free(stays);
}

static void places_are_given_in_their_order(void) {
    for (int round = 0; round < 1000; round++) {
        uint64_t bits = random_bits();
        uint64_t left = bits;
        for (uint32_t i = 0; i < FC_GROUP; i++)
            if (bits >> i & 1)
                CHECK_IS(fc_group_next(&left), i);
        CHECK(left == 0);
    }
}

static void flags_become_bits(void) {
    for (int round = 0; round < 1000; round++) {
        uint64_t bits = random_bits();
        uint8_t *flags = block_new(FC_GROUP);
        for (uint32_t i = 0; i < FC_GROUP; i++)
            flags[i] = bits >> i & 1;
        CHECK(fc_group_as_bits(flags) == bits);
        free(flags);
    }
}

int main(int count, char **arguments) {
    random_seed(random_seed_argument(count, arguments));
    TEST(a_new_group_is_empty_and_can_be_read);
    TEST(columns_are_the_bytes_of_frames);
    TEST(a_group_is_filled_again_and_again);
    TEST(places_that_are_given_up_are_not_read);
    TEST(places_are_given_in_their_order);
    TEST(flags_become_bits);
    return check_result();
}
