from fastcap._native.csrc cimport fc_buffer

cdef class NativeBytes:
    cdef fc_buffer c

cdef class Lent:
    cdef object owner
    cdef void *address
    cdef Py_ssize_t items
    cdef Py_ssize_t item_size
    cdef bytes code

    @staticmethod
    cdef Lent of(object owner, void *address, Py_ssize_t items, Py_ssize_t item_size, bytes code)
