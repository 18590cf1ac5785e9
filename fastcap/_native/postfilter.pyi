from typing_extensions import Buffer

from fastcap._native.cancel import Cancel
from fastcap._native.memory import Memory, NativeBytes
from fastcap._native.program import NativeProgram, _Code
from fastcap.formats.pcap import Layout

NO_LIMIT: int
FIRST_TIME: int
LAST_TIME: int
PROTOCOLS: tuple[str, ...]

_Summary = tuple[int, int | None, int | None]
_Kept = tuple[tuple[_Summary, NativeBytes], ...]
_Result = tuple[int, int, int, int, str | None, bool, int, int, bytes, _Kept, bool]

def filter_range(
    fd: int,
    start: int,
    stop: int,
    size: int,
    guess: bool,
    *,
    programs: tuple[NativeProgram | None, ...],
    code: _Code | None = None,
    layout: Layout,
    out_layout: Layout,
    limit: int = 0xFFFFFFFFFFFFFFFF,
    keep: bool,
    rest: bool = False,
    summary: bool = False,
    skipping: NativeProgram | None = None,
    since_ns: int = -0x8000000000000000,
    until_ns: int = 0x7FFFFFFFFFFFFFFF,
    sample: int = 0,
    link: int = 0,
    most_kept: int = 0xFFFFFFFFFFFFFFFF,
    cancel: Cancel,
    memory: Memory,
) -> _Result: ...
def filter_bytes(
    data: Buffer,
    *,
    programs: tuple[NativeProgram | None, ...],
    code: _Code | None = None,
    layout: Layout,
    out_layout: Layout,
    limit: int = 0xFFFFFFFFFFFFFFFF,
    keep: bool,
    rest: bool = False,
    summary: bool = False,
    skipping: NativeProgram | None = None,
    since_ns: int = -0x8000000000000000,
    until_ns: int = 0x7FFFFFFFFFFFFFFF,
    sample: int = 0,
    link: int = 0,
    most_kept: int = 0xFFFFFFFFFFFFFFFF,
    cancel: Cancel,
    memory: Memory,
) -> _Result: ...
