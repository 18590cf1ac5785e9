"""fastcap.formats.pcap.Layout as the core has it."""

from fastcap._native.csrc cimport fc_pcap_layout


cdef fc_pcap_layout layout_of(object layout) except *:
    return fc_pcap_layout(
        swapped=layout.swapped,
        nanoseconds=layout.nanoseconds,
        snaplen=layout.snaplen,
        max_captured=layout.max_captured,
    )
