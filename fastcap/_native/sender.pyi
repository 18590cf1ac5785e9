from typing_extensions import Self

from fastcap._native.cancel import Cancel
from fastcap._native.generator import NativeGenerator

class NativeSender:
    def __new__(
        cls,
        generator: NativeGenerator,
        *,
        interface: int,
        index: int,
        threads: int,
        rate: float,
        frames: int,
        duration_ns: int,
        cancel: Cancel,
        fd: int = -1,
    ) -> Self: ...
    def run(self, start_ns: int) -> None: ...
    def account(self) -> dict[str, int]: ...
