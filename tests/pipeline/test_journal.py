"""The journal: what a commit says happens once, whatever is repeated; old rows become sums."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from fastcap.errors import OutputError
from fastcap.pipeline import journal as states
from fastcap.pipeline.journal import FOLDER, Journal
from fastcap.pipeline.report import Report
from fastcap.pipeline.spool import Facts, Seen

HOUR = 3600 * 10**9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / FOLDER).mkdir()
    return tmp_path


def seen(number: int) -> Seen:
    return Seen(f"x{number}.pcap", 1, number, 100, number)


def fill(journal: Journal, count: int, state: str) -> None:
    with journal.transaction():
        for number in range(1, count + 1):
            facts = Facts(10, HOUR * number, HOUR * number + 5, 1, 2, 3)
            journal.add(number, seen(number), facts, 0)
            journal.filtered(number, state, 10, 4, 0, None)


def test_a_commit_that_is_repeated_happens_once(folder: Path) -> None:
    journal = Journal(str(folder))
    for _ in range(3):
        journal.commit(7, lambda: journal.add_summary([(5, "arp", 2, 100)]))
    assert journal.summary(0) == [(5, "arp", 2, 100)]
    journal.commit(8, lambda: journal.add_summary([(5, "arp", 1, 50)]))
    assert journal.summary(0) == [(5, "arp", 3, 150)]
    journal.close()


def test_a_commit_that_fails_leaves_nothing_and_may_be_repeated(folder: Path) -> None:
    journal = Journal(str(folder))

    def fail() -> None:
        journal.add_summary([(5, "arp", 2, 100)])
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(sqlite3.OperationalError):
        journal.commit(1, fail)
    assert journal.summary(0) == []
    journal.commit(1, lambda: journal.add_summary([(5, "arp", 2, 100)]))
    assert journal.summary(0) == [(5, "arp", 2, 100)]
    journal.close()


def test_old_rows_become_sums_of_their_hour_that_count_the_same(folder: Path) -> None:
    journal = Journal(str(folder))
    fill(journal, 30, states.DELETED)
    before = Report(str(folder)).now()
    assert journal.fold(lambda _: False, keep=10) == 20
    after = Report(str(folder)).now()
    assert after["totals"] == before["totals"]
    assert after["originals"] == before["originals"]
    told = Report(str(folder)).files(0, 100 * HOUR)
    assert len(told["originals"]) == 10
    assert sum(row["originals"] for row in told["hours"]) == 20
    assert journal.fold(lambda _: False, keep=10) == 0
    journal.close()


def test_a_file_that_is_still_there_is_never_forgotten(folder: Path) -> None:
    """It would be filtered again."""
    journal = Journal(str(folder))
    fill(journal, 30, states.KEPT)
    assert journal.fold(lambda name: name == "x3.pcap", keep=10) == 19
    assert journal.state_of(seen(3)) is not None
    assert journal.state_of(seen(4)) is None
    journal.close()


def test_what_waits_is_never_folded(folder: Path) -> None:
    journal = Journal(str(folder))
    fill(journal, 5, states.DELETED)
    with journal.transaction():
        journal.add(9, seen(9), Facts(), 0)
    journal.fold(lambda _: False, keep=0)
    assert [row.id for row in journal.originals(states.WAITING)] == [9]
    assert journal.next_id() == 10
    journal.close()


def test_a_journal_that_is_no_database_is_refused_with_the_way_out(folder: Path) -> None:
    (folder / FOLDER / "journal.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(OutputError, match="moved away"):
        Journal(str(folder))


def test_ids_are_not_given_twice_after_all_rows_were_folded(folder: Path) -> None:
    journal = Journal(str(folder))
    fill(journal, 5, states.DELETED)
    journal.fold(lambda _: False, keep=0)
    assert journal.next_id() == 6
    journal.close()
