"""Output files: large aligned writes, and names given only when complete."""

import os

from libc.stdint cimport uint64_t

from fastcap._native.cancel cimport Cancel
from fastcap._native.csrc cimport (
    FC_WRITER_BLOCK,
    fc_writer,
    fc_writer_append,
    fc_writer_close,
    fc_writer_flush,
    fc_writer_open,
    fc_writer_publish,
    fc_writer_write,
)
from fastcap._native.status cimport check


BLOCK = FC_WRITER_BLOCK


cdef class NativeWriter:
    """Appends to an open descriptor, which stays its caller's, in writes of `block` bytes. One
    thread at a time.

    OSError with errno where the kernel refuses; Interrupted when `cancel` is set.
    """

    cdef fc_writer c
    cdef Cancel cancel

    def __cinit__(self, int fd, Cancel cancel not None, size_t block=BLOCK):
        self.cancel = cancel
        check(fc_writer_open(&self.c, fd, block, &cancel.c))

    def __dealloc__(self):
        fc_writer_close(&self.c)

    def append(self, const unsigned char[::1] data not None) -> None:
        cdef const unsigned char *at
        cdef size_t length = data.shape[0]
        cdef int status
        if length == 0:
            return
        at = &data[0]
        with nogil:
            status = fc_writer_append(&self.c, at, length)
        check(status)

    def write(self, const unsigned char[::1] data not None) -> None:
        """Writes what waits, and `data` behind it, without a copy."""
        cdef const unsigned char *at
        cdef size_t length = data.shape[0]
        cdef int status
        if length == 0:
            return
        at = &data[0]
        with nogil:
            status = fc_writer_write(&self.c, at, length)
        check(status)

    def flush(self) -> None:
        cdef int status
        with nogil:
            status = fc_writer_flush(&self.c)
        check(status)

    def rewind(self, uint64_t length) -> None:
        """Its caller took back what was written behind so many bytes."""
        self.c.written = length
        self.c.used = 0

    @property
    def length(self) -> int:
        """Bytes appended so far, written or waiting."""
        return self.c.written + self.c.used


def publish(temporary, name, *, bint replace) -> None:
    """Gives a finished file its name. FileExistsError where the name is taken and `replace` is
    not allowed; both files are then as they were."""
    cdef bytes source = os.fsencode(temporary)
    cdef bytes target = os.fsencode(name)
    cdef const char *source_path = source
    cdef const char *target_path = target
    cdef int status
    with nogil:
        status = fc_writer_publish(source_path, target_path, replace)
    check(status)
