"""What a service does right now, for `fastcap status`: `.fastcap/status.json` in the spool. It is
for looking at; what is sure is in the journal."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any, NamedTuple

from fastcap.pipeline.journal import FOLDER

_NAME = "status.json"


class Backlog(NamedTuple):
    """Originals that wait: how many, their bytes, and seconds since the oldest was finished."""

    files: int = 0
    bytes: int = 0
    seconds: float = 0.0


class Snapshot(NamedTuple):
    """`doing` is for people, `now` the name of the file in work, `counts` since the service began,
    `held_s` seconds for which the capture held it back."""

    pid: int
    time_ns: int
    doing: str
    now: str
    backlog: Backlog
    counts: dict[str, int]
    held_s: float
    original: str


def write_snapshot(spool: str, snapshot: Snapshot) -> None:
    """OSError."""
    path = os.path.join(spool, FOLDER, _NAME)
    temporary = path + ".new"
    with open(temporary, "w", encoding="utf-8") as file:
        record: dict[str, Any] = {**snapshot._asdict(), "backlog": snapshot.backlog._asdict()}
        file.write(json.dumps(record) + "\n")
    os.rename(temporary, path)


def read_snapshot(spool: str) -> Snapshot | None:
    """The last that was written; None where there is none that can be read."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        with open(os.path.join(spool, FOLDER, _NAME), encoding="utf-8") as file:
            record = json.load(file)
        return Snapshot(**{**record, "backlog": Backlog(**record["backlog"])})
    return None
