"""How long does a filter take for a frame, the walk to it included?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

import fastcap
from benches.conftest import Measure, Records, filtered

Mask = NDArray[np.bool_]


def _hits(records: Records) -> Mask:
    return records.hits()


def _tcp(records: Records) -> Mask:
    ipv4: Mask = records.numbers(12, 2) == 0x0800
    tcp: Mask = records.numbers(23, 1) == 6
    return ipv4 & tcp


def _web_hits(records: Records) -> Mask:
    source: Mask = records.numbers(34, 2) == 443
    destination: Mask = records.numbers(36, 2) == 443
    return _tcp(records) & (source | destination) & records.hits()


# what is asked: the filter, and what it should take, by numpy alone
FILTERS: dict[str, tuple[str, Callable[[Records], Mask]]] = {
    "two Blobs": (
        "Blob(FrameData, 26, 4) == 0x0a234567 OR Blob(FrameData, 30, 4) == 0x0a234567",
        _hits,
    ),
    "host": ("host 10.35.69.103", _hits),
    "tcp": ("tcp", _tcp),
    "tcp port and host": ("tcp port 443 and host 10.35.69.103", _web_hits),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filter(name: str, records: Records, measure: Measure) -> None:
    expression, expected = FILTERS[name]
    program = fastcap.compile(expression).native
    matches = int(np.count_nonzero(expected(records)))
    assert 0 < matches < records.frames
    assert filtered(records, program) == (records.frames, matches)
    measure(f"filter, {name}, data in {records.place}", records, filtered, records, program)
