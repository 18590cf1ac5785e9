"""`fastcap bench filter`: counts before times, beside tcpdump, and nothing left anywhere."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import pcaps
from tests.benching import assert_shows, bench, ctrl_c_leaves_nothing, tables_of, told
from tests.conftest import needs
from tests.pcaps import Frame

pytestmark = pytest.mark.usefixtures("only_bench")

SMALL = ["--size", "2M", "--runs", "1"]


@pytest.fixture
def source(tmp_path: Path) -> str:
    """500 frames from 10.0.0.1, and 3 from 10.0.0.2."""
    folder = tmp_path / "captures"
    folder.mkdir()
    frames = []
    for number in range(503):
        sender = "10.0.0.2" if number in (3, 250, 501) else "10.0.0.1"
        packet = pcaps.ipv4(pcaps.udp(1, 2, bytes(20)), 17, sender, "192.168.1.7")
        frame = pcaps.ethernet(packet, 0x0800)
        frames.append(Frame(10**18 + number * 10**6, len(frame), frame))
    return pcaps.write(folder / "in.pcap", pcaps.capture(frames))


def path_with(folder: Path, script: str = "") -> dict[str, str]:
    """An environment whose tcpdump is this shell script, or in which there is none."""
    folder.mkdir()
    if script:
        tool = folder / "tcpdump"
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    return {**os.environ, "PATH": str(folder)}


def tools(found: dict[str, list[dict[str, object]]]) -> list[object]:
    return [row["tool"] for row in found["tools"]]


def test_tcpdump_and_fastcap_count_the_same_and_both_are_timed(source: str) -> None:
    needs("tcpdump")
    found = told("filter", source, "--filter", "host 10.0.0.1", "--runs", 2)
    assert found["input"]["frames"] == 503
    assert found["input"]["frames_matched"] == 500
    assert found["input"]["input_bytes"] == os.path.getsize(source)
    assert tools(found) == ["fastcap", "tcpdump"]
    assert "fastcap and tcpdump count the same: 500 frames" in found["notes"]
    for row in found["tools"]:
        assert row["min_seconds"] <= row["median_seconds"] <= row["max_seconds"]
    assert any("page cache is warm" in note for note in found["notes"])
    assert "tcpdump" in found["versions"]


def test_by_default_a_host_that_occurs_is_looked_for(source: str) -> None:
    found = told("filter", source, "--runs", 1)
    assert found["input"]["filter"] == "host 10.0.0.2"
    assert found["input"]["frames_matched"] == 3


def test_a_host_of_ipv6_will_do_and_without_any_a_filter_is_asked_for(tmp_path: Path) -> None:
    packet = pcaps.ipv6(b"", 59, 0x20010DB8 << 96 | 1, 2)
    frame = pcaps.ethernet(packet, 0x86DD)
    six = pcaps.write(tmp_path / "6.pcap", pcaps.capture([Frame(1, len(frame), frame)]))
    assert told("filter", six, "--runs", 1)["input"]["filter"] == "host 2001:db8::1"
    arp = pcaps.ethernet(bytes(28), 0x0806)
    none = pcaps.write(tmp_path / "arp.pcap", pcaps.capture([Frame(1, len(arp), arp)]))
    assert "--filter EXPR, please" in bench("filter", none, status=1).stderr
    empty = pcaps.write(tmp_path / "empty.pcap", pcaps.capture([]))
    assert "--filter EXPR, please" in bench("filter", empty, status=1).stderr


def test_a_tcpdump_that_counts_otherwise_is_told_and_nothing_is_timed(
    source: str, tmp_path: Path
) -> None:
    environment = path_with(tmp_path / "bin", "echo '499 packets'")
    words = ["filter", source, "--filter", "host 10.0.0.1"]
    done = bench(*words, env=environment, status=1)
    assert "DISAGREE: fastcap takes 500 frames, tcpdump 499" in done.stderr
    assert bench(*words, "--json", env=environment, status=1).stdout == ""
    honest = path_with(tmp_path / "honest", "echo '500 packets'")
    assert tools(told(*words, "--runs", 1, env=honest)) == ["fastcap", "tcpdump"]


def test_without_tcpdump_fastcap_is_measured_alone(source: str, tmp_path: Path) -> None:
    found = told("filter", source, "--runs", 1, env=path_with(tmp_path / "bin"))
    assert tools(found) == ["fastcap"]
    assert "tcpdump is not installed: nothing to compare with" in found["notes"]


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo 'tcpdump: no such option' >&2; exit 1", "no such option"),
        ("case $* in *-V*) echo broken >&2; exit 1;; esac", "tcpdump failed, and is left out"),
        ("true", "printed no number"),
    ],
)
def test_a_tcpdump_that_cannot_count_is_left_out_with_the_reason(
    source: str, tmp_path: Path, script: str, says: str
) -> None:
    found = told("filter", source, "--runs", 1, env=path_with(tmp_path / "bin", script))
    assert tools(found) == ["fastcap"]
    assert any(says in note for note in found["notes"])


def test_a_filter_that_tcpdump_cannot_express_is_said_to_be_one(source: str) -> None:
    needs("tcpdump")
    blob = "Blob(FrameData, 26, 4) == 10.0.0.2"
    found = told("filter", source, "--filter", blob, "--runs", 1)
    assert found["input"]["frames_matched"] == 3
    assert tools(found) == ["fastcap"]
    assert any("tcpdump cannot express the filter" in note for note in found["notes"])


def test_directories_and_many_files_count_together(source: str) -> None:
    folder = Path(source).parent
    shutil.copy(source, folder / "second file.pcap")
    found = told("filter", folder, "--filter", "host 10.0.0.2", "--runs", 1)
    assert found["input"]["files"] == 2
    assert found["input"]["frames_matched"] == 6
    if shutil.which("tcpdump"):
        assert tools(found) == ["fastcap", "tcpdump"]


def test_nothing_is_written_beside_the_files_and_what_was_made_up_is_gone(
    source: str, tmp_path: Path
) -> None:
    folder, temporary = Path(source).parent, tmp_path / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    before = os.stat(source)
    bench("filter", source, "--runs", 1, env=environment, cwd=folder)
    bench("filter", *SMALL, env=environment, cwd=folder)
    assert os.listdir(folder) == ["in.pcap"]
    assert os.stat(source).st_mtime_ns == before.st_mtime_ns
    assert os.listdir(temporary) == []


def test_ctrl_c_at_any_moment_leaves_nothing(tmp_path: Path, rng: random.Random) -> None:
    ctrl_c_leaves_nothing(tmp_path, rng, "filter", "--size", "64M", "--runs", 1000)


def test_a_tool_that_takes_too_long_is_ended_and_named(source: str, tmp_path: Path) -> None:
    slow = tmp_path / "tcpdump"
    slow.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 600\n")
    slow.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = bench("filter", source, "--time-limit", 1, env=environment, status=1)
    assert "tcpdump takes more than 1 s" in done.stderr
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_made_up_frames_are_as_many_as_fit_and_tcpdump_finds_as_many_of_them() -> None:
    found = told("filter", *SMALL, "--snaplen", 100)
    assert found["input"]["frames"] == (2 * 2**20 - 24) // 116
    assert 0.005 < found["input"]["frames_matched"] / found["input"]["frames"] < 0.015
    if shutil.which("tcpdump"):
        assert tools(found) == ["fastcap", "tcpdump"]


def test_the_table_shows_what_json_says_and_markdown_has_both_tables(
    source: str, tmp_path: Path
) -> None:
    text = bench("filter", source, "--runs", 1).stdout
    assert_shows(text, told("filter", source, "--runs", 1)["input"])
    inputs, times = tables_of(bench("filter", source, "--runs", 1, "--markdown").stdout)
    assert ["filter", "host 10.0.0.2"] in inputs
    assert times[0][:2] == ["tool", "median"]
    assert times[1][0] == "fastcap"


def test_a_damaged_file_is_used_up_to_the_damage_and_exit_status_is_3(
    source: str, tmp_path: Path
) -> None:
    damaged = pcaps.write(tmp_path / "cut.pcap", Path(source).read_bytes()[:-1])
    found = told("filter", damaged, "--filter", "udp", "--runs", 1, status=3)
    assert found["input"]["frames"] == 502
    assert tools(found) == ["fastcap"]


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["nope.pcap"], 1, "nope.pcap: No such file"),
        (["-"], 2, "standard input comes once"),
        (["IN", "--size", "1M"], 2, "--size and --snaplen are of made-up frames"),
        (["IN", "--filter", "host"], 2, "syntax error"),
        (["IN", "--runs", "0"], 2, "--runs"),
        (["--snaplen", "10"], 2, "--snaplen"),
        (["--size", "900T"], 1, "too few for"),
        (["--size", "5"], 2, "is no size"),
    ],
)
def test_wrong_arguments_are_refused(source: str, words: list[str], status: int, says: str) -> None:
    given = [source if word == "IN" else word for word in words]
    assert says in bench("filter", *given, status=status).stderr


def test_a_module_of_ours_in_the_working_directory_is_not_run(source: str, tmp_path: Path) -> None:
    """Where fastcap was not started by `python -m`, nobody's directory is searched for it."""
    script = Path(sys.executable).parent / "fastcap"
    if not script.exists() or not hasattr(sys.flags, "safe_path"):
        pytest.skip("needs the installed command, and Python 3.11")
    here = tmp_path / "here"
    (here / "fastcap").mkdir(parents=True)
    (here / "fastcap" / "__init__.py").write_text("raise SystemExit(77)")
    done = subprocess.run(
        [script, "bench", "filter", source, "--runs", "1"],
        cwd=here, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_frames_of_many_kinds_count_the_same(tmp_path: Path, rng: random.Random) -> None:
    needs("tcpdump")
    path = pcaps.write(tmp_path / "many.pcap", pcaps.capture(pcaps.some_frames(rng, 2000)))
    for expression in ("tcp port 443", "vlan", "ip6", "udp and greater 100"):
        found = told("filter", path, "--filter", expression, "--runs", 1)
        assert tools(found) == ["fastcap", "tcpdump"]


def test_help_has_examples() -> None:
    assert "fastcap bench filter --filter" in bench("--help").stdout
    assert "fastcap bench filter net1_*.pcap" in bench("filter", "--help").stdout
