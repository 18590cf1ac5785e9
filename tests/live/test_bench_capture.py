"""`fastcap bench capture`: what it says of tools is what they did, and it leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from tests import bench_capture
from tests.bench_capture import BENCH, SHORT, family, groups, liar, run, told
from tests.browser import browser, drawn, embedded
from tests.conftest import needs
from tests.live.network import FAR, NEAR, Network, wait_until

PEERS = ("tcpdump", "dumpcap", "netsniff-ng")


def test_every_tool_gets_the_same_frames_and_what_is_in_its_files_is_counted(
    network: Network, tmp_path: Path
) -> None:
    found = told(network, *SHORT, "--sizes", "64,mix", "--dir", tmp_path)
    tools = ["fastcap", *filter(shutil.which, PEERS)]
    assert [(row["size"], row["tool"]) for row in found["results"]] == [
        (size, tool) for size in ("64", "mix") for tool in tools
    ]
    for row in found["results"]:
        assert row["offered"] == 6_000
        assert (row["written"], row["lost"], row["lost_percent"]) == (6_000, 0, 0)
        assert (row["claimed_lost"], row["lost_unclaimed"], row["duplicates"]) == (0, 0, 0)
        assert row["cpu_ns"] > 0
        assert row["stall_ms"] >= 0
        kept = {"64": 60, "mix": (7 * 60 + 5 * 80) / 12}[row["size"]]
        if row["tool"] != "netsniff-ng":  # which keeps whole frames
            assert row["written_bytes"] == pytest.approx(6_000 * (16 + kept), rel=0.05)
    assert {row["tool"] for row in found["cost"]} == set(tools)
    assert os.listdir(tmp_path) == []


def test_a_tool_that_lies_is_caught(network: Network, tmp_path: Path) -> None:
    words = [*SHORT, "--tools", "fastcap,tcpdump", "--dir", tmp_path]
    environment = liar(tmp_path / "bin")
    found = told(network, *words, env=environment)
    honest, lies = found["results"]
    assert (honest["tool"], honest["lost_unclaimed"]) == ("fastcap", 0)
    assert (lies["offered"], lies["written"], lies["lost"]) == (6_000, 5_940, 60)
    assert (lies["claimed_lost"], lies["lost_unclaimed"]) == (0, 60)
    said = [note for note in found["notes"] if "DOES NOT TELL THE TRUTH" in note]
    assert len(said) == 1
    assert said[0].startswith("tcpdump")
    assert "60 of 6,000 frames" in said[0]
    assert "DOES NOT TELL THE TRUTH" in run(network, *words, env=environment)


def test_a_quota_is_all_that_a_tool_gets(network: Network, tmp_path: Path) -> None:
    words = [*SHORT, "--quotas", "none,5%", "--tools", "fastcap", "--dir", tmp_path]
    found = told(network, *words)
    if found["left_out"]:
        pytest.skip(found["left_out"][0])
    assert [row["quota_percent"] for row in found["results"]] == [None, 5]
    assert all(row["lost"] == 0 for row in found["results"])
    # as many as go: with 1 % of a processor and a ring of 16 MiB nothing keeps up with that
    words = [*SHORT, "--rates", "max", "--frames", "600000", "--quotas", "1%", "--dir", tmp_path]
    (starved,) = told(network, *words, "--tools", "fastcap")["results"]
    assert starved["lost"] > 0
    assert starved["lost_unclaimed"] == 0
    assert groups() == []


def test_frames_and_disk_are_limits(network: Network, tmp_path: Path) -> None:
    words = [*SHORT, "--tools", "fastcap", "--dir", tmp_path]
    (few,) = told(network, *words, "--rates", "max", "--frames", "777")["results"]
    assert few["offered"] == 777
    assert few["rate_asked"] is None
    (small,) = told(network, *words, "--rates", "max", "--frames", "99999",
                    "--size", "1M")["results"]  # fmt: skip
    assert small["offered"] == (1 << 20) // 76
    assert small["written_bytes"] <= (1 << 20) + 24


def test_two_ports_are_used_as_they_are(network: Network, tmp_path: Path) -> None:
    before = [network.link(name) for name in (NEAR, FAR)]
    done = network.run(
        *BENCH, *SHORT, "--tools", "fastcap", "--tx", NEAR, "--rx", FAR, "--dir", tmp_path,
        "--json", timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"sends at {NEAR} and captures at {FAR}" in done.stderr
    assert '"own_network": false' in done.stdout
    assert '"offered": 6000' in done.stdout
    assert '"written": 6000' in done.stdout
    assert [network.link(name) for name in (NEAR, FAR)] == before


@pytest.mark.parametrize("before", ["off", "on"])
def test_a_port_is_no_more_promiscuous_behind_it(
    network: Network, tmp_path: Path, before: str
) -> None:
    """netsniff-ng sets that for good unless it ends by itself."""
    needs("netsniff-ng")
    network.ip("link", "set", FAR, "promisc", before)
    bench = network.popen(
        *BENCH, *SHORT, "--rounds", "100", "--tools", "netsniff-ng", "--tx", NEAR, "--rx", FAR,
        "--dir", tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(lambda: list(tmp_path.glob(".fastcap-bench-*/out/*")) or bench.poll() is not None)
    assert "PROMISC" in network.link(FAR)["flags"]
    bench.send_signal(signal.SIGINT)
    assert bench.wait(60) == 130
    assert ("PROMISC" in network.link(FAR)["flags"]) == (before == "on")


def test_a_port_whose_mtu_is_too_small_is_named(network: Network, tmp_path: Path) -> None:
    network.ip("link", "set", FAR, "mtu", "500")
    said = run(
        network, *SHORT, "--sizes", "1518", "--tools", "fastcap", "--tx", NEAR, "--rx", FAR,
        "--dir", tmp_path, status=1,
    )  # fmt: skip
    assert f"{FAR}: its MTU is 500, and frames of 1518 bytes need 1500" in said


def test_ports_without_a_cable_between_them_are_told(network: Network, tmp_path: Path) -> None:
    network.ip("link", "add", "w0", "type", "veth", "peer", "name", "w1")
    for name in ("w0", "w1"):
        network.ip("link", "set", name, "up")
    said = run(
        network, *SHORT, "--tools", "fastcap", "--tx", NEAR, "--rx", "w0", "--dir", tmp_path,
        status=1,
    )  # fmt: skip
    assert f"nothing that {NEAR} sent is in the files: is it connected to w0?" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--tx", NEAR), "name both ports"),
        (("--tx", NEAR, "--rx", NEAR), "cannot be both"),
        (("--tx", NEAR, "--rx", "nowhere"), "nowhere: no such interface"),
        (("--sizes", "63"), "expected bytes on the wire"),
        (("--rates", "0"), "expected frames a second"),
        (("--quotas", "0.5%"), "expected percent of one processor"),
        (("--snaplen", "40"), "expected 60 bytes or more"),
        (("--tools", "wireshark"), "expected one of fastcap"),
        (("--ring", "1M"), "--ring is at least"),
        (("--dir", "/nowhere"), "/nowhere: No such file or directory"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_sent(
    words: tuple[str, ...], said: str, network: Network
) -> None:
    before = network.link(NEAR)
    done = network.run(*BENCH, *words)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "sends at" not in done.stderr
    assert network.link(NEAR) == before


def test_a_second_bench_is_refused_while_one_measures(network: Network, tmp_path: Path) -> None:
    first = _begin(network, tmp_path)
    assert "another fastcap bench is measuring" in run(network, *SHORT, status=2)
    first.send_signal(signal.SIGINT)
    assert first.wait(30) == 130


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_leaves_no_process_group_interface_or_file(
    number: int, status: int, network: Network, tmp_path: Path
) -> None:
    bench = _begin(network, tmp_path, "--quotas", "none,5%")
    processes = list(family(bench.pid))
    assert len(processes) >= 2  # whoever sends, and a tool
    bench.send_signal(number)
    assert bench.wait(30) == status
    assert not any(Path(f"/proc/{process}").exists() for process in processes)
    assert os.listdir(tmp_path) == []
    assert groups() == []
    assert [name for name in ("fcbench", "fcload") if name in network.ip("link")] == []


def test_ctrl_c_at_any_moment_leaves_nothing(network: Network, tmp_path: Path, rng: Any) -> None:
    for _ in range(4):
        bench = network.popen(
            *BENCH, *SHORT, "--quotas", "5%,none", "--dir", tmp_path,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        wait_until(lambda bench=bench: _caught(bench.pid))  # type: ignore[misc]
        time.sleep(rng.random() * 6)
        processes = list(family(bench.pid))
        bench.send_signal(signal.SIGINT)
        bench.send_signal(signal.SIGINT)  # as sudo and timeout do, and people who wait
        assert bench.wait(30) in (0, 130)
        assert bench.stderr is not None
        assert "Traceback" not in bench.stderr.read()
        assert not any(Path(f"/proc/{process}").exists() for process in processes)
        assert os.listdir(tmp_path) == []
        assert groups() == []


def test_a_bench_that_is_killed_takes_all_with_it_but_files_which_the_next_one_names(
    network: Network, tmp_path: Path
) -> None:
    bench = _begin(network, tmp_path)
    processes = list(family(bench.pid))
    bench.kill()
    bench.wait()
    for process in processes:
        wait_until(lambda process=process: not _is_alive(process))  # type: ignore[misc]
    (left,) = os.listdir(tmp_path)
    found = told(network, *SHORT, "--tools", "fastcap", "--dir", tmp_path)
    assert any(left in what and "remove it" in what for what in found["left_out"])


def test_a_peer_that_fails_is_left_out_and_named(network: Network, tmp_path: Path) -> None:
    broken = tmp_path / "bin"
    broken.mkdir()
    (broken / "dumpcap").write_text("#!/bin/sh\necho dumpcap: broken glass >&2\nexit 1\n")
    (broken / "dumpcap").chmod(0o755)
    environment = {**os.environ, "PATH": f"{broken}:{os.environ['PATH']}"}
    found = told(network, *SHORT, "--tools", "dumpcap,fastcap", "--dir", tmp_path, env=environment)
    assert [row["tool"] for row in found["results"]] == ["fastcap"]
    assert found["left_out"] == ["dumpcap: dumpcap: broken glass"]


def test_a_limit_is_searched_three_times(network: Network, tmp_path: Path) -> None:
    found = told(
        network, *SHORT, "--tools", "fastcap", "--find-limit", "rate", "--frames", "2000",
        "--dir", tmp_path,
    )  # fmt: skip
    (limit,) = found["limits"]
    assert limit["tool"] == "fastcap"
    assert limit["searches"] == 3
    assert limit["frames_per_second"] > 1_000
    assert limit["frames_per_second_least"] <= limit["frames_per_second"]
    assert limit["frames_per_second"] <= limit["frames_per_second_most"]


@pytest.mark.usefixtures("only_bench")
def test_an_ordinary_user_measures_and_is_told_what_was_left_out() -> None:
    nobody = bench_capture.as_nobody()
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are private
        os.chmod(folder, 0o777)
        done = _bench_of(nobody, folder)
        assert os.listdir(folder) == []
    assert done.returncode == 0, done.stderr
    assert "fastcap" in done.stdout
    assert "left out: quotas of 5%: no quota" in done.stdout


def _bench_of(nobody: bench_capture.Nobody, folder: str) -> subprocess.CompletedProcess[str]:
    words = [*SHORT, "--quotas", "none,5%", "--tools", "fastcap", "--dir", folder]
    return subprocess.run(
        [*nobody.command, "-m", "fastcap", "bench", "capture", *words],
        env=nobody.environment, cwd="/", capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def _begin(network: Network, folder: Path, *words: object) -> subprocess.Popen[str]:
    """A bench that goes on for long, whose first tool captures."""
    bench = network.popen(
        *BENCH, *SHORT, "--rounds", "100", "--dir", folder, *words,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(lambda: list(folder.glob(".fastcap-bench-*/out/*")) or bench.poll() is not None)
    assert bench.poll() is None
    return bench


def _caught(pid: int) -> bool:
    """Whether it heeds SIGINT by now as benches do: before that Python ends it, and nothing is
    there that could be left."""
    return bool(list(family(pid)))


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_what_is_asked_of_the_tools_is_what_is_told(network: Network, tmp_path: Path) -> None:
    needs("tcpdump")
    found = told(network, *SHORT, "--tools", "fastcap,tcpdump", "--dir", tmp_path)
    assert found["commands"]["tcpdump"].startswith("tcpdump -n -i fcbench -s 80 -B 16384")
    assert "--ring 16M" in found["commands"]["fastcap"]
    assert all(command in " ".join(found["notes"]) for command in found["commands"].values())


def test_the_page_of_a_run_draws_what_its_json_says(network: Network, tmp_path: Path) -> None:
    programs = needs("chromium"), needs("chromedriver")
    needs("tcpdump")
    path = tmp_path / "page.html"
    found = told(
        network, *SHORT, "--rates", "10k,20k", "--tools", "fastcap,tcpdump", "--dir", tmp_path,
        "--html", path,
    )  # fmt: skip
    (tmp_path / "profile").mkdir()
    with browser(*programs, tmp_path / "profile", width=1280, height=900) as opened:
        opened.open(path.as_uri())
        assert opened.messages() == []
        assert embedded(opened) == found
        loss, (costs,), waiting = drawn(opened)
    rows = found["results"]
    for line in loss:
        lost = {row["offered_per_second"]: row["lost_percent"] for row in rows
                if row["tool"] == line["name"]}  # fmt: skip
        assert {round(x): y for x, y in zip(line["x"], line["y"], strict=True)} == lost
        assert len(lost) == 2
    assert costs["x"] == [row["cpu_ns"] for row in found["cost"]]
    lines = [line for line in waiting if None not in line["x"]]  # the others are stalls
    assert [line["name"] for line in lines] == ["fastcap", "tcpdump"]
    assert [line["y"][-1] for line in lines] == [0, 0]  # nothing waits in the end
    assert all(max(line["y"]) > 0 for line in lines)
