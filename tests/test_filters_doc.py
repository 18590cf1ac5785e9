"""Every example of docs/filters.md is what it says."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastcap
from fastcap.language.fields import FIELDS
from tests import pcaps
from tests.conftest import ROOT

TEXT = (ROOT / "docs/filters.md").read_text()
HOST = "10.35.69.103"


def rows(heading: str) -> list[list[str]]:
    """Of all tables with such a heading: the cells of each row, without what marks code."""
    found = []
    for table in re.findall(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", TEXT, re.M):
        found += [line.strip("| ").split(" | ") for line in table.splitlines()]
    assert found, heading
    return found


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.fixture(scope="module")
def frames() -> list[bytes]:
    """Whole frames without tags, of all that the examples ask for."""
    rng = random.Random(4)
    request = pcaps.ipv4(pcaps.tcp(1000, 443, 24, b"GET / HTTP/1.1"), 6, "9.9.9.9", HOST)
    packets = [
        request,
        pcaps.ipv4(pcaps.tcp(443, 1000, 24, b""), 6, HOST, "10.1.2.3"),
        pcaps.ipv4(pcaps.udp(53, 9, b"x"), 17, "10.1.2.3", "9.9.9.9"),
        pcaps.ipv4(pcaps.tcp(443, 8080, 24, bytes(100)), 6, "9.9.9.8", "9.9.9.9"),
    ]
    made = [pcaps.ethernet(packet, 0x0800) for packet in packets]
    made.append(made[0][6:12] + bytes.fromhex("020000000001") + made[0][12:])
    return made + [pcaps.ethernet_frame(rng) for _ in range(300)]


def taken(expression: str, frames: list[bytes], vlan: str = "wire") -> list[bool]:
    compiled = fastcap.compile(expression, vlan=vlan)
    return [compiled.matches(frame) for frame in frames]


@pytest.mark.parametrize("row", rows("filter \\| takes the frames that this takes"), ids=str)
def test_filters_take_what_tcpdumps_take(row: list[str], frames: list[bytes]) -> None:
    (expression,) = code(row[0])
    same = code(row[1])[0] if row[1].startswith("`") else expression
    untagged = [frame for frame in frames if frame[12:14] not in (b"\x81\x00", b"\x88\xa8")]
    found = taken(expression, untagged)
    assert found == taken(same, untagged)
    assert 0 < sum(found) < len(untagged)


def test_the_table_of_fields_is_that_of_the_parser(frames: list[bytes]) -> None:
    named = []
    for names, values, meanings in rows("field"):
        named += code(names)
        value = code(values)[0]
        primitives = code(meanings) or ["ether proto"]
        for name, primitive in zip(code(names), primitives, strict=True):
            same = f"{primitive} {'= ' if primitive == 'len' else ''}{value}"
            assert taken(f"{name} == {value}", frames) == taken(same, frames), name
        for other in code(values)[1:]:
            fastcap.compile(f"{code(names)[0]} == {other}")
    assert named == [row.name for row in FIELDS.values()]


@pytest.mark.parametrize(
    "expression", re.findall(r"```refused\n(.*?)```", TEXT, re.S)[0].splitlines()
)
def test_what_is_refused_is_refused_and_pointed_at(expression: str) -> None:
    with pytest.raises(fastcap.FilterError) as error:
        fastcap.compile(expression)
    assert expression in str(error.value)
    assert str(error.value).splitlines()[-1].strip() == "^"


def test_parentheses_of_one_kind_are_read_by_its_rule(frames: list[bytes]) -> None:
    expression = "(tcp or udp and port 53) AND Blob(FrameData, 0, 1) == 2"
    assert f"`{expression}`" in TEXT
    found = taken(expression, frames)
    assert found == taken("(tcp or udp) and port 53 and ether[0] = 2", frames)
    assert found != taken("(tcp or (udp and port 53)) and ether[0] = 2", frames)


def test_a_range_of_ports_takes_one_port_for_both_sides(frames: list[bytes]) -> None:
    two = "TCP.Port >= 1000 AND TCP.Port <= 2000"
    assert f"`{two}`" in TEXT
    assert sum(taken(two, frames)) > sum(taken("TCP.Port IN {1000-2000}", frames)) > 0


def test_missing_bytes_decide_as_the_table_says() -> None:
    for expression, what in rows("filter \\| a frame of 20 bytes"):
        (text,) = code(expression)
        assert fastcap.compile(text).matches(bytes(20)) == (what == "taken"), text


def test_tags_decide_as_the_table_says() -> None:
    packet = pcaps.ipv4(pcaps.udp(53, 9, b"x"), 17, HOST, "9.9.9.9")
    tags = {"untagged": [], "one tag": [(0x8100, 5)], "two": [(0x88A8, 5), (0x8100, 6)]}
    frames = [pcaps.ethernet(packet, 0x0800, some) for some in tags.values()]
    words = {
        "untagged frames": [True, False, False],
        "frames with one tag": [False, True, False],
        "tagged ones too": [True, True, True],
    }
    for expression, wire, skip in rows("filter \\| with `--vlan wire`"):
        (text,) = code(expression)
        for vlan, what in (("wire", wire), ("skip", skip)):
            if what == "refused":
                with pytest.raises(fastcap.FilterError):
                    fastcap.compile(text, vlan=vlan)
            else:
                assert taken(text, frames, vlan) == words[what], (text, vlan)


def test_the_commands_run_as_written(tmp_path: Path) -> None:
    (tmp_path / "hosts.txt").write_text("# suspects\n10.35.69.103\n10.1.0.0/16, 2001:db8::/32\n")
    commands = re.findall(r"^\$ fastcap (.*)$", TEXT, re.M)
    assert len(commands) >= 4
    for command in commands:
        done = subprocess.run(
            f"{sys.executable} -m fastcap {command}", shell=True, cwd=tmp_path,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), command


def test_a_set_of_a_file_takes_its_addresses(tmp_path: Path, frames: list[bytes]) -> None:
    (tmp_path / "hosts.txt").write_text("# suspects\n10.35.69.103\n10.1.0.0/16, 2001:db8::/32\n")
    found = taken(f"IPv4.Address IN @{tmp_path}/hosts.txt", frames)
    assert found == taken("ip and (host 10.35.69.103 or net 10.1.0.0/16)", frames)
    assert any(found)
