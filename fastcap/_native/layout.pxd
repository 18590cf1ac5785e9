from fastcap._native.csrc cimport fc_pcap_layout

cdef fc_pcap_layout layout_of(object layout) except *
