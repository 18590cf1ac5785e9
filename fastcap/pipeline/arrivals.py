"""The originals that wait: how they come, in which order, and how one is lost before its turn."""

from __future__ import annotations

import bisect
import os
import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import NamedTuple

from fastcap.pipeline.journal import FAILED, LOST, WAITING, Journal
from fastcap.pipeline.settings import Counts
from fastcap.pipeline.spool import Facts, Seen, Spool, facts_of, is_same, order_of, sequence_of
from fastcap.pipeline.state import Backlog

_GREW = (
    "it has grown since it was filtered, so it was not finished then (--finished quiet:30 may suit "
    "who writes it); what it begins with is in the outputs, the rest is not"
)


class Waiting(NamedTuple):
    """An original that is to be filtered."""

    number: int
    seen: Seen
    facts: Facts
    attempts: int


class Arrivals:
    """What waits, by number. `new` are those that the journal does not know yet, `changes` what
    else it is to be told, in this order.

    `on_known` is told of files that were dealt with before and are there again: number, file,
    state, error. `in_work` are numbers that a worker has: of these nothing is changed behind its
    back.
    """

    def __init__(
        self,
        spool: Spool,
        journal: Journal,
        counts: Counts,
        on_note: Callable[[str], None],
        on_known: Callable[[int, Seen, str, str], None],
    ) -> None:
        self.spool = spool
        self.journal = journal
        self.counts = counts
        self.on_note = on_note
        self.on_known = on_known
        self.new: list[Waiting] = []
        self.changes: list[Callable[[], None]] = []
        self._waiting: dict[int, Waiting] = {}
        self._numbers: dict[str, int] = {}  # by name
        self._by_inode: dict[tuple[int, int], int] = {}
        self._order: list[tuple[tuple[str | int, ...], int]] = []
        self._sequences: dict[str, int] = {}  # the last of each series
        self._next = journal.next_id()
        for row in journal.originals(WAITING):
            facts = facts_of(spool.path(row.seen.name), row.seen)
            self._add(Waiting(row.id, row.seen, facts, row.attempts))

    def __len__(self) -> int:
        return len(self._waiting)

    def __getitem__(self, number: int) -> Waiting:
        return self._waiting[number]

    def __contains__(self, number: int) -> bool:
        return number in self._waiting

    def in_order(self) -> Iterator[Waiting]:
        """As they are to be filtered; they may be removed meanwhile."""
        for _, number in list(self._order):
            if number in self._waiting:
                yield self._waiting[number]

    def backlog(self) -> Backlog:
        sizes = [waiting.seen.bytes for waiting in self._waiting.values()]
        changed = [waiting.seen.changed_ns for waiting in self._waiting.values()]
        seconds = (time.time_ns() - min(changed)) / 1e9 if changed else 0.0
        return Backlog(len(sizes), sum(sizes), max(0.0, seconds))

    def _add(self, waiting: Waiting) -> None:
        self._waiting[waiting.number] = waiting
        self._by_inode[waiting.seen.device, waiting.seen.inode] = waiting.number
        self._numbers[waiting.seen.name] = waiting.number
        bisect.insort(self._order, (order_of(waiting.seen.name), waiting.number))

    def remove(self, number: int) -> Waiting:
        """It waits no more."""
        waiting = self._waiting.pop(number)
        self._by_inode.pop((waiting.seen.device, waiting.seen.inode), None)
        self._numbers.pop(waiting.seen.name, None)
        del self._order[bisect.bisect_left(self._order, (order_of(waiting.seen.name), number))]
        return waiting

    def tried(self, number: int, error: str) -> Waiting:
        """Once more, in vain."""
        waiting = self._waiting[number]
        waiting = self._waiting[number] = waiting._replace(attempts=waiting.attempts + 1)
        self.changes.append(partial(self.journal.failed, number, waiting.attempts, error))
        return waiting

    def committed(self) -> None:
        """The journal knows what is new."""
        self.new.clear()
        self.changes.clear()

    # ---- Coming -------------------------------------------------------------------------------

    def look(self, in_work: Collection[int]) -> None:
        """OSError where the spool cannot be read; sqlite3.Error."""
        found, gone = self.spool.look()
        try:
            came: list[tuple[str, Seen | None]] = [(name, None) for name in gone]
            came += [(seen.name, seen) for seen in found]
            for name, seen in sorted(came, key=lambda one: order_of(one[0])):
                if seen is not None:
                    self._see(seen, in_work)
                else:
                    self._pass_sequence(name)
                    self._lose_unknown(name)
            there = self.spool.vanished()
            if there is not None:
                self._miss([name for name in self._numbers if name not in there], in_work)
        except BaseException:
            for seen in found:
                self.spool.forget(seen.name)
            raise

    def _see(self, seen: Seen, in_work: Collection[int]) -> None:
        number = self._numbers.get(seen.name)
        if number is not None and self._waiting[number].seen == seen:
            return
        if number is not None and number in in_work:  # its worker finds it changed
            self.spool.forget(seen.name)
            return
        known = self.journal.state_of(seen)
        facts = facts_of(self.spool.path(seen.name), seen)
        if number is not None:
            self._replace(number, seen, facts)
        if known is not None:
            original, state, error = known
            self.on_known(original, seen, state, error or "")
        elif not self._is_renamed(seen, in_work):
            self._pass_sequence(seen.name)
            if facts.first_ns is not None and self.journal.has_grown(seen, facts):
                self._refuse_growth(seen, facts)
                return
            waiting = Waiting(self._next, seen, facts, 0)
            self._next += 1
            self._add(waiting)
            self.new.append(waiting)

    def _refuse_growth(self, seen: Seen, facts: Facts) -> None:
        """Its frames would be there twice."""
        self.counts.failed += 1
        self.on_note(f"{self.spool.path(seen.name)}: {_GREW}: passed over")
        self.changes.append(
            partial(self.journal.add, self._next, seen, facts, time.time_ns(), FAILED, _GREW)
        )
        self._next += 1

    def _replace(self, number: int, seen: Seen, facts: Facts) -> None:
        """What waited is another file now, or a longer one that begins alike."""
        waiting = self.remove(number)
        is_same_file = waiting.seen.inode == seen.inode and waiting.facts.first_ns == facts.first_ns
        if is_same_file and waiting.seen.bytes <= seen.bytes:
            self._forget(number)
        else:
            self._lose(waiting)

    def _forget(self, number: int) -> None:
        self.new = [one for one in self.new if one.number != number]
        self.changes.append(partial(self.journal.remove, number))

    def _is_renamed(self, seen: Seen, in_work: Collection[int]) -> bool:
        """Whether it is one that waits, under another name now."""
        number = self._by_inode.get((seen.device, seen.inode))
        if number is None:
            return False
        waiting = self._waiting[number]
        if os.path.lexists(self.spool.path(waiting.seen.name)):
            return False
        if number in in_work:  # its worker does not find it, and then it is looked at
            self.spool.forget(seen.name)
            return True
        self.remove(number)
        self._add(waiting._replace(seen=seen))
        self.changes.append(partial(self.journal.rename, number, seen))
        return True

    def _pass_sequence(self, name: str) -> None:
        """Numbers of a series that nobody has seen: files deleted while no service ran."""
        found = sequence_of(name)
        if found is None:
            return
        series, sequence = found
        key = f"sequence {series}"
        last = self._sequences.get(series) or self.journal.remembered(key)
        if last is not None and sequence <= last:
            return  # an old one was put back, or another capture began anew
        if last is not None and sequence > last + 1:
            missing = sequence - last - 1
            self.counts.unseen += missing
            self.changes.append(partial(self.journal.count, "unseen", missing))
            self.on_note(
                f"{name}: {missing:,} files of its series before it were never here: they are lost "
                "unfiltered, with an unknown number of frames"
            )
        self._sequences[series] = sequence
        self.changes.append(partial(self.journal.remember, key, sequence))

    # ---- Going --------------------------------------------------------------------------------

    def is_still_there(self, waiting: Waiting) -> bool:
        """As it was seen. Otherwise it waits no more: it is lost, or comes anew. OSError."""
        try:
            if is_same(self.spool.path(waiting.seen.name), waiting.seen):
                return True
        except FileNotFoundError:
            if not self._has_another_name(waiting):
                self._lose(self.remove(waiting.number))
            return False
        self.spool.forget(waiting.seen.name)
        self.remove(waiting.number)
        self._forget(waiting.number)
        return False

    def _has_another_name(self, waiting: Waiting) -> bool:
        for seen in self.spool.same_file(waiting.seen):
            self.remove(waiting.number)
            self._add(waiting._replace(seen=seen))
            self.changes.append(partial(self.journal.rename, waiting.number, seen))
            return True
        return False

    def _miss(self, names: list[str], in_work: Collection[int]) -> None:
        """Those that are not there any more."""
        for name in names:
            number = self._numbers[name]
            if number not in in_work and not os.path.lexists(self.spool.path(name)):
                self.is_still_there(self._waiting[number])

    def _lose(self, waiting: Waiting) -> None:
        self._count_lost(waiting.seen, waiting.facts)
        self.changes.append(partial(self.journal.set_state, waiting.number, LOST, time.time_ns()))

    def _lose_unknown(self, name: str) -> None:
        """One that came and went before anybody looked."""
        seen, facts = Seen(name, 0, 0, 0, 0), Facts()
        self._count_lost(seen, facts)
        self.changes.append(
            partial(self.journal.add, self._next, seen, facts, time.time_ns(), LOST)
        )
        self._next += 1

    def _count_lost(self, seen: Seen, facts: Facts) -> None:
        self.counts.lost += 1
        self.counts.lost_frames += facts.frames or 0
        self.counts.lost_uncounted += facts.frames is None
        frames = "an unknown number of" if facts.frames is None else f"{facts.frames:,}"
        self.on_note(
            f"{self.spool.path(seen.name)}: gone before it was filtered: {frames} frames are lost"
        )
