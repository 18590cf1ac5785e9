from typing_extensions import Buffer

INSTRUCTION_SIZE: int

class NativeProgram:
    def __init__(self, instructions: bytes, sets: tuple[bytes, ...] = ()) -> None: ...
    def run(self, frame: Buffer, wire_length: int) -> int: ...
