"""What happens to the interface and to the clock while frames are captured, on a thread of its own:
each change is told, and an interface that is back is captured again."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from fastcap.clock import Clock
from fastcap.interfaces import Interface
from fastcap.link import Change, Link
from fastcap.offloads import advice, merging, offloads
from fastcap.telling import Telling

_TICK = 0.5  # seconds
_STILL_WAITING = 5.0  # seconds that a frame hardly waits in the ring


class Watch:
    """`link` is used from here on by this alone. `detach` is called when the interface is gone,
    `attach` with each one that may be it again, and raises where it cannot be captured yet;
    `oversize` tells how many frames were longer than the interface allows."""

    def __init__(
        self,
        link: Link,
        clock: Clock,
        telling: Telling,
        *,
        direction: str,
        offloads: dict[str, bool],
        detach: Callable[[], None],
        attach: Callable[[Interface], None],
        oversize: Callable[[], int],
        set_longest: Callable[[int], None],
        on_note: Callable[[str], None],
    ) -> None:
        self.link = link
        self.clock = clock
        self.telling = telling
        self.direction = direction
        self.offloads = offloads
        self.detach = detach
        self.attach = attach
        self.oversize = oversize
        self.set_longest = set_longest
        self.on_note = on_note
        self._unseen: deque[Change] = deque()
        self._back: Interface | None = None  # and not captured yet
        self._told_why = ""
        self._told_oversize = False
        self._longest = 0
        self._longest_from: float | None = None  # monotonic time from which frames are judged by it
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fastcap-watch", daemon=True)

    def start(self) -> None:
        """RuntimeError where there can be no more threads."""
        self._longest = self.link.last.longest
        self.set_longest(self._longest)
        self._thread.start()

    def end(self) -> None:
        """Calls nobody any more. Also where it was never started; once."""
        self._ended.set()
        self.link.wake()
        if self._thread.ident is not None:
            self._thread.join()
        self.link.close()

    def _run(self) -> None:
        if not self.link.last.is_up:
            self._see(Change("down", self.link.last, self.link.last))
        while not self._ended.is_set():
            try:
                self._look()
            except Exception as error:  # no descriptor to ask with, say: asked again soon
                self._note_once(f"what becomes of {self.link.name} is not known: {error}")
                self.link.ask_again()
                self._ended.wait(_TICK)

    def _look(self) -> None:
        self._unseen += self.link.changes(_TICK)
        while self._unseen and not self._ended.is_set():
            self._see(self._unseen.popleft())
        if self._back is not None and not self._ended.is_set():
            self._try_to_attach(self._back)
        self._look_at_clock()
        self._look_at_lengths()

    def _see(self, change: Change) -> None:
        interface, before = change.interface, change.before
        name = interface.name
        if change.what == "down":
            self._tell("down", f"{name} is down: waiting until it is up")
        elif change.what == "up":
            self._tell("up", f"{name} is up")
        elif change.what == "renamed":
            self.telling.facts(interface=name)
            self._tell("renamed", f"{before.name} is called {name} now", before=before.name)
        elif change.what == "mtu":
            self.telling.facts(mtu=interface.mtu)
            self._judge_by(interface.longest)
            self._tell("mtu", f"{name} has an MTU of {interface.mtu} now, before {before.mtu}",
                       mtu=interface.mtu, before=before.mtu)  # fmt: skip
        elif change.what == "gone":
            self._back = None
            self.detach()
            self._tell("gone", f"{name} is gone")
        elif change.what == "back":
            self._back = interface
        self._look_at_offloads(interface)

    def _look_at_offloads(self, interface: Interface) -> None:
        if self.link.is_gone:
            return
        found, before = offloads(interface.name), self.offloads
        if found == before or not found:
            return
        self.offloads = found
        self.telling.facts(offloads=found)
        self.telling.change("offloads", interface=interface.name, offloads=found, before=before)
        direction = "in" if self.direction == "both" else self.direction
        names = merging(found, direction)
        if names and names != merging(before, direction):
            self.on_note(advice(interface.name, names))

    def _try_to_attach(self, interface: Interface) -> None:
        try:
            self.attach(interface)
        except Exception as error:  # tried again at the next tick
            self._note_once(f"{error}: tried again until it can be captured")
            return
        self._back = None
        self._told_why = ""
        self.telling.facts(mtu=interface.mtu, interface=interface.name)
        self._judge_by(interface.longest)
        state = "" if interface.is_up else ", and down"
        self._tell("back", f"{interface.name} is back{state}: its frames are captured again")

    def _look_at_clock(self) -> None:
        step = self.clock.step()
        if step:
            seconds = step / 1e9
            way = "forward" if step > 0 else "back"
            self.telling.change("clock", seconds=seconds)
            self.on_note(f"the clock was set {way} by {abs(seconds):,.3f} s: no frame is lost by "
                         "that, but times in the files jump")  # fmt: skip

    def _judge_by(self, longest: int) -> None:
        """Frames that were received while longer ones were allowed may still wait in the ring."""
        self._longest_from = time.monotonic() + (_STILL_WAITING if longest < self._longest else 0)
        self._longest = longest

    def _look_at_lengths(self) -> None:
        if self._longest_from is not None and time.monotonic() >= self._longest_from:
            self._longest_from = None
            self.set_longest(self._longest)
        frames = self.oversize()
        if self._told_oversize or not frames:
            return
        self._told_oversize = True
        name, mtu = self.link.last.name, self.link.last.mtu
        self._tell(
            "oversize",
            f"{name}: frames that are longer than its MTU of {mtu} allows: many may be merged in "
            f"one, of which -s keeps one header: ethtool -K {name} gro off lro off tso off gso off "
            "here, and where they are sent",
            mtu=mtu,
        )

    def _tell(self, what: str, line: str, **more: object) -> None:
        self.telling.change(what, interface=self.link.last.name, **more)
        self.on_note(line)

    def _note_once(self, line: str) -> None:
        if line != self._told_why:
            self._told_why = line
            self.on_note(line)
