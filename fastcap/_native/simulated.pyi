from typing_extensions import Self

from fastcap._native.cancel import Cancel
from fastcap._native.generator import NativeGenerator

class NativeSimulated:
    def __new__(
        cls,
        generator: NativeGenerator,
        *,
        snaplen: int,
        block_size: int,
        block_count: int,
    ) -> Self: ...
    def run(self, cancel: Cancel, *, rate: float, frames: int, duration_ns: int) -> None: ...
    def account(self) -> dict[str, int]: ...
