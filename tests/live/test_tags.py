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


def with_tags(*starts: str) -> list[str]:
    """The TAGS that begin with one of these."""
    return [tags for tags in TAGS if tags.startswith(starts)]


TAGGED = TAGS[1:]
# expression -> the tags of the frames that it takes, on the wire and in a file
TABLE = [
    ("wire", "vlan", TAGGED),
    ("wire", "not vlan", [""]),
    ("wire", "vlan 5", with_tags("88a8:a005", "88a8:7005", "88a8:9005")),
    ("wire", "vlan 100", ["8100:f064", "9100:a064"]),
    ("wire", "vlan and vlan 100", ["88a8:7005,8100:b064", "88a8:9005,8100:2064,8100:e001"]),
    ("wire", "vlan and vlan and vlan 1", ["88a8:9005,8100:2064,8100:e001"]),
    ("wire", "vlan and ether proto 0x88b5", [tags for tags in TAGGED if "," not in tags]),
    ("wire", "ether proto 0x88b5", [""]),
    ("wire", "ether proto 0x8100", with_tags("8100")),
    ("wire", "ether[12:2] = 0x88a8", with_tags("88a8")),
    ("wire", "ether[14:2] = 0xf064", ["8100:f064"]),
    ("wire", "ether[14] & 0xe0 = 0xa0", ["88a8:a005", "9100:a064"]),  # a priority of 5
    ("wire", "ether[14] & 0x10 != 0", [tags for tags in TAGGED if tags[5] in "f1379"]),
    ("wire", "ether[15:2] = 0x0588", ["88a8:a005"]),
    ("wire", "ether[11:2] = 0x0191", with_tags("9100")),
    ("wire", "ether[16:2] = 0x88b5", [tags for tags in TAGGED if "," not in tags]),
    ("wire", "ether[26:4] = 0x04050607", "body at 26"),
    ("wire", "ether[30:4] = 0x04050607", "body at 30"),
    ("wire", "vlan and ether[26:4] = 0x04050607", "tagged, body at 26"),
    ("wire", "vlan and ether[30:4] = 0x04050607", "tagged, body at 30"),
    ("wire", "len = 100", TAGS),
    ("wire", "len = 96", []),
    ("wire", "vlan and greater 100", TAGGED),
    ("wire", "vlan and less 99", []),
    ("wire", "ether[len - 1] >= 0", TAGS),
    ("wire", "Blob(FrameData, 12, 4) == 0x88a8a005", ["88a8:a005"]),
    ("wire", "Blob(FrameData, 16, 2) == 0x88b5", [tags for tags in TAGGED if "," not in tags]),
    ("wire", "Blob(FrameData, 10, 8) IN {0x00018100f06488b5, 0x00019100a06488b5}",
     ["8100:f064", "9100:a064"]),
    ("wire", "Blob(FrameData, 26, 4) == 0x04050607", "body at 26"),
    ("wire", "Blob(FrameData, 30, 4) == 0x04050607", "body at 30"),
    ("wire", "NOT Blob(FrameData, 99, 1) == 0", TAGS),
    ("wire", "Blob(FrameData, 100, 1) >= 0", []),
    ("wire", "ContainsBin(FrameData, HEX, 'b064')", ["88a8:7005,8100:b064"]),
    ("wire", "Ethernet.Type == 0x9100", with_tags("9100")),
    ("wire", "FrameLength == 100", TAGS),
    ("skip", "ether proto 0x88b5", TAGS),
    ("skip", "ether[12:2] = 0x88b5", TAGS),
    ("skip", "ether[26:4] = 0x04050607", "body at 26 without tags"),
    ("skip", "len = 100", [""]),
    ("skip", "len = 96", [tags for tags in TAGGED if "," not in tags]),
    ("skip", "len = 88", ["88a8:9005,8100:2064,8100:e001"]),
    ("skip", "Ethernet.Type == 0x88b5 AND Blob(FrameData, 12, 2) == 0x8100", with_tags("8100")),
    ("skip", "NOT Ethernet.Type == 0x88b5", []),
    ("skip", "Blob(FrameData, 30, 4) == 0x04050607", "body at 30"),
]  # fmt: skip


def in_body(frame: bytes, tags: str, what: str) -> bool:
    at = int(what.split("body at ")[1][:2])
    if "without tags" in what:
        at += 4 * len(tags.split(",")) if tags else 0
    return frame[at : at + 4] == b"\4\5\6\7" and (bool(tags) or "tagged" not in what)


@pytest.mark.parametrize("part", range(4))
def test_a_filter_takes_on_the_wire_what_it_takes_on_the_file(
    network: Network, tmp_path: Path, part: int
) -> None:
    """The same frames live and in a file of all of them, and those that the table says."""
    rows = TABLE[part::4]
    everything = network.capture(tmp_path / "all.pcap")
    captures = [
        network.capture(
            tmp_path / f"{number}.pcap", "--vlan", vlan, "--count-rejected", expression,
            memory=("--ring", "4M", "--buffer", "8M"),
        )
        for number, (vlan, expression, _) in enumerate(rows)
    ]  # fmt: skip
    sent = [(i, tags) for tags in TAGS for i in range(10)]
    for tags in TAGS:
        network.send(10, SIZE, tags=tags)
    everything.end().check_account(sent=len(sent))
    for (vlan, expression, taken), capture in zip(rows, captures, strict=True):
        ended = capture.end()
        ended.check_account(sent=len(sent))
        expected = [
            sent_frame(i, SIZE, tags)
            for i, tags in sent
            if (in_body(sent_frame(i, SIZE, tags), tags, taken) if isinstance(taken, str)
                else tags in taken)
        ]  # fmt: skip
        assert [frame.data for frame in ended.frames()] == expected, (vlan, expression)
        assert expected or taken == [], expression
        count = fastcap.filter_files(expression, [tmp_path / "all.pcap"], vlan=vlan).frames_matched
        assert count == len(expected), (vlan, expression)


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
