from fastcap._native.csrc cimport fc_generator

cdef class NativeGenerator:
    cdef fc_generator c
