"""What a comparison of captures makes of its runs: limits, spreads, timelines, who lied."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastcap.bench import capture, comparison, groups
from fastcap.bench.comparison import Comparison, Plan, Result, Spread
from fastcap.bench.limits import SEARCHES, STEPS, highest_rate, lowest_quota, runs_at_most
from fastcap.bench.link import Ports
from fastcap.bench.runs import Case, Run, Settings
from fastcap.bench.timeline import MOST_POINTS, Timeline
from fastcap.bench.tools import ToolError
from fastcap.errors import OutputError, UsageError

CASE = Case("64", 0.0, 80)
NOTHING = Timeline([], [], [], 0.01, 0.005)
FASTEST = 2_000_000.0


def a_run(case: Case = CASE, tool: str = "tcpdump", **values: Any) -> Run:
    """Of which nothing was lost, unless `values` say so."""
    run = Run(
        tool, case, offered=1000, rate=case.rate or FASTEST, written=1000, duplicates=0, claimed=0,
        cpu_s=0.001, bytes=76_000, cable_lost=0, late_s=0.0, timeline=NOTHING,
    )  # fmt: skip
    return run._replace(**values)


# ---- Limits -----------------------------------------------------------------------------------


def carries(rate: float) -> Callable[[Case], Run]:
    """A tool that loses something above a rate."""
    return lambda case: a_run(case, written=1000 if (case.rate or FASTEST) <= rate else 999)


def test_the_highest_rate_is_found_as_near_as_halvings_go(rng: random.Random) -> None:
    for _ in range(50):
        limit = rng.uniform(FASTEST / 100, FASTEST * 0.99)
        found = highest_rate("tcpdump", CASE, carries(limit))
        assert len(found.found) == SEARCHES
        assert not found.unlimited
        for rate in found.known:
            assert rate <= limit <= rate * 100 ** (1 / 2**STEPS) * 1.0001


def test_a_tool_that_carries_all_that_can_be_sent_is_not_limited() -> None:
    found = highest_rate("tcpdump", CASE, carries(FASTEST))
    assert found.unlimited
    assert found.median == FASTEST


def test_a_limit_that_one_search_did_not_find_is_a_bound() -> None:
    searches = iter([FASTEST, FASTEST / 2, FASTEST / 2])
    limit = 0.0

    def attempt(case: Case) -> Run:
        nonlocal limit
        limit = next(searches) if not case.rate else limit
        return carries(limit)(case)

    assert highest_rate("tcpdump", CASE, attempt).unlimited


def test_a_tool_that_loses_at_the_lowest_rate_has_no_limit_that_is_known() -> None:
    found = highest_rate("tcpdump", CASE, carries(FASTEST / 101))
    assert found.found == (None,) * SEARCHES
    assert found.median is None


def test_the_rate_that_is_told_was_offered_not_asked_for() -> None:
    slow = highest_rate(
        "tcpdump", CASE, lambda case: carries(FASTEST / 2)(case)._replace(rate=case.rate * 0.9)
    )
    assert all(rate <= FASTEST / 2 * 0.9 for rate in slow.known)


def test_the_lowest_quota_is_found(rng: random.Random) -> None:
    for _ in range(50):
        needs = rng.uniform(1.01, 99)

        def attempt(case: Case, needs: float = needs) -> Run:
            assert case.quota is not None
            assert 0.99 <= case.quota <= 100.1
            return a_run(case, written=1000 if case.quota >= needs else 0)

        found = lowest_quota("fastcap", CASE, attempt)
        for quota in found.known:
            assert needs <= quota * 1.001
            assert quota <= needs * 100 ** (1 / 2**STEPS) * 1.001


def test_no_search_takes_more_runs_than_are_announced(rng: random.Random) -> None:
    for search in (highest_rate, lowest_quota):
        runs: list[Case] = []

        def attempt(case: Case, runs: list[Case] = runs) -> Run:
            runs.append(case)
            return a_run(case, written=1000 - rng.randrange(2))

        search("fastcap", CASE, attempt)
        assert len(runs) <= runs_at_most()


# ---- Spread -----------------------------------------------------------------------------------


def test_the_spread_is_the_range_and_as_much_again_on_both_sides() -> None:
    for values, spread in (
        ([10, 12, 11], Spread(11, 8, 14)),
        ([1, 5, 2], Spread(2, 0, 9)),  # nothing is below 0
        ([7], Spread(7, 7, 7)),
    ):
        assert Spread.of(values) == spread


def test_loss_has_a_spread_of_a_tenth_of_what_is_kept_or_a_percent_and_stays_a_share() -> None:
    def spread(*written: int) -> Spread:
        return Result("tcpdump", CASE, [a_run(written=value) for value in written]).lost_percent

    assert spread(1000, 1000, 1000) == Spread(0, 0, 1)
    assert spread(500, 400, 600) == Spread(50, 20, 80)
    assert spread(500, 500, 500) == Spread(50, 45, 55)
    assert spread(10, 20, 400).high == 100


# ---- Lies -------------------------------------------------------------------------------------


def told_of(*runs: Run) -> Comparison:
    results: dict[tuple[str, Case], list[Run]] = {}
    for run in runs:
        results.setdefault((run.tool, run.case), []).append(run)
    plan = Plan(["tcpdump"], ["64"], [0.0], [80], [None], 1, None)
    told = [Result(tool, case, several) for (tool, case), several in results.items()]
    return Comparison(plan, Settings("/tmp"), Ports("a", "b"), True, told, [], [], {})


def lies(*runs: Run) -> list[str]:
    return [note for note in capture.notes(told_of(*runs)) if "DOES NOT TELL THE TRUTH" in note]


def test_the_worst_round_of_a_tool_that_lies_is_told() -> None:
    honest = a_run(written=900, claimed=100)
    assert lies(honest, a_run(tool="dumpcap")) == []
    (said,) = lies(honest, a_run(written=900, claimed=90), a_run(written=800, claimed=0), honest)
    assert "200 of 1,000 frames are not in its files" in said
    assert "it says that it lost 0" in said
    (said,) = lies(a_run(claimed=5))  # nothing is missing
    assert "it says that it lost 5" in said


def test_both_of_two_liars_are_named() -> None:
    said = lies(a_run(written=1, claimed=0), a_run(tool="dumpcap", written=999))
    assert [note.split()[0] for note in said] == ["tcpdump", "dumpcap"]


def test_between_ports_nobody_is_called_a_liar_for_what_the_cable_lost() -> None:
    told = told_of(a_run(written=900))._replace(own=False)
    assert not any("DOES NOT TELL" in note for note in capture.notes(told))


def test_a_tool_that_wrote_nothing_is_told_without_a_cost() -> None:
    told = told_of(a_run(written=0, claimed=1000, cpu_s=0.0))
    (results,) = capture.tables(told)
    assert results.as_json()[0]["cpu_ns"] is None  # type: ignore[index]
    assert "100 %" in str(results.cells())


def test_whoever_lives_on_the_ring_is_told() -> None:
    """500,000 frames/s of 200 ns each are 10 % of a processor."""
    case = Case("64", 500_000.0, 80, 5.0)
    notes = capture.notes(told_of(a_run(case, cpu_s=0.0002)))
    assert any("lost nothing yet, and would" in note for note in notes)
    enough = capture.notes(told_of(a_run(case._replace(quota=20.0), cpu_s=0.0002)))
    assert not any("lost nothing yet" in note for note in enough)


def test_json_has_the_rate_of_each_run_and_what_was_asked_for() -> None:
    (run,) = capture.more(told_of(a_run(rate=1_234_567)))["runs"]
    assert (run["offered_per_second"], run["rate_asked"]) == (1_234_567, None)


def test_frames_of_which_more_is_kept_have_a_cost_of_their_own() -> None:
    whole = CASE._replace(snaplen=0)
    told = told_of(
        a_run(cpu_s=0.0001), a_run(whole, cpu_s=0.001), a_run(whole, "dumpcap", cpu_s=0.002)
    )
    told = told._replace(plan=told.plan._replace(snaplens=[80, 0]))
    _, cost = capture.tables(told)
    rows: Any = cost.as_json()
    assert [(row["tool"], row["snaplen"], row["cpu_ns"], row["times"]) for row in rows] == [
        ("tcpdump", 80, 100, 1), ("tcpdump", 0, 1000, 1), ("dumpcap", 0, 2000, 2),
    ]  # fmt: skip


def test_one_round_has_no_spread() -> None:
    one = told_of(a_run())
    results = capture.tables(one)[0].as_json()
    assert results[0]["cpu_ns_low"] is None  # type: ignore[index]
    assert "a frame, spread" not in capture.tables(one)[0].head
    several = told_of(a_run(), a_run())._replace(plan=one.plan._replace(rounds=2))
    assert "a frame, spread" in capture.tables(several)[0].head


def test_runs_that_ended_for_want_of_room_are_told_with_how_long_they_were() -> None:
    told = told_of(a_run())._replace(shortened=[0.85, 2.0])
    said = [note for note in capture.notes(told) if "ended early" in note]
    assert len(said) == 1
    assert "2 runs" in said[0]
    assert "0.85 s at least, not 3" in said[0]
    assert not any("ended early" in note for note in capture.notes(told_of(a_run())))


def test_tools_that_were_offered_less_are_told_only_where_no_rate_was_asked_for() -> None:
    def uneven(case: Case) -> bool:
        runs = a_run(case, rate=1000), a_run(case, "dumpcap", rate=900)
        return any("not every tool" in note for note in capture.notes(told_of(*runs)))

    assert uneven(CASE)
    assert not uneven(CASE._replace(rate=1000))


# ---- Timeline ---------------------------------------------------------------------------------


def test_what_waits_is_what_came_and_is_in_no_file() -> None:
    looks = [(0.0, 0, 24), (0.5, 100, 24), (1.0, 200, 7_624), (1.5, 200, 15_224)]
    timeline = Timeline.of(looks, 200 / 15_224, 200)
    assert timeline.seconds == [0.0, 0.5, 1.0, 1.5, 1.5]
    assert timeline.waiting == [0, 100, 100, 0, 0]
    assert timeline.stalls == [(0.0, 0.5)]


def test_a_long_run_is_thinned_and_keeps_its_end() -> None:
    looks = [(at / 100, at, 24 + at * 76) for at in range(100_000)]
    timeline = Timeline.of(looks, 1 / 76, 100_000)
    assert len(timeline.seconds) <= MOST_POINTS + 1
    assert timeline.seconds[-1] == looks[-1][0]


def test_a_stall_that_lasts_to_the_end_is_one() -> None:
    looks = [(0.0, 100, 7_624), (1.0, 200, 7_624), (2.0, 300, 7_624)]
    assert Timeline.of(looks, 1 / 76, 300).stalls == [(0.0, 2.0)]


def test_files_that_stand_still_while_nothing_comes_are_no_stall() -> None:
    looks = [
        (0.0, 100, 24),
        (1.0, 100, 24),
        (2.0, 100, 7_624),
        (3.0, 200, 7_624),
        (4.0, 200, 9_000),
    ]
    assert Timeline.of(looks, 1 / 76, 200).stalls == [(2.0, 3.0)]


def test_a_stall_ends_with_the_last_frame_and_is_no_longer_than_nobody_wrote() -> None:
    """Frames come until 3; then a tool keeps the rest for a second."""
    looks = [(at / 100, at * 10, 24 + at * 760) for at in range(300)]
    looks += [(3.0, 3000, looks[-1][2]), (3.6, 3000, looks[-1][2]), (4.2, 3000, 24 + 228_000)]
    timeline = Timeline.of(looks, 1 / 76, 3000)
    assert timeline.stalls == []
    assert timeline.longest_stall_s == pytest.approx(0.01)
    assert timeline.blind_s == pytest.approx(0.01)


def test_a_bench_that_does_not_look_sees_no_stall_and_knows_that() -> None:
    looks = [(0.0, 100, 24), (0.5, 40_000, 3_000_000), (0.51, 41_000, 3_100_000)]
    timeline = Timeline.of(looks, 1 / 76, 41_000)
    assert (timeline.longest_stall_s, timeline.blind_s) == (0, 0.5)


# ---- Turns ------------------------------------------------------------------------------------


class StandIn:
    """A runner whose tools do as they are told."""

    class link:  # noqa: N801 - as the runner's attribute is called
        tx, rx, own = "fcload", "fcbench", True

    def __init__(self, folder: Path, fails: str) -> None:
        self.settings = Settings(str(folder))
        self.fails = fails
        self.runs: list[str] = []
        self.rate = 0.0  # of 1,000 frames; 0 is what fills the time

    def run(self, name: str, case: Case, frames: int) -> Run:
        assert frames > 0
        self.runs.append(name)
        if name == self.fails:
            raise ToolError(f"{name}: broken glass")
        return a_run(case, tool=name)._replace(rate=self.rate or 1000 / self.settings.seconds)


def compared(runner: StandIn, *tools: str, rounds: int = 2, limit: str | None = None) -> Comparison:
    plan = Plan(tools, ["64"], [1000.0, 0.0], [80], [None], rounds, limit)
    comparing = comparison._Comparing(plan, runner, lambda *_: None, [])  # type: ignore[arg-type]
    return comparing.all()


@pytest.fixture
def all_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "installed", lambda _: True)


def test_tools_take_turns_in_each_round(tmp_path: Path, all_installed: None) -> None:
    runner = StandIn(tmp_path, "")
    told = compared(runner, "fastcap", "tcpdump")
    assert runner.runs == ["fastcap", "tcpdump"] * 2 + ["tcpdump", "fastcap"] * 2
    assert [(one.tool, one.case.rate, len(one.runs)) for one in told.results] == [
        ("fastcap", 1000, 2), ("tcpdump", 1000, 2), ("fastcap", 0, 2), ("tcpdump", 0, 2),
    ]  # fmt: skip


def test_a_peer_that_fails_is_left_out_once_and_fastcap_is_not(
    tmp_path: Path, all_installed: None
) -> None:
    told = compared(StandIn(tmp_path, "dumpcap"), "fastcap", "dumpcap", limit="rate")
    assert {one.tool for one in told.results} == {"fastcap"}
    assert {one.tool for one in told.limits} == {"fastcap"}
    assert told.left_out == ["dumpcap: broken glass"]
    assert told.shortened == []
    with pytest.raises(ToolError):
        compared(StandIn(tmp_path, "fastcap"), "fastcap", "dumpcap")


def test_a_run_that_its_room_made_shorter_is_noted(tmp_path: Path, all_installed: None) -> None:
    runner = StandIn(tmp_path, "")
    runner.settings = runner.settings._replace(seconds=2.0)
    runner.rate = 1000.0
    assert compared(runner, "fastcap", rounds=1).shortened == [1.0, 1.0]


def test_without_quotas_the_rest_is_measured_unless_nothing_is_left() -> None:
    plan = Plan(["fastcap"], ["64"], [0.0], [80], [None, 5.0, 2.0], 1, None)
    left, what = comparison._without_quotas(plan, "no quota: no cgroup")
    assert left.quotas == (None,)
    assert what == "quotas of 5%, 2%: no quota: no cgroup"
    for nothing in (plan._replace(quotas=[5.0]), plan._replace(limit="quota")):
        with pytest.raises(UsageError):
            comparison._without_quotas(nothing, "no quota")


# ---- Control groups ---------------------------------------------------------------------------


def test_a_group_of_version_2_is_made_limited_lifted_and_removed(tmp_path: Path) -> None:
    """In a directory that looks like one, which says what is written."""
    (tmp_path / "cgroup.subtree_control").write_text("memory")
    group = groups.GroupV2(tmp_path)
    folder = group.folder
    assert folder.is_dir()
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu"
    group.adopt(4711)
    assert (folder / "cgroup.procs").read_text() == "4711"
    group.limit(5)
    assert (folder / "cpu.max").read_text() == "5000 100000"
    group.lift()
    assert (folder / "cpu.max").read_text() == "max 100000"
    for file in folder.iterdir():  # in the kernel's they are no files
        file.unlink()
    group.close()
    assert not folder.exists()
    assert (tmp_path / "cgroup.subtree_control").read_text() == "-cpu"


@pytest.mark.parametrize(
    ("file", "text", "kept"),
    [
        ("cpu.max", "max 100000\n", False),
        ("cpu.max", "20000 100000\n", True),
        ("cpu.weight", "100\n", False),
        ("cpu.weight", "500\n", True),
    ],
)
def test_a_group_of_somebody_else_keeps_its_quota(
    tmp_path: Path, file: str, text: str, kept: bool
) -> None:
    """One that was given while the bench ran, which switched the controller on."""
    (tmp_path / "cgroup.subtree_control").write_text("")
    group = groups.GroupV2(tmp_path)
    other = tmp_path / "web.service"
    other.mkdir()
    (other / "cpu.max").write_text("max 100000\n")
    (other / "cpu.weight").write_text("100\n")
    (other / file).write_text(text)
    group.close()
    assert (tmp_path / "cgroup.subtree_control").read_text() == ("+cpu" if kept else "-cpu")


def test_a_group_that_cannot_be_made_switches_nothing_on(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("")
    (tmp_path / groups._name()).write_text("in the way")
    with pytest.raises(UsageError, match="no quota: no cgroup"):
        groups.GroupV2(tmp_path)
    assert (tmp_path / "cgroup.subtree_control").read_text() == "-cpu"


def test_a_quota_above_that_of_the_group_around_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("cpu")
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    group = groups.GroupV2(tmp_path)
    group.limit(50)
    with pytest.raises(UsageError, match="has 50 % itself"):
        group.limit(51)


def test_a_group_that_stays_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "_LONGEST", 0.1)
    group = groups.GroupV1(tmp_path)
    (group.folder / "somebody").write_text("is in it")
    with pytest.raises(OutputError, match=f"{group.folder}: cannot be removed"):
        group.close()


def test_a_group_of_version_1_is_limited_in_microseconds(tmp_path: Path) -> None:
    group = groups.GroupV1(tmp_path)
    group.limit(150)
    folder = group.folder
    assert (folder / "cpu.cfs_period_us").read_text() == "100000"
    assert (folder / "cpu.cfs_quota_us").read_text() == "150000"
    group.lift()
    assert (folder / "cpu.cfs_quota_us").read_text() == "-1"


def test_where_no_group_may_be_made_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no quota: no cgroup .*nowhere"):
        groups.GroupV1(tmp_path / "nowhere")
