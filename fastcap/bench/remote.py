"""Load from a process of its own: at the other end of a cable, in another network namespace."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import socket
import struct
import threading
from collections.abc import Callable

from fastcap._native.cancel import Cancel
from fastcap.bench.generator import Load, Sent
from fastcap.errors import FastcapError, InputError

_LOOK = 0.005  # seconds between two calls of `look`
_LENGTH = struct.Struct("=Q")


class RemoteSender:
    """Sends by a process that calls `serve`, or that `fork` makes. That ends when this one closes
    its end, or dies."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._pid: int | None = None

    def serve(self) -> None:
        """In the other process: answers from a thread."""
        self._ours.close()
        threading.Thread(target=self._answer, daemon=True).start()

    def begin(self) -> None:
        """In this one, when the other one serves."""
        self._theirs.close()

    def fork(self) -> None:
        """The other process, in the same namespaces."""
        self._pid = os.fork()
        if self._pid == 0:
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the other one
                self._ours.close()
                self._answer()
            finally:
                os._exit(1)
        self.begin()

    def _answer(self) -> None:
        # Others should hardly get its processor. SCHED_FIFO would have it stand still for 50 ms of
        # each second, by /proc/sys/kernel/sched_rt_runtime_us.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, -20)
        while True:
            load = _receive(self._theirs)
            if load is None:
                os._exit(0)
            assert isinstance(load, Load)
            cancel = Cancel()
            work = threading.Thread(target=self._send, args=(load, cancel))
            work.start()
            # Nothing comes meanwhile but the end of whoever asked.
            while work.is_alive():
                if select.select([self._theirs], [], [], _LOOK)[0]:
                    cancel.set()
                    work.join()
            work.join()

    def _send(self, load: Load, cancel: Cancel) -> None:
        try:
            answer: object = load.send(cancel)
        except BaseException as error:
            answer = error if isinstance(error, FastcapError) else InputError(repr(error))
        with contextlib.suppress(OSError):  # nobody hears it any more
            _write(self._theirs, answer)

    def send(self, load: Load, look: Callable[[], object]) -> Sent:
        """Calls `look` again and again meanwhile. Errors as `Load.send` has them. What `look`
        raises ends it, and then it can send nothing more."""
        _write(self._ours, load)
        while not select.select([self._ours], [], [], _LOOK)[0]:
            look()
        answer = _receive(self._ours)
        if answer is None:
            raise InputError("whoever sends has died")
        if isinstance(answer, BaseException):
            raise answer
        assert isinstance(answer, Sent)
        return answer

    def close(self) -> None:
        self._ours.close()
        if self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = None


def _write(to: socket.socket, what: object) -> None:
    data = pickle.dumps(what)
    to.sendall(_LENGTH.pack(len(data)) + data)


def _receive(from_: socket.socket) -> object:
    """None at the end. What comes is of our own process family."""
    head = _read(from_, _LENGTH.size)
    if head is None:
        return None
    data = _read(from_, _LENGTH.unpack(head)[0])
    return None if data is None else pickle.loads(data)  # noqa: S301 - we wrote it


def _read(from_: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        more = from_.recv(size - len(data))
        if not more:
            return None
        data += more
    return data
