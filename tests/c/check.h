/* SPDX-License-Identifier: Apache-2.0
 *
 * What every C test needs: a check that goes on after a failure, numbers that look random and are
 * the same in every run, and captures made in memory. Test programs say in one line how many
 * checks passed.
 */
#ifndef FC_TEST_CHECK_H
#define FC_TEST_CHECK_H

#include "pcap.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Checks ------------------------------------------------------------------------------ */

enum { CHECK_MOST_PRINTED = 20 };

static uint64_t check_done;
static uint64_t check_failed;
static char check_subject[200];

/* What the checks from here on are about: printed with those that fail. */
__attribute__((format(printf, 1, 2))) static inline void check_about(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(check_subject, sizeof check_subject, format, arguments);
    va_end(arguments);
}

static inline bool check_that(bool holds, const char *file, int line, const char *text) {
    check_done++;
    if (!holds && ++check_failed <= CHECK_MOST_PRINTED)
        fprintf(stderr, "%s:%d: does not hold: %s [%s]\n", file, line, text, check_subject);
    return holds;
}

static inline bool check_is(int64_t actual, int64_t expected, const char *file, int line,
                            const char *text) {
    check_done++;
    if (actual != expected && ++check_failed <= CHECK_MOST_PRINTED)
        fprintf(stderr, "%s:%d: %s: is %" PRId64 ", expected %" PRId64 " [%s]\n", file, line, text,
                actual, expected, check_subject);
    return actual == expected;
}

/* Both are true where the check passed, for code that cannot go on without. */
#define CHECK(holds) check_that((holds), __FILE__, __LINE__, #holds)
#define CHECK_IS(actual, expected)                                                                 \
    check_is((int64_t)(actual), (int64_t)(expected), __FILE__, __LINE__, #actual)

/* Runs one test; its name is the subject until it says more. */
#define TEST(function)                                                                             \
    do {                                                                                           \
        check_about("%s", #function);                                                              \
        function();                                                                                \
    } while (0)

/* What main returns. */
static inline int check_result(void) {
    if (check_failed != 0) {
        printf("%" PRIu64 " of %" PRIu64 " checks failed\n", check_failed, check_done);
        return 1;
    }
    printf("%" PRIu64 " checks passed\n", check_done);
    return 0;
}

/* ---- Random numbers ---------------------------------------------------------------------- */

static uint64_t random_state = 1;

static inline void random_seed(uint64_t seed) {
    random_state = seed * 0x9e3779b97f4a7c15u + 1;
}

static inline uint32_t random32(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32);
}

static inline uint32_t random_below(uint32_t bound) {
    return (uint32_t)((uint64_t)random32() * bound >> 32);
}

static inline void random_fill(uint8_t *bytes, size_t length) {
    for (; length >= 4; bytes += 4, length -= 4)
        fc_store32(bytes, random32());
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)random32();
}

/* The seed of this run: the first argument, else always the same one. */
static inline uint64_t random_seed_argument(int count, char **arguments) {
    return count > 1 ? strtoull(arguments[1], NULL, 0) : 20240229;
}

/* ---- Blocks and captures ----------------------------------------------------------------- */

/* For tests: no memory is the end of the test. */
static inline void *block_new(size_t length) {
    void *block = calloc(1, length ? length : 1);
    if (!block)
        abort();
    return block;
}

/* A copy in a block of exactly this length, so that ASAN sees the first byte read behind it. */
static inline uint8_t *block_copy(const void *bytes, size_t length) {
    uint8_t *block = block_new(length);
    if (length)
        memcpy(block, bytes, length);
    return block;
}

/* Bytes that are being made. */
struct made {
    uint8_t *bytes;
    size_t length;
    size_t capacity;
};

static inline uint8_t *made_room(struct made *made, size_t size) {
    if (made->capacity - made->length < size) {
        made->capacity = (made->capacity + size) * 2;
        made->bytes = realloc(made->bytes, made->capacity);
        if (!made->bytes)
            abort();
    }
    made->length += size;
    return made->bytes + made->length - size;
}

static inline void made_append(struct made *made, const void *bytes, size_t size) {
    if (size)
        memcpy(made_room(made, size), bytes, size);
}

/* Puts the bytes at the very end of a block. */
static inline void made_exact(struct made *made) {
    uint8_t *block = block_copy(made->bytes, made->length);
    free(made->bytes);
    made->bytes = block;
    made->capacity = made->length;
}

static inline void made_free(struct made *made) {
    free(made->bytes);
    *made = (struct made){0};
}

static inline void made_number(struct made *made, uint32_t value, bool swapped) {
    bool big = swapped != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
    uint8_t *at = made_room(made, 4);
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (big ? 24 - 8 * i : 8 * i));
}

static inline void made_header(struct made *made, bool swapped, uint32_t seconds, uint32_t fraction,
                               uint32_t captured, uint32_t wire) {
    made_number(made, seconds, swapped);
    made_number(made, fraction, swapped);
    made_number(made, captured, swapped);
    made_number(made, wire, swapped);
}

/* A whole record with random bytes for a frame. */
static inline void made_record(struct made *made, bool swapped, uint32_t seconds, uint32_t fraction,
                               uint32_t captured, uint32_t wire) {
    made_header(made, swapped, seconds, fraction, captured, wire);
    random_fill(made_room(made, captured), captured);
}

/* Records as traffic has them: times that go on, frames of 0 to `longest` bytes. */
static inline void made_traffic(struct made *made, const struct fc_pcap_layout *layout,
                                uint32_t count, uint32_t longest) {
    uint32_t second = layout->nanoseconds ? 1000000000 : 1000000;
    uint32_t seconds = 1700000000;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t captured = random_below(longest + 1);
        uint32_t cut = random_below(4) == 0 ? random_below(2000) : 0;
        seconds += random_below(3) == 0;
        made_record(made, layout->swapped, seconds, random_below(second), captured,
                    captured + cut + (captured == 0));
    }
}

/* The four ways to write the same records. */
static inline struct fc_pcap_layout layout_number(uint32_t number) {
    return (struct fc_pcap_layout){
        .swapped = number & 1,
        .nanoseconds = number & 2,
        .snaplen = 262144,
        .max_captured = 262144,
    };
}

#endif
