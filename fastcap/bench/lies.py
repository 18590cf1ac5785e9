"""Whether a tool says how much it lost: what is missing in its files, beside what it claims."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Claim(Protocol):
    """What one tool was offered, what of that is in no file, and what it says that it lost."""

    @property
    def tool(self) -> str: ...
    @property
    def offered(self) -> int: ...
    @property
    def lost(self) -> int: ...
    @property
    def claimed(self) -> int: ...
    @property
    def unclaimed(self) -> int:
        """Frames that it lost and does not say so; below 0: that it says it lost, and has."""


C = TypeVar("C", bound=Claim)


def worst_lies(claims: Iterable[C]) -> list[C]:
    """Of each tool that does not tell the truth the claim that is furthest from it."""
    worst: dict[str, C] = {}
    for claim in claims:
        if abs(claim.unclaimed) > (abs(worst[claim.tool].unclaimed) if claim.tool in worst else 0):
            worst[claim.tool] = claim
    return list(worst.values())


def told(claim: Claim) -> str:
    """For people: it must not be overlooked."""
    return (
        f"{claim.tool} DOES NOT TELL THE TRUTH: {claim.lost:,} of {claim.offered:,} frames are not "
        f"in its files, and it says that it lost {claim.claimed:,}"
    )
