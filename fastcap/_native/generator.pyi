from typing_extensions import Buffer, Self

from fastcap._native.cancel import Cancel
from fastcap.formats.pcap import Layout

FCS: int
SHORTEST: int
LONGEST: int
HEAD: int
MOST_SIZES: int
MOST_FLOWS: int
MOST_THREADS: int
LONGEST_CAPTURED: int

class NativeGenerator:
    def __new__(
        cls,
        *,
        seed: int,
        bench: int,
        sizes: tuple[tuple[int, int], ...],
        flows: int,
        tcp_percent: int,
        destination: bytes,
    ) -> Self: ...
    def frame(self, serial: int, ns: int) -> bytes: ...
    def flow(self, number: int) -> tuple[int, int, int, int, bool]: ...

def read_label(frame: Buffer) -> tuple[int, int, int] | None: ...

class NativeSerials:
    def __new__(cls, *, bench: int, sent: tuple[int, ...]) -> Self: ...
    def read(self, fd: int, layout: Layout, cancel: Cancel) -> tuple[int, str | None]: ...
    def counts(self) -> dict[str, int | None]: ...
