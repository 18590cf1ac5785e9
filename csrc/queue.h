/* SPDX-License-Identifier: Apache-2.0
 *
 * The bounded memory between the thread that reads the ring and the one that writes files: a pool
 * of chunks, each the bytes of one write. The reader takes empty chunks, fills them and hands them
 * over in order; the writer gives them back. Who holds a chunk may use it, nobody else.
 *
 * The memory is touched when the queue is made, so that a stall at night costs no page fault and
 * cannot run out of memory. Chunks given back last are taken first: while the writer keeps up, the
 * same few megabytes stay in the cache.
 *
 * The struct owns all chunks and their memory. One reader, one writer; fc_queue_used by anybody.
 */
#ifndef FC_QUEUE_H
#define FC_QUEUE_H

#include "bytes.h"
#include "status.h"

#include <pthread.h>

enum { FC_QUEUE_ALIGNMENT = 4096, FC_CHUNK_GAPS = 16 };

/* Frames are missing before a record. */
struct fc_gap {
    uint64_t record; /* its number among those that end in the chunk; how many those are: behind */
    uint64_t frames;
    int64_t ns; /* the record's time */
};

struct fc_chunk {
    uint8_t *bytes;
    size_t length; /* bytes used */
    uint64_t file; /* number of the file that the bytes go to, in the order in which files begin */
    bool ends;     /* the file is complete behind these bytes */
    size_t head;   /* bytes at the start that end a record of the file's chunk before */
    size_t tail;   /* bytes at the end of a record that ends in the file's next chunk */
    /* Of the records that end in this chunk: */
    uint64_t frames;
    int64_t first_ns; /* earliest and latest time, meaningless while frames is 0 */
    int64_t last_ns;
    struct fc_gap gaps[FC_CHUNK_GAPS];
    uint32_t gap_count;
    uint64_t gaps_left_out; /* for which there was no room */
    uint64_t frames_left_out;
    int64_t ended_ns; /* where the file is complete: since when, since 1970 */
};

struct fc_queue {
    struct fc_chunk *chunks;
    uint8_t *memory;
    size_t memory_size;
    size_t chunk_size; /* bytes of a write, a multiple of FC_QUEUE_ALIGNMENT */
    uint32_t count;
    pthread_mutex_t mutex; /* guards all that follows */
    pthread_cond_t given;
    pthread_cond_t handed;
    struct fc_chunk **empty; /* a stack */
    uint32_t empty_count;
    struct fc_chunk **full; /* a circle */
    uint32_t full_first;
    uint32_t full_count;
    uint32_t out;      /* handed over and not given back */
    uint32_t most_out; /* the largest that `out` has been */
    bool closed;
};

/* `count` chunks for writes of `chunk_size` bytes, each with `slack` bytes behind them.
 * FC_ERROR_MEMORY where the machine does not have that much. */
int fc_queue_open(struct fc_queue *queue, size_t chunk_size, size_t slack, uint32_t count);

/* An empty chunk; NULL where none comes back within `milliseconds`. */
struct fc_chunk *fc_queue_take(struct fc_queue *queue, int milliseconds);

/* Hands a chunk over to the writer. */
void fc_queue_put(struct fc_queue *queue, struct fc_chunk *chunk);

/* The reader will hand over nothing more. */
void fc_queue_end(struct fc_queue *queue);

/* The next chunk to be written; NULL where none comes within `milliseconds`, or where the reader
 * has ended and all are written: `*ended` tells which. */
struct fc_chunk *fc_queue_next(struct fc_queue *queue, int milliseconds, bool *ended);

/* The writer is done with a chunk that fc_queue_next gave. */
void fc_queue_give_back(struct fc_queue *queue, struct fc_chunk *chunk);

/* Bytes of the chunks that are handed over and not yet given back, now and at most. */
void fc_queue_used(struct fc_queue *queue, uint64_t *now, uint64_t *most);

/* Takes a queue whose opening failed too. */
void fc_queue_close(struct fc_queue *queue);

#endif
