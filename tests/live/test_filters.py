"""A filter takes what it says, wherever it runs, and what it rejects is counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import fastcap
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


@pytest.mark.parametrize("counts", [False, True], ids=["not counted", "counted"])
@pytest.mark.parametrize(
    ("expression", "takes"),
    [
        ("Blob(FrameData, 21, 1) == 0x07", lambda number: number & 0xFF == 7),
        ("NOT Blob(FrameData, 21, 1) == 0x07", lambda number: number & 0xFF != 7),
        ("ether proto 0x88b5 and ether[21] & 3 = 1", lambda number: number & 3 == 1),
        # behind what is kept: a filter sees the frame before it is cut
        ("ether[70] = 9", lambda number: sent_frame(number, 80)[70] == 9),
        ("Blob(FrameData, 79, 1) == 0x10", lambda number: sent_frame(number, 80)[79] == 0x10),
        ("len = 80 and ether[21] = 200", lambda number: number & 0xFF == 200),
        ("greater 81", lambda _: False),
        ("Blob(FrameData, 80, 1) == 0x00", lambda _: False),
    ],
)
def test_a_filter_in_user_space_decides_on_whole_frames_and_is_accounted_for(
    network: Network, tmp_path: Path, expression: str, takes: Callable[[int], bool], counts: bool
) -> None:
    words = [expression, *(["--count-rejected"] if counts else [])]
    capture = network.capture(tmp_path / "x.pcap", "-s", "40", *words)
    network.send(COUNT)
    ended = capture.end()
    assert ended.json["filter"] == expression
    ended.check_account()
    expected = [number for number in range(COUNT) if takes(number)]
    frames = ended.frames()
    assert serials(frames) == expected
    assert all(len(frame.data) == 40 and frame.wire == 80 for frame in frames)
    rejected = ended.json["account"]["frames_rejected_filter"]
    if counts or ended.json["filter_runs_in"] == "user space":
        ended.check_account(sent=COUNT)
        assert rejected == COUNT - len(expected)
    else:
        ended.check_account(sent=len(expected))
        assert rejected is None


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
