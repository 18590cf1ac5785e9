"""Compiled filters: `fastcap.compile`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcap._native.program import NativeProgram
from fastcap.errors import UsageError
from fastcap.formats.linktypes import ETHERNET, name_of, number_of
from fastcap.language.lower import lower
from fastcap.language.parser import parse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Buffer

    from fastcap.capture_file import Batch


class Filter:
    """A compiled filter for frames of one link type. Immutable, picklable, and safe to use from
    any number of threads at once. Made by `fastcap.compile`.

    `expression` is the text, `linktype` the number of the link type as files have it, `program`
    what it was compiled to, as plain data.
    """

    __slots__ = ("_program", "expression", "linktype", "program", "tree")

    def __init__(self, expression: str, linktype: int) -> None:
        self.expression = expression
        self.linktype = linktype
        self.tree = parse(expression)
        self.program = lower(self.tree, linktype)
        self._program = NativeProgram(*self.program.packed())

    @property
    def native(self) -> NativeProgram:
        """The checked program, as fastcap's other parts take it."""
        return self._program

    def matches(self, frame: Buffer, wire_length: int | None = None) -> bool:
        """Whether the filter takes a frame, given as bytes or anything with the buffer protocol.

        `wire_length` is the frame's length on the wire, in bytes, where fewer were captured;
        pcap-filter's `len` means it. Default: the length of `frame`.

        >>> compile("len > 100").matches(bytes(64)), compile("len > 100").matches(bytes(64), 1500)
        (False, True)
        """
        view = memoryview(frame).cast("B")
        wire = len(view) if wire_length is None else wire_length
        if not 0 <= wire <= 0xFFFFFFFF:
            raise ValueError(f"a length on the wire of {wire} bytes")
        return self._program.run(view, wire) != 0

    def mask(self, batch: Batch) -> NDArray[np.bool_]:
        """Which frames of a batch the filter takes: one bool a frame, in an array of its own.

        UsageError where the batch has another link type than the filter.
        """
        import numpy as np

        if batch.linktype != self.linktype:
            raise UsageError(
                f"the filter is for link type {name_of(self.linktype)}, "
                f"the batch has {name_of(batch.linktype)}"
            )
        return np.frombuffer(batch.native.matches(self._program), dtype=np.bool_)

    def explain(self) -> str:
        """What is compared with what, and what happens on short frames, in plain words."""
        from fastcap.language.explain import explain

        return explain(self.tree, name_of(self.linktype))

    def __repr__(self) -> str:
        return f"<fastcap.Filter {self.expression!r} for {name_of(self.linktype)}>"

    def __reduce__(self) -> tuple[type[Filter], tuple[str, int]]:
        return Filter, (self.expression, self.linktype)


def compile(expression: str, linktype: int | str = ETHERNET) -> Filter:
    """Compiles pcap-filter text, Blob comparisons, or both joined, for frames of a link type.

    `linktype` is the number that files have or its name (`"ethernet"`, `"linux_sll"`); default
    Ethernet. FilterError for what is no filter; ValueError for a link type that is not known.

    >>> web = compile("tcp port 443 or Blob(FrameData, 12, 2) == 0x86dd")
    >>> web.matches(bytes(12) + b"\\x86\\xdd")
    True
    """
    return Filter(expression, number_of(linktype))
