from typing_extensions import Buffer, Self

INSTRUCTION_SIZE: int

class NativeProgram:
    def __new__(
        cls,
        instructions: bytes,
        sets: tuple[bytes, ...] = (),
        wide_sets: tuple[tuple[int, bytes], ...] = (),
        patterns: tuple[bytes, ...] = (),
        tags_at: int = 0,
    ) -> Self: ...
    def run(self, frame: Buffer, wire_length: int) -> int: ...
