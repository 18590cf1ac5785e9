from typing_extensions import Buffer

from fastcap.formats.pcap import Layout

def take(
    records: Buffer, layout: Layout, room: int, *, at_least_one: bool = False
) -> tuple[int, int, int | None, int | None]: ...
