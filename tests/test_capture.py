"""A live capture's outside, where no frames are needed: its main thread, its start and end."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any

import pytest

import fastcap.cli.capture as cli


class Fake:
    """A capture that ends when it is told to."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.interface = SimpleNamespace(number=1, name="v1")
        self.link_downs = 0

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
    signals: Any = None
    with pytest.raises(RuntimeError):
        cli._run(capture, signals, None)
    assert capture.calls == ["start", "stop", "wait"]


def test_an_interface_that_cannot_be_looked_at_is_not_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_buffers(_number: int) -> None:
        raise OSError(errno.ENOBUFS, "No buffer space available")

    monkeypatch.setattr(cli, "by_number", no_buffers)
    capture: Any = Fake()
    link = cli._Link(capture)
    link.look(lambda: None)
    assert not link.gone
    assert capture.calls == []
