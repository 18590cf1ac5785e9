"""Native memory lent to Python by the buffer protocol: the owner lives while a view does."""

from cpython.buffer cimport PyBuffer_FillInfo

from fastcap._native.csrc cimport fc_buffer_free

# An address for buffers of length 0, which must not be NULL.
cdef char NOTHING = 0


cdef class NativeBytes:
    """Read-only bytes in memory of the core's. In another process they arrive as `bytes`."""

    def __dealloc__(self):
        fc_buffer_free(&self.c)

    def __len__(self) -> int:
        return self.c.length

    def __getbuffer__(self, Py_buffer *view, int flags):
        cdef void *address = self.c.bytes if self.c.length else &NOTHING
        PyBuffer_FillInfo(view, self, address, self.c.length, 1, flags)

    def __reduce__(self):
        return bytes, (bytes(self),)


cdef class Lent:
    """An array inside memory that `owner` owns: what numpy.frombuffer takes."""

    @staticmethod
    cdef Lent of(object owner, void *address, Py_ssize_t items, Py_ssize_t item_size, bytes code):
        cdef Lent lent = Lent.__new__(Lent)
        lent.owner = owner
        lent.address = address if items else &NOTHING
        lent.items = items
        lent.item_size = item_size
        lent.code = code
        return lent

    def __len__(self) -> int:
        return self.items

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.address, self.items * self.item_size, 1, flags)
        view.itemsize = self.item_size
        view.format = self.code
        view.shape = &self.items if view.shape is not NULL else NULL
        view.strides = &self.item_size if view.strides is not NULL else NULL
