"""Live capture: the ring's reader, and the chunks that it fills for the writer."""

from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastcap._native.csrc cimport (
    FC_CAPTURE_LONGEST_FRAME,
    FC_CAPTURE_LONGEST_HEADER,
    FC_CAPTURE_SLACK,
    FC_RING_TIMEOUT_MS,
    FC_SLICE_HEADERS,
    fc_bool,
    fc_capture,
    fc_capture_account,
    fc_capture_attach,
    fc_capture_begin,
    fc_capture_close,
    fc_capture_detach,
    fc_capture_init,
    fc_capture_is_attached,
    fc_capture_read_account,
    fc_capture_ring_fill,
    fc_capture_rotate,
    fc_capture_run,
    fc_capture_set_longest,
    fc_capture_settings,
    fc_capture_stop,
    fc_chunk,
    fc_queue_give_back,
    fc_queue_next,
    fc_queue_open,
    fc_queue_used,
    fc_ring,
    fc_ring_close,
    fc_ring_filter,
    fc_ring_open,
    fc_ring_reject_all,
    fc_ring_settings,
    fc_simulated_lend,
)
from fastcap._native.program cimport NativeProgram
from fastcap._native.simulated cimport NativeSimulated
from fastcap._native.status cimport check

LONGEST_FRAME = FC_CAPTURE_LONGEST_FRAME
LONGEST_HEADER = FC_CAPTURE_LONGEST_HEADER
BLOCK_TIMEOUT_MS = FC_RING_TIMEOUT_MS
SLICE_HEADERS = FC_SLICE_HEADERS
NO_LIMIT = 0xFFFFFFFFFFFFFFFF
cdef enum:
    SOCK_FILTER_SIZE = 8  # struct sock_filter of linux/filter.h


def reject_all(int fd) -> None:
    """From here on the packet socket receives nothing. OSError."""
    check(fc_ring_reject_all(fd))


cdef fc_ring_filter filter_of(bytes instructions):
    cdef const char *address = instructions
    return fc_ring_filter(
        instructions=<const void *>address, count=len(instructions) // SOCK_FILTER_SIZE
    )


cdef class Chunk:
    """The bytes of one write, lent by the queue until `give_back`: `file` is the number of the
    file they go to, `ends` says that it is complete behind them; `frames`, `first_ns` and
    `last_ns` are of the records that end in them (the times None where there are none). The first
    `head` bytes end a record of the file's chunk before, the last `tail` begin one that ends in
    its next."""

    cdef fc_chunk *c
    cdef NativeCapture owner
    cdef int views

    @property
    def file(self) -> int:
        return self.c.file

    @property
    def ends(self) -> bool:
        return self.c.ends

    @property
    def head(self) -> int:
        return self.c.head

    @property
    def tail(self) -> int:
        return self.c.tail

    @property
    def frames(self) -> int:
        return self.c.frames

    @property
    def gaps(self) -> list:
        """Where the ring dropped frames: (number of the record that comes behind the gap, among
        those counted here; frames that are missing; the record's time). Behind the last record of a
        capture the number is `frames`, and the time None."""
        cdef uint32_t i
        return [
            (self.c.gaps[i].record, self.c.gaps[i].frames,
             self.c.gaps[i].ns if self.c.gaps[i].record < self.c.frames else None)
            for i in range(self.c.gap_count)
        ]

    @property
    def gaps_left_out(self) -> tuple:
        """How many more there are, and the frames that are missing in them."""
        return self.c.gaps_left_out, self.c.frames_left_out

    @property
    def ended_ns(self):
        """When the file was complete, nanoseconds since 1970; None where it is not."""
        return self.c.ended_ns if self.c.ends else None

    @property
    def first_ns(self):
        return self.c.first_ns if self.c.frames else None

    @property
    def last_ns(self):
        return self.c.last_ns if self.c.frames else None

    def __len__(self) -> int:
        return self.c.length

    def __getbuffer__(self, Py_buffer *view, int flags):
        if self.c is NULL:
            raise BufferError("the chunk was given back")
        PyBuffer_FillInfo(view, self, self.c.bytes, self.c.length, 1, flags)
        self.views += 1

    def __releasebuffer__(self, Py_buffer *view):
        self.views -= 1

    def give_back(self) -> None:
        """The reader may fill it again. BufferError while a view of it lives."""
        if self.views:
            raise BufferError("a view of the chunk lives")
        fc_queue_give_back(&self.owner.c.queue, self.c)
        self.c = NULL


cdef class NativeCapture:
    """A ring on an interface and the queue behind it. `run` is for one thread, `next_chunk` and
    Chunk for another, the rest for any.

    `header` is what every file begins with, and `trailer` the bytes that the caller wants to end it
    with. Filters are packed struct sock_filter; what they return is how many bytes of a frame the
    ring gets. `program` None leaves the decision to the ring's filter. `slice_layer` 0 keeps frames
    as long as `snaplen` says. `counter_fd` is a packet socket bound to the interface, or -1; it is
    lent until the capture has ended. `simulated` is a ring to read instead of an interface's: then
    what is said of that, of its ring and of filters, means nothing, and no right is needed.

    OSError of the socket or the ring, MemoryError for the queue.
    """

    cdef fc_capture c
    cdef fc_ring_settings ring
    cdef bint opened  # `c` holds something to be closed
    cdef NativeProgram program
    cdef NativeSimulated simulated
    cdef bytes header
    cdef bytes ring_filter
    cdef bytes counter_filter

    def __cinit__(self, *, int interface, uint32_t block_size, uint32_t block_count,
                  bint promiscuous, bint ignore_outgoing, size_t chunk_size, uint32_t chunks,
                  bytes header, size_t trailer, uint32_t snaplen, uint32_t slice_layer,
                  uint32_t slice_more, bint pcapng, bint nanoseconds, bint ethernet, bint eager,
                  uint64_t rotate_bytes, uint64_t rotate_ns, uint64_t flush_ns, uint64_t limit,
                  NativeProgram program, bytes ring_filter, int counter_fd, bytes counter_filter,
                  NativeSimulated simulated=None):
        cdef fc_capture_settings settings
        cdef const char *header_bytes = header
        cdef int status
        self.program = program
        self.ring_filter = ring_filter
        self.counter_filter = counter_filter
        self.header = header
        self.simulated = simulated
        if simulated is not None and simulated.lent:
            raise ValueError("another capture reads this simulated ring")
        if len(header) > FC_CAPTURE_LONGEST_HEADER or len(header) > chunk_size:
            raise ValueError("the header of a file is too long")
        settings.header = <const uint8_t *>header_bytes
        settings.header_length = len(header)
        settings.trailer_length = trailer
        settings.snaplen = snaplen
        settings.slice.layer = slice_layer
        settings.slice.more = slice_more
        settings.slice.ethernet = ethernet
        settings.format.pcapng = pcapng
        settings.format.nanoseconds = nanoseconds
        settings.ethernet = ethernet
        settings.eager = eager
        settings.rotate_bytes = rotate_bytes
        settings.rotate_ns = rotate_ns
        settings.flush_ns = flush_ns
        settings.limit = limit
        settings.program = program.c if program is not None else NULL
        settings.ring_filter = filter_of(ring_filter)
        settings.counter_fd = counter_fd
        settings.counter_filter = filter_of(counter_filter)
        fc_capture_init(&self.c, &settings)
        self.opened = True
        self.ring.interface = interface
        self.ring.block_size = block_size
        self.ring.block_count = block_count
        self.ring.promiscuous = promiscuous
        self.ring.ignore_outgoing = ignore_outgoing
        with nogil:
            status = fc_queue_open(&self.c.queue, chunk_size, FC_CAPTURE_SLACK, chunks)
        check(status)
        if simulated is not None:
            fc_simulated_lend(&simulated.c, &self.c.ring)
            simulated.lent = True
            return
        with nogil:
            status = fc_ring_open(&self.c.ring, &self.ring)
        check(status)

    def __dealloc__(self):
        if self.opened:  # zeroed, it would close descriptor 0
            fc_capture_close(&self.c)

    def begin(self) -> None:
        """Frames that arrive from here on are received, and wait for `run`. OSError."""
        check(fc_capture_begin(&self.c))

    def run(self) -> None:
        """Reads the ring until the end. OSError where the socket fails."""
        cdef int status
        with nogil:
            status = fc_capture_run(&self.c)
        check(status)

    def stop(self) -> None:
        fc_capture_stop(&self.c)

    def rotate(self) -> None:
        """The files that are open end; the next frame begins a new one."""
        fc_capture_rotate(&self.c)

    def detach(self) -> None:
        """The interface is gone: what the ring holds is still read, and files go on without one
        from when `is_attached` says so. From then on the counting socket is not lent any more.
        This, `is_attached` and `attach` are for one thread."""
        fc_capture_detach(&self.c)

    def is_attached(self) -> bool:
        return fc_capture_is_attached(&self.c)

    def attach(self, int interface, int counter_fd) -> None:
        """A new ring, like the one that was detached, on another interface: frames that arrive
        from here on are received. OSError."""
        cdef fc_ring ring
        cdef int status
        self.ring.interface = interface
        with nogil:
            status = fc_ring_open(&ring, &self.ring)
        check(status)
        status = fc_capture_attach(&self.c, &ring, counter_fd)
        if status < 0:
            fc_ring_close(&ring)
        check(status)

    def set_longest(self, uint32_t size) -> None:
        """Frames longer than this on the wire are counted as `oversize`; 0 means any length."""
        fc_capture_set_longest(&self.c, size)

    def next_chunk(self, int milliseconds):
        """The next Chunk to be written; None where none comes so soon; False at the end."""
        cdef Chunk chunk = Chunk.__new__(Chunk)  # before one is taken: it could not be given back
        cdef fc_chunk *c
        cdef fc_bool ended = False
        with nogil:
            c = fc_queue_next(&self.c.queue, milliseconds, &ended)
        if c is NULL:
            return False if ended else None
        chunk.c = c
        chunk.owner = self
        return chunk

    def account(self) -> dict:
        """The counters of struct fc_capture_account (csrc/capture.h) by name."""
        cdef fc_capture_account account
        fc_capture_read_account(&self.c, &account)
        return account

    def buffer_used(self) -> tuple:
        """Bytes handed over and not yet written: now, and at most."""
        cdef uint64_t now
        cdef uint64_t most
        fc_queue_used(&self.c.queue, &now, &most)
        return now, most

    def ring_fill(self) -> float:
        """The part of the ring's blocks that wait for the reader, 0 to 1."""
        return fc_capture_ring_fill(&self.c)
