from typing_extensions import Buffer

from fastcap._native.cancel import Cancel
from fastcap._native.memory import Memory, NativeBytes
from fastcap._native.program import NativeProgram
from fastcap.formats.pcap import Layout

NO_LIMIT: int

_Matched = tuple[int, int | None, int | None]
_Result = tuple[int, _Matched, int, int, str | None, bool, NativeBytes, int]

def filter_range(
    fd: int,
    start: int,
    stop: int,
    size: int,
    guess: bool,
    *,
    program: NativeProgram | None,
    layout: Layout,
    out_layout: Layout,
    limit: int,
    keep: bool,
    skipping: NativeProgram | None = None,
    cancel: Cancel,
    memory: Memory,
) -> _Result: ...
def filter_bytes(
    data: Buffer,
    *,
    program: NativeProgram | None,
    layout: Layout,
    out_layout: Layout,
    limit: int,
    keep: bool,
    skipping: NativeProgram | None = None,
    cancel: Cancel,
    memory: Memory,
) -> _Result: ...
