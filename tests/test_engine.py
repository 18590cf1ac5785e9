"""Who runs filters: what machine code does is what the interpreter does, and fastcap needs none."""

from __future__ import annotations

import gc
import json
import pickle
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import fastcap
from fastcap import engine
from fastcap._native.program import CODE_ABI, NativeProgram
from fastcap.engine import Engine
from fastcap.errors import UsageError
from tests import pcaps
from tests.engines import needs_jit
from tests.pcaps import Frame
from tests.test_cli import run

BOTH = ("jit", "interpreter")
FILTERS = (
    "tcp port 443",
    "udp",
    "host 10.0.0.1 or host 192.168.1.7",
    "FrameLength > 60 AND NOT IPv4.Address IN {10.0.0.1, 10.1.2.3}",
    "Blob(FrameData, 26, 4) == 10.0.0.1 OR ContainsBin(FrameData, HEX, '01 02')",
    "IPv6.Address == fe80::5 OR TCP.Port IN {22, 53, 80, 443, 8080, 8081, 8443, 9, 11}",
    "ether[12:2] = 0x8100 or arp",
    "tcp[tcpflags] & tcp-rst != 0",
    "portrange 1-1000",
    "ip6 protochain 6",
    "len > 80 and greater 10",
    " or ".join(f"host 10.0.0.{i}" for i in range(30)),
)


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Nothing in the environment, and nothing remembered of what other tests loaded."""
    monkeypatch.delenv(engine.VARIABLE, raising=False)
    engine._load.cache_clear()
    engine._make.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    engine._load.cache_clear()
    engine._make.cache_clear()


@pytest.fixture
def frames(rng: random.Random) -> list[Frame]:
    """Of all kinds, tagged ones and such that were cut anywhere among them."""
    made = pcaps.some_frames(rng, 4000)
    for i in range(0, len(made), 5):
        time, wire, data = made[i]
        made[i] = Frame(time, wire, data[: rng.randrange(len(data) + 1)])
    return made


def outputs_of(who: str, source: str, folder: Path, **options: Any) -> list[bytes]:
    folder.mkdir()
    names = {str(folder / f"{i}.pcap"): text for i, text in enumerate(FILTERS)}
    result = fastcap.split_files(names, [source], engine=who, **options)
    assert result.engine.name == who
    return [Path(name).read_bytes() for name in names]


# ---- The same results ---------------------------------------------------------------------------


@needs_jit
@pytest.mark.parametrize(
    "options", [{}, {"vlan": "skip"}, {"snaplen": 33}, {"sample": 2}, {"jobs": 3}], ids=str
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_output_is_the_same(
    frames: list[Frame], tmp_path: Path, options: dict[str, Any], order: str
) -> None:
    source = pcaps.write(tmp_path / "in.pcap", pcaps.capture(frames, order))
    one, other = (
        outputs_of(who, source, tmp_path / who, range_bytes=64 << 10, **options) for who in BOTH
    )
    assert one == other
    assert sum(len(data) > 24 for data in one) > len(FILTERS) // 2


@needs_jit
@pytest.mark.parametrize("text", FILTERS)
@pytest.mark.parametrize("vlan", ["wire", "skip"])
def test_every_filter_alone_takes_the_same(
    frames: list[Frame], tmp_path: Path, text: str, vlan: str
) -> None:
    source = pcaps.write(tmp_path / "in.pcap", pcaps.capture(frames))
    results = [
        fastcap.filter_files(text, [source], tmp_path / f"{who}.pcap", engine=who, vlan=vlan)
        for who in BOTH
    ]
    assert [result.engine.name for result in results] == list(BOTH)
    assert len({result.frames_matched for result in results}) == 1
    assert len({result.tagged_missed for result in results}) == 1
    assert (tmp_path / "jit.pcap").read_bytes() == (tmp_path / "interpreter.pcap").read_bytes()
    one, other = (fastcap.compile(text, vlan=vlan, engine=who) for who in BOTH)
    for frame in frames[:500]:
        taken = one.matches(frame.data, frame.wire)
        assert taken == other.matches(frame.data, frame.wire), frame.data.hex()


@needs_jit
def test_masks_and_limits_are_the_same(frames: list[Frame], tmp_path: Path) -> None:
    source = pcaps.write(tmp_path / "in.pcap", pcaps.capture(frames))
    for who in BOTH:
        fastcap.filter_files(
            "tcp or udp", [source], tmp_path / f"{who}.pcap", engine=who, limit=77, skip=5
        )
    assert (tmp_path / "jit.pcap").read_bytes() == (tmp_path / "interpreter.pcap").read_bytes()
    masks = []
    for who in BOTH:
        with fastcap.open(source) as capture:
            taker = fastcap.compile("tcp", engine=who)
            masks.append([taker.mask(batch).tolist() for batch in capture])
    assert masks[0] == masks[1]


@needs_jit
def test_processes_of_others_make_machine_code_of_their_own(
    frames: list[Frame], tmp_path: Path
) -> None:
    source = pcaps.write(tmp_path / "in.pcap", pcaps.capture(frames))
    with ProcessPoolExecutor(1) as executor:
        far = fastcap.filter_files(
            "tcp", [source], tmp_path / "far.pcap", engine="jit", executor=executor
        )
    near = fastcap.filter_files("tcp", [source], tmp_path / "near.pcap", engine="interpreter")
    assert far.frames_matched == near.frames_matched > 0
    assert (tmp_path / "far.pcap").read_bytes() == (tmp_path / "near.pcap").read_bytes()


@needs_jit
def test_machine_code_lives_as_long_as_anybody_runs_it() -> None:
    frame = bytes(12) + b"\x08\x00" + bytes(50)
    expected = fastcap.compile("ip", engine="interpreter").matches(frame)
    wrong: list[int] = []

    def go() -> None:
        for port in range(200):
            program = fastcap.compile(f"ip and not tcp port {port + 1}", engine="jit").translated
            gc.collect(0)
            if (program.run(frame, 64) != 0) != expected:
                wrong.append(port)

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@needs_jit
def test_a_filter_that_is_pickled_keeps_its_engine() -> None:
    for who in BOTH:
        again = pickle.loads(pickle.dumps(fastcap.compile("tcp", engine=who)))
        assert again.engine == who
        assert again.runs_in().name == who


@needs_jit
def test_programs_longer_than_most_run_where_threads_have_little_stack() -> None:
    terms = " or ".join(f"(src host 10.1.2.{i % 200} and tcp dst port {i + 1})" for i in range(600))
    long = fastcap.compile(terms, engine="jit")
    frame = (
        bytes(12) + b"\x08\x00" + pcaps.ipv4(bytes([0, 80, 2, 88]) + bytes(16), 6, "10.1.2.199",
                                             "1.1.1.1")
    )  # fmt: skip
    assert fastcap.compile(terms, engine="interpreter").matches(frame)
    taken: list[bool] = []
    before = threading.stack_size(128 << 10)
    try:
        thread = threading.Thread(target=lambda: taken.append(long.matches(frame)))
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert taken == [True]


@needs_jit
def test_code_for_something_else_is_refused() -> None:
    programs = [fastcap.compile("tcp").program, fastcap.compile("udp").program]
    for judge, some in ((True, programs[:1]), (True, programs)):
        code, _ = engine.machine_code(some, "jit", judge=judge)
        with pytest.raises(ValueError, match="not for one frame"):
            NativeProgram(*programs[0].packed(), code)


# ---- The choice ---------------------------------------------------------------------------------


@needs_jit
def test_machine_code_is_taken_where_it_is_there(chosen: pytest.MonkeyPatch) -> None:
    assert fastcap.compile("tcp").runs_in() == Engine("jit")
    assert fastcap.compile("tcp", engine="interpreter").runs_in().why == "asked for"


def test_without_the_package_the_interpreter_filters(
    chosen: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chosen.setitem(sys.modules, "fastcap_jit", None)
    source = pcaps.write(tmp_path / "in.pcap", pcaps.capture([Frame(0, 60, bytes(60))]))
    result = fastcap.filter_files("len > 50", [source])
    assert result.engine == Engine("interpreter", "fastcap-jit is not installed")
    assert (result.frames_matched, result.notes) == (1, [])
    with pytest.raises(UsageError, match="engine jit: fastcap-jit is not installed"):
        fastcap.compile("tcp", engine="jit")


def test_a_package_for_another_version_is_not_called(chosen: pytest.MonkeyPatch) -> None:
    for module, version in ((SimpleNamespace(ABI=999, __version__="9"), "9"),
                            (SimpleNamespace(), "of no version")):  # fmt: skip
        engine._load.cache_clear()
        chosen.setitem(sys.modules, "fastcap_jit", module)
        assert fastcap.compile("tcp").runs_in() == Engine(
            "interpreter", f"fastcap-jit {version} is for another version of fastcap"
        )


def test_a_defect_is_told_once_and_the_interpreter_takes_over(
    chosen: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Unavailable(Exception):
        pass

    class Defect(Unavailable):
        pass

    def fails(programs: object, judge: bool) -> None:
        raise Defect("a defect in the translation: index out of bounds")

    module = SimpleNamespace(
        ABI=CODE_ABI, Unavailable=Unavailable, Defect=Defect, MachineCode=fails
    )
    chosen.setitem(sys.modules, "fastcap_jit", module)
    source = pcaps.write(tmp_path / "in.pcap", pcaps.capture([Frame(0, 60, bytes(60))] * 1000))
    result = fastcap.filter_files("len > 50", [source], vlan="skip", range_bytes=4096)
    assert result.frames_matched == 1000
    assert result.notes == [
        "machine code: a defect in the translation: index out of bounds; the interpreter filters"
    ]


def test_the_environment_says_what_auto_means(chosen: pytest.MonkeyPatch) -> None:
    chosen.setenv(engine.VARIABLE, "interpreter")
    assert fastcap.compile("tcp").runs_in() == Engine("interpreter", "asked for")
    chosen.setenv(engine.VARIABLE, "fast")
    with pytest.raises(UsageError, match="FASTCAP_ENGINE is one of auto, jit, interpreter"):
        fastcap.compile("tcp")
    with pytest.raises(UsageError, match="engine is one of"):
        fastcap.compile("tcp", engine="fast")


REFUSED = """
import ctypes, sys
import fastcap
fastcap.compile("tcp", engine="interpreter")
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1  # linux/prctl.h
if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
    sys.exit(77)
filter = fastcap.compile("tcp")
assert not filter.matches(bytes(60)) and filter.translated
print(filter.runs_in())
"""


@needs_jit
def test_where_memory_may_not_be_executed_the_interpreter_filters() -> None:
    done = subprocess.run(
        [sys.executable, "-c", REFUSED], capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    if done.returncode == 77:
        pytest.skip("this kernel cannot forbid memory that becomes executable (Linux 6.3)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("interpreter: memory that can be executed is refused: ")


# ---- The command line ---------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path: Path) -> str:
    return pcaps.write(tmp_path / "in.pcap", pcaps.capture([Frame(0, 60, bytes(60))]))


@pytest.mark.parametrize("who", [pytest.param("jit", marks=needs_jit), "interpreter"])
def test_commands_say_who_filtered(source: str, tmp_path: Path, who: str) -> None:
    told = json.loads(run("compile", "--json", "--engine", who, "tcp").stdout)
    assert told["engine"] == {"name": who, "why": "" if who == "jit" else "asked for"}
    done = run("filter", "--engine", who, "tcp", source, "--json", "--count")
    assert json.loads(done.stdout)["engine"]["name"] == who
    done = run("filter", "--engine", who, "tcp", source, "--count", "-v")
    assert done.stderr.startswith(f"fastcap: engine {who}")
    assert run("filter", "--engine", who, "tcp", source, "--count").stderr == ""


@pytest.mark.parametrize("command", ["filter", "capture", "follow", "run", "compile"])
def test_every_command_that_filters_takes_an_engine(command: str) -> None:
    assert "--engine" in run(command, "--help").stdout
