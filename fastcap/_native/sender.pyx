"""Frames of a generator, sent at an interface."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastcap._native.cancel cimport Cancel
from fastcap._native.csrc cimport (
    fc_sender,
    fc_sender_account,
    fc_sender_close,
    fc_sender_open,
    fc_sender_over,
    fc_sender_read_account,
    fc_sender_run,
    fc_sender_settings,
)
from fastcap._native.generator cimport NativeGenerator
from fastcap._native.status cimport check


cdef class NativeSender:
    """A socket at an interface, and the frames of one thread of several. `run` is for one thread,
    `account` for any. `fd`, where it is not -1, is a socket to send to instead, which is lent.

    OSError for the socket, ValueError for settings that cannot be (csrc/sender.h).
    """

    cdef fc_sender c
    cdef NativeGenerator generator
    cdef Cancel cancel
    cdef bint opened  # `c` holds something to be closed

    def __cinit__(self, NativeGenerator generator not None, *, int interface, uint32_t index,
                  uint32_t threads, double rate, uint64_t frames, uint64_t duration_ns,
                  Cancel cancel not None, int fd=-1):
        cdef fc_sender_settings settings
        cdef int status
        self.generator = generator
        self.cancel = cancel
        settings.generator = &generator.c
        settings.index = index
        settings.threads = threads
        settings.rate = rate
        settings.frames = frames
        settings.duration_ns = duration_ns
        settings.start_ns = 0
        settings.cancel = &cancel.c
        if fd >= 0:
            status = fc_sender_over(&self.c, &settings, fd)
        else:
            with nogil:
                status = fc_sender_open(&self.c, &settings, interface)
        self.opened = True
        check(status)

    def __dealloc__(self):
        if self.opened:
            fc_sender_close(&self.c)

    def run(self, int64_t start_ns) -> None:
        """Sends until a limit or the cancel; the first frame is due at `start_ns` of the monotonic
        clock. OSError where the kernel refuses for good."""
        cdef int status
        if start_ns < 0:
            raise ValueError("a time before the clock's beginning")
        self.c.settings.start_ns = start_ns
        with nogil:
            status = fc_sender_run(&self.c)
        check(status)

    def account(self) -> dict:
        """The counters of struct fc_sender_account (csrc/sender.h) by name."""
        cdef fc_sender_account account
        fc_sender_read_account(&self.c, &account)
        return account
