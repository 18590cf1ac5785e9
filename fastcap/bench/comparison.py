"""Tools in turns under the same loads, round after round, and what that says of each."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fastcap.bench.folder import left_by_others
from fastcap.bench.generator import MIX
from fastcap.bench.groups import check_quotas
from fastcap.bench.limits import Limit, highest_rate, lowest_quota, runs_at_most
from fastcap.bench.link import Ports, open_link
from fastcap.bench.runs import Case, Run, Runner, Settings, frames_of, request
from fastcap.bench.stops import heeded
from fastcap.bench.tools import Tool, ToolError, check_installed, installed, tool
from fastcap.errors import UsageError

RATE, QUOTA = "rate", "quota"  # what a limit is searched of
_LEAST_SPREAD_PERCENT = 1.0  # of loss
_ALL_OF_IT = 0.9  # of --seconds; who sent for a shorter time was ended by something else
# A machine is a tenth faster or slower an hour later, more than from one round to the next; so much
# more or less of the frames a tool that cannot keep up keeps.
_HOURLY_SHARE = 0.1
_A_RUN = 3.5  # seconds besides the sending: a tool begins, is done, ends
_MORE_UNDER_QUOTA = 4.0

Progress = Callable[[int, int, str], None]
Announce = Callable[["Plan"], None]


class Plan(NamedTuple):
    """All of it with all of it: each size at each rate (0: as fast as they can be sent) with each
    snaplen under each quota (None: without), `rounds` times. `limit`, RATE or QUOTA, is searched
    besides."""

    tools: Sequence[str]
    sizes: Sequence[str]
    rates: Sequence[float]
    snaplens: Sequence[int]
    quotas: Sequence[float | None]
    rounds: int
    limit: str | None

    def cases(self) -> list[Case]:
        return [
            Case(size, rate, snaplen, quota)
            for size in self.sizes
            for snaplen in self.snaplens
            for quota in self.quotas
            for rate in self.rates
        ]

    def limit_cases(self) -> list[Case]:
        """Those of which a limit is searched: without what is searched."""
        if self.limit is None:
            return []
        if self.limit == RATE:
            return list(dict.fromkeys(case._replace(rate=0.0) for case in self.cases()))
        return list(dict.fromkeys(case._replace(quota=None) for case in self.cases()))

    def runs(self) -> int:
        """At most."""
        searches = len(self.limit_cases()) * runs_at_most()
        return len(self.tools) * (len(self.cases()) * self.rounds + searches)

    def seconds(self, settings: Settings) -> float:
        """About. A tool that has a part of a processor takes as long as it takes."""
        searches = len(self.limit_cases()) * runs_at_most()
        cases = [case.quota for case in self.cases()] * self.rounds
        under_quota = sum(quota is not None for quota in cases)
        under_quota += searches if self.limit == QUOTA else 0
        return self.runs() * (settings.seconds + _A_RUN) + (
            len(self.tools) * under_quota * _MORE_UNDER_QUOTA
        )


class Result(NamedTuple):
    """What the rounds of one tool in one case gave."""

    tool: str
    case: Case
    runs: Sequence[Run]

    @property
    def lost_percent(self) -> Spread:
        spread = Spread.of([run.lost_percent for run in self.runs])
        around = _LEAST_SPREAD_PERCENT
        if spread.median > 0:
            around = max(around, _HOURLY_SHARE * (100 - spread.median))
        low = max(0.0, min(spread.low, spread.median - around))
        high = min(100.0, max(spread.high, spread.median + around))
        return Spread(spread.median, low, high)

    @property
    def cpu_ns(self) -> Spread | None:
        """None where a round wrote nothing."""
        known = [run.cpu_ns for run in self.runs if run.cpu_ns is not None]
        return Spread.of(known) if len(known) == len(self.runs) else None


class Spread(NamedTuple):
    """A median, and where that of another such bench is expected: between the least and the most of
    the rounds, and as much again on either side."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        least, most = min(values), max(values)
        range_ = most - least
        return cls(statistics.median(values), max(0.0, least - range_), most + range_)


class Comparison(NamedTuple):
    """`plan` is what was done of the plan; `left_out` says what was asked for and could not be had;
    `commands`, how each tool ran; `ports`, what the ends of the link were called, `own` whether it
    was ours. `shortened` are the runs that the room for files ended early: seconds of sending."""

    plan: Plan
    settings: Settings
    ports: Ports
    own: bool
    results: Sequence[Result]
    limits: Sequence[Limit]
    left_out: Sequence[str]
    commands: dict[str, str]
    shortened: Sequence[float] = ()


def compare(
    plan: Plan,
    settings: Settings,
    ports: Ports | None,
    progress: Progress | None,
    announce: Announce | None = None,
) -> Comparison:
    """Tools take turns, so that a slow minute is everybody's. A peer that cannot be run is left
    out, fastcap is not; neither is a quota where there can be none. `announce` is called before
    anything is sent, with what is left of the plan. Without `ports` on a cable of our own, for
    which this process leaves its namespaces for good. Signals end it between two looks, and nothing
    is left: KeyboardInterrupt, Interrupted. InputError, UsageError, OutputError."""
    longest = max(wire for case in plan.cases() for wire, _ in case.sizes)
    with heeded() as heed, open_link(ports, longest) as link:
        left_out = [f"{name}: not installed" for name in plan.tools if not installed(name)]
        plan = plan._replace(tools=check_installed(plan.tools))
        quotas = [quota for quota in plan.quotas if quota is not None]
        if plan.limit == QUOTA or quotas:
            try:
                check_quotas(quotas)
            except UsageError as error:
                plan, what = _without_quotas(plan, str(error))
                left_out.append(what)
        if announce is not None:
            announce(plan)
        runner = Runner(settings, link, heed)
        comparing = _Comparing(plan, runner, progress or (lambda *_: None), left_out)
        comparison = comparing.all()
    notes = left_by_others(settings.folder)
    return comparison._replace(left_out=[*comparison.left_out, *notes])


def in_turns(tools: Sequence[str], place: int) -> list[str]:
    """Who goes when in the round at `place`: each time another one begins, so that no tool always
    comes behind the same.

    >>> in_turns(["fastcap", "tcpdump", "dumpcap"], 1)
    ['tcpdump', 'dumpcap', 'fastcap']
    """
    first = place % len(tools) if tools else 0
    return [*tools[first:], *tools[:first]]


class _Comparing:
    def __init__(self, plan: Plan, runner: Runner, progress: Progress, left_out: list[str]) -> None:
        self.plan = plan
        self.runner = runner
        self.progress = progress
        self.done = 0
        self.left_out = left_out
        self.shortened: list[float] = []
        self.tools = list(plan.tools)
        self.keeps_whole = any(self._how(name).keeps_whole for name in self.tools)

    def _how(self, name: str) -> Tool:
        runner = self.runner
        asked = request(runner.settings, runner.link.rx, self.plan.snaplens[0])
        return tool(name, asked, Path("DIR"))

    def all(self) -> Comparison:
        runs: dict[tuple[Case, str], list[Run]] = {}
        for place in range(self.plan.rounds):
            for case in self.plan.cases():
                for run in self._turns(case, place):
                    runs.setdefault((case, run.tool), []).append(run)
        if not runs:
            raise ToolError("no tool could be run: " + "; ".join(self.left_out))
        results = [
            Result(name, case, several)
            for (case, name), several in runs.items()
            if name in self.tools
        ]
        limits = [
            limit
            for case in self.plan.limit_cases()
            for name in list(self.tools)
            for limit in self._limit(name, case)
        ]
        commands = {name: self._how(name).command for name in self.tools}
        link = self.runner.link
        return Comparison(
            self.plan, self.runner.settings, Ports(link.tx, link.rx), link.own, results, limits,
            self.left_out, commands, self.shortened,
        )  # fmt: skip

    def _turns(self, case: Case, place: int) -> Iterator[Run]:
        for name in in_turns(self.tools, place):
            try:
                yield self._run(name, case)
            except ToolError as error:
                self._leave_out(name, error)

    def _limit(self, name: str, case: Case) -> Iterator[Limit]:
        search = highest_rate if self.plan.limit == RATE else lowest_quota
        try:
            yield search(name, case, lambda tried: self._run(name, tried))
        except ToolError as error:
            self._leave_out(name, error)

    def _leave_out(self, name: str, error: ToolError) -> None:
        if name == "fastcap":
            raise error
        self.tools.remove(name)
        self.left_out.append(str(error))

    def _run(self, name: str, case: Case) -> Run:
        self.progress(self.done, self.plan.runs(), f"{name}, {told(case)}")
        settings = self.runner.settings
        frames = frames_of(settings, case, self.keeps_whole)
        try:
            run = self.runner.run(name, case, frames)
        finally:
            self.done += 1
        if run.seconds < _ALL_OF_IT * settings.seconds and frames != settings.frames:
            self.shortened.append(run.seconds)
        return run


def told(case: Case) -> str:
    """For people."""
    size = "a mix of sizes" if case.size == MIX else f"{case.size} bytes"
    rate = f"{case.rate:,.0f} frames/s" if case.rate else "as fast as they go"
    quota = "" if case.quota is None else f", {case.quota:.3g} % of a processor"
    return f"{size}, {rate}{quota}"


def _without_quotas(plan: Plan, problem: str) -> tuple[Plan, str]:
    """The plan where there can be none, and what was left out. UsageError where nothing is left."""
    if plan.limit == QUOTA:
        raise UsageError(f"{problem}; --find-limit quota needs one, --find-limit rate does not")
    if not any(quota is None for quota in plan.quotas):
        raise UsageError(f"{problem}; --quotas none goes without")
    asked = ", ".join(f"{quota:g}%" for quota in plan.quotas if quota is not None)
    return plan._replace(quotas=(None,)), f"quotas of {asked}: {problem}"
