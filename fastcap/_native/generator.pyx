"""The frames of a bench, made and counted."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastcap._native.cancel cimport Cancel
from fastcap._native.csrc cimport (
    FC_GENERATOR_ADDRESS,
    FC_GENERATOR_FCS,
    FC_GENERATOR_LONGEST,
    FC_GENERATOR_HEAD,
    FC_GENERATOR_MOST_FLOWS,
    FC_GENERATOR_MOST_SIZES,
    FC_GENERATOR_ROOM,
    FC_GENERATOR_SHORTEST,
    FC_SERIALS_LONGEST_FRAME,
    fc_generator_flow,
    fc_generator_flow_of,
    fc_generator_init,
    fc_generator_label,
    fc_generator_prepare,
    fc_generator_read,
    fc_generator_settings,
    fc_generator_size,
    fc_generator_write,
    fc_pcap_layout,
    fc_scan_damage_text,
    fc_serials,
    fc_serials_close,
    fc_serials_open,
    fc_serials_read,
    fc_serials_walk,
)
from fastcap._native.layout cimport layout_of
from fastcap._native.status cimport check

FCS = FC_GENERATOR_FCS
SHORTEST = FC_GENERATOR_SHORTEST
LONGEST = FC_GENERATOR_LONGEST
HEAD = FC_GENERATOR_HEAD
MOST_SIZES = FC_GENERATOR_MOST_SIZES
MOST_FLOWS = FC_GENERATOR_MOST_FLOWS
LONGEST_CAPTURED = FC_SERIALS_LONGEST_FRAME
MOST_THREADS = 1024


cdef class NativeGenerator:
    """Makes frames; `sizes` are pairs (bytes on the wire, weight), `destination` six bytes. Only
    read once it is made, so any threads may use it. ValueError for what cannot be."""

    def __cinit__(self, *, uint64_t seed, uint32_t bench, tuple sizes not None, uint32_t flows,
                  uint32_t tcp_percent, bytes destination not None):
        cdef fc_generator_size taken[FC_GENERATOR_MOST_SIZES]
        cdef fc_generator_settings settings
        cdef const char *address = destination
        if len(sizes) > FC_GENERATOR_MOST_SIZES or len(destination) != FC_GENERATOR_ADDRESS:
            raise ValueError("too many sizes, or an address that is not six bytes")
        for i, (wire, weight) in enumerate(sizes):
            taken[i].wire = wire
            taken[i].weight = weight
        settings.seed = seed
        settings.bench= bench
        settings.sizes = taken
        settings.size_count = len(sizes)
        settings.flows = flows
        settings.tcp_percent = tcp_percent
        memcpy(settings.destination, address, FC_GENERATOR_ADDRESS)
        check(fc_generator_init(&self.c, &settings))

    def frame(self, uint64_t serial, int64_t ns) -> bytes:
        """What is handed to the interface, without the checksum that this adds."""
        cdef uint8_t room[FC_GENERATOR_ROOM]
        fc_generator_prepare(&self.c, room)
        cdef uint32_t length = fc_generator_write(&self.c, serial, ns, room)
        return PyBytes_FromStringAndSize(<const char *>room, length)

    def flow(self, uint32_t number) -> tuple:
        """Source and destination address as numbers, their ports, and whether it is TCP."""
        cdef fc_generator_flow flow
        if number >= self.c.flows:
            raise IndexError(f"flow {number} of {self.c.flows}")
        fc_generator_flow_of(&self.c, number, &flow)
        return (flow.source, flow.destination, flow.source_port, flow.destination_port,
                bool(flow.tcp))


def read_label(const unsigned char[::1] frame not None):
    """The bench, serial number and time of a frame that a generator made; None for other bytes."""
    cdef fc_generator_label label
    cdef const unsigned char *at = &frame[0] if frame.shape[0] else NULL
    if not fc_generator_read(at, frame.shape[0], &label):
        return None
    return label.bench, label.serial, label.ns


cdef class NativeSerials:
    """Counts the frames of a bench in captures by their serials; `sent` is how many frames each of
    its threads sent. One thread at a time. ValueError for more than 2^36 frames, MemoryError."""

    cdef fc_serials c

    def __cinit__(self, *, uint32_t bench, tuple sent not None):
        cdef uint64_t counts[1024]
        if len(sent) > MOST_THREADS:
            raise ValueError(f"{len(sent)} threads; at most {MOST_THREADS}")
        for i, count in enumerate(sent):
            counts[i] = count
        check(fc_serials_open(&self.c, bench, counts, len(sent)))

    def __dealloc__(self):
        fc_serials_close(&self.c)

    def read(self, int fd, layout, Cancel cancel not None) -> tuple:
        """Every record of a file that is open behind its header: the bytes of whole records, and
        damage or None. OSError; Interrupted; ValueError for a layout with longer frames than
        LONGEST_CAPTURED."""
        cdef fc_pcap_layout native = layout_of(layout)
        cdef fc_serials_walk walk
        cdef const char *text
        cdef int status
        with nogil:
            status = fc_serials_read(&self.c, fd, &native, &cancel.c, &walk)
        check(status)
        text = fc_scan_damage_text(walk.stop)
        return walk.bytes, text.decode() if text is not NULL else None

    def counts(self) -> dict:
        """The counters of struct fc_serials (csrc/serials.h) by name; the last three are None
        where nothing was found."""
        some = self.c.distinct > 0
        return {
            "frames": self.c.frames,
            "distinct": self.c.distinct,
            "duplicates": self.c.duplicates,
            "never_sent": self.c.never_sent,
            "other_benches": self.c.other_benches,
            "foreign": self.c.foreign,
            "highest": self.c.highest if some else None,
            "first_ns": self.c.first_ns if some else None,
            "last_ns": self.c.last_ns if some else None,
        }
