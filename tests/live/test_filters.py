"""A filter takes what it says, wherever it runs, and what it rejects is counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import fastcap
from tests.engines import needs_jit
from tests.live.network import LONGEST_WAIT, SOURCE, Network, read, sent_frame, serials

COUNT = 20_000
OTHER = "02:00:00:00:00:0a"


@pytest.mark.parametrize("counts", [False, True], ids=["not counted", "counted"])
@pytest.mark.parametrize(
    ("expression", "takes"),
    [
        (f"ether src {SOURCE}", {SOURCE}),
        (f"not ether src {SOURCE}", {OTHER}),
        (f"ether src {SOURCE} or ether src {OTHER}", {SOURCE, OTHER}),
        ("ether broadcast", set()),
        ("Blob(FrameData, 11, 1) == 0x0a", {OTHER}),
    ],
)
def test_a_filter_that_the_kernel_runs_is_accounted_for(
    network: Network, tmp_path: Path, expression: str, takes: set[str], counts: bool
) -> None:
    words = [*expression.split(), *(["--count-rejected"] if counts else [])]
    capture = network.capture(tmp_path / "x.pcap", "-s", "80", *words)
    senders = [network.sending(COUNT, 100, source=source) for source in (SOURCE, OTHER)]
    for sender in senders:
        sender.communicate(timeout=LONGEST_WAIT)
    network.send(10, 100, first=COUNT)
    ended = capture.end()
    assert ended.json["filter"] == expression
    assert ended.json["filter_runs_in"] == "kernel"
    sent = {SOURCE: COUNT + 10, OTHER: COUNT}
    taken = sum(sent[source] for source in takes)
    ended.check_account(sent=sum(sent.values()) if counts else taken)
    rejected = ended.json["account"]["frames_rejected_filter"]
    assert rejected == (sum(sent.values()) - taken if counts else None)
    frames = [frame.data for frame in ended.frames()]
    assert len(frames) == taken
    for source in takes:
        theirs = [data for data in frames if data[6:12].hex(":") == source]
        assert theirs == [
            sent_frame(serial, 100, source=source)[:80] for serial in range(sent[source])
        ]


SEVEN = 'ContainsBin(FrameData, HEX, "07070809")'  # the serial's last byte, and what follows it
MANY = ", ".join(map(str, range(1, 20_000, 3)))


@pytest.mark.parametrize("counts", [False, True], ids=["not counted", "counted"])
@pytest.mark.parametrize(
    ("expression", "runs_in", "takes"),
    [
        ("Blob(FrameData, 21, 1) == 0x07", "kernel", lambda number: number & 0xFF == 7),
        ("NOT Blob(FrameData, 21, 1) == 0x07", "kernel", lambda number: number & 0xFF != 7),
        # behind what is kept: a filter sees the frame before it is cut
        ("ether[70] = 9", "kernel", lambda number: sent_frame(number, 80)[70] == 9),
        ("Blob(FrameData, 79, 1) == 0x10", "kernel", lambda n: sent_frame(n, 80)[79] == 0x10),
        ("len = 80 and ether[21] = 200", "kernel", lambda number: number & 0xFF == 200),
        ("greater 81", "kernel", lambda _: False),
        ("Blob(FrameData, 80, 1) == 0x00", "kernel", lambda _: False),
        (SEVEN, "user space", lambda number: number & 0xFF == 7),
        (f"NOT {SEVEN}", "user space", lambda number: number & 0xFF != 7),
        (f"Blob(FrameData, 20, 1) == 1 AND {SEVEN}", "kernel, then user space",
         lambda number: number & 0xFFFF == 0x107),
        (f"Blob(FrameData, 18, 4) IN {{{MANY}}}", "kernel, then user space",
         lambda number: number % 3 == 1),
        # behind what is kept, in user space
        (f"Blob(FrameData, 79, 1) == 0x10 AND NOT {SEVEN}", "kernel, then user space",
         lambda n: sent_frame(n, 80)[79] == 0x10),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)  # fmt: skip
def test_a_filter_decides_on_whole_frames_wherever_it_runs_and_is_accounted_for(
    network: Network,
    tmp_path: Path,
    expression: str,
    runs_in: str,
    takes: Callable[[int], bool],
    counts: bool,
) -> None:
    words = [expression, *(["--count-rejected"] if counts else [])]
    capture = network.capture(tmp_path / "x.pcap", "-s", "40", *words)
    network.send(COUNT)
    ended = capture.end()
    assert (ended.json["filter"], ended.json["filter_runs_in"]) == (expression, runs_in)
    expected = [number for number in range(COUNT) if takes(number)]
    frames = ended.frames()
    assert serials(frames) == expected
    assert all(len(frame.data) == 40 and frame.wire == 80 for frame in frames)
    rejected = ended.json["account"]["frames_rejected_filter"]
    if counts or runs_in == "user space":
        ended.check_account(sent=COUNT)
        assert rejected == COUNT - len(expected)
    else:  # nobody counts what the kernel rejects
        ended.check_account(sent=len(expected))
        assert rejected is None


@pytest.mark.parametrize("engine", [pytest.param("jit", marks=needs_jit), "interpreter"])
def test_who_decides_in_user_space_makes_no_difference(
    network: Network, tmp_path: Path, engine: str
) -> None:
    expression = "ContainsBin(FrameData, HEX, '07 03') OR Blob(FrameData, 20, 2) == 0x0108"
    options = ("-s", "40", "--engine", engine, "-v", expression)
    capture = network.capture(tmp_path / "x.pcap", *options)
    network.send(COUNT)
    ended = capture.end()
    assert ended.json["engine"]["name"] == engine
    assert f"fastcap: engine {engine}" in ended.err
    expected = [
        number
        for number in range(COUNT)
        if b"\x07\x03" in number.to_bytes(8, "big") or number & 0xFFFF == 0x0108
    ]
    assert serials(ended.frames()) == expected != []
    ended.check_account(sent=COUNT)


def test_a_filter_of_a_file_is_one_too(network: Network, tmp_path: Path) -> None:
    (tmp_path / "wanted").write_text("ether proto 0x88b5\n and Blob(FrameData, 21, 1) == 5\n")
    capture = network.capture(tmp_path / "x.pcap", "-F", tmp_path / "wanted")
    network.send(1_000)
    ended = capture.end()
    ended.check_account()
    assert serials(ended.frames()) == [5, 261, 517, 773]


def test_a_capture_with_a_filter_is_what_the_post_filter_makes_of_one_without(
    network: Network, tmp_path: Path
) -> None:
    expression = "Blob(FrameData, 21, 1) == 0x07 OR Blob(FrameData, 20, 2) == 0x0108"
    live = network.capture(tmp_path / "live.pcap", expression)
    everything = network.capture(tmp_path / "all.pcap")
    network.send(5_000)
    everything.end().check_account(sent=5_000)
    found = live.end().frames()
    fastcap.filter_files(expression, [tmp_path / "all.pcap"], tmp_path / "later.pcap")
    later = read(tmp_path / "later.pcap")
    assert [frame.data for frame in found] == [frame.data for frame in later]
    assert len(later) == 20 + 1


def test_a_filter_that_the_kernel_has_no_memory_for_runs_in_user_space_as_it_says(
    network: Network, tmp_path: Path
) -> None:
    limit = "/proc/sys/net/core/optmem_max"
    if network.run("sh", "-c", f"test -w {limit} && echo 500 > {limit}").returncode:
        pytest.skip("this kernel has one limit for all namespaces")
    values = " or ".join(f"ether[21] = {number}" for number in range(0, 100, 2))
    capture = network.capture(tmp_path / "x.pcap", "-s", "40", values)
    network.send(1_000)
    ended = capture.end()
    assert "the kernel refuses the filter: it runs in user space alone" in ended.err
    assert ended.json["filter_runs_in"] == "user space"
    ended.check_account(sent=1_000)
    expected = [number for number in range(1_000) if number & 0xFF in range(0, 100, 2)]
    assert serials(ended.frames()) == expected


def test_a_filter_that_looks_behind_the_snaplen_is_told(network: Network, tmp_path: Path) -> None:
    ends = [
        network.capture(tmp_path / f"{offset}.pcap", "-s", "60", f"ether[{offset}] = 3").end().err
        for offset in (59, 60)
    ]
    assert ["behind the snaplen of 60" in err for err in ends] == [False, True]
