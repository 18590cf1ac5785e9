"""Runs many classic programs over the same frames on a cable: run_programs.py NEAR FAR < pickle.

In: the packed programs, and the frames. Out: what each program let through, as the kernel shows it,
with the TCI and TPID of the tag that it took off. Runs inside a network namespace.
"""

from __future__ import annotations

import ctypes
import pickle
import socket
import struct
import sys
import time

ETH_P_ALL = 3
SO_ATTACH_FILTER, SO_RCVBUFFORCE = 26, 33
ROOM = 16 << 20


def tap(interface: str, program: bytes) -> socket.socket:
    """A socket that sees what the program takes, with nothing from before it was attached."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
    except PermissionError:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
    code = ctypes.create_string_buffer(program)
    value = struct.pack("HP", len(program) // 8, ctypes.addressof(code))
    made.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, value)
    made.bind((interface, ETH_P_ALL))
    made.setblocking(False)
    return made


def received(from_tap: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(from_tap.recv(1 << 18))
        except BlockingIOError:
            return found


def main(near: str, far: str) -> None:
    programs, frames = pickle.load(sys.stdin.buffer)
    everything = struct.pack("=HBBI", 6, 0, 0, 262144)
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sender.bind((near, 0))
    taps = [tap(far, program) for program in programs]
    last = tap(far, everything)  # it hears of each frame behind the others
    for frame in frames:
        sender.send(frame)
    seen: list[bytes] = []
    until = time.monotonic() + 50
    while len(seen) < len(frames) and time.monotonic() < until:
        seen += received(last)
        time.sleep(0.001)
    time.sleep(0.02)
    pickle.dump((len(seen), [received(one) for one in taps]), sys.stdout.buffer)


if __name__ == "__main__":
    main(*sys.argv[1:])
