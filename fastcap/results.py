"""What a run read, kept and wrote."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fastcap.formats.pcap import HEADER_SIZE, FileHeader
from fastcap.segments import Segment, Span


class Damage(NamedTuple):
    """`length` bytes from `offset` on that were not read, and why; length None for a stream."""

    offset: int
    length: int | None
    reason: str

    def __str__(self) -> str:
        rest = "the rest" if self.length is None else f"{self.length:,} bytes"
        return f"at byte {self.offset:,}: {self.reason}; {rest} not read"


@dataclass
class InputReport:
    """What was read of one input. `span` is of the matching frames; `bytes_read` counts its header
    and whole records. `tagged_missed`: frames with VLAN tags that the filter rejects and would take
    without them."""

    path: str
    header: FileHeader
    frames_read: int = 0
    tagged_missed: int = 0
    bytes_read: int = HEADER_SIZE
    span: Span = field(default_factory=Span)
    damage: list[Damage] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "frames_read": self.frames_read,
            "frames_matched": self.span.frames,
            "damage": [damage._asdict() for damage in self.damage],
        }


@dataclass
class FilterResult:
    """What a run read, kept and wrote. `notes` are lines that the user should see: what the
    output cannot hold, what lies beside it. `reader_left` says that a pipe's reader closed it
    before the end, which is no error: they had enough. `ranges_redone` and `chains_redone` count
    wrong guesses of where records begin."""

    inputs: list[InputReport]
    outputs: list[Segment] = field(default_factory=list)
    elapsed_s: float = 0.0
    notes: list[str] = field(default_factory=list)
    reader_left: bool = False
    ranges_redone: int = 0
    chains_redone: int = 0

    @property
    def frames_read(self) -> int:
        return sum(report.frames_read for report in self.inputs)

    @property
    def frames_matched(self) -> int:
        return sum(report.span.frames for report in self.inputs)

    @property
    def tagged_missed(self) -> int:
        return sum(report.tagged_missed for report in self.inputs)

    @property
    def bytes_read(self) -> int:
        return sum(report.bytes_read for report in self.inputs)

    @property
    def bytes_written(self) -> int:
        return sum(segment.bytes for segment in self.outputs)

    @property
    def damaged(self) -> bool:
        return any(report.damage for report in self.inputs)

    def as_json(self) -> dict[str, Any]:
        return {
            "frames_read": self.frames_read,
            "frames_matched": self.frames_matched,
            "tagged_missed": self.tagged_missed,
            "bytes_read": self.bytes_read,
            "bytes_written": self.bytes_written,
            "elapsed_s": self.elapsed_s,
            "inputs": [report.as_json() for report in self.inputs],
            "outputs": [segment.as_json() for segment in self.outputs],
        }
