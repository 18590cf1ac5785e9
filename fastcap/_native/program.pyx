"""Filter programs, checked and ready to run."""

from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free

from fastcap._native.csrc cimport (
    FC_ERROR_MEMORY,
    FC_ERROR_PROGRAM,
    fc_frame,
    fc_instruction,
    fc_program_free,
    fc_program_new,
    fc_program_run,
    fc_set,
)
from fastcap._native.status cimport check

from fastcap.errors import ProgramError

INSTRUCTION_SIZE = sizeof(fc_instruction)


cdef class NativeProgram:
    """A checked program. `instructions` are packed fc_instruction (csrc/program.h), `sets` are
    packed native uint32 in ascending order. Any number of threads may run it at once.

    ProgramError for what breaks a rule, with the number of the instruction.
    """

    def __cinit__(self, bytes instructions, tuple sets=()):
        cdef Py_ssize_t count = len(instructions) // sizeof(fc_instruction)
        cdef size_t bad = 0
        cdef int status
        cdef fc_set *native_sets
        cdef bytes values
        cdef const char *address
        if len(instructions) % sizeof(fc_instruction) != 0:
            raise ProgramError("the packed instructions end inside an instruction")
        self._instructions = instructions
        self._sets = sets
        native_sets = <fc_set *>calloc(len(sets) + 1, sizeof(fc_set))
        if native_sets is NULL:
            check(FC_ERROR_MEMORY)
        try:
            for i, values in enumerate(sets):
                address = values
                native_sets[i].values = <const uint32_t *>address
                native_sets[i].count = len(values) // sizeof(uint32_t)
            address = instructions
            status = fc_program_new(
                <const fc_instruction *>address, count,
                native_sets, len(sets), &self.c, &bad,
            )
        finally:
            free(native_sets)
        if status == FC_ERROR_PROGRAM:
            where = f"instruction {bad}" if bad < <size_t>count else "its length or its sets"
            raise ProgramError(f"not a valid filter program: {where}")
        check(status)

    def __dealloc__(self):
        fc_program_free(self.c)

    def __reduce__(self):
        return NativeProgram, (self._instructions, self._sets)

    def run(self, const unsigned char[::1] frame not None, uint32_t wire_length) -> int:
        """The value that the program returns for one frame: 0 rejects it."""
        cdef fc_frame view
        if frame.shape[0] > 0xFFFFFFFF:
            raise ValueError("a frame has at most 4,294,967,295 bytes")
        view.bytes = &frame[0] if frame.shape[0] else NULL
        view.captured = <uint32_t>frame.shape[0]
        view.wire = wire_length
        view.tagged = False
        return fc_program_run(self.c, &view)
