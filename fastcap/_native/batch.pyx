"""A piece of a capture in memory of its own, with its records as columns."""

from libc.stdint cimport int64_t, uint32_t

from fastcap._native.csrc cimport (
    FC_SCAN_CALLER,
    fc_columns,
    fc_columns_fill,
    fc_columns_free,
    fc_frame,
    fc_program_run,
    fc_scan,
    fc_scan_damage_text,
    fc_scan_is_cut,
    fc_scan_stop,
)
from fastcap._native.layout cimport layout_of
from fastcap._native.memory cimport Lent
from fastcap._native.program cimport NativeProgram
from fastcap._native.status cimport check


cdef class NativeBatch:
    """The whole records at the start of `data`, which is copied nowhere and kept alive.

    `used` is the number of bytes they take. `damage` says why the next record cannot be read;
    where `data` merely ends inside it, `cut` is true too. Views hold the batch, and so the memory.
    """

    cdef object data
    cdef const unsigned char[::1] view
    cdef fc_columns c
    cdef readonly size_t used
    cdef readonly bint cut
    cdef readonly object damage

    def __cinit__(self, data, layout):
        cdef fc_scan scan
        cdef fc_scan_stop stop = FC_SCAN_CALLER
        cdef const char *text
        cdef int status
        self.data = data
        self.view = data
        scan.bytes = &self.view[0] if self.view.shape[0] else NULL
        scan.length = self.view.shape[0]
        scan.offset = 0
        scan.layout = layout_of(layout)
        with nogil:
            status = fc_columns_fill(&self.c, &scan, &stop)
        check(status)
        text = fc_scan_damage_text(stop)
        self.used = scan.offset
        self.damage = text.decode() if text is not NULL else None
        self.cut = fc_scan_is_cut(stop)

    def __dealloc__(self):
        fc_columns_free(&self.c)

    def __len__(self) -> int:
        return self.c.count

    def timestamps(self) -> Lent:
        return Lent.of(self, self.c.timestamps, self.c.count, sizeof(int64_t), b"q")

    def caplens(self) -> Lent:
        return Lent.of(self, self.c.captured, self.c.count, sizeof(uint32_t), b"I")

    def lengths(self) -> Lent:
        return Lent.of(self, self.c.wire, self.c.count, sizeof(uint32_t), b"I")

    def offsets(self) -> Lent:
        return Lent.of(self, self.c.offsets, self.c.count, sizeof(int64_t), b"q")

    def bounds(self, Py_ssize_t index) -> tuple:
        """Offset of a frame's first byte in the data, and of the byte behind its last."""
        if index < 0 or <size_t>index >= self.c.count:
            raise IndexError(f"frame {index} of a batch of {self.c.count}")
        return self.c.offsets[index], self.c.offsets[index] + self.c.captured[index]

    def matches(self, NativeProgram program not None) -> bytearray:
        """One byte a frame: 1 where the program takes it, else 0."""
        cdef bytearray taken = bytearray(self.c.count)
        cdef unsigned char[::1] mask = taken
        cdef fc_frame frame
        cdef size_t i
        frame.tagged = False
        with nogil:
            for i in range(self.c.count):
                frame.bytes = &self.view[0] + self.c.offsets[i]
                frame.captured = self.c.captured[i]
                frame.wire = self.c.wire[i]
                mask[i] = fc_program_run(program.c, &frame) != 0
        return taken
