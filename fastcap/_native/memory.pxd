from fastcap._native.csrc cimport fc_buffer

cdef class Memory:
    cdef int limit
    cdef size_t room
    cdef Shelf outputs

cdef class Shelf:
    cdef fc_buffer *buffers
    cdef int count
    cdef int limit
    cdef size_t room
    cdef fc_buffer take(self) noexcept
    cdef void give(self, fc_buffer buffer) noexcept

cdef class NativeBytes:
    cdef fc_buffer c
    cdef Shelf shelf

cdef class Lent:
    cdef object owner
    cdef void *address
    cdef Py_ssize_t items
    cdef Py_ssize_t item_size
    cdef bytes code

    @staticmethod
    cdef Lent of(object owner, void *address, Py_ssize_t items, Py_ssize_t item_size, bytes code)
