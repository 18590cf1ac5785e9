"""Native memory lent to Python by the buffer protocol: the owner lives while a view does."""

from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdlib cimport calloc, free

from fastcap._native.csrc cimport fc_buffer_free

# An address for buffers of length 0, which must not be NULL.
cdef char NOTHING = 0


cdef class Shelf:
    """Buffers that wait to be used again, at most `limit`, and `room` bytes together. The GIL
    guards it."""

    def __cinit__(self, int limit, size_t room):
        self.limit = limit
        self.room = room
        self.buffers = <fc_buffer *>calloc(max(limit, 1), sizeof(fc_buffer))
        if self.buffers is NULL:
            raise MemoryError

    def __dealloc__(self):
        for i in range(self.count):
            fc_buffer_free(&self.buffers[i])
        free(self.buffers)

    cdef fc_buffer take(self) noexcept:
        if self.count == 0:
            return fc_buffer(bytes=NULL, length=0, capacity=0)
        self.count -= 1
        self.room += self.buffers[self.count].capacity
        return self.buffers[self.count]

    cdef void give(self, fc_buffer buffer) noexcept:
        if self.count == self.limit or buffer.capacity > self.room:
            fc_buffer_free(&buffer)
            return
        self.room -= buffer.capacity
        self.buffers[self.count] = buffer
        self.count += 1


cdef class Memory:
    """Buffers of finished work for the work that follows, so that their pages are touched once:
    at most `limit`, and `room` bytes together. In another process it arrives empty."""

    def __cinit__(self, int limit, size_t room):
        self.limit = limit
        self.room = room
        self.outputs = Shelf(limit, room)

    def __reduce__(self):
        return Memory, (self.limit, self.room)


cdef class NativeBytes:
    """Read-only bytes in memory of the core's, which goes back to the shelf it came from. In
    another process they arrive as `bytes`."""

    def __dealloc__(self):
        if self.shelf is not None:
            self.shelf.give(self.c)
        else:
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
