"""The offline loop over one range of a file, or over bytes, without the GIL."""

from libc.stdint cimport uint64_t

from fastcap._native.cancel cimport Cancel
from fastcap._native.csrc cimport (
    fc_postfilter,
    fc_postfilter_bytes,
    fc_postfilter_memory,
    fc_postfilter_range,
    fc_postfilter_result,
    fc_scan_damage_text,
    fc_scan_is_cut,
)
from fastcap._native.layout cimport layout_of
from fastcap._native.memory cimport Memory, NativeBytes
from fastcap._native.program cimport NativeProgram
from fastcap._native.status cimport check

NO_LIMIT = 0xFFFFFFFFFFFFFFFF


cdef fc_postfilter settings(NativeProgram program, object layout, object out_layout,
                            uint64_t limit, bint keep, NativeProgram skipping, Cancel cancel,
                            fc_postfilter_memory *memory) except *:
    cdef fc_postfilter postfilter
    postfilter.convert.from_ = layout_of(layout)
    postfilter.convert.to = layout_of(out_layout)
    postfilter.program = program.c if program is not None else NULL
    postfilter.skipping = skipping.c if skipping is not None else NULL
    postfilter.limit = limit
    postfilter.keep = keep
    postfilter.cancel = &cancel.c
    postfilter.memory = memory
    return postfilter


cdef void take(Memory memory, fc_postfilter_memory *buffers) noexcept:
    buffers.window = memory.windows.take()
    buffers.output = memory.outputs.take()


cdef void give(Memory memory, fc_postfilter_memory *buffers) noexcept:
    memory.windows.give(buffers.window)
    if buffers.output.bytes is not NULL:  # the call failed before it took this over
        memory.outputs.give(buffers.output)


cdef tuple as_tuple(fc_postfilter_result *result, Memory memory):
    cdef NativeBytes output = NativeBytes.__new__(NativeBytes)
    cdef const char *damage = fc_scan_damage_text(result.stop)
    output.c = result.output
    output.shelf = memory.outputs
    some = result.matched.frames > 0
    return (
        result.frames_read,
        (
            result.matched.frames,
            result.matched.first_ns if some else None,
            result.matched.last_ns if some else None,
        ),
        result.start,
        result.end,
        damage.decode() if damage is not NULL else None,
        fc_scan_is_cut(result.stop),
        output,
        result.tagged_missed,
    )


def filter_range(int fd, uint64_t start, uint64_t stop, uint64_t size, bint guess, *,
                 NativeProgram program, layout, out_layout, uint64_t limit, bint keep,
                 NativeProgram skipping=None, Cancel cancel not None,
                 Memory memory not None) -> tuple:
    """fc_postfilter_range (csrc/postfilter.h): frames read; frames matched with their earliest
    and latest time; offsets of the first record and behind the last; damage or None; whether it is
    that the bytes end inside a record; output; frames that only `skipping` takes."""
    cdef fc_postfilter_memory buffers
    cdef fc_postfilter postfilter = settings(
        program, layout, out_layout, limit, keep, skipping, cancel, &buffers
    )
    cdef fc_postfilter_result result
    cdef int status
    take(memory, &buffers)
    with nogil:
        status = fc_postfilter_range(&postfilter, fd, start, stop, size, guess, &result)
    give(memory, &buffers)
    check(status)
    return as_tuple(&result, memory)


def filter_bytes(const unsigned char[::1] data not None, *, NativeProgram program, layout,
                 out_layout, uint64_t limit, bint keep,
                 NativeProgram skipping=None, Cancel cancel not None,
                 Memory memory not None) -> tuple:
    """The same for bytes in memory that start with a record; offsets count from their start."""
    cdef fc_postfilter_memory buffers
    cdef fc_postfilter postfilter = settings(
        program, layout, out_layout, limit, keep, skipping, cancel, &buffers
    )
    cdef fc_postfilter_result result
    cdef size_t length = data.shape[0]
    cdef const unsigned char *at = &data[0] if length else NULL
    cdef int status
    take(memory, &buffers)
    with nogil:
        status = fc_postfilter_bytes(&postfilter, at, length, &result)
    give(memory, &buffers)
    check(status)
    return as_tuple(&result, memory)
