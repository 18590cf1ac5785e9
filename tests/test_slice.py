"""--slice: what may be asked, and random frames beside a slow reference (tests/slices.py)."""

from __future__ import annotations

import ctypes
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fastcap.errors import UsageError
from fastcap.slices import Slice, slice_of
from tests.conftest import ROOT, needs
from tests.slices import kept, random_frame


class _Frame(ctypes.Structure):
    """struct fc_frame"""

    _fields_ = (
        ("bytes", ctypes.c_char_p),
        ("captured", ctypes.c_uint32),
        ("wire", ctypes.c_uint32),
        ("tagged", ctypes.c_bool),
        ("tag", ctypes.c_uint8 * 4),
    )


class _Slice(ctypes.Structure):
    """struct fc_slice"""

    _fields_ = (
        ("layer", ctypes.c_uint32),
        ("more", ctypes.c_uint32),
        ("ethernet", ctypes.c_bool),
    )


Length = Callable[..., int]


@pytest.fixture(scope="module")
def length_of(tmp_path_factory: pytest.TempPathFactory) -> Length:
    """fc_slice_length. It is in no binding, since nothing but the capture's loop asks."""
    library = tmp_path_factory.mktemp("slice") / "slice.so"
    source = ROOT / "csrc" / "slice.c"
    flags = ("-std=c11", "-O2", "-shared", "-fPIC")
    subprocess.run([needs("cc"), *flags, str(source), "-o", str(library)], check=True)
    function = ctypes.CDLL(str(library)).fc_slice_length
    function.restype = ctypes.c_uint32

    def call(
        data: bytes, wire: int, layer: int, more: int, *, ethernet: bool, apart: bool = False
    ) -> int:
        inside = data[:12] + data[16:] if apart else data
        frame = _Frame(inside, len(data), wire, apart)
        frame.tag[:] = data[12:16] if apart else bytes(4)
        slice = _Slice(layer, more, ethernet)
        return int(function(ctypes.byref(slice), ctypes.byref(frame)))

    return call


def has_tag(data: bytes) -> bool:
    return len(data) >= 16 and data[12:14] in (b"\x81\0", b"\x88\xa8", b"\x91\0")


@pytest.mark.parametrize("part", range(4))
def test_random_frames_end_where_the_slow_reference_says(
    length_of: Length, rng: random.Random, part: int
) -> None:
    ends = set()
    for _ in range(5_000):
        ethernet = rng.random() < 0.8
        whole = random_frame(rng, ethernet=ethernet)
        captured = whole[: rng.randrange(len(whole) + 1)] if rng.random() < 0.5 else whole
        wire = rng.choice((len(whole), len(captured)))
        layer, more = rng.choice((2, 3, 4)), rng.choice((0, 0, 1, 16, 65535))
        expected = len(kept(captured, wire, layer, more, ethernet=ethernet))
        about = (captured.hex(), wire, layer, more, ethernet)
        assert length_of(captured, wire, layer, more, ethernet=ethernet) == expected, about
        if ethernet and has_tag(captured):
            told = length_of(captured, wire, layer, more, ethernet=ethernet, apart=True)
            assert told == expected, about
        ends.add(expected)
    assert len(ends) > 100  # the frames are of many kinds


def test_what_a_shorter_capture_keeps_is_the_shorter_of_both(
    length_of: Length, rng: random.Random
) -> None:
    """Never less; and never more, but where it does not hold the bytes that lie."""
    same = 0
    for _ in range(2_000):
        whole = random_frame(rng)
        layer, more = rng.choice((2, 3, 4)), rng.choice((0, 16))
        of_whole = length_of(whole, len(whole), layer, more, ethernet=True)
        for captured in range(0, len(whole), 7):
            told = length_of(whole[:captured], len(whole), layer, more, ethernet=True)
            assert told >= min(captured, of_whole), (whole.hex(), captured, layer, more)
            same += told == min(captured, of_whole)
    assert same > 5_000


@pytest.mark.parametrize(
    ("text", "means"),
    [("l2", (2, 0)), ("l3", (3, 0)), ("l4", (4, 0)), ("l4+16", (4, 16)), ("l2+0", (2, 0)),
     ("l3+65535", (3, 65535)), ("l3+007", (3, 7))],
)  # fmt: skip
def test_a_slice_is_a_layer_and_bytes_more(text: str, means: tuple[int, int]) -> None:
    for linktype in (1, 101):
        assert slice_of(text, linktype) == Slice(*means)


@pytest.mark.parametrize(
    "text",
    ["", "x", "l", "l1", "l5", "L4", "l4+", "l4+x", "l4-1", "l4+-1", "l4 +1", "l4+1 ", "4", "l4+1k",
     "l44", "l4++1", "l4+1+1", "l4+1.5", "l4\n", "l4+١", " l4", "l4+0x10"],
)  # fmt: skip
def test_anything_else_is_refused_with_what_it_can_be(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        slice_of(text, 1)
    assert str(refused.value) == (
        f"--slice: l2, l3 or l4, and how many bytes more, such as l4+16; not {text!r}"
    )


@pytest.mark.parametrize("more", ["65536", "999999999", "10000000000000000000000"])
def test_more_bytes_than_a_packet_has_are_refused(more: str) -> None:
    with pytest.raises(UsageError, match=r"--slice: "):
        slice_of(f"l4+{more}", 1)


def test_a_link_type_whose_headers_are_not_known_is_refused_by_its_name() -> None:
    with pytest.raises(UsageError, match=r"^--slice: .*IEEE802_11_RADIOTAP.* not known"):
        slice_of("l3", 127)


def test_the_command_refuses_it_before_anything_is_touched(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fastcap", "capture", "-i", "lo", "-w", f"{tmp_path}/x.pcap"]
    done = subprocess.run([*command, "--slice", "x"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "fastcap: --slice: l2, l3 or l4, and how many bytes more, such as l4+16; not 'x'\n"
    )
    assert list(tmp_path.iterdir()) == []
