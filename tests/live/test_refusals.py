"""What cannot be is refused with one plain line, before anything is touched."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.conftest import needs
from tests.live.network import FAR, READY, Network, serials, wait_until

FASTCAP = (sys.executable, "-m", "fastcap", "capture")


def refused(
    network: Network, *words: object, status: int, before: tuple[str, ...] = (), **options: object
) -> str:
    """The one line that it says."""
    done = network.run(*before, *FASTCAP, *words, **options)
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("fastcap: ")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def test_an_interface_that_is_not_there_is_answered_with_those_that_are(
    network: Network, tmp_path: Path
) -> None:
    said = refused(network, "-i", "eth9", "-w", tmp_path / "x.pcap", status=1)
    assert "eth9: no such interface" in said
    for name in ("lo", "v0", "v1"):
        assert name in said
    assert os.listdir(tmp_path) == []


def test_any_interface_is_refused_with_the_way_out(network: Network, tmp_path: Path) -> None:
    said = refused(network, "-i", "any", "-w", tmp_path / "x.pcap", status=2)
    assert "capture each interface" in said
    assert os.listdir(tmp_path) == []


def test_an_interface_whose_frames_are_not_known_is_refused(
    network: Network, tmp_path: Path
) -> None:
    made = network.run("ip", "link", "add", "vcan0", "type", "vcan")
    if made.returncode != 0:
        pytest.skip(f"no such interface to be had: {made.stderr.strip()}")
    said = refused(network, "-i", "vcan0", "-w", tmp_path / "x.pcap", status=1)
    assert "vcan0" in said
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text", ["x", "l5", "l4+", "l4+65536", ""])
def test_what_is_no_slice_is_refused(network: Network, tmp_path: Path, text: str) -> None:
    words = ("-i", FAR, "-w", tmp_path / "x.pcap", "--slice", text)
    assert "fastcap: --slice: " in refused(network, *words, status=2)
    assert os.listdir(tmp_path) == []


def test_without_the_right_to_capture_it_names_the_right_and_how_to_give_it(
    network: Network, tmp_path: Path
) -> None:
    without = (needs("setpriv"), "--bounding-set", "-net_raw")
    said = refused(network, "-i", FAR, "-w", tmp_path / "x.pcap", status=1, before=without)
    assert "no permission" in said
    assert "cap_net_raw" in said.lower()
    assert "setcap" in said
    assert os.path.realpath(sys.executable) in said
    assert os.listdir(tmp_path) == []


def test_a_user_without_rights_gets_the_same_answer(network: Network, tmp_path: Path) -> None:
    nobody = (needs("setpriv"), "--reuid", "65534", "--regid", "65534", "--clear-groups")
    network.folder.chmod(0o777)
    able = network.run(*nobody, *FASTCAP, "--help", cwd="/")
    if able.returncode != 0:
        reason = able.stderr.strip().splitlines()[-1]
        pytest.skip(f"nobody cannot run fastcap here: {reason}")
    target = network.folder / "x.pcap"
    if network.run(*nobody, "touch", target).returncode == 0:
        target.unlink()
        said = refused(network, "-i", FAR, "-w", target, status=1, before=nobody, cwd="/")
        assert "cap_net_raw" in said.lower()
    # and where the folder is not theirs either, that is told instead
    refused(network, "-i", FAR, "-w", tmp_path / "x.pcap", status=1, before=nobody, cwd="/")
    assert os.listdir(tmp_path) == []


def test_the_right_to_capture_alone_is_enough(network: Network, tmp_path: Path) -> None:
    only = (needs("setpriv"), "--bounding-set", "-all,+net_raw")
    capture = network.capture(
        tmp_path / "x.pcap", "-Q", "in", "--count-rejected", "ether src 02:00:00:00:00:01",
        before=only,
    )  # fmt: skip
    network.send(1_000, first=7)
    network.send(10, source="02:00:00:00:00:0a")
    ended = capture.end()
    ended.check_account(sent=1_010)
    assert serials(ended.frames()) == list(range(7, 1_007))


@pytest.mark.parametrize("words", ["", "-C 1M", "-G 1 -W 3"])
def test_a_second_capture_to_the_same_files_is_refused_with_the_firsts_process(
    network: Network, tmp_path: Path, words: str
) -> None:
    first = network.capture(tmp_path / "net1.pcap", *words.split())
    second = ("-i", FAR, "-w", tmp_path / "net1.pcap", *words.split())
    said = refused(network, *second, status=1)
    assert str(first.process.pid) in said
    assert "another capture" in said
    other = network.capture(tmp_path / "net2.pcap", *words.split())  # which is no trouble
    network.send(100)
    for capture in (first, other):
        capture.end().check_account(sent=100)


def test_of_two_captures_that_begin_at_once_one_is_refused(
    network: Network, tmp_path: Path
) -> None:
    for number in range(4):
        path = tmp_path / f"{number}.pcap"
        both = [network.capture(path, "-C", "1M", ready=None) for _ in range(2)]
        wait_until(lambda: any(capture.process.poll() is not None for capture in both))  # noqa: B023
        both.sort(key=lambda capture: capture.process.poll() is None)
        refused = both[0].end(None)
        assert refused.status == 1
        assert f"another capture writes there, process {both[1].process.pid};" in refused.err
        both[1].wait_for(READY)
        both[1].end().check_account(sent=0)


def test_a_folder_that_is_not_there_is_named(network: Network, tmp_path: Path) -> None:
    for words in ([], ["-C", "1M"]):
        said = refused(network, "-i", FAR, "-w", tmp_path / "no" / "x.pcap", *words, status=1)
        assert str(tmp_path / "no") in said
        assert "no directory" in said
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_there_is_not_replaced(network: Network, tmp_path: Path) -> None:
    (tmp_path / "x.pcap").write_text("mine")
    said = refused(network, "-i", FAR, "-w", tmp_path / "x.pcap", status=1)
    assert "exists" in said
    assert (tmp_path / "x.pcap").read_text() == "mine"
    assert os.listdir(tmp_path) == ["x.pcap"]


@pytest.mark.parametrize(
    "words",
    [
        "-C 0",
        "-C -1",
        "-C x",
        "-C 1.5",
        "-C 1q",
        "-C 99999999999999999999",
        "-C 0.0001k",
        "--ring 64",  # bytes? say so
        "--ring 0k",
        "--ring 1k",
        "--ring 9999T",
        "--ring 1000G",
        "--buffer 1k",
        "--buffer 12345",
        "--buffer 1000G",
        "-G 0",
        "-G -1",
        "-G 0.0001",
        "-G nan",
        "-G inf",
        "-G 1e300",
        "-G x",
        "-W 0",
        "-W 3",  # of what?
        "-s -1",
        "-s 262145",
        "-s x",
        "-c 0",
        "-c -5",
        "-c 18446744073709551616",
        "--duration 0",
        "--duration -1",
        "--duration nan",
        "-Q sideways",
        "--precision pico",
        "--no-such-flag",
        "-F /no/such/file",
        "-F /dev/null tcp",
        "tcp prot 80",
        "Blob(FrameData,0,1)==256",
    ],
)
def test_wrong_words_are_refused_in_one_line(network: Network, tmp_path: Path, words: str) -> None:
    expression = [words] if words.startswith(("tcp", "Blob")) else words.split()
    done = network.run(*FASTCAP, "-i", FAR, "-w", tmp_path / "x.pcap", *expression)
    assert done.returncode in (1, 2), done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("fastcap: ")
    if not words.startswith(("tcp", "Blob")):  # a filter is shown, with a caret below
        assert len(done.stderr.splitlines()) == 1, done.stderr
    assert os.listdir(tmp_path) == []


def test_what_is_missing_is_asked_for(network: Network, tmp_path: Path) -> None:
    assert "-i IFACE" in refused(network, "-w", tmp_path / "x.pcap", status=2)
    assert "-w PATH" in refused(network, "-i", FAR, status=2)
    both = ("-i", FAR, "-w", "-", "--json")
    assert "standard output" in refused(network, *both, status=2)
    assert "cannot rotate" in refused(network, "-i", FAR, "-w", "-", "-C", "1M", status=2)


@pytest.mark.parametrize(
    ("write", "events"),
    [
        ("x.pcap", "x.pcap"),
        ("x.pcap", "x.pcap.json"),
        ("x.pcap", "./x_00000007_20261121T120000Z.pcap"),
        ("x.pcap", "x_00000007_20261121T120000Z.pcap.json"),
        ("fifo", "fifo"),
        ("-", "/dev/stdout"),
        ("/dev/stdout", "-"),
    ],
)
def test_events_do_not_go_where_the_capture_writes(
    network: Network, tmp_path: Path, write: str, events: str
) -> None:
    os.mkfifo(tmp_path / "fifo")
    said = refused(network, "-i", FAR, "-w", write, "--events", events, status=2, cwd=tmp_path)
    assert "events" in said
    assert os.listdir(tmp_path) == ["fifo"]


def test_json_and_events_do_not_share_standard_output(network: Network, tmp_path: Path) -> None:
    words = ("-i", FAR, "-w", tmp_path / "x.pcap", "--json", "--events", "/dev/stdout")
    assert "both want standard output" in refused(network, *words, status=2)


def test_the_json_of_another_file_is_not_replaced(network: Network, tmp_path: Path) -> None:
    (tmp_path / "x.pcap.json").write_text("mine")
    said = refused(network, "-i", FAR, "-w", tmp_path / "x.pcap", status=1)
    assert "x.pcap.json: exists" in said
    assert (tmp_path / "x.pcap.json").read_text() == "mine"
