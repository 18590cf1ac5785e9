"""What is told of a capture while it goes on: in the JSON beside each file, and to --events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from fastcap import sidecar
from fastcap.account import Account
from fastcap.events import Events
from fastcap.permissions import Permissions
from fastcap.segments import Segment, rfc3339

# Counts of the account that grow, so that one file's time has a part of them.
_GROWING = ("frames_received", "frames_dropped_ring", "ring_full_episodes",
            "frames_missed_interface", "frames_lost_writer", "bytes_received",
            "frames_oversize")  # fmt: skip
_MOST_CHANGES = 1000  # that are kept of one file's time


class Telling:
    """`account` is asked for the counts, `facts` say how the capture is made; `in_place`: no JSON
    is written. `before_name` and `finished` are for one thread, the rest for any."""

    def __init__(
        self,
        account: Callable[[], Account],
        facts: dict[str, Any],
        events: Events | None,
        on_note: Callable[[str], None],
        *,
        in_place: bool,
        permissions: Permissions,
    ) -> None:
        self._account = account
        self._facts = facts
        self._events = events
        self._on_note = on_note
        self._in_place = in_place
        self._permissions = permissions
        self._lock = threading.Lock()  # guards the changes
        self._changes: list[dict[str, Any]] = []
        self._changes_left_out = 0
        # what the last finished file told, and what the one tells that gets its name
        self._before, self._before_ns = Account(), 0
        self._now, self._now_ns = Account(), 0
        self._told_changes = self._told_left_out = 0
        self._record: dict[str, Any] = {}
        self._json_is_missing: str | None = None

    def start(self) -> None:
        self._before_ns = time.time_ns()
        self._event("start", capture=self._facts)

    def facts(self, **changed: Any) -> None:
        """From now on the capture is made so."""
        self._facts = {**self._facts, **changed}

    def change(self, what: str, **more: Any) -> None:
        """Something happened to the interface or the clock."""
        change = {"time": rfc3339(time.time_ns()), "what": what, **more}
        with self._lock:
            if len(self._changes) < _MOST_CHANGES:
                self._changes.append(change)
            else:
                self._changes_left_out += 1
        self._event("change", **{name: change[name] for name in change if name != "time"})

    def before_name(self, segment: Segment) -> None:
        """Writes the JSON of a file that gets its name now: who takes the file can take both. Once
        more where the name has to be tried again."""
        self._now, self._now_ns = self._account(), time.time_ns()
        self._record = {
            **segment.as_json(),
            "meanwhile": self._meanwhile(),
            "account": self._now.as_json(),
            "capture": self._facts,
        }
        self._json_is_missing = None
        if self._in_place:
            return
        try:
            sidecar.write(segment.path, self._record, self._permissions)
        except OSError as error:
            self._json_is_missing = error.strerror

    def _meanwhile(self) -> dict[str, Any]:
        """What came since the last file was finished: what a counter says is of that time, not of a
        file's frames."""
        with self._lock:
            changes, left_out = list(self._changes), self._changes_left_out
        self._told_changes, self._told_left_out = len(changes), left_out
        return {
            "since": rfc3339(self._before_ns),
            "until": rfc3339(self._now_ns),
            **{name: getattr(self._now, name) - getattr(self._before, name) for name in _GROWING},
            "changes": changes,
            **({"changes_left_out": left_out} if left_out else {}),
        }

    def finished(self, segment: Segment) -> None:
        """It has its name."""
        if self._json_is_missing is not None:
            path = sidecar.path_of(segment.path)
            self._on_note(f"{path}: {self._json_is_missing}: it is missing")
        self._before, self._before_ns = self._now, self._now_ns
        with self._lock:
            del self._changes[: self._told_changes]
            self._changes_left_out -= self._told_left_out
        self._event("file", **self._record)

    def deleted(self, path: str, numbers: dict[str, Any], why: str) -> None:
        """A finished file had to go."""
        self._event("deleted", path=path, **numbers, why=why)

    def end(self, account: Account, *, balances: bool) -> None:
        self._event("end", account=account.as_json(), balances=balances)

    def _event(self, kind: str, **more: Any) -> None:
        if self._events is not None:
            self._events.add(kind, **more)
