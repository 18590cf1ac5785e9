"""Where a bench sends and captures, if not on a cable of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from fastcap.cli.messages import say
from fastcap.errors import UsageError

if TYPE_CHECKING:
    from fastcap.bench.link import Ports


def ports_options(function: Callable[..., Any]) -> Callable[..., Any]:
    tx = click.option("--tx", metavar="IF", help="Send at this port. Wants --rx.")
    rx = click.option("--rx", metavar="IF", help="Capture at this port. Wants --tx.")
    return tx(rx(function))


def ports_of(tx: str | None, rx: str | None) -> Ports | None:
    """InputError and UsageError for ports that cannot be."""
    from fastcap.bench.link import Ports, check

    if tx is None and rx is None:
        return None
    if tx is None or rx is None:
        raise UsageError("--tx and --rx: name both ports, or none for a cable of our own")
    ports = Ports(tx, rx)
    check(ports)
    return ports


def minutes(seconds: float) -> str:
    """For people.

    >>> minutes(20), minutes(150)
    ('1 minute', '2 minutes')
    """
    number = max(1, round(seconds / 60))
    return f"{number:,} minute" + ("s" if number > 1 else "")


def say_ports(
    ports: Ports | None, sizes: Sequence[str], rates: Sequence[float], lasts: str
) -> None:
    """Before anything is sent at a port that is not ours."""
    if ports is None:
        return
    told = ", ".join(f"{rate:,.0f}" if rate else "as many as go" for rate in dict.fromkeys(rates))
    say(
        f"sends at {ports.tx} and captures at {ports.rx}: frames of {', '.join(sizes)} bytes, "
        f"{told} a second, to 02:fc:ff:ff:ff:ff, with made-up IPv4 addresses; whoever is on that "
        f"wire gets them, on and off for about {lasts}"
    )
