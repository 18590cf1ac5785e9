/* SPDX-License-Identifier: Apache-2.0
 *
 * The frames of a bench: true checksums, the same for the same seed, and their labels read back.
 */
#include "check.h"
#include "generator.h"

static const struct fc_generator_size ALL_SIZES[] = {
    {64, 3}, {65, 1}, {128, 2}, {300, 1}, {512, 1}, {1024, 1}, {1517, 1}, {1518, 1},
};
enum { SIZES = sizeof ALL_SIZES / sizeof *ALL_SIZES };

static struct fc_generator_settings settings_of(uint64_t seed) {
    return (struct fc_generator_settings){
        .seed = seed,
        .bench = 0xa1b2c3d4,
        .sizes = ALL_SIZES,
        .size_count = SIZES,
        .flows = 1000,
        .tcp_percent = 50,
        .destination = {2, 0, 0, 0, 0, 9},
    };
}

static struct fc_generator made_of(const struct fc_generator_settings *settings) {
    struct fc_generator generator;
    if (!CHECK_IS(fc_generator_init(&generator, settings), FC_OK))
        abort();
    return generator;
}

static uint32_t number_at(const uint8_t *at, int bytes) {
    uint32_t number = 0;
    for (int i = 0; i < bytes; i++)
        number = number << 8 | at[i];
    return number;
}

/* Added word by word with the carry at once, as it is not done where frames are made. */
static uint32_t added(uint32_t sum, const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i += 2) {
        sum += number_at(bytes + i, 1) << 8 | (i + 1 < length ? bytes[i + 1] : 0);
        if (sum > 0xffff)
            sum -= 0xffff;
    }
    return sum;
}

static void check_frame(const uint8_t *frame, uint32_t length, uint64_t serial) {
    uint8_t pseudo[4] = {0, frame[23], (uint8_t)((length - 34) >> 8), (uint8_t)(length - 34)};
    bool tcp = frame[23] == 6;
    check_about("serial %" PRIu64 ", %u bytes, protocol %d", serial, length, frame[23]);
    CHECK(length >= 60 && length <= 1514);
    CHECK_IS(number_at(frame, 4), 0x02000000);
    CHECK_IS(number_at(frame + 4, 2), 9);
    CHECK_IS(number_at(frame + 12, 4), 0x08004500);
    CHECK_IS(number_at(frame + 16, 2), length - 14);
    CHECK(tcp || frame[23] == 17);
    CHECK_IS(added(0, frame + 14, 20), 0xffff);
    uint32_t sum = added(added(0, frame + 26, 8), pseudo, 4);
    CHECK_IS(added(sum, frame + 34, length - 34), 0xffff);
    CHECK(tcp ? frame[46] == 0x50 : number_at(frame + 38, 2) == length - 34);
    CHECK(tcp || number_at(frame + 40, 2) != 0);
    CHECK_IS(frame[26], 10);
    CHECK_IS(number_at(frame + 30, 2) & 0xfff0, 0xac10);
    CHECK(number_at(frame + 34, 2) >= 49152);
}

static void every_frame_has_true_checksums_lengths_and_its_label(void) {
    struct fc_generator_settings settings = settings_of(7);
    struct fc_generator generator = made_of(&settings);
    uint8_t *frame = block_new(FC_GENERATOR_ROOM);
    fc_generator_prepare(&generator, frame);
    for (uint32_t i = 0; i < 20000; i++) {
        uint64_t serial = (uint64_t)random32() << (i % 33);
        int64_t ns = (int64_t)((uint64_t)random32() << 30 | random32());
        uint32_t length = fc_generator_write(&generator, serial, ns, frame);
        check_frame(frame, length, serial);
        struct fc_generator_label label;
        uint8_t *captured = block_copy(frame, 60); /* all that the smallest frame has */
        if (CHECK(fc_generator_read(captured, 60, &label))) {
            CHECK_IS(label.bench, 0xa1b2c3d4);
            CHECK_IS(label.serial, serial);
            CHECK_IS(label.ns, ns);
        }
        free(captured);
    }
    free(frame);
}

static void a_frame_with_another_number_still_has_true_checksums(void) {
    struct fc_generator_settings settings = settings_of(7);
    struct fc_generator generator = made_of(&settings);
    uint8_t *frame = block_new(FC_GENERATOR_ROOM);
    struct fc_generator_label label;
    fc_generator_prepare(&generator, frame);
    for (uint32_t i = 0; i < 200000; i++) {
        uint64_t serial = (uint64_t)random32() << (i % 33);
        if (i % 10 == 0)
            fc_generator_write(&generator, i, 5, frame);
        uint32_t length = (uint32_t)fc_load_big16(frame + 16) + 14;
        fc_generator_renumber(frame, serial);
        check_frame(frame, length, serial);
        if (CHECK(fc_generator_read(frame, 60, &label))) {
            CHECK_IS(label.serial, serial);
            CHECK_IS(label.ns, 5);
        }
    }
    free(frame);
}

/* About one UDP frame in 65536 has this sum, which must not be written as "no checksum". */
static void a_sum_of_0_is_written_as_its_other_zero(void) {
    struct fc_generator_settings settings = settings_of(3);
    settings.tcp_percent = 0;
    struct fc_generator generator = made_of(&settings);
    uint8_t *frame = block_new(FC_GENERATOR_ROOM);
    int seen = 0;
    fc_generator_prepare(&generator, frame);
    for (uint64_t serial = 0; serial < 400000; serial++) {
        fc_generator_write(&generator, serial, 5, frame);
        seen += number_at(frame + 40, 2) == 0xffff;
        if (!CHECK(number_at(frame + 40, 2) != 0))
            break;
    }
    CHECK(seen > 0);
    free(frame);
}

static void frames_follow_from_seed_and_serial_alone(void) {
    struct fc_generator_settings settings = settings_of(1);
    struct fc_generator one = made_of(&settings);
    struct fc_generator same = made_of(&settings);
    settings.seed = 2;
    struct fc_generator other = made_of(&settings);
    uint8_t *frames[3] = {block_new(FC_GENERATOR_ROOM), block_new(FC_GENERATOR_ROOM),
                          block_new(FC_GENERATOR_ROOM)};
    int different = 0;
    fc_generator_prepare(&one, frames[0]);
    fc_generator_prepare(&same, frames[1]);
    fc_generator_prepare(&other, frames[2]);
    for (uint64_t serial = 0; serial < 1000; serial++) {
        /* the second one goes backwards: what was there before does not matter */
        fc_generator_write(&same, 999 - serial, 1, frames[1]);
        uint32_t length = fc_generator_write(&one, 999 - serial, 1, frames[0]);
        CHECK(memcmp(frames[0], frames[1], length) == 0);
        fc_generator_write(&one, serial, 1, frames[0]);
        CHECK_IS(fc_generator_write(&one, serial, 2, frames[1]),
                 fc_generator_write(&one, serial, 1, frames[0]));
        CHECK(memcmp(frames[0], frames[1], 40) == 0);
        CHECK_IS(frames[0][59] + 1, frames[1][59]);
        fc_generator_write(&other, serial, 1, frames[2]);
        different += memcmp(frames[0] + 26, frames[2] + 26, 12) != 0;
    }
    CHECK_IS(different, 1000);
    for (int i = 0; i < 3; i++)
        free(frames[i]);
}

static void sizes_come_in_the_proportion_of_their_weights(void) {
    struct fc_generator_settings settings = settings_of(11);
    struct fc_generator generator = made_of(&settings);
    uint8_t *frame = block_new(FC_GENERATOR_ROOM);
    uint32_t counts[1519] = {0};
    const uint32_t frames = 110000;
    fc_generator_prepare(&generator, frame);
    for (uint64_t serial = 0; serial < frames; serial++)
        counts[fc_generator_write(&generator, serial, 0, frame) + FC_GENERATOR_FCS]++;
    for (int i = 0; i < SIZES; i++) {
        uint32_t expected = frames / 11 * ALL_SIZES[i].weight;
        check_about("size %u: %u, about %u", ALL_SIZES[i].wire, counts[ALL_SIZES[i].wire],
                    expected);
        CHECK(counts[ALL_SIZES[i].wire] > expected * 95 / 100);
        CHECK(counts[ALL_SIZES[i].wire] < expected * 105 / 100);
    }
    free(frame);
}

static void every_flow_is_used_and_has_a_host_of_its_own(void) {
    enum { FLOWS = 5000, FRAMES = 100000, HOSTS = 1 << 24 };
    struct fc_generator_settings settings = settings_of(13);
    settings.tcp_percent = 85;
    settings.flows = HOSTS;
    struct fc_generator all = made_of(&settings);
    settings.flows = FLOWS;
    struct fc_generator generator = made_of(&settings);
    uint8_t *frame = block_new(FC_GENERATOR_ROOM);
    uint8_t *seen = block_new(HOSTS);
    uint32_t counts[4] = {0}; /* hosts; of the flows: of TCP, used, not ours */
    for (uint32_t i = 0; i < HOSTS; i++) {
        struct fc_generator_flow flow;
        fc_generator_flow_of(&all, i, &flow);
        counts[0] += flow.source >> 24 == 10 && !seen[flow.source & 0xffffff];
        counts[1] += i < FLOWS && flow.tcp;
        seen[flow.source & 0xffffff] = i < FLOWS ? 2 : 1;
    }
    fc_generator_prepare(&generator, frame);
    for (uint64_t serial = 0; serial < FRAMES; serial++) {
        fc_generator_write(&generator, serial, 0, frame);
        uint8_t *host = &seen[number_at(frame + 27, 3)];
        counts[2] += *host == 2;
        counts[3] += *host < 2;
        *host = 3;
    }
    CHECK_IS(counts[0], HOSTS);
    CHECK(counts[1] > FLOWS * 83 / 100 && counts[1] < FLOWS * 87 / 100);
    CHECK_IS(counts[2], FLOWS);
    CHECK_IS(counts[3], 0);
    free(frame);
    free(seen);
}

static void what_is_cut_or_altered_has_no_label(void) {
    static const int fixed[] = {6, 7, 12, 13, 14, 15, 23};
    for (uint32_t percent = 0; percent <= 100; percent += 100) {
        struct fc_generator_settings settings = settings_of(17);
        settings.tcp_percent = percent;
        struct fc_generator generator = made_of(&settings);
        uint8_t *frame = block_new(FC_GENERATOR_ROOM);
        struct fc_generator_label label;
        fc_generator_prepare(&generator, frame);
        fc_generator_write(&generator, 5, 6, frame);
        for (size_t length = 0; length < 60; length++) {
            uint8_t *cut = block_copy(frame, length);
            CHECK(!fc_generator_read(cut, length, &label));
            free(cut);
        }
        for (int bit = 0; bit < 8; bit++) {
            for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
                frame[fixed[i]] ^= (uint8_t)(1 << bit);
                check_about("percent %u, byte %d, bit %d", percent, fixed[i], bit);
                CHECK(!fc_generator_read(frame, 60, &label));
                frame[fixed[i]] ^= (uint8_t)(1 << bit);
            }
            frame[percent ? 48 : 42] ^= (uint8_t)(1 << bit); /* the magic */
            CHECK(!fc_generator_read(frame, 60, &label));
            frame[percent ? 48 : 42] ^= (uint8_t)(1 << bit);
        }
        CHECK(fc_generator_read(frame, 60, &label));
        free(frame);
    }
}

static void random_bytes_have_no_label(void) {
    struct fc_generator_label label;
    for (int i = 0; i < 100000; i++) {
        size_t length = random_below(200);
        uint8_t *bytes = block_new(length);
        random_fill(bytes, length);
        CHECK(!fc_generator_read(bytes, length, &label));
        free(bytes);
    }
}

static void settings_that_cannot_be_are_refused(void) {
    static const struct fc_generator_size too_short = {63, 1};
    static const struct fc_generator_size too_long = {1519, 1};
    static const struct fc_generator_size too_heavy[] = {{64, UINT32_MAX}, {65, 1}};
    static const struct fc_generator_size weightless[] = {{64, 0}, {65, 0}};
    struct fc_generator_settings wrong[10];
    struct fc_generator generator;
    size_t count = sizeof wrong / sizeof *wrong;
    for (size_t i = 0; i < count; i++)
        wrong[i] = settings_of(1);
    wrong[0].size_count = 0;
    wrong[1].size_count = FC_GENERATOR_MOST_SIZES + 1;
    wrong[2].flows = 0;
    wrong[3].flows = FC_GENERATOR_MOST_FLOWS + 1;
    wrong[4].tcp_percent = 101;
    wrong[5].sizes = &too_short;
    wrong[5].size_count = 1;
    wrong[6].sizes = &too_long;
    wrong[6].size_count = 1;
    wrong[7].sizes = too_heavy;
    wrong[7].size_count = 2;
    wrong[8].sizes = weightless;
    wrong[8].size_count = 2;
    wrong[9].size_count = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        check_about("settings %zu", i);
        CHECK_IS(fc_generator_init(&generator, &wrong[i]), FC_ERROR_ARGUMENT);
    }
}

int main(int count, char **arguments) {
    random_seed(random_seed_argument(count, arguments));
    TEST(every_frame_has_true_checksums_lengths_and_its_label);
    TEST(a_frame_with_another_number_still_has_true_checksums);
    TEST(a_sum_of_0_is_written_as_its_other_zero);
    TEST(frames_follow_from_seed_and_serial_alone);
    TEST(sizes_come_in_the_proportion_of_their_weights);
    TEST(every_flow_is_used_and_has_a_host_of_its_own);
    TEST(what_is_cut_or_altered_has_no_label);
    TEST(random_bytes_have_no_label);
    TEST(settings_that_cannot_be_are_refused);
    return check_result();
}
