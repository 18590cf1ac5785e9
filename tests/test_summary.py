"""What no output takes, by second and protocol, and the files that say so."""

from __future__ import annotations

import csv
import datetime
import errno
import os
import random
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

import fastcap
from fastcap import summary
from fastcap._native.cancel import Cancel
from fastcap._native.postfilter import PROTOCOLS as NAMES
from fastcap.committer import Run, linktype_of
from fastcap.filter import Filter
from fastcap.inputs import Source, open_source
from fastcap.outputs import Output, resolve
from fastcap.permissions import Permissions
from fastcap.results import FilterResult
from fastcap.selection import Selection
from tests import pcaps, slices
from tests.conftest import needs
from tests.pcaps import ETHERNET, RAW, SLL, WIFI, Frame

SLL2 = 276
BASE = 1_700_000_000
NETWORKS = {0x800: "ipv4", 0x86DD: "ipv6"}
OTHERS = {0x806: "arp", 0x8847: "mpls", 0x8848: "mpls", 0x8863: "pppoe", 0x8864: "pppoe"}
OTHERS[0x88CC] = "lldp"
BOTH = {6: "tcp", 17: "udp", 47: "gre", 50: "esp", 51: "ah", 89: "ospf", 132: "sctp"}
PROTOCOLS = {"ipv4": {**BOTH, 1: "icmp", 2: "igmp"}, "ipv6": {**BOTH, 58: "icmp6"}}


# ---- The slow way -----------------------------------------------------------------------------


def protocol_of(data: bytes, linktype: int) -> str:
    places = {ETHERNET: (12, 14), SLL: (14, 16), SLL2: (0, 20)}
    if linktype == RAW:
        network = {4: "ipv4", 6: "ipv6"}.get(data[0] >> 4) if data else None
        return f"{network}/{_ip(data, network)}" if network else "other"
    if linktype not in places:
        return "other"
    type_at, at = places[linktype]
    kind = _number(data, type_at, 2)
    while kind in (0x8100, 0x88A8, 0x9100):
        kind = _number(data, at + 2, 2)
        at += 4
    if kind is None:
        return "other"
    if kind in NETWORKS:
        return f"{NETWORKS[kind]}/{_ip(data[at:], NETWORKS[kind])}"
    if kind < 0x600 and linktype == ETHERNET:
        return "llc"
    return OTHERS.get(kind, "other")


def _number(data: bytes, at: int, size: int) -> int | None:
    return int.from_bytes(data[at : at + size], "big") if len(data) >= at + size else None


def _ip(data: bytes, network: str) -> str:
    first = _number(data, 0, 1)
    if first is None or first >> 4 != int(network[3]) or (network == "ipv4" and first % 16 < 5):
        return "other"
    number = _number(data, 9, 1) if network == "ipv4" else _next_header(data)
    return PROTOCOLS[network].get(-1 if number is None else number, "other")


def _next_header(data: bytes) -> int | None:
    number, at = _number(data, 6, 1), 40
    while number in (0, 43, 44, 60):
        if len(data) < at + (4 if number == 44 else 2):
            return None
        offset = _number(data, at + 2, 2) or 0
        if number == 44 and offset >= 8:
            return None if data[at] in (0, 43, 44, 60) else data[at]
        number, at = data[at], at + (8 if number == 44 else 8 * data[at + 1] + 8)
    return number


def expected(frames: list[Frame], linktype: int = ETHERNET) -> summary.Rows:
    count: Counter[tuple[int | None, str]] = Counter()
    size: Counter[tuple[int | None, str]] = Counter()
    for frame in frames:
        key = frame.time // 10**9, protocol_of(frame.data, linktype)
        count[key] += 1
        size[key] += frame.wire
    return {key: (count[key], size[key]) for key in count}


# ---- Runs -------------------------------------------------------------------------------------


def run(
    sources: list[Source],
    texts: list[str],
    folder: Path | None = None,
    *,
    jobs: int = 2,
    executor: Executor | None = None,
    selection: Selection = Selection(),  # noqa: B008 - never changed
    limit: int | None = None,
    range_bytes: int | None = None,
    rest: bool = False,
) -> FilterResult:
    """Into an output for each text, or, without a folder, only counts."""
    linktype = linktype_of(sources[0])
    one = Run(
        sources,
        [Filter(text, linktype) for text in texts],
        jobs=jobs,
        rest=rest,
        summary=True,
        selection=selection,
        limit=limit,
        range_bytes=range_bytes,
    )
    one.writes = folder is not None
    cancel = Cancel()
    outputs = []
    for i in range(len(one.programs) if folder is not None else 0):
        assert folder is not None
        target = resolve(str(folder / f"out{i}.pcap"), sources, series=False, force=True)
        outputs.append(Output(target, one.out_header, cancel, size=None, force=True, block=1 << 16))
    return one.run(outputs, executor, cancel)


def rows_of(result: FilterResult) -> summary.Rows:
    assert result.summary is not None
    return result.summary


def frames_in(rows: summary.Rows) -> int:
    return sum(frames for frames, _ in rows.values())


def mixed_frame(rng: random.Random, linktype: int) -> bytes:
    """Of many kinds, extension headers and headers that lie among them."""
    if linktype in (ETHERNET, RAW) and rng.random() < 0.6:
        return slices.random_frame(rng, ethernet=linktype == ETHERNET)
    if linktype != SLL2:
        return pcaps.link_frame(rng, linktype)
    whole = mixed_frame(rng, ETHERNET)
    return whole[12:14].ljust(2, b"\0") + rng.randbytes(18) + whole[14:]


@pytest.fixture
def mixed(rng: random.Random) -> list[Frame]:
    return mixed_frames(rng, ETHERNET)


def mixed_frames(rng: random.Random, linktype: int, count: int = 3_000) -> list[Frame]:
    """Some seconds of them, most times in order; a third is cut."""
    frames = []
    for i in range(count):
        data = mixed_frame(rng, linktype)
        time = BASE * 10**9 + i * 3_000_000 + rng.choice((0, 0, 0, rng.randrange(5 * 10**9)))
        cut = rng.choice((len(data), 80, rng.randrange(len(data) + 1)))
        frames.append(Frame(time // 1000 * 1000, max(1, len(data)), data[:cut]))
    return frames


def taken(text: str, frames: list[Frame]) -> list[Frame]:
    compiled = fastcap.compile(text)
    return [frame for frame in frames if compiled.matches(frame.data, frame.wire)]


@pytest.mark.parametrize("linktype", [ETHERNET, RAW, SLL, SLL2, WIFI, 228, 229])
def test_every_kind_of_frame_is_counted_as_a_slow_reader_would(
    rng: random.Random, tmp_path: Path, linktype: int
) -> None:
    like = RAW if linktype in (228, 229) else linktype
    frames = mixed_frames(rng, like)
    whole = pcaps.capture(frames, rng.choice("<>"), rng.random() < 0.5, link_word=linktype)
    source = open_source(pcaps.write(tmp_path / "in.pcap", whole))
    found = rows_of(run([source], ["FrameLength > 100000"]))
    assert found == expected(frames, like)
    assert linktype == WIFI or len({protocol for _, protocol in found}) > 12


@pytest.mark.parametrize("jobs", [1, 2, 5])
@pytest.mark.parametrize("range_bytes", [2_000, 30_000, None])
@pytest.mark.parametrize("writes", [False, True])
def test_what_several_outputs_take_and_what_is_summed_up_are_all_frames(
    mixed: list[Frame], tmp_path: Path, jobs: int, range_bytes: int | None, writes: bool
) -> None:
    texts = ["tcp", "udp port 53", "FrameLength > 150"]
    sources = [
        open_source(pcaps.write(tmp_path / f"in{i}.pcap", pcaps.capture(mixed[i::2], "<>"[i])))
        for i in range(2)
    ]
    result = run(
        sources, texts, tmp_path if writes else None, jobs=jobs, range_bytes=range_bytes
    )  # fmt: skip
    others = [frame for frame in mixed if not any(taken(text, [frame]) for text in texts)]
    assert rows_of(result) == expected(others)
    assert frames_in(rows_of(result)) + result.frames_matched == result.frames_read == len(mixed)
    if writes:
        for i, text in enumerate(texts):
            read = pcaps.read((tmp_path / f"out{i}.pcap").read_bytes())
            assert sorted(read) == sorted(taken(text, mixed))


def lies(rng: random.Random, count: int) -> list[Frame]:
    """Frames that hold what looks like records, and more behind it, so that guesses go wrong."""
    inside = b"".join(pcaps.record(Frame((BASE + i) * 10**9, 40, bytes(40))) for i in range(60))
    frames = []
    for i in range(count):
        data = pcaps.ethernet(
            rng.randbytes(rng.randrange(56)) + inside + bytes(40), rng.choice((0x806, 0x800))
        )
        frames.append(Frame((BASE + i // 7) * 10**9, len(data), data))
    return frames


@pytest.mark.parametrize("jobs", [1, 3])
def test_ranges_and_chains_that_are_read_again_count_once(
    rng: random.Random, tmp_path: Path, jobs: int
) -> None:
    frames = lies(rng, 600)
    source = open_source(pcaps.write(tmp_path / "in.pcap", pcaps.capture(frames)))
    result = run([source], ["arp"], jobs=jobs, range_bytes=5_000)
    assert result.ranges_redone > 0
    assert rows_of(result) == expected([frame for frame in frames if frame.data[13] == 0])
    chains_redone = 0
    for _ in range(6):  # of one capture none may go wrong
        frames = lies(rng, 3_000)
        source = open_source(pcaps.write(tmp_path / "in.pcap", pcaps.capture(frames)))
        result = run([source], ["arp"], jobs=jobs)
        chains_redone += result.chains_redone
        assert rows_of(result) == expected([frame for frame in frames if frame.data[13] == 0])
    assert chains_redone > 0


@contextmanager
def streamed(path: str) -> Iterator[Source]:
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as cat:
        assert cat.stdout is not None
        source = open_source(f"/dev/fd/{cat.stdout.fileno()}")
        assert source.fd is not None
        yield source
        source.close()
        cat.stdout.close()  # with a limit there is more


@pytest.mark.parametrize("limit", [None, 1, 100])
def test_a_stream_is_summed_up_like_a_file(
    mixed: list[Frame], tmp_path: Path, limit: int | None
) -> None:
    path = pcaps.write(tmp_path / "in.pcap", pcaps.capture(mixed))
    file = run([open_source(path)], ["tcp"], limit=limit, range_bytes=10_000)
    with streamed(path) as source:
        stream = run([source], ["tcp"], limit=limit)
    assert rows_of(stream) == rows_of(file)
    assert frames_in(rows_of(file)) + file.frames_matched == file.frames_read
    assert rows_of(file) == expected(
        [frame for frame in mixed[: file.frames_read] if not taken("tcp", [frame])]
    )


def test_skipped_frames_were_not_thrown_away_by_the_filter(
    mixed: list[Frame], tmp_path: Path
) -> None:
    path = pcaps.write(tmp_path / "in.pcap", pcaps.capture(mixed))
    others = expected([frame for frame in mixed if not taken("tcp", [frame])])
    for skip in (1, 50, 10_000):
        selection = Selection(skip=skip)
        result = run([open_source(path)], ["tcp"], selection=selection, range_bytes=9_000)
        assert rows_of(result) == others
        with streamed(path) as source:
            assert rows_of(run([source], ["tcp"], selection=selection)) == others


def test_frames_outside_the_time_are_not_summed_up(mixed: list[Frame], tmp_path: Path) -> None:
    path = pcaps.write(tmp_path / "in.pcap", pcaps.capture(mixed))
    since, until = (BASE + 2) * 10**9, (BASE + 5) * 10**9 + 7_000
    selection = Selection(since_ns=since, until_ns=until)
    result = run([open_source(path)], ["tcp"], selection=selection)
    inside = [frame for frame in mixed if since <= frame.time < until]
    assert rows_of(result) == expected([one for one in inside if not taken("tcp", [one])])


def test_rest_leaves_nothing_to_sum_up(mixed: list[Frame], tmp_path: Path) -> None:
    path = pcaps.write(tmp_path / "in.pcap", pcaps.capture(mixed))
    assert rows_of(run([open_source(path)], ["tcp"], tmp_path, rest=True)) == {}


def test_a_run_that_was_not_asked_has_no_summary(mixed: list[Frame], tmp_path: Path) -> None:
    path = pcaps.write(tmp_path / "in.pcap", pcaps.capture(mixed))
    assert fastcap.filter_files("tcp", [path]).summary is None


def test_frames_behind_damage_are_not_summed_up(mixed: list[Frame], tmp_path: Path) -> None:
    whole = pcaps.capture(mixed[:1_000]) + bytes(5_000) + pcaps.capture(mixed[1_000:])[24:]
    source = open_source(pcaps.write(tmp_path / "in.pcap", whole))
    result = run([source], ["tcp"], range_bytes=20_000)
    assert result.damaged
    assert rows_of(result) == expected([one for one in mixed[:1_000] if not taken("tcp", [one])])


def test_processes_bring_rows_too(mixed: list[Frame], tmp_path: Path) -> None:
    path = pcaps.write(tmp_path / "in.pcap", pcaps.capture(mixed))
    with ProcessPoolExecutor(2) as pool:
        result = run([open_source(path)], ["tcp"], executor=pool, range_bytes=40_000)
    assert rows_of(result) == expected([frame for frame in mixed if not taken("tcp", [frame])])


def test_fractions_of_a_second_and_more_belong_to_their_second(tmp_path: Path) -> None:
    """A microsecond field may hold more than a second; the seconds at the end of 32 bits too."""
    frame = pcaps.ethernet(bytes(20), 0x806)
    fields = [(5, 999_999), (5, 1_000_000), (5, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0, 0)]
    records = b"".join(
        second.to_bytes(4, "little")
        + more.to_bytes(4, "little")
        + b"\x22\0\0\0\xff\xff\xff\xff"
        + frame
        for second, more in fields
    )
    source = open_source(pcaps.write(tmp_path / "in.pcap", pcaps.header() + records))
    found = rows_of(run([source], ["ip"]))
    seconds = [second + more // 10**6 for second, more in fields]
    assert found == {(second, "arp"): (1, 0xFFFFFFFF) for second in seconds}
    summary.write(str(tmp_path / "x.csv"), found)
    assert "2106-02-07T07:39:49Z,arp,1," in (tmp_path / "x.csv").read_text()


def test_seconds_beyond_the_most_rows_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "MOST_ROWS", 3)
    rows: summary.Rows = {}
    arp, llc = (NAMES.index(name) for name in ("arp", "llc"))
    for second in (1, 2, 3, 4, 5, 2):
        packed = [(second, arp, 1, 60), (second, llc, 2, 100)]
        summary.add(rows, b"".join(summary._ROW.pack(*row) for row in packed))
    assert rows == {
        (1, "arp"): (1, 60),
        (1, "llc"): (2, 100),
        (2, "arp"): (2, 120),
        (None, "llc"): (10, 500),
        (None, "arp"): (3, 180),
    }


# ---- Others' opinions -------------------------------------------------------------------------


def test_plain_frames_are_what_tshark_says_they_are(rng: random.Random, tmp_path: Path) -> None:
    tshark = needs("tshark")
    numbers = {"ipv4": (1, 2, 6, 17, 47, 50, 89, 132, 200), "ipv6": (6, 17, 47, 50, 58, 132, 200)}
    frames = []
    for i in range(400):
        network = rng.choice(("ipv4", "ipv6"))
        number, payload = rng.choice(numbers[network]), bytes(40)
        if network == "ipv4":
            kind, packet = 0x800, pcaps.ipv4(payload, number, "10.0.0.1", "10.0.0.2")
        elif rng.random() < 0.4:
            chain = bytes([number, 0, 1, 4, 0, 0, 0, 0]) + payload
            kind, packet = 0x86DD, pcaps.ipv6(chain, rng.choice((0, 60)), 1, 2)
        else:
            kind, packet = 0x86DD, pcaps.ipv6(payload, number, 1, 2)
        if rng.random() < 0.1:
            kind, packet = 0x806, b"\0\1\x08\0\6\4\0\1" + bytes(20)
        tags = [(0x8100, 5), (0x88A8, 6)][: rng.randrange(3)]
        data = pcaps.ethernet(packet, kind, tags[::-1])
        frames.append(Frame((BASE + i // 40) * 10**9, len(data), data))
    path = pcaps.write(tmp_path / "in.pcap", pcaps.capture(frames))
    fields = ["frame.time_epoch", "frame.len", "frame.protocols"]
    words = [tshark, "-r", path, "-T", "fields", *(w for f in fields for w in ("-e", f))]
    listed = subprocess.run(words, check=True, capture_output=True, text=True, timeout=120).stdout
    count: Counter[tuple[int | None, str]] = Counter()
    size: Counter[tuple[int | None, str]] = Counter()
    for line in listed.splitlines():
        time, length, text = line.split("\t")
        key = int(float(time)), _as_tshark_says(text.split(":"))
        count[key] += 1
        size[key] += int(length)
    found = rows_of(run([open_source(path)], ["FrameLength > 9999"]))
    assert found == {key: (count[key], size[key]) for key in count}


def _as_tshark_says(protocols: list[str]) -> str:
    """The first network, and the first transport behind it, of eth:ethertype:vlan:…:ip:tcp."""
    if "arp" in protocols:
        return "arp"
    network = "ipv6" if "ipv6" in protocols else "ipv4"
    names = {"icmpv6": "icmp6"}
    behind = protocols[protocols.index("ipv6" if network == "ipv6" else "ip") + 1 :]
    known = [names.get(one, one) for one in behind]
    return f"{network}/" + next((o for o in known if o in PROTOCOLS[network].values()), "other")


# ---- Files ------------------------------------------------------------------------------------

ROWS: summary.Rows = {
    (None, "arp"): (3, 180),
    (BASE + 1, "ipv4/udp"): (1, 2**40),
    (BASE, "ipv6/tcp"): (7, 700),
    (BASE, "ipv4/tcp"): (5, 500),
    (0, "other"): (1, 60),
}
IN_ORDER = [
    (0, "other", 1, 60),
    (BASE, "ipv4/tcp", 5, 500),
    (BASE, "ipv6/tcp", 7, 700),
    (BASE + 1, "ipv4/udp", 1, 2**40),
    (None, "arp", 3, 180),
]


def test_a_csv_has_rows_in_order_and_times_as_text(tmp_path: Path) -> None:
    path = tmp_path / "dropped.csv"
    summary.write(str(path), ROWS)
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["time", "protocol", "frames", "bytes"]
    read = []
    for time, protocol, frames, size in rows:
        moment = datetime.datetime.strptime(time, "%Y-%m-%dT%H:%M:%S%z") if time else None
        second = int(moment.timestamp()) if moment else None
        read.append((second, protocol, int(frames), int(size)))
    assert read == IN_ORDER
    assert rows[1][0] == "2023-11-14T22:13:20Z"


def test_a_parquet_has_the_same_rows_with_types(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "dropped.parquet"
    summary.write(str(path), ROWS)
    table = pq.read_table(path)
    assert table.column_names == ["time", "protocol", "frames", "bytes"]
    # Parquet has no seconds
    assert table.schema.types == [pa.timestamp("ms", "UTC"), pa.string(), pa.int64(), pa.int64()]
    times = [time.timestamp() if time else None for time in table["time"].to_pylist()]
    rest = [table[name].to_pylist() for name in table.column_names[1:]]
    assert list(zip(times, *rest, strict=True)) == IN_ORDER


@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "X.CSV"])
def test_a_summary_of_nothing_is_a_file_too(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    summary.check_path(str(path))
    summary.write(str(path), {})
    if path.suffix == ".parquet":
        table = pytest.importorskip("pyarrow.parquet").read_table(path)
        assert (table.num_rows, table.num_columns) == (0, 4)
    else:
        assert path.read_text() == "time,protocol,frames,bytes\n"


def test_a_summary_replaces_the_one_before_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("before")
    (tmp_path / ".x.csv.part").write_text("left by one that was killed")
    before = path.open()
    summary.write(str(path), ROWS, Permissions(mode=0o604))
    assert before.read() == "before"
    before.close()
    assert len(path.read_text().splitlines()) == 6
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    assert os.listdir(tmp_path) == ["x.csv"]


def test_a_summary_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.csv"
    path.write_text("before")

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        summary.write(str(path), ROWS)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["x.csv"]


def test_a_relative_name_is_written_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    summary.write("x.csv", ROWS)
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 6


@pytest.mark.parametrize("name", ["x", "x.json", "x.csv.gz", ".csv", "x.parquet/", "-"])
def test_a_name_must_say_its_format(name: str) -> None:
    with pytest.raises(fastcap.UsageError, match=r"\.csv or a \.parquet"):
        summary.check_path(name)


def test_without_pyarrow_parquet_is_refused_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(fastcap.UsageError, match=r"pip install 'fastcap-pcap\[parquet\]'"):
        summary.check_path("x.parquet")
    summary.check_path("x.csv")
