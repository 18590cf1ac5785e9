"""What the benches share: traffic in memory, and one table of answers at the end of a run."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from benches.make_traffic import FILE_HEADER, FULL, HIT, RECORD_HEADER, make_traffic
from fastcap._native.cancel import Cancel
from fastcap._native.memory import Memory
from fastcap._native.postfilter import NO_LIMIT, filter_bytes
from fastcap._native.program import NativeProgram
from fastcap.formats.pcap import Layout, parse_header

DATA_BYTES = 256 << 20
# What a filter reads of so many frames stays in a second-level cache, whatever their length; and
# they are enough for the cost of a call to vanish. They are also few enough for a processor to
# learn which of them match: where matches are frequent, "cache" flatters.
CACHE_FRAMES = 4096
CAPTURED = {"80": 80, "full": FULL}


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """pytest looks for test_*.py only; here bench_*.py count too."""
    is_bench = file_path.suffix == ".py" and file_path.name.startswith("bench_")
    if is_bench and not parent.session.isinitpath(file_path):  # named ones pytest takes itself
        return pytest.Module.from_parent(parent, path=file_path)
    return None


# ---- Traffic ----------------------------------------------------------------------------------


class Records(NamedTuple):
    """Whole records, without the file header, and where each begins. `captured` and `place` name
    what they are and where they lie; `path` is a file that holds a file header and all of them.
    """

    captured: str
    place: str
    path: Path
    data: memoryview
    starts: NDArray[np.int64]
    layout: Layout

    @property
    def frames(self) -> int:
        return len(self.starts)

    def first(self, frames: int) -> Records:
        """A copy of the first records, at the start of a page, as a window on a file lies."""
        data = self.data[: self.starts[frames]]
        pages = mmap.mmap(-1, len(data))
        pages[:] = bytes(data)
        return self._replace(place="cache", data=memoryview(pages), starts=self.starts[:frames])

    def numbers(self, offset: int, size: int) -> NDArray[np.uint32]:
        """`size` bytes at an offset of each frame as a big-endian number, by numpy alone."""
        data = np.frombuffer(self.data, np.uint8)
        value = np.zeros(self.frames, np.uint32)
        for position in range(size):
            value <<= np.uint32(8)
            value |= data[self.starts + RECORD_HEADER + offset + position]
        return value

    def hits(self) -> NDArray[np.bool_]:
        """Which frames have the address HIT, by numpy alone."""
        source: NDArray[np.bool_] = self.numbers(26, 4) == HIT
        destination: NDArray[np.bool_] = self.numbers(30, 4) == HIT
        return source | destination


def _starts(data: memoryview) -> NDArray[np.int64]:
    """Offsets of the records, by a walk in Python: so that the scan is not checked by itself."""
    starts = []
    offset = 0
    while offset < len(data):
        starts.append(offset)
        captured = data[offset + 8 : offset + 12]
        offset += RECORD_HEADER + int.from_bytes(captured, "little")
    assert offset == len(data)
    return np.array(starts, np.int64)


@pytest.fixture(scope="session", params=list(CAPTURED))
def traffic(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Records]:
    """About 256 MiB of records with 80 captured bytes each, or whole frames."""
    path = tmp_path_factory.mktemp("traffic") / "traffic.pcap"
    made = make_traffic(path, DATA_BYTES, captured=CAPTURED[request.param])
    content = path.read_bytes()
    layout = parse_header(content[:FILE_HEADER], str(path)).layout
    data = memoryview(content)[FILE_HEADER:]
    records = Records(request.param, "memory", path, data, _starts(data), layout)
    assert records.frames == made.frames
    assert np.count_nonzero(records.hits()) == made.hits
    yield records
    path.unlink()


@pytest.fixture(params=["cache", "memory"])
def records(request: pytest.FixtureRequest, traffic: Records) -> Records:
    """The traffic in one piece, larger than most caches; or a piece that stays in the cache."""
    return traffic if request.param == "memory" else traffic.first(CACHE_FRAMES)


_MEMORY = Memory(1, 1 << 30)  # buffers that are used again, as in a run of `fastcap filter`


def filtered(records: Records, program: NativeProgram | None) -> tuple[int, int]:
    """Frames read and frames matched. Nothing is kept: a bench of copies is another bench."""
    read, matched, _, end, damage, *_ = filter_bytes(
        records.data,
        programs=(program,),
        layout=records.layout,
        out_layout=records.layout,
        limit=NO_LIMIT,
        keep=False,
        cancel=Cancel(),
        memory=_MEMORY,
    )
    assert damage is None
    assert end == len(records.data)
    return read, matched


# ---- Answers ----------------------------------------------------------------------------------


class Answer(NamedTuple):
    question: str
    frames: str
    ns_per_frame: float
    gb_per_s: float


Measure = Callable[..., None]
ANSWERS = pytest.StashKey[list[Answer]]()
_ROUNDS = 9


@pytest.fixture
def measure(benchmark: Any, request: pytest.FixtureRequest) -> Measure:
    """Times `function(*arguments)`, which handles `records` once, and keeps the answer.

    `prepare`, if given, is run before each call and is not timed.
    """

    def run(
        question: str,
        records: Records,
        function: Callable[..., object],
        *arguments: object,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        size = len(records.data)
        # Short calls are repeated until a round takes milliseconds.
        iterations = 1 if prepare else max(1, (1 << 20) // records.frames)
        benchmark.pedantic(
            function,
            args=None if prepare else arguments,
            setup=_setup(prepare, arguments),
            rounds=_ROUNDS,
            iterations=iterations,
            warmup_rounds=1,
        )
        if benchmark.stats is None:  # --benchmark-disable
            return
        seconds = benchmark.stats.stats.median
        answer = Answer(
            question,
            records.captured,
            round(seconds * 1e9 / records.frames, 3),
            round(size / seconds / 1e9, 3),
        )
        benchmark.extra_info.update(answer._asdict())
        request.config.stash.setdefault(ANSWERS, []).append(answer)

    return run


def _setup(
    prepare: Callable[[], None] | None, arguments: tuple[object, ...]
) -> Callable[[], tuple[tuple[object, ...], dict[str, object]]] | None:
    if prepare is None:
        return None

    def setup() -> tuple[tuple[object, ...], dict[str, object]]:
        prepare()
        return arguments, {}

    return setup


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    answers = config.stash.get(ANSWERS, [])
    if not answers:
        return
    terminalreporter.section("ns a frame (medians; bytes include record headers)")
    for line in _table(answers):
        terminalreporter.write_line(line)


def _table(answers: Iterable[Answer]) -> list[str]:
    lines = [f"{'question':<56}{'frames':>8}{'ns/frame':>12}{'GB/s':>10}"]
    for question, frames, ns, rate in sorted(answers):
        lines.append(f"{question:<56}{frames:>8}{ns:>12.2f}{rate:>10.2f}")
    return lines
