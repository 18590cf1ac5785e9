"""What a journal tells, for those who only look: `fastcap status`."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from fastcap.errors import InputError
from fastcap.locks import owner_of
from fastcap.pipeline.journal import FOLDER, path_of
from fastcap.pipeline.state import read_snapshot
from fastcap.segments import rfc3339

_BUSY_S = 5.0
_MOST_LISTED = 1000
# a sum over the originals that are kept one by one, and the folded ones
_COUNTS = ("bytes", "frames", "matched", "dropped", "lost", "missed")


def last_number(spool: str, series: str) -> int:
    """The highest number of a series of captured files that its service has seen; 0 for none."""
    try:
        with Report(spool).reading() as db:
            row = db.execute("SELECT value FROM about WHERE key = ?", (f"sequence {series}",))
            return int((row.fetchone() or [0])[0])
    except InputError:  # it was not begun yet
        return 0


class Report:
    """Reads the journal of a spool, also while its service writes. InputError where there is none
    that can be read. Times are nanoseconds since 1970."""

    def __init__(self, spool: str) -> None:
        self.spool = spool
        self.path = path_of(spool)
        try:
            os.stat(self.path)
        except PermissionError as error:
            raise InputError(
                f"{self.path}: {error.strerror}: look as its owner or as root"
            ) from None
        except OSError:
            raise InputError(
                f"{spool}: no spool: there is no journal in {FOLDER}; --spool names the directory "
                "that fastcap run or fastcap follow works on"
            ) from None

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The journal as it is. InputError."""
        try:
            db = self._open()
            try:
                yield db
            finally:
                db.close()
        except sqlite3.Error as error:
            raise InputError(f"{self.path}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        uri = f"file:{quote(self.path)}?mode=ro"
        try:
            return _connect(uri)
        except sqlite3.OperationalError:
            # who may not write the directory cannot share a journal; nobody else uses this one
            if self._owner() is not None:
                raise
            return _connect(uri + "&immutable=1")

    def _owner(self) -> int | None:
        try:
            return owner_of(os.path.join(self.spool, FOLDER, "lock"))
        except OSError:
            return None

    def now(self) -> dict[str, Any]:
        """The whole pipeline. `originals` are counts by state; `service` is None where none runs,
        else what it does and since when files wait."""
        snapshot = read_snapshot(self.spool)
        pid = self._owner()
        with self.reading() as db:
            by_state = {row["state"]: dict(row) for row in db.execute(_BY_STATE)}
            waiting = by_state.pop("waiting", {"originals": 0, "bytes": 0})
            about = {row["key"]: row["value"] for row in db.execute("SELECT key, value FROM about")}
            outputs = [dict(row) for row in db.execute(_OUTPUTS)]
            failed = [_shown(row) for row in db.execute(_FAILED)]
        for row in by_state.values():
            row.pop("state")
        service = None
        if pid is not None and snapshot is not None:
            service = {
                "pid": pid,
                "doing": snapshot.doing,
                "now": snapshot.now or None,
                "silent_seconds": round(max(0.0, (time.time_ns() - snapshot.time_ns) / 1e9), 1),
                "backlog_seconds": round(snapshot.backlog.seconds, 1),
                "held_back_seconds": round(snapshot.held_s, 1),
                "since_its_start": snapshot.counts,
            }
        return {
            "spool": self.spool,
            "service": service,
            "backlog": {"files": waiting["originals"], "bytes": waiting["bytes"]},
            "originals": by_state,
            "files_never_seen": about.get("unseen", 0),
            "captures_died": about.get("captures died", 0),
            "totals": {name: sum(row[name] for row in by_state.values()) for name in _COUNTS},
            "outputs": outputs,
            "failed": failed,
            "free": _free(self.spool),
        }

    def files(self, since: int, until: int) -> dict[str, Any]:
        """Originals and parts of outputs with frames between two times, oldest first; `hours` are
        sums of originals that are not kept one by one any more. An original whose last time is not
        known counts until it was written for the last time."""
        with self.reading() as db:
            originals = db.execute(_ORIGINALS_OF, (until, since, _MOST_LISTED + 1)).fetchall()
            parts = db.execute(_PARTS_OF, (until, since, _MOST_LISTED + 1)).fetchall()
            hours = db.execute(_HOURS_OF, (until // 10**9, since // 10**9)).fetchall()
        return {
            "originals": [_shown(row) for row in originals[:_MOST_LISTED]],
            "outputs": [_shown(row) for row in parts[:_MOST_LISTED]],
            "hours": [{**dict(row), "hour": rfc3339(row["hour"] * 10**9)} for row in hours],
            "more": max(len(originals), len(parts)) > _MOST_LISTED,
        }


def _connect(uri: str) -> sqlite3.Connection:
    db = sqlite3.connect(uri, uri=True, timeout=_BUSY_S)
    try:
        db.row_factory = sqlite3.Row
        db.execute("SELECT 1 FROM about").fetchone()
    except BaseException:
        db.close()
        raise
    return db


def _shown(row: sqlite3.Row) -> dict[str, Any]:
    told = dict(row)
    for name in ("first_ns", "last_ns"):
        if name in told:
            told[name.removesuffix("_ns")] = rfc3339(told[name])
    return told


def _free(folder: str) -> dict[str, int] | None:
    try:
        status = os.statvfs(folder)
    except OSError:
        return None
    return {
        "bytes": status.f_bavail * status.f_frsize,
        "of": status.f_blocks * status.f_frsize,
    }


_BY_STATE = """
SELECT state, sum(originals) AS originals, sum(bytes) AS bytes, sum(frames) AS frames,
    sum(matched) AS matched, sum(dropped) AS dropped, sum(lost) AS lost, sum(missed) AS missed
FROM (
    SELECT state, 1 AS originals, bytes, coalesce(frames, 0) AS frames,
        coalesce(matched, 0) AS matched, dropped, lost, missed FROM original
    UNION ALL SELECT state, originals, bytes, frames, matched, dropped, lost, missed FROM sums
) GROUP BY state
"""
_OUTPUTS = """
SELECT path, filter, from_original, is_current AS current, count(part.id) AS parts,
    coalesce(sum(part.frames), 0) AS frames, coalesce(sum(part.bytes), 0) AS bytes,
    max(CASE WHEN part.state = 'open' THEN part.temporary END) AS open
FROM output LEFT JOIN part ON part.output = output.id AND part.state != 'gone'
GROUP BY output.id ORDER BY is_current DESC, output.id
"""
_FAILED = """
SELECT name, state, attempts, error, first_ns, frames FROM original
WHERE state IN ('failed', 'damaged') OR (state = 'waiting' AND attempts > 0)
ORDER BY id DESC LIMIT 20
"""
_ORIGINALS_OF = """
SELECT name, state, bytes, frames, matched, first_ns, last_ns, dropped, lost, missed, error
FROM original WHERE first_ns < ? AND coalesce(last_ns, changed_ns) >= ?
ORDER BY first_ns, id LIMIT ?
"""
_PARTS_OF = """
SELECT output.path AS output, part.state AS state,
    CASE WHEN part.state IN ('open', 'full') THEN part.temporary ELSE part.name END AS path,
    part.frames AS frames, part.bytes AS bytes, part.first_ns AS first_ns, part.last_ns AS last_ns,
    output.filter AS filter
FROM part JOIN output ON part.output = output.id
WHERE part.first_ns < ? AND part.last_ns >= ? AND part.state != 'gone'
ORDER BY part.first_ns, part.id LIMIT ?
"""
_HOURS_OF = """
SELECT hour, state, originals, bytes, frames, matched, dropped, lost, missed FROM sums
WHERE hour < ? AND hour + 3600 > ? ORDER BY hour, state
"""
