"""Random bytes, random words and spoilt filters: each is read or refused in plain words, and
nothing else happens."""

from __future__ import annotations

import random
import re
import signal
import time
from ipaddress import ip_address
from pathlib import Path

import pytest

import fastcap
from fastcap.cli.app import run
from fastcap.language.explain import explain
from fastcap.language.fields import FIELDS
from fastcap.language.lower import lower
from fastcap.language.parser import parse
from fastcap.language.tree import Pcap, Tree, as_json, terms_of
from tests import reference
from tests.expressions import EXPRESSIONS

FEW, MANY = 30_000, 1_000_000
LONGEST_MESSAGE = 2000  # characters
LONGEST_TEXT = 10_000

EXAMPLES = r"""
Blob(FrameData, 26, 4) == 0x0a234567 OR Blob(FrameData,30,4)==10.35.69.103
Blob(FrameData, 14, 1) & 0xF0 == 0x40 AND NOT tcp port 443
Blob(FrameData, 6, 6) > 00:11:22:33:44:55 or Blob(FrameData, 22, 16) IN {::1, 2001:db8::/32}
Blob(FrameData, 0, 3) & 0xffff00 IN {0x010200, 0x010300}
Blob(FrameData, 54, 3) == "GET" and ContainsBin(FrameData, ASCII, 'Host: (')
ContainsBin(FrameData, HEX, "0A 23") && !(udp || FrameLength < 100)
IPv4.Address IN @hosts.txt and not (TCP.Port IN {80, 443} or udp)
IPv4.Address=157.59.136.1 Protocol=TCP
Protocol=!(TCP,UDP)  IPv4.Address = (1.2.3.4, 1.2.3.8-1.2.3.9)
Ethernet.Type == IPv6 or Ethernet.SourceAddress != 00-11-22-33-44-55
src or dst host 10.1.2.3 and FrameLength >= 64
(ether[(12+1)*2:4] != 3 or (icmp and not ip6)) and Blob(FrameData, 0, 1) == 1
""".strip().splitlines()

_PCAP_WORDS = """
    ip ip6 arp rarp tcp udp icmp icmp6 sctp igmp not and or port src dst portrange host net proto
    multicast broadcast less greater len ether vlan mpls pppoes
""".split()  # what libpcap 1.9 never takes for the name of a host
_WORDS = [
    *_PCAP_WORDS,
    *(row.name for row in FIELDS.values()),
    *r"""
    Blob blob( Blob(FrameData, ContainsBin( FrameData ( ) [ ] { } , : ; & && | || ! != = == ===
    < <= > >= + - * / % ^ ~ \ . @ @hosts.txt @'none' @" ' " "GET" IN in in{ AND OR NOT HEX ASCII
    hex, 0 1 4 16 17 443 0x 0xff 65536 4294967296 10.35.69.103 10.0.0.0/8 1.2.3 ::1 fe80::/10
    00:11:22:33:44:55 1.2.3.4-1.2.3.9 TCP.Foo x é ſ ı 10.1.2.256
    """.split(),
    *(" ", "\t", "\n", "\r", "\x0b", "\x1c", "\x85", "\xa0", "\u2028", "\0", "\x1b[1m", "\udcff"),
    *("\U0001f600", "9" * 50, "(" * 120, "not " * 120),
]
_SAFE_WORD = re.compile(r"0x[0-9a-f]{1,8}|[0-9]{1,9}")


class Storm:
    """An endless supply of texts, most of which are no filters."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        trees = [reference.random_tree(rng, fields=True) for _ in range(300)]
        texts = [reference.as_text(tree, rng) for tree in trees]
        self.valid = [*EXPRESSIONS, *EXAMPLES, *(text for text in texts if len(text) < 2000)]

    def text(self) -> str:
        make = self.rng.choice((self.noise, self.words, self.spoilt, self.spoilt))
        return make()[:LONGEST_TEXT]

    def noise(self) -> str:
        """As the command line gives it: what is no UTF-8 becomes surrogates."""
        noise = self.rng.randbytes(self.rng.randrange(60))
        if self.rng.random() < 0.5:  # else nothing of it would be a term of ours
            at = self.rng.randrange(len(noise) + 1)
            noise = noise[:at] + self.rng.choice(EXAMPLES).encode() + noise[at:]
        return noise.decode("utf-8", "surrogateescape")

    def words(self) -> str:
        count = self.rng.choice((3, 10, 30))
        space = self.rng.choice(("", " ", " "))
        return space.join(self.rng.choice(_WORDS) for _ in range(self.rng.randrange(count)))

    def spoilt(self) -> str:
        text = self.rng.choice(self.valid)
        if self.rng.random() < 0.3:
            join = self.rng.choice((" and ", " OR ", " && ", " ", " not "))
            text = f"{text}{join}{self.rng.choice(self.valid)}"
        for _ in range(self.rng.choice((0, 1, 1, 2, 5))):
            text = self.spoil(text)
        return text

    def spoil(self, text: str) -> str:
        rng = self.rng
        start, end = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        end = min(end, start + rng.choice((1, 1, 5, 40)))
        piece = text[start:end]
        kind = rng.randrange(6)
        if kind == 0:
            return text[:start] + text[end:]
        if kind == 1:
            return text[:end] + piece + text[end:]
        if kind == 2:
            return text[:start] + piece[::-1] + text[end:]
        if kind == 3:
            return text[:start] + rng.choice(_WORDS) + text[start:]
        if kind == 4:
            return text[:start]
        return text[:start] + piece * rng.choice((2, 10, 200)) + text[end:]


def parsed(text: str) -> Tree | None:
    """None where it was refused as it should be."""
    try:
        return parse(text)
    except fastcap.FilterError as error:
        check_message(str(error))
        return None


def check_message(message: str) -> None:
    first, *_, shown, caret = message.splitlines()
    assert first.startswith("filter: ")
    assert caret.strip() == "^", message
    assert 2 <= caret.index("^") <= len(shown)
    check_plain(message)


def check_plain(message: str) -> None:
    """One paragraph that does nothing to a terminal."""
    assert len(message) < LONGEST_MESSAGE
    lines = message.split("\n")
    assert all(line.strip() for line in lines), message
    assert all(line.isprintable() for line in lines), ascii(message)


def asks_no_resolver(tree: Tree) -> bool:
    """Whether libpcap finds nothing in it that could be the name of a host."""
    texts = [term.text for term in terms_of(tree) if isinstance(term, Pcap)]
    return all(
        text.isascii() and "\\" not in text and all(map(_is_safe, re.findall(r"[\w.:-]+", text)))
        for text in texts
    )


def _is_safe(word: str) -> bool:
    if word in _PCAP_WORDS or _SAFE_WORD.fullmatch(word):
        return True
    try:
        return bool(ip_address(word))
    except ValueError:
        return False


@pytest.fixture
def storm(rng: random.Random, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storm:
    (tmp_path / "hosts.txt").write_text("10.0.0.1 10.2.0.0/16 # two\n")
    monkeypatch.chdir(tmp_path)
    return Storm(rng)


def storm_through_the_parser(storm: Storm, count: int) -> None:
    read = refused = 0
    for _ in range(count):
        text = storm.text()
        try:
            tree = parsed(text)
        except BaseException:
            print(ascii(text))
            raise
        read += tree is not None and not isinstance(tree, Pcap)
        refused += tree is None
    assert min(read, refused) > count / 20


def test_any_text_is_read_or_refused_in_plain_words(storm: Storm) -> None:
    storm_through_the_parser(storm, FEW)


@pytest.mark.slow
def test_a_million_texts_are_read_or_refused_in_plain_words(storm: Storm) -> None:
    storm_through_the_parser(storm, MANY)


def test_what_is_read_of_any_text_is_compiled_and_explained_or_refused(storm: Storm) -> None:
    compiled = 0
    for _ in range(FEW // 20):
        text = storm.text()
        tree = parsed(text)
        if tree is None or not asks_no_resolver(tree):
            continue
        try:
            fastcap.compile(text)
            compiled += 1
            assert explain(tree, 1)
            as_json(tree)
            lower(tree, 1, vlan="skip")
        except fastcap.FilterError as error:
            check_plain(str(error))
        except BaseException:
            print(ascii(text))
            raise
    assert compiled > FEW / 250


def test_the_command_line_says_of_any_text_what_it_means_or_what_is_wrong(
    storm: Storm, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    told = 0
    for _ in range(FEW // 50):
        text = storm.text()
        try:
            tree = parse(text)
        except fastcap.FilterError:
            tree = None
        if "\0" in text or (tree is not None and not asks_no_resolver(tree)):
            continue
        status = run(["explain", "--", text])
        output, errors = capsys.readouterr()
        if status == 0:
            assert output.startswith("Keeps ")
            assert not errors
        else:
            assert status == 2
            assert not output
            assert errors.startswith("fastcap: filter: ")
            told += 1
    assert told


# ---- Very long and very deep --------------------------------------------------------------------

A = "Blob(FrameData, 0, 1) == 1"


def blobs(count: int) -> list[str]:
    return [f"Blob(FrameData, {i % 1000}, 4) == {i}" for i in range(count)]


def alternating(terms: list[str]) -> str:
    return "".join(f"{term} {('and', 'or')[i % 2]} " for i, term in enumerate(terms))


HUGE = {
    "parentheses": "(" * 100_000 + A + ")" * 100_000,
    "parentheses of pcap-filter": "(" * 100_000 + "tcp" + ")" * 100_000,
    "parentheses that are not closed": "(" * 100_000 + A,
    "parentheses that are not opened": A + ")" * 100_000,
    "NOTs": "not " * 100_000 + A,
    "NOTs of pcap-filter": "!" * 100_000 + "tcp",
    "both": "not (" * 100_000 + A,
    "brackets": "[" * 100_000 + A,
    "one word": f"{A} and {'a' * 1_000_000}",
    "one quotation": f"Blob(FrameData, 0, 4) == '{'a' * 1_000_000}'",
    "one address": "Blob(FrameData, 0, 16) == " + "a:" * 500_000,
    "one prefix": "IPv4.Address IN {10.0.0.0/" + "1" * 1_000_000,
    "one path": "IPv4.Address IN @" + "a" * 1_000_000,
    "one number": "Blob(FrameData, 0, 4) == " + "1" * 1_000_000,
    "dots": "a.b." * 250_000,
    "spaces": f"{A}{' ' * 1_000_000}",
    "lines": "\n" * 1_000_000 + A + " x",
    "quotes": f"{A} and {chr(34) * 100_000}",
    "alternatives": " or ".join(blobs(10_000)),
    "conditions": " and ".join(blobs(100_000)),
    "both in turn": alternating(blobs(10_000)) + A,
    "both in turn with pcap-filter text": alternating(blobs(10_000)) + "tcp",
    "a run of pcap-filter text": "tcp or " * 50_000 + A,
    "levels of many terms": "(" * 95 + " and ".join(blobs(10_000)) + ")" * 95,
    "a sum": "1" + "+1" * 500_000 + " = 1",
    "a set": "IPv4.Address IN {" + ", ".join(str(2 * i) for i in range(100_000)) + "}",
    "searches": " or ".join(f"ContainsBin(FrameData, HEX, '{i:08x}')" for i in range(70_000)),
    "netsh": "Protocol=6 " * 10_000,
}


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE)
def test_what_is_huge_is_compiled_or_refused_in_plain_words_within_seconds(text: str) -> None:
    began = time.monotonic()
    try:
        fastcap.compile(text)
    except fastcap.FilterError as error:
        check_plain(str(error))
    assert time.monotonic() - began < 30  # 3 at most on a machine that does nothing else
