"""The outputs of a service: what is sure of each, and what its worker reported since."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

from fastcap.folders import sync_folder
from fastcap.locks import is_at, open_regular
from fastcap.permissions import Permissions
from fastcap.pipeline.journal import FULL, GONE, NAMED, OPEN, Journal, Part
from fastcap.pipeline.parts import Destination, adopt, cut, give_name, salvage


class Outlet:
    """One --to: its row in the journal, the part that is open, and the parts that have no name yet.
    `sure` is on the disk and in the journal; `told` is what the worker said since."""

    def __init__(self, number: int, destination: Destination, text: str) -> None:
        self.number = number
        self.destination = destination
        self.text = text
        self.begins = True  # nothing was offered to it yet
        self.sure: Part | None = None
        self.full: list[Part] = []
        self.last = 0  # the highest number of a part that is sure, or that somebody has
        self.told: dict[int, Part] = {}
        self.frames = 0  # since the service began
        self._fds: dict[int, int] = {}

    @property
    def path(self) -> str:
        return self.destination.path

    def for_worker(self, journal: str) -> dict[str, Any]:
        before, after = self.destination.temporary(0, journal).split("00000000", 1)
        part = self.sure
        return {
            "path": self.path,
            "temporary": [before, after],
            "last": self.last,
            "open": None if part is None else [part.number, part.bytes, *part.span],
        }

    def tell(self, part: Part) -> None:
        """The worker's last word on a part."""
        self.told[part.number] = part._replace(name=self.destination.name(part.number))

    def sync(self) -> None:
        """What was told is on the disk afterwards. OSError."""
        is_new = False
        for part in self.told.values():
            fd = self._fds.get(part.number)
            if fd is None:
                fd = self._fds[part.number] = open_regular(part.temporary)
            is_new = is_new or self.sure is None or part.number != self.sure.number
            os.fdatasync(fd)
            if not is_at(fd, part.temporary):
                raise FileNotFoundError(2, "the part that is open was taken away", part.temporary)
        if is_new:
            self.destination.sync()

    def commit(self, journal: Journal) -> None:
        """Writes what was told into the journal."""
        for part in self.told.values():
            journal.put_part(self.number, part)

    def committed(self) -> None:
        """What was told is sure."""
        for number, part in sorted(self.told.items()):
            self.last = max(self.last, number)
            if self.sure is not None and self.sure.number == number:
                self.sure = None
            if part.state == FULL:
                self.full.append(part)
                self._close(number)
            else:
                self.sure = part
        self.told = {}

    def forget(self) -> None:
        """What was told is not to be: what is behind the sure will be cut."""
        self.told = {}
        for number in list(self._fds):
            self._close(number)

    def _close(self, number: int) -> None:
        fd = self._fds.pop(number, None)
        if fd is not None:
            with contextlib.suppress(OSError):
                os.close(fd)

    def cut(self, journal: str, on_gone: Callable[[Part, Part], None]) -> None:
        """Takes back everything that is not sure, while no worker is there. Where some of that is
        missing, `on_gone` is told what was sure, and what is left of it, which has a name then.
        OSError."""
        if self.sure is not None and not cut(self.sure):
            on_gone(self.sure, salvage(self.destination, self.sure))
            self.sure = None
        known = {part.number for part in (*self.full, *([self.sure] if self.sure else []))}
        for path, number, of in self.destination.left():
            if of == journal and number not in known and number > self.last:
                os.unlink(path)

    def name_parts(self, changed: Callable[[Part], None]) -> None:
        """Gives those that are full their names. OSError."""
        while self.full:
            part = self.full[0]
            try:
                give_name(part)
            except FileExistsError:
                name = self.destination.free_name(part.number)
                self.full[0] = part._replace(name=name)
                continue
            self.destination.sync()
            changed(part._replace(state=NAMED))
            self.full.pop(0)

    def end(self) -> None:
        """The open part is full, where there is something in it."""
        if self.sure is not None:
            self.told[self.sure.number] = self.sure._replace(state=FULL)

    def close(self) -> None:
        self.forget()
        self.destination.close()


def open_outlets(
    journal: Journal,
    outputs: list[tuple[str, str, str]],
    spool: str,
    permissions: Permissions,
    on_note: Callable[[str], None],
) -> list[Outlet]:
    """Those that are asked for (path, filter, options), as the journal knows them. Parts of filters
    that are not asked for any more get their names. OutputError, UsageError; sqlite3.Error;
    OSError."""
    destinations: list[Destination] = []
    try:
        for path, _, _ in outputs:
            destinations.append(Destination(path, spool, permissions))
        filters = [(text, options) for _, text, options in outputs]
        return _open_outlets(journal, destinations, filters, on_note)
    except BaseException:
        for destination in destinations:
            destination.close()
        raise


def _open_outlets(
    journal: Journal,
    destinations: list[Destination],
    filters: list[tuple[str, str]],
    on_note: Callable[[str], None],
) -> list[Outlet]:
    known: dict[tuple[str, str, str], int] = {}
    for number, path, text, how in journal.outputs():
        known[path, text, how] = number
    asked = {(one.path, *how): one for one, how in zip(destinations, filters, strict=True)}
    was = {path for path, _, _ in known}
    for key in known.keys() - asked.keys():
        _retire(journal, known[key], on_note)
    outlets = []
    for key, destination in asked.items():
        if key not in known:
            if destination.path in was:
                on_note(
                    f"{destination.path}: filtered in another way from now on: a new part begins"
                )
            with journal.transaction():
                known[key] = journal.add_output(*key, time.time_ns())
        outlet = Outlet(known[key], destination, key[1])
        _recall(journal, outlet)
        outlets.append(outlet)
        for path, _, of in destination.left():
            if of != journal.remembered("id"):
                on_note(adopt(destination, path, outlet.last + 1))
                outlet.last = max(outlet.last, destination.highest())
    return outlets


def _recall(journal: Journal, outlet: Outlet) -> None:
    for part in journal.parts(outlet.number, OPEN, FULL):
        if part.state == OPEN:
            outlet.sure = part
        else:
            outlet.full.append(part)
    last = journal.last_number(outlet.path)
    outlet.last = max(last, outlet.destination.highest())
    outlet.begins = journal.begins_at(outlet.number) is None


def _retire(journal: Journal, number: int, on_note: Callable[[str], None]) -> None:
    """Its parts get their names. Without that, it is tried again at the next start."""
    for part in journal.parts(number, OPEN, FULL):
        try:
            if part.state == OPEN and not cut(part):
                on_note(f"{part.temporary}: gone, and {part.span.frames:,} frames with it")
                with journal.transaction():
                    journal.put_part(number, part._replace(state=GONE))
                continue
            give_name(part)
            sync_folder(os.path.dirname(part.name))
        except OSError as error:
            on_note(f"{part.temporary}: {error.strerror}: it has no name yet")
            return
        with journal.transaction():
            journal.put_part(number, part._replace(state=NAMED))
    with journal.transaction():
        journal.retire_output(number)
