"""A ring without a network, for benches."""

from libc.stdint cimport uint32_t, uint64_t

from fastcap._native.cancel cimport Cancel
from fastcap._native.csrc cimport (
    fc_simulated_account,
    fc_simulated_close,
    fc_simulated_limits,
    fc_simulated_open,
    fc_simulated_read_account,
    fc_simulated_run,
    fc_simulated_settings,
)
from fastcap._native.generator cimport NativeGenerator
from fastcap._native.status cimport check


cdef class NativeSimulated:
    """A ring in memory, full of a generator's frames, for one NativeCapture. `run` is for one
    thread, `account` for any. ValueError for blocks that cannot be (csrc/simulated.h), MemoryError,
    OSError."""

    def __cinit__(self, NativeGenerator generator not None, *, uint32_t snaplen,
                  uint32_t block_size, uint32_t block_count):
        cdef fc_simulated_settings settings
        cdef int status
        settings.generator = &generator.c
        settings.snaplen = snaplen
        settings.block_size = block_size
        settings.block_count = block_count
        with nogil:
            status = fc_simulated_open(&self.c, &settings)
        self.opened = True
        check(status)

    def __dealloc__(self):
        if self.opened:  # zeroed, it would close descriptor 0
            fc_simulated_close(&self.c)

    def run(self, Cancel cancel not None, *, double rate, uint64_t frames,
            uint64_t duration_ns) -> None:
        """Plays the kernel until a limit or the cancel. ValueError for what cannot be."""
        cdef fc_simulated_limits limits
        cdef int status
        limits.rate = rate
        limits.frames = frames
        limits.duration_ns = duration_ns
        limits.cancel = &cancel.c
        with nogil:
            status = fc_simulated_run(&self.c, &limits)
        check(status)

    def account(self) -> dict:
        """The counters of struct fc_simulated_account (csrc/simulated.h) by name."""
        cdef fc_simulated_account account
        fc_simulated_read_account(&self.c, &account)
        return account
