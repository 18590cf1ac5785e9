"""What is sure: the journal of a spool, SQLite in `.fastcap/journal.db`.

A transaction says how long each part of the outputs is, and which originals are in that. It is on
the disk when `commit` returns (WAL, synchronous=FULL); the parts were before it began, and
originals are touched only afterwards. So a service that begins needs nothing else to go on.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from fastcap.errors import OutputError
from fastcap.folders import sync_folder
from fastcap.pipeline.spool import Facts, Seen
from fastcap.segments import Span

FOLDER = ".fastcap"
_NAME = "journal.db"
_VERSION = 1
_BUSY_S = 5.0
_LOG = 8 << 20  # bytes of the write-ahead log
_RESERVE = 4 << 20
UNKNOWN = -3600  # the second of a summary's rows that have none: an hour of its own
_MOST_ROWS = 10_000  # originals that are done and kept in the journal one by one

# States of an original. WAITING: to be filtered. SAFE: in the outputs, and to be deleted or moved.
# DELETED, MOVED, KEPT: done, by --original. FAILED: passed over. DAMAGED: its frames up to the
# damage are in the outputs. LOST: it was gone before it was filtered.
WAITING, SAFE = "waiting", "safe"
DELETED, MOVED, KEPT = "deleted", "moved", "kept"
FAILED, DAMAGED, LOST = "failed", "damaged", "lost"
# States of a part. OPEN: appended to. FULL: complete, and has no name yet. NAMED. GONE: somebody
# took it away.
OPEN, FULL, NAMED, GONE = "open", "full", "named", "gone"

_TABLES = """
CREATE TABLE about (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE original (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL,
    bytes INTEGER NOT NULL, changed_ns INTEGER NOT NULL,
    state TEXT NOT NULL, seen_ns INTEGER NOT NULL, done_ns INTEGER,
    frames INTEGER, matched INTEGER, first_ns INTEGER, last_ns INTEGER,
    dropped INTEGER NOT NULL DEFAULT 0, lost INTEGER NOT NULL DEFAULT 0,
    missed INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0, error TEXT
);
CREATE INDEX original_by_inode ON original (inode);
CREATE INDEX original_by_state ON original (state);
CREATE INDEX original_by_time ON original (first_ns);
CREATE TABLE output (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL, filter TEXT NOT NULL, options TEXT NOT NULL,
    since_ns INTEGER NOT NULL, from_original TEXT, is_current INTEGER NOT NULL
);
CREATE TABLE part (
    id INTEGER PRIMARY KEY,
    output INTEGER NOT NULL REFERENCES output, number INTEGER NOT NULL,
    temporary TEXT NOT NULL, name TEXT NOT NULL, header BLOB NOT NULL,
    bytes INTEGER NOT NULL, frames INTEGER NOT NULL, first_ns INTEGER, last_ns INTEGER,
    state TEXT NOT NULL,
    UNIQUE (output, number)
);
CREATE INDEX part_by_state ON part (state);
CREATE TABLE matched (
    original INTEGER NOT NULL, output INTEGER NOT NULL, part INTEGER NOT NULL,
    frames INTEGER NOT NULL, PRIMARY KEY (original, output, part)
) WITHOUT ROWID;
CREATE TABLE sums (
    hour INTEGER NOT NULL, state TEXT NOT NULL,
    originals INTEGER NOT NULL, bytes INTEGER NOT NULL, frames INTEGER NOT NULL,
    matched INTEGER NOT NULL, dropped INTEGER NOT NULL, lost INTEGER NOT NULL,
    missed INTEGER NOT NULL, PRIMARY KEY (hour, state)
) WITHOUT ROWID;
CREATE TABLE summary (
    second INTEGER NOT NULL, protocol TEXT NOT NULL,
    frames INTEGER NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (second, protocol)
) WITHOUT ROWID;
CREATE TABLE summary_file (
    hour INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (hour, number)
) WITHOUT ROWID;
"""


class Part(NamedTuple):
    """A file of an output: how much of it is sure. `header` is its first 24 bytes."""

    number: int
    temporary: str
    name: str
    header: bytes
    bytes: int
    span: Span
    state: str


class Row(NamedTuple):
    """An original that the journal knows."""

    id: int
    seen: Seen
    state: str
    attempts: int
    error: str | None


def path_of(spool: str) -> str:
    """Of the journal."""
    return os.path.join(spool, FOLDER, _NAME)


def reserve_of(journal: str) -> str:
    """A file that is there to be given up when the disk is full."""
    return os.path.join(os.path.dirname(journal), "reserve")


class Journal:
    """For one thread of the service that owns the spool. OutputError where it cannot be used;
    sqlite3.Error where it cannot be written: what was not committed is then as it was."""

    def __init__(self, spool: str) -> None:
        self.path = path_of(spool)
        self._db: sqlite3.Connection | None = None
        try:
            self._open()
            self._check()
        except sqlite3.Error as error:
            self.close()
            raise OutputError(
                f"{self.path}: {error}: the journal cannot be used; with it moved away the "
                "spool is begun anew, and originals that are still there are filtered again"
            ) from error

    def _open(self) -> sqlite3.Connection:
        """Also after an error: SQLite asks the disk again then."""
        if self._db is None:
            with suppress(OSError):
                os.unlink(reserve_of(self.path))
            db = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
            try:
                self._set_up(db)
            except BaseException:
                db.close()
                raise
            self._db = db
            self._reserve()
        return self._db

    def _set_up(self, db: sqlite3.Connection) -> None:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        # What the log holds may be a commit whose sync failed, or that was killed before it: in the
        # page cache, and not on the disk. It is believed when it is in the database.
        busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise sqlite3.OperationalError("somebody reads the journal for long")
        try:
            # The log is new, and its name must last. SQLite syncs that too, and says nothing where
            # it fails.
            sync_folder(os.path.dirname(self.path))
        except OSError as error:
            raise sqlite3.OperationalError(f"its directory: {error.strerror}") from error
        db.execute(f"PRAGMA journal_size_limit = {_LOG}")
        db.execute("PRAGMA wal_autocheckpoint = 250")  # pages of 4 KiB: far below its size

    def _reserve(self) -> None:
        """Room on a disk that is full, where an original can only go when that was written: in the
        log, and in a file that is given up before the journal is opened."""
        for path, size in ((self.path + "-wal", _LOG), (reserve_of(self.path), _RESERVE)):
            # a file system that cannot, or is full already
            with suppress(OSError), open(path, "ab") as file:
                os.posix_fallocate(file.fileno(), 0, size)
                os.fsync(file.fileno())

    def _check(self) -> None:
        db = self._open()
        (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables == 0:
            with self.transaction():
                for statement in _TABLES.split(";\n"):
                    db.execute(statement)
                self.remember("version", _VERSION)
                self.remember("id", os.urandom(4).hex())
        version = self.remembered("version")
        if version != _VERSION:
            raise OutputError(
                f"{self.path}: of another version of fastcap (journal {version}, not {_VERSION}): "
                "end it with that one"
            )

    def close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()

    def commit(self, serial: int, changes: Callable[[], None]) -> None:
        """Makes changes, all or none, once for each serial number; they are on the disk behind it.
        sqlite3.Error: whether they are is not known then, so repeat it with the same number."""
        with self.transaction():
            if self.remembered("commit") != serial:
                changes()
                self.remember("commit", serial)

    def last_commit(self) -> int:
        return self.remembered("commit") or 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. sqlite3.Error."""
        db = self._open()
        try:
            db.execute("BEGIN IMMEDIATE")
            yield
            db.execute("COMMIT")
        except BaseException:
            self.close()  # rolls back, and trusts nothing that it holds in memory
            raise

    def _all(self, query: str, *values: Any) -> list[Any]:
        return self._open().execute(query, values).fetchall()

    def _do(self, statement: str, *values: Any) -> int:
        return self._open().execute(statement, values).lastrowid or 0

    # ---- Anything -----------------------------------------------------------------------------

    def remember(self, key: str, value: Any) -> None:
        self._do("INSERT OR REPLACE INTO about VALUES (?, ?)", key, value)

    def remembered(self, key: str) -> Any:
        rows = self._all("SELECT value FROM about WHERE key = ?", key)
        return rows[0][0] if rows else None

    def count(self, key: str, more: int) -> None:
        self.remember(key, (self.remembered(key) or 0) + more)

    # ---- Originals ----------------------------------------------------------------------------

    def next_id(self) -> int:
        """Of the next original."""
        ((number,),) = self._all("SELECT max(id) FROM original")
        return max(number or 0, self.remembered("last id") or 0) + 1

    def add(
        self,
        number: int,
        seen: Seen,
        facts: Facts,
        now_ns: int,
        state: str = WAITING,
        error: str | None = None,
    ) -> None:
        """A new original."""
        self._do(
            "INSERT INTO original (id, name, device, inode, bytes, changed_ns, state, seen_ns,"
            " done_ns, frames, first_ns, last_ns, dropped, lost, missed, error)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            number,
            *seen,
            state,
            now_ns,
            None if state == WAITING else now_ns,
            *facts,
            error,
        )

    def originals(self, *states: str) -> list[Row]:
        """In these states, as they came."""
        marks = ", ".join("?" * len(states))
        return [
            Row(row[0], Seen(*row[1:6]), *row[6:])
            for row in self._all(
                "SELECT id, name, device, inode, bytes, changed_ns, state, attempts, error "  # noqa: S608 - marks only
                f"FROM original WHERE state IN ({marks}) ORDER BY id",
                *states,
            )
        ]

    def state_of(self, seen: Seen) -> tuple[int, str, str | None] | None:
        """Id, state and error of this very file, where it was dealt with before, whatever its name
        was then."""
        rows = self._all(
            "SELECT id, state, error FROM original WHERE inode = ? AND device = ? "
            "AND bytes = ? AND changed_ns = ? AND state NOT IN ('waiting', 'lost') "
            "ORDER BY id DESC LIMIT 1",
            seen.inode,
            seen.device,
            seen.bytes,
            seen.changed_ns,
        )
        return rows[0] if rows else None

    def has_grown(self, seen: Seen, facts: Facts) -> bool:
        """Whether it begins with what was filtered already, and was left where it is."""
        return bool(
            self._all(
                "SELECT 1 FROM original WHERE inode = ? AND device = ? AND bytes < ? "
                "AND first_ns IS ? AND state IN ('kept', 'damaged', 'failed') "
                "AND matched IS NOT NULL LIMIT 1",
                seen.inode,
                seen.device,
                seen.bytes,
                facts.first_ns,
            )
        )

    def remove(self, original: int) -> None:
        """It is not what it was: it is looked at as a new one."""
        self._do("DELETE FROM original WHERE id = ?", original)

    def rename(self, original: int, seen: Seen) -> None:
        self._do(
            "UPDATE original SET name = ?, device = ?, inode = ?, bytes = ?, changed_ns = ? "
            "WHERE id = ?",
            *seen,
            original,
        )

    def filtered(self, original: int, state: str, frames: int, matched: int, now_ns: int,
                 error: str | None) -> None:  # fmt: skip
        self._do(
            "UPDATE original SET state = ?, frames = ?, matched = ?, done_ns = ?, error = ? "
            "WHERE id = ?",
            state, frames, matched, now_ns, error, original,
        )  # fmt: skip

    def set_state(self, original: int, state: str, now_ns: int) -> None:
        self._do("UPDATE original SET state = ?, done_ns = ? WHERE id = ?", state, now_ns, original)

    def failed(self, original: int, attempts: int, error: str) -> None:
        """Once more. It goes on waiting."""
        self._do(
            "UPDATE original SET attempts = ?, error = ? WHERE id = ?", attempts, error, original
        )

    # ---- Outputs ------------------------------------------------------------------------------

    def outputs(self) -> list[tuple[int, str, str, str]]:
        """Of the filters that were used last: id, path, filter, options."""
        return self._all(
            "SELECT id, path, filter, options FROM output WHERE is_current = 1 ORDER BY id"
        )

    def add_output(self, path: str, text: str, options: str, now_ns: int) -> int:
        return self._do(
            "INSERT INTO output (path, filter, options, since_ns, is_current) "
            "VALUES (?, ?, ?, ?, 1)",
            path, text, options, now_ns,
        )  # fmt: skip

    def retire_output(self, output: int) -> None:
        self._do("UPDATE output SET is_current = 0 WHERE id = ?", output)

    def begins(self, output: int, name: str) -> None:
        """The first original whose frames were offered to it."""
        self._do(
            "UPDATE output SET from_original = ? WHERE id = ? AND from_original IS NULL",
            name, output,
        )  # fmt: skip

    def begins_at(self, output: int) -> str | None:
        ((name,),) = self._all("SELECT from_original FROM output WHERE id = ?", output)
        return str(name) if name is not None else None

    def parts(self, output: int, *states: str) -> list[Part]:
        marks = ", ".join("?" * len(states))
        rows = self._all(
            "SELECT number, temporary, name, header, bytes, frames, first_ns, last_ns, state "  # noqa: S608 - marks only
            f"FROM part WHERE output = ? AND state IN ({marks}) ORDER BY number",
            output,
            *states,
        )
        return [
            Part(number, temporary, name, bytes(header), size, Span(frames, first, last), state)
            for number, temporary, name, header, size, frames, first, last, state in rows
        ]

    def last_number(self, path: str) -> int:
        """Of the parts that were ever begun for a path."""
        ((number,),) = self._all(
            "SELECT max(number) FROM part JOIN output ON part.output = output.id WHERE path = ?",
            path,
        )
        return number or 0

    def put_part(self, output: int, part: Part) -> None:
        self._do(
            "INSERT INTO part (output, number, temporary, name, header, bytes, frames, first_ns,"
            " last_ns, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (output, number)"
            " DO UPDATE SET name = excluded.name, bytes = excluded.bytes, frames = excluded.frames,"
            " first_ns = excluded.first_ns, last_ns = excluded.last_ns, state = excluded.state",
            output, part.number, part.temporary, part.name, part.header, part.bytes, *part.span,
            part.state,
        )  # fmt: skip

    def add_matched(self, original: int, output: int, part: int, frames: int) -> None:
        self._do(
            "INSERT OR REPLACE INTO matched VALUES (?, ?, ?, ?)", original, output, part, frames
        )

    # ---- The traffic that was thrown away -----------------------------------------------------

    def add_summary(self, rows: Iterable[tuple[int, str, int, int]]) -> None:
        self._open().executemany(
            "INSERT INTO summary VALUES (?, ?, ?, ?) ON CONFLICT (second, protocol) DO UPDATE "
            "SET frames = frames + excluded.frames, bytes = bytes + excluded.bytes",
            rows,
        )

    def summary_hours(self) -> list[int]:
        """Begins of the hours of which there are rows, in seconds since 1970."""
        rows = self._all("SELECT DISTINCT second / 3600 * 3600 FROM summary ORDER BY 1")
        return [hour for (hour,) in rows]

    def summary(self, hour: int) -> list[tuple[int, str, int, int]]:
        return self._all(
            "SELECT second, protocol, frames, bytes FROM summary "
            "WHERE second >= ? AND second < ? ORDER BY second, protocol",
            hour, hour + 3600,
        )  # fmt: skip

    def summary_number(self, hour: int) -> int:
        """Of the next file of an hour: 1, or more where frames of it came late."""
        ((number,),) = self._all("SELECT max(number) FROM summary_file WHERE hour = ?", hour)
        return (number or 0) + 1

    def wrote_summary(self, hour: int, number: int) -> None:
        """The file of the hour is on the disk, so its rows can go."""
        self._do("DELETE FROM summary WHERE second >= ? AND second < ?", hour, hour + 3600)
        self._do("INSERT INTO summary_file VALUES (?, ?)", hour, number)

    # ---- Room ---------------------------------------------------------------------------------

    def fold(self, is_there: Any, keep: int = _MOST_ROWS) -> int:
        """Old originals become sums of their hour: those behind the newest `keep` that are done
        and, so that none is filtered twice, not in the spool any more. How many."""
        old = self._all(
            "SELECT id, name FROM original WHERE state NOT IN ('waiting', 'safe') "
            "ORDER BY id DESC LIMIT -1 OFFSET ?",
            keep,
        )
        ids = [(number,) for number, name in old if not is_there(name)]
        if not ids:
            return 0
        with self.transaction():
            db = self._open()
            db.executemany(
                "INSERT INTO sums SELECT coalesce(first_ns, done_ns, seen_ns) / 3600000000000"
                " * 3600, state, 1, bytes, coalesce(frames, 0), coalesce(matched, 0), dropped,"
                " lost, missed FROM original WHERE id = ? ON CONFLICT (hour, state) DO UPDATE SET"
                " originals = originals + 1, bytes = bytes + excluded.bytes,"
                " frames = frames + excluded.frames, matched = matched + excluded.matched,"
                " dropped = dropped + excluded.dropped, lost = lost + excluded.lost,"
                " missed = missed + excluded.missed",
                ids,
            )
            db.executemany("DELETE FROM matched WHERE original = ?", ids)
            db.executemany("DELETE FROM original WHERE id = ?", ids)
            self.remember("last id", max(self.remembered("last id") or 0, *ids[0]))
        return len(ids)
