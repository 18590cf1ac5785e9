cdef int check(int status) except -1 nogil
