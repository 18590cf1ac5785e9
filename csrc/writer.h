/* SPDX-License-Identifier: Apache-2.0
 *
 * Appends bytes to one open file in writes of a block at offsets that are multiples of it. So
 * written, a file lies in the page cache in large folios, and whoever reads it next is two to three
 * times faster than after small writes. Only the last write is smaller.
 * Pipes and sockets get what they have room for, so that a writer whose reader sleeps still notices
 * `cancel` within a tenth of a second; so do terminals that are open non-blocking.
 *
 * The struct owns its block and borrows the descriptor. One thread at a time.
 */
#ifndef FC_WRITER_H
#define FC_WRITER_H

#include "bytes.h"
#include "cancel.h"
#include "status.h"

enum {
    FC_WRITER_BLOCK = 4 << 20,     /* bytes, where memory is not short */
    FC_WRITER_ALIGNMENT = 4 << 10, /* of blocks, in memory and in length */
};

struct fc_writer {
    int fd;
    bool patient;                   /* a pipe, socket or terminal: never block in write() */
    const struct fc_cancel *cancel; /* may be NULL */
    uint8_t *block;
    size_t room;      /* bytes of the block */
    size_t used;      /* bytes of the block that wait to be written */
    uint64_t written; /* bytes that the kernel has taken */
};

/* Blocks have `room` bytes, a multiple of FC_WRITER_ALIGNMENT; FC_ERROR_ARGUMENT for others.
 * `cancel` is borrowed for the writer's life. */
int fc_writer_open(struct fc_writer *writer, int fd, size_t room, const struct fc_cancel *cancel);

int fc_writer_append(struct fc_writer *writer, const uint8_t *bytes, size_t length);

/* Writes what waits, and these bytes behind it, from where they are: for a caller who has large
 * aligned pieces already. */
int fc_writer_write(struct fc_writer *writer, const uint8_t *bytes, size_t length);

/* Writes what waits. After a failure of append or flush the file's content is not known. */
int fc_writer_flush(struct fc_writer *writer);

/* Frees the block, writes nothing; takes a zeroed struct too. The descriptor stays open. */
void fc_writer_close(struct fc_writer *writer);

/* Gives a finished file its name. Without `replace` a name that is taken is FC_ERROR_EXISTS and
 * both files stay as they are, in one step where the file system can. */
int fc_writer_publish(const char *temporary, const char *name, bool replace);

#endif
