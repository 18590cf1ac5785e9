"""Classic BPF programs run by the kernel itself, thousands a second.

A filter on a datagram socket sees each datagram as it would see a frame, and needs no rights.
"""

from __future__ import annotations

import ctypes
import socket
import struct

from fastcap.language.classic import packed
from fastcap.language.libpcap import ClassicInstruction

_SO_ATTACH_FILTER = 26


class KernelFilters:
    """A pair of sockets: what goes in and passes the filter comes out, cut."""

    def __init__(self) -> None:
        self.sender, self.receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.receiver.setblocking(False)

    def close(self) -> None:
        self.sender.close()
        self.receiver.close()

    def attach(self, program: list[ClassicInstruction]) -> None:
        code = packed(program)
        buffer = ctypes.create_string_buffer(code)
        value = struct.pack("HP", len(code) // 8, ctypes.addressof(buffer))
        self.receiver.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, value)

    def pass_on(self, frame: bytes) -> bytes | None:
        self.sender.send(frame)
        try:
            return self.receiver.recv(1 << 16)
        except BlockingIOError:
            return None
