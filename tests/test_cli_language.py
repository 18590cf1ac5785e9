"""The filter language as the command line shows it: compile, explain, --vlan, sets from files."""

from __future__ import annotations

import json
import random
import re
import shlex
import subprocess
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

import fastcap
from fastcap.language.parser import parse
from tests import pcaps, reference
from tests.conftest import needs
from tests.pcaps import Frame
from tests.test_cli import FASTCAP, run

BLOB = "Blob(FrameData, 26, 4) == 10.35.69.103"
SEARCH = 'ContainsBin(FrameData, HEX, "0A23")'


def tcpdump(*words: str) -> str:
    """What tcpdump prints."""
    command = [needs("tcpdump"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


# ---- compile ------------------------------------------------------------------------------------

# Those of which libpcap 1.9.1 and those of today make the same program.
ALIKE = [
    "",
    "ip6",
    "not ip",
    "tcp port 443",
    "port 53 or port 5353",
    "portrange 0-1023",
    "host 10.35.69.103 and tcp port 443",
    "net 10.0.0.0/8",
    "ip6 net 2001:db8::/32",
    "len > 100",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420",
    "ether[14] * 2 + 1 > 100",
    "ether[14:2] ^ 0x4500 = 0",
    "ether[len - 1] != 0",
    "ether host 02:00:00:00:00:ff",
    "vlan 5 and ip",
    "pppoes",
]


@pytest.mark.parametrize("expression", ALIKE)
@pytest.mark.parametrize("form", ["-d", "-dd", "-ddd"])
def test_compile_prints_what_tcpdump_prints(expression: str, form: str) -> None:
    theirs = tcpdump(form, "-y", "EN10MB", expression)
    assert run("compile", form, expression).stdout == theirs
    assert run("compile", *expression.split(), form).stdout == theirs


@pytest.mark.parametrize(("linktype", "theirs"), [
    ("RAW", "RAW"), ("linux_sll", "LINUX_SLL"), ("105", "IEEE802_11"), ("PPP", "PPP"),
])  # fmt: skip
def test_compile_is_for_the_link_type_that_is_asked_for(linktype: str, theirs: str) -> None:
    for flag in ("--linktype", "-y"):
        done = run("compile", flag, linktype, "host 10.35.69.103")
        assert done.stdout == tcpdump("-d", "-y", theirs, "host 10.35.69.103")
    assert "no link type 'ether'" in run("compile", "-y", "ether", "ip", status=2).stderr


def test_compile_returns_the_snaplen() -> None:
    for snaplen in ("80", "1", "262144", "0"):
        theirs = tcpdump("-d", "-y", "EN10MB", "-s", snaplen, "tcp port 443")
        assert run("compile", "--snaplen", snaplen, "tcp port 443").stdout == theirs
        assert run("compile", "-s", snaplen, "tcp port 443").stdout == theirs
    assert "ret      #80" in run("compile", "-s", 80, BLOB).stdout
    assert "not in the range" in run("compile", "-s", 262145, "ip", status=2).stderr


def test_compile_live_reads_the_tag_where_the_kernel_keeps_it_and_names_it() -> None:
    live = run("compile", "--live", "vlan 5").stdout
    for name in ("[vlanp]", "[vlan_tpid]", "[vlan_tci]"):
        assert name in live
    assert "[-" not in live
    assert "[vlan" not in run("compile", "vlan 5").stdout
    shifted = run("compile", "--live", BLOB).stdout
    assert "[22]" in shifted  # 4 bytes nearer where the tag was taken off
    assert "[26]" in shifted
    before_the_tag = run("compile", "--live", "ether[0] & 1 = 0").stdout
    assert "vlan" not in before_the_tag
    assert len(before_the_tag.splitlines()) == 4
    numbers = run("compile", "--live", "-ddd", BLOB).stdout.splitlines()
    assert int(numbers[0]) == len(numbers) - 1 == len(shifted.splitlines())
    assert run("compile", "--live", "").stdout == "(000) ret      #262144\n"


def test_compile_says_where_classic_bpf_cannot_hold_the_filter(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts.txt"
    hosts.write_text("\n".join(f"10.{i >> 8}.{i & 255}.1" for i in range(10_000)))
    for expression in (SEARCH, f"tcp and {SEARCH}", f"IPv4.Address IN @{hosts}"):
        for flags in ([], ["--live"]):
            done = run("compile", *flags, expression)
            assert done.stderr == (
                "fastcap: a superset: it takes more than the filter, which then decides in user "
                "space\n"
            )
    for expression in ("tcp", BLOB, f"tcp and not {BLOB}"):
        assert run("compile", "--live", expression).stderr == ""


def test_compile_live_says_when_the_filter_looks_behind_the_snaplen() -> None:
    note = "the filter can look at bytes behind the snaplen of 29"
    assert note in run("compile", "--live", "-s", 29, BLOB).stderr
    assert run("compile", "--live", "-s", 30, BLOB).stderr == ""
    assert run("compile", "-s", 29, BLOB).stderr == ""


def test_json_of_compile_has_the_promised_fields() -> None:
    expression = f"{BLOB} AND NOT TCP.Port IN {{80, 443}}"
    done = run("compile", "--json", expression, "-s", 96)
    told = json.loads(done.stdout)
    assert list(told) == [
        "expression", "linktype", "vlan", "snaplen", "tree", "program", "kernel", "file",
        "bytes_needed",
        "engine",
    ]  # fmt: skip
    assert told["expression"] == expression
    assert (told["linktype"], told["vlan"], told["snaplen"]) == ("ETHERNET", "wire", 96)
    assert told["tree"] == {
        "and": [
            {"blob": [26, 4], "operator": "==", "value": 0x0A234567},
            {"not": {"field": "TCP.Port", "operator": "in", "ranges": [[80, 80], [443, 443]]}},
        ]
    }
    assert list(told["program"]) == ["instructions", "sets", "wide_sets", "patterns"]
    for name, flags in (("kernel", ["--live"]), ("file", [])):
        lines = run("compile", "-ddd", "-s", 96, *flags, expression).stdout.splitlines()[1:]
        assert [" ".join(map(str, one)) for one in told[name]["instructions"]] == lines
        assert told[name]["exact"] is True
    assert told["kernel"]["snaplen"] == 96

    told = json.loads(run("compile", "--json", f"tcp and {SEARCH}", "--vlan", "skip").stdout)
    assert told["tree"] == {"and": [{"pcap": "tcp"}, {"contains": "0a23"}]}
    assert told["program"]["patterns"] == ["0a23"]
    assert told["kernel"]["exact"] is told["file"]["exact"] is False
    assert told["vlan"] == "skip"


def test_compile_takes_its_filter_from_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "web.filter"
    path.write_text("tcp port 443\n")
    plain = run("compile", "tcp port 443").stdout
    assert run("compile", "-F", path).stdout == plain
    assert run("compile", "-F", "-", input="tcp port 443").stdout == plain
    assert "more than one filter" in run("compile", "-F", path, "udp", status=2).stderr


# ---- explain ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "line"),
    [
        (BLOB, "  bytes 26 to 29: is 0x0a234567 (10.35.69.103)"),
        ("Blob(FrameData, 14, 1) & 0xF0 != 0x40", "  byte 14 & 0xf0: is not 0x40"),
        ("Blob(FrameData, 6, 6) >= 2:0:0:0:0:1",
         "  bytes 6 to 11: is at least 0x020000000001 (02:00:00:00:00:01)"),
        ("TCP.Port != 80", "  TCP.Port, source or destination port of TCP: neither is 80"),
        ("tcp.srcport < 1024", "  TCP.SrcPort, source port of TCP: is less than 1024"),
        ("IPv4.Address IN {10.0.0.0/8, 8.8.8.8}", "  IPv4.Address, source or destination address "
         "of IPv4: is one of 8.8.8.8, 10.0.0.0 to 10.255.255.255"),
        ("UDP.Port IN {53, 67-68}", "  UDP.Port, source or destination port of UDP: is one of 53, "
         "67 to 68"),
        ("Protocol=TCP", "  Protocol, what IPv4 or IPv6 holds: a number, TCP, UDP, ICMP …: is 6 "
         "(TCP)"),
        ("ContainsBin(FrameData, ASCII, 'GET')",
         "  the captured bytes contain 47 45 54 ('GET')"),
        ("FrameLength > 1000", "  FrameLength, bytes of the frame on the wire: is more than 1000"),
    ],
)  # fmt: skip
def test_explain_says_which_bytes_are_compared_with_what(expression: str, line: str) -> None:
    assert run("explain", expression).stdout.splitlines()[1] == line


def test_explain_says_what_happens_on_short_frames() -> None:
    ours = run("explain", BLOB).stdout
    assert "false where the frame's captured bytes end before the bytes it needs" in ours
    assert "libpcap" not in ours
    pure = run("explain", "tcp port 443").stdout
    assert "makes the whole filter reject the frame" in pure
    assert "false where" not in pure
    mixed = run("explain", f"{BLOB} or tcp port 443").stdout
    assert "false where the frame's captured bytes end" in mixed
    assert "makes the whole run false" in mixed


def test_explain_says_what_happens_on_tagged_frames() -> None:
    wire = run("explain", "tcp").stdout
    assert "VLAN tags are bytes of the frame" in wire
    skip = run("explain", "tcp", "--vlan", "skip").stdout
    assert "VLAN tags (802.1Q, 802.1ad, 0x9100) are skipped at any depth" in skip
    assert "VLAN tags are bytes" not in skip
    assert "VLAN" not in run("explain", "-y", "RAW", "tcp").stdout


@pytest.mark.parametrize(
    ("words", "where"),
    [
        ([BLOB], "in the kernel"),
        (["tcp port 443"], "in the kernel"),
        ([f"tcp and {SEARCH}"], "in the kernel as far as that can decide, then in user space"),
        (["tcp", "--vlan", "skip"], "in the kernel as far as that can decide, then in user space"),
        ([SEARCH], "in user space"),
    ],
)
def test_explain_says_where_a_filter_runs_while_capturing(words: list[str], where: str) -> None:
    assert f"\nWhile capturing it runs {where}.\n" in run("explain", *words).stdout


def test_explain_says_when_the_filter_looks_behind_the_snaplen() -> None:
    note = "The filter can look at bytes behind the snaplen of 29: they count while capturing"
    assert note in run("explain", "-s", 29, BLOB).stdout
    assert "snaplen" not in run("explain", "-s", 30, BLOB).stdout
    assert "snaplen" not in run("explain", BLOB).stdout


def test_the_note_on_the_snaplen_counts_four_tags_that_are_skipped() -> None:
    for size, noted in ((33, True), (45, True), (46, False)):
        told = run("explain", "-s", size, "IPv4.SourceAddress == 10.35.69.103", "--vlan", "skip")
        assert (f"behind the snaplen of {size}" in told.stdout) == noted
    assert "snaplen" not in run("explain", "-s", 30, BLOB, "--vlan", "skip").stdout
    search = run("compile", "--live", "-s", 262144, SEARCH, "--vlan", "skip")
    assert "snaplen" not in search.stderr


CLOSE = [
    "tcp port 80",
    BLOB,
    "Blob(FrameData, 12, 2) != 0x0800",
    "Blob(FrameData, 5, 10) == 0x010200000000ff080045",
    "Blob(FrameData, 14, 1) & 0xF0 == 0x40",
    "Blob(FrameData, 26, 4) IN {10.0.0.0/8, 8.8.8.8}",
    "IPv4.Address IN {10.0.0.0/8, 8.8.8.8}",
    "IPv6.SourceAddress IN {2001:db8::/32}",
    "IPv6.DestinationAddress == fe80::5",
    "TCP.Port IN {80, 1000-2000}",
    "UDP.SrcPort == 53",
    "Protocol IN {TCP, UDP}",
    "Ethernet.Type == IPv6",
    "Ethernet.SourceAddress == 02:00:00:00:00:ff AND udp",
    "NOT TCP.Port IN {80, 443}",
    "NOT TCP.Port IN {80, 443} AND IPv4.Address IN {10.0.0.0/8}",
    f"tcp or (udp and not {BLOB})",
]


def explained_command(expression: str, source: str, vlan: str) -> list[bytes]:
    """The frames that the command which explain shows takes."""
    text = run("explain", expression, "--vlan", vlan).stdout
    (command,) = re.findall("^Closest in tcpdump: (tcpdump -r FILE .*)$", text, re.MULTILINE)
    _, *words = shlex.split(command.replace("FILE", shlex.quote(source), 1))
    done = subprocess.run(
        [needs("tcpdump"), *words, "-w", "-"], capture_output=True, check=True
    ).stdout
    return [frame.data for frame in pcaps.read(done)]


@pytest.mark.parametrize("vlan", ["wire", "skip"])
@pytest.mark.parametrize("expression", [*CLOSE, "FrameLength > 100"])
def test_the_command_that_explain_shows_takes_the_same_frames(
    expression: str, vlan: str, rng: random.Random, tmp_path: Path
) -> None:
    """Of those that are long enough, and have one tag at most under `skip`, as it says."""
    if vlan == "skip" and "FrameLength" in expression:
        assert "its len counts that tag" in run("explain", expression, "--vlan", "skip").stdout
        return
    frames = [
        frame
        for frame in pcaps.some_frames(rng, 1500)
        if len(frame.data) == frame.wire >= 60
        and (vlan == "wire" or frame.data[16:18] not in reference.TPIDS)
    ]
    source = pcaps.write(tmp_path / "in.pcap", pcaps.capture(frames))
    compiled = fastcap.compile(expression, vlan=vlan)
    mine = [frame.data for frame in frames if compiled.matches(frame.data)]
    assert explained_command(expression, source, vlan) == mine
    assert 0 < len(mine) < len(frames)


def test_what_tcpdump_cannot_filter_is_said() -> None:
    for expression in (SEARCH, "IPv4.Address > 10.0.0.1", "TCP.Port != 80"):
        assert "tcpdump has no filter for this." in run("explain", expression).stdout


# ---- --vlan -------------------------------------------------------------------------------------

# No pcap-filter text: the slow reference knows what it takes.
FIELDS = "TCP.Port IN {80, 443} OR IPv4.Address IN {10.0.0.0/8} OR IPv6.Address == fe80::5"
NOTE = "frames with VLAN tags do not match, and would without the tags: --vlan skip"


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield pool


def taken(frames: list[Frame], vlan: str) -> list[Frame]:
    tree = parse(FIELDS)
    return [one for one in frames if reference.matches(tree, one.data, one.wire, vlan=vlan)]


def missed(frames: list[Frame]) -> int:
    """Frames that `skip` takes and `wire` does not."""
    kept = set(taken(frames, "wire"))
    return sum(frame not in kept for frame in taken(frames, "skip"))


@pytest.fixture
def frames(rng: random.Random) -> list[Frame]:
    return pcaps.some_frames(rng, 3000)


@pytest.fixture
def source(frames: list[Frame], tmp_path: Path) -> str:
    return pcaps.write(tmp_path / "in.pcap", pcaps.capture(frames))


def test_skip_finds_fields_behind_tags(source: str, frames: list[Frame], tmp_path: Path) -> None:
    output = tmp_path / "out.pcap"
    run("filter", FIELDS, source, "-o", output, "--vlan", "skip")
    kept = pcaps.read(output.read_bytes())
    assert kept == taken(frames, "skip")
    assert len(kept) > len(taken(frames, "wire")) > 0


def test_what_was_missed_because_of_tags_is_said_once_and_counted(
    source: str, frames: list[Frame], tmp_path: Path
) -> None:
    count = missed(frames)
    assert count > 50
    line = f"fastcap: {count:,} {NOTE}\n"
    assert run("filter", FIELDS, source, "--count").stderr == line
    done = run("filter", FIELDS, source, source, "-o", tmp_path / "out.pcap")
    assert done.stderr.startswith(f"fastcap: {2 * count:,} {NOTE}\n")
    assert done.stderr.count("--vlan skip") == 1
    for jobs in (1, 2, 7):
        told = json.loads(run("filter", FIELDS, source, "--count", "--json", "-j", jobs).stdout)
        assert told["tagged_missed"] == count
        assert told["frames_matched"] == len(taken(frames, "wire"))
    piped = subprocess.run(
        [*FASTCAP, "filter", FIELDS, "-", "--count", "--json"],
        input=Path(source).read_bytes(), capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(piped.stdout)["tagged_missed"] == count


def test_nothing_is_said_where_no_frame_was_missed_because_of_its_tag(
    source: str, frames: list[Frame], tmp_path: Path
) -> None:
    untagged = [frame for frame in frames if frame.data[12:14] not in reference.TPIDS]
    plain = pcaps.write(tmp_path / "plain.pcap", pcaps.capture(untagged))
    for words in (
        (FIELDS, source, "--vlan", "skip"),
        (FIELDS, plain),
        ("vlan and tcp", source),
        ("tcp or (vlan and tcp)", source),
        (BLOB, source),
        (SEARCH, source),
        ("", source),
    ):
        done = run("filter", *words, "--count", "--json")
        assert done.stderr == ""
        assert json.loads(done.stdout)["tagged_missed"] == 0


def test_what_was_missed_is_counted_exactly_for_any_split_and_any_executor(
    frames: list[Frame], rng: random.Random, tmp_path: Path, processes: Executor
) -> None:
    """Also where a file ends inside a frame, or is damaged: what comes before counts."""
    data = pcaps.capture(frames)
    half = sum(16 + len(frame.data) for frame in frames[:1700])
    damaged = data[: 24 + half] + b"\xff" * 16 + data[24 + half :]
    for content, there in ((data, frames), (data[: 24 + half + 5], frames[:1700]),
                           (damaged, frames[:1700])):  # fmt: skip
        path = pcaps.write(tmp_path / "in.pcap", content)
        count = missed(there)
        assert count > 20
        with ThreadPoolExecutor(3) as threads:
            for executor in (None, threads, processes):
                for size in (4096, 50_000, 16 << 20):
                    result = fastcap.filter_files(
                        FIELDS, [path], executor=executor, range_bytes=size
                    )
                    assert result.tagged_missed == count
                    assert result.damaged == (content is not data)


def test_a_limit_ends_the_count_of_what_was_missed_at_the_same_frame(
    source: str, frames: list[Frame], tmp_path: Path
) -> None:
    kept = taken(frames, "wire")
    limit = len(kept) // 2
    read = frames.index(kept[limit - 1]) + 1
    for jobs, size in ((1, 1 << 24), (3, 4096), (2, 30_000)):
        result = fastcap.filter_files(
            FIELDS, [source], limit=limit, jobs=jobs, range_bytes=size
        )  # fmt: skip
        assert (result.frames_matched, result.frames_read) == (limit, read)
        assert result.tagged_missed == missed(frames[:read])


def test_a_filter_that_asks_for_tags_cannot_skip_them(source: str) -> None:
    for command in (["filter", "vlan 5", source, "--count"], ["compile", "vlan 5"],
                    ["explain", f"tcp and vlan 5 and {BLOB}"]):  # fmt: skip
        done = run(*command, "--vlan", "skip", status=2)
        (line,) = done.stderr.splitlines()
        assert "'vlan' asks for tags, which are not seen with --vlan skip" in line
    assert "is not one of 'wire', 'skip'" in run("compile", "ip", "--vlan", "skp", status=2).stderr


# ---- Sets from files ----------------------------------------------------------------------------

PACKETS = [
    pcaps.ipv4(pcaps.tcp(1, 2, 0, b""), 6, "10.0.0.1", "192.168.1.7"),
    pcaps.ipv4(pcaps.udp(1, 2, b""), 17, "8.8.8.8", "10.35.69.103"),
    pcaps.ipv4(b"", 1, "172.16.5.9", "172.16.255.1"),
    pcaps.ipv6(b"", 58, 0x20010DB8 << 96 | 1, 5),
]


@pytest.fixture
def packets(tmp_path: Path) -> str:
    """PACKETS on Ethernet."""
    types = [0x86DD if packet[0] >> 4 == 6 else 0x0800 for packet in PACKETS]
    made = [pcaps.ethernet(*both) for both in zip(PACKETS, types, strict=True)]
    frames = [Frame(10**18 + i, len(data), data) for i, data in enumerate(made)]
    return pcaps.write(tmp_path / "packets.pcap", pcaps.capture(frames))


@pytest.mark.parametrize(
    ("content", "matched"),
    [
        (b"10.0.0.1\n", [0]),
        (b"10.0.0.1", [0]),
        (b"# all of them\n\n  10.0.0.1  # the router\n\n#8.8.8.8\n", [0]),
        (b"10.0.0.1\r\n8.8.8.8\r\n", [0, 1]),
        (b"\xef\xbb\xbf10.0.0.1\n", [0]),
        (b"172.16.0.0/12\n", [2]),
        (b"172.16.5.9/32\n", [2]),
        (b"0.0.0.0/0\n", [0, 1, 2]),
        (b"10.0.0.1, 8.8.8.8;172.16.5.9\t1.1.1.1\n", [0, 1, 2]),
        (b"10.0.0.0-10.0.0.3\n", [0]),
        (b"2001:db8::1\n8.8.8.8\n2001:db8::/32\nfe80::1-fe80::9\n", [1]),
        (b"02:00:00:00:00:ff\n8.8.8.8\n", [1]),
        (b"8.8.8.8\n8.8.8.8\n8.8.8.0/24\n", [1]),
    ],
)
def test_a_set_is_read_from_a_file(
    content: bytes, matched: list[int], packets: str, tmp_path: Path
) -> None:
    (tmp_path / "hosts.txt").write_bytes(content)
    output = tmp_path / "out.pcap"
    run("filter", "IPv4.Address IN @hosts.txt", packets, "-o", output, cwd=tmp_path)
    kept = [frame.data for frame in pcaps.read(output.read_bytes())]
    every = [frame.data for frame in pcaps.read(Path(packets).read_bytes())]
    assert kept == [every[i] for i in matched]


def test_one_list_serves_addresses_of_all_kinds(packets: str, tmp_path: Path) -> None:
    (tmp_path / "all.txt").write_text("8.8.8.8\n2001:db8::1\n02:00:00:00:00:ff\n")
    for field, count in (("IPv4", "1"), ("IPv6", "1"), ("Ethernet", "4")):
        words = ("filter", f"{field}.Address IN @all.txt", packets, "--count")
        assert run(*words, cwd=tmp_path).stdout == f"{count}\n"
    blob = "Blob(FrameData, 26, 4) IN @all.txt"  # has no kind: what does not fit is refused
    refused = run("filter", blob, packets, "--count", status=2, cwd=tmp_path).stderr
    assert "all.txt, line 2: 2001:db8::1: " in refused


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot read the set: hosts.txt: No such file or directory"),
        (b"", "hosts.txt: holds none: expected an address of IPv4"),
        (b"# nothing\n\n", "hosts.txt: holds none: expected an address of IPv4"),
        (b"2001:db8::1\n", "hosts.txt: holds none: expected an address of IPv4"),
        (b"10.0.0.1\n# x\n10.0.0.300\n", "hosts.txt, line 3: 10.0.0.300: no part"),
        (b"10.0.0.1\nexample.com\n", "hosts.txt, line 2: example.com: expected an address"),
        (b"10.0.0.1 router\n", "hosts.txt, line 1: router: expected an address"),
        (b"10.0.0.1/8\n", "hosts.txt, line 1: 10.0.0.1/8: bits are set behind the prefix of 8"),
        (b"1:2:3\n", "hosts.txt, line 1: 1:2:3: no address of IPv6, and no MAC address"),
        (b"10.0.0.0/33\n", "expected a prefix length of 0 to 32"),
        (b"10.0.0.9-10.0.0.1\n", "hosts.txt, line 1: 10.0.0.9-10.0.0.1: a range goes from"),
        (b"\xff\xfe1\x00", "cannot read the set: hosts.txt: not text"),
    ],
)
def test_a_set_that_cannot_be_read_is_refused_with_file_line_and_text(
    content: bytes | None, says: str, packets: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "hosts.txt").write_bytes(content)
    expression = "tcp and IPv4.Address IN @hosts.txt"
    done = run("filter", expression, packets, "--count", status=2, cwd=tmp_path)
    first, text, caret = done.stderr.splitlines()
    assert says in first
    assert text == f"  {expression}"
    assert text[caret.index("^") :] == "@hosts.txt"


def test_a_set_has_any_name_in_quotes_and_is_a_file(packets: str, tmp_path: Path) -> None:
    (tmp_path / "my hosts (1).txt").write_text("8.8.8.8\n")
    for quoted in ('@"my hosts (1).txt"', "@'my hosts (1).txt'"):
        words = ("filter", f"(IPv4.Address IN {quoted})", packets, "--count")
        assert run(*words, cwd=tmp_path).stdout == "1\n"
    folder = run("filter", "IPv4.Address IN @.", packets, "--count", status=2, cwd=tmp_path)
    assert "Is a directory" in folder.stderr


def test_a_set_of_ten_thousand_is_on_every_link_type(packets: str, tmp_path: Path) -> None:
    rng = random.Random(7)
    hosts = {f"10.{rng.randrange(1, 255)}.{rng.randrange(256)}.{i & 255}" for i in range(10_000)}
    text = "\n".join([*sorted(hosts), "172.16.5.0/24", "2001:db8::/64"])
    (tmp_path / "hosts.txt").write_text(text)
    assert len(hosts) > 9_000
    everywhere = "IPv4.Address IN @hosts.txt OR IPv6.Address IN @hosts.txt"
    inside = sorted(hosts)[4321]
    packet = pcaps.ipv4(b"", 6, "1.2.3.4", inside)
    assert sum(inside == host for host in hosts) == 1
    sll = [b"\0\0\0\1\0\6" + bytes(8) + (b"\x86\xdd" if one[0] >> 4 == 6 else b"\x08\0") + one
           for one in (*PACKETS, packet)]  # fmt: skip
    wifi = [b"\x08\0" + bytes(22) + b"\xaa\xaa\x03\0\0\0" + one[14:] for one in sll]
    for linktype, made in (
        (pcaps.RAW, [*PACKETS, packet]), (pcaps.SLL, sll), (pcaps.WIFI, wifi),
        (pcaps.ETHERNET, [bytes(12) + one[14:] for one in sll]),
    ):  # fmt: skip
        frames = [Frame(10**18, len(data), data) for data in made]
        source = pcaps.write(tmp_path / "x.pcap", pcaps.capture(frames, link_word=linktype))
        run("filter", everywhere, source, "-o", "out.pcap", "--force", cwd=tmp_path)
        kept = [frame.data for frame in pcaps.read((tmp_path / "out.pcap").read_bytes())]
        assert kept == made[2:]


# ---- Errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "expected", "at"),
    [
        ("IPv4.Address == 10.0.0", "expected an address of IPv4 such as", "10.0.0"),
        ("tcp and ip.addr == 10.0.0.1", "did you mean IPv4.Address?", "ip.addr"),
        ("IPv4.Address == 10.0.0.0/8", "a network stands in a set: IN {10.0.0.0/8}", "10.0.0.0/8"),
        ("Blob(FrameData, 26, 4) = 1", "expected == != <", "= 1"),
        ("Blob(26, 4) == 1", "expected FrameData", "26, 4"),
        ("IPv4.Address IN (10.0.0.1)", "expected {…} or @FILE", "(10.0.0.1)"),
    ],
)
def test_every_command_shows_the_text_a_caret_and_what_was_expected(
    expression: str, expected: str, at: str, source: str
) -> None:
    for words in (["filter", expression, source, "--count"], ["compile", expression],
                  ["explain", expression]):  # fmt: skip
        first, text, caret = run(*words, status=2).stderr.splitlines()
        assert first.startswith("fastcap: filter: ")
        assert expected in first
        assert text == f"  {expression}"
        assert text[caret.index("^") :].startswith(at)
        assert caret.strip() == "^"


def test_an_error_in_a_filter_file_shows_its_line(source: str, tmp_path: Path) -> None:
    path = tmp_path / "x.filter"
    path.write_text(f"{BLOB}\n  OR TCP.Port == http\n  OR udp\n")
    _, text, caret = run("filter", "-F", path, source, "--count", status=2).stderr.splitlines()
    assert text == "    OR TCP.Port == http"
    assert text[caret.index("^") :] == "http"


def test_filters_need_no_quotes_where_nothing_else_is_given() -> None:
    quoted = run("compile", "IPv4.Address == 10.0.0.1 AND tcp").stdout
    assert run("compile", "IPv4.Address", "==", "10.0.0.1", "AND", "tcp").stdout == quoted
