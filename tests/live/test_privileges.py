"""A capture gives up every right but the one to capture, before it makes a file."""

from __future__ import annotations

import grp
import json
import os
import pwd
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.network import FAR, Capture, Network, captures_in, read, serials
from tests.live.test_interface import plug_in

NET_RAW = 1 << 13
OTHER = "nobody"


def status_of(capture: Capture) -> dict[str, str]:
    lines = Path(f"/proc/{capture.process.pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def mode_of(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that anybody can reach, and that is root's."""
    if os.geteuid() != 0:
        pytest.skip("only root can give directories and processes to others")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def test_nothing_is_left_but_the_right_to_capture(network: Network, tmp_path: Path) -> None:
    capture = network.capture(tmp_path / "x.pcap", "-C", "64k")
    threads = os.listdir(f"/proc/{capture.process.pid}/task")
    assert len(threads) > 2
    for thread in threads:
        lines = Path(f"/proc/{capture.process.pid}/task/{thread}/status").read_text().splitlines()
        told = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
        for name in ("CapPrm", "CapEff", "CapBnd"):
            assert int(told[name], 16) == NET_RAW, name
        assert (int(told["CapInh"], 16), int(told["CapAmb"], 16)) == (0, 0)
        assert told["NoNewPrivs"] == "1"
    network.send(2_000)
    ended = capture.end()
    ended.check_account(sent=2_000)
    for path in ended.paths:
        assert mode_of(path) == mode_of(Path(f"{path}.json")) == "0o640"


_DROP = """
from fastcap.privileges import drop
drop({user!r}, keep_raw=False)
print(open("/proc/self/status").read())
"""


@pytest.mark.parametrize("user", [None, OTHER])
def test_who_does_not_capture_keeps_nothing(folder: Path, user: str | None) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _DROP.format(user=user)], capture_output=True, text=True, check=True
    )
    lines = (line.partition(":") for line in done.stdout.splitlines())
    told = {name: value.strip() for name, _, value in lines}
    for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"):
        assert int(told[name], 16) == 0, name
    assert told["NoNewPrivs"] == "1"
    uid = os.geteuid() if user is None else pwd.getpwnam(user).pw_uid
    assert told["Uid"].split() == [str(uid)] * 4


def test_it_captures_as_the_user_that_was_named_also_an_interface_that_comes_back(
    network: Network, folder: Path
) -> None:
    account = pwd.getpwnam(OTHER)
    os.chown(folder, account.pw_uid, account.pw_gid)
    (folder / "events").touch()
    os.chown(folder / "events", account.pw_uid, account.pw_gid)
    capture = network.capture(
        folder / "x.pcap", "-C", "64k", "--user", OTHER, "--events", folder / "events"
    )
    told = status_of(capture)
    assert told["Uid"].split() == [str(account.pw_uid)] * 4
    assert told["Gid"].split() == [str(account.pw_gid)] * 4
    assert int(told["CapEff"], 16) == int(told["CapPrm"], 16) == NET_RAW
    network.send(2_000)
    network.ip("link", "del", FAR)
    plug_in(network)
    capture.wait_for("captured again")
    network.send(2_000, first=2_000)
    ended = capture.end()
    ended.check_account(sent=4_000)
    assert serials(ended.frames()) == list(range(4_000))
    for path in ended.paths:
        assert path.stat().st_uid == account.pw_uid
    assert len((folder / "events").read_text().splitlines()) >= 2 + len(ended.paths)


def test_events_go_to_a_standard_output_that_the_user_may_not_open(
    network: Network, folder: Path, tmp_path: Path
) -> None:
    os.chown(folder, pwd.getpwnam(OTHER).pw_uid, -1)
    with (tmp_path / "out").open("wb") as out:  # root's alone
        os.fchmod(out.fileno(), 0o600)
        capture = network.capture(
            folder / "x.pcap", "--user", OTHER, "--events", "-", as_json=False, stdout=out
        )
        network.send(10)
        capture.process.send_signal(2)
        assert capture.end_of_stream()[0] == 0
    lines = (tmp_path / "out").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["start", "file", "end"]


def test_a_directory_that_the_user_may_not_write_is_refused_with_the_command(
    network: Network, folder: Path
) -> None:
    said = network.capture(folder / "x.pcap", "--user", OTHER, ready=None).end(None)
    assert said.status == 1
    assert f"{folder}: {OTHER} may not create, rename and delete files there" in said.err
    assert f": chown {OTHER} {folder}\n" in said.err
    assert os.listdir(folder) == []


def test_root_may_not_write_everywhere_either_and_says_how(network: Network, folder: Path) -> None:
    os.chown(folder, pwd.getpwnam(OTHER).pw_uid, -1)
    said = network.capture(folder / "x.pcap", "-C", "1M", ready=None).end(None)
    assert said.status == 1
    assert "root, which keeps CAP_NET_RAW alone, may not" in said.err
    assert f"chown root {folder}, or capture as its owner: --user {OTHER}" in said.err
    assert os.listdir(folder) == []


def test_a_directory_where_files_can_be_made_and_not_renamed_is_refused(
    network: Network, folder: Path
) -> None:
    """A sticky one with another's file of the probe's name: only trying shows it."""
    folder.chmod(0o1777)
    (folder / ".x.pcap.probe").touch()
    said = network.capture(folder / "x.pcap", "--user", OTHER, ready=None).end(None)
    assert said.status == 1
    assert "may not create, rename and delete files there" in said.err


def test_files_have_the_group_and_the_mode_that_were_asked_for(
    network: Network, folder: Path
) -> None:
    os.chown(folder, pwd.getpwnam(OTHER).pw_uid, -1)
    group = grp.getgrnam("adm")
    capture = network.capture(
        folder / "x.pcap", "-C", "64k", "--user", OTHER, "--group", "adm", "--mode", "0664",
        "--events", folder / "events", before=("sh", "-c", 'umask 077; exec "$@"', "sh"),
    )  # fmt: skip
    network.send(2_000)
    ended = capture.end()
    ended.check_account(sent=2_000)
    for path in (*ended.paths, *(Path(f"{path}.json") for path in ended.paths), folder / "events"):
        assert mode_of(path) == "0o664"
        assert path.stat().st_gid == group.gr_gid
    assert len(captures_in(folder)) == len(ended.paths) + 1
    assert len(read(ended.paths[0])) > 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--user no-such-user", "--user no-such-user: no such user"),
        ("--group no-such-group", "--group no-such-group: no such group"),
        ("--group 99999999999", "--group 99999999999: no such group"),
        ("--mode 999", "is no mode of a file"),
        ("--mode 040", "keeps the files' owner from them"),
    ],
)
def test_what_is_not_there_is_refused(
    network: Network, tmp_path: Path, words: str, line: str
) -> None:
    said = network.capture(tmp_path / "x.pcap", *words.split(), ready=None).end(None)
    assert said.status == 2
    assert line in said.err
    assert os.listdir(tmp_path) == []


def test_who_is_not_root_cannot_become_another(network: Network, folder: Path) -> None:
    os.chown(folder, pwd.getpwnam(OTHER).pw_uid, -1)
    without = ("setpriv", "--bounding-set", "-setuid,-setgid")  # as good as another user
    said = network.capture(
        folder / "x.pcap", "--user", OTHER, ready=None, before=without
    ).end(None)  # fmt: skip
    assert said.status == 2
    assert f"--user {OTHER}: only root may do that" in said.err


def test_a_lock_of_another_user_is_named(network: Network, folder: Path) -> None:
    os.chown(folder, pwd.getpwnam(OTHER).pw_uid, -1)
    (folder / ".x.pcap.lock").touch()
    said = network.capture(folder / "x.pcap", "--user", OTHER, ready=None).end(None)
    assert said.status == 1
    assert f"{folder}/.x.pcap.lock: left by another user's capture: remove it" in said.err


def test_a_fifo_that_the_user_may_not_write_is_refused_before_the_first_frame(
    network: Network, folder: Path
) -> None:
    os.mkfifo(folder / "fifo", 0o600)
    said = network.capture(folder / "fifo", "--user", OTHER, as_json=False, ready=None)
    status, err = said.end_of_stream()
    assert status == 1
    assert "Permission denied" in err
    assert "capturing" not in err


def test_files_that_cannot_be_deleted_do_not_keep_others(network: Network, folder: Path) -> None:
    """In a sticky directory these are root's, older, and in the way of -W."""
    folder.chmod(0o1777)
    for number in (1, 2):
        (folder / f"x_0000000{number}_20261121T120000Z.pcap").touch()
    capture = network.capture(folder / "x.pcap", "-C", "64k", "-W", "2", "--user", OTHER)
    network.send(10_000)
    ended = capture.end()
    ended.check_account(sent=10_000)
    assert len(ended.paths) > 5
    names = captures_in(folder)
    assert [name[:10] for name in names[:2]] == ["x_00000001", "x_00000002"]
    assert names[2:] == [path.name for path in ended.paths[-2:]]
    assert ended.err.count("cannot delete") == 2
