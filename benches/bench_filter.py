"""How long does a filter take for a frame, the walk to it included?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

import fastcap
from benches.conftest import Measure, Records, filtered
from benches.make_traffic import HIT

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


# 10,000 addresses: HIT, others of its network, of which traffic is full, and others of anywhere
_random = np.random.default_rng(1)
HOSTS = np.unique(
    np.concatenate([
        [HIT],
        (HIT & 0xFFFF0000) + _random.choice(1 << 16, 5_000, replace=False),
        _random.choice(1 << 32, 4_999, replace=False),
    ])
)  # fmt: skip
_SET = "{" + ", ".join(hex(host) for host in HOSTS) + "}"


def _of_hosts(records: Records) -> Mask:
    source: Mask = np.isin(records.numbers(26, 4), HOSTS)
    destination: Mask = np.isin(records.numbers(30, 4), HOSTS)
    return source | destination


def _ipv4(found: Mask, records: Records) -> Mask:
    ipv4: Mask = records.numbers(12, 2) == 0x0800
    return ipv4 & found


# what is asked: the filter, and what it should take, by numpy alone
FILTERS: dict[str, tuple[str, Callable[[Records], Mask]]] = {
    "two Blobs": (
        "Blob(FrameData, 26, 4) == 0x0a234567 OR Blob(FrameData, 30, 4) == 0x0a234567",
        _hits,
    ),
    "host": ("host 10.35.69.103", _hits),
    "two Blobs in 10,000": (
        f"Blob(FrameData, 26, 4) IN {_SET} OR Blob(FrameData, 30, 4) IN {_SET}",
        _of_hosts,
    ),
    "IPv4.Address": (
        "IPv4.Address == 10.35.69.103",
        lambda records: _ipv4(records.hits(), records),
    ),
    "IPv4.Address in 10,000": (
        f"IPv4.Address IN {_SET}",
        lambda records: _ipv4(_of_hosts(records), records),
    ),
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
