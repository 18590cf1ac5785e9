"""make demo: real traffic between real sockets on this machine, captured, then filtered.

It works in a network namespace of its own, so it needs no rights where users may make namespaces,
touches no interface of this machine, and leaves nothing behind but the folder demo/. The captures
are made by a plain AF_PACKET socket and a few lines of Python: honest, slow, enough for this.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import http.client
import http.server
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path("demo")
CAPTURES = FOLDER / "net1"
SUSPECT = "10.35.69.103"
SERVER = "10.0.0.1"
CLIENTS = ("10.0.0.21", "10.0.0.22", SUSPECT)
BLOBS = "Blob(FrameData, 26, 4) == 0x0a234567 OR Blob(FrameData, 30, 4) == 0x0a234567"
TCPDUMP = "ether[26:4] == 0x0a234567 or ether[30:4] == 0x0a234567"
SNAPLEN = 80
FILE_BYTES = 100_000
FRAMES_PER_READ = 65536

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFFLAGS = 0x8916, 0x891C, 0x8914
IFF_UP = 1
ETH_P_ALL, PACKET_OUTGOING = 3, 4
SO_RCVBUFFORCE = 33
BUFFER = 64 << 20


# ---- A network of our own -----------------------------------------------------------------------


def enter_namespace() -> None:
    """A network namespace in which every 10.x.x.x address is this machine."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0 and libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        reason = os.strerror(ctypes.get_errno())
        sys.exit(f"demo: no network namespace ({reason}): run `sudo make demo`")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        configure(control, SIOCSIFFLAGS, b"lo", struct.pack("h", IFF_UP))
        configure(control, SIOCSIFADDR, b"lo:1", address("10.0.0.1"))
        configure(control, SIOCSIFNETMASK, b"lo:1", address("255.0.0.0"))


def configure(control: socket.socket, request: int, name: bytes, value: bytes) -> None:
    fcntl.ioctl(control, request, struct.pack("16s24s", name, value))


def address(text: str) -> bytes:
    return struct.pack("HH4s", socket.AF_INET, 0, socket.inet_aton(text))


# ---- Capturing ----------------------------------------------------------------------------------


class Recorder(threading.Thread):
    """Writes what passes the loopback interface into files of FILE_BYTES, the first SNAPLEN bytes
    of each frame, and counts by itself which frames hold the suspect's address."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        with contextlib.suppress(PermissionError):  # beyond the system's limit, where we may
            self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        self.socket.bind(("lo", 0))
        self.socket.settimeout(0.2)
        self.stopping = threading.Event()
        self.paths: list[str] = []
        self.frames = 0
        self.suspect = 0

    def run(self) -> None:
        file = None
        for wire, frame in self.received():
            if file is None or file.tell() > FILE_BYTES:
                if file is not None:
                    file.close()
                file = (CAPTURES / f"net1_{len(self.paths) + 1:08}.pcap").open("wb")
                self.paths.append(file.name)
                file.write(struct.pack("=IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, SNAPLEN, 1))
            seconds, nanoseconds = divmod(time.time_ns(), 10**9)
            file.write(struct.pack("=IIII", seconds, nanoseconds, len(frame), wire) + frame)
            self.frames += 1
            who = socket.inet_aton(SUSPECT)
            self.suspect += frame[26:30] == who or frame[30:34] == who
        if file is not None:
            file.close()

    def received(self) -> Iterator[tuple[int, bytes]]:
        """Length on the wire and first bytes of each frame; loopback shows each twice, the one
        that is sent is left out."""
        while True:
            try:
                frame, (_, _, kind, *_) = self.socket.recvfrom(FRAMES_PER_READ)
            except TimeoutError:
                if self.stopping.is_set():
                    return
                continue
            if kind != PACKET_OUTGOING:
                yield len(frame), frame[:SNAPLEN]

    def stop(self) -> int:
        """Ends the capture; the frames that the kernel had no room for."""
        self.stopping.set()
        self.join()
        statistics = self.socket.getsockopt(263, 6, 8)  # SOL_PACKET, PACKET_STATISTICS
        dropped: int = struct.unpack("II", statistics)[1]
        self.socket.close()
        return dropped


# ---- Traffic ------------------------------------------------------------------------------------


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"x" * 3000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def web() -> int:
    """An HTTP server and clients with addresses of their own; the requests answered."""
    server = http.server.ThreadingHTTPServer((SERVER, 80), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    answered = 0
    for i in range(240):
        client = CLIENTS[i % len(CLIENTS)] if i % 20 == 0 else CLIENTS[i % 2]
        connection = http.client.HTTPConnection(SERVER, 80, source_address=(client, 0))
        connection.request("GET", "/")
        answered += connection.getresponse().read() == b"x" * 3000
        connection.close()
    server.shutdown()
    server.server_close()
    return answered


def names() -> int:
    """Questions and answers on UDP port 53; the answers received."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        server.bind((SERVER, 53))
        answered = 0
        for client in CLIENTS[:2]:
            asking = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            asking.bind((client, 0))
            asking.settimeout(5)
            for i in range(150):
                asking.sendto(b"who is %d?" % i, (SERVER, 53))
                question, sender = server.recvfrom(512)
                server.sendto(b"it is " + question, sender)
                answered += asking.recv(512).startswith(b"it is")
    return answered


def bulk() -> int:
    """One long transfer between two other hosts; its bytes."""
    sent = 8 << 20
    with socket.create_server(("10.0.9.9", 5001)) as server:

        def send() -> None:
            with socket.create_connection(("10.0.9.9", 5001), source_address=("10.0.9.8", 0)) as s:
                s.sendall(bytes(sent))

        threading.Thread(target=send, daemon=True).start()
        connection, _ = server.accept()
        with connection:
            received = 0
            while more := connection.recv(1 << 16):
                received += len(more)
    return received


# ---- The demo -----------------------------------------------------------------------------------


def fastcap(*words: str) -> subprocess.CompletedProcess[str]:
    shown = " ".join(f"'{word}'" if " " in word else word for word in words)
    print(f"\n$ fastcap {shown}")
    command = [sys.executable, "-m", "fastcap", *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    print((done.stdout + done.stderr).rstrip())
    return done


def tcpdump_count(paths: list[str], expression: str) -> int | None:
    if shutil.which("tcpdump") is None:
        return None
    count = 0
    for path in paths:
        command = ["tcpdump", "-r", path, "--count", expression]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        count += int(done.stdout.split()[0])
    return count


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    CAPTURES.mkdir(parents=True)
    enter_namespace()
    recorder = Recorder()
    recorder.start()
    print("Real traffic between real sockets, in a network namespace of its own:")
    print(f"  HTTP requests answered      {web():>9,}")
    print(f"  questions answered, UDP 53  {names():>9,}")
    print(f"  bytes of one transfer       {bulk():>9,}")
    dropped = recorder.stop()
    print(f"Captured: {recorder.frames:,} frames, the first {SNAPLEN} bytes of each, in "
          f"{len(recorder.paths)} files; {dropped} dropped")  # fmt: skip

    output = str(FOLDER / "suspect.pcap")
    found = fastcap("filter", BLOBS, str(CAPTURES), "-o", output, "--json")
    fastcap("info", output)
    web_count = int(fastcap("filter", "tcp port 80", str(CAPTURES), "--count").stdout)
    matched = json.loads(found.stdout)["frames_matched"]

    theirs = tcpdump_count(recorder.paths, TCPDUMP)
    theirs_web = tcpdump_count(recorder.paths, "tcp port 80")
    rows = [
        ("", "fastcap", "the recorder", "tcpdump"),
        (f"frames of {SUSPECT}", matched, recorder.suspect, theirs),
        ("frames of tcp port 80", web_count, "-", theirs_web),
    ]
    print()
    for row in rows:
        name, *counts = ("not installed" if cell is None else str(cell) for cell in row)
        print(f"{name:<26}" + "".join(f"{count:>15}" for count in counts))
    agree = matched == recorder.suspect and theirs in (None, matched)
    agree = agree and theirs_web in (None, web_count)
    print("\nAll counts agree." if agree else "\nTHE COUNTS DIFFER: this is a bug.")
    sys.exit(0 if agree else 1)


if __name__ == "__main__":
    main()
