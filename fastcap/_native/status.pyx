"""The one place that turns a status of the core into an exception."""

from cpython.exc cimport PyErr_SetFromErrno

from fastcap._native.csrc cimport (
    FC_ERROR_ARGUMENT,
    FC_ERROR_CANCELLED,
    FC_ERROR_EXISTS,
    FC_ERROR_MEMORY,
    FC_ERROR_PROGRAM,
    FC_ERROR_SHRUNK,
    FC_ERROR_SYSTEM,
    fc_status_text,
)

from fastcap.errors import InputError, Interrupted, ProgramError

# status -> class; FC_ERROR_SYSTEM is not here, for errno chooses the class
cdef dict CLASSES = {
    FC_ERROR_MEMORY: MemoryError,
    FC_ERROR_PROGRAM: ProgramError,
    FC_ERROR_CANCELLED: Interrupted,
    FC_ERROR_SHRUNK: InputError,       # the file's user adds which file
    FC_ERROR_ARGUMENT: ValueError,
    FC_ERROR_EXISTS: FileExistsError,
}


cdef int check(int status) except -1 nogil:
    if status >= 0:
        return 0
    with gil:
        if status == FC_ERROR_SYSTEM:
            PyErr_SetFromErrno(OSError)
            return -1
        raise CLASSES.get(status, RuntimeError)(fc_status_text(status).decode())
