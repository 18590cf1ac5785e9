"""What is told of each file beside it and to --events: it adds up to the account."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fastcap
from fastcap import sidecar
from tests.live.network import FAR, Network, captures_in, serials, wait_until

GROWING = ("frames_received", "frames_dropped_ring", "ring_full_episodes", "frames_lost_writer",
           "frames_missed_interface", "bytes_received")  # fmt: skip


def beside(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(Path(sidecar.path_of(str(path))).read_text())
    return record


def events_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_file_has_its_json_and_its_event_and_they_add_up(
    network: Network, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    capture = network.capture(
        tmp_path / "data" / "net1.pcap", "-C", "1M", "-s", "80", "--events", tmp_path / "events",
        "not ether host 02:00:00:00:00:0a",
    )  # fmt: skip
    network.send(40_000)
    ended = capture.end()
    ended.check_account(sent=40_000)
    start, *files, end = events_of(tmp_path / "events")
    assert (start["event"], end["event"]) == ("start", "end")
    assert end["account"] == ended.json["account"]
    assert end["balances"] is True
    assert len(files) == len(ended.paths) > 3
    assert captures_in(tmp_path / "data") == [path.name for path in ended.paths]
    for path, output, event in zip(ended.paths, ended.json["outputs"], files, strict=True):
        record = beside(path)
        assert event == {"event": "file", "time": event["time"], **record}
        assert {name: record[name] for name in output} == output
        assert record["capture"]["interface"] == FAR
        assert record["capture"]["snaplen"] == 80
        assert record["capture"]["filter"] == "not ether host 02:00:00:00:00:0a"
        assert record["capture"]["filter_runs_in"] == "kernel"
        assert set(record["capture"]["offloads"]) >= {"gro", "gso", "tso"}
    moments = [file["meanwhile"] for file in files]
    assert all(one["until"] == two["since"] for one, two in itertools.pairwise(moments))
    for name in GROWING:
        told = sum(moment[name] for moment in moments)
        assert told == files[-1]["account"][name] <= end["account"][name]
    assert sum(file["frames"] for file in files) == ended.frames_written


def test_what_the_ring_drops_is_told_of_the_time_when_it_did(
    network: Network, tmp_path: Path
) -> None:
    """A stop of the process while its ring is full: before the file that is finished next."""
    capture = network.capture(
        tmp_path / "net1.pcap", "-G", "0.2", memory=("--ring", "64k", "--buffer", "8M")
    )
    network.send(10)
    wait_until(lambda: list(tmp_path.glob("*.json")))  # what that tells is told by then
    capture.halt()
    network.send(20_000, 1_000, first=10)
    capture.send_signal(signal.SIGCONT)
    wait_until(lambda: len(captures_in(tmp_path)) > 1)
    ended = capture.end()
    ended.check_account()
    assert ended.frames_dropped_ring > 1_000
    first, *others = (beside(path)["meanwhile"] for path in ended.paths)
    assert first["frames_dropped_ring"] == 0
    assert sum(moment["frames_dropped_ring"] for moment in others) == ended.frames_dropped_ring


def test_the_oldest_files_go_with_their_json(network: Network, tmp_path: Path) -> None:
    capture = network.capture(tmp_path / "net1.pcap", "-C", "256k", "-W", "3", "-s", "80")
    network.send(40_000)
    ended = capture.end()
    names = captures_in(tmp_path)
    assert names == [path.name for path in ended.paths[-3:]]
    assert sorted(os.listdir(tmp_path)) == sorted([*names, *(f"{name}.json" for name in names)])


def test_the_json_saves_reading_files_of_another_time(network: Network, tmp_path: Path) -> None:
    capture = network.capture(tmp_path / "net1.pcap", "-C", "256k")
    network.send(20_000)
    ended = capture.end()
    middle = ended.json["outputs"][len(ended.paths) // 2]
    result = fastcap.filter_files(
        "", [tmp_path], tmp_path / "out", since=middle["first_ns"], until=middle["last_ns"] + 1
    )
    read = [report for report in result.inputs if report.frames_read]
    assert len(read) < len(result.inputs)
    assert result.frames_matched >= middle["frames"]
    from tests import pcaps

    found = serials(pcaps.read((tmp_path / "out").read_bytes()))
    assert set(serials(pcaps.read(Path(middle["path"]).read_bytes()))) <= set(found)


def test_a_name_that_json_cannot_have_does_not_end_the_capture(
    network: Network, tmp_path: Path
) -> None:
    capture = network.capture(tmp_path / "net1.pcap")
    (tmp_path / "net1.pcap.json").mkdir()
    network.send(10)
    ended = capture.end()
    ended.check_account(sent=10)
    assert "net1.pcap.json: Is a directory: it is missing" in ended.err
    assert serials(ended.frames()) == list(range(10))


# ---- Offloads ---------------------------------------------------------------------------------

_SET = """
import array, fcntl, socket, struct, sys
value = array.array("I", [0x2c, 1])  # ETHTOOL_SGRO
request = struct.pack("16sP16x", sys.argv[1].encode(), value.buffer_info()[0])
fcntl.ioctl(socket.socket(), 0x8946, request)
"""


def test_an_interface_that_merges_frames_is_told_and_refused_if_asked(
    network: Network, tmp_path: Path
) -> None:
    quiet = network.capture(tmp_path / "a.pcap", "--strict", "-Q", "in").end()
    assert "ethtool" not in quiet.err
    refused = network.capture(tmp_path / "c.pcap", "--strict", ready=None).end(None)
    assert (refused.status, refused.out) == (1, "")
    assert f"(tso): ethtool -K {FAR} tso off" in refused.err
    if network.run(sys.executable, "-c", _SET, FAR).returncode != 0:
        pytest.skip("this kernel's veth has no GRO")
    told = network.capture(tmp_path / "b.pcap").end()
    line = f"{FAR} merges frames before they are captured (gro): ethtool -K {FAR} gro off"
    assert line in told.err
    assert beside(tmp_path / "b.pcap")["capture"]["offloads"]["gro"] is True
    refused = network.capture(tmp_path / "c.pcap", "--strict", "-Q", "in", ready=None).end(None)
    assert (refused.status, refused.out) == (1, "")
    assert line in refused.err
    assert not (tmp_path / "c.pcap").exists()


_FEW = "from fastcap.cli import capture; capture._MOST_OUTPUTS = 2; from fastcap.cli.app import run"


def test_json_tells_the_newest_files_and_how_many_it_leaves_out(
    network: Network, tmp_path: Path
) -> None:
    words = [f"-i{FAR}", "-w", str(tmp_path / "net1.pcap"), "-C", "64k", "-c", "5000", "--json"]
    capture = network.popen(
        sys.executable, "-c", f"{_FEW}; import sys; sys.exit(run(['capture', *sys.argv[1:]]))",
        *words, "--ring", "64M", "--buffer", "16M", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert capture.stderr is not None
    assert "capturing on" in capture.stderr.readline()
    network.send(5_000)
    told = json.loads(capture.communicate(timeout=30)[0])
    names = captures_in(tmp_path)
    assert [os.path.basename(output["path"]) for output in told["outputs"]] == names[-2:]
    assert told["outputs_left_out"] == len(names) - 2
