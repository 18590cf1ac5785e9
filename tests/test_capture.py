"""A live capture's outside, where no frames are needed: its main thread, its start and end."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

import fastcap.cli.capture as cli
from fastcap._native.capture import NativeCapture
from fastcap.account import Account
from fastcap.capture import CaptureResult


class Fake:
    """A capture that ends when it is told to."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def wait(self, _timeout: float | None = None) -> bool:
        self.calls.append("wait")
        return True


def test_an_error_of_the_main_thread_ends_the_capture_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> bool:
        raise RuntimeError("anything")

    monkeypatch.setattr(cli, "_attend", fail)
    capture: Any = Fake()
    nobody: Any = None
    with pytest.raises(RuntimeError):
        cli._run(capture, nobody, nobody, None)
    assert capture.calls == ["start", "stop", "wait"]


@pytest.mark.parametrize(
    ("counts", "status"),
    [
        ({"frames_lost_writer": 7}, 0),
        ({"frames_lost_writer": 7, "frames_dropped_ring": 1}, 3),
        ({"frames_missed_interface": 1}, 3),
    ],
)
def test_a_reader_that_left_excuses_no_loss_before(counts: dict[str, int], status: int) -> None:
    account = Account(**counts)
    capture: Any = SimpleNamespace(
        account=lambda: account,
        result=lambda: CaptureResult(account, [], 1.0, balances=True, reader_left=True),
    )
    assert cli._report(capture, [], as_json=False) == status


def test_a_native_capture_that_cannot_be_made_closes_no_descriptor_of_others() -> None:
    before = os.fstat(0)
    make: Any = NativeCapture
    for limit in (0, 1 << 64):
        with pytest.raises((ValueError, OverflowError)):
            make(
                interface=1, block_size=4096, block_count=2, promiscuous=False,
                ignore_outgoing=False, chunk_size=4096, chunks=1, header=b"h" * 4097,
                trailer=0, snaplen=80, slice_layer=0, slice_more=0, pcapng=False, nanoseconds=True,
                ethernet=True, eager=True, rotate_bytes=0, rotate_ns=0, flush_ns=0, limit=limit,
                program=None, ring_filter=b"", counter_fd=-1, counter_filter=b"",
            )  # fmt: skip
    assert os.path.samestat(os.fstat(0), before)
