"""Filter programs, checked and ready to run."""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc, free

from fastcap._native.csrc cimport (
    FC_CODE_ABI,
    FC_ERROR_MEMORY,
    FC_ERROR_PROGRAM,
    fc_code_run,
    fc_frame,
    fc_instruction,
    fc_pattern,
    fc_program_free,
    fc_program_new,
    fc_program_run,
    fc_program_source,
    fc_program_use,
    fc_ranges,
    fc_wide_ranges,
)
from fastcap._native.status cimport check

from fastcap.errors import ProgramError

INSTRUCTION_SIZE = sizeof(fc_instruction)
CODE_ABI = FC_CODE_ABI


cdef class NativeProgram:
    """A checked program. Any number of threads may run it at once.

    `instructions` are packed fc_instruction (csrc/program.h); `sets` are pairs of native uint32,
    the first and the last number of each range, ascending and apart; `wide_sets` the width in
    bytes and such pairs big-endian; `patterns` bytes; `tags_at` where VLAN tags begin, or 0.
    `code`: machine code that does the same for one frame (fastcap.engine.MachineCode).

    ProgramError for what breaks a rule, with the number of the instruction.
    """

    def __cinit__(self, bytes instructions, tuple sets=(), tuple wide_sets=(), tuple patterns=(),
                  uint32_t tags_at=0, code=None):
        cdef size_t bad = 0
        cdef int status
        cdef const char *address = instructions
        cdef fc_program_source source
        if len(instructions) % sizeof(fc_instruction) != 0:
            raise ProgramError("the packed instructions end inside an instruction")
        self._parts = (instructions, sets, wide_sets, patterns, tags_at, code)
        source.instructions = <const fc_instruction *>address
        source.count = len(instructions) // sizeof(fc_instruction)
        source.tags_at = tags_at
        cdef fc_ranges *c_sets = <fc_ranges *>calloc(len(sets) + 1, sizeof(fc_ranges))
        cdef fc_wide_ranges *c_wide = <fc_wide_ranges *>calloc(
            len(wide_sets) + 1, sizeof(fc_wide_ranges)
        )
        cdef fc_pattern *c_patterns = <fc_pattern *>calloc(len(patterns) + 1, sizeof(fc_pattern))
        try:
            if c_sets is NULL or c_wide is NULL or c_patterns is NULL:
                check(FC_ERROR_MEMORY)
            lend_sets(c_sets, sets)
            lend_wide_sets(c_wide, wide_sets)
            lend_patterns(c_patterns, patterns)
            source.sets = c_sets
            source.set_count = len(sets)
            source.wide_sets = c_wide
            source.wide_set_count = len(wide_sets)
            source.patterns = c_patterns
            source.pattern_count = len(patterns)
            status = fc_program_new(&source, &self.c, &bad)
        finally:
            free(c_sets)
            free(c_wide)
            free(c_patterns)
        if status == FC_ERROR_PROGRAM:
            where = f"instruction {bad}" if bad < source.count else "its length or its sets"
            raise ProgramError(f"not a valid filter program: {where}")
        check(status)
        if code is not None:
            if code.judge or code.programs != 1:
                raise ValueError("machine code for groups, not for one frame")
            fc_program_use(self.c, <fc_code_run *><size_t>code.address)

    def __dealloc__(self):
        fc_program_free(self.c)

    def __reduce__(self):
        return NativeProgram, self._parts

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


# What is lent belongs to the tuples, which outlive the call.

cdef int lend_sets(fc_ranges *to, tuple sets) except -1:
    cdef const char *address
    for i, pairs in enumerate(sets):
        address = <bytes>pairs
        to[i].pairs = <const uint32_t *>address
        to[i].count = <uint32_t>(len(pairs) // (2 * sizeof(uint32_t)))
    return 0


cdef int lend_wide_sets(fc_wide_ranges *to, tuple wide_sets) except -1:
    cdef const char *address
    for i, (width, pairs) in enumerate(wide_sets):
        address = <bytes>pairs
        to[i].pairs = <const uint8_t *>address
        to[i].width = width
        to[i].count = <uint32_t>(len(pairs) // (2 * width)) if width else 0
    return 0


cdef int lend_patterns(fc_pattern *to, tuple patterns) except -1:
    cdef const char *address
    for i, pattern in enumerate(patterns):
        address = <bytes>pattern
        to[i].bytes = <const uint8_t *>address
        to[i].length = <uint32_t>len(pattern)
    return 0
