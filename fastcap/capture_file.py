"""Captures as numpy columns: `fastcap.open`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload

from fastcap._native.batch import NativeBatch
from fastcap.errors import DamageError, InputError
from fastcap.formats.pcap import HEADER_SIZE, FileHeader
from fastcap.inputs import Source, open_source, why

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Buffer

BATCH_BYTES = 4 << 20
MOST_BATCH_BYTES = 1 << 30


class Batch(Sequence[memoryview]):
    """Neighbouring frames of a capture, in memory of the batch's own.

    `batch[i]` is a read-only memoryview of a frame's bytes. The columns have one entry a frame and
    are read-only numpy arrays over native memory, without a copy; that memory lives as long as
    the batch or any view of it. `linktype` is the same for all frames of a batch; `start` is the
    offset in the file of the batch's first byte.
    """

    def __init__(self, native: NativeBatch, data: bytes, linktype: int, start: int) -> None:
        self.native = native
        self.linktype = linktype
        self.start = start
        self._data = memoryview(data)

    def __len__(self) -> int:
        return len(self.native)

    @overload
    def __getitem__(self, index: int) -> memoryview: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[memoryview]: ...
    def __getitem__(self, index: int | slice) -> memoryview | Sequence[memoryview]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        begin, end = self.native.bounds(index + len(self) if index < 0 else index)
        return self._data[begin:end]

    @cached_property
    def timestamps(self) -> NDArray[np.int64]:
        """Nanoseconds since 1970, int64."""
        return _column(self.native.timestamps(), "i8")

    @cached_property
    def caplens(self) -> NDArray[np.uint32]:
        """Captured bytes of each frame, uint32; at most the file's snaplen, as libpcap has it."""
        return _column(self.native.caplens(), "u4")

    @cached_property
    def lengths(self) -> NDArray[np.uint32]:
        """Bytes of each frame on the wire, uint32."""
        return _column(self.native.lengths(), "u4")

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where each frame's first byte is in `data`, int64."""
        return _column(self.native.offsets(), "i8")

    @cached_property
    def interfaces(self) -> NDArray[np.uint32]:
        """The number of the interface of each frame, uint32; all 0 in pcap, which has no such."""
        import numpy as np

        return np.broadcast_to(np.uint32(0), len(self))

    @cached_property
    def data(self) -> NDArray[np.uint8]:
        """The batch's part of the file, records with their headers, uint8."""
        return _column(self._data[: self.native.used], "u1")

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns by name: what pandas.DataFrame and pyarrow.table take."""
        return {
            "timestamps": self.timestamps,
            "caplens": self.caplens,
            "lengths": self.lengths,
            "offsets": self.offsets,
            "interfaces": self.interfaces,
        }


def _column(memory: Buffer, dtype: str) -> NDArray[Any]:
    import numpy as np

    column: NDArray[Any] = np.frombuffer(memoryview(memory), dtype=dtype)
    return column


class CaptureFile:
    """An open capture; iterate over it for batches. Made by `fastcap.open`.

    `header` is what the file says of itself; `linktype` the number of its link type. Close it, or
    use it in a `with` statement; its batches live on.
    """

    def __init__(self, path: str | os.PathLike[str], *, batch_bytes: int = BATCH_BYTES) -> None:
        self._fd = -1
        if not 1 <= batch_bytes <= MOST_BATCH_BYTES:
            raise ValueError(f"a batch of {batch_bytes} bytes; 1 to {MOST_BATCH_BYTES:,}")
        self.path = os.fspath(path)
        self._batch_bytes = batch_bytes
        self._is_used = False
        source = open_source(self.path)
        self.header: FileHeader = source.header
        self._size = source.size
        self._is_stream = source.fd is not None
        self._fd = source.fd if source.fd is not None else _open_again(source)

    @property
    def linktype(self) -> int:
        return self.header.linktype

    def __iter__(self) -> Iterator[Batch]:
        """Batches of a few megabytes in the order of the file; a file may be read any number of
        times, a stream once (else ValueError). A record longer than that makes a longer batch.

        DamageError at the first record that cannot be read, after all before it were given;
        InputError where the file cannot be read, or became shorter.
        """
        if self._is_stream and self._is_used:
            raise ValueError(f"{self.path}: a stream can be read only once")
        self._is_used = True
        start = HEADER_SIZE
        waiting = b""
        want = self._batch_bytes
        while True:
            data, at_end = self._read(start, waiting, want)
            native = NativeBatch(data, self.header.layout)
            if len(native):
                yield Batch(native, data, self.linktype, start)
            used = native.used
            start += used
            if native.damage is not None and (at_end or not native.cut):
                length = None if self._is_stream else self._size - start
                raise DamageError(self.path, start, length, native.damage)
            if at_end:
                return
            waiting = data[used:]
            want = self._batch_bytes if used else want * 2

    def _read(self, start: int, waiting: bytes, want: int) -> tuple[bytes, bool]:
        """The bytes from `start` on, of which `waiting` are there already; whether they are the
        last ones."""
        if self._fd < 0:
            raise ValueError(f"{self.path}: closed")
        try:
            if self._is_stream:
                return self._read_stream(waiting, want)
            data = os.pread(self._fd, min(want, self._size - start), start)
        except OSError as error:
            raise InputError(f"{self.path}: {why(error)}") from error
        at_end = start + len(data) == self._size
        if not at_end and len(data) < want:
            raise InputError(f"{self.path}: the file became shorter while it was read")
        return data, at_end

    def _read_stream(self, waiting: bytes, want: int) -> tuple[bytes, bool]:
        parts = [waiting]
        room = max(want - len(waiting), 1)
        while room > 0:
            more = os.read(self._fd, room)
            if not more:
                return b"".join(parts), True
            parts.append(more)
            room -= len(more)
        return b"".join(parts), False

    def close(self) -> None:
        """Closes the file. Batches and their views stay valid. Closing twice is no error."""
        fd, self._fd = self._fd, -1
        if fd > 0:
            os.close(fd)

    def __enter__(self) -> CaptureFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if self._fd > 0:
            warnings.warn(f"{self.path} was not closed", ResourceWarning, stacklevel=2, source=self)
            self.close()


def _open_again(source: Source) -> int:
    try:
        fd = os.open(source.name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"{source.name}: {why(error)}") from error
    status = os.fstat(fd)
    if (status.st_dev, status.st_ino) != source.identity:
        os.close(fd)
        raise InputError(f"{source.name}: replaced by another file while it was opened")
    return fd


def open(path: str | os.PathLike[str], *, batch_bytes: int = BATCH_BYTES) -> CaptureFile:
    """Opens a capture for reading in batches with numpy columns.

    `path` is a file, a FIFO, or "-" for standard input; `batch_bytes` about how much of it is one
    batch. InputError for what is no capture.

    >>> import tempfile
    >>> record = bytes.fromhex("01000000020000000400000005000000") + b"abcd"
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     header = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000")
    ...     _ = file.write(header + record)
    ...     file.flush()
    ...     with open(file.name) as capture:
    ...         for batch in capture:
    ...             print(batch.timestamps, batch.caplens, batch.lengths, bytes(batch[0]))
    [1000002000] [4] [5] b'abcd'
    """
    return CaptureFile(path, batch_bytes=batch_bytes)
