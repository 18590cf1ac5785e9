/* SPDX-License-Identifier: Apache-2.0 */
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

enum {
    POLL_MS = 50,
    /* What poll(2) promises room for in a pipe; more could block. */
    PATIENT_WRITE = PIPE_BUF,
};

int fc_writer_open(struct fc_writer *writer, int fd, size_t room, const struct fc_cancel *cancel) {
    struct stat status;
    *writer = (struct fc_writer){.fd = fd, .cancel = cancel, .room = room};
    if (room == 0 || room % FC_WRITER_ALIGNMENT != 0)
        return FC_ERROR_ARGUMENT;
    if (fstat(fd, &status) < 0)
        return FC_ERROR_SYSTEM;
    writer->patient = S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode) || isatty(fd);
    writer->block = aligned_alloc(FC_WRITER_ALIGNMENT, room);
    return writer->block ? FC_OK : FC_ERROR_MEMORY;
}

/* 1: there is room; 0: not yet. */
static int wait_for_room(const struct fc_writer *writer) {
    struct pollfd poll_fd = {.fd = writer->fd, .events = POLLOUT};
    int ready = poll(&poll_fd, 1, POLL_MS);
    return ready < 0 && errno != EINTR ? FC_ERROR_SYSTEM : ready > 0;
}

/* One write() of what is allowed at once; the bytes taken, 0 for none yet. */
static ssize_t write_some(const struct fc_writer *writer, const uint8_t *bytes, size_t length) {
    if (writer->patient) {
        int ready = wait_for_room(writer);
        if (ready <= 0)
            return ready;
        if (length > PATIENT_WRITE)
            length = PATIENT_WRITE;
    }
    ssize_t wrote = write(writer->fd, bytes, length);
    if (wrote >= 0)
        return wrote;
    return errno == EINTR || errno == EAGAIN ? 0 : FC_ERROR_SYSTEM;
}

static int write_all(struct fc_writer *writer, const uint8_t *bytes, size_t length) {
    while (length > 0) {
        if (fc_cancel_is_set(writer->cancel))
            return FC_ERROR_CANCELLED;
        ssize_t wrote = write_some(writer, bytes, length);
        if (wrote < 0)
            return (int)wrote;
        bytes += wrote;
        length -= (size_t)wrote;
        writer->written += (uint64_t)wrote;
    }
    return FC_OK;
}

/* Whole blocks of a long append go to the kernel from where they are. */
int fc_writer_append(struct fc_writer *writer, const uint8_t *bytes, size_t length) {
    while (length > 0) {
        if (writer->used == 0 && length >= writer->room) {
            int status = write_all(writer, bytes, writer->room);
            if (status < 0)
                return status;
            bytes += writer->room;
            length -= writer->room;
            continue;
        }
        size_t room = writer->room - writer->used;
        size_t part = length < room ? length : room;
        memcpy(writer->block + writer->used, bytes, part);
        writer->used += part;
        bytes += part;
        length -= part;
        if (writer->used == writer->room) {
            int status = fc_writer_flush(writer);
            if (status < 0)
                return status;
        }
    }
    return FC_OK;
}

int fc_writer_flush(struct fc_writer *writer) {
    int status = write_all(writer, writer->block, writer->used);
    writer->used = 0;
    return status;
}

int fc_writer_write(struct fc_writer *writer, const uint8_t *bytes, size_t length) {
    int status = fc_writer_flush(writer);
    return status < 0 ? status : write_all(writer, bytes, length);
}

void fc_writer_close(struct fc_writer *writer) {
    free(writer->block);
    writer->block = NULL;
    writer->used = 0;
}

/* ---- Names ------------------------------------------------------------------------------- */

static int failed(void) {
    return errno == EEXIST ? FC_ERROR_EXISTS : FC_ERROR_SYSTEM;
}

/* 1: this system or file system cannot; else a status. */
static int rename_without_replacing(const char *from, const char *to) {
#if defined(__linux__) && defined(SYS_renameat2)
    enum { NO_REPLACE = 1 }; /* RENAME_NOREPLACE, linux/fs.h */
    if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, NO_REPLACE) == 0)
        return FC_OK;
    return errno == EINVAL || errno == ENOSYS ? 1 : failed();
#elif defined(__APPLE__)
    if (renamex_np(from, to, RENAME_EXCL) == 0)
        return FC_OK;
    return errno == ENOTSUP ? 1 : failed();
#else
    (void)from, (void)to;
    return 1;
#endif
}

/* For file systems without an exclusive rename: a hard link never replaces either. */
static int link_and_unlink(const char *from, const char *to) {
    if (link(from, to) < 0)
        return failed();
    return unlink(from) < 0 ? FC_ERROR_SYSTEM : FC_OK;
}

int fc_writer_publish(const char *temporary, const char *name, bool replace) {
    if (replace)
        return rename(temporary, name) < 0 ? FC_ERROR_SYSTEM : FC_OK;
    int status = rename_without_replacing(temporary, name);
    return status == 1 ? link_and_unlink(temporary, name) : status;
}
