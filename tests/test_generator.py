"""The frames of a bench, made and counted: beside what plain Python makes of their bytes."""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fastcap._native.cancel import Cancel
from fastcap._native.generator import MOST_FLOWS, NativeGenerator, read_label
from fastcap._native.sender import NativeSender
from fastcap.bench.generator import IMIX, SIZES, Load, Sent, ThreadSent
from fastcap.bench.serials import Damage, Serials, read_serials
from fastcap.errors import InputError, Interrupted, UsageError
from tests import pcaps
from tests.pcaps import Frame

BENCH = 0xBE7C4
EVERY_SIZE = (*((wire, 1) for wire in SIZES), (65, 1), (1517, 1))


class Told(NamedTuple):
    """What a frame says, read in plain Python."""

    source: str
    destination: str
    source_port: int
    destination_port: int
    protocol: int
    bench: int
    serial: int
    time: int


def told_by(frame: bytes) -> Told:
    """Of a frame whose headers are in order, checksums included."""
    assert frame[12:14] == b"\x08\x00"
    first, _, length, number, fragment, ttl, protocol, _, source, destination = struct.unpack(
        ">BBHHHBBH4s4s", frame[14:34]
    )
    assert (first, length, fragment) == (0x45, len(frame) - 14, 0x4000)
    assert ttl > 0
    assert checksum(frame[14:34]) == 0
    pseudo = source + destination + struct.pack(">HH", protocol, len(frame) - 34)
    assert checksum(pseudo + frame[34:]) == 0
    source_port, destination_port = struct.unpack(">HH", frame[34:38])
    if protocol == socket.IPPROTO_TCP:
        serial, flags, _ = struct.unpack(">QHH", frame[38:50])
        assert flags == 0x5010  # 20 bytes, ACK
    else:
        assert protocol == socket.IPPROTO_UDP
        udp_length, sum_, _, serial = struct.unpack(">HHHQ", frame[38:52])
        assert udp_length == len(frame) - 34
        assert sum_ != 0  # there is one
    assert number == serial & 0xFFFF
    return Told(
        socket.inet_ntoa(source), socket.inet_ntoa(destination), source_port, destination_port,
        protocol,
        int.from_bytes(frame[8:12], "big"), serial, int.from_bytes(frame[52:60], "big"),
    )  # fmt: skip


def checksum(data: bytes) -> int:
    """RFC 1071, of whole numbers: what is left of one modulo 65535 is the sum of its words."""
    padded = data + b"\0" * (len(data) % 2)
    return 0xFFFF - ((int.from_bytes(padded, "big") - 1) % 0xFFFF + 1)


def generator(**changed: Any) -> NativeGenerator:
    settings = {"sizes": EVERY_SIZE, "bench": BENCH, "tcp_percent": 50, **changed}
    return Load("none", **settings).generator()


# ---- Frames -------------------------------------------------------------------------------------


def test_every_frame_is_in_order_and_says_what_it_was_given(rng: random.Random) -> None:
    made = generator(seed=rng.randrange(1 << 64))
    lengths = set()
    for _ in range(3000):
        serial, time = rng.randrange(1 << rng.randrange(1, 65)), rng.randrange(1 << 63)
        frame = made.frame(serial, time)
        told = told_by(frame)
        assert (told.bench, told.serial, told.time) == (BENCH, serial, time)
        assert read_label(frame) == read_label(frame[:60]) == (BENCH, serial, time)
        assert read_label(frame[:59]) is None
        lengths.add(len(frame))
    assert lengths == {wire - 4 for wire, _ in EVERY_SIZE}


def test_the_same_seed_makes_the_same_frames_and_another_one_others() -> None:
    frames = [[generator(seed=seed).frame(n, 7) for n in range(500)] for seed in (1, 1, 2)]
    assert frames[0] == frames[1]
    assert not any(a[26:38] == b[26:38] for a, b in zip(frames[0], frames[2], strict=True))


def test_two_frames_of_one_serial_differ_in_their_time_alone() -> None:
    made = generator()
    for serial in range(200):
        a, b = (told_by(made.frame(serial, time)) for time in (1, 1 << 60))
        assert a._replace(time=b.time) == b


def test_flows_are_those_that_it_names_and_all_of_them() -> None:
    made = generator(flows=50, tcp_percent=70)
    flows = set()
    for number in range(50):
        source, destination, *ports, tcp = made.flow(number)
        hosts = (socket.inet_ntoa(struct.pack(">I", host)) for host in (source, destination))
        flows.add((*hosts, *ports, 6 if tcp else 17))
    assert {told_by(made.frame(serial, 0))[:5] for serial in range(2000)} == flows
    assert len({flow[0] for flow in flows}) == 50
    with pytest.raises(IndexError):
        made.flow(50)


@pytest.mark.parametrize("percent", [0, 100])
def test_all_flows_or_none_are_tcp(percent: int) -> None:
    made = generator(tcp_percent=percent)
    found = {told_by(made.frame(serial, 0)).protocol for serial in range(500)}
    assert found == {6 if percent else 17}


def test_the_mix_has_the_proportions_of_imix() -> None:
    made = generator(sizes=IMIX)
    found = Counter(len(made.frame(serial, 0)) for serial in range(60_000))
    assert set(found) == {60, 590, 1514}
    for wire, weight in IMIX:
        assert abs(found[wire - 4] - 5000 * weight) < 500


@pytest.mark.parametrize(
    "wrong",
    [
        {"sizes": ()}, {"sizes": ((63, 1),)}, {"sizes": ((1519, 1),)}, {"sizes": ((64, 0),)},
        {"sizes": ((64, -1), (65, 2))}, {"sizes": ((64, 1 << 32),)}, {"sizes": ((64, 1),) * 17},
        {"seed": -1}, {"seed": 1 << 64}, {"bench": 1 << 32}, {"flows": 0},
        {"flows": MOST_FLOWS + 1}, {"tcp_percent": 101}, {"threads": 0}, {"rate": -1},
        {"rate": float("nan")}, {"rate": float("inf")}, {"rate": 1e-9}, {"seconds": -1},
        {"seconds": 1e-10}, {"seconds": float("nan")}, {"frames": -1},
        {"threads": 2, "cpus": (0,)}, {"destination": "02:fc"}, {"destination": "nonsense"},
    ],
)  # fmt: skip
def test_a_load_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Load("lo", **wrong)


def test_a_load_without_an_end_or_an_interface_is_refused() -> None:
    with pytest.raises(UsageError, match="neither frames nor seconds"):
        Load("lo").send()
    with pytest.raises(InputError, match="no such interface"):
        Load("nowhere0", frames=1).send()


def test_what_threads_sent_is_added_up_and_the_slowest_decides_the_rate() -> None:
    one = ThreadSent(sent=30, bytes=3000, refused=1, late=2, late_ns=5, elapsed_ns=10**9)
    other = one._replace(sent=10, late_ns=7, elapsed_ns=2 * 10**9)
    sent = Sent((one, other), 50.0)
    assert (sent.frames, sent.bytes, sent.refused, sent.late) == (40, 6000, 2, 4)
    assert (sent.late_ns, sent.elapsed_ns, sent.rate) == (7, 2 * 10**9, 20.0)
    assert sent.by_thread == (30, 10)


# ---- Sending ------------------------------------------------------------------------------------


def send_to_a_socket(threads: int, frames: int) -> list[bytes]:
    """What each thread of a load sends, one behind the other; no rights are needed for that."""
    received = []
    made = generator(sizes=IMIX)
    for index in range(threads):
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with near, far:
            sender = NativeSender(
                made, interface=0, index=index, threads=threads, rate=0, frames=frames,
                duration_ns=0, cancel=Cancel(), fd=near.fileno(),
            )  # fmt: skip
            thread = threading.Thread(target=sender.run, args=(0,))
            thread.start()
            received += [far.recv(2000) for _ in range(frames)]
            thread.join()
            account = sender.account()
            assert account["sent"] == frames
            assert account["bytes"] == sum(len(frame) + 4 for frame in received[-frames:])
    return received


def test_threads_send_together_what_one_would() -> None:
    together, alone = send_to_a_socket(3, 200), send_to_a_socket(1, 600)
    assert sorted(told_by(frame).serial for frame in together) == list(range(600))
    assert [told_by(frame).serial for frame in alone] == list(range(600))
    for frame in together + alone:  # they are whole, and the generator's
        serial, time = told_by(frame)[-2:]
        assert frame == generator(sizes=IMIX).frame(serial, time)


# ---- Counting -----------------------------------------------------------------------------------


def record_of(frame: bytes) -> Frame:
    return Frame(1_700_000_000 * 10**9, len(frame), frame)


def write(path: Path, frames: list[bytes], **header: Any) -> Path:
    path.write_bytes(pcaps.capture(map(record_of, frames), **header))
    return path


def test_random_files_are_counted_as_plain_python_does(rng: random.Random, tmp_path: Path) -> None:
    for number in range(40):
        threads = rng.randrange(1, 5)
        sent = tuple(rng.randrange(80) for _ in range(threads))
        ours, other = generator(), generator(bench=BENCH + 1)
        files, expected, seen = [], Counter[str](), Counter[int]()
        times = []
        for part in range(rng.randrange(4)):
            frames = []
            for _ in range(rng.randrange(200)):
                serial, time = rng.randrange(100 * threads), rng.randrange(1 << 63)
                snaplen = rng.choice((60, 80, 2000))
                kind = rng.randrange(8)
                if kind == 0:
                    frames.append(other.frame(serial, time))
                    expected["other_benches"] += 1
                elif kind == 1:
                    frames.append(rng.choice((
                        ours.frame(serial, time)[: rng.randrange(60)],
                        rng.randbytes(rng.randrange(100)), pcaps.ethernet_frame(rng),
                    )))  # fmt: skip
                    expected["foreign"] += 1
                else:
                    frames.append(ours.frame(serial, time)[:snaplen])
                    if serial // threads >= sent[serial % threads]:
                        expected["never_sent"] += 1
                    elif seen[serial]:
                        expected["duplicates"] += 1
                    else:
                        seen[serial] += 1
                        times.append(time)
            header = {"order": rng.choice("<>"), "nanoseconds": rng.random() < 0.5}
            files.append(write(tmp_path / f"{number}-{part}.pcap", frames, **header))
            expected["frames"] += len(frames)
        found = read_serials(files, bench=BENCH, sent=sent)
        right = Serials(
            sum(sent), expected["frames"], len(seen), expected["duplicates"],
            expected["never_sent"], expected["other_benches"], expected["foreign"],
            max(seen, default=None), min(times, default=None), max(times, default=None), (),
        )  # fmt: skip
        assert found == right, number
        assert found.missing == sum(sent) - len(seen)


def test_what_is_missing_and_what_came_twice_is_known_by_its_serial(tmp_path: Path) -> None:
    made = generator()
    serials = [*range(400), *range(407, 1000), 5, 5, 999]
    path = write(tmp_path / "x.pcap", [made.frame(serial, serial)[:80] for serial in serials])
    found = read_serials([path], bench=BENCH, sent=[1000])
    assert (found.distinct, found.missing, found.duplicates) == (993, 7, 3)
    assert (found.highest, found.first_ns, found.last_ns) == (999, 0, 999)


def test_a_cut_or_damaged_file_is_counted_up_to_there_and_told(tmp_path: Path) -> None:
    made = generator()
    frames = [made.frame(serial, 0)[:80] for serial in range(10)]
    whole = write(tmp_path / "whole.pcap", frames)
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(whole.read_bytes()[:-1])
    lies = tmp_path / "lies.pcap"
    lies.write_bytes(whole.read_bytes() + struct.pack("<IIII", 1, 1, 0xFFFFFFFF, 1) + bytes(99))
    last = 24 + sum(16 + len(frame) for frame in frames[:-1])
    found = read_serials([cut], bench=BENCH, sent=[10])
    assert (found.distinct, found.missing) == (9, 1)
    assert [damage[:2] for damage in found.damage] == [(str(cut), last)]
    found = read_serials([lies, cut], bench=BENCH, sent=[10])
    assert (found.distinct, found.duplicates, found.missing) == (10, 9, 0)
    assert found.damage[0] == Damage(
        str(lies), whole.stat().st_size, "a captured length that no capture can have"
    )
    assert found.damage[1].path == str(cut)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "empty"),
        (b"\x0a\x0d\x0d\x0a" + bytes(40), "pcapng"),
        (pcaps.header()[:20], "cut in its header"),
        (pcaps.header(link_word=pcaps.RAW), "not Ethernet"),
    ],
)
def test_what_is_no_capture_of_ethernet_is_refused(
    data: bytes, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(data)
    with pytest.raises(InputError, match=problem):
        read_serials([path], bench=BENCH, sent=[1])


def test_a_file_that_is_not_there_is_refused_by_its_name(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.pcap", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            read_serials([path], bench=BENCH, sent=[1])


def test_a_count_that_is_cancelled_says_so(tmp_path: Path) -> None:
    cancel = Cancel()
    cancel.set()
    path = write(tmp_path / "x.pcap", [generator().frame(0, 0)])
    with pytest.raises(Interrupted):
        read_serials([path], bench=BENCH, sent=[1], cancel=cancel)


def test_a_fifo_is_read_as_it_comes(tmp_path: Path) -> None:
    made = generator()
    data = pcaps.capture(record_of(made.frame(serial, 0)) for serial in range(3000))
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    feeder = threading.Thread(target=fifo.write_bytes, args=(data,))
    feeder.start()
    found = read_serials([fifo], bench=BENCH, sent=[3000])
    feeder.join()
    assert (found.distinct, found.missing, found.damage) == (3000, 0, ())
