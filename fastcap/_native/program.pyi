from typing import Protocol

from typing_extensions import Buffer, Self

class _Code(Protocol):
    @property
    def address(self) -> int: ...
    @property
    def judge(self) -> bool: ...
    @property
    def programs(self) -> int: ...

INSTRUCTION_SIZE: int
CODE_ABI: int

class NativeProgram:
    def __new__(
        cls,
        instructions: bytes,
        sets: tuple[bytes, ...] = (),
        wide_sets: tuple[tuple[int, bytes], ...] = (),
        patterns: tuple[bytes, ...] = (),
        tags_at: int = 0,
        code: _Code | None = None,
    ) -> Self: ...
    def run(self, frame: Buffer, wire_length: int) -> int: ...
