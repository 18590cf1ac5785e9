"""Network interfaces of this network namespace, asked of the kernel by rtnetlink(7).

Not /sys/class/net: it shows the namespace it was mounted in, not ours. Not a library: pyroute2 is
the well-kept one, and needs longer to be imported than a capture to start.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import threading
from collections.abc import Iterator
from typing import NamedTuple

from fastcap.errors import InputError, UsageError
from fastcap.formats.linktypes import ETHERNET, RAW

_NEWLINK, _DELLINK, _GETLINK, _ERROR, _DONE = 16, 17, 18, 2, 3
_REQUEST, _DUMP = 1, 0x300
_NAME, _MTU, _STATS64 = 3, 4, 23  # IFLA_*
_RX_FIFO, _RX_MISSED = 14, 15  # places in struct rtnl_link_stats64
_UP, _LOOPBACK, _RUNNING = 0x1, 0x8, 0x40  # IFF_*
_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ATTRIBUTE = struct.Struct("=HH")

_ETHERNET_HEADERS = 14 + 3 * 4
# ARPHRD_* of linux/if_arp.h -> link type of what a packet socket gives
_LINKTYPES = {
    1: ETHERNET,
    772: ETHERNET,  # loopback
    768: RAW,  # tunnels: the packet socket sees what they carry
    769: RAW,
    776: RAW,
    519: RAW,
    65534: RAW,  # no link layer: tun, WireGuard
    801: 105,  # Wi-Fi monitor: IEEE 802.11, with Prism header, with radiotap
    802: 119,
    803: 127,
}


class Interface(NamedTuple):
    """`hardware` is ARPHRD_*; `missed` counts frames that the interface had to leave since it
    exists: rx_missed_errors and rx_fifo_errors of its driver."""

    number: int
    name: str
    hardware: int
    flags: int
    mtu: int
    missed: int

    @property
    def is_up(self) -> bool:
        return bool(self.flags & _UP)

    @property
    def is_loopback(self) -> bool:
        return bool(self.flags & _LOOPBACK)

    @property
    def state(self) -> str:
        if not self.is_up:
            return "down"
        return "up" if self.flags & _RUNNING else "up, no carrier"

    @property
    def longest(self) -> int:
        """Bytes of the longest frame that its MTU allows, with three VLAN tags."""
        return self.mtu + (_ETHERNET_HEADERS if self.linktype == ETHERNET else 0)

    @property
    def linktype(self) -> int | None:
        """The link type of its frames in a file; None where fastcap does not know its kind."""
        return _LINKTYPES.get(self.hardware)


def interfaces() -> list[Interface]:
    """All of this network namespace, by number."""
    return sorted(_ask(_DUMP, 0))


def find(name: str) -> Interface:
    """InputError for a name that is none, with those there are; UsageError for `any`."""
    found = {interface.name: interface for interface in interfaces()}
    if name in found:
        return found[name]
    if name == "any":
        raise UsageError(
            "-i any: frames of several link types do not fit one file; capture each interface "
            "by its name, side by side (fastcap capture -D lists them)"
        )
    there = ", ".join(found) or "none at all"
    raise InputError(f"{name}: no such interface; there are: {there}")


def by_number(number: int) -> Interface | None:
    """None where it is gone."""
    try:
        return next(_ask(0, number), None)
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise


def links_in(messages: bytes) -> Iterator[tuple[Interface, bool]]:
    """What the kernel tells of interfaces: each, and whether it is there or gone now."""
    for kind, message in _messages(messages):
        if (
            kind in (_NEWLINK, _DELLINK) and message[0] == socket.AF_UNSPEC
        ):  # not as a bridge's port
            yield _interface(message), kind == _NEWLINK


def _ask(flags: int, number: int) -> Iterator[Interface]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as netlink:
        body = _LINK.pack(socket.AF_UNSPEC, 0, number, 0, 0)
        length = _HEADER.size + len(body)
        netlink.send(_HEADER.pack(length, _GETLINK, _REQUEST | flags, 1, 0) + body)
        while True:
            answer = netlink.recv(1 << 17)
            for kind, message in _messages(answer):
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    code = -struct.unpack_from("=i", message)[0]
                    raise OSError(code, os.strerror(code))
                if kind == _NEWLINK:
                    yield _interface(message)
            if not flags & _DUMP:
                return


def _messages(answer: bytes) -> Iterator[tuple[int, bytes]]:
    while len(answer) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(answer)
        yield kind, answer[_HEADER.size : length]
        answer = answer[(max(length, _HEADER.size) + 3) & ~3 :]


def _interface(message: bytes) -> Interface:
    _, hardware, number, flags, _ = _LINK.unpack_from(message)
    name, mtu, missed = "", 0, 0
    for kind, value in _attributes(message[_LINK.size :]):
        if kind == _NAME:
            name = value.rstrip(b"\0").decode("utf-8", "surrogateescape")
        elif kind == _MTU:
            (mtu,) = struct.unpack("=I", value)
        elif kind == _STATS64:
            counters = struct.unpack_from(f"={_RX_MISSED + 1}Q", value)
            missed = counters[_RX_FIFO] + counters[_RX_MISSED]
    return Interface(number, name, hardware, flags, mtu, missed)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        yield kind & 0x3FFF, data[_ATTRIBUTE.size : length]
        data = data[(max(length, _ATTRIBUTE.size) + 3) & ~3 :]


class Missed:
    """Counts the frames that an interface had to leave, from `begin` to `end`, over interfaces that
    take each other's place. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number: int | None = None
        self._before: int | None = None  # what this interface had counted at the beginning
        self._earlier = 0  # missed by those before it
        self._frames = 0

    def begin(self, number: int) -> None:
        """From now on of this interface."""
        self.look()
        with self._lock:
            self._number, self._before, self._earlier = number, None, self._frames
        self.look()

    def look(self) -> int:
        """The count. It stays what it was where the kernel does not tell."""
        with self._lock, contextlib.suppress(OSError):
            interface = None if self._number is None else by_number(self._number)
            if interface is not None:
                if self._before is None:
                    self._before = interface.missed
                missed = self._earlier + interface.missed - self._before
                self._frames = max(self._frames, missed)
        return self._frames

    def end(self) -> None:
        """What is missed from now on is nobody's."""
        self.look()
        with self._lock:
            self._number = None
