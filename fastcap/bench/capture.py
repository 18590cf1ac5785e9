"""What a comparison of captures says: tables, notes, charts, and all its runs for JSON."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from fastcap.bench import lies
from fastcap.bench.charts import Bar, BarGroup, Bars, Lines, Series
from fastcap.bench.comparison import RATE, Comparison, Plan, Result, Spread, told
from fastcap.bench.generator import MIX
from fastcap.bench.limits import LEAST_SHARE, SEARCHES, Limit
from fastcap.bench.report import Figure, Figures, Grid, counted, number
from fastcap.bench.runs import Case, Run, Settings
from fastcap.formats.pcap import RECORD_HEADER_SIZE

_MEGA = 1e6
_EVEN = 1.05  # times the least rate that a tool was offered, and all are taken to be the same
_BLIND = 0.05  # seconds between two looks at files that are told
_FASTEST = 0.95  # of the rate that was asked for; a load that reached less is told


def title(comparison: Comparison) -> str:
    plan = comparison.plan
    tools = list(dict.fromkeys(result.tool for result in comparison.results))
    kept = ", ".join(str(snaplen) if snaplen else "all" for snaplen in plan.snaplens)
    rounds = f"{plan.rounds} rounds" if plan.rounds > 1 else "one round"
    return f"{', '.join(tools)}: {rounds} under the same load, {kept} bytes of a frame kept"


# ---- Tables -----------------------------------------------------------------------------------


def tables(comparison: Comparison) -> list[Figures | Grid]:
    plan = comparison.plan
    results = [(one.tool, _figures(plan, one)) for one in comparison.results]
    found: list[Figures | Grid] = [Grid("results", "tool", results)]
    costs = list(_cost(comparison))
    if costs:  # some wrote something
        found.append(Grid("cost", "processor time", costs))
    if comparison.limits:
        rows = [(limit.tool, _limit_figures(plan, limit)) for limit in comparison.limits]
        what = (
            "highest rate without a loss" if plan.limit == RATE else "lowest quota without a loss"
        )
        found.append(Grid("limits", what, rows))
    return found


def _figures(plan: Plan, result: Result) -> list[Figure]:
    run = _middle(result.runs)
    lost, cpu = result.lost_percent, result.cpu_ns
    worst = max((one.unclaimed for one in result.runs), key=abs)
    several = plan.rounds > 1  # one has no spread
    stall = max(one.timeline.longest_stall_s for one in result.runs)
    return [
        *_case_figures(plan, result.case),
        Figure("offered", "offered", run.offered),
        Figure("offered_per_second", "a second", round(run.rate)),
        Figure("written", "written", run.written),
        Figure("lost", "lost", run.lost),
        Figure("lost_percent", "lost", round(lost.median, 4), "%"),
        *_spread_figures("lost_percent", lost, 4, "%", "lost, spread" if several else ""),
        Figure("claimed_lost", "says", run.claimed),
        Figure("lost_unclaimed", "not told", worst),
        Figure("cpu_ns", "a frame", None if cpu is None else round(cpu.median, 1), "ns"),
        *_spread_figures("cpu_ns", cpu, 1, "ns", "a frame, spread" if several else ""),
        Figure("stall_ms", "stall", round(1000 * stall), "ms"),
        Figure("written_bytes", "files", run.bytes,
               shown=f"{number(float(f'{run.bytes / _MEGA:.4g}'))} MB"),
        Figure("duplicates", "", run.duplicates),
        Figure("cable_lost", "", run.cable_lost),
        Figure("rounds", "", len(result.runs)),
    ]  # fmt: skip


def _case_figures(plan: Plan, case: Case) -> list[Figure]:
    """What is the same in all rows is in JSON alone."""
    rate = case.rate or None
    quotas, snaplens = set(plan.quotas), set(plan.snaplens)
    figures = [
        Figure("size", "bytes", case.size),
        Figure("snaplen", "kept" if len(snaplens) > 1 else "", case.snaplen),
        Figure("rate_asked", "asked", rate, shown=number(rate) if rate else "max"),
        Figure("quota_percent", "processor" if quotas != {None} else "", case.quota,
               shown="all" if case.quota is None else f"{case.quota:g} %"),
    ]  # fmt: skip
    return [figure._replace(is_key=True) for figure in figures]


def _spread_figures(
    name: str, spread: Spread | None, digits: int, unit: str, label: str
) -> list[Figure]:
    """Without a label none is known."""
    low, high = (
        (None, None)
        if spread is None or not label
        else (round(value, digits) for value in spread[1:])
    )
    shown = "?" if low is None else f"{number(low)} – {number(high)} {unit}"
    return [
        Figure(f"{name}_low", label, low, unit, shown=shown),
        Figure(f"{name}_high", "", high),
    ]


def _middle(runs: Sequence[Run]) -> Run:
    """The one of which the loss is the median, or just below it."""
    return sorted(runs, key=lambda run: run.lost_percent)[(len(runs) - 1) // 2]


class _Cost(NamedTuple):
    """Of one tool for frames of one size, cut to one snaplen: nanoseconds of each run that wrote
    some."""

    tool: str
    size: str
    snaplen: int
    known: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.known)


def _costs(comparison: Comparison) -> list[_Cost]:
    """The cheapest of a size first; of runs without a quota, if there are any."""
    results = [one for one in comparison.results if one.case.quota is None] or comparison.results
    found: dict[tuple[str, str, int], list[float]] = {}
    for one in results:
        known = [run.cpu_ns for run in one.runs if run.cpu_ns is not None]
        found.setdefault((one.tool, one.case.size, one.case.snaplen), []).extend(known)
    costs = [_Cost(*which, known) for which, known in found.items() if known]
    sizes, snaplens = list(comparison.plan.sizes), list(comparison.plan.snaplens)

    def place(cost: _Cost) -> tuple[int, int, float]:
        return sizes.index(cost.size), snaplens.index(cost.snaplen), cost.median

    return sorted(costs, key=place)


def _cost(comparison: Comparison) -> Iterable[tuple[str, list[Figure]]]:
    costs = _costs(comparison)
    several = len(set(comparison.plan.snaplens)) > 1
    for cost in costs:
        least = min(other.median for other in costs if other[1:3] == cost[1:3])
        yield cost.tool, [
            Figure("size", "bytes", cost.size, is_key=True),
            Figure("snaplen", "kept" if several else "", cost.snaplen, is_key=True),
            Figure("cpu_ns", "a frame, median", round(cost.median, 1), "ns"),
            Figure("cpu_ns_least", "least", round(min(cost.known), 1), "ns"),
            Figure("cpu_ns_most", "most", round(max(cost.known), 1), "ns"),
            Figure("frames_per_processor_second", "in a second of its time",
                   round(1e9 / cost.median)),
            Figure("times", "times the cheapest", round(cost.median / least, 2)),
        ]  # fmt: skip


def _limit_figures(plan: Plan, limit: Limit) -> list[Figure]:
    unit = "/s" if plan.limit == RATE else "%"
    digits = 0 if plan.limit == RATE else 2
    median = limit.median
    bound = "" if not limit.unlimited else "≥ " if plan.limit == RATE else "≤ "
    shown = "none" if median is None else f"{bound}{number(round(median, digits))} {unit}"
    case = [one for one in _case_figures(plan, limit.case)
            if one.name != ("rate_asked" if plan.limit == RATE else "quota_percent")]  # fmt: skip
    name = "frames_per_second" if plan.limit == RATE else "quota_percent"
    least, most = (_round(of(limit.known, default=None), digits) for of in (min, max))
    hardest = most if plan.limit == RATE else least
    bounded = f"{bound}{number(hardest)} {unit}" if bound else ""
    return [
        *case,
        Figure(name, "median", None if median is None else round(median, digits), unit,
               shown=shown),
        Figure(f"{name}_least", "least", least, unit, shown=bounded if least == hardest else ""),
        Figure(f"{name}_most", "most", most, unit, shown=bounded if most == hardest else ""),
        Figure("searches", "searches", len(limit.found)),
        Figure("unlimited", "", "yes" if limit.unlimited else "no"),
    ]  # fmt: skip


def _round(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


# ---- Notes ------------------------------------------------------------------------------------


def notes(comparison: Comparison) -> list[str]:
    return [
        *_lies(comparison),
        *(f"left out: {what}" for what in comparison.left_out),
        *_shortened(comparison),
        *_slow(comparison),
        *_blind(comparison),
        *_uneven(comparison),
        *_borrowed(comparison),
        *_meanings(comparison),
        *(f"{name}: {command}" for name, command in comparison.commands.items()),
    ]


def _lies(comparison: Comparison) -> Iterable[str]:
    """The worst round of each tool that does not say what it lost."""
    runs = [run for result in comparison.results for run in result.runs] if comparison.own else []
    for run in lies.worst_lies(runs):
        yield f"{lies.told(run)} ({told(run.case)})"


def _slow(comparison: Comparison) -> Iterable[str]:
    slow = [
        run
        for result in comparison.results
        for run in result.runs
        if run.case.rate and run.rate < _FASTEST * run.case.rate
    ]
    if slow:
        least = min(slow, key=lambda run: run.rate / run.case.rate)
        yield (
            f"{counted(len(slow), 'load')} did not reach the rate that was asked for, the slowest "
            f"{least.rate:,.0f} of {least.case.rate:,.0f} frames/s: this machine sends no faster, "
            "or who sent was held up"
        )


def _shortened(comparison: Comparison) -> Iterable[str]:
    seconds = comparison.shortened
    if seconds:
        yield (
            f"{counted(len(seconds), 'run')} ended early, for files would have taken more than "
            f"--size or the disk have: frames were sent for {min(seconds):.2g} s at least, not "
            f"{comparison.settings.seconds:g}"
        )


def _blind(comparison: Comparison) -> Iterable[str]:
    """A stall is seen between two looks at files."""
    runs = [run for result in comparison.results for run in result.runs]
    longest = max((run.timeline.blind_s for run in runs), default=0.0)
    if longest > _BLIND:
        yield (
            f"this bench was held up itself, for up to {1000 * longest:.0f} ms: a stall in that "
            "time was not seen, or seems longer"
        )


def _uneven(comparison: Comparison) -> Iterable[str]:
    """A tool on the other processor slows whoever sends as fast as it can."""
    offered: dict[Case, list[float]] = {}
    for result in comparison.results:
        if result.case.rate:
            continue
        offered.setdefault(result.case, []).append(_middle(result.runs).rate)
    if any(max(rates) > _EVEN * min(rates) for rates in offered.values()):
        yield (
            "not every tool was offered the same where frames went as fast as they go: compare "
            "losses at rates that were asked for"
        )


def _borrowed(comparison: Comparison) -> Iterable[str]:
    """Where nothing was lost, and would be in the end."""
    found = [
        f"{result.tool} ({told(result.case)})"
        for result in comparison.results
        if result.case.quota is not None
        and not any(run.lost for run in result.runs)
        and max(run.rate * (run.cpu_ns or 0) for run in result.runs) > 1e7 * result.case.quota
    ]
    if found:
        yield (
            "took more processor time than its quota pays for, lost nothing yet, and would if that "
            f"went on: {'; '.join(found)}: ring and buffer hold what comes for a moment"
        )


def _in_ring(settings: Settings, kept: int) -> int:
    """Frames that fastcap's ring holds. Imported here, when the bench is done: numpy is behind it,
    which has threads, and who has some may make no user namespace."""
    from fastcap.bench.plan import ring_bytes

    return settings.ring // ring_bytes(kept)


def _meanings(comparison: Comparison) -> Iterable[str]:
    plan, settings, ports = comparison.plan, comparison.settings, comparison.ports
    where = "a veth pair" if comparison.own else f"{ports.tx} (sends) and {ports.rx} (captured)"
    lasts = f"{settings.seconds:g} s" + (
        f" or {counted(settings.frames, 'frame')}" if settings.frames else ""
    )
    yield (
        f"over {where}, at most {lasts} at a time; ring {settings.ring >> 20} MiB, files of "
        f"{settings.file_size / _MEGA:,.0f} MB (who writes less begins no second one); fastcap has "
        f"{settings.buffer >> 20} MiB of buffer behind its ring, the others have none; netsniff-ng "
        "has no snaplen, and keeps whole frames"
    )
    yield (
        "bytes are of a frame on the wire, its FCS included; lost is what was offered and is in no "
        "file, counted by serial number; says is what the tool says itself, not told the "
        "difference in the worst round"
    )
    if plan.rounds > 1:
        yield (
            "figures are of the round in the middle, a frame's time is the median, the stall the "
            "longest; spread is where that of another such bench is expected: from the least to "
            "the most of the rounds, as much again on both sides, and of loss at least a tenth of "
            "what is kept on both, or 1 % where nothing is lost"
        )
    yield (
        "a frame's time is the processor time of the tool's own threads; the kernel's work of "
        "receiving it is not in it; a stall is the longest time in which its files did not grow "
        "while frames came, and between two writes of 4 MiB that is most of it at low rates"
    )
    if plan.limit is not None:
        least = f"{LEAST_SHARE:.0%} of the fastest" if plan.limit == RATE else "1 %"
        yield (
            f"limits: {SEARCHES} searches by halving, down to {least}, each to 8 %; of runs of "
            f"{settings.seconds:g} s, of which a ring holds some "
            f"{_in_ring(settings, 60):,} short frames: longer ones find lower limits"
        )


# ---- Charts -----------------------------------------------------------------------------------


def charts(comparison: Comparison) -> list[Lines | Bars]:
    plan, settings = comparison.plan, comparison.settings
    found: list[Lines | Bars] = []
    if len(plan.rates) > 1:
        found += _loss_charts(plan, comparison)
    found.append(_cost_chart(comparison))
    found += _waiting_charts(plan, settings, comparison)
    return found


def _loss_charts(plan: Plan, comparison: Comparison) -> Iterable[Lines]:
    """One for each size, snaplen and quota."""
    for place, case in enumerate(dict.fromkeys(one._replace(rate=0.0) for one in plan.cases())):
        series = [
            _loss_series(tool, several)
            for tool, several in _by_tool(comparison.results, case).items()
        ]
        if series:
            yield Lines(
                f"loss_{place + 1}", f"Lost, {_what(plan, case)}", "frames offered a second",
                "% lost", series, logarithmic=True,
            )  # fmt: skip


def _loss_series(tool: str, results: Sequence[Result]) -> Series:
    points = sorted(
        (_middle(result.runs).rate, result.lost_percent.median, result.runs) for result in results
    )
    return Series(
        tool,
        [(rate, round(lost, 4)) for rate, lost, _ in points],
        [
            (min(run.lost_percent for run in runs), max(run.lost_percent for run in runs))
            for _, _, runs in points
        ],
    )


def _by_tool(results: Sequence[Result], case: Case) -> dict[str, list[Result]]:
    """Those of a case, whatever the rate."""
    found: dict[str, list[Result]] = {}
    for result in results:
        if result.case._replace(rate=0.0) == case:
            found.setdefault(result.tool, []).append(result)
    return found


def _what(plan: Plan, case: Case) -> str:
    parts = [_size(case.size)]
    if len(plan.snaplens) > 1:
        parts.append(f"{case.snaplen or 'all'} kept")
    if case.quota is not None:
        parts.append(f"{case.quota:g} % of a processor")
    return ", ".join(parts)


def _size(size: str) -> str:
    return "a mix of sizes" if size == MIX else f"frames of {size} bytes"


def _cost_chart(comparison: Comparison) -> Bars:
    groups: dict[str, list[Bar]] = {}
    for cost in _costs(comparison):
        numbers = [round(value, 1) for value in (cost.median, min(cost.known), max(cost.known))]
        group = _what(comparison.plan, Case(cost.size, 0.0, cost.snaplen))
        groups.setdefault(group, []).append(Bar(cost.tool, *numbers))
    which = "without a quota" if None in comparison.plan.quotas else "under quotas"
    note = f"the tool's own threads, a frame written; least and most of all runs {which}"
    told = [BarGroup(size, bars) for size, bars in groups.items()]
    return Bars("cost", "Processor time a frame", "ns", told, note)


def _waiting_charts(plan: Plan, settings: Settings, comparison: Comparison) -> Iterable[Lines]:
    """Of the hardest load, without a quota and under the least."""
    fastest = 0.0 if 0.0 in plan.rates else max(plan.rates)
    quotas = [quota for quota in plan.quotas if quota is not None]
    hardest = [None] if None in plan.quotas else []
    for quota in [*hardest, *([min(quotas)] if quotas else [])]:
        case = Case(plan.sizes[0], fastest, plan.snaplens[0], quota)
        chosen = [one for one in comparison.results if one.case == case]
        if not chosen:
            continue
        series = [_waiting_series(one.tool, _middle(one.runs)) for one in chosen]
        kept = round(case.record(keeps_whole=False)) - RECORD_HEADER_SIZE
        yield Lines(
            "waiting" if quota is None else "waiting_quota",
            f"Offered and in no file, {told(case)}",
            "seconds since the first frame", "frames in ring and buffers, or lost", series,
            note=f"{settings.ring >> 20} MiB of fastcap's ring hold about "
            f"{_in_ring(settings, kept):,} of these frames; what never comes down is lost",
            marked="files did not grow while frames came",
        )  # fmt: skip


def _waiting_series(tool: str, run: Run) -> Series:
    timeline = run.timeline
    points = list(zip(timeline.seconds, map(float, timeline.waiting), strict=True))
    return Series(tool, points, marks=timeline.stalls)


# ---- JSON -------------------------------------------------------------------------------------


def more(comparison: Comparison) -> dict[str, Any]:
    """Every run, the settings, what was left out."""
    ports, settings = comparison.ports, comparison.settings._asdict()
    for name in ("ring", "buffer", "file_size", "size"):
        settings[f"{name}_bytes"] = settings.pop(name)
    return {
        "runs": [_run(run, at) for one in comparison.results for at, run in enumerate(one.runs)],
        "settings": {**settings, **ports._asdict(), "own_network": comparison.own},
        "left_out": list(comparison.left_out),
        "limit_searched": comparison.plan.limit,
        "searches": [
            {"tool": limit.tool, **_case(limit.case), "found": list(limit.found)}
            for limit in comparison.limits
        ],
        "commands": comparison.commands,
    }


def _case(case: Case) -> dict[str, Any]:
    return {
        "size": case.size,
        "snaplen": case.snaplen,
        "rate_asked": case.rate or None,
        "quota_percent": case.quota,
    }


def _run(run: Run, place: int) -> dict[str, Any]:
    """As the rows of the table have it, and more."""
    return {
        "tool": run.tool,
        **_case(run.case),
        "round": place + 1,
        "sent_seconds": run.seconds,
        "offered": run.offered,
        "offered_per_second": run.rate,
        "written": run.written,
        "lost": run.lost,
        "claimed_lost": run.claimed,
        "lost_unclaimed": run.unclaimed,
        "duplicates": run.duplicates,
        "cable_lost": run.cable_lost,
        "sender_late_seconds": run.late_s,
        "cpu_seconds": run.cpu_s,
        "stall_seconds": run.timeline.longest_stall_s,
        "not_looked_seconds": run.timeline.blind_s,
        "written_bytes": run.bytes,
    }
