"""`fastcap follow`: each matching frame of a spool is in the outputs once, whatever happens."""

from __future__ import annotations

import csv
import ctypes
import json
import mmap
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fastcap._native.program import CODE_ABI
from fastcap.pressure import Gauge, Load, Pressure
from tests import pcaps
from tests.engines import needs_jit
from tests.live.disks import small
from tests.pipeline.service import Service, is_there, once, wait_until
from tests.pipeline.spool import (
    OUTPUTS,
    SUSPECT,
    WEB,
    Output,
    Spool,
    check,
    check_in_the_middle,
    follow,
    outputs,
    serial,
)
from tests.pipeline.spool import frame as frame_of

SECOND = 1.0


@pytest.fixture
def spool(tmp_path: Path, rng: random.Random) -> Spool:
    return Spool(tmp_path / "spool", rng)


@pytest.fixture
def kept(tmp_path: Path) -> list[Output]:
    return outputs(tmp_path / "kept")


def status(spool: Spool, *words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "fastcap", "status", "--spool", spool.folder, "--json", *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    told: dict[str, Any] = json.loads(done.stdout)
    return told


# ---- What it does when all is well --------------------------------------------------------------


def test_outputs_hold_what_their_filters_take_and_originals_are_deleted(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    spool.fill(12, 60)
    told, _ = once(follow(spool, kept), tmp_path)
    check(spool, kept)
    assert spool.visible() == []
    assert told["originals"] == 12
    assert told["frames"] == spool.frames
    assert [output["frames"] for output in told["outputs"]] == [
        len(output.frames()) for output in kept
    ]
    for output in kept:  # a part is no longer than it may be
        assert all(part.path.stat().st_size <= 12 << 10 for part in output.parts())
        assert len(output.parts()) > 1


@pytest.mark.parametrize("engine", [pytest.param("jit", marks=needs_jit), "interpreter"])
def test_whoever_filters_the_outputs_are_the_same_and_it_is_told(
    spool: Spool, kept: list[Output], tmp_path: Path, engine: str
) -> None:
    spool.fill(3, 60)
    told, said = once(follow(spool, kept, "--engine", engine, "-v"), tmp_path)
    check(spool, kept)
    assert told["engine"]["name"] == engine
    assert said.count(f"fastcap: engine {engine}") == 1


BROKEN = """
ABI = {abi}
class Unavailable(Exception): pass
class Defect(Unavailable): pass
def MachineCode(programs, judge):
    raise Defect("a defect in the translation: on purpose")
"""


def test_a_defect_of_machine_code_is_told_once_and_costs_nothing(
    spool: Spool, kept: list[Output], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "fastcap_jit.py").write_text(BROKEN.format(abi=CODE_ABI))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.delenv("FASTCAP_ENGINE", raising=False)
    spool.fill(4, 60)
    told, err = once(follow(spool, kept), tmp_path)
    check(spool, kept)
    assert told["engine"]["name"] == "interpreter"
    assert err.count("machine code: a defect in the translation: on purpose") == 1


def test_files_that_come_while_it_runs_are_filtered_at_once(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    with Service(follow(spool, kept), tmp_path) as service:
        for _ in range(5):
            spool.publish(50)
            wait_until(lambda: spool.left() == set())
        service.end()
    check(spool, kept)


def test_originals_that_are_kept_are_filtered_once(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    spool.fill(4, 50)
    words = follow(spool, kept, original="keep")
    once(words, tmp_path)
    check(spool, kept)
    spool.publish(40)
    told, _ = once(words, tmp_path)
    assert told["originals"] == 1
    check(spool, kept)
    assert len(spool.left()) == 5


def test_originals_are_moved_with_their_json(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    spool.fill(6, 50)
    before = {path.name: path.read_bytes() for path in spool.folder.iterdir() if path.is_file()}
    done = tmp_path / "done"
    done.mkdir()
    (done / spool.originals[0].name).write_text("not ours")
    words = follow(spool, kept)
    at = words.index("delete")
    once([*words[:at], "move", str(done), *words[at + 1 :]], tmp_path)
    check(spool, kept)
    assert spool.visible() == []
    after = {path.name: path.read_bytes() for path in done.iterdir()}
    first = spool.originals[0].name
    assert after.pop(first) == b"not ours"
    after = {name.replace(".pcap.2", ".pcap"): data for name, data in after.items()}
    assert after == before


def test_what_is_thrown_away_is_summed_up(spool: Spool, kept: list[Output], tmp_path: Path) -> None:
    spool.fill(8, 200)
    words = [*follow(spool, kept), "--summary", str(tmp_path / "rest.csv")]
    told, _ = once(words, tmp_path)
    rows = []
    for path in sorted(tmp_path.glob("rest_*.csv")):
        with path.open() as file:
            rows += list(csv.DictReader(file))
    thrown = [
        frame
        for original in spool.originals
        for frame in original.frames
        if not any(wanted.takes(frame) for wanted in OUTPUTS)
    ]
    assert sum(int(row["frames"]) for row in rows) == len(thrown)
    assert sum(int(row["bytes"]) for row in rows) == sum(frame.wire for frame in thrown)
    assert told["matched"] + len(thrown) == told["frames"]
    assert len({row["time"] for row in rows}) == len({frame.time // 10**9 for frame in thrown})


def test_an_output_may_get_frames_of_files_that_differ_in_kind(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    """Another precision, byte order or snaplen: a part that cannot hold a frame ends."""
    frames = [pcaps.Frame(spool_time, 60, bytes(60)) for spool_time in (10**18, 10**18 + 1_000)]
    kinds = [
        pcaps.capture(frames),
        pcaps.capture(frames, nanoseconds=True),
        pcaps.capture(frames, order=">"),
        pcaps.capture(frames, snaplen=300_000),
        pcaps.capture([frame._replace(data=bytes(40)) for frame in frames], link_word=101),
    ]
    for number, data in enumerate(kinds):
        (spool.folder / f"x{number}.pcap").write_bytes(data)
    words = [*follow(spool, []), "--to", f"{tmp_path}/kept/all.pcap=less 1000000"]
    once(words, tmp_path)
    parts = sorted((tmp_path / "kept").glob("all_*.pcap"))
    found = [pcaps.read(part.read_bytes()) for part in parts]
    assert [len(part) for part in found] == [2, 4, 2, 2]
    assert all(frame.time in (10**18, 10**18 + 1_000) for part in found for frame in part)


# ---- Files that are not what they should be -----------------------------------------------------


def test_a_file_that_cannot_be_read_is_passed_over_and_holds_nobody_up(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    spool.fill(2, 50)
    bad = spool.folder / "net1_00000003_20261121T022817Z.pcap"
    bad.write_bytes(b"no capture at all, though it is named like one")
    spool.originals.append(spool.originals[0]._replace(name=bad.name, frames=[]))
    spool.publish(50)
    told, err = once(follow(spool, kept), tmp_path, status=3)
    check(spool, kept)
    assert (told["failed"], told["originals"], told["retries"]) == (1, 3, 1)
    assert "passed over, it goes to failed/" in err
    assert sorted(os.listdir(spool.folder / "failed")) == [bad.name, f"{bad.name}.error"]
    assert "no pcap magic" in (spool.folder / "failed" / f"{bad.name}.error").read_text()
    (failed,) = status(spool)["failed"]
    assert failed["name"] == bad.name
    assert failed["attempts"] == 1


def test_a_damaged_file_gives_its_frames_up_to_the_damage_and_stays(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    spool.fill(3, 50)
    name, frames, data = spool.originals[1]
    (spool.folder / name).write_bytes(data[:-7])
    spool.originals[1] = spool.originals[1]._replace(frames=frames[:-1])
    told, err = once(follow(spool, kept), tmp_path, status=3)
    check(spool, kept)
    assert told["damaged"] == 1
    assert "the file ends inside a frame" in err
    assert (spool.folder / "failed" / name).read_bytes() == data[:-7]


def test_a_file_is_not_taken_while_somebody_writes_it(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    words = ["closed" if word == "name" else word for word in follow(spool, kept)]
    original = spool.publish(50)
    data = (spool.folder / original.name).read_bytes()
    with (spool.folder / original.name).open("wb") as file:
        with Service(words, tmp_path) as service:
            spool.publish(50)
            wait_until(lambda: spool.left() == {original.name})
            file.write(data)
            file.flush()
            (spool.folder / "another.txt").touch()  # something to be heard
            service.send(signal.SIGUSR1)
            service.wait_for("1 files filtered")
            assert spool.left() == {original.name}
            file.close()
            wait_until(lambda: spool.left() == set())
            service.end()
    found = sorted(serial(frame) for frame in kept[0].frames())
    assert found == sorted(serial(frame) for frame in kept[0].expected(spool.originals))


def test_a_file_is_taken_when_it_did_not_change_for_so_long(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    words = ["quiet:0.7" if word == "name" else word for word in follow(spool, kept)]
    original = spool.publish(300)
    path = spool.folder / original.name
    data = path.read_bytes()
    path.write_bytes(data[:100])
    with Service(words, tmp_path) as service:
        for end in range(1_000, len(data), 4_000):  # a writer that is slow, and no damage
            with path.open("r+b") as file:
                file.write(data[:end])
            service.send(signal.SIGUSR1)
            subprocess.run(["sleep", "0.1"], check=True)
        path.write_bytes(data)
        wait_until(lambda: spool.left() == set())
        assert service.end()["damaged"] == 0
    check(spool, kept)


def test_files_of_tcpdump_are_taken_in_the_order_in_which_it_numbers_them(
    tmp_path: Path, rng: random.Random, kept: list[Output]
) -> None:
    spool = Spool(tmp_path / "spool", rng)
    for number in range(12):
        original = spool.publish(20)
        (spool.folder / original.name).rename(spool.folder / f"x.pcap{number or ''}")
        (spool.folder / f"{original.name}.json").unlink(missing_ok=True)
    (spool.folder / "notes.txt").write_text("not a capture")
    once(follow(spool, kept), tmp_path)
    check(spool, kept)
    assert spool.visible() == ["notes.txt"]


# ---- Workers that fail --------------------------------------------------------------------------


def test_a_worker_that_is_killed_costs_one_retry(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    with Service(follow(spool, kept), tmp_path) as service:
        spool.publish(50)
        wait_until(lambda: spool.left() == set())
        worker = service.worker()
        os.kill(worker, signal.SIGSTOP)
        spool.publish(3_000)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: spool.left() == set())
        assert service.worker() != worker
        assert service.end()["retries"] <= 1
    check(spool, kept)


def test_a_worker_that_hangs_is_killed_after_the_time_limit(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    with Service(follow(spool, kept, "--time-limit", "1"), tmp_path) as service:
        spool.publish(50)
        wait_until(lambda: spool.left() == set())
        os.kill(service.worker(), signal.SIGSTOP)
        spool.publish(50)
        spool.publish(50)
        wait_until(lambda: spool.left() == set())
        assert "took longer than 1 s" in service.err
        assert service.end()["retries"] == 1
    check(spool, kept)


def test_a_worker_without_memory_costs_one_retry(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    with Service(follow(spool, kept), tmp_path) as service:
        spool.publish(50)
        wait_until(lambda: spool.left() == set())
        worker = service.worker()
        pages = int(Path(f"/proc/{worker}/statm").read_text().split()[0])
        most = pages * resource.getpagesize()
        resource.prlimit(worker, resource.RLIMIT_AS, (most, most))
        records = pcaps.capture([frame_of(i, 0, 1_000) for i in range(1_000)], nanoseconds=True)
        hidden, long = spool.folder / ".zzz.pcap", spool.folder / "zzz.pcap"
        hidden.write_bytes(records[:24] + 64 * records[24:])  # nothing in it matches
        hidden.rename(long)
        wait_until(lambda: not long.exists())
        assert "tried again" in service.err
        assert service.end()["retries"] == 1
    check(spool, kept)


# ---- What is lost is counted --------------------------------------------------------------------


def test_a_file_that_is_deleted_before_it_was_filtered_is_a_loss_with_a_count(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    with Service(follow(spool, kept), tmp_path) as service:
        spool.publish(50)
        wait_until(lambda: spool.left() == set())
        os.kill(service.worker(), signal.SIGSTOP)
        gone = [spool.publish(2_000) for _ in range(20)]  # more than the worker is given ahead
        wait_until(lambda: status(spool)["backlog"]["files"] == 20)
        (spool.folder / gone[-1].name).unlink()
        (spool.folder / f"{gone[-1].name}.json").unlink(missing_ok=True)
        os.kill(service.worker(), signal.SIGCONT)
        wait_until(lambda: spool.left() == set())
        service.wait_for("gone before it was filtered")
        told = service.end(status=3)
    assert told["lost"] == 1
    spool.originals[-1] = spool.originals[-1]._replace(frames=[])
    check(spool, kept)
    lost = status(spool)["originals"]["lost"]
    assert lost["originals"] == 1


def test_files_that_were_deleted_while_no_service_ran_are_missed_by_their_numbers(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    spool.fill(3, 30)
    once(follow(spool, kept), tmp_path)
    for _ in range(4):
        spool.publish(30)
    for original in spool.originals[3:6]:
        (spool.folder / original.name).unlink()
        (spool.folder / f"{original.name}.json").unlink(missing_ok=True)
    told, err = once(follow(spool, kept), tmp_path, status=3)
    assert told["unseen"] == 3
    assert "3 files of its series before it were never here" in err
    assert status(spool)["files_never_seen"] == 3
    told, _ = once(follow(spool, kept), tmp_path)
    assert told["unseen"] == 0  # told once


def test_a_file_that_is_renamed_is_not_lost(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    with Service(follow(spool, kept), tmp_path) as service:
        spool.publish(50)
        wait_until(lambda: spool.left() == set())
        os.kill(service.worker(), signal.SIGSTOP)
        for _ in range(20):
            spool.publish(20)
        wait_until(lambda: status(spool)["backlog"]["files"] == 20)
        last = spool.folder / spool.originals[-1].name
        last.rename(spool.folder / "zzz.pcap")
        os.kill(service.worker(), signal.SIGCONT)
        wait_until(lambda: not list(spool.folder.glob("*.pcap")))
        assert service.end()["lost"] == 0
    check(spool, kept)


def test_an_open_part_that_is_taken_away_is_told(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    with Service(follow(spool, kept, size="1G"), tmp_path) as service:
        spool.publish(50, wanted=(3,))
        wait_until(lambda: spool.left() == set())
        (part,) = kept[0].parts()
        part.path.unlink()
        spool.publish(50, wanted=(3,))
        wait_until(lambda: spool.left() == set())
        assert "somebody took 50 of them away" in service.err
        assert service.end(status=3)["parts_gone"] == 1
    assert len(kept[0].frames()) == 50
    assert len(kept[1].frames()) == 100


# ---- Disks that are full, and captures that need them -------------------------------------------


def test_an_output_whose_disk_is_full_waits_for_room(
    spool: Spool, tmp_path: Path, kept: list[Output]
) -> None:
    with small(tmp_path / "small", 1) as folder:
        few = outputs(folder / "kept")
        with Service(follow(spool, few, size="100k"), tmp_path) as service:
            (folder / "filler").write_bytes(bytes(900 << 10))
            for _ in range(10):
                spool.publish(300, wanted=(3,))
            service.wait_for("No space left on device")
            assert spool.left()
            check_in_the_middle(spool, few)
            (folder / "filler").unlink()
            wait_until(lambda: spool.left() == set())
            told = service.end()
        assert told["failed"] == told["retries"] == 0
        check(spool, few)


def test_a_spool_that_is_full_is_given_back(
    tmp_path: Path, rng: random.Random, kept: list[Output]
) -> None:
    """There is no room for the journal to grow then."""
    with small(tmp_path / "small", 16) as folder:
        spool = Spool(folder / "spool", rng)
        with Service(follow(spool, kept), tmp_path) as service:
            spool.publish(50)
            wait_until(lambda: spool.left() == set())
            os.kill(service.worker(), signal.SIGSTOP)
            for _ in range(40):
                spool.publish(300)
            wait_until(lambda: status(spool)["backlog"]["files"] == 40)
            with (
                (folder / "filler").open("wb", buffering=0) as filler,
                pytest.raises(OSError, match="No space"),
            ):
                while True:
                    filler.write(bytes(4096))
            os.kill(service.worker(), signal.SIGCONT)
            wait_until(lambda: spool.left() == set())
            service.end()
        check(spool, kept)


def test_the_worker_stands_still_while_the_capture_needs_the_machine(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    pressure = Pressure.make()
    load = Load(0.5, 0, 1 << 20, False)
    gauge = Gauge(pressure, lambda: load)
    gauge.start()
    words = follow(spool, kept, "--pressure", str(pressure.fd), "--time-limit", "1")
    with Service(words, tmp_path, pass_fds=(pressure.fd,)) as service:
        spool.fill(3, 50)
        wait_until(lambda: status(spool)["service"]["doing"] == "held back by the capture")
        time.sleep(1.5)  # which does not count for its time limit
        assert len(spool.left()) == 3
        load = Load(0.2, 0, 1 << 20, False)  # still too much
        time.sleep(0.3)
        assert len(spool.left()) == 3
        load = Load(0.0, 0, 1 << 20, False)
        wait_until(lambda: spool.left() == set())
        assert service.end()["retries"] == 0
    gauge.end()
    pressure.close()
    check(spool, kept)


def test_what_a_filter_reads_last_leaves_the_page_cache(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    """Of originals that stay. Those that are deleted need nothing."""
    original = spool.publish(4_000)
    path = spool.folder / original.name
    with path.open("rb") as file:
        os.fsync(file.fileno())
        file.read()
        before = _cached(file.fileno())
        once(follow(spool, kept, original="keep"), tmp_path)
        if before == 0:
            pytest.skip("a file system without a page cache")
        assert _cached(file.fileno()) < before / 4
    check(spool, kept)


def _cached(fd: int) -> int:
    """Pages of a file that are in memory: mincore(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    size = os.fstat(fd).st_size
    with mmap.mmap(fd, size, prot=mmap.PROT_READ | mmap.PROT_WRITE, flags=mmap.MAP_PRIVATE) as area:
        address = ctypes.addressof(ctypes.c_char.from_buffer(area))
        pages = (ctypes.c_ubyte * ((size + 4095) // 4096))()
        assert libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), pages) == 0
        return sum(page & 1 for page in pages)


# ---- Starts and ends ----------------------------------------------------------------------------


def test_a_second_service_on_a_spool_is_refused_with_the_owners_number(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    with Service(follow(spool, kept), tmp_path) as service:
        _, err = once(follow(spool, outputs(tmp_path / "more")), tmp_path, status=1)
        assert f"another service filters this spool, process {service.process.pid}" in err
        other = Spool(tmp_path / "other", spool.rng)
        _, err = once(follow(other, kept), tmp_path, status=1)
        assert f"another service writes there, process {service.process.pid}" in err
        service.end()


def test_another_filter_begins_a_new_part_and_says_from_where_on(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    spool.fill(2, 50)
    with Service(follow(spool, kept[:1], size="1G"), tmp_path) as service:
        wait_until(lambda: spool.left() == set())
        service.send(signal.SIGKILL)
        service.process.wait()
    assert kept[0].parts()[0].is_open
    third = spool.publish(50)
    words = follow(spool, [], "--to", f"{kept[0].folder / WEB.name}={SUSPECT.expression}")
    _, err = once(words, tmp_path)
    assert f"this filter from {third.name} on" in err
    first, second = kept[0].parts()
    assert kept[0].frames_of(first) == kept[0].expected(spool.originals[:2])
    assert kept[0].frames_of(second) == kept[1].expected(spool.originals[2:])
    told = status(spool)["outputs"]
    assert [(output["filter"], output["from_original"]) for output in told] == [
        (SUSPECT.expression, third.name),
        (WEB.expression, spool.originals[0].name),
    ]


def test_a_part_of_a_journal_that_is_gone_is_not_thrown_away(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    spool.fill(2, 50)
    with Service(follow(spool, kept, size="1G"), tmp_path) as service:
        wait_until(lambda: spool.left() == set())
        service.send(signal.SIGKILL)
        service.process.wait()
    for path in (spool.folder / ".fastcap").iterdir():
        path.unlink()
    spool.publish(50)
    _, err = once(follow(spool, kept, size="1G"), tmp_path)
    assert "left by a service whose journal is gone" in err
    check(spool, kept)


def test_sighup_names_what_is_open_and_sigusr2_ends_when_nothing_waits(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    with Service(follow(spool, kept, size="1G"), tmp_path) as service:
        spool.publish(50, wanted=(3,))
        wait_until(lambda: spool.left() == set())
        assert [part.is_open for part in kept[0].parts()] == [True]
        service.send(signal.SIGHUP)
        wait_until(lambda: [part.is_open for part in kept[0].parts()] == [False])
        spool.publish(50, wanted=(3,))
        wait_until(lambda: spool.left() == set())
        assert [part.is_open for part in kept[0].parts()] == [False, True]
        spool.publish(50, wanted=(3,))
        service.end(signal.SIGUSR2)
    check(spool, kept)
    assert spool.left() == set()


def test_sigterm_leaves_for_the_next_start_what_is_not_done_within_the_grace(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    with Service(follow(spool, kept, "--grace", "0.5"), tmp_path) as service:
        spool.publish(50)
        wait_until(lambda: spool.left() == set())
        os.kill(service.worker(), signal.SIGSTOP)
        spool.fill(3, 50)
        service.end()
    assert len(spool.left()) == 3
    once(follow(spool, kept), tmp_path)
    check(spool, kept)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--to", "SPOOL/x.pcap=tcp"], "lies in the spool"),
        (["--to", "KEPT/x.pcap=tcp", "--to", "KEPT/../kept/x.pcap=udp"], "two outputs"),
        (["--to", "KEPT/no/x.pcap=tcp"], "no directory"),
        (["--to", "/dev/null=tcp"], "no file"),
        (["--to", "KEPT/x.pcap=tcp and"], "syntax error"),
        (["--to", "KEPT/x.pcap=tcp", "--finished", "quiet"], "quiet:SECONDS"),
        (["--to", "KEPT/x.pcap=tcp", "--original", "burn"], "delete, keep or move DIR"),
        (["--to", "KEPT/x.pcap=tcp", "--original", "move", "SPOOL"], "is the spool itself"),
        (["--to", "KEPT/x.pcap=tcp", "--original", "move", "/proc"], "another file system"),
        (["--to", "KEPT/x.pcap=tcp", "--summary", "rest.txt"], ".csv or a .parquet"),
        (["--to", "KEPT/x.pcap=tcp", "--output-size", "1"], "no size"),
        ([], "no output"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_touched(
    spool: Spool, kept: list[Output], tmp_path: Path, words: list[str], problem: str
) -> None:
    spool.fill(1, 20)
    places = {"SPOOL": str(spool.folder), "KEPT": str(kept[0].folder)}
    for place, path in places.items():
        words = [word.replace(place, path) for word in words]
    command = [sys.executable, "-m", "fastcap", "follow", "--spool", str(spool.folder), *words]
    done = subprocess.run(
        [*command, "--once"], capture_output=True, text=True, check=False, timeout=60
    )
    assert problem in done.stderr
    assert done.returncode in (1, 2)
    assert len(done.stderr.splitlines()) <= 4
    assert spool.left() == {spool.originals[0].name}
    assert list(kept[0].folder.iterdir()) == []


def test_status_finds_the_files_of_a_second(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    spool.fill(5, 200)
    once(follow(spool, kept), tmp_path)
    middle = spool.originals[2].frames[0].time
    told = status(spool, "--since", _rfc3339(middle), "--until", _rfc3339(middle + 10**9))
    names = {row["name"] for row in told["originals"]}
    assert spool.originals[2].name in names
    parts = {row["path"] for row in told["outputs"]}
    for output in kept:
        for part in output.parts():
            times = [frame.time for frame in output.frames_of(part)]
            is_in = min(times) < middle + 10**9 and max(times) >= middle
            assert (str(part.path) in parts) == is_in


def _rfc3339(moment: int) -> str:
    import datetime

    seconds, fraction = divmod(moment, 10**9)
    text = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat()
    return text.replace("+00:00", f".{fraction:09}Z")


def test_a_worker_steps_back_and_ends_with_its_service(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    with Service(follow(spool, kept), tmp_path) as service:
        spool.publish(50)
        wait_until(lambda: spool.left() == set())
        worker = service.worker()
        ours = os.getpriority(os.PRIO_PROCESS, service.process.pid)
        assert os.getpriority(os.PRIO_PROCESS, worker) == min(19, ours + 10)
        assert Path(f"/proc/{worker}/oom_score_adj").read_text() == "1000\n"
        service.send(signal.SIGKILL)
        service.process.wait()
        wait_until(lambda: not is_there(worker))


def test_addresses_of_a_file_are_part_of_the_filter(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    """It is named relative to where the service was started; another content is another filter."""
    hosts = tmp_path / "hosts.txt"
    hosts.write_text("10.35.69.103\n")
    output = f"{kept[1].folder / SUSPECT.name}=IPv4.SourceAddress IN @hosts.txt"
    words = [*follow(spool, [], size="1G"), "--to", output, "--once"]

    def run() -> str:
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr

    spool.fill(2, 50)
    run()
    spool.publish(50)
    assert "filter" not in run().replace("filtering", "").replace("filtered", "")
    assert kept[1].frames() == kept[1].expected(spool.originals)
    hosts.write_text("10.0.0.1\n")
    last = spool.publish(50)
    assert f"this filter from {last.name} on" in run()
    assert kept[1].frames_of(kept[1].parts()[-1]) == [
        frame for frame in last.frames if not SUSPECT.takes(frame)
    ]


def test_a_file_that_grows_after_it_was_filtered_is_told_and_comes_once(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    name, frames, data = spool.publish(100)
    path = spool.folder / name
    half = 24 + sum(16 + len(frame.data) for frame in frames[:50])
    path.write_bytes(data[:half])
    words = follow(spool, kept, original="keep")
    once(words, tmp_path)
    with path.open("ab") as file:
        file.write(data[half:])
    told, err = once(words, tmp_path, status=3)
    assert "it has grown since it was filtered" in err
    assert (told["failed"], told["originals"]) == (1, 0)
    spool.originals[0] = spool.originals[0]._replace(frames=frames[:50])
    check(spool, kept)
    once(words, tmp_path)  # told once
    check(spool, kept)


def test_originals_that_were_kept_are_deleted_when_that_is_asked_for_later(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    spool.fill(3, 50)
    once(follow(spool, kept, original="keep"), tmp_path)
    assert len(spool.left()) == 3
    once(follow(spool, kept), tmp_path)
    assert spool.visible() == []
    check(spool, kept)


def test_what_is_no_capture_is_tried_once(spool: Spool, kept: list[Output], tmp_path: Path) -> None:
    (spool.folder / "a.pcap").write_text("a text that is named like a capture")
    (spool.folder / "b.pcap").touch()
    (spool.folder / "c.pcapng").write_bytes(bytes.fromhex("0a0d0d0a1c0000004d3c2b1a01000000"))
    told, err = once(follow(spool, kept), tmp_path, status=3)
    assert told["failed"] == 3
    assert "tried again" not in err
    assert len(os.listdir(spool.folder / "failed")) == 6


@pytest.mark.parametrize(
    "beside",
    [
        '{"bytes": BYTES, "frames": 1, "first_ns": 1, "last_ns": 2, "meanwhile": []}',
        '{"bytes": BYTES, "frames": 100000000000000000000, "first_ns": 1, "last_ns": 2}',
        "[" * 100_000,
        '{"mine": 1}',
        None,
    ],
    ids=["list", "large", "deep", "foreign", "fifo"],
)
def test_strange_things_beside_originals_end_nothing(
    spool: Spool, kept: list[Output], tmp_path: Path, beside: str | None
) -> None:
    name, _, data = spool.publish(20)
    path = spool.folder / f"{name}.json"
    path.unlink(missing_ok=True)
    if beside is None:
        os.mkfifo(path)
    else:
        path.write_text(beside.replace("BYTES", str(len(data))))
    spool.publish(20)
    (spool.folder / os.fsdecode(b"\xff.pcap")).write_bytes(data)
    _, err = once(follow(spool, kept), tmp_path)
    check(spool, kept)
    assert spool.left() == set()
    assert "its name is no UTF-8" in err
    if beside == '{"mine": 1}':
        assert path.read_text() == beside  # not ours to delete


def test_files_that_came_and_went_are_counted_once(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    with Service(follow(spool, kept), tmp_path) as service:
        spool.publish(20)
        wait_until(lambda: spool.left() == set())
        service.send(signal.SIGSTOP)
        for _ in range(8):
            original = spool.publish(20)
            (spool.folder / original.name).unlink()
        spool.publish(20)
        service.send(signal.SIGCONT)
        wait_until(lambda: spool.left() == set())
        told = service.end(status=3)
        assert "8 lost unfiltered with an unknown number of frames" not in service.err
    assert (told["lost"], told["unseen"], told["lost_uncounted"]) == (8, 0, 8)


def test_a_file_that_is_renamed_while_it_is_written_is_not_lost(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    words = ["closed" if word == "name" else word for word in follow(spool, kept)]
    name, _, data = spool.publish(50)
    (spool.folder / f"{name}.json").unlink(missing_ok=True)
    with (spool.folder / name).open("r+b") as file, Service(words, tmp_path) as service:
        (spool.folder / name).rename(spool.folder / "other.pcap")
        with (spool.folder / "third.pcap").open("wb") as third:
            (spool.folder / "third.pcap").rename(spool.folder / "fourth.pcap")
            third.write(pcaps.header(nanoseconds=True))
        file.write(data)
        file.close()
        wait_until(lambda: not list(spool.folder.glob("*.pcap")))
        assert service.end()["lost"] == 0
    check(spool, kept)


def test_a_kept_original_that_is_renamed_comes_once(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    original = spool.publish(50)
    once(follow(spool, kept, original="keep"), tmp_path)
    (spool.folder / original.name).rename(spool.folder / "renamed.pcap")
    once(follow(spool, kept, original="keep"), tmp_path)
    check(spool, kept)


def test_ctrl_c_in_a_terminal_is_for_the_service_and_not_for_its_worker(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    with Service(follow(spool, kept), tmp_path) as service:
        spool.publish(50)
        wait_until(lambda: spool.left() == set())
        worker = service.worker()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(worker, number)
        spool.publish(50)
        wait_until(lambda: spool.left() == set())
        assert service.worker() == worker
        assert service.end(signal.SIGINT)["retries"] == 0
    check(spool, kept)


def test_what_kills_every_worker_costs_one_original_its_attempts_at_most(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    with Service(follow(spool, kept), tmp_path) as service:
        for _ in range(6):
            spool.publish(3_000)
        until = time.monotonic() + 6
        while time.monotonic() < until:
            path = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children")
            for pid in path.read_text().split():
                os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.2)
        wait_until(lambda: spool.left() == set())
        told = service.end()
        assert told["failed"] == 0
    check(spool, kept)


def test_a_passed_over_file_is_in_the_journal_before_it_is_moved(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    bad = spool.folder / "bad.pcap"
    with Service(follow(spool, kept), tmp_path) as service:
        bad.write_text("no capture")
        wait_until(lambda: not bad.exists())
        service.send(signal.SIGKILL)
        service.process.wait()
    assert [row["name"] for row in status(spool)["failed"]] == ["bad.pcap"]


def test_a_spool_that_is_full_when_the_service_starts_is_given_back(
    tmp_path: Path, rng: random.Random, kept: list[Output]
) -> None:
    with small(tmp_path / "small", 24) as folder:
        spool = Spool(folder / "spool", rng)
        spool.publish(50)
        once(follow(spool, kept), tmp_path)
        for _ in range(20):
            spool.publish(300)
        with (folder / "filler").open("wb", buffering=0) as filler:
            with pytest.raises(OSError, match="No space"):
                while True:
                    filler.write(bytes(4096))
        once(follow(spool, kept), tmp_path)
        assert spool.left() == set()
        check(spool, kept)


def test_status_says_that_a_service_is_not_heard_of(
    spool: Spool, kept: list[Output], tmp_path: Path
) -> None:
    with Service(follow(spool, kept), tmp_path) as service:
        wait_until(lambda: status(spool)["service"] is not None)
        wait_until(lambda: status(spool)["service"]["silent_seconds"] < 2)
        service.send(signal.SIGSTOP)
        wait_until(lambda: status(spool)["service"]["silent_seconds"] > 2)
        service.send(signal.SIGCONT)
        service.end()
    assert status(spool)["service"] is None
