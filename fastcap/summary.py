"""The shape of what was thrown away: frames and bytes on the wire by second and protocol, as
csrc/summary.h counts them, and the files that hold such rows."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import struct

from fastcap._native.postfilter import PROTOCOLS
from fastcap.errors import UsageError
from fastcap.folders import sync_folder
from fastcap.permissions import Permissions

Rows = dict[tuple[int | None, str], tuple[int, int]]
"""(second since 1970, protocol) -> (frames, bytes on the wire). The second is None for frames whose
second got no row, because there were MOST_ROWS already."""

MOST_ROWS = 1 << 20  # 12 days of one protocol, or a day of 12: some 200 MB
COLUMNS = ("time", "protocol", "frames", "bytes")
SUFFIXES = (".csv", ".parquet")

_ROW = struct.Struct("=4Q")  # struct fc_summary_row
_PERMISSIONS = Permissions()


def add(rows: Rows, packed: bytes) -> None:
    """Adds the rows of a range (`Result.summary`)."""
    for second, protocol, frames, size in _ROW.iter_unpack(packed):
        key: tuple[int | None, str] = second, PROTOCOLS[protocol]
        if key not in rows and len(rows) >= MOST_ROWS:
            key = None, PROTOCOLS[protocol]
        before = rows.get(key, (0, 0))
        rows[key] = before[0] + frames, before[1] + size


# ---- Files ------------------------------------------------------------------------------------


def check_path(path: str) -> None:
    """UsageError for a name that says no format, and for Parquet where nothing here can write it.

    >>> check_path("dropped.csv")
    >>> check_path("dropped.txt")
    Traceback (most recent call last):
    fastcap.errors.UsageError: dropped.txt: a summary is a .csv or a .parquet
    """
    suffix = _suffix(path)
    if suffix not in SUFFIXES:
        raise UsageError(f"{path}: a summary is a .csv or a .parquet")
    if suffix == ".parquet":
        try:
            importlib.import_module(
                "pyarrow.parquet"
            )  # now: later there may be no right to read it
        except ImportError:
            raise UsageError(
                f"{path}: Parquet wants pyarrow, which is not installed: "
                "pip install 'fastcap-pcap[parquet]', or name a .csv"
            ) from None


def write(path: str, rows: Rows, permissions: Permissions = _PERMISSIONS) -> None:
    """Writes rows in the order of their seconds and protocols, syncs them, and replaces what is
    there; who reads it sees the file of before or the whole new one. OSError.

    `time` is RFC 3339 text in CSV, a timestamp in UTC in Parquet (of milliseconds, for Parquet has
    none of seconds); empty, or null, where the second is None, which comes last.
    """
    content = _as_parquet(rows) if _suffix(path) == ".parquet" else _as_csv(rows)
    folder, base = os.path.split(path)
    temporary = os.path.join(folder, f".{base}.part")
    with contextlib.suppress(FileNotFoundError):  # left by one that was killed
        os.unlink(temporary)
    fd = permissions.create(temporary)
    try:
        with open(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(folder or os.curdir)


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _sorted(rows: Rows) -> list[tuple[int | None, str, int, int]]:
    order = sorted(rows, key=lambda key: (key[0] is None, key[0] or 0, key[1]))
    return [(*key, *rows[key]) for key in order]


def _as_csv(rows: Rows) -> bytes:
    import csv
    import datetime

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for second, *rest in _sorted(rows):
        time = ""
        if second is not None:
            moment = datetime.datetime.fromtimestamp(second, datetime.timezone.utc)
            time = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        writer.writerow([time, *rest])
    return text.getvalue().encode("ascii")


def _as_parquet(rows: Rows) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = (pa.timestamp("s", "UTC"), pa.string(), pa.int64(), pa.int64())
    columns = list(zip(*_sorted(rows), strict=True)) or [()] * len(COLUMNS)
    arrays = [pa.array(values, of) for values, of in zip(columns, types, strict=True)]
    file = io.BytesIO()
    pq.write_table(pa.table(arrays, names=list(COLUMNS)), file)
    return file.getvalue()
