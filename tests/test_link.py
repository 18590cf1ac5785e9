"""What the kernel tells of an interface, where messages are lost or come late."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from fastcap import interfaces
from fastcap.interfaces import Interface
from fastcap.link import Link

UP = 0x1
WAS = Interface(7, "eth1", 1, UP, 1500, 0)


class Kernel:
    """What it would answer, in place of a socket and a question."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.there = [WAS]
        self.messages: list[tuple[Interface, bool] | OSError] = []
        monkeypatch.setattr(interfaces, "interfaces", lambda: list(self.there))
        monkeypatch.setattr(interfaces, "links_in", lambda message: [message])

    def recv(self, _: int) -> tuple[Interface, bool]:
        if not self.messages:
            raise BlockingIOError(errno.EAGAIN, "nothing")
        message = self.messages.pop(0)
        if isinstance(message, OSError):
            raise message
        return message

    def attach(self, link: Link) -> None:
        link._netlink.close()
        link._netlink = self  # type: ignore[assignment]

    def fileno(self) -> int:
        return 0

    def close(self) -> None:
        pass


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(monkeypatch)


@pytest.fixture
def link(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> Iterator[Link]:
    link = Link(WAS)
    kernel.attach(link)
    monkeypatch.setattr("select.select", lambda *_: None)
    assert told(link) == []
    yield link
    link.close()


def told(link: Link) -> list[str]:
    """Anything else may have changed, such as its offloads: that is not told here."""
    return [change.what for change in link.changes(0) if change.what != "other"]


def test_changes_are_told_in_order(kernel: Kernel, link: Link) -> None:
    down = WAS._replace(flags=0)
    kernel.messages += [(down, True), (WAS, True), (WAS._replace(mtu=9000), True)]
    assert told(link) == ["down", "up", "mtu"]


def test_other_interfaces_are_none_of_its_business(kernel: Kernel, link: Link) -> None:
    kernel.messages += [(WAS._replace(number=8, name="eth2", flags=0), True)]
    kernel.messages += [(WAS._replace(number=8, name="eth2"), False)]
    assert told(link) == []


def test_one_that_is_gone_and_back_at_once_is_told_as_both(kernel: Kernel, link: Link) -> None:
    kernel.messages += [(WAS, False), (WAS._replace(number=9), True)]
    assert told(link) == ["gone", "back"]
    assert link.last.number == 9
    kernel.messages += [(WAS, False)]  # a second word about the old one
    assert told(link) == []


@pytest.mark.parametrize("code", [errno.ENOBUFS, errno.ENOMEM])
def test_where_messages_are_lost_it_asks(kernel: Kernel, link: Link, code: int) -> None:
    kernel.messages += [OSError(code, "lost"), (WAS._replace(flags=0), True)]
    kernel.there = [WAS._replace(name="eth7", mtu=1400)]
    assert told(link) == ["renamed", "mtu"]
    kernel.messages += [OSError(code, "lost"), OSError(code, "lost")]
    kernel.there = []
    assert told(link) == ["gone"]
    assert told(link) == []
    kernel.messages += [(WAS._replace(number=12, name="eth7"), True)]  # not the name asked for
    assert told(link) == []
    kernel.messages += [(WAS._replace(number=13), True)]
    assert told(link) == ["back"]


def test_what_waited_before_it_asked_is_not_believed(kernel: Kernel, link: Link) -> None:
    kernel.messages += [OSError(errno.ENOBUFS, "lost"), (WAS, False), (WAS._replace(flags=0), True)]
    assert told(link) == []
    assert not link.is_gone
