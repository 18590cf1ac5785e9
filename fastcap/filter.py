"""Compiled filters: `fastcap.compile`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastcap._native.program import NativeProgram
from fastcap.engine import Engine, machine_code, wanted
from fastcap.errors import UsageError
from fastcap.formats.linktypes import ETHERNET, LONGEST_FRAME, name_of, number_of
from fastcap.language.lower import VLAN_MODES, asks_about_untagged, lower
from fastcap.language.parser import parse
from fastcap.language.tree import Pcap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Buffer

    from fastcap.capture_file import Batch
    from fastcap.language.kernel import KernelFilter
    from fastcap.language.program import Program
    from fastcap.language.tree import Tree


_TAGS = 4 * 4  # bytes: more tags than that are rare


class Filter:
    """A compiled filter for frames of one link type. Immutable, picklable, and safe to use from
    any number of threads at once. Made by `fastcap.compile`.

    `expression` is the text, `linktype` the number of the link type as files have it, `vlan` is
    "wire" or "skip", `program` what it was compiled to, as plain data. Sets from files are read
    once, when it is compiled. `engine` is what was asked for.
    """

    __slots__ = (
        "_program", "_single", "_translated", "engine", "expression", "linktype", "program", "tree",
        "vlan",
    )  # fmt: skip

    def __init__(
        self, expression: str, linktype: int, vlan: str = "wire", engine: str = "auto"
    ) -> None:
        if vlan not in VLAN_MODES:
            raise UsageError(f"vlan is one of {', '.join(VLAN_MODES)}, not {vlan!r}")
        wanted(engine)
        tree = parse(expression)
        self._make(expression, linktype, vlan, engine, tree, lower(tree, linktype, vlan=vlan))

    def _make(
        self, expression: str, linktype: int, vlan: str, engine: str, tree: Tree, program: Program
    ) -> None:
        self.expression = expression
        self.linktype = linktype
        self.vlan = vlan
        self.engine = engine
        self.tree = tree
        self.program = program
        self._program = NativeProgram(*program.packed())
        self._translated: NativeProgram | None = None
        self._single: NativeProgram | None = None  # that single frames go to

    @property
    def native(self) -> NativeProgram:
        """The checked program, for the interpreter."""
        return self._program

    @property
    def translated(self) -> NativeProgram:
        """The same, run as machine code where the engine allows it: made when it is first asked
        for, in less than a millisecond for most filters."""
        if self._translated is None:
            self._translated = _translated(self.program, self.engine, self._program)
        return self._translated

    def runs_in(self) -> Engine:
        """Who runs the filter, where that is in user space, and why."""
        return machine_code([self.program], self.engine, judge=False)[1]

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
        return (self._single or self._for_single()).run(view, wire) != 0

    def _for_single(self) -> NativeProgram:
        """One frame is not worth a translation, unless it is asked for."""
        self._single = self.translated if wanted(self.engine) == "jit" else self._program
        return self._single

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
        return np.frombuffer(batch.native.matches(self.translated), dtype=np.bool_)

    def skipping(self) -> NativeProgram | None:
        """The same filter without VLAN tags, where that can take other frames; else None. It says
        how many frames a filter of `vlan` "wire" misses because of their tags."""
        if self.vlan == "skip" or not asks_about_untagged(self.tree):
            return None
        program = lower(self.tree, self.linktype, vlan="skip")
        return _translated(program, self.engine) if program.tags_at else None

    @property
    def bytes_needed(self) -> int:
        """How many bytes of a frame the filter can look at, counted on the wire."""
        from fastcap.language.kernel import bytes_needed

        return bytes_needed(self.program)

    def snaplen_note(self, snaplen: int) -> str | None:
        """A line that says so, where the filter can look at bytes behind the first `snaplen`: it
        sees them while capturing, and not in the file. Where it skips tags, up to four of them are
        counted."""
        needed = self.bytes_needed
        if any(instruction.flags for instruction in self.program.instructions):
            needed = min(needed + _TAGS, LONGEST_FRAME)
        if needed <= snaplen:
            return None
        return (
            f"the filter can look at bytes behind the snaplen of {snaplen:,}: they count while "
            "capturing, and are not in the file for a later filter"
        )

    def classic(self, snaplen: int = LONGEST_FRAME, *, live: bool = False) -> KernelFilter:
        """The filter in classic BPF, which returns `snaplen` for frames that it takes: for the
        kernel's frames, which have no outer VLAN tag, or for whole frames in one piece."""
        from fastcap.language.kernel import lower_live, lower_whole

        lower_classic = lower_live if live else lower_whole
        return lower_classic(self.tree, self.program, self.linktype, snaplen, self.vlan)

    def explain(self, snaplen: int | None = None) -> str:
        """What is compared with what, what happens on short and on tagged frames, where it runs
        in a live capture, and the closest tcpdump command, in plain words."""
        from fastcap.language.explain import explain

        lines = [explain(self.tree, self.linktype, self.vlan)]
        if not isinstance(self.tree, Pcap) or self.tree.text.strip():
            lowered = self.classic(snaplen or LONGEST_FRAME, live=True)
            where = "in user space" if len(lowered.instructions) == 1 else (
                "in the kernel as far as that can decide, then in user space")  # fmt: skip
            lines.append(f"While capturing it runs {'in the kernel' if lowered.exact else where}.")
        if snaplen is not None and (note := self.snaplen_note(snaplen)):
            lines.append(note[0].upper() + note[1:] + ".")
        return "\n".join(lines)

    def tree_as_json(self) -> dict[str, Any]:
        """The tree as lists and dictionaries."""
        from fastcap.language.tree import as_json

        return as_json(self.tree)

    def __repr__(self) -> str:
        return f"<fastcap.Filter {self.expression!r} for {name_of(self.linktype)}>"

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        # as it is, and not compiled again: a file of addresses may have changed
        parts = (self.expression, self.linktype, self.vlan, self.engine, self.tree, self.program)
        return _again, parts


def _again(
    expression: str, linktype: int, vlan: str, engine: str, tree: Tree, program: Program
) -> Filter:
    made = Filter.__new__(Filter)
    made._make(expression, linktype, vlan, engine, tree, program)
    return made


def _translated(
    program: Program, engine: str, interpreted: NativeProgram | None = None
) -> NativeProgram:
    code, _ = machine_code([program], engine, judge=False)
    if code is None and interpreted is not None:
        return interpreted
    return NativeProgram(*program.packed(), code)


def compile(
    expression: str,
    linktype: int | str = ETHERNET,
    *,
    vlan: str = "wire",
    engine: str = "auto",
) -> Filter:
    """Compiles a filter for frames of a link type: pcap-filter text, Blob comparisons, field
    names, and all of them joined (docs/filters.md).

    `linktype` is the number that files have or its name (`"ethernet"`, `"linux_sll"`); default
    Ethernet. With `vlan` "skip", pcap-filter text and field names see frames without their VLAN
    tags. FilterError for what is no filter; ValueError for a link type that is not known.

    >>> web = compile("tcp port 443 or Blob(FrameData, 12, 2) == 0x86dd")
    >>> web.matches(bytes(12) + b"\\x86\\xdd")
    True
    """
    return Filter(expression, number_of(linktype), vlan, engine)
