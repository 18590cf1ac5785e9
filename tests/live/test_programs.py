"""Filters in the kernel take the frames of a cable that they take in a file, tags or none."""

from __future__ import annotations

import pickle
import random
import sys
import tempfile
from pathlib import Path

import fastcap
from fastcap.language.classic import packed
from fastcap.language.kernel import KernelFilter
from tests import pcaps, reference
from tests.expressions import EXPRESSIONS
from tests.live.network import FAR, LONGEST_WAIT, NEAR, Network

SCRIPT = Path(__file__).with_name("run_programs.py")
AT_ONCE = 64  # programs
STRIPPED = (b"\x81\x00", b"\x88\xa8")
TPIDS = (0x8100, 0x88A8, 0x9100)


def let_through(
    network: Network, filters: list[KernelFilter], frames: list[bytes]
) -> list[list[bytes]]:
    """What each filter takes of the frames, as the kernel has it: without the outer tag."""
    found: list[list[bytes]] = []
    for start in range(0, len(filters), AT_ONCE):
        codes = [packed(one.instructions) for one in filters[start : start + AT_ONCE]]
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as told:
            pickle.dump((codes, frames), given)
            given.seek(0)
            process = network.popen(sys.executable, SCRIPT, NEAR, FAR, stdin=given, stdout=told)
            assert process.wait(LONGEST_WAIT) == 0
            told.seek(0)
            seen, passed = pickle.load(told)
        assert seen == len(frames)
        found += passed
    return found


def without_outer_tag(frame: bytes) -> bytes:
    return frame[:12] + frame[16:] if frame[12:14] in STRIPPED else frame


def some_frames(rng: random.Random) -> list[bytes]:
    """Short and long ones, with up to three tags of all kinds and all their bits."""
    frames = []
    for number in range(80):
        packet, kind = pcaps.ip_packet(rng)
        tags = [(rng.choice(TPIDS), rng.randrange(1 << 16)) for _ in range(number % 4)]
        if number % 5 == 0:
            tags = [(tpid, 5) for tpid, _ in tags]
        frame = pcaps.ethernet(packet, kind, tags)
        # the kernel drops a tagged frame that has fewer than 2 bytes behind its tag and type
        shortest = 16 + 4 * len(tags) if tags else 14
        frames.append(frame[: max(shortest, rng.choice((2000, 60, 34, 20, 14)))])
    return frames


def check(
    found: KernelFilter, passed: list[bytes], frames: list[bytes], right: list[bool], what: object
) -> None:
    whole = [without_outer_tag(frame) for frame in frames]
    expected = [frame for frame, takes in zip(whole, right, strict=True) if takes]
    if found.exact:
        assert passed == expected, what
    else:
        rest = iter(passed)
        assert all(frame in rest for frame in expected), what  # in this order, among others


def test_random_expressions_on_a_cable_agree_with_the_reference(
    network: Network, rng: random.Random
) -> None:
    frames = some_frames(rng)
    texts, trees, modes, filters = [], [], [], []
    for number in range(8 * AT_ONCE):
        trees.append(reference.random_tree(rng, fields=True))
        texts.append(reference.as_text(trees[-1], rng))
        modes.append("skip" if number % 3 == 0 else "wire")
        filters.append(fastcap.compile(texts[-1], vlan=modes[-1]).classic(live=True))
    passed = let_through(network, filters, frames)
    for number, found in enumerate(filters):
        right = [reference.matches(trees[number], frame, vlan=modes[number]) for frame in frames]
        check(found, passed[number], frames, right, (texts[number], modes[number]))
    assert sum(found.exact for found in filters) > len(filters) / 3


def test_pcap_filter_expressions_on_a_cable_take_what_they_take_of_a_file(
    network: Network, rng: random.Random
) -> None:
    frames = some_frames(rng)
    extra = ["vlan 5", "vlan and vlan 5 and ip", "not vlan", "vlan and tcp[13] & 2 != 0",
             "ether[12:4] & 0xe000 = 0x8000", "ether[13:2] != 0", "ether[11:4] = 0xff810000",
             "ether[14] & 0x10 != 0 and vlan", "len = 60", "len - 14 > 20", "ip or vlan",
             "ether[len - 4:4] = 0", "ether[15] * 2 > 9"]  # fmt: skip
    texts, filters, files = [], [], []
    for text in [*EXPRESSIONS, *extra]:
        try:
            files.append(fastcap.compile(text))
        except fastcap.FilterError:
            continue  # about Wi-Fi, for instance
        texts.append(text)
        filters.append(files[-1].classic(live=True))
    passed = let_through(network, filters, frames)
    for number, found in enumerate(filters):
        right = [files[number].matches(frame) for frame in frames]
        check(found, passed[number], frames, right, texts[number])
    assert sum(found.exact for found in filters) > len(filters) - 6
