"""A network namespace with two ends of one cable, frames that are known to the byte, and captures
that run there.

pytest stays outside: everything runs in subprocesses that enter the namespace.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from tests import pcaps
from tests.conftest import needs
from tests.pcaps import Frame

# Frames are sent at NEAR and captured at FAR.
NEAR, FAR = "v0", "v1"
LONGEST_WAIT = 60  # seconds; nothing here takes so long unless it hangs
READY = "fastcap: capturing on "


# ---- Frames, as send_frames.c sends them --------------------------------------------------------

SOURCE = "02:00:00:00:00:01"
_DESTINATION = "02:00:00:00:00:02"
_TYPE = b"\x88\xb5"
_TPIDS = (b"\x81\x00", b"\x88\xa8", b"\x91\x00")
_ADDRESSES = 12  # bytes
_BODY = bytes(i % 251 for i in range(10_000))


def sent_frame(serial: int, size: int, tags: str = "", source: str = SOURCE) -> bytes:
    """`tags` are TPID:TCI in hexadecimal, the outer one first, with commas between them."""
    start = bytes.fromhex((_DESTINATION + source + tags).replace(":", "").replace(",", ""))
    start += _TYPE + serial.to_bytes(8, "big")
    return start + _BODY[serial % 256 : serial % 256 + size - len(start)]


def serials(frames: Iterable[Frame]) -> list[int]:
    """Of frames that were captured that far."""
    return [_serial(frame.data) for frame in frames]


def _serial(data: bytes) -> int:
    at = _ADDRESSES
    while data[at : at + 2] in _TPIDS:
        at += 4
    assert data[at : at + 2] == _TYPE
    assert len(data) >= at + 10
    return int.from_bytes(data[at + 2 : at + 10], "big")


def read(path: str | os.PathLike[str]) -> list[Frame]:
    """The frames of a file, which must be a whole capture."""
    return pcaps.read(Path(path).read_bytes())


def captures_in(folder: Path) -> list[str]:
    """The names in a folder, but hidden ones, and the JSON beside each."""
    names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    return [name for name in names if not name.endswith(".json")]


def opens_without_a_warning(paths: Sequence[Path], tools: Iterable[str] = ()) -> None:
    """In tcpdump and capinfos, which see as many frames as are there. `tools` must be installed;
    without it those that are will do."""
    counts = [len(read(path)) for path in paths]
    names = "".join(f"{path}\n" for path in paths)
    for tool in (tools or filter(shutil.which, ("tcpdump", "capinfos"))) if paths else ():
        if tool == "capinfos":
            done = _run(needs(tool), "-c", "-T", "-M", "-r", *paths)
            told = [int(line.split("\t")[1]) for line in done.stdout.splitlines()]
            assert told == counts
        else:
            # as root it gives its rights up behind the first file, unless it is to be root
            as_root = ["-Z", "root"] if os.geteuid() == 0 else []
            done = _run(needs(tool), *as_root, "-n", "--count", "-V", "-", input=names)
            assert done.stdout.split() == [str(sum(counts)), "packet" + "s" * (sum(counts) != 1)]
        said = done.stderr.splitlines()
        assert [line for line in said if not line.startswith("reading from file")] == []
        assert done.returncode == 0


def wait_until(done: Callable[[], object], problem: str = "it never happened") -> None:
    until = time.monotonic() + LONGEST_WAIT
    while not done():
        assert time.monotonic() < until, problem
        time.sleep(0.005)


def _run(*command: object, **options: Any) -> subprocess.CompletedProcess[str]:
    options = {"timeout": LONGEST_WAIT, **options}
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, **options
    )
    return done


# ---- Network ------------------------------------------------------------------------------------

# IPv6 is told to be silent before the interfaces are there; a kernel without it is fine. Nobody
# asks for addresses, so nothing but our frames is on the cable.
_SET_UP = f"""
for which in all default; do
    echo 1 2>/dev/null > /proc/sys/net/ipv6/conf/$which/disable_ipv6
done
set -e
ip link set lo up
ip link add {NEAR} mtu 9000 type veth peer name {FAR} mtu 9000
for end in {NEAR} {FAR}; do
    ip link set $end addrgenmode none || true
    ip link set $end arp off up
done
echo ready
exec cat
"""
_NAMESPACES: tuple[tuple[str, list[str]], ...] = (
    ("-n", []),
    ("-Urn", ["-U", "--preserve-credentials"]),  # for users who are not root
)


class Network:
    """A network namespace of its own, for root and for whoever may make a user namespace; the test
    is skipped where neither is allowed. What runs in it ends with it."""

    def __init__(self, send_frames: Path, folder: Path) -> None:
        self.send_frames = send_frames
        self.folder = folder
        self.processes: list[subprocess.Popen[str]] = []
        self._holder, self._enter = _new_namespace()

    def popen(self, *command: object, **options: Any) -> subprocess.Popen[str]:
        """A process in the namespace; its pid is that of the command."""
        process: subprocess.Popen[str] = subprocess.Popen(
            [*self._enter, *map(str, command)], text=True, **options
        )
        self.processes.append(process)
        return process

    def run(self, *command: object, **options: Any) -> subprocess.CompletedProcess[str]:
        return _run(*self._enter, *command, **options)

    def ip(self, *words: object) -> str:
        """What iproute2's `ip` prints."""
        done = self.run("ip", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def link(self, name: str) -> dict[str, Any]:
        """What is known of an interface."""
        (link,) = json.loads(self.ip("-details", "-json", "link", "show", "dev", name))
        result: dict[str, Any] = link
        return result

    def send(self, count: int, size: int = 80, **options: Any) -> None:
        """Sends frames, and returns when the other end has received all of them."""
        sender = self.sending(count, size, stderr=subprocess.PIPE, **options)
        said, problem = sender.communicate(timeout=LONGEST_WAIT)
        assert (sender.returncode, said) == (0, f"{count}\n"), problem
        let_receive()

    def sending(
        self, count: int, size: int = 80, *, interface: str = NEAR, rate: int = 0, first: int = 0,
        tags: str = "", source: str = SOURCE, bypass: bool = True, **options: Any,
    ) -> subprocess.Popen[str]:  # fmt: skip
        """send_frames.c at work; it ends when all frames are sent."""
        words = ["--rate", rate, "--first", first, "--source", source, "--bypass", int(bypass)]
        words += ["--tags", tags] if tags else []
        return self.popen(
            self.send_frames, interface, count, size, *words, stdout=subprocess.PIPE, **options
        )

    def capture(self, *words: object, **options: Any) -> Capture:
        return Capture(self, *words, **options)

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        self._holder.communicate()

    def __enter__(self) -> Network:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _new_namespace() -> tuple[subprocess.Popen[str], list[str]]:
    """The process that holds it until its standard input ends, and how others enter."""
    needs("ip")
    needs("nsenter")
    reasons = []
    for flags, more in _NAMESPACES:
        holder = subprocess.Popen(
            [needs("unshare"), flags, "sh", "-c", _SET_UP],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert holder.stdout is not None
        if holder.stdout.readline() == "ready\n":
            return holder, ["nsenter", "-t", str(holder.pid), "-n", *more]
        reasons.append(holder.communicate()[1].strip().replace("\n", "; "))
    pytest.skip("no network namespace here: " + "; ".join(reasons))


def let_receive() -> None:
    """What was sent may wait for its processor to receive it, when that is busy."""
    for processor in _backlogs():
        wait_until(lambda number=processor: not _backlogs()[number], "frames were not received")  # type: ignore[misc]


def _backlogs() -> dict[int, int]:
    """Frames that wait, by processor. Kernels before 5.14 do not tell."""
    rows = (line.split() for line in Path("/proc/net/softnet_stat").read_text().splitlines())
    return {int(row[12], 16): int(row[11], 16) for row in rows if len(row) > 12}


_FLAGS = ("-std=c11", "-O2", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wconversion", "-Werror")


def compile_sender(folder: Path) -> Path:
    path = folder / "send_frames"
    source = Path(__file__).with_name("send_frames.c")
    done = _run(needs("cc"), *_FLAGS, source, "-o", path)
    assert done.returncode == 0, done.stderr
    return path


# ---- Tunnel -------------------------------------------------------------------------------------

# a tunnel's packets come from a file descriptor, and have no link layer
_TUNNEL = """
import fcntl, os, struct, subprocess, sys
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", b"tun0", 0x1001))  # TUNSETIFF, IFF_TUN, no PI
subprocess.run(["ip", "link", "set", "tun0", "up"], check=True)
print("ready", flush=True)
for line in sys.stdin:
    os.write(tun, bytes.fromhex(line))
    print("written", flush=True)
"""


@contextlib.contextmanager
def tunnel(network: Network) -> Iterator[Callable[[bytes], None]]:
    """tun0, and what writes a packet that comes in there; skips where there is none to be had."""
    process = network.popen(
        sys.executable, "-c", _TUNNEL, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None
    if stdout.readline() != "ready\n":
        assert process.stderr is not None
        pytest.skip(f"no tunnel here: {process.stderr.read().splitlines()[-1]}")

    def write(packet: bytes) -> None:
        stdin.write(packet.hex() + "\n")
        stdin.flush()
        assert stdout.readline() == "written\n"

    yield write


# ---- Capture ------------------------------------------------------------------------------------

_COMMAND = (sys.executable, "-m", "fastcap", "capture")
_COUNT = re.compile(r"([0-9,]+) (?:frames )?(received|written|dropped|lost|rejected)")
# Room for whatever a test sends, so that nothing is lost on a busy machine, and quick to allocate.
_MEMORY = ("--ring", "64M", "--buffer", "16M")


class Capture:
    """`fastcap capture -w path words…`, which captures when the constructor returns; with `ready`
    it waits for that text instead, and with None for nothing."""

    def __init__(
        self, network: Network, path: object, *words: object, interface: str = FAR,
        memory: Sequence[str] = _MEMORY, as_json: bool = True, before: Sequence[object] = (),
        stdout: Any = None, ready: str | None = READY, pass_fds: Sequence[int] = (),
    ) -> None:  # fmt: skip
        self.as_json = as_json
        number = len(network.processes)
        self._out = network.folder / f"out-{number}"
        self._err = network.folder / f"err-{number}"
        command = [*before, *_COMMAND, "-i", interface, "-w", path, *memory]
        command += ["--json"] if as_json else []
        with self._out.open("wb") as out, self._err.open("wb") as err:
            stdout = stdout or (out if as_json else subprocess.PIPE)
            self.process = network.popen(
                *command, *words, stdout=stdout, stderr=err, pass_fds=pass_fds
            )
        if ready is not None:
            self.wait_for(ready)

    @property
    def err(self) -> str:
        """What it has said on standard error."""
        return self._err.read_text()

    def wait_for(self, text: str) -> None:
        """Until it says so on standard error."""
        wait_until(lambda: text in self.err or self.process.poll() is not None, self.err)
        assert text in self.err, f"it ended without {text!r}: {self.err}"

    def send_signal(self, number: int) -> None:
        self.process.send_signal(number)

    def halt(self) -> None:
        """Stops it; none of its threads runs any more then. SIGCONT lets it go on."""
        self.send_signal(signal.SIGSTOP)
        wait_until(lambda: _states(self.process.pid) <= {"T", "Z"}, "it does not stop")

    def counts(self) -> dict[str, int]:
        """Its account just now, as it tells it: received, written, dropped, lost, rejected."""
        before = len(self._accounts())
        self.send_signal(signal.SIGUSR1)
        wait_until(lambda: len(self._accounts()) > before, self.err)
        found = _COUNT.findall(self._accounts()[before])
        return {name: int(count.replace(",", "")) for count, name in found}

    def _accounts(self) -> list[str]:
        lines = self.err.splitlines(keepends=True)
        return [line for line in lines if " frames received, " in line and line.endswith("\n")]

    def wait_for_counts(self, is_right: Callable[[dict[str, int]], bool]) -> None:
        """Until its account is so."""
        wait_until(lambda: is_right(self.counts()), self.err)

    def has_taken(self, sent: int) -> None:
        """Waits until each of so many frames is written, or counted as one that is not: none waits
        in the ring or the buffer any more."""
        self.wait_for_counts(lambda counts: sum(counts.values()) - counts["received"] == sent)

    def end(self, number: int | None = signal.SIGINT) -> Ended:
        """Ends it by a signal, or waits until it ends by itself."""
        if number is not None:
            self.send_signal(number)
        status = self.process.wait(LONGEST_WAIT)
        assert "Traceback" not in self.err
        out = self._out.read_text()
        return Ended(status, out, self.err, json.loads(out) if out else {})

    def end_of_stream(self) -> tuple[int, str]:
        """Of one that ends by itself, or was told to: its status, and what it said."""
        status = self.process.wait(LONGEST_WAIT)
        assert "Traceback" not in self.err
        return status, self.err


def _states(pid: int) -> set[str]:
    """Of a process's threads, as /proc has them."""
    stats = (path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat"))
    return {stat.rpartition(")")[2].split()[0] for stat in stats}


class Ended:
    """A capture that has ended. Its counts are attributes, named as in --json."""

    def __init__(self, status: int, out: str, err: str, told: dict[str, Any]) -> None:
        self.status = status
        self.out = out
        self.err = err
        self.json = told

    def __getattr__(self, name: str) -> int:
        try:
            count: int = self.json["account"][name]
        except KeyError:
            raise AttributeError(name) from None
        return count

    @property
    def paths(self) -> list[Path]:
        """Of its files, in the order of their ends."""
        return [Path(output["path"]) for output in self.json["outputs"]]

    def frames(self) -> list[Frame]:
        """Of all its files, one behind the other; what it told of each file is true."""
        frames = []
        for output in self.json["outputs"]:
            of_file = read(output["path"])
            frames += of_file
            assert output["frames"] == len(of_file)
            assert output["bytes"] == os.path.getsize(output["path"])
            for name, time_of in (("first_ns", min), ("last_ns", max)):
                if of_file:  # the file's precision may be coarser than what is told
                    told = output[name] - time_of(frame.time for frame in of_file)
                    assert 0 <= told < 1000
        return frames

    def check_account(self, sent: int | None = None) -> None:
        """Every frame is accounted for, and the exit status says whether any was lost. `sent`:
        frames that should have reached the capture's socket."""
        account = self.json["account"]
        assert self.json["balances"] is True
        assert self.frames_received == (
            self.frames_written
            + self.frames_dropped_ring
            + self.frames_lost_writer
            + (self.frames_rejected_filter or 0)
        ), account
        lost = self.frames_dropped_ring + self.frames_missed_interface + self.frames_lost_writer
        assert self.status == (3 if lost else 0), self.err
        assert (self.ring_full_episodes > 0) == (self.frames_dropped_ring > 0), account
        if sent is not None:
            assert self.frames_received + self.frames_missed_interface == sent, account
