"""The shape of what was thrown away: rows of the journal into files, one for each hour."""

from __future__ import annotations

import os
import time

from fastcap import summary
from fastcap.permissions import Permissions
from fastcap.pipeline.journal import Journal

_HOUR = 3600


def write_hours(journal: Journal, to: str, until: float, permissions: Permissions) -> None:
    """Files of the hours that are over before `until`, seconds since 1970; their rows leave the
    journal. Frames of an hour that come later make another file. OSError; sqlite3.Error."""
    for hour in journal.summary_hours():
        if hour + _HOUR > until:
            break
        number = journal.summary_number(hour)
        # another spool's, or an older journal's, is not replaced; one that we were writing is
        while os.path.lexists(path := path_of(to, hour, number)):
            if journal.remembered("summary file") == path:
                break
            number += 1
        rows: summary.Rows = {
            (None if second < 0 else second, protocol): (frames, size)
            for second, protocol, frames, size in journal.summary(hour)
        }
        # killed between these, it is written once more under the same name
        with journal.transaction():
            journal.remember("summary file", path)
        summary.write(path, rows, permissions)
        with journal.transaction():
            journal.wrote_summary(hour, number)


def path_of(path: str, hour: int, number: int) -> str:
    """The file of an hour.

    >>> path_of("/data/rest.csv", 1_700_002_800, 1)
    '/data/rest_20231114T23Z.csv'
    """
    stem, suffix = os.path.splitext(path)
    when = "unknown" if hour < 0 else time.strftime("%Y%m%dT%HZ", time.gmtime(hour))
    return f"{stem}_{when}{f'_{number}' if number > 1 else ''}{suffix}"
