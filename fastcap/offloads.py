"""What an interface makes of several frames before they are captured: one large one (offloads).

With `-s 80` a frame of 60 KiB that GRO made of 40 keeps one header of these 40.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import socket
import struct

_SIOCETHTOOL = 0x8946
_IFREQ = struct.Struct("16sP16x")
_LRO = 1 << 15  # ETH_FLAG_LRO of linux/ethtool.h
# name as ethtool -K takes it: the command that gets it (ETHTOOL_G*), and the bit of its answer
_SETTINGS = {
    "gro": (0x2B, 1),
    "lro": (0x25, _LRO),
    "gso": (0x23, 1),
    "tso": (0x1E, 1),
}
_MERGING_IN = ("gro", "lro")  # of frames that come in
_MERGING_OUT = ("tso",)  # those that go out are cut behind the capture; gso cuts them before it


def offloads(interface: str) -> dict[str, bool]:
    """Which are on, by ethtool's names; one that the driver does not tell is left out. OSError
    where nobody can be asked."""
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
        for name, (command, bit) in _SETTINGS.items():
            answer = array.array("I", [command, 0])
            request = _IFREQ.pack(os.fsencode(interface), answer.buffer_info()[0])
            with contextlib.suppress(OSError):
                fcntl.ioctl(any_socket, _SIOCETHTOOL, request)
                found[name] = bool(answer[1] & bit)
    return found


def merging(found: dict[str, bool], direction: str) -> list[str]:
    """Those that are on and merge frames of this direction: "in", "out" or "both"."""
    names = (() if direction == "out" else _MERGING_IN) + (
        () if direction == "in" else _MERGING_OUT
    )
    return [name for name in names if found.get(name)]


def advice(interface: str, names: list[str]) -> str:
    """A line about those that merge frames, with the command that turns them off."""
    return (
        f"{interface} merges frames before they are captured ({', '.join(names)}): "
        f"ethtool -K {interface} " + " ".join(f"{name} off" for name in names)
    )
