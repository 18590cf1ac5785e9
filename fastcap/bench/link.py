"""Where a bench sends and captures: a cable of its own, or two ports that somebody named."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fastcap import interfaces
from fastcap._native.generator import FCS
from fastcap.bench import network
from fastcap.bench.generator import Load, Sent
from fastcap.bench.remote import RemoteSender
from fastcap.errors import InputError, UsageError

_ETHERNET_HEADER = 14
NEAR, FAR = "fcbench", "fcload"  # the ends of our cable: who captures, who sends


class Ports(NamedTuple):
    """Names of interfaces, with a cable or a switch between them."""

    tx: str
    rx: str


class Link:
    """`rx` is where tools capture. `own`: it is ours, so that nothing else passes there."""

    def __init__(self, ports: Ports, sender: RemoteSender, *, own: bool) -> None:
        self.tx, self.rx = ports
        self.own = own
        self._sender = sender

    def send(self, load: Load, look: Callable[[], object]) -> Sent:
        """Calls `look` every few milliseconds meanwhile. Errors as `Load.send` has them."""
        return self._sender.send(load, look)

    def arrived(self) -> int:
        """Frames that its own end has received since it exists. With ports nobody can say which
        of them are ours."""
        return network.counters(self.rx).frames_in


@contextlib.contextmanager
def open_link(ports: Ports | None, longest: int) -> Iterator[Link]:
    """For frames of at most `longest` bytes on the wire. Without ports a cable of our own, for
    which this process gets namespaces of its own and never leaves them. All that was made is gone
    with this process, however that ends. InputError where this machine does not allow it, or frames
    are too long; UsageError for ports that cannot be."""
    with contextlib.ExitStack() as opened:
        sender = RemoteSender()
        opened.callback(sender.close)
        if ports is not None:
            check(ports)
            _check_mtu(ports.rx, longest)
            opened.callback(network.restore_promiscuity, ports.rx, network.flags(ports.rx))
            sender.fork()
            yield Link(ports, sender, own=False)
            return
        try:
            network.enter()
            ends = network.End(NEAR, ()), network.End(FAR, ())
            opened.enter_context(network.Network(*ends, sender.serve))
        except OSError as error:
            raise InputError(
                f"no network of its own: {error.strerror or error}; run it as root, or allow "
                "user namespaces, or name two ports: --tx, --rx"
            ) from error
        sender.begin()
        yield Link(Ports(FAR, NEAR), sender, own=True)


def _check_mtu(name: str, longest: int) -> None:
    """Of who receives; the sender's own is checked where frames are sent. InputError."""
    mtu = interfaces.find(name).mtu
    needed = longest - FCS - _ETHERNET_HEADER
    if needed > mtu:
        raise InputError(
            f"{name}: its MTU is {mtu}, and frames of {longest} bytes need {needed}; "
            f"ip link set {name} mtu {needed}"
        )


def check(ports: Ports) -> None:
    """InputError for one that is not there or not up, UsageError where both are one."""
    if ports.tx == ports.rx:
        raise UsageError(f"--tx and --rx: {ports.tx} cannot be both")
    for name in ports:
        interface = interfaces.find(name)
        if not interface.is_up:
            raise InputError(f"{name} is down; ip link set {name} up")
