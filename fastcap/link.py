"""What becomes of an interface while it is captured, as the kernel tells it (rtnetlink(7))."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
from typing import NamedTuple

from fastcap import interfaces
from fastcap.interfaces import Interface

_GROUP_LINK = 1  # RTMGRP_LINK
_MOST_WAITING = 100_000  # messages; far more than a socket holds
_RESYNC = (errno.ENOBUFS, errno.ENOMEM)  # messages were lost


class Change(NamedTuple):
    """`what`: "down", "up", "renamed", "mtu", "gone", "back", or "other" for anything else, such as
    its offloads. `before` is the interface as it was."""

    what: str
    interface: Interface
    before: Interface


class Link:
    """Of one interface, from its making on; one that is gone is back when there is one of the
    `name` that was asked for. For one thread, but `wake`. OSError."""

    def __init__(self, interface: Interface) -> None:
        self.name = interface.name
        self.last = interface  # as it was last seen
        self.is_gone = False
        self._wakes, self._wake = socket.socketpair()
        self._netlink = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 0
        )
        self._netlink.bind((0, _GROUP_LINK))
        self._is_lost = True  # what happened before that
        self._found: list[Change] = []  # and not told yet

    def changes(self, seconds: float) -> list[Change]:
        """Those that come within so many seconds; none where `wake` is called. OSError: what came
        is not lost, the next call tells it, or what it led to."""
        if not self._is_lost:
            select.select([self._netlink, self._wakes], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            while not self._is_lost:
                self._receive()
        if self._is_lost:
            self._look()
            self._is_lost = False
        found, self._found = self._found, []
        return found

    def ask_again(self) -> None:
        """What happened may not have been seen."""
        self._is_lost = True

    def _receive(self) -> None:
        try:
            messages = interfaces.links_in(self._netlink.recv(1 << 17))
        except OSError as error:
            if error.errno not in _RESYNC:
                raise
            self._is_lost = True
            return
        for interface, is_there in messages:
            self._see(interface, is_there)

    def _look(self) -> None:
        self._forget()
        there = interfaces.interfaces()
        if not self.is_gone and self.last.number not in {one.number for one in there}:
            self._see(self.last, False)
        for interface in there:
            self._see(interface, True)

    def _forget(self) -> None:
        """What waits is older than what will be asked for."""
        for _ in range(_MOST_WAITING):
            try:
                self._netlink.recv(1 << 17)
            except BlockingIOError:
                return
            except OSError as error:  # that messages were lost is told once
                if error.errno not in _RESYNC:
                    raise

    def _see(self, interface: Interface, is_there: bool) -> None:
        before = self.last
        if self.is_gone:
            if is_there and interface.name == self.name:
                self.is_gone, self.last = False, interface
                self._found.append(Change("back", interface, before))
        elif interface.number != before.number:
            return
        elif not is_there:
            self.is_gone = True
            self._found.append(Change("gone", before, before))
        else:
            self.last = interface
            self._found += [
                Change(what, interface, before) for what in _differences(interface, before)
            ]

    def wake(self) -> None:
        """From any thread: `changes` returns."""
        with contextlib.suppress(OSError):
            self._wake.send(b"x")

    def close(self) -> None:
        for one in (self._netlink, self._wakes, self._wake):
            one.close()


def _differences(interface: Interface, before: Interface) -> list[str]:
    return [
        *(["renamed"] if interface.name != before.name else []),
        *(["mtu"] if interface.mtu != before.mtu else []),
        *(["up" if interface.is_up else "down"] if interface.is_up != before.is_up else []),
    ] or ["other"]
