"""The offline loop over one range of a file, or over bytes, without the GIL."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from fastcap._native.cancel cimport Cancel
from fastcap._native.csrc cimport (
    FC_SUMMARY_PROTOCOLS,
    fc_code_judge,
    fc_postfilter,
    fc_postfilter_bytes,
    fc_postfilter_kept,
    fc_postfilter_range,
    fc_postfilter_result,
    fc_program,
    fc_scan_damage_text,
    fc_scan_is_cut,
    fc_summary_free,
    fc_summary_name,
    fc_summary_row,
)
from fastcap._native.layout cimport layout_of
from fastcap._native.memory cimport Memory, NativeBytes
from fastcap._native.program cimport NativeProgram
from fastcap._native.status cimport check

NO_LIMIT = 0xFFFFFFFFFFFFFFFF
FIRST_TIME = INT64_MIN
LAST_TIME = INT64_MAX
# The names of the protocols in rows of a summary, by their numbers.
PROTOCOLS = tuple([fc_summary_name(number).decode() for number in range(FC_SUMMARY_PROTOCOLS)])


cdef class _Settings:
    """What one call gets, and where its results go."""

    cdef fc_postfilter c
    cdef fc_postfilter_result result
    cdef const fc_program **programs
    cdef tuple held
    cdef Memory memory

    def __cinit__(self, programs, code, layout, out_layout, limit, keep, rest, summary,
                  NativeProgram skipping, since_ns, until_ns, sample, link, most_kept,
                  Cancel cancel not None, Memory memory not None):
        cdef size_t count = len(programs)
        self.held = (*programs, code, skipping, cancel)
        self.memory = memory
        self.programs = <const fc_program **>calloc(count + 1, sizeof(void *))
        self.result.kept = <fc_postfilter_kept *>calloc(count + 1, sizeof(fc_postfilter_kept))
        if self.programs is NULL or self.result.kept is NULL:
            raise MemoryError
        for i, program in enumerate(programs):
            self.programs[i] = (<NativeProgram?>program).c if program is not None else NULL
            self.result.kept[i].records = memory.outputs.take()
        self.c.convert.from_ = layout_of(layout)
        self.c.convert.to = layout_of(out_layout)
        self.c.programs = self.programs
        self.c.outputs = count
        if code is not None:
            if not code.judge or code.programs != count - rest:
                raise ValueError("machine code for other programs")
            self.c.code = <fc_code_judge *><size_t>code.address
        self.c.rest = rest
        self.c.keep = keep
        self.c.summary = summary
        self.c.skipping = skipping.c if skipping is not None else NULL
        self.c.since_ns = since_ns
        self.c.until_ns = until_ns
        self.c.sample = sample
        self.c.link = link
        self.c.limit = limit
        self.c.most_kept = most_kept
        self.c.cancel = &cancel.c

    def __dealloc__(self):
        if self.result.kept is not NULL:
            for i in range(self.c.outputs):
                if self.result.kept[i].records.bytes is not NULL:
                    self.memory.outputs.give(self.result.kept[i].records)
        fc_summary_free(&self.result.summary)
        free(self.result.kept)
        free(self.programs)

    cdef tuple kept(self, uint32_t number):
        cdef fc_postfilter_kept *kept = &self.result.kept[number]
        cdef NativeBytes records = NativeBytes.__new__(NativeBytes)
        records.c = kept.records
        records.shelf = self.memory.outputs
        kept.records.bytes = NULL  # the other one's now
        some = kept.matched.frames > 0
        first, last = kept.matched.first_ns, kept.matched.last_ns
        return (kept.matched.frames, first if some else None, last if some else None), records

    cdef bytes summary(self):
        return PyBytes_FromStringAndSize(
            <const char *>self.result.summary.rows,
            self.result.summary.count * sizeof(fc_summary_row),
        )

    cdef tuple answer(self):
        cdef const char *damage = fc_scan_damage_text(self.result.stop)
        return (
            self.result.frames_read,
            self.result.frames_taken,
            self.result.start,
            self.result.end,
            damage.decode() if damage is not NULL else None,
            fc_scan_is_cut(self.result.stop),
            self.result.tagged_missed,
            self.result.chains_redone,
            self.summary(),
            tuple([self.kept(i) for i in range(self.c.outputs)]),
            self.result.filled,
        )


def filter_range(int fd, uint64_t start, uint64_t stop, uint64_t size, bint guess, *,
                 tuple programs not None, code=None, layout, out_layout, uint64_t limit=NO_LIMIT,
                 bint keep, bint rest=False, bint summary=False, NativeProgram skipping=None,
                 int64_t since_ns=FIRST_TIME, int64_t until_ns=LAST_TIME, int sample=0, int link=0,
                 uint64_t most_kept=NO_LIMIT, Cancel cancel not None,
                 Memory memory not None) -> tuple:
    """fc_postfilter_range (csrc/postfilter.h), with machine code for all programs at once if there
    is `code` (fastcap.engine.MachineCode): frames read, and taken by any program; offsets of
    the first record and behind the last; damage or None; whether it is that the bytes end inside a
    record; frames that only `skipping` takes; wrong guesses inside; with `summary`,
    rows of what no program takes (struct fc_summary_row, one after the other); for each program
    frames matched with their earliest and latest time, and the records; whether it stopped because
    it kept more bytes than `most_kept`."""
    cdef _Settings settings = _Settings(programs, code, layout, out_layout, limit, keep, rest,
                                        summary, skipping, since_ns, until_ns, sample, link,
                                        most_kept, cancel, memory)
    cdef int status
    with nogil:
        status = fc_postfilter_range(&settings.c, fd, start, stop, size, guess, &settings.result)
    check(status)
    return settings.answer()


def filter_bytes(const unsigned char[::1] data not None, *,
                 tuple programs not None, code=None, layout, out_layout, uint64_t limit=NO_LIMIT,
                 bint keep, bint rest=False, bint summary=False, NativeProgram skipping=None,
                 int64_t since_ns=FIRST_TIME, int64_t until_ns=LAST_TIME, int sample=0, int link=0,
                 uint64_t most_kept=NO_LIMIT, Cancel cancel not None,
                 Memory memory not None) -> tuple:
    """The same for bytes in memory that start with a record; offsets count from their start."""
    cdef _Settings settings = _Settings(programs, code, layout, out_layout, limit, keep, rest,
                                        summary, skipping, since_ns, until_ns, sample, link,
                                        most_kept, cancel, memory)
    cdef size_t length = data.shape[0]
    cdef const unsigned char *at = &data[0] if length else NULL
    cdef int status
    with nogil:
        status = fc_postfilter_bytes(&settings.c, at, length, &settings.result)
    check(status)
    return settings.answer()
