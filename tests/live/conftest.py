"""What the live tests share."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.network import Network, compile_sender

# Under nohup it would be ignored by the captures too, as it should be.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def send_frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """send_frames.c as a program."""
    return compile_sender(tmp_path_factory.mktemp("send_frames"))


@pytest.fixture
def network(send_frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A network of its own for each test."""
    with Network(send_frames, tmp_path_factory.mktemp("network")) as network:
        yield network
