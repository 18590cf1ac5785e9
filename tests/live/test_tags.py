"""VLAN tags are in the file as they were on the wire, though the kernel takes the outer one off."""

from __future__ import annotations

from pathlib import Path

import pytest

import fastcap
from tests.live.network import (
    LONGEST_WAIT,
    Network,
    opens_without_a_warning,
    read,
    sent_frame,
)

SIZE = 100
# a priority and the drop-eligible bit in each
TAGS = [
    "",
    "8100:f064",
    "8100:1fff",
    "88a8:a005",
    "88a8:7005,8100:b064",
    "8100:3001,8100:d002",
    "88a8:9005,8100:2064,8100:e001",
    "9100:a064",
    "8100:6001,9100:5002",
]


@pytest.mark.parametrize("snaplen", [262144, 80, 20, 18, 17, 16, 15, 14, 13, 12, 11, 1])
def test_frames_are_byte_for_byte_as_sent_with_one_many_and_no_tags(
    network: Network, tmp_path: Path, snaplen: int
) -> None:
    capture = network.capture(tmp_path / "x.pcap", "-s", snaplen)
    for number, tags in enumerate(TAGS):
        network.send(10, SIZE, first=10 * number, tags=tags)
    ended = capture.end()
    ended.check_account(sent=10 * len(TAGS))
    frames = read(tmp_path / "x.pcap")
    assert [(frame.wire, frame.data) for frame in frames] == [
        (SIZE, sent_frame(10 * number + i, SIZE, tags)[:snaplen])
        for number, tags in enumerate(TAGS)
        for i in range(10)
    ]


@pytest.mark.parametrize(
    ("expression", "taken"),
    [
        ("vlan", ["8100:f064", "8100:1fff", "88a8:a005", "88a8:7005,8100:b064",
                  "8100:3001,8100:d002", "88a8:9005,8100:2064,8100:e001", "9100:a064",
                  "8100:6001,9100:5002"]),
        ("vlan 100", ["8100:f064", "9100:a064"]),
        ("Blob(FrameData, 12, 4) == 0x88a8a005", ["88a8:a005"]),
        ("ether proto 0x88b5", [""]),
        ("Blob(FrameData, 16, 2) == 0x88b5",
         ["8100:f064", "8100:1fff", "88a8:a005", "9100:a064"]),
        ("ether[15:2] = 0x0588", ["88a8:a005"]),
    ],
)  # fmt: skip
def test_a_filter_sees_the_tags_as_it_does_on_the_file(
    network: Network, tmp_path: Path, expression: str, taken: list[str]
) -> None:
    capture = network.capture(tmp_path / "x.pcap", expression)
    everything = network.capture(tmp_path / "all.pcap")
    for number, tags in enumerate(TAGS):
        network.send(10, SIZE, first=10 * number, tags=tags)
    ended = capture.end()
    everything.end().check_account(sent=10 * len(TAGS))
    ended.check_account(sent=10 * len(TAGS))
    expected = [
        sent_frame(10 * number + i, SIZE, tags)
        for number, tags in enumerate(TAGS)
        for i in range(10)
        if tags in taken
    ]
    assert [frame.data for frame in ended.frames()] == expected
    count = fastcap.filter_files(expression, [tmp_path / "all.pcap"]).frames_matched
    assert count == len(expected)


def test_ten_frames_of_each_kind_are_as_sent_priorities_included(
    network: Network, tmp_path: Path
) -> None:
    """The frames that other tools' captures of tags were judged by: untagged, tagged, and doubly
    tagged ones from one sender."""
    kinds = ("", "8100:a064", "88a8:2005,8100:a064")
    capture = network.capture(tmp_path / "x.pcap")
    for tags in kinds:
        network.send(10, SIZE, tags=tags)
    ended = capture.end()
    ended.check_account(sent=30)
    assert [frame.data for frame in ended.frames()] == [
        sent_frame(i, SIZE, tags) for tags in kinds for i in range(10)
    ]
    opens_without_a_warning(ended.paths)


@pytest.mark.parametrize("snaplen", [80, 15])
@pytest.mark.parametrize(
    "tags", ["8100:a064", "88a8:2005,8100:a064", "9100:a064", ",".join(["8100:e001"] * 15)],
    ids=["one", "two", "0x9100", "fifteen"],
)  # fmt: skip
def test_tags_under_load(network: Network, tmp_path: Path, tags: str, snaplen: int) -> None:
    count = 15_000
    capture = network.capture(tmp_path / "x.pcap", "-s", snaplen, "-G", "0.05")
    network.send(count, SIZE, tags=tags)
    ended = capture.end()
    ended.check_account(sent=count)
    frames = ended.frames()
    assert [frame.data for frame in frames] == [
        sent_frame(number, SIZE, tags)[:snaplen] for number in range(count)
    ]
    assert {frame.wire for frame in frames} == {SIZE}


def test_frames_with_and_without_tags_that_come_at_once_keep_theirs(
    network: Network, tmp_path: Path
) -> None:
    count = 20_000
    capture = network.capture(tmp_path / "x.pcap", "-C", "1M")
    kinds = TAGS[:5]
    senders = [
        network.sending(count, SIZE, tags=tags, source=f"02:00:00:00:01:0{number}")
        for number, tags in enumerate(kinds)
    ]
    for sender in senders:
        sender.communicate(timeout=LONGEST_WAIT)
    network.send(1, SIZE)
    ended = capture.end()
    ended.check_account(sent=count * len(kinds) + 1)
    frames = [frame.data for frame in ended.frames()]
    for number, tags in enumerate(kinds):
        source = f"02:00:00:00:01:0{number}"
        theirs = [data for data in frames if data[6:12].hex(":") == source]
        assert theirs == [sent_frame(i, SIZE, tags, source) for i in range(count)]
