"""The same frames as tcpdump, for every expression, over other people's captures and our own."""

from __future__ import annotations

import csv
import random
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

import fastcap
from tests import pcaps
from tests.conftest import needs
from tests.expressions import EXPRESSIONS

LINKS = {
    "Ethernet": (1,),
    "raw IP": (101, 228, 229, 12),
    "SLL": (113,),
    "802.11": (105, 127, 119, 163),
}
# tcpdump makes empty frames of a run of zeros in the middle of this file; we stop there and say so.
ZEROS = {"tcpdump/tests/bgp_vpn_rt-oobr.pcap": 295}


def captures_of(folder: Path, kinds: tuple[int, ...]) -> list[Path]:
    """Every pcap file of these link types that tcpdump can open."""
    with (folder / "INDEX.tsv").open(newline="") as index:
        rows = list(csv.DictReader(index, delimiter="\t"))
    found = []
    for row in rows:
        path = folder / row["path"]
        if not row["magic_format"].startswith("pcap-"):
            continue
        start = path.read_bytes()[:24]
        order = "<" if start[0] in b"\xd4\x4d" else ">"
        *version, _, _, _, word = struct.unpack(order + "HHiIII", start[4:])
        if word & 0xFFFF in kinds and not word & 0x03FF0000 and version == [2, 4]:
            found.append(path)
    return sorted(found)


def frames_before_damage(path: Path, folder: Path) -> list[pcaps.Frame]:
    data = path.read_bytes()
    end = ZEROS.get(str(path.relative_to(folder)), len(data))
    return pcaps.read(data[:end])


def without_fcs_bits(path: Path, folder: Path) -> str:
    """The capture, or a copy that does not say whether frames end in a checksum: captures that
    differ in that are not joined."""
    data = bytearray(path.read_bytes())
    high = slice(22, 24) if data[0] in b"\xd4\x4d" else slice(20, 22)
    if not any(data[high]):
        return str(path)
    data[high] = b"\0\0"
    return pcaps.write(folder / f"{zlib.crc32(str(path).encode()):08x}.pcap", bytes(data))


def tcpdump(source: str, expression: str, output: Path) -> list[pcaps.Frame] | None:
    """What `tcpdump -r … -w` keeps; None where it refuses the expression."""
    # in its own precision: tcpdump's conversions overflow where a fraction is a second or more
    nano = Path(source).read_bytes()[:4] in (b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d")
    precision = ["--nano"] if nano else []
    command = [needs("tcpdump"), *precision, "-r", source, "-w", str(output), expression]
    output.unlink(missing_ok=True)
    subprocess.run(command, capture_output=True, check=False)
    return pcaps.read(output.read_bytes()) if output.exists() else None


def ours(sources: list[str], expression: str, output: Path) -> list[pcaps.Frame] | None:
    try:
        fastcap.filter_files(expression, sources, output, force=True)
    except fastcap.FilterError:
        return None
    return pcaps.read(output.read_bytes())


def in_microseconds(frames: list[pcaps.Frame] | None) -> list[pcaps.Frame] | None:
    if frames is None:
        return None
    return [frame._replace(time=frame.time // 1000) for frame in frames]


def same(expression: str, sources: list[str], reference: str, folder: Path) -> int:
    """The number of frames that both keep; fails where they differ."""
    theirs = in_microseconds(tcpdump(reference, expression, folder / "theirs.pcap"))
    mine = in_microseconds(ours(sources, expression, folder / "mine.pcap"))
    assert mine == theirs, f"{expression!r} differs from tcpdump"
    return len(mine or ())


@pytest.mark.parametrize("link", LINKS)
def test_all_expressions_keep_tcpdumps_frames_of_all_captures(
    link: str, shared_captures: Path, tmp_path: Path
) -> None:
    """Every capture of a link type at once: through us as many inputs, through tcpdump as one
    file that holds their frames in the same order."""
    kept = 0
    for kind in LINKS[link]:
        paths = captures_of(shared_captures, (kind,))
        if not paths:
            continue
        sources = [without_fcs_bits(path, tmp_path) for path in paths]
        frames = [frame for path in paths for frame in frames_before_damage(path, shared_captures)]
        joined = pcaps.write(
            tmp_path / "joined.pcap", pcaps.capture(frames, nanoseconds=True, link_word=kind)
        )
        for expression in EXPRESSIONS:
            kept += same(expression, sources, joined, tmp_path)
    assert kept > 100


@pytest.mark.parametrize("link", LINKS)
def test_every_capture_is_read_as_tcpdump_reads_it(
    link: str, shared_captures: Path, tmp_path: Path
) -> None:
    """File by file, with expressions that differ from file to file."""
    paths = captures_of(shared_captures, LINKS[link])
    assert paths
    for path in paths:
        if str(path.relative_to(shared_captures)) in ZEROS:
            continue
        rng = random.Random(zlib.crc32(path.name.encode()))
        for expression in ["", *rng.sample(EXPRESSIONS, 2)]:
            same(expression, [str(path)], str(path), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("link", LINKS)
def test_all_expressions_file_by_file(link: str, shared_captures: Path, tmp_path: Path) -> None:
    for path in captures_of(shared_captures, LINKS[link]):
        if str(path.relative_to(shared_captures)) in ZEROS:
            continue
        for expression in EXPRESSIONS:
            same(expression, [str(path)], str(path), tmp_path)


def test_a_run_of_zeros_ends_a_capture_where_tcpdump_makes_frames_of_it(
    shared_captures: Path, tmp_path: Path
) -> None:
    for name, offset in ZEROS.items():
        source = str(shared_captures / name)
        result = fastcap.filter_files("", [source], tmp_path / "out.pcap", force=True)
        assert result.inputs[0].damage[0].offset == offset
        mine = pcaps.read((tmp_path / "out.pcap").read_bytes())
        theirs = tcpdump(source, "", tmp_path / "theirs.pcap") or []
        assert in_microseconds(mine) == (in_microseconds(theirs) or [])[: len(mine)]
        assert all(frame.wire == 0 for frame in theirs[len(mine) : len(mine) + 8])


@pytest.mark.parametrize("linktype", [pcaps.ETHERNET, pcaps.RAW, pcaps.SLL, pcaps.WIFI])
def test_all_expressions_keep_tcpdumps_frames_of_our_own_captures(
    linktype: int, rng: random.Random, tmp_path: Path
) -> None:
    frames = pcaps.some_frames(rng, 2000, linktype)
    order, nanoseconds = rng.choice("<>"), rng.random() < 0.5
    source = pcaps.write(
        tmp_path / "in.pcap", pcaps.capture(frames, order, nanoseconds, link_word=linktype)
    )
    kept = sum(same(expression, [source], source, tmp_path) for expression in EXPRESSIONS)
    assert kept > 1000


def test_frames_longer_than_the_snaplen_are_cut_as_tcpdump_cuts_them(tmp_path: Path) -> None:
    frames = [pcaps.Frame(10**9 * i, 200, bytes([i]) * 200) for i in range(5)]
    source = pcaps.write(tmp_path / "in.pcap", pcaps.capture(frames, snaplen=100))
    assert same("ether[150] != 77", [source], source, tmp_path) == 0
    assert same("ether[99] != 77", [source], source, tmp_path) == 5
