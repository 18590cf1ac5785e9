from fastcap._native.csrc cimport fc_cancel

cdef class Cancel:
    cdef fc_cancel c
