"""How long does it take to walk from record to record, and to sum up their times?"""

from __future__ import annotations

from benches.conftest import Measure, Records, filtered


def test_scan(records: Records, measure: Measure) -> None:
    assert filtered(records, None) == (records.frames, records.frames)
    measure(f"scan, data in {records.place}", records, filtered, records, None)
