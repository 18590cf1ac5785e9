"""Many captures through filters into outputs: `fastcap.filter_files`, `fastcap.split_files`."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from fastcap._native.cancel import Cancel
from fastcap.committer import Progress, Run, linktype_of
from fastcap.errors import InputError, UsageError
from fastcap.filter import Filter
from fastcap.formats.linktypes import HOST_ORDER
from fastcap.formats.pcap import FileHeader
from fastcap.inputs import STANDARD_INPUT, Source, expand, open_source
from fastcap.outputs import Output, Target, block_for, existing_parts, notes_on, resolve
from fastcap.results import FilterResult
from fastcap.segments import Segment
from fastcap.selection import select
from fastcap.waiting import run_waiting

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from fastcap.times import Moment

MOST_JOBS = 1024
MOST_FRAMES = MOST_BYTES = 1 << 62
MOST_SNAPLEN = 0x7FFFFFFF
MOST_OUTPUTS = 256


def filter_files(
    expression: str,
    inputs: Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str] | None = None,
    *,
    jobs: int | None = None,
    snaplen: int | None = None,
    limit: int | None = None,
    output_size: int | None = None,
    on_damage: str = "stop",
    vlan: str = "wire",
    engine: str = "auto",
    since: Moment | None = None,
    until: Moment | None = None,
    skip: int = 0,
    sample: int | None = None,
    force: bool = False,
    executor: Executor | None = None,
    progress: Progress | None = None,
    range_bytes: int | None = None,
) -> FilterResult:
    """Filters captures into one output, frames in the order of the inputs, or only counts.

    `inputs` are files, directories, FIFOs, or "-" for standard input. `output` is a file name,
    "-", a device or a FIFO; None counts. A file appears under its name only when it is complete.

    `jobs`: ranges worked on at once, default one a processor. `snaplen`: bytes of a frame that
    are kept. `limit`: matching frames after which it stops. `output_size`: bytes; the output
    becomes a series of files no longer than that. `on_damage`: "stop" reads a damaged input up to
    the damage, and then the next input. `vlan`: "skip" lets pcap-filter text and field names see
    frames without their VLAN tags. `engine`: "jit" is machine code, and an error where fastcap-jit
    is not installed; "auto" takes it where it is; "interpreter" does the same slower. `since` and
    `until`: frames from a moment on, and before one: RFC 3339 text (without a zone local time),
    "+10s" from the first frame, a datetime, nanoseconds since 1970. `skip`: leave out the first so
    many matching frames. `sample`: of one flow in so many, by a hash of addresses, protocol and
    ports that is the same in both directions. `force` replaces existing files. `executor` runs the
    work in place of threads; with processes the frames come back through pipes. `range_bytes`:
    bytes of a file that are one task.

    All inputs must have one link type. The first one's byte order and precision are the output's;
    records of the others are converted.

    InputError, OutputError, FilterError, UsageError; KeyboardInterrupt ends the work, and what was
    not finished is removed. Where finished files of a series remain, the exception lists them in
    its attribute `finished_parts`.

    >>> import tempfile, fastcap
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = folder + "/empty.pcap"
    ...     with open(path, "wb") as file:
    ...         _ = file.write(bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000"))
    ...     fastcap.filter_files("tcp port 443", [path]).frames_read
    0
    """
    given = _Given(
        inputs, jobs, snaplen, limit, output_size, on_damage, vlan, engine, since, until, skip,
        sample, force, executor, progress, range_bytes,
    )  # fmt: skip
    _check_options(given, output is not None)
    outputs = [] if output is None else [os.fsdecode(output)]
    return _filter(given, [expression], outputs, rest=False)


def split_files(
    outputs: Mapping[str, str] | Mapping[os.PathLike[str], str],
    inputs: Iterable[str | os.PathLike[str]],
    *,
    rest: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    snaplen: int | None = None,
    output_size: int | None = None,
    on_damage: str = "stop",
    vlan: str = "wire",
    engine: str = "auto",
    since: Moment | None = None,
    until: Moment | None = None,
    sample: int | None = None,
    force: bool = False,
    executor: Executor | None = None,
    progress: Progress | None = None,
    range_bytes: int | None = None,
) -> FilterResult:
    """Filters captures into many outputs in one pass. `outputs` says for each output's name which
    filter's frames it gets: a frame goes to every output whose filter takes it. `rest` gets those
    that none takes.

    Everything else is as for `filter_files`. In the result `frames_matched` counts each frame
    once, that any filter takes, those for `rest` included.
    """
    given = _Given(
        inputs, jobs, snaplen, None, output_size, on_damage, vlan, engine, since, until, 0,
        sample, force, executor, progress, range_bytes,
    )  # fmt: skip
    _check_options(given, True)
    names = [os.fsdecode(name) for name in outputs]
    if not names:
        raise UsageError("no output: name at least one, and its filter")
    if rest is not None:
        names.append(os.fsdecode(rest))
    if len(names) > MOST_OUTPUTS:
        raise UsageError(f"at most {MOST_OUTPUTS} outputs, not {len(names):,}")
    return _filter(given, list(outputs.values()), names, rest=rest is not None)


# ---- What was asked ---------------------------------------------------------------------------


class _Given(NamedTuple):
    """The options of a run."""

    inputs: Iterable[str | os.PathLike[str]]
    jobs: int | None
    snaplen: int | None
    limit: int | None
    output_size: int | None
    on_damage: str
    vlan: str
    engine: str
    since: Moment | None
    until: Moment | None
    skip: int
    sample: int | None
    force: bool
    executor: Executor | None
    progress: Progress | None
    range_bytes: int | None


def _check_options(given: _Given, writes: bool) -> None:
    for name, value, most in (
        ("jobs", given.jobs, MOST_JOBS),
        ("snaplen", given.snaplen, MOST_SNAPLEN),
        ("limit", given.limit, MOST_FRAMES),
        ("output_size", given.output_size, MOST_BYTES),
        ("range_bytes", given.range_bytes, MOST_BYTES),
    ):
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"{name} is 1 to {most:,}, not {value}")
    if given.on_damage != "stop":
        raise UsageError(f"on_damage is 'stop', the only policy yet, not {given.on_damage!r}")
    if given.output_size is not None and not writes:
        raise UsageError("output_size splits an output: name one")


def _filter(given: _Given, expressions: list[str], names: list[str], *, rest: bool) -> FilterResult:
    """One filter for each name, or one that only counts; with `rest` the last name has none."""
    started = time.perf_counter()
    outputs: list[Output] = []
    if isinstance(given.inputs, (str, bytes, os.PathLike)):
        raise UsageError("inputs are a list of names; for one, write [name]")
    inputs = [os.fsdecode(name) for name in given.inputs]
    folders = [name for name in inputs if os.path.isdir(name)]
    found = expand(inputs)
    if not found:
        raise UsageError("no input: name files, directories, or - for standard input")
    sources = _open_all(found)
    try:
        linktype = linktype_of(sources[0])
        run = Run(
            sources,
            [Filter(expression, linktype, given.vlan, given.engine) for expression in expressions],
            jobs=given.jobs or processors(),
            rest=rest,
            selection=select(
                sources,
                since=given.since,
                until=given.until,
                sample=given.sample,
                skip=given.skip,
            ),
            snaplen=given.snaplen,
            limit=given.limit,
            range_bytes=given.range_bytes,
            progress=given.progress,
        )
        targets = _targets(names, sources, given)
        run.writes = bool(targets)

        def work(cancel: Cancel) -> FilterResult:
            for target in targets:
                output = Output(
                    target,
                    run.out_header,
                    cancel,
                    size=given.output_size,
                    force=given.force,
                    block=block_for(len(targets)),
                )
                outputs.append(output)
            return run.run(outputs, given.executor, cancel)

        result = run_waiting(work)
        result.notes += _notes(run, targets, folders, given)
    except BaseException as error:
        for output in outputs:
            output.discard()
        parts = [part.path for output in outputs for part in output.segments]
        if parts:
            error.finished_parts = parts  # type: ignore[attr-defined] # of whatever class it is
        raise
    finally:
        for source in sources:
            source.close()
    result.elapsed_s = time.perf_counter() - started
    return result


def _targets(names: list[str], sources: list[Source], given: _Given) -> list[Target]:
    """UsageError where two outputs are one file."""
    targets: list[Target] = []
    for name in names:
        target = resolve(name, sources, series=given.output_size is not None, force=given.force)
        for other in targets:
            if _is_same(target, other):
                raise UsageError(f"{name}: two outputs that are one file")
        targets.append(target)
    return targets


def _is_same(target: Target, other: Target) -> bool:
    if target.fd is not None or other.fd is not None:
        return target.fd == other.fd or _lead_to_one_file(target, other)
    return os.path.realpath(target.name) == os.path.realpath(other.name)


def _lead_to_one_file(target: Target, other: Target) -> bool:
    """Devices are no files: what two outputs write to /dev/null is as well lost twice."""
    found = []
    for one in (target, other):
        try:
            found.append(os.stat(one.name if one.fd is None else one.fd))
        except OSError:
            return False
    return os.path.samestat(*found) and not stat.S_ISCHR(found[0].st_mode)


def _notes(run: Run, targets: list[Target], folders: list[str], given: _Given) -> list[str]:
    result = run.result
    notes = list(run.selection.notes)
    if run.passed_over:
        more = f" and {len(run.passed_over) - 1:,} more" if len(run.passed_over) > 1 else ""
        notes.append(
            f"{run.passed_over[0]}{more}: not read, for the JSON beside it says that its frames "
            "are of another time"
        )
    if result.tagged_missed:
        notes.append(
            f"{result.tagged_missed:,} frames with VLAN tags do not match, and would without "
            "the tags: --vlan skip"
        )
    notes += _precision_notes(run.sources, run.out_header, result.outputs)
    for target in targets:
        if given.output_size is not None:
            notes += _series_notes(target.name, result.outputs)
        notes += [note for note in notes_on(target, folders) if note not in notes]
    return notes


def _precision_notes(
    sources: list[Source], header: FileHeader, outputs: list[Segment]
) -> list[str]:
    finer = [source.name for source in sources if source.header.nanoseconds]
    if not outputs or header.nanoseconds or not finer:
        return []
    more = f" and {len(finer) - 1:,} more" if len(finer) > 1 else ""
    return [
        f"{finer[0]}{more}: nanoseconds are cut to microseconds, which the first input has; name "
        "it first to keep them"
    ]


def _series_notes(series: str, outputs: list[Segment]) -> list[str]:
    written = {segment.path for segment in outputs}
    stale = [part for part in existing_parts(series) if part not in written]
    if not stale:
        return []
    return [f"{stale[0]}: of an earlier series, {len(stale):,} such files remain"]


def processors() -> int:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _open_all(names: list[str]) -> list[Source]:
    sources: list[Source] = []
    refused: list[InputError] = []
    if names.count(STANDARD_INPUT) > 1:
        raise UsageError("standard input can be read only once")
    try:
        for name in names:
            try:
                sources.append(open_source(name))
                _check_alike(sources[0], sources[-1])
            except InputError as error:
                refused.append(error)
        if len(refused) > 1:
            more = f"{len(refused) - 1:,} more of {len(names):,} inputs cannot be used"
            raise InputError(f"{refused[0]} (and {more}: fastcap info names each)")
        if refused:
            raise refused[0]
    except BaseException:
        for source in sources:
            source.close()
        raise
    return sources


def _check_alike(first: Source, other: Source) -> None:
    if other.header.link_word != first.header.link_word:
        raise InputError(
            f"{other.name}: link type {other.header.link_name}, but {first.name} has "
            f"{first.header.link_name}: a filter is for one link type; filter them apart"
        )
    mixed = other.header.little_endian != first.header.little_endian
    if mixed and first.header.linktype in HOST_ORDER:
        raise InputError(
            f"{other.name}: {other.header.byte_order}, but {first.name} is "
            f"{first.header.byte_order}: frames of link type {first.header.link_name} hold numbers "
            "in that order; filter them apart"
        )


def report_sources(
    sources: list[Source], *, jobs: int | None = None, progress: Progress | None = None
) -> FilterResult:
    """Reads open sources whole and reports frames, bytes, times and damage of each. Their link
    types may differ. Streams are used up; the caller closes them."""
    started = time.perf_counter()
    run = Run(sources, [], jobs=jobs or processors(), progress=progress)
    result = run_waiting(lambda cancel: run.run([], None, cancel))
    result.elapsed_s = time.perf_counter() - started
    return result
