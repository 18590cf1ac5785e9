from fastcap._native.csrc cimport fc_program

cdef class NativeProgram:
    cdef fc_program *c
    cdef tuple _parts
