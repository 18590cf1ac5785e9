/* SPDX-License-Identifier: Apache-2.0 */
#include "queue.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

/* Every page is there afterwards, in huge pages where the system gives them. */
static int map_memory(struct fc_queue *queue) {
    void *memory =
        mmap(NULL, queue->memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return FC_ERROR_MEMORY;
    queue->memory = memory;
    madvise(memory, queue->memory_size, MADV_HUGEPAGE);
    if (madvise(memory, queue->memory_size, MADV_POPULATE_WRITE) == 0)
        return FC_OK;
    if (errno != EINVAL) /* ENOMEM, EFAULT, EHWPOISON: there is not that much */
        return FC_ERROR_MEMORY;
    for (size_t at = 0; at < queue->memory_size; at += FC_QUEUE_ALIGNMENT)
        *(volatile uint8_t *)(queue->memory + at) = 0;
    return FC_OK;
}

static int make_chunks(struct fc_queue *queue, size_t stride) {
    queue->chunks = calloc(queue->count, sizeof *queue->chunks);
    queue->empty = calloc(queue->count, sizeof *queue->empty);
    queue->full = calloc(queue->count, sizeof *queue->full);
    if (!queue->chunks || !queue->empty || !queue->full)
        return FC_ERROR_MEMORY;
    for (uint32_t i = 0; i < queue->count; i++) {
        queue->chunks[i].bytes = queue->memory + (size_t)i * stride;
        queue->empty[i] = &queue->chunks[i];
    }
    queue->empty_count = queue->count;
    return FC_OK;
}

int fc_queue_open(struct fc_queue *queue, size_t chunk_size, size_t slack, uint32_t count) {
    *queue = (struct fc_queue){.chunk_size = chunk_size, .count = count};
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&queue->mutex, NULL); /* on Linux these cannot fail */
    pthread_cond_init(&queue->given, &monotonic);
    pthread_cond_init(&queue->handed, &monotonic);
    pthread_condattr_destroy(&monotonic);

    size_t most = SIZE_MAX / 4;
    if (chunk_size == 0 || chunk_size % FC_QUEUE_ALIGNMENT != 0 || count == 0 ||
        chunk_size > most || slack > most)
        return FC_ERROR_ARGUMENT;
    size_t stride =
        (chunk_size + slack + FC_QUEUE_ALIGNMENT - 1) / FC_QUEUE_ALIGNMENT * FC_QUEUE_ALIGNMENT;
    if (stride > most / count)
        return FC_ERROR_ARGUMENT;
    queue->memory_size = stride * count;
    int status = map_memory(queue);
    return status < 0 ? status : make_chunks(queue, stride);
}

static struct timespec in_milliseconds(int milliseconds) {
    struct timespec when;
    clock_gettime(CLOCK_MONOTONIC, &when);
    when.tv_sec += milliseconds / 1000;
    when.tv_nsec += (long)(milliseconds % 1000) * 1000000;
    if (when.tv_nsec >= 1000000000) {
        when.tv_sec++;
        when.tv_nsec -= 1000000000;
    }
    return when;
}

struct fc_chunk *fc_queue_take(struct fc_queue *queue, int milliseconds) {
    struct timespec until = in_milliseconds(milliseconds);
    int waited = 0;
    pthread_mutex_lock(&queue->mutex);
    while (queue->empty_count == 0 && waited == 0)
        waited = pthread_cond_timedwait(&queue->given, &queue->mutex, &until);
    struct fc_chunk *chunk = NULL;
    if (queue->empty_count > 0)
        chunk = queue->empty[--queue->empty_count];
    pthread_mutex_unlock(&queue->mutex);
    return chunk;
}

void fc_queue_put(struct fc_queue *queue, struct fc_chunk *chunk) {
    pthread_mutex_lock(&queue->mutex);
    queue->full[(queue->full_first + queue->full_count) % queue->count] = chunk;
    queue->full_count++;
    queue->out++;
    if (queue->out > queue->most_out)
        queue->most_out = queue->out;
    pthread_cond_signal(&queue->handed);
    pthread_mutex_unlock(&queue->mutex);
}

void fc_queue_end(struct fc_queue *queue) {
    pthread_mutex_lock(&queue->mutex);
    queue->closed = true;
    pthread_cond_signal(&queue->handed);
    pthread_mutex_unlock(&queue->mutex);
}

static struct fc_chunk *take_full(struct fc_queue *queue) {
    if (queue->full_count == 0)
        return NULL;
    struct fc_chunk *chunk = queue->full[queue->full_first];
    queue->full_first = (queue->full_first + 1) % queue->count;
    queue->full_count--;
    return chunk;
}

struct fc_chunk *fc_queue_next(struct fc_queue *queue, int milliseconds, bool *ended) {
    struct timespec until = in_milliseconds(milliseconds);
    int waited = 0;
    pthread_mutex_lock(&queue->mutex);
    while (queue->full_count == 0 && !queue->closed && waited == 0)
        waited = pthread_cond_timedwait(&queue->handed, &queue->mutex, &until);
    struct fc_chunk *chunk = take_full(queue);
    *ended = chunk == NULL && queue->closed;
    pthread_mutex_unlock(&queue->mutex);
    return chunk;
}

void fc_queue_give_back(struct fc_queue *queue, struct fc_chunk *chunk) {
    chunk->length = chunk->head = chunk->tail = 0;
    chunk->frames = chunk->gaps_left_out = chunk->frames_left_out = 0;
    chunk->gap_count = 0;
    chunk->ends = false;
    pthread_mutex_lock(&queue->mutex);
    queue->empty[queue->empty_count++] = chunk;
    queue->out--;
    pthread_cond_signal(&queue->given);
    pthread_mutex_unlock(&queue->mutex);
}

void fc_queue_used(struct fc_queue *queue, uint64_t *now, uint64_t *most) {
    pthread_mutex_lock(&queue->mutex);
    *now = (uint64_t)queue->out * queue->chunk_size;
    *most = (uint64_t)queue->most_out * queue->chunk_size;
    pthread_mutex_unlock(&queue->mutex);
}

void fc_queue_close(struct fc_queue *queue) {
    if (queue->memory != NULL)
        munmap(queue->memory, queue->memory_size);
    free(queue->chunks);
    free(queue->empty);
    free(queue->full);
    pthread_cond_destroy(&queue->given);
    pthread_cond_destroy(&queue->handed);
    pthread_mutex_destroy(&queue->mutex);
    *queue = (struct fc_queue){0};
}
