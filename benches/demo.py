"""make demo: real traffic between two hosts, captured into files that rotate, while every finished
file is filtered; then all counts are compared.

Both hosts are network namespaces of this machine (fastcap/bench/network.py): no rights are needed
where users may make namespaces, no interface of this machine is touched, and nothing is left behind
but the folder demo/.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import http.server
import json
import shlex
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, NoReturn, TypeVar

from fastcap.bench import network

T = TypeVar("T")

SUSPECT = "10.35.69.103"  # 0x0a234567
CLIENTS = ("10.35.69.21", "10.35.69.22", SUSPECT)
WEB_SERVER, NAME_SERVER, FILE_SERVER = "10.35.69.1", "10.35.69.2", "10.35.69.3"
NEAR = network.End("net1", CLIENTS)
FAR = network.End("net2", (WEB_SERVER, NAME_SERVER, FILE_SERVER))

FOLDER = Path("demo")
MATCHES = FOLDER / "matches"
OUTPUT = FOLDER / "suspect.pcap"
BLOBS = "Blob(FrameData, 26, 4) == 0x0a234567 OR Blob(FrameData, 30, 4) == 0x0a234567"
TCPDUMP = "ether[26:4] == 0x0a234567 or ether[30:4] == 0x0a234567"
WORKERS = 2

PAGES, QUESTIONS = 250, 400  # of each client
PAUSE = 0.01  # seconds between two of them
MEGABYTES = {CLIENTS[0]: 150, SUSPECT: 5}  # that it fetches from the file server
TRANSFER = 4  # seconds, so that captures and filters have time to work side by side
PATIENCE = 20  # seconds for any answer; longer is a failure
SO_MAX_PACING_RATE = 47


class Failed(Exception):
    """What stops the demo, in one line."""


# ---- The servers, at the far host ---------------------------------------------------------------


def serve() -> None:
    """Three servers on threads; each can be asked when this returns."""
    for server in (
        http.server.ThreadingHTTPServer((WEB_SERVER, 80), Page),
        socketserver.ThreadingUDPServer((NAME_SERVER, 53), Name),
        socketserver.ThreadingTCPServer((FILE_SERVER, 5001), File),
    ):
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()


class Page(http.server.BaseHTTPRequestHandler):
    body = b"x" * 3000

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


class Name(socketserver.DatagramRequestHandler):
    """Whatever is asked for, it is the web server."""

    def handle(self) -> None:
        question = self.rfile.read()
        flags_and_counts = struct.pack(">5H", 0x8180, 1, 1, 0, 0)
        answer = struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(WEB_SERVER)
        self.wfile.write(question[:2] + flags_and_counts + question[12:] + answer)


class File(socketserver.StreamRequestHandler):
    """As many megabytes as the first line says, evenly over TRANSFER seconds."""

    def handle(self) -> None:
        size = int(self.rfile.readline()) * 1_000_000
        self.connection.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, size // TRANSFER)
        self.wfile.write(bytes(size))


# ---- The clients, at the near host --------------------------------------------------------------


def fetch_pages(client: str) -> int:
    """How many came."""
    came = 0
    for _ in range(PAGES):
        web = http.client.HTTPConnection(WEB_SERVER, timeout=PATIENCE, source_address=(client, 0))
        web.request("GET", "/")
        came += web.getresponse().read() == Page.body
        web.close()
        time.sleep(PAUSE)
    return came


def ask_names(client: str) -> int:
    """How many were answered."""
    answered = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind((client, 0))
        asking.settimeout(PATIENCE)
        for i in range(QUESTIONS):
            name = b"\x05host%d\x07example\x00" % (i % 10)
            question = struct.pack(">6H", i, 0x100, 1, 0, 0, 0) + name + struct.pack(">HH", 1, 1)
            asking.sendto(question, (NAME_SERVER, 53))
            answered += asking.recv(512).endswith(socket.inet_aton(WEB_SERVER))
            time.sleep(PAUSE)
    return answered


def fetch_file(client: str) -> int:
    """Megabytes that came."""
    came = 0
    server = (FILE_SERVER, 5001)
    with socket.create_connection(server, PATIENCE, source_address=(client, 0)) as connection:
        connection.sendall(b"%d\n" % MEGABYTES[client])
        while more := connection.recv(1 << 18):
            came += len(more)
    return came // 1_000_000


class Traffic:
    """All clients at once, on threads."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.pages = [in_background(fetch_pages, client) for client in CLIENTS]
        self.names = [in_background(ask_names, client) for client in CLIENTS]
        self.files = [in_background(fetch_file, client) for client in MEGABYTES]

    def goes_on(self) -> bool:
        return not all(future.done() for future in self.pages + self.names + self.files)

    def report(self) -> float:
        """Prints what came; the seconds it took."""
        seconds = time.monotonic() - self.started
        try:
            pages, names, megabytes = (
                sum(future.result() for future in futures)
                for futures in (self.pages, self.names, self.files)
            )
        except (OSError, http.client.HTTPException) as error:
            raise Failed(f"a client failed: {error!r}") from error
        print(f"\nThe traffic took {seconds:.1f} s: {pages:,} pages over HTTP, {names:,} names "
              f"over UDP, and {megabytes:,} MB of files over TCP.")  # fmt: skip
        return seconds


def in_background(work: Callable[[str], T], word: str) -> Future[T]:
    """On a daemon's thread, so that Ctrl-C need not wait for it."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work(word))
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


# ---- Commands -----------------------------------------------------------------------------------


def show(*words: object) -> None:
    """As a user would type it."""
    print("\n$ " + shlex.join(map(str, words)), flush=True)


def fastcap(*words: object) -> list[str]:
    return [sys.executable, "-m", "fastcap", *map(str, words)]


def ask_fastcap(*words: object) -> dict[str, Any]:
    """What a command says with --json."""
    done = subprocess.run(fastcap(*words), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"fastcap {words[0]} failed: {done.stderr.strip() or done.returncode}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


class Capture:
    """`fastcap capture` while it runs."""

    def __init__(self, *words: object) -> None:
        show("fastcap", "capture", *words)
        # In a session of its own, so that Ctrl-C reaches it through us alone, and once: a second
        # signal would tell it to leave everything as it is.
        self._process = subprocess.Popen(
            fastcap("capture", *words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._asked_to_stop = False

    def wait_until_it_captures(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            print(line.rstrip(), flush=True)
            if line.startswith("fastcap: capturing on "):
                return
        raise Failed("the capture did not begin")

    def stop(self) -> dict[str, Any]:
        """As Ctrl-C does; its account."""
        show("kill", "-INT", self._process.pid)
        self._interrupt()
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        answer, said = self._process.stdout.read(), self._process.stderr.read()
        print(said.rstrip())
        if self._process.wait() not in (0, 3):  # 3: frames were lost, and counted
            raise Failed(f"the capture ended with exit status {self._process.returncode}")
        account: dict[str, Any] = json.loads(answer)
        return account

    def __enter__(self) -> Capture:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._interrupt()
        self._process.communicate()

    def _interrupt(self) -> None:
        if not self._asked_to_stop:
            self._process.send_signal(signal.SIGINT)
            self._asked_to_stop = True


# ---- Filtering while the capture runs -----------------------------------------------------------


def finished_files() -> list[Path]:
    """A file that has its name is complete; until then the name begins with a dot."""
    return sorted(FOLDER.glob("net1_*.pcap"))


class Filters:
    """A small pool of `fastcap filter`, one for each finished file."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(WORKERS)
        self._running: dict[Path, Future[int]] = {}
        self.matched: dict[Path, int] = {}

    def look(self) -> None:
        """Takes what is new, and tells what is done."""
        for path in finished_files():
            if path not in self._running and path not in self.matched:
                self._running[path] = self._begin(path)
        for path, future in list(self._running.items()):
            if future.done():
                self.matched[path] = future.result()
                del self._running[path]
                print(f"  {path.name}: {self.matched[path]:>6,} frames match", flush=True)

    def _begin(self, path: Path) -> Future[int]:
        words = ("filter", BLOBS, path, "-o", MATCHES / path.name, "--json")
        if not self._running and not self.matched:
            show("fastcap", *words)
            print(f"and so on for each file when it is finished, {WORKERS} at once:")
        return self._pool.submit(lambda: int(ask_fastcap(*words)["frames_matched"]))

    def finish(self) -> None:
        self.look()
        while self._running:
            time.sleep(0.02)
            self.look()

    def __enter__(self) -> Filters:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)


# ---- Counting without fastcap -------------------------------------------------------------------


class Count(NamedTuple):
    frames: int
    matching: int


def count_in_python(paths: list[Path]) -> Count:
    frames = matching = 0
    who = socket.inet_aton(SUSPECT)
    for path in paths:
        data = path.read_bytes()
        at = 24
        while at < len(data):
            (captured,) = struct.unpack_from("=I", data, at + 8)
            frame = data[at + 16 : at + 16 + captured]
            matching += frame[26:30] == who or frame[30:34] == who
            frames += 1
            at += 16 + captured
    return Count(frames, matching)


def count_with_tcpdump(paths: list[Path], own_user_namespace: bool) -> Count | None:
    """None, and a line that says why, where it cannot."""
    if shutil.which("tcpdump") is None:
        print("\ntcpdump is not installed; with it there would be one more column of counts.")
        return None
    show("tcpdump", "-nr", paths[0], "--count", TCPDUMP)
    print("and so on, without the filter too")
    prepare = be_nobody if own_user_namespace else None
    try:
        return Count(
            sum(ask_tcpdump(prepare, path) for path in paths),
            sum(ask_tcpdump(prepare, path, TCPDUMP) for path in paths),
        )
    except subprocess.CalledProcessError as error:  # one that is too old for --count, say
        print(error.stderr.strip().splitlines()[-1])
        return None


def ask_tcpdump(prepare: Callable[[], None] | None, path: Path, *expression: str) -> int:
    done = subprocess.run(
        ["tcpdump", "-nr", str(path), "--count", *expression],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=prepare,
    )
    return int(done.stdout.split()[0])


def be_nobody() -> None:
    """tcpdump as root wants to become another user, whom our user namespace does not know. In one
    more, where nobody is known, it does not see that it is root, and still owns its files."""
    network.unshare(network.CLONE_NEWUSER)


# ---- What came of it ----------------------------------------------------------------------------


class Outcome(NamedTuple):
    """All that was counted. `passed`: at the near end of the cable, while the capture ran."""

    passed: network.Counters
    capture: dict[str, Any]
    seconds: float
    files: list[Path]
    matched: int
    joined: int
    python: Count
    tcpdump: Count | None

    @property
    def account(self) -> dict[str, int]:
        return {name: count or 0 for name, count in self.capture["account"].items()}

    @property
    def bytes_passed(self) -> int:
        return self.passed.bytes_in + self.passed.bytes_out

    @property
    def bytes_on_disk(self) -> int:
        return sum(path.stat().st_size for path in self.files)


def print_tables(outcome: Outcome) -> None:
    account, passed = outcome.account, outcome.passed
    rate = outcome.passed.frames / outcome.seconds
    megabits = 8 * outcome.bytes_passed / outcome.seconds / 1e6
    share = outcome.bytes_on_disk / outcome.bytes_passed
    print()
    for name, count, remark in (
        ("frames sent by the clients", passed.frames - passed.frames_in, "net1's own counter"),
        ("frames sent by the servers", passed.frames_in, "net1's own counter"),
        ("frames sent", passed.frames, f"{rate:,.0f} a second"),
        ("frames received by fastcap", account["frames_received"], ""),
        ("  missed by the interface", account["frames_missed_interface"], "left by its driver"),
        ("  dropped by the ring", account["frames_dropped_ring"], "for want of memory"),
        ("  lost by the writer", account["frames_lost_writer"], "for want of room on the disk"),
        ("frames written", account["frames_written"], f"to {len(outcome.files)} files"),
        (f"frames of {SUSPECT}", outcome.matched, f"in {OUTPUT}"),
        ("bytes on the wire", outcome.bytes_passed, f"{megabits:,.0f} Mbit/s"),
        ("bytes on the disk", outcome.bytes_on_disk, f"{share:.1%}: the first 80 of each frame"),
    ):
        print(f"{name:<30}{count:>14,}  {remark}".rstrip())

    print(f"\n{'counted in the files by':<30}{'fastcap':>14}{'plain Python':>14}{'tcpdump':>14}")
    ours = Count(account["frames_written"], outcome.matched)
    for i, name in enumerate(("all frames", f"frames of {SUSPECT}")):
        theirs = "-" if outcome.tcpdump is None else f"{outcome.tcpdump[i]:,}"
        print(f"{name:<30}{ours[i]:>14,}{outcome.python[i]:>14,}{theirs:>14}")


def differences(outcome: Outcome) -> list[str]:
    """Every two counts that should be the same and are not."""
    account = outcome.account
    received, written = account["frames_received"], account["frames_written"]
    missed = account["frames_missed_interface"]
    lost = account["frames_dropped_ring"] + account["frames_lost_writer"]
    found = []
    for name, one, other in (
        ("sent, received + missed", outcome.passed.frames, received + missed),
        ("received, written + dropped + lost", received, written + lost),
        ("written, counted in Python", written, outcome.python.frames),
        ("matched, counted in Python", outcome.matched, outcome.python.matching),
        ("matched in all files, in the joined one", outcome.matched, outcome.joined),
    ):
        if one != other:
            found.append(f"{name}: {one:,} and {other:,}")
    if outcome.tcpdump not in (None, outcome.python):
        found.append(f"tcpdump, Python: {outcome.tcpdump} and {outcome.python}")
    all_kept = not missed + lost + outcome.passed.frames_refused
    if all_kept and account["bytes_received"] != outcome.bytes_passed:
        found.append(f"bytes: {outcome.bytes_passed:,} and {account['bytes_received']:,}")
    if [segment["path"] for segment in outcome.capture["outputs"]] != [*map(str, outcome.files)]:
        found.append("the files that the capture named, and those that are there")
    if not outcome.capture["balances"]:
        found.append("fastcap's counts, and the kernel's")
    return found


# ---- The demo -----------------------------------------------------------------------------------


def set_up() -> bool:
    """An empty folder, and namespaces of our own; see network.enter."""
    try:
        if FOLDER.exists():
            shutil.rmtree(FOLDER)
        MATCHES.mkdir(parents=True)
    except OSError as error:
        raise Failed(
            f"cannot begin with an empty {FOLDER}/ ({error.strerror}); if it is root's: "
            f"sudo rm -r {FOLDER}"
        ) from None
    try:
        own_user_namespace = network.enter()
        network.hide_run()
        return own_user_namespace
    except OSError as error:
        raise no_network(error) from None


def no_network(error: OSError) -> Failed:
    reason = error.strerror or str(error)
    if error.errno == errno.ENOSPC:
        reason = "namespaces are switched off"  # limits of 0 in /proc/sys/user
    return Failed(
        f"this system lets us make no network of our own ({reason}): run `sudo make demo`; "
        "a container must have been started with --privileged"
    )


def run() -> int:
    own_user_namespace = set_up()
    with contextlib.ExitStack() as stack:
        try:
            hosts = stack.enter_context(network.Network(NEAR, FAR, serve))
        except OSError as error:
            raise no_network(error) from None
        print(f"Two hosts on a cable: clients {', '.join(CLIENTS)} at {NEAR.name}, and servers "
              f"{', '.join(FAR.addresses)}.")  # fmt: skip
        filters = stack.enter_context(Filters())
        before = hosts.counters()
        capture = stack.enter_context(
            Capture("-i", NEAR.name, "-s", 80, "-C", "1M", "-w", FOLDER / "net1.pcap", "--json")
        )
        capture.wait_until_it_captures()
        traffic = Traffic()
        while traffic.goes_on():
            filters.look()
            time.sleep(0.05)
        seconds = traffic.report()
        hosts.unplug()
        meanwhile = len(filters.matched)
        stopped = capture.stop()
        after = hosts.counters()
        filters.finish()

    files = finished_files()
    print(f"{meanwhile} of {len(files)} files were filtered while the capture ran.")
    join = ("filter", BLOBS, MATCHES, "-o", OUTPUT, "--json")
    show("fastcap", *join)
    joined = ask_fastcap(*join)["frames_matched"]
    print(f"  {joined:,} frames")
    outcome = Outcome(
        network.Counters(*(now - then for now, then in zip(after, before, strict=True))),
        stopped,
        seconds,
        files,
        sum(filters.matched.values()),
        joined,
        count_in_python(files),
        count_with_tcpdump(files, own_user_namespace),
    )
    print_tables(outcome)
    found = differences(outcome)
    if found:
        raise Failed("THE COUNTS DIFFER, which is a bug: " + "; ".join(found))
    print("\nAll counts agree.")
    return 0


def interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        return run()
    except Failed as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
