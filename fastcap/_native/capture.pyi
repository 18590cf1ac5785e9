from typing import Literal

from typing_extensions import Self

from fastcap._native.program import NativeProgram

LONGEST_FRAME: int
BLOCK_TIMEOUT_MS: int
NO_LIMIT: int

def reject_all(fd: int) -> None: ...

class Chunk:
    @property
    def file(self) -> int: ...
    @property
    def ends(self) -> bool: ...
    @property
    def frames(self) -> int: ...
    @property
    def first_ns(self) -> int | None: ...
    @property
    def last_ns(self) -> int | None: ...
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def give_back(self) -> None: ...

class NativeCapture:
    def __new__(
        cls,
        *,
        interface: int,
        block_size: int,
        block_count: int,
        promiscuous: bool,
        ignore_outgoing: bool,
        chunk_size: int,
        chunks: int,
        header: bytes,
        snaplen: int,
        nanoseconds: bool,
        ethernet: bool,
        eager: bool,
        rotate_bytes: int,
        rotate_ns: int,
        flush_ns: int,
        limit: int,
        program: NativeProgram | None,
        ring_filter: bytes,
        counter_fd: int,
        counter_filter: bytes,
    ) -> Self: ...
    def begin(self) -> None: ...
    def run(self) -> None: ...
    def stop(self) -> None: ...
    def rotate(self) -> None: ...
    def next_chunk(self, milliseconds: int) -> Chunk | Literal[False] | None: ...
    def account(self) -> dict[str, int]: ...
    def buffer_used(self) -> tuple[int, int]: ...
    def ring_fill(self) -> float: ...
