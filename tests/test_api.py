"""The Python interface: columns, views and their lifetimes, compiled filters, docstrings."""

from __future__ import annotations

import doctest
import gc
import importlib
import os
import pickle
import pkgutil
import random
import threading
from pathlib import Path

import numpy as np
import pytest

import fastcap
from tests import pcaps
from tests.pcaps import Frame


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_columns_and_views_hold_what_the_file_holds(
    order: str, nanoseconds: bool, rng: random.Random, tmp_path: Path
) -> None:
    frames = pcaps.some_frames(rng, 700)
    data = pcaps.capture(frames, order, nanoseconds)
    path = pcaps.write(tmp_path / "in.pcap", data)
    for batch_bytes in (1, 100, 5000, 1 << 22):
        read = []
        with fastcap.open(path, batch_bytes=batch_bytes) as capture:
            assert capture.linktype == 1
            for batch in capture:
                assert batch.timestamps.dtype == np.int64
                assert batch.caplens.dtype == batch.lengths.dtype == np.uint32
                assert batch.interfaces.dtype == np.uint32
                assert not batch.interfaces.any()
                assert data[batch.start :].startswith(batch.data.tobytes())
                for i, offset in enumerate(batch.offsets.tolist()):
                    body = batch.data[offset : offset + int(batch.caplens[i])].tobytes()
                    assert body == bytes(batch[i])
                    read.append(Frame(int(batch.timestamps[i]), int(batch.lengths[i]), body))
        assert read == frames


def test_a_batch_is_a_sequence_of_frames(rng: random.Random, tmp_path: Path) -> None:
    frames = pcaps.some_frames(rng, 20)
    path = pcaps.write(tmp_path / "in.pcap", pcaps.capture(frames))
    with fastcap.open(path) as capture:
        (batch,) = capture
        assert [bytes(view) for view in batch] == [frame.data for frame in frames]
        assert bytes(batch[-1]) == frames[-1].data
        assert [bytes(view) for view in batch[2:5]] == [frame.data for frame in frames[2:5]]
        for index in (20, -21):
            with pytest.raises(IndexError):
                batch[index]
        (again,) = capture
        assert len(again) == 20


def test_views_outlive_their_batch_and_their_file(tmp_path: Path) -> None:
    frames = [Frame(10**18 + i * 1000, 60, bytes([i]) * 40) for i in range(200)]
    path = Path(pcaps.write(tmp_path / "in.pcap", pcaps.capture(frames)))
    capture = fastcap.open(path)
    (batch,) = capture
    times, view = batch.timestamps, batch[77]
    del batch
    capture.close()
    os.truncate(path, 0)  # a mapping would end the process here
    gc.collect()
    junk = [np.full(1000, 7) for _ in range(1000)]
    assert times.tolist() == [frame.time for frame in frames]
    assert bytes(view) == bytes([77]) * 40
    assert len(junk) == 1000


def test_views_are_read_only(tmp_path: Path) -> None:
    path = pcaps.write(tmp_path / "in.pcap", pcaps.capture([Frame(1, 9, bytes(9))]))
    with fastcap.open(path) as capture:
        (batch,) = capture
    with pytest.raises(ValueError, match="read-only"):
        batch.timestamps[0] = 1
    with pytest.raises(TypeError):
        batch[0][0] = 1


def test_damage_is_raised_after_all_frames_before_it(tmp_path: Path) -> None:
    frames = [Frame(10**18, 60, bytes(60))] * 100
    data = pcaps.capture(frames)
    at = 24 + 76 * 60
    for damaged, reason in (
        (data[: at + 3], "inside a record header"),
        (data[:at] + bytes(99), "zeros"),
        (data[: at + 8] + b"\xff" * 4 + data[at + 12 :], "no capture can have"),
    ):
        path = pcaps.write(tmp_path / "in.pcap", damaged)
        seen = 0
        with fastcap.open(path, batch_bytes=1000) as capture:
            with pytest.raises(fastcap.DamageError, match=reason) as caught:
                for batch in capture:
                    seen += len(batch)
        assert seen == 60
        error = pickle.loads(pickle.dumps(caught.value))
        assert (error.path, error.offset, error.length) == (path, at, len(damaged) - at)


def test_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    path = Path(pcaps.write(tmp_path / "in.pcap", pcaps.capture([Frame(1, 60, bytes(60))] * 100)))
    with fastcap.open(path, batch_bytes=1000) as capture, pytest.raises(fastcap.InputError):
        for _ in capture:
            os.truncate(path, 2000)


def test_a_stream_is_read_like_a_file(rng: random.Random, tmp_path: Path) -> None:
    frames = pcaps.some_frames(rng, 500)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    thread = threading.Thread(target=fifo.write_bytes, args=(pcaps.capture(frames),))
    thread.start()
    with fastcap.open(fifo, batch_bytes=3000) as capture:
        read = [bytes(view) for batch in capture for view in batch]
        with pytest.raises(ValueError, match="only once"):
            next(iter(capture))
    thread.join()
    assert read == [frame.data for frame in frames]


def test_a_capture_that_is_not_closed_warns(tmp_path: Path) -> None:
    path = pcaps.write(tmp_path / "in.pcap", pcaps.header())
    capture = fastcap.open(path)
    with pytest.warns(ResourceWarning, match="was not closed"):
        del capture
        gc.collect()
    closed = fastcap.open(path)
    closed.close()
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        next(iter(closed))


def test_a_mask_tells_what_matches_tells_for_each_frame(rng: random.Random, tmp_path: Path) -> None:
    frames = pcaps.some_frames(rng, 500)
    path = pcaps.write(tmp_path / "in.pcap", pcaps.capture(frames))
    compiled = fastcap.compile("tcp or len > 300 or Blob(FrameData, 30, 4) == 0x0a000001")
    with fastcap.open(path) as capture:
        (batch,) = capture
    mask = compiled.mask(batch)
    assert mask.dtype == np.bool_
    assert mask.tolist() == [compiled.matches(frame.data, frame.wire) for frame in frames]
    assert 0 < mask.sum() < 500
    with pytest.raises(fastcap.UsageError, match="RAW"):
        fastcap.compile("tcp", "raw").mask(batch)


def test_a_filter_can_be_pickled_shared_and_asked_with_any_buffer() -> None:
    compiled = fastcap.compile("Blob(FrameData, 0, 2) == 0x0102 and len > 5", linktype="raw")
    data = b"\1\2"
    for frame in (data, bytearray(data), memoryview(data), np.frombuffer(data, np.uint8).data):
        assert compiled.matches(frame, 6)
        assert not compiled.matches(frame)
    again = pickle.loads(pickle.dumps(compiled))
    assert again.matches(b"\1\2", 6)
    assert again.linktype == compiled.linktype == 101
    threads = [
        threading.Thread(target=lambda: [compiled.matches(b"\1\2", 6) for _ in range(1000)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(ValueError, match="length on the wire"):
        compiled.matches(b"", -1)
    with pytest.raises(ValueError, match="no link type 'token ring'"):
        fastcap.compile("tcp", linktype="token ring")


def test_what_is_no_capture_is_refused_by_open_too(tmp_path: Path) -> None:
    for name, content, says in (("a", b"", "empty"), ("b", b"x" * 99, "not a capture")):
        path = pcaps.write(tmp_path / name, content)
        with pytest.raises(fastcap.InputError, match=says):
            fastcap.open(path)
    with pytest.raises(fastcap.InputError, match="No such file"):
        fastcap.open(tmp_path / "nope")
    with pytest.raises(ValueError, match="a batch of 0 bytes"):
        fastcap.open(tmp_path / "nope", batch_bytes=0)


def modules() -> list[str]:
    found = pkgutil.walk_packages(fastcap.__path__, "fastcap.")
    return [module.name for module in found if not module.name.endswith("__main__")]


@pytest.mark.parametrize("name", ["fastcap", *modules()])
def test_examples_in_docstrings_are_true(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def test_every_public_name_has_a_docstring_and_exists() -> None:
    for name in fastcap.__all__:
        value = getattr(fastcap, name)
        assert name == "__version__" or value.__doc__
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        fastcap.nope  # noqa: B018
