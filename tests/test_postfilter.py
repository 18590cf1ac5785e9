"""Filtering files: the same bytes for any split and executor, damage, conversions, outputs."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

import fastcap
from fastcap.outputs import part_name
from tests import pcaps, reference
from tests.pcaps import Frame

BLOBS = "Blob(FrameData, 26, 4) == 0x0a234567 OR Blob(FrameData, 30, 4) == 0x0a234567"
MIXED = f"({BLOBS}) or tcp port 443"


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield pool


def filtered(source: object, output: Path, expression: str = MIXED, **options: object) -> bytes:
    sources = source if isinstance(source, list) else [source]
    fastcap.filter_files(expression, sources, output, force=True, **options)  # type: ignore[arg-type]
    return output.read_bytes()


def expected(data: bytes, expression: str = MIXED) -> bytes:
    """What one slow walk keeps, as a capture in the input's own layout."""
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    compiled = fastcap.compile(expression)
    found, _ = reference.records(data, order, 262144)
    kept = []
    for at, captured in found:
        wire = int.from_bytes(data[at + 12 : at + 16], "little" if order == "<" else "big")
        if compiled.matches(data[at + 16 : at + 16 + captured], wire):
            kept.append(data[at : at + 16 + captured])
    return data[:24] + b"".join(kept)


# ---- The same bytes for any split ---------------------------------------------------------------


def hostile_captures(rng: random.Random) -> dict[str, bytes]:
    """Captures whose payload looks like records."""
    inner = pcaps.capture(pcaps.some_frames(rng, 400))
    plain = pcaps.some_frames(rng, 1500)

    def carried(segment: int) -> bytes:
        """A capture of a capture that is being copied over TCP."""
        frames = []
        for i, at in enumerate(range(0, len(inner), segment)):
            payload = pcaps.tcp(60000, 443, 24, inner[at : at + segment])
            packet = pcaps.ipv4(payload, 6, "10.35.69.103", "10.0.0.1")
            frame = pcaps.ethernet(packet, 0x0800)
            frames.append(Frame(1_700_000_000 * 10**9 + i * 10**6, len(frame), frame))
        return pcaps.capture(frames * 6)

    alike = Frame(10**18, 64, pcaps.record(Frame(10**18, 32, bytes(32))))
    nested = pcaps.record(Frame(10**18, 16, pcaps.record(Frame(10**18, 1, b""))))
    return {
        "plain": pcaps.capture(plain),
        "big-endian nanoseconds": pcaps.capture(plain, ">", nanoseconds=True),
        "over TCP": carried(1460),
        "over TCP, jumbo": carried(8960),
        "all alike": pcaps.capture([alike] * 3000),
        "nested records": pcaps.capture([Frame(10**18, 400, nested * 10)] * 800),
        "empty frames": pcaps.capture([Frame(10**18 + i, 60, b"") for i in range(5000)]),
        "huge frames": pcaps.capture([Frame(i, 200_000, inner[:100_000] * 2) for i in range(9)]),
        "no frames": pcaps.header(),
    }


def test_output_is_byte_identical_for_any_split_of_hostile_captures(
    rng: random.Random, tmp_path: Path
) -> None:
    """Whatever range size and number of jobs: what one slow walk keeps. Some ranges must have
    been redone, or the captures were not hostile enough to prove anything."""
    redone = 0
    for name, data in hostile_captures(rng).items():
        source = pcaps.write(tmp_path / "in.pcap", data)
        right = expected(data)
        for jobs in (1, 2, 16):
            for size in (4096, rng.randrange(1, 50_000), 1 << 20):
                output = tmp_path / "out.pcap"
                result = fastcap.filter_files(
                    MIXED, [source], output, jobs=jobs, range_bytes=size, force=True
                )
                redone += result.ranges_redone
                assert output.read_bytes() == right, (name, jobs, size)
                assert result.frames_read == len(pcaps.read(data))
                assert result.bytes_read == len(data)
    assert redone > 0


def test_the_chains_of_a_range_give_what_one_walk_gives(rng: random.Random, tmp_path: Path) -> None:
    """Of ranges so large that they are walked from several places at once; some begin wrong."""
    redone = 0
    for name, data in hostile_captures(rng).items():
        header, records = data[:24], data[24:]
        large = header + records * (5_000_000 // max(len(records), 1) if records else 0)
        source = pcaps.write(tmp_path / "in.pcap", large)
        kept = expected(data)
        right = kept[:24] + kept[24:] * (len(large[24:]) // max(len(records), 1))
        for size in (None, 3_000_000):
            result = fastcap.filter_files(
                MIXED, [source], tmp_path / "out.pcap", range_bytes=size, force=True
            )
            assert (tmp_path / "out.pcap").read_bytes() == right, (name, size)
            assert result.bytes_read == len(large)
            redone += result.chains_redone
    assert redone > 0


def test_every_capture_gives_the_same_bytes_for_any_number_of_jobs(
    shared_captures: Path, tmp_path: Path
) -> None:
    outputs = [tmp_path / f"{jobs}.pcap" for jobs in (1, 2, 16)]
    seen = 0
    for path in sorted(shared_captures.rglob("*cap")):
        try:
            filtered(path, outputs[0], "ip or len > 100", jobs=1)
        except (fastcap.InputError, fastcap.FilterError):
            continue
        for output, jobs, size in zip(outputs[1:], (2, 16), (4096, 1000), strict=True):
            filtered(path, output, "ip or len > 100", jobs=jobs, range_bytes=size)
        seen += 1
        first, *others = (output.read_bytes() for output in outputs)
        assert all(other == first for other in others), path
    assert seen > 500


def test_threads_and_processes_give_the_same_bytes(
    rng: random.Random, tmp_path: Path, processes: Executor
) -> None:
    data = pcaps.capture(pcaps.some_frames(rng, 4000))
    source = pcaps.write(tmp_path / "in.pcap", data)
    other = pcaps.write(tmp_path / "other.pcap", pcaps.capture(pcaps.some_frames(rng, 50), ">"))
    with ThreadPoolExecutor(3) as threads:
        outputs = [
            filtered([source, other], tmp_path / "out.pcap", executor=executor, range_bytes=30_000)
            for executor in (None, threads, processes)
        ]
    assert outputs[0] == outputs[1] == outputs[2]
    assert outputs[0].startswith(expected(data))


def test_results_of_equal_content_are_equal_and_show_it(tmp_path: Path) -> None:
    source = pcaps.write(tmp_path / "in.pcap", pcaps.capture([Frame(10**18, 60, bytes(60))]))
    one, two = (fastcap.filter_files("", [source]).inputs[0] for _ in range(2))
    assert one == two
    assert repr(one) == repr(two)
    assert repr(one).startswith(f"InputReport(path={source!r}, header=FileHeader(")
    two.frames_read += 1
    assert one != two
    assert one != (one.path, one.header)


def test_an_executor_that_was_given_is_left_running(tmp_path: Path) -> None:
    source = pcaps.write(tmp_path / "in.pcap", pcaps.header())
    with ThreadPoolExecutor(1) as threads:
        filtered(source, tmp_path / "out.pcap", executor=threads)
        assert threads.submit(lambda: 7).result() == 7


def test_frames_leave_in_the_order_of_the_inputs(rng: random.Random, tmp_path: Path) -> None:
    sources, right = [], []
    for number in range(12):
        frames = [
            Frame(10**18 + i, 60, bytes([number]) + i.to_bytes(2, "big") + bytes(30))
            for i in range(rng.randrange(400))
        ]
        right += frames
        sources.append(
            pcaps.write(tmp_path / f"{number}.pcap", pcaps.capture(frames, nanoseconds=True))
        )
    output = filtered(sources, tmp_path / "out.pcap", "", range_bytes=5000)
    assert pcaps.read(output) == right


# ---- Damage -------------------------------------------------------------------------------------


def test_everything_before_damage_counts_and_the_next_input_is_read(
    rng: random.Random, tmp_path: Path
) -> None:
    frames = pcaps.some_frames(rng, 300)
    good = pcaps.capture(frames)
    places, _ = reference.records(good, "<", 262144)
    at = places[200][0]
    damages = {
        "a captured length that no capture can have": (
            good[: at + 8] + b"\xff\xff\xff\xff" + good[at + 12 :]
        ),
        "zeros where a record header should be": good[:at] + bytes(4096) + good[at:],
        "the file ends inside a record header": good[: at + 15],
        "the file ends inside a frame": good[: at + 16],
    }
    for reason, damaged in damages.items():
        if reason == "the file ends inside a frame" and places[200][1] == 0:
            continue
        first = pcaps.write(tmp_path / "first.pcap", damaged)
        second = pcaps.write(tmp_path / "second.pcap", good)
        for size in (None, 4096, 777):
            result = fastcap.filter_files(
                "", [first, second], tmp_path / "out.pcap", force=True, range_bytes=size
            )
            (damage,) = result.inputs[0].damage
            assert damage.reason.startswith(reason)
            assert (damage.offset, damage.length) == (at, len(damaged) - at)
            assert result.damaged
            assert [report.frames_read for report in result.inputs] == [200, 300]
            assert (tmp_path / "out.pcap").read_bytes() == good[:at] + good[24:]


def test_a_capture_cut_anywhere_gives_its_whole_frames(tmp_path: Path) -> None:
    frames = [Frame(10**18 + i * 1000, 30, bytes([i]) * 20) for i in range(3)]
    data = pcaps.capture(frames)
    for size in range(24, len(data) + 1):
        source = pcaps.write(tmp_path / "in.pcap", data[:size])
        result = fastcap.filter_files("", [source])
        assert result.frames_read == (size - 24) // 36
        assert result.damaged == ((size - 24) % 36 != 0)


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    """The header is read before the file shrinks, its frames after."""
    frames = [Frame(10**18, 60, bytes(60))] * 1000
    source = Path(pcaps.write(tmp_path / "in.pcap", pcaps.capture(frames)))

    def shrink(*_: object) -> None:
        os.truncate(source, 5000)

    with pytest.raises(fastcap.InputError, match=r"in\.pcap: the file became shorter"):
        fastcap.filter_files(
            "", [source], tmp_path / "out.pcap", jobs=1, range_bytes=4096, progress=shrink
        )
    assert sorted(os.listdir(tmp_path)) == ["in.pcap"]


TRIES = r"""
import itertools, os, random, sys, threading, time
from pathlib import Path
import fastcap
from fastcap.errors import InputError

source, folder, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
rng = random.Random(seed)
whole = source.read_bytes()
alone = folder / "whole.pcap"
fastcap.filter_files("ether[0] & 1 = 0", [source], alone)
expected = alone.read_bytes()
path, out = folder / "changes.pcap", folder / "out.pcap"

def keep(path):
    fastcap.filter_files(
        "ether[0] & 1 = 0", [path], out, jobs=2, range_bytes=1 << 20, force=True
    )

keep(source)
begin = time.monotonic()
keep(source)
takes = time.monotonic() - begin
shortened = ended = 0
for attempt in itertools.count():
    if attempt >= 100 and (shortened or time.monotonic() > begin + 60):
        break
    path.write_bytes(whole)
    grows = attempt % 4 == 0
    to = rng.randrange(len(whole))
    wait = rng.random() * max(0.004, takes)

    def change():
        time.sleep(wait)
        if grows:
            with path.open("ab") as file:
                file.write(whole[24:])
        else:
            os.truncate(path, to)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        keep(path)
        found = out.read_bytes()
        if grows:  # perhaps before it was opened
            assert found.startswith(expected), attempt
        else:
            assert expected.startswith(found), attempt
        ended += 1
    except InputError as error:
        assert "changes.pcap" in str(error), error
        shortened += 1
    thread.join()
print(shortened, ended)
"""


def test_files_that_change_at_any_moment_end_in_an_error_or_a_prefix_and_never_in_a_signal(
    rng: random.Random, tmp_path: Path
) -> None:
    frames = pcaps.some_frames(rng, 20_000)
    source = pcaps.write(tmp_path / "in.pcap", pcaps.capture(frames))
    done = subprocess.run(
        [sys.executable, "-c", TRIES, source, str(tmp_path), str(rng.randrange(1 << 30))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    shortened, ended = map(int, done.stdout.split())
    assert shortened + ended >= 100
    assert shortened > 0
    assert ended > 0


def test_a_file_that_is_replaced_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    frames = [Frame(10**18, 60, bytes(60))] * 1000
    source = Path(pcaps.write(tmp_path / "in.pcap", pcaps.capture(frames)))

    def replace(*_: object) -> None:
        os.replace(pcaps.write(tmp_path / "new", source.read_bytes()), source)

    with pytest.raises(fastcap.InputError, match="replaced by another file"):
        fastcap.filter_files("", [source], jobs=1, range_bytes=1024, progress=replace)


def test_a_file_that_grows_is_read_up_to_its_length_at_the_start(tmp_path: Path) -> None:
    frames = [Frame(10**18, 60, bytes(60))] * 1000
    source = Path(pcaps.write(tmp_path / "in.pcap", pcaps.capture(frames)))

    def grow(*_: object) -> None:
        with source.open("ab") as file:
            file.write(b"\xff" * 1000)

    result = fastcap.filter_files("", [source], range_bytes=4096, progress=grow)
    assert result.frames_read == 1000
    assert not result.damaged
    source.write_bytes(pcaps.capture(frames)[:-1])
    growing = fastcap.filter_files("", [source], range_bytes=4096, progress=grow)
    assert growing.frames_read == 999
    assert "still growing" in growing.inputs[0].damage[0].reason


# ---- Conversions --------------------------------------------------------------------------------


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_the_first_inputs_header_wins_and_records_are_converted(
    order: str, nanoseconds: bool, rng: random.Random, tmp_path: Path
) -> None:
    frames = [frame._replace(time=frame.time + 7) for frame in pcaps.some_frames(rng, 50)]
    layouts = [(order, nanoseconds), ("<", False), (">", True), (">", False), ("<", True)]
    sources = [
        pcaps.write(tmp_path / f"{i}.pcap", pcaps.capture(frames, *layout))
        for i, layout in enumerate(layouts)
    ]
    result = fastcap.filter_files("", sources, tmp_path / "out.pcap")
    output = (tmp_path / "out.pcap").read_bytes()
    assert output[:24] == pcaps.header(order, nanoseconds)
    read = pcaps.read(output)
    for i, (_, fine) in enumerate(layouts):
        unit = 1 if fine and nanoseconds else 1000
        same = [frame._replace(time=frame.time // unit * unit) for frame in frames]
        assert read[50 * i : 50 * (i + 1)] == same
    (segment,) = result.outputs
    assert segment.span.first_ns == min(frame.time for frame in read)
    assert segment.span.last_ns == max(frame.time for frame in read)
    lost = any("cut to microseconds" in note for note in result.notes)
    assert lost == (not nanoseconds)


def test_a_fraction_of_more_than_a_second_is_carried_into_nanoseconds(tmp_path: Path) -> None:
    odd = bytes.fromhex("0a000000 ffffffff 00000000 01000000".replace(" ", ""))
    first = pcaps.write(tmp_path / "nano.pcap", pcaps.header("<", True))
    second = pcaps.write(tmp_path / "micro.pcap", pcaps.header() + odd)
    output = filtered([first, second], tmp_path / "out.pcap", "")
    assert output[24:28] == (10 + 4294).to_bytes(4, "little")
    assert output[28:32] == (967295000).to_bytes(4, "little")


def test_other_link_types_are_refused_with_both_named(tmp_path: Path) -> None:
    first = pcaps.write(tmp_path / "a.pcap", pcaps.header())
    second = pcaps.write(tmp_path / "b.pcap", pcaps.header(link_word=pcaps.SLL))
    with pytest.raises(fastcap.InputError, match=r"LINUX_SLL.*ETHERNET"):
        fastcap.filter_files("", [first, second])
    fcs = pcaps.write(tmp_path / "c.pcap", pcaps.header(link_word=0x24000001))
    with pytest.raises(fastcap.InputError, match=r"ETHERNET with 4-byte FCS.*ETHERNET"):
        fastcap.filter_files("", [first, fcs])


def test_link_types_that_libpcap_does_not_know_can_be_read_and_compared(tmp_path: Path) -> None:
    frames = [Frame(1000 * i, 9, bytes([i]) * 9) for i in range(4)]
    source = pcaps.write(tmp_path / "in.pcap", pcaps.capture(frames, link_word=9999))
    assert fastcap.filter_files("", [source]).frames_matched == 4
    assert fastcap.filter_files("Blob(FrameData, 0, 1) != 2", [source]).frames_matched == 3
    with pytest.raises(fastcap.FilterError, match="unknown data link type"):
        fastcap.filter_files("tcp", [source])


def test_host_order_link_types_are_not_joined_across_byte_orders(tmp_path: Path) -> None:
    first = pcaps.write(tmp_path / "a.pcap", pcaps.header(link_word=0))
    second = pcaps.write(tmp_path / "b.pcap", pcaps.header(">", link_word=0))
    with pytest.raises(fastcap.InputError, match="filter them apart"):
        fastcap.filter_files("", [first, second])


@pytest.mark.parametrize("order", "<>")
def test_null_frames_are_matched_in_the_byte_order_of_their_file(
    order: str, tmp_path: Path
) -> None:
    family = (2).to_bytes(4, "little" if order == "<" else "big")
    packet = family + pcaps.ipv4(pcaps.udp(53, 53, b""), 17, "10.0.0.1", "10.0.0.2")
    frame = Frame(10**18, len(packet), packet)
    source = pcaps.write(tmp_path / "in.pcap", pcaps.capture([frame], order, link_word=0))
    assert fastcap.filter_files("udp port 53", [source]).frames_matched == 1
    assert fastcap.filter_files("tcp", [source]).frames_matched == 0


def test_the_output_holds_frames_longer_than_the_first_inputs_snaplen(tmp_path: Path) -> None:
    """Else whoever reads the output would cut them."""
    short, long = Frame(10**18, 60, bytes(60)), Frame(10**18, 900, bytes(900))
    first = pcaps.write(tmp_path / "a.pcap", pcaps.capture([short], snaplen=80))
    second = pcaps.write(tmp_path / "b.pcap", pcaps.capture([long], snaplen=1000))
    output = filtered([first, second], tmp_path / "out.pcap", "")
    assert pcaps.read(output) == [short, long]
    assert int.from_bytes(output[16:20], "little") == 1000


def test_snaplen_cuts_frames_and_says_so_in_the_header(rng: random.Random, tmp_path: Path) -> None:
    frames = pcaps.some_frames(rng, 200)
    source = pcaps.write(tmp_path / "in.pcap", pcaps.capture(frames, ">"))
    output = filtered(source, tmp_path / "out.pcap", "len > 60", snaplen=33, range_bytes=999)
    assert int.from_bytes(output[16:20], "big") == 33
    kept = [frame._replace(data=frame.data[:33]) for frame in frames if frame.wire > 60]
    assert pcaps.read(output) == kept
    # the filter saw what was captured, not what is kept
    late = fastcap.filter_files("not ether[50] = 77", [source], snaplen=33)
    there = [frame.data[50] for frame in frames if len(frame.data) > 50]
    assert late.frames_matched == len(there) - there.count(77) > 0


# ---- Limits and series --------------------------------------------------------------------------


def test_a_limit_keeps_the_first_matches_for_any_split(rng: random.Random, tmp_path: Path) -> None:
    frames = [Frame(10**18 + i * 1000, 60, bytes([i % 3]) + bytes(40)) for i in range(3000)]
    sources = [
        pcaps.write(tmp_path / f"{i}.pcap", pcaps.capture(frames[1000 * i : 1000 * (i + 1)]))
        for i in range(3)
    ]
    matching = [(i, frame) for i, frame in enumerate(frames) if frame.data[0] == 1]
    for limit in (1, 2, 333, 334, 999, 1000, 5000):
        for size in (None, 4096, 100):
            output = tmp_path / "out.pcap"
            result = fastcap.filter_files(
                "ether[0] = 1", sources, output, limit=limit, range_bytes=size, force=True
            )
            kept = matching[:limit]
            assert pcaps.read(output.read_bytes()) == [frame for _, frame in kept]
            assert result.frames_matched == len(kept)
            last = kept[-1][0] + 1 if len(kept) == limit else len(frames)
            assert result.frames_read == last


def test_a_series_holds_all_frames_in_order_in_files_that_are_not_too_long(
    rng: random.Random, tmp_path: Path
) -> None:
    frames = pcaps.some_frames(rng, 3000)
    source = pcaps.write(tmp_path / "in.pcap", pcaps.capture(frames))
    for size in (2000, 70_000, 1 << 30):
        output = tmp_path / str(size) / "out.pcap"
        output.parent.mkdir()
        result = fastcap.filter_files("", [source], output, output_size=size, range_bytes=40_000)
        paths = [Path(segment.path) for segment in result.outputs]
        assert [str(path) for path in paths] == [
            part_name(str(output), i + 1) for i in range(len(paths))
        ]
        assert sorted(output.parent.iterdir()) == paths
        read = [pcaps.read(path.read_bytes()) for path in paths]
        assert [frame for part in read for frame in part] == frames
        for path, part, segment in zip(paths, read, result.outputs, strict=True):
            assert path.stat().st_size == segment.bytes <= size
            assert segment.span.frames == len(part)
            assert segment.span.first_ns == min(frame.time for frame in part)
            assert segment.span.last_ns == max(frame.time for frame in part)
        for path, following in zip(paths, read[1:], strict=False):
            assert path.stat().st_size + 16 + len(following[0].data) > size


def test_a_record_longer_than_the_size_of_a_series_has_a_file_of_its_own(tmp_path: Path) -> None:
    frames = [Frame(10**18, 5000, bytes(n)) for n in (10, 5000, 10, 10, 5000)]
    source = pcaps.write(tmp_path / "in.pcap", pcaps.capture(frames))
    fastcap.filter_files("", [source], tmp_path / "out.pcap", output_size=1024)
    parts = [pcaps.read(path.read_bytes()) for path in sorted(tmp_path.glob("out_*.pcap"))]
    assert [len(part) for part in parts] == [1, 1, 2, 1]


def test_a_series_ends_where_a_conversion_leaves_a_header_of_zeros(tmp_path: Path) -> None:
    first = pcaps.write(tmp_path / "a.pcap", pcaps.header())
    frames = [Frame(500, 0, b""), Frame(5 * 10**9, 4, b"abcd")]
    second = pcaps.write(tmp_path / "b.pcap", pcaps.capture(frames, nanoseconds=True))
    result = fastcap.filter_files("", [first, second], tmp_path / "out.pcap", output_size=1024)
    assert result.outputs[0].span.frames == result.frames_matched == 2


def test_an_earlier_series_is_not_mixed_with_a_new_one(tmp_path: Path) -> None:
    source = pcaps.write(tmp_path / "in.pcap", pcaps.capture([Frame(10**18, 9, bytes(9))]))
    old = tmp_path / "out_00000002.pcap"
    old.write_text("old")
    with pytest.raises(fastcap.OutputError, match="earlier series"):
        fastcap.filter_files("", [source], tmp_path / "out.pcap", output_size=1024)
    result = fastcap.filter_files("", [source], tmp_path / "out.pcap", output_size=1024, force=True)
    assert "such files remain" in result.notes[0]
    assert old.read_text() == "old"


# ---- Outputs ------------------------------------------------------------------------------------


def test_a_file_appears_under_its_name_only_when_it_is_complete(tmp_path: Path) -> None:
    frames = [Frame(10**18, 60, bytes(60))] * 2000
    source = pcaps.write(tmp_path / "in.pcap", pcaps.capture(frames))
    seen: list[list[str]] = []

    def look(*_: object) -> None:
        seen.append(sorted(os.listdir(tmp_path)))

    filtered(source, tmp_path / "out.pcap", "", range_bytes=4096, progress=look)
    assert len(seen) > 10
    assert all("out.pcap" not in names for names in seen)
    assert sorted(os.listdir(tmp_path)) == ["in.pcap", "out.pcap"]


def test_a_name_that_is_taken_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    source = pcaps.write(tmp_path / "in.pcap", pcaps.capture([Frame(10**18, 9, bytes(9))]))
    output = tmp_path / "out.pcap"

    def take(*_: object) -> None:
        output.write_text("mine")

    with pytest.raises(fastcap.OutputError, match="appeared while we wrote"):
        fastcap.filter_files("", [source], output, progress=take)
    assert output.read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["in.pcap", "out.pcap"]


def test_an_output_that_is_an_input_by_any_name_is_refused(tmp_path: Path) -> None:
    source = Path(pcaps.write(tmp_path / "in.pcap", pcaps.capture([Frame(1, 9, bytes(9))])))
    before = source.read_bytes()
    (tmp_path / "soft.pcap").symlink_to(source)
    (tmp_path / "hard.pcap").hardlink_to(source)
    for name in ("in.pcap", "soft.pcap", "hard.pcap", "./in.pcap"):
        with pytest.raises(fastcap.UsageError, match="also an input"):
            fastcap.filter_files("", [source], tmp_path / name, force=True)
    assert source.read_bytes() == before


def test_a_series_that_would_replace_an_input_is_refused(tmp_path: Path) -> None:
    source = Path(
        pcaps.write(tmp_path / "net_00000001.pcap", pcaps.capture([Frame(1, 9, bytes(9))]))
    )
    before = source.read_bytes()
    with pytest.raises(fastcap.UsageError, match="also an input"):
        fastcap.filter_files("", [source], tmp_path / "net.pcap", output_size=1024, force=True)
    assert source.read_bytes() == before


def test_fifos_are_read_and_written_in_place(rng: random.Random, tmp_path: Path) -> None:
    data = pcaps.capture(pcaps.some_frames(rng, 3000))
    incoming, outgoing = tmp_path / "in.fifo", tmp_path / "out.fifo"
    os.mkfifo(incoming)
    os.mkfifo(outgoing)
    received: list[bytes] = []
    threads = [
        threading.Thread(target=incoming.write_bytes, args=(data,)),
        threading.Thread(target=lambda: received.append(outgoing.read_bytes())),
    ]
    for thread in threads:
        thread.start()
    result = fastcap.filter_files(MIXED, [incoming], outgoing)
    for thread in threads:
        thread.join()
    assert received == [expected(data)]
    assert outgoing.is_fifo()
    assert result.bytes_read == len(data)


def test_a_stream_that_ends_inside_a_record_is_damaged_there(tmp_path: Path) -> None:
    data = pcaps.capture([Frame(10**18, 60, bytes(60))] * 3)
    for cut, reason in ((5, "inside a frame"), (70, "inside a record header")):
        fifo = tmp_path / f"{cut}.fifo"
        os.mkfifo(fifo)
        thread = threading.Thread(target=fifo.write_bytes, args=(data[:-cut],))
        thread.start()
        result = fastcap.filter_files("", [fifo])
        thread.join()
        assert result.frames_read == 2
        (damage,) = result.inputs[0].damage
        assert (damage.offset, damage.length) == (24 + 2 * 76, None)
        assert reason in damage.reason


def test_options_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    source = pcaps.write(tmp_path / "in.pcap", pcaps.header())
    for options in ({"jobs": 0}, {"snaplen": 0}, {"limit": 0}, {"output_size": 0},
                    {"range_bytes": 0}, {"on_damage": "skip"}, {"output_size": 9}):  # fmt: skip
        with pytest.raises(fastcap.UsageError):
            fastcap.filter_files("", [source], **options)  # type: ignore[arg-type,unused-ignore]
    with pytest.raises(fastcap.UsageError, match="no input"):
        fastcap.filter_files("", [])
    with pytest.raises(fastcap.UsageError, match="list of names"):
        fastcap.filter_files("", source)


@pytest.mark.parametrize("fails", ["listdir", "path.getsize"])
def test_what_cannot_be_looked_up_afterwards_is_no_failure(
    fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An output that is complete stays a success in a directory that cannot be listed, and when
    what another run left goes away meanwhile."""
    source = pcaps.write(tmp_path / "in.pcap", pcaps.capture([Frame(1, 9, bytes(9))]))
    (tmp_path / ".out.pcap.fastcap-999999999-00000000").write_bytes(b"left")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(f"fastcap.outputs.os.{fails}", refuse)
    result = fastcap.filter_files("", [source], tmp_path / "out.pcap")
    assert result.frames_matched == 1
    assert (tmp_path / "out.pcap").exists()
