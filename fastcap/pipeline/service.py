"""The service behind `fastcap follow`: originals through a worker into outputs, each exactly once.

One loop on one thread: look at the spool, listen to the worker, make sure (sync, commit), dispose
of originals, feed the worker. Whatever fails, `_start_over` kills the worker, and before the next
one the outputs are cut to what is sure: that is also how a service begins.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import pickle
import select
import signal
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from fastcap.disk import Trouble
from fastcap.engine import Engine
from fastcap.errors import OutputError
from fastcap.filter import Filter
from fastcap.folders import sync_folder
from fastcap.locks import BusyError, Lock
from fastcap.outputs import refusal
from fastcap.pipeline import journal as states
from fastcap.pipeline.arrivals import Arrivals, Waiting
from fastcap.pipeline.hired import Hired, Holder
from fastcap.pipeline.journal import FOLDER, Journal, Part, path_of, reserve_of
from fastcap.pipeline.originals import DELETE, KEEP, Disposal
from fastcap.pipeline.outlets import open_outlets
from fastcap.pipeline.settings import Counts, Settings
from fastcap.pipeline.spool import QUIET, Seen, Spool
from fastcap.pipeline.state import Snapshot, write_snapshot
from fastcap.pipeline.traffic import write_hours
from fastcap.pipeline.worker import DEATH, HOPELESS, ORIGINAL, OUTPUT, part_of_json
from fastcap.pressure import Pressure
from fastcap.signals import SAME_STOP, STOPS, Signals

_MOST_AHEAD, _BYTES_AHEAD = 16, 1 << 30  # originals that the worker has besides the one in work
_COMMIT_EVERY = 0.5  # seconds, where nothing but arrivals and disposals waits
_PAUSE = 1.0  # seconds after an output, the journal, or a worker could not be had
_LONGEST_PAUSE = 30.0
_RETRY, _LATER_RETRY = 0.1, 10.0  # seconds before another attempt at an original
_TRIES = 5  # to give the last parts their names
_AGAIN = 5.0  # seconds until an original that could not be deleted is tried again
_LONGEST_WAIT = 1.0
_STATUS_EVERY = 1.0
_FOLD_EVERY = 500  # commits
_LATE = 120  # seconds that an hour of the summary waits for late frames


class Service:
    """Owns a spool from the constructor until `close`. `settings` are checked, and the `filters`
    theirs. `on_note` gets lines for the user.

    UsageError; OutputError where another service owns the spool or an output, or one
    of the directories cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        filters: list[Filter],
        on_note: Callable[[str], None],
        pressure: Pressure | None = None,
    ) -> None:
        self.settings = settings
        self.filters = filters
        self.on_note = on_note
        self.counts = Counts()
        self._opened = contextlib.ExitStack()
        with contextlib.ExitStack() as opened:
            self.disposal = Disposal(settings.original, settings.spool)
            self.spool = Spool(
                settings.spool, settings.finished, on_note, numbered=settings.numbered
            )
            opened.callback(self.spool.close)
            self._take_spool(opened)
            self.journal = Journal(settings.spool)
            opened.callback(self.journal.close)
            try:
                self._recall(opened)
            except sqlite3.Error as error:
                raise OutputError(f"{self.journal.path}: {error}") from error
            except OSError as error:
                raise refusal(error.filename or settings.spool, error) from error
            self.holder = Holder(pressure) if pressure is not None else None
            self._capture_deaths = pressure.deaths() if pressure is not None else 0
            if self.holder is not None:
                self.holder.start()
                opened.callback(self.holder.end)
            self._opened = opened.pop_all()

    def _take_spool(self, opened: contextlib.ExitStack) -> None:
        folder = os.path.join(self.settings.spool, FOLDER)
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o750)
            sync_folder(self.settings.spool)  # who made it may have been killed before that
            with contextlib.suppress(FileNotFoundError):  # the lock may need it
                os.unlink(reserve_of(path_of(self.settings.spool)))
            opened.callback(Lock(os.path.join(folder, "lock")).close)
        except BusyError as error:
            raise OutputError(
                f"{self.settings.spool}: another service filters this spool, process "
                f"{error.owner}; stop it first, or choose another spool"
            ) from None
        except OSError as error:
            raise refusal(folder, error) from error

    def _recall(self, opened: contextlib.ExitStack) -> None:
        """What the journal knows."""
        settings, journal = self.settings, self.journal
        self.id: str = journal.remembered("id")
        self.outlets = open_outlets(
            journal,
            [
                (path, text, settings.options_of(one))
                for (path, text), one in zip(settings.outputs, self.filters, strict=True)
            ],
            settings.spool,
            settings.permissions, self.on_note,
        )  # fmt: skip
        for outlet in self.outlets:
            opened.callback(outlet.close)
        self._serial = journal.last_commit() + 1
        self._commits = 0
        self._handed: deque[int] = deque()  # those that the worker has
        self._stuck: deque[tuple[int, Seen, str, str]] = deque()  # that failed, to be tried again
        self._safe: deque[tuple[int, Seen, str, str]] = deque()  # to be disposed of
        self._passed_over: list[tuple[int, Seen, str, str]] = []  # the journal does not know it yet
        self._results: list[tuple[int, dict[str, Any]]] = []
        self._changes: list[Callable[[], None]] = []  # of the journal, besides
        self._worker: Hired | None = None
        self._begun: int | None = None  # what the worker is at
        self._begun_at = 0.0
        self._must_cut = True
        self._not_before = self._dispose_at = self._committed_at = self._told_at = 0.0
        self._looked = False
        self._completes: frozenset[int] | None = None  # what the next complete parts are to hold
        self._died_at: int | None = None  # the original at which a worker died last
        self._deaths = 0  # of workers that did nothing
        self._frontier = 0  # seconds since 1970: frames before it have been filtered
        self._trouble = Trouble(self.on_note)
        self._journal_trouble = Trouble(self.on_note)
        self._summary_trouble = Trouble(self.on_note)
        self._look_trouble = Trouble(self.on_note)
        self._failure: tuple[int | None, str, str] | None = None
        self._disposal_trouble = Trouble(self.on_note)
        self._told_by_signal: float | None = None  # to end; monotonic
        self._drains = settings.once
        self.now = ""  # the file in work, for people
        self.engine: Engine | None = None  # who filtered the last original
        self.tells_engine = False
        self._arrivals = Arrivals(self.spool, journal, self.counts, self.on_note, self._is_known)
        for row in journal.originals(states.SAFE):
            self._is_known(row.id, row.seen, states.SAFE, "")

    def _is_known(self, number: int, seen: Seen, state: str, error: str) -> None:
        """It is to be disposed of."""
        self._safe.append((number, seen, state, error))

    def close(self) -> None:
        self._fire()
        self._opened.close()

    # ---- The loop -----------------------------------------------------------------------------

    def run(self, signals: Signals) -> bool:
        """Until it is told to end, or nothing waits and that was asked for; whether everything that
        it was to do is done and nothing was lost."""
        while True:
            if self._is_journal_well:
                self._look()
                self._listen()
            self._make_sure()
            if self._is_journal_well:
                self._complete_if_asked()
                self._fail()
                self._name_parts()
                self._dispose()
                self._feed()
            self._tell()
            self._hear(signals.wait(0))
            if self._is_over():
                return self._finish()
            self._wait(signals)

    @property
    def _is_journal_well(self) -> bool:
        """Else nobody knows what is sure, and nothing may be done but to write it again."""
        return self._journal_trouble.since is None

    def _hear(self, numbers: list[int]) -> None:
        for number in numbers:
            if number in STOPS:
                now = time.monotonic()
                if self._told_by_signal is None:
                    self._told_by_signal = now
                elif now - self._told_by_signal > SAME_STOP:
                    self._told_by_signal = float("-inf")  # no grace
            elif number == signal.SIGHUP:
                # with all that is there by now
                self._completes, self._looked = frozenset(), False
            elif number == signal.SIGUSR1:
                self.on_note(self.sentence())
            elif number == signal.SIGUSR2:
                self._drains, self._looked = True, False  # what came before the signal counts

    def _wait(self, signals: Signals) -> None:
        descriptors: list[Any] = [signals.readable]
        seconds = _LONGEST_WAIT
        if self._is_journal_well:  # else nobody looks or listens
            seconds = min(seconds, self.spool.seconds_to_next_look)
            descriptors += [self.spool, *([self._worker] if self._worker is not None else [])]
        if self._arrivals and self._not_before > time.monotonic():
            seconds = min(seconds, self._not_before - time.monotonic())
        if self._has_news or self._has_changes:
            seconds = min(seconds, _COMMIT_EVERY)
        with contextlib.suppress(InterruptedError):
            select.select(descriptors, [], [], max(0.0, seconds))

    def _is_over(self) -> bool:
        if self._told_by_signal is not None:
            in_time = time.monotonic() - self._told_by_signal < self.settings.grace
            return not in_time or not (self._handed or self._has_news)
        return self._drains and self._is_idle() and self._looked

    def _is_idle(self) -> bool:
        waits = bool(self._arrivals or self._handed or self._has_news)
        waits = waits or bool(self._safe and self._disposal_trouble.since is None)
        quiet = self.settings.finished.rule == QUIET and self.spool.unfinished
        return not waits and not quiet

    def _look(self) -> None:
        try:
            self._arrivals.look(self._handed)
        except (OSError, sqlite3.Error) as error:
            self._pause(self._look_trouble, self.settings.spool, error, "it is looked at again")
        else:
            self._looked = True
            self._look_trouble.is_over(self.settings.spool, "looked at again")

    # ---- The worker ---------------------------------------------------------------------------

    def _feed(self) -> None:
        """The worker has those that come first, but for what arrived out of order."""
        if time.monotonic() < self._not_before or self._told_by_signal is not None:
            return
        ahead = sum(self._arrivals[number].seen.bytes for number in self._handed)
        handed = set(self._handed)
        for waiting in self._arrivals.in_order():
            if len(self._handed) >= _MOST_AHEAD or (self._handed and ahead > _BYTES_AHEAD):
                return
            if waiting.number in handed:
                continue
            try:
                if not self._arrivals.is_still_there(waiting):
                    continue
            except OSError as error:
                path = self.spool.path(waiting.seen.name)
                self._pause(self._trouble, path, error, "it is tried again")
                return
            if self._worker is None and not self._hire():
                return
            self._hand(waiting)
            ahead += waiting.seen.bytes

    def _hand(self, waiting: Waiting) -> None:
        assert self._worker is not None
        if not self._handed:
            self._begun_at = self._clock()
        self._worker.filter(waiting.number, waiting.seen)
        self._handed.append(waiting.number)

    def _hire(self) -> bool:
        """Begins with what is sure. False where that cannot be now."""
        try:
            if self._must_cut:
                for outlet in self.outlets:
                    outlet.cut(self.id, partial(self._part_is_gone, outlet.number))
                self._must_cut = False
            self._worker = Hired(self._for_worker())
        except OSError as error:
            self._pause(self._trouble, error.filename or "worker", error, "it is tried again")
            return False
        if self.holder is not None:
            self.holder.set_worker(self._worker)
        return True

    def _part_is_gone(self, output: int, part: Part, left: Part) -> None:
        self._put(output, left)
        self.counts.parts_gone += 1
        lost = part.span.frames - left.span.frames
        rest = f"; what is left is {left.name}" if left.span.frames else ""
        self.on_note(
            f"{part.temporary}: {part.span.frames:,} frames were safe there, and somebody took "
            f"{lost:,} of them away: they are lost{rest}"
        )

    def _for_worker(self) -> dict[str, Any]:
        headers = [outlet.sure.header for outlet in self.outlets if outlet.sure is not None]
        return {
            "spool": self.settings.spool,
            "jobs": self.settings.jobs,
            "vlan": self.settings.vlan,
            "engine": self.settings.engine,
            "filters": base64.b64encode(pickle.dumps(self.filters)).decode(),
            "folder": os.getcwd(),
            "gives_back": self.settings.original != DELETE,
            "summary": self.settings.summary is not None,
            "header": headers[0].hex() if headers else None,
            "outputs": [outlet.for_worker(self.id) for outlet in self.outlets],
            "size": self.settings.output_size,
            **self.settings.permissions._asdict(),
        }

    def _listen(self) -> None:
        worker = self._worker
        if worker is None or self._failure is not None:
            return
        for reply in worker.replies():
            if "begins" in reply:
                self._begun, self._begun_at = reply["begins"], self._clock()
                self.now = self._arrivals[self._begun].seen.name
            elif "did" in reply:
                self._did(reply)
            else:
                self._failure = (reply["failed"], reply["whose"], reply["error"])
                return
        if worker.is_dead:
            self._failure = (self._begun, DEATH, _how_it_died(worker.end()))
        elif self._handed and self._clock() - self._begun_at > self.settings.time_limit:
            seconds = self.settings.time_limit
            text = f"it took longer than {seconds:g} s (--time-limit)"
            self._failure = (self._handed[0], ORIGINAL, text)

    def _clock(self) -> float:
        """Seconds in which a worker could work."""
        return time.monotonic() - (self.holder.seconds if self.holder is not None else 0.0)

    def _did(self, reply: dict[str, Any]) -> None:
        number = self._handed.popleft()
        assert number == reply["did"], "a worker does one original after the other"
        self._results.append((number, reply))
        self._begun, self._begun_at = None, self._clock()
        self._deaths = 0
        self._died_at = None
        self.now = ""
        self._note_engine(Engine(*reply["engine"]))
        for outlet, told in zip(self.outlets, reply["outputs"], strict=True):
            for part in told["parts"]:
                outlet.tell(part_of_json(part))

    def _note_engine(self, engine: Engine) -> None:
        """Who filtered the last original; a defect is told once."""
        if engine != self.engine:
            for note in [*engine.notes(), *([f"engine {engine}"] if self.tells_engine else [])]:
                self.on_note(note)
        self.engine = engine

    def _fail(self) -> None:
        """What the worker has is begun again, by another one, behind what it did before."""
        if self._failure is None or self._results:
            return
        (number, whose, error), self._failure = self._failure, None
        self._start_over()
        if self._told_by_signal is not None:
            return  # somebody may have killed all of us
        if whose == OUTPUT:
            self._pause(self._trouble, "outputs", OSError(errno.EIO, error), "it is tried again")
            return
        if number is None or number not in self._arrivals:
            self._deaths += 1
            if self._deaths > 1:
                self._pause(
                    self._trouble, "worker", OSError(errno.EAGAIN, error), "another one is started",
                    min(_LONGEST_PAUSE, _PAUSE * self._deaths),
                )  # fmt: skip
            return
        self.counts.retries += 1
        if whose == DEATH and self._is_not_its_fault(number):
            return
        name = self.spool.path(self._arrivals[number].seen.name)
        text = error.removeprefix(f"{name}: ")
        attempts = self._arrivals.tried(number, text).attempts
        if attempts < self.settings.attempts and whose != HOPELESS:
            self.on_note(f"{name}: {text}: tried again")
            self._not_before = time.monotonic() + (_RETRY if attempts == 1 else _LATER_RETRY)
            return
        where = "stays where it is" if self.settings.original == KEEP else "goes to failed/"
        times = f" after {attempts} attempts" if attempts > 1 else ""
        self.on_note(f"{name}: {text}: passed over{times}, it {where}")
        self._pass_over(number, text)

    def _is_not_its_fault(self, number: int) -> bool:
        """Whether another original's worker died last, and none has done anything since: whatever
        kills them is not in the originals."""
        before, self._died_at = self._died_at, number
        if before is None or before == number:
            return False
        self._deaths += 1
        text = "workers are killed, whatever they do"
        self._pause(
            self._trouble, "worker", OSError(errno.EAGAIN, text), "another one is started",
            min(_LONGEST_PAUSE, _PAUSE * 2**self._deaths),
        )  # fmt: skip
        return True

    def _pass_over(self, number: int, text: str) -> None:
        self.counts.failed += 1
        seen = self._arrivals.remove(number).seen
        self._changes.append(partial(self.journal.set_state, number, states.FAILED, time.time_ns()))
        self._passed_over.append((number, seen, states.FAILED, text))

    def _start_over(self) -> None:
        """Without a worker, from what is sure."""
        assert self._is_journal_well, "else nobody knows what is sure"
        self._fire()
        self._results.clear()
        self._failure = None
        self._handed.clear()
        for outlet in self.outlets:
            outlet.forget()
        self._must_cut = True

    def _fire(self) -> None:
        if self._worker is None:
            return
        if self.holder is not None:
            self.holder.set_worker(None)
        while self._worker.end() is None:
            self.on_note(f"worker {self._worker.pid} does not end: its disk hangs; waiting for it")
        self._worker = None
        self._begun = None
        self.now = ""

    def _pause(
        self, trouble: Trouble, where: str, error: Exception, what: str, seconds: float = _PAUSE
    ) -> None:
        known = error if isinstance(error, OSError) else OSError(errno.EIO, str(error))
        trouble.goes_on(where, known, what)
        self._not_before = time.monotonic() + seconds

    # ---- What is sure -------------------------------------------------------------------------

    @property
    def _has_news(self) -> bool:
        """Something that the user waits for is not in the journal yet."""
        told = any(outlet.told for outlet in self.outlets)
        return bool(self._results or self._arrivals.new or told)

    @property
    def _has_changes(self) -> bool:
        return bool(self._changes or self._arrivals.changes)

    def _make_sure(self) -> None:
        """Syncs what the worker did and commits it, with all else that is new."""
        now = time.monotonic()
        if not (self._results or now - self._committed_at >= _COMMIT_EVERY):
            return
        if not (self._has_news or self._has_changes):
            return
        self._committed_at = now
        try:
            if self._is_journal_well:  # else they are synced already
                for outlet in self.outlets:
                    outlet.sync()
        except (OSError, OutputError) as error:
            self._start_over()  # what a failed sync leaves on the disk nobody knows
            path = getattr(error, "filename", None) or "outputs"
            self._pause(self._trouble, path, error, "what was not synced is filtered again")
            return
        try:
            self.journal.commit(self._serial, self._write)
        except sqlite3.Error as error:
            # it may be there or not: nothing may be done until it is
            self._pause(self._journal_trouble, self.journal.path, error, "it is written again")
            return
        self._journal_trouble.is_over(self.journal.path, "written again")
        if self._results:
            self._trouble.is_over("outputs", "written again")
        self._committed()

    def _write(self) -> None:
        journal, now = self.journal, time.time_ns()
        for waiting in self._arrivals.new:
            journal.add(waiting.number, waiting.seen, waiting.facts, now)
        for change in (*self._arrivals.changes, *self._changes):
            change()
        for outlet in self.outlets:
            outlet.commit(journal)
        for number, reply in self._results:
            self._write_result(number, reply, now)
        if self._results:
            for outlet in self.outlets:
                if outlet.begins:
                    first = self._arrivals[self._results[0][0]]
                    journal.begins(outlet.number, first.seen.name)

    def _write_result(self, number: int, reply: dict[str, Any], now: int) -> None:
        journal = self.journal
        state = states.SAFE if reply["damage"] is None else states.DAMAGED
        journal.filtered(number, state, reply["frames"], reply["matched"], now, reply["damage"])
        for outlet, told in zip(self.outlets, reply["outputs"], strict=True):
            for part, frames in told["matched"]:
                journal.add_matched(number, outlet.number, part, frames)
        if reply["summary"]:
            journal.add_summary([tuple(row) for row in reply["summary"]])

    def _committed(self) -> None:
        self._serial += 1
        self._commits += 1
        self._arrivals.committed()
        self._safe += self._passed_over
        self._passed_over.clear()
        self._changes.clear()
        for outlet in self.outlets:
            outlet.committed()
            if self._results:
                if outlet.begins:
                    first = self._arrivals[self._results[0][0]]
                    self.on_note(f"{outlet.path}: this filter from {first.seen.name} on")
                outlet.begins = False
        for number, reply in self._results:
            self._count(number, reply)
        self._results.clear()
        if self._commits % _FOLD_EVERY == 0:
            with contextlib.suppress(sqlite3.Error):  # there is a next time
                self.journal.fold(lambda name: os.path.lexists(self.spool.path(name)))

    def _count(self, number: int, reply: dict[str, Any]) -> None:
        waiting = self._arrivals.remove(number)
        counts = self.counts
        counts.originals += 1
        counts.frames += reply["frames"]
        counts.matched += reply["matched"]
        counts.bytes += waiting.seen.bytes
        for outlet, told in zip(self.outlets, reply["outputs"], strict=True):
            outlet.frames += sum(frames for _, frames in told["matched"])
        for second, *_ in reply["summary"]:
            self._frontier = max(self._frontier, second)
        if reply["damage"] is None:
            self._safe.append((number, waiting.seen, states.SAFE, ""))
            return
        counts.damaged += 1
        path = self.spool.path(waiting.seen.name)
        self.on_note(f"{path}: damaged {reply['damage']}; its frames before that are kept")
        self._safe.append((number, waiting.seen, states.DAMAGED, reply["damage"]))

    def _name_parts(self) -> None:
        try:
            for outlet in self.outlets:
                outlet.name_parts(partial(self._put, outlet.number))
        except OSError as error:
            path = error.filename or "outputs"
            self._trouble.goes_on(path, error, "a part that is full has no name yet")

    def _put(self, output: int, part: Part) -> None:
        self._changes.append(lambda: self.journal.put_part(output, part))

    # ---- Disposal -----------------------------------------------------------------------------

    def _dispose(self) -> None:
        for _ in range(len(self._safe)):
            number, seen, state, text = self._safe.popleft()
            try:
                self._dispose_of(number, seen, state, text)
            except OSError as error:
                self._stuck.append((number, seen, state, text))
                path = self.spool.path(seen.name)
                self._disposal_trouble.goes_on(path, error, "it stays until it can be taken away")
        if self._stuck and time.monotonic() >= self._dispose_at:
            self._dispose_at = time.monotonic() + _AGAIN
            self._safe += self._stuck
            self._stuck.clear()
        if not self._stuck and not self._safe:
            self._disposal_trouble.is_over(self.settings.spool, "all could be taken away")

    def _dispose_of(self, number: int, seen: Seen, state: str, text: str) -> None:
        if state in (states.FAILED, states.DAMAGED):
            self.disposal.failed(seen, text)
            return
        new, now = self.disposal.done_with(seen), time.time_ns()
        if new != state:
            self._changes.append(lambda: self.journal.set_state(number, new, now))

    # ---- Ends ---------------------------------------------------------------------------------

    def _complete_if_asked(self) -> None:
        """When all is filtered that was there then."""
        if self._completes is None or not self._looked:
            return
        if not self._completes:
            self._completes = frozenset(one.number for one in self._arrivals.in_order())
        if not any(number in self._arrivals for number in self._completes):
            self._completes = None
            self._complete_outputs()

    def _complete_outputs(self) -> None:
        """What is open gets its name; what comes goes to the next part."""
        self._committed_at = 0.0
        self._make_sure()
        if not self._is_journal_well:
            return
        self._start_over()
        self._end_parts()

    def _end_parts(self) -> None:
        for outlet in self.outlets:
            try:
                outlet.cut(self.id, partial(self._part_is_gone, outlet.number))
            except OSError as error:
                self._pause(self._trouble, outlet.path, error, "its part stays open")
                continue
            outlet.end()
        self._committed_at = 0.0
        self._make_sure()
        self._name_parts()

    def _has_open_parts(self) -> bool:
        """Or some that have no name yet."""
        return any(outlet.sure or outlet.full or outlet.told for outlet in self.outlets)

    def _finish(self) -> bool:
        self._committed_at = 0.0
        self._make_sure()
        if not self._is_journal_well:
            self.on_note(f"{self.journal.path}: not written: the next start finds out what is sure")
            return False
        self._start_over()
        if self._drains and self.spool.unfinished:
            self.on_note(f"{self.spool.unfinished:,} files are left: they are not finished")
        for _ in range(_TRIES):
            self._end_parts()
            if not self._has_open_parts():
                break
            time.sleep(_PAUSE / _TRIES)
        self._dispose_at = self._committed_at = 0.0
        self._dispose()
        if self._is_journal_well:
            self._try_summaries(float("inf"))
        self._make_sure()
        self._tell(ended=True)
        unsure = self._has_news or bool(self._safe or self._stuck) or self._has_open_parts()
        is_well: bool = self._is_journal_well  # which a commit may have changed
        unsure = unsure or self.spool.cannot_tell or self._summary_trouble.since is not None
        return is_well and not unsure and self.counts.is_perfect

    # ---- What is told -------------------------------------------------------------------------

    def _try_summaries(self, until: float) -> None:
        settings = self.settings
        if settings.summary is None:
            return
        try:
            write_hours(self.journal, settings.summary, until, settings.permissions)
        except (OSError, sqlite3.Error) as error:
            known = error if isinstance(error, OSError) else OSError(errno.EIO, str(error))
            self._summary_trouble.goes_on(settings.summary, known, "its rows stay in the journal")
        else:
            self._summary_trouble.is_over(settings.summary, "written again")

    def sentence(self) -> str:
        """The counts, for people."""
        counts, backlog = self.counts, self._arrivals.backlog()
        wrong = [
            f"{number:,} {what}"
            for number, what in (
                (counts.failed, "failed"),
                (counts.damaged, "damaged"),
                (counts.lost, f"lost unfiltered with {_lost_frames(counts)} frames"),
                (counts.unseen, "never seen"),
            )
            if number
        ]
        return (
            f"{counts.originals:,} files filtered, {counts.matched:,} of {counts.frames:,} frames "
            f"matched; {backlog.files:,} files wait, {backlog.bytes:,} bytes"
            + "".join(f"; {one}" for one in wrong)
        )

    def outputs_as_json(self) -> list[dict[str, Any]]:
        return [
            {"path": outlet.path, "filter": outlet.text, "frames": outlet.frames}
            for outlet in self.outlets
        ]

    def _tell(self, *, ended: bool = False) -> None:
        now = time.monotonic()
        if now - self._told_at < _STATUS_EVERY and not ended:
            return
        self._told_at = now
        if not ended and self._is_journal_well:
            # no frame's time makes an hour be over before it is
            self._try_summaries(min(self._frontier, time.time()) - _LATE)
        self._count_deaths()
        held = self.holder is not None and self.holder.is_holding
        snapshot = Snapshot(
            pid=os.getpid(),
            time_ns=time.time_ns(),
            doing="ended" if ended else self._doing(held),
            now=self.now,
            backlog=self._arrivals.backlog(),
            counts=self.counts.as_json(),
            held_s=self.holder.seconds if self.holder is not None else 0.0,
            original=self.settings.original,
        )
        with contextlib.suppress(OSError):
            write_snapshot(self.settings.spool, snapshot)

    def _count_deaths(self) -> None:
        """Of captures, as their supervisor counts them."""
        deaths = self.holder.pressure.deaths() if self.holder is not None else 0
        if deaths > self._capture_deaths:
            more = deaths - self._capture_deaths
            self._changes.append(partial(self.journal.count, "captures died", more))
            self._capture_deaths = deaths

    def _doing(self, held: bool) -> str:
        if self._journal_trouble.since is not None:
            return "waits for the journal's disk"
        if self._told_by_signal is not None:
            return "ends"
        if held and self._handed:
            return "held back by the capture"
        if self._trouble.since is not None:
            return "waits for the outputs' disk"
        if self._handed:
            return "filters"
        return "tries again soon" if self._arrivals else "waits for files"


def _lost_frames(counts: Counts) -> str:
    if counts.lost_uncounted == counts.lost:
        return "an unknown number of"
    return f"{'at least ' * bool(counts.lost_uncounted)}{counts.lost_frames:,}"


def _how_it_died(status: int | None) -> str:
    if status is None:
        return "the worker was not heard of any more"
    if status < 0:
        return f"the worker was killed by signal {-status}"
    return f"the worker ended with exit status {status}"
