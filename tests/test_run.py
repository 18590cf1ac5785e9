"""fastcap run: what was typed, as arguments of its two halves."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastcap.cli.follow")

from fastcap.cli import app, run
from fastcap.pipeline.supervisor import Command


class Fake:
    """In place of the supervisor."""

    last: Fake

    def __init__(self, capture: Command, service: Command, **more: Any) -> None:
        self.capture, self.service, self.more = capture, service, more
        Fake.last = self

    def run(self) -> int:
        return 3


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run, "Supervisor", Fake)
    return tmp_path / "spool"


TO = "--to=web.pcap=tcp port 443"


def halves(*words: object) -> tuple[list[str], list[str]]:
    assert app.run(["run", *map(str, words)]) == 3
    return list(Fake.last.capture.arguments), list(Fake.last.service.arguments)


def test_each_half_gets_what_was_typed_for_it(spool: Path) -> None:
    capture, service = halves(
        "-i", "eth1", "-ps80", "-C", "100", "--spool", spool, "--to", "a.pcap=host 1.2.3.4", TO,
        "--user", os.getuid(), "--mode=644", "-j3", "--keep-free", "5%", "--output-size", "2G",
        "--vlan", "skip", "--", "tcp port -1",
    )  # fmt: skip
    assert capture[:3] == [
        f"--write={spool}/eth1.pcap", "--format=pcap", f"--numbers-of={spool}"
    ]  # fmt: skip
    assert sorted(capture[3:-2]) == sorted([
        "--interface=eth1", "-p", "--snaplen=80", "--rotate-size=100", f"--user={os.getuid()}",
        "--mode=644", "--keep-free=5%", "--vlan=skip",
    ])  # fmt: skip
    assert capture[-2:] == ["--", "tcp port -1"]
    assert service[:3] == ["--finished=name", "--numbered", "--original=delete"]
    assert sorted(service[3:]) == sorted([
        f"--spool={spool}", "--to=a.pcap=host 1.2.3.4", TO, f"--user={os.getuid()}", "--mode=644",
        "--jobs=3", "--output-size=2G", "--vlan=skip",
    ])  # fmt: skip
    assert spool.is_dir()


def test_what_was_not_typed_is_left_to_the_halves_but_for_a_few(spool: Path) -> None:
    capture, service = halves("-i", "lo", "--spool", spool, TO)
    assert capture == [
        f"--write={spool}/lo.pcap", "--format=pcap", f"--numbers-of={spool}",
        "--rotate-size=1G", "--keep-free=1%", "--interface=lo",
    ]  # fmt: skip
    assert service == [
        "--finished=name", "--numbered", "--original=delete", f"--spool={spool}", TO
    ]  # fmt: skip
    told = Fake.last
    assert told.capture.program[-3:] == ["-m", "fastcap", "capture"]
    assert told.service.program[-3:] == ["-m", "fastcap", "follow"]
    assert told.capture.lock == f"{spool}/.lo.pcap.lock"
    assert told.more["grace"] == 30


def test_other_ends_of_files_and_other_fates_of_originals(spool: Path) -> None:
    words = ("-i", "lo", "--spool", spool, TO, "-G", "1.5", "--original", "keep", "--json")
    capture, service = halves(*words, "--wait-interface")
    assert "--rotate-seconds=1.5" in capture
    assert "--wait-interface" in capture
    assert not any("rotate-size" in word for word in capture)
    assert "--original=keep" in service
    assert "--original=delete" not in service
    assert "--json" in service
    assert "--json" not in capture


def test_files_are_not_hidden_whatever_the_interface_is_called(spool: Path) -> None:
    capture, _ = halves("-i", ".x", "--spool", spool, TO)
    assert capture[0] == f"--write={spool}/_.x.pcap"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("", "no interface: -i IFACE"),
        ("-i lo --on-full stop", "--on-full stop"),
        ("-i lo -F -", "-F -"),
        ("-i lo --events - --json", "--events - and --json"),
        ("-i lo -w x.pcap", "No such option"),
        ("-i lo -W 3", "No such option"),
        ("-i lo --format pcapng", "No such option"),
        ("-i lo --finished closed", "No such option"),
        ("-i lo --once", "No such option"),
        ("-i lo --pressure 1", "No such option"),
        ("-i lo --with-parent 1", "No such option"),
        ("-i lo --no-wait-interface", "No such option"),
        ("-i lo -C 0", "no size"),
        ("-i lo --user no-such-user", "no such user"),
        ("-i lo --group no-such-group", "no such group"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_started(
    spool: Path, capsys: pytest.CaptureFixture[str], words: str, line: str
) -> None:
    assert app.run(["run", *words.split(), "--spool", str(spool), TO]) == 2
    assert line in capsys.readouterr().err
    assert not spool.exists()


def test_somebody_has_to_say_what_is_kept(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["run", "-i", "lo", "--spool", str(spool)]) == 2
    assert "--to PATH=EXPR" in capsys.readouterr().err


def test_a_spool_whose_parent_is_missing_is_refused(
    spool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["run", "-i", "lo", "--spool", str(spool / "x" / "y"), TO]) == 1
    assert str(spool) in capsys.readouterr().err


def test_a_spool_that_is_made_belongs_to_who_will_write_there(spool: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give directories to others")
    halves("-i", "lo", "--spool", spool, TO, "--user", "65534", "--group", "4")
    assert (spool.stat().st_uid, spool.stat().st_gid) == (65534, 4)


def test_modules_are_not_looked_for_where_we_did_not_either(
    spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    halves("-i", "lo", "--spool", spool, TO)
    safe = "-P" in Fake.last.capture.program
    monkeypatch.syspath_prepend(str(tmp_path))
    halves("-i", "lo", "--spool", spool, TO)
    assert "-P" not in Fake.last.capture.program
    assert safe == (sys.version_info >= (3, 11))
