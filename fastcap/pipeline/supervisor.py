"""Two processes, a capture and the service that filters its finished files, and who starts again
whichever dies: whatever happens to one, the other goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from fastcap.locks import owner_of
from fastcap.pressure import Pressure
from fastcap.signals import SAME_STOP, STOPS, Signals

_SIGNALS = (*STOPS, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)
_OK, _FAILED, _LOST, _INTERRUPTED = 0, 1, 3, 130  # exit statuses
_TICK = 1.0  # seconds
_SOON = 0.05  # seconds between two looks at one that has not begun yet
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds before one is started again
_LONG_LIFE = 60.0  # seconds after which it is started again at once
_FOR_SERVICE = 5.0  # seconds that the capture waits at most for the service to begin
_FOR_LOCK = 10.0  # seconds in which a capture ends that was told to
_FOR_FILE = 1.0  # seconds until a file that was ended has its name, mostly
_MORE_THAN_GRACE = 10.0  # seconds; then whoever was told to end is killed


class Command(NamedTuple):
    """How one is started: `program`, options of the supervisor's, `arguments`; another time with
    `again` before them. `lock`: the file in which the process that may not be there twice leaves
    its number."""

    program: Sequence[str]
    arguments: Sequence[str]
    again: Sequence[str] = ()
    lock: str | None = None


class _Half:
    """One of the two, in one life after the other."""

    def __init__(self, name: str, command: Command, pressure: Pressure, patience: float) -> None:
        self.name = name
        self.command = command
        self.pressure = pressure
        self.patience = patience  # seconds for another one of an earlier start to end
        self.process: subprocess.Popen[bytes] | None = None
        self.has_begun = False  # in this life
        self.ever_began = False
        self.is_over = False  # for good
        self.status = _OK
        self.due: float | None = None  # when it is started; monotonic
        self.deadline: float | None = None  # when it is killed
        self.waits_until: float | None = None  # for the lock
        self._pause = 0.0
        self._since = 0.0

    def start(self) -> None:
        """OSError."""
        again = self.command.again if self.ever_began else ()
        own = ["--with-parent", str(os.getpid()), "--pressure", str(self.pressure.fd)]
        self.has_begun = False
        self._since = time.monotonic()
        self._popen(
            [*self.command.program, *own],
            [*again, *self.command.arguments],
        )

    def _popen(self, start: Sequence[str], rest: Sequence[str], fds: Sequence[int] = ()) -> None:
        # A session of its own: Ctrl-C on the terminal is for the supervisor, who decides the order.
        # Only the main thread comes here: what kills the children with us is bound to that.
        self.process = subprocess.Popen(  # noqa: S603 - ourselves, and no shell
            [*start, *rest],
            stdin=subprocess.DEVNULL,
            pass_fds=(self.pressure.fd, *fds),
            start_new_session=True,
        )

    def look(self) -> int | None:
        """Notes whether it has begun; its status, if this life has ended."""
        if self.process is None:
            return None
        status = self.process.poll()  # before: what it did until then counts
        self._look_for_begin()
        if status is not None:
            self.process = None
        return status

    def _look_for_begin(self) -> None:
        if not self.has_begun and self._begins():
            self.has_begun = self.ever_began = True

    def _begins(self) -> bool:
        raise NotImplementedError

    def tell(self, number: int) -> None:
        """A signal, if it is there to hear it."""
        if self.process is not None:
            self.process.send_signal(number)

    def tell_if_begun(self, number: int) -> None:
        """A signal that would end who does not expect it yet."""
        if self.process is not None:
            self._look_for_begin()
            if self.has_begun:
                self.tell(number)

    def pause(self) -> float:
        """Seconds until it is started again: more each time, unless it lived for long."""
        if time.monotonic() - self._since >= _LONG_LIFE:
            self._pause = 0.0
        seconds = self._pause
        self._pause = min(max(2 * seconds, _SHORTEST_PAUSE), _LONGEST_PAUSE)
        return seconds


class _Capture(_Half):
    """It has begun when it writes what it has to do into the page."""

    def start(self) -> None:
        self.pressure.reset()
        super().start()

    def _begins(self) -> bool:
        return self.pressure.read().began


class _Service(_Half):
    """It has begun when it writes a byte into a pipe of its own."""

    drains = False  # it is to end when nothing waits any more
    _ready: int | None = None  # our end of the pipe

    def _popen(self, start: Sequence[str], rest: Sequence[str], fds: Sequence[int] = ()) -> None:
        self._close()
        self._ready, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            super()._popen([*start, "--ready", str(theirs)], rest, (theirs,))
        finally:
            os.close(theirs)

    def _begins(self) -> bool:
        if self._ready is None:
            return False
        try:
            said = os.read(self._ready, 1)
        except BlockingIOError:
            return False
        self._close()
        if said and self.drains:
            self.tell(signal.SIGUSR2)
        return bool(said)

    def drain(self) -> None:
        self.tell_if_begun(signal.SIGUSR2)
        self.drains = True  # who begins later is told then

    def _close(self) -> None:
        if self._ready is not None:
            os.close(self._ready)
            self._ready = None


class Supervisor:
    """`run` starts the service, and when that has begun the capture; it must be the main thread's.

    Both get `--with-parent PID` and `--pressure FD`, the service also `--ready FD`. SIGINT and
    SIGTERM end the capture, then the service, each of which has `grace` seconds and some more.
    SIGHUP and SIGUSR1 go to both, the first to the service a second later, so that it finds what
    the capture ended. When the capture ends by itself, or is ended by SIGUSR2, the service gets
    SIGUSR2: it is to end when nothing waits any more.
    """

    def __init__(
        self,
        capture: Command,
        service: Command,
        *,
        grace: float,
        on_note: Callable[[str], None],
    ) -> None:
        self.grace = grace
        self.on_note = on_note
        self.pressure = Pressure.make()
        self.capture = _Capture("the capture", capture, self.pressure, _FOR_LOCK)
        self.service = _Service("the filter service", service, self.pressure,
                                grace + _MORE_THAN_GRACE)  # fmt: skip
        self._halves: tuple[_Half, _Half] = (self.service, self.capture)
        self._began = 0.0
        self._is_stopping = False
        self._hangup_due: float | None = None  # when the service is told of SIGHUP
        self._stopped_at: float | None = None  # by a signal
        self._stopped_twice = False
        self._refused: int | None = None
        self._frames_lost = False  # told by one of them, or with a capture that died

    def run(self) -> int:
        """Until both have ended; the exit status."""
        self._began = self.service.due = time.monotonic()
        with Signals(_SIGNALS) as signals:
            while not all(half.is_over for half in self._halves):
                for number in signals.wait(self._time_to_wait()):
                    self._hear(number)
                self._look()
        self.pressure.close()
        return self._status()

    def _time_to_wait(self) -> float:
        now = time.monotonic()
        until = now + _TICK
        for half in self._halves:
            if half.process is not None and not half.has_begun:
                until = min(until, now + _SOON)
            moments = (half.due, half.deadline if half.process is not None else None)
            until = min([until, *(moment for moment in moments if moment is not None)])
        return max(0.0, until - now)

    # ---- The two ------------------------------------------------------------------------------

    def _look(self) -> None:
        for half in self._halves:
            status = half.look()
            if status is not None:
                self._ended(half, status)
        if not self._is_stopping and self.capture.due is None and self._is_time_to_capture():
            self.capture.due = time.monotonic()
        now = time.monotonic()
        if self._hangup_due is not None and self._hangup_due <= now:
            self._hangup_due = None
            self.service.tell_if_begun(signal.SIGHUP)
        for half in self._halves:
            if half.due is not None and half.due <= now and self._has_lock(half, now):
                half.due = None
                self._start(half)
            if half.deadline is not None and half.deadline <= now and half.process is not None:
                half.deadline = None
                self.on_note(f"{half.name} did not end in time, and is killed")
                half.tell(signal.SIGKILL)

    def _is_time_to_capture(self) -> bool:
        """For the first time: when the service has begun, or does not soon."""
        if self.capture.process is not None or self.capture.is_over or self.capture.ever_began:
            return False
        waits = self.service.waits_until is not None
        return self.service.ever_began or waits or time.monotonic() - self._began >= _FOR_SERVICE

    def _has_lock(self, half: _Half, now: float) -> bool:
        """Or will not wait for it any longer: who had it may have been told to end, as those are
        whose supervisor was killed."""
        owner = None if half.ever_began else _owner_of(half.command.lock)
        if owner is None or (half.waits_until is not None and now >= half.waits_until):
            return True
        if half.waits_until is None:
            half.waits_until = now + half.patience
            self.on_note(f"{half.name} waits for process {owner} to end, which works there: at "
                         f"most {half.patience:,.0f} s")  # fmt: skip
        half.due = now + _SOON
        return False

    def _start(self, half: _Half) -> None:
        try:
            half.start()
        except OSError as error:
            self.on_note(f"{half.name} cannot be started: {error.strerror}")
            if half.ever_began:
                half.due = time.monotonic() + max(half.pause(), _SHORTEST_PAUSE)
            else:
                self._refuse(half, _FAILED)

    def _ended(self, half: _Half, status: int) -> None:
        half.status = status
        ended_in_order = status in (_OK, _LOST, _INTERRUPTED)
        died = status < 0 or not (ended_in_order or self._is_stopping)
        if died and half is self.capture and half.has_begun:
            self._frames_lost = True
            self.pressure.count_death()
        if status == _LOST:
            self._frames_lost = True
        if self._is_stopping:
            self._is_over(half)
        elif ended_in_order and (half is self.capture or self.service.drains):
            half.is_over = True
            self.service.drain()
        elif status >= 0 and not half.ever_began:
            self._refuse(half, status)
        else:
            self._start_again(half, status)

    def _start_again(self, half: _Half, status: int) -> None:
        half.status = _OK  # of the life to come
        seconds = half.pause()
        half.due = time.monotonic() + seconds
        when = f"in {seconds:,.1f} s" if seconds else "at once"
        self.on_note(f"{half.name} {_how(status)}: it is started again {when}")

    # ---- The end ------------------------------------------------------------------------------

    def _refuse(self, half: _Half, status: int) -> None:
        """One could not begin, and has said why."""
        self._refused = status
        half.is_over = True
        self._stop()

    def _stop(self) -> None:
        """First the capture, then the service: what was captured last may still be filtered."""
        self._is_stopping = True
        if self.capture.is_over:
            self._end(self.service)
        else:
            self._end(self.capture)

    def _end(self, half: _Half) -> None:
        half.due = None
        if half.process is None:
            self._is_over(half)
        else:
            half.tell(signal.SIGTERM)
            half.deadline = time.monotonic() + self.grace + _MORE_THAN_GRACE

    def _is_over(self, half: _Half) -> None:
        half.is_over = True
        if half is self.capture and not self.service.is_over:
            self._end(self.service)

    def _hear(self, number: int) -> None:
        if number in STOPS:
            self._told_to_stop()
        elif number == signal.SIGUSR1:
            for half in self._halves:
                half.tell_if_begun(number)
        elif number == signal.SIGHUP:
            self.capture.tell_if_begun(number)
            self._hangup_due = time.monotonic() + _FOR_FILE
        elif number == signal.SIGUSR2:  # then the service is told to end when nothing waits
            self.capture.tell_if_begun(signal.SIGTERM)

    def _told_to_stop(self) -> None:
        now = time.monotonic()
        if self._stopped_at is None:
            self._stopped_at = now
            if not self._is_stopping:
                self._stop()
        elif now - self._stopped_at >= SAME_STOP:
            self._stopped_twice = True
            self.on_note("stopped twice: the filter service is killed; the next start goes on "
                         "where it was")  # fmt: skip
            self.service.tell(signal.SIGKILL)
            self.capture.tell(signal.SIGTERM)

    def _status(self) -> int:
        statuses = [half.status for half in self._halves if half.has_begun]
        if self._stopped_twice:
            return _INTERRUPTED
        if self._refused is not None:
            return self._refused
        if self._frames_lost:
            return _LOST
        return _OK if all(status in (_OK, _INTERRUPTED) for status in statuses) else _FAILED


def _owner_of(lock: str | None) -> int | None:
    """The process that has the lock."""
    if lock is None:
        return None
    try:
        return owner_of(lock)
    except OSError:
        return None


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
