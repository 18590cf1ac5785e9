from fastcap._native.csrc cimport fc_simulated

cdef class NativeSimulated:
    cdef fc_simulated c
    cdef bint opened  # `c` holds something to be closed
    cdef bint lent
