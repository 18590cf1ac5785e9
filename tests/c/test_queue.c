/* SPDX-License-Identifier: Apache-2.0
 *
 * The bounded memory between reader and writer.
 */
#include "check.h"
#include "queue.h"

enum { CHUNK = 8192, SLACK = 100, CHUNKS = 5 };

static void chunks_are_aligned_apart_and_as_many_as_asked_for(void) {
    struct fc_queue queue;
    struct fc_chunk *chunks[CHUNKS];
    CHECK_IS(fc_queue_open(&queue, CHUNK, SLACK, CHUNKS), FC_OK);
    for (int i = 0; i < CHUNKS; i++) {
        chunks[i] = fc_queue_take(&queue, 0);
        if (!CHECK(chunks[i] != NULL))
            abort();
        CHECK_IS((uintptr_t)chunks[i]->bytes % FC_QUEUE_ALIGNMENT, 0);
        memset(chunks[i]->bytes, i, CHUNK + SLACK);
    }
    CHECK(fc_queue_take(&queue, 0) == NULL);
    CHECK(fc_queue_take(&queue, 5) == NULL);
    for (int i = 0; i < CHUNKS; i++)
        for (size_t at = 0; at < CHUNK + SLACK; at++)
            if (!CHECK_IS(chunks[i]->bytes[at], i))
                break;
    fc_queue_close(&queue);
}

static void chunks_come_in_the_order_in_which_they_were_handed_over(void) {
    struct fc_queue queue;
    bool ended;
    uint64_t in = 0;
    uint64_t out = 0;
    uint64_t most = 0;
    CHECK_IS(fc_queue_open(&queue, CHUNK, SLACK, CHUNKS), FC_OK);
    while (out < 1000) {
        struct fc_chunk *chunk = in < 1000 && random_below(2) ? fc_queue_take(&queue, 0) : NULL;
        if (chunk != NULL) {
            CHECK_IS(chunk->length, 0);
            CHECK_IS(chunk->frames, 0);
            CHECK(!chunk->ends);
            chunk->length = 1;
            chunk->frames = 7;
            chunk->ends = true;
            chunk->file = in++;
            fc_queue_put(&queue, chunk);
            most = in - out > most ? in - out : most;
            continue;
        }
        chunk = fc_queue_next(&queue, 0, &ended);
        CHECK(!ended);
        if (chunk == NULL)
            continue;
        CHECK_IS(chunk->file, out++);
        fc_queue_give_back(&queue, chunk);
    }
    uint64_t now;
    uint64_t high_water;
    fc_queue_used(&queue, &now, &high_water);
    CHECK_IS(now, 0);
    CHECK_IS(high_water, most * CHUNK);
    CHECK_IS(most, CHUNKS);
    fc_queue_close(&queue);
}

static void what_was_handed_over_is_given_before_the_end(void) {
    struct fc_queue queue;
    bool ended = true;
    CHECK_IS(fc_queue_open(&queue, CHUNK, SLACK, CHUNKS), FC_OK);
    CHECK(fc_queue_next(&queue, 5, &ended) == NULL);
    CHECK(!ended);
    struct fc_chunk *chunk = fc_queue_take(&queue, 0);
    fc_queue_put(&queue, chunk);
    fc_queue_end(&queue);
    CHECK(fc_queue_next(&queue, 1000, &ended) == chunk);
    CHECK(!ended);
    CHECK(fc_queue_next(&queue, 1000, &ended) == NULL);
    CHECK(ended);
    fc_queue_close(&queue);
}

/* The memory that is warm is used, as long as the writer keeps up. */
static void the_chunk_given_back_last_is_taken_first(void) {
    struct fc_queue queue;
    bool ended;
    CHECK_IS(fc_queue_open(&queue, CHUNK, SLACK, CHUNKS), FC_OK);
    struct fc_chunk *first = fc_queue_take(&queue, 0);
    for (int i = 0; i < 10; i++) {
        fc_queue_put(&queue, first);
        fc_queue_give_back(&queue, fc_queue_next(&queue, 0, &ended));
        CHECK(fc_queue_take(&queue, 0) == first);
    }
    fc_queue_close(&queue);
}

static void sizes_that_cannot_be_are_refused(void) {
    struct fc_queue queue;
    static const struct {
        size_t size;
        size_t slack;
        uint32_t count;
        int status;
    } cases[] = {
        {0, 0, 1, FC_ERROR_ARGUMENT},
        {4095, 0, 1, FC_ERROR_ARGUMENT},
        {4096, 0, 0, FC_ERROR_ARGUMENT},
        {4096, SIZE_MAX, 1, FC_ERROR_ARGUMENT},
        {SIZE_MAX - 4095, 0, 1, FC_ERROR_ARGUMENT},
        {(size_t)1 << 60, 0, 16, FC_ERROR_ARGUMENT},
        {(size_t)1 << 50, 0, 1, FC_ERROR_MEMORY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_about("case %zu", i);
        CHECK_IS(fc_queue_open(&queue, cases[i].size, cases[i].slack, cases[i].count),
                 cases[i].status);
        fc_queue_close(&queue);
    }
}

/* ---- Two threads ------------------------------------------------------------------------- */

enum { MANY = 20000 };

static void *write_slowly(void *argument) {
    struct fc_queue *queue = argument;
    bool ended = false;
    uint64_t expected = 0;
    while (!ended) {
        struct fc_chunk *chunk = fc_queue_next(queue, 1000, &ended);
        if (chunk == NULL)
            continue;
        if (chunk->file != expected || chunk->bytes[0] != (uint8_t)expected)
            return NULL;
        expected++;
        fc_queue_give_back(queue, chunk);
    }
    return expected == MANY ? argument : NULL;
}

static void a_reader_and_a_writer_lose_and_double_nothing(void) {
    struct fc_queue queue;
    pthread_t writer;
    void *result;
    CHECK_IS(fc_queue_open(&queue, CHUNK, SLACK, CHUNKS), FC_OK);
    CHECK_IS(pthread_create(&writer, NULL, write_slowly, &queue), 0);
    for (uint64_t i = 0; i < MANY; i++) {
        struct fc_chunk *chunk;
        while ((chunk = fc_queue_take(&queue, 1000)) == NULL)
            ;
        chunk->file = i;
        chunk->bytes[0] = (uint8_t)i;
        fc_queue_put(&queue, chunk);
    }
    fc_queue_end(&queue);
    pthread_join(writer, &result);
    CHECK(result == &queue);
    fc_queue_close(&queue);
}

int main(int count, char **arguments) {
    random_seed(random_seed_argument(count, arguments));
    TEST(chunks_are_aligned_apart_and_as_many_as_asked_for);
    TEST(chunks_come_in_the_order_in_which_they_were_handed_over);
    TEST(what_was_handed_over_is_given_before_the_end);
    TEST(the_chunk_given_back_last_is_taken_first);
    TEST(sizes_that_cannot_be_are_refused);
    TEST(a_reader_and_a_writer_lose_and_double_nothing);
    return check_result();
}
