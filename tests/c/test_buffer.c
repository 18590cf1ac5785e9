/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes that grow: nothing is lost on the way, and sizes that cannot be are refused.
 */
#include "buffer.h"
#include "check.h"

/* Where ASAN gives memory, let it say that there is none instead of ending the program. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}

static void a_zeroed_buffer_is_empty_and_can_be_freed(void) {
    struct fc_buffer buffer = {0};
    CHECK_IS(fc_buffer_reserve(&buffer, 0), FC_OK);
    CHECK_IS(fc_buffer_append(&buffer, NULL, 0), FC_OK);
    CHECK_IS(buffer.length, 0);
    fc_buffer_free(&buffer);
    fc_buffer_free(&buffer);
    CHECK(buffer.bytes == NULL && buffer.length == 0 && buffer.capacity == 0);
}

static void appended_bytes_stay_in_order(void) {
    const size_t sizes[] = {1, 2, 3, 7, 100, 4095, 4096, 4097, 70000, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct fc_buffer buffer = {0};
        struct made expected = {0};
        for (int round = 0; round < 50; round++) {
            uint8_t *part = block_new(sizes[i]);
            random_fill(part, sizes[i]);
            made_append(&expected, part, sizes[i]);
            CHECK_IS(fc_buffer_append(&buffer, part, sizes[i]), FC_OK);
            free(part);
        }
        check_about("appended in parts of %zu", sizes[i]);
        CHECK(buffer.capacity >= buffer.length);
        if (CHECK_IS(buffer.length, expected.length))
            CHECK(memcmp(buffer.bytes, expected.bytes, expected.length) == 0);
        fc_buffer_free(&buffer);
        made_free(&expected);
    }
}

static void reserved_room_can_be_written_to_its_last_byte(void) {
    struct fc_buffer buffer = {0};
    CHECK_IS(fc_buffer_append(&buffer, (const uint8_t *)"start", 5), FC_OK);
    for (size_t size = 1; size < 200000; size = size * 3 + 1) {
        CHECK_IS(fc_buffer_reserve(&buffer, size), FC_OK);
        CHECK_IS(buffer.length, 5);
        memset(buffer.bytes + buffer.length, 0xee, size);
    }
    CHECK(memcmp(buffer.bytes, "start", 5) == 0);
    fc_buffer_free(&buffer);
}

static void room_that_is_there_does_not_move_the_bytes(void) {
    struct fc_buffer buffer = {0};
    CHECK_IS(fc_buffer_reserve(&buffer, 10000), FC_OK);
    const uint8_t *before = buffer.bytes;
    for (int i = 0; i < 10000; i++)
        CHECK_IS(fc_buffer_append(&buffer, (const uint8_t *)"x", 1), FC_OK);
    CHECK(buffer.bytes == before);
    fc_buffer_free(&buffer);
}

static void impossible_sizes_change_nothing(void) {
    const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 5, SIZE_MAX / 2, SIZE_MAX / 2 + 1};
    struct fc_buffer buffer = {0};
    CHECK_IS(fc_buffer_append(&buffer, (const uint8_t *)"start", 5), FC_OK);
    const struct fc_buffer before = buffer;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        CHECK_IS(fc_buffer_reserve(&buffer, sizes[i]), FC_ERROR_MEMORY);
        CHECK(memcmp(&buffer, &before, sizeof buffer) == 0);
    }
    CHECK(memcmp(buffer.bytes, "start", 5) == 0);
    fc_buffer_free(&buffer);
}

static void no_memory_changes_nothing(void) {
    struct fc_buffer buffer = {0};
    CHECK_IS(fc_buffer_append(&buffer, (const uint8_t *)"start", 5), FC_OK);
    const struct fc_buffer before = buffer;
    CHECK_IS(fc_buffer_reserve(&buffer, SIZE_MAX / 4), FC_ERROR_MEMORY);
    CHECK(memcmp(&buffer, &before, sizeof buffer) == 0);
    CHECK(memcmp(buffer.bytes, "start", 5) == 0);
    fc_buffer_free(&buffer);
}

int main(void) {
    TEST(a_zeroed_buffer_is_empty_and_can_be_freed);
    TEST(appended_bytes_stay_in_order);
    TEST(reserved_room_can_be_written_to_its_last_byte);
    TEST(room_that_is_there_does_not_move_the_bytes);
    TEST(impossible_sizes_change_nothing);
    TEST(no_memory_changes_nothing);
    return check_result();
}
