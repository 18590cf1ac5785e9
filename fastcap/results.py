"""What a run read, kept and wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fastcap.engine import Engine
from fastcap.formats.pcap import HEADER_SIZE, FileHeader
from fastcap.segments import Segment, Span

if TYPE_CHECKING:
    from fastcap.summary import Rows


class Damage(NamedTuple):
    """`length` bytes from `offset` on that were not read, and why; length None for a stream."""

    offset: int
    length: int | None
    reason: str

    def __str__(self) -> str:
        rest = "the rest" if self.length is None else f"{self.length:,} bytes"
        return f"at byte {self.offset:,}: {self.reason}; {rest} not read"


class _Record:
    """Of a data class what is of use here: importing dataclasses takes longer than an empty run."""

    def __repr__(self) -> str:
        content = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({content})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment] # as of all that is compared by content and changes


class InputReport(_Record):
    """What was read of one input. `span` is of the matching frames; `bytes_read` counts its header
    and whole records. `tagged_missed`: frames with VLAN tags that the filter rejects and would take
    without them."""

    def __init__(self, path: str, header: FileHeader) -> None:
        self.path = path
        self.header = header
        self.frames_read = 0
        self.tagged_missed = 0
        self.bytes_read = HEADER_SIZE
        self.span = Span()
        self.damage: list[Damage] = []

    def as_json(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "frames_read": self.frames_read,
            "frames_matched": self.span.frames,
            "damage": [damage._asdict() for damage in self.damage],
        }


class FilterResult(_Record):
    """What a run read, kept and wrote. `notes` are lines that the user should see: what the
    output cannot hold, what lies beside it. `reader_left` says that a pipe's reader closed it
    before the end, which is no error: they had enough. `summary`: what was judged and no output
    takes, by second and protocol; None where that was not asked for. `engine`: who ran the filters.
    `ranges_redone` and `chains_redone` count wrong guesses of where records begin."""

    def __init__(self, inputs: list[InputReport]) -> None:
        self.inputs = inputs
        self.outputs: list[Segment] = []
        self.elapsed_s = 0.0
        self.notes: list[str] = []
        self.engine = Engine("interpreter")
        self.reader_left = False
        self.summary: Rows | None = None
        self.ranges_redone = 0
        self.chains_redone = 0

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
            "engine": self.engine.as_json(),
            "inputs": [report.as_json() for report in self.inputs],
            "outputs": [segment.as_json() for segment in self.outputs],
        }
