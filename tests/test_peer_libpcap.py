"""libpcap's own suite (of git master): what it accepts, refuses and matches, and why we differ.

The libpcap inside the pcapy-ng wheel is older than the suite. Every difference falls under one
reviewed cause; counts are exact, so that a new difference fails, and so does one that went away
until its number is lowered here.
"""

from __future__ import annotations

import ctypes
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pcapy
import pytest

import fastcap
from tests import pcaps
from tests.conftest import SHARED
from tests.sockets import KernelFilters

VERSION = "1.9.1"  # the libpcap that this review is of
# libpcap's DLT on Linux -> the number in files, where they differ
FILE_NUMBER = {11: 100, 12: 101, 15: 102, 16: 103, 19: 106}
# The suite wants its own hosts, networks and ethers files for them; without these libpcap asks
# the resolver, which takes it seconds where there is no internet.
NAMES = re.compile(r"\.(?:libpcap\.test|invalid)\b", re.IGNORECASE)
# What the suite's tests of other systems, and of a libpcap without protochain, are skipped for
ELSEWHERE = ("is Linux", "NO_PROTOCHAIN!=1")

# Link types that libpcap 1.9.1 has no name for, by their number
UNNAMED = {
    "EN3MB": 2,
    "AX25": 3,
    "PRONET": 4,
    "CHAOS": 5,
    "REDBACK_SMARTEDGE": 32,
    "I2C_LINUX": 209,
}
# Link types that it has no number for: nothing to compare
NEWER = set(
    """ATSC_ALP AUERSWALD_LOG DECT_NR DSA_TAG_BRCM DSA_TAG_BRCM_PREPEND DSA_TAG_DSA DSA_TAG_EDSA
    EBHSCR ELEE ETW FIRA_UCI IEEE802_15_4_TAP MDB NETANALYZER_NG OPENVIZSLA SILABS_DEBUG_CHANNEL
    USB_2_0 USB_2_0_FULL_SPEED USB_2_0_HIGH_SPEED USB_2_0_LOW_SPEED VPP_DISPATCH ZBOSS_NCP
    ZWAVE_TAP Z_WAVE_SERIAL""".split()
)
REFUSALS = (fastcap.FilterError, fastcap.InputError)


class Cause(NamedTuple):
    """Why so many `cases` differ: `words` is a pattern in what is said of them, `expression` one
    in the filter."""

    why: str
    cases: int
    words: str = ""
    expression: str = ""


class Case(NamedTuple):
    """A filter that differs, and what is said of it: libpcap's refusal, or the suite's where
    libpcap takes it."""

    link: str
    expression: str
    words: str


BACNET = Cause("link addresses of BACnet MS/TP are new in master", 7, "on ARCnet|not a broadcast")
PPI = Cause("802.11 behind PPI is new in master", 2, r"only (?:on|with) 802\.11")
VXLAN = Cause("vxlan is new in master", 4, "syntax error", r"\bvxlan\b")

NOT_ACCEPTED = (
    BACNET,
    PPI,
    VXLAN,
    Cause("the wheel's libpcap was built where pf is not", 50, "without pf support"),
    Cause("1.9.1 does not look at the link-layer type of pflog", 29, "pflog file link-layer type"),
    Cause("802.11's ba and bar are new in master", 16, r"unknown 802\.11 (?:sub)?type name"),
    Cause(
        "ours: compiled for files too, whose frames do not say their direction",
        4,
        "captured frame does not say",
    ),
    Cause("ifindex is new in 1.10", 2, "syntax error", r"\bifindex\b"),
    Cause("the names of ICMPv6's errors are new in 1.10", 1, "syntax error", r"\bicmp6-"),
    Cause("1.9.1 knows this EtherType as a number only", 5, r"unknown ether proto"),
    Cause("1.9.1 and 1.10.3 optimise this wrongly", 3, "rejects all", r"& 0xFFFFFFFF"),
)

ACCEPTED = (
    Cause("a limit that is checked in master only", 25, "greater than maximum"),
    Cause("1.9.1 checks no numbers in 'wlan'", 3, r"invalid 802\.11"),
    Cause("1.9.1 takes any number for a DECnet address", 5, "invalid DECnet address"),
    Cause("1.9.1 takes 'decnet' for any net", 3, "'decnet' is not a valid qualifier for 'net'"),
    Cause("our netmask is 0, as tcpdump -r has it, and not unknown", 2, "netmask not known"),
    Cause("1.9.1 compares no link-layer type of BACnet MS/TP", 1, "not implemented for DLT_BACNET"),
)

NOT_APPLIED = (
    BACNET._replace(cases=5),
    PPI,
    VXLAN,
    Cause("tags of switches (DSA) are new in master", 24, "unknown data link type 28[14]"),
    Cause("ours: pcapng is not read yet", 6, "pcapng, which is not read yet"),
)

# case of apply.json -> what libpcap does
DIFFERENT = {
    "dpc_ne_0": "'!=' of an MTP3 field is compiled as '='",
    "opc_ne_0": "'!=' of an MTP3 field is compiled as '='",
    "sls_ne_9": "'!=' of an MTP3 field is compiled as '='",
    "link_host_c0_on_arcnet": "$c0 is read as 0xdc",
    "link_src_host_c0_on_arcnet": "$c0 is read as 0xdc",
    "link_dst_host_c0_on_arcnet": "$c0 is read as 0xdc",
    "link_host_not_c0_on_arcnet": "$c0 is read as 0xdc",
    "rfc1051_arp": "RFC 1051's number is taken too, where master takes RFC 1201's only",
    "rfc1051_ip": "RFC 1051's number is taken too, where master takes RFC 1201's only",
    "slip_outbound_on_invalid": "every direction that is not inbound is taken for outbound",
    "csnp_C_HDLC": "the PDU type is loaded a byte too early: C_HDLC's padding is forgotten",
}


@pytest.fixture(scope="module")
def suite() -> Path:
    if not (SHARED / "peer-tests/libpcap").is_dir():
        pytest.skip("no folder of other people's tests beside the checkout")
    return SHARED / "peer-tests"


@pytest.fixture(scope="module")
def links() -> Callable[[str], int | None]:
    """The number in files of a DLT's name, as the libpcap in use has it; None where it has not."""
    library = next(Path(pcapy.__file__).parent.glob("pcapy_ng.libs/libpcap-*"), None)
    if library is None:
        pytest.skip("pcapy-ng is not of a wheel with a libpcap")
    libpcap = ctypes.CDLL(str(library))
    libpcap.pcap_lib_version.restype = ctypes.c_char_p
    version = libpcap.pcap_lib_version().decode()
    if VERSION not in version:
        pytest.skip(f"the differences were reviewed for libpcap {VERSION}, this is {version}")

    def number(name: str) -> int | None:
        dlt: int = libpcap.pcap_datalink_name_to_val(name.encode())
        return UNNAMED.get(name) if dlt < 0 else FILE_NUMBER.get(dlt, dlt)

    return number


def read(path: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(path.read_text())
    return entries


def refusal(expression: str, linktype: int) -> str | None:
    """Why a filter is refused; None where it is not."""
    try:
        fastcap.compile(expression, linktype)
    except REFUSALS as error:
        return str(error)
    return None


def check(cases: Iterable[Case], causes: Iterable[Cause]) -> None:
    """Each case has one cause, and each cause as many cases as the review found."""
    found: Counter[str] = Counter()
    strays = []
    for case in cases:
        fitting = [
            cause.why
            for cause in causes
            if re.search(cause.words, case.words) and re.search(cause.expression, case.expression)
        ]
        found.update(fitting)
        if len(fitting) != 1:
            strays.append(f"{case.link}: {case.expression!r}: {case.words}: {fitting}")
    assert not strays, "not exactly one cause each:\n" + "\n".join(strays)
    reviewed = {cause.why: cause.cases for cause in causes}
    assert found == reviewed, "where fewer differ now, lower the number; more may not"


def test_every_filter_that_libpcap_accepts_is_accepted_or_has_a_reviewed_cause(
    suite: Path, links: Callable[[str], int | None]
) -> None:
    cases = []
    seen: Counter[str] = Counter()  # nothing may be left out unnoticed
    for block in read(suite / "libpcap/accept.json"):
        link = links(block["dlt"])
        for expression in block["filters"]:
            if link is None:
                seen[block["dlt"]] += 1
            elif expression.startswith("_"):
                seen["generated"] += 1
            elif NAMES.search(expression):
                seen["names"] += 1
            else:
                seen["compiled"] += 1
                words = refusal(expression, link)
                # no `optimised` program: the suite's libpcap too finds that it takes no frame
                never = "rejects all packets" in (words or "") and "optimised" not in block
                if words is not None and not never:
                    cases.append(Case(block["dlt"], expression, words))
    check(cases, NOT_ACCEPTED)
    assert seen == {
        "compiled": 1878,
        "names": 270,
        "generated": 1,
        "DSA_TAG_BRCM": 43,
        "DSA_TAG_DSA": 38,
    }


def test_every_filter_that_libpcap_refuses_is_refused_or_has_a_reviewed_cause(
    suite: Path, links: Callable[[str], int | None]
) -> None:
    cases = []
    seen: Counter[str] = Counter()
    newer = set()
    for entry in read(suite / "libpcap/reject.json"):
        if entry["DLT"] is None:
            seen["files"] += 1
            continue
        link = links(entry["DLT"])
        if link is None:
            newer.add(entry["DLT"])
            seen["newer link types"] += 1
        elif entry["skip"] in ELSEWHERE:
            seen["elsewhere"] += 1
        elif NAMES.search(entry["expr"]):
            seen["names"] += 1
        else:
            seen["compiled"] += 1
            if refusal(entry["expr"], link) is None:
                cases.append(Case(entry["DLT"], entry["expr"], entry["errstr"]))
    check(cases, ACCEPTED)
    assert newer == NEWER
    assert seen == {
        "compiled": 9640,
        "names": 5082,
        "elsewhere": 379,
        "newer link types": 970,
        "files": 6,
    }


def test_every_file_that_libpcap_refuses_is_refused(suite: Path, shared_captures: Path) -> None:
    for entry in read(suite / "libpcap/reject.json"):
        if entry["savefile"] is not None:
            path = shared_captures / "libpcap" / entry["savefile"]
            with pytest.raises(fastcap.FastcapError), fastcap.open(path) as capture:
                list(capture)


@pytest.mark.usefixtures("links")
def test_every_frame_matches_as_in_libpcaps_suite_or_has_a_reviewed_cause(
    suite: Path, shared_captures: Path
) -> None:
    """And libpcap 1.10.3, whose counts were taken beside, always takes as many as we do."""
    counts = {row.get("name"): row["libpcap_1_10_3"] for row in read(suite / "match_counts.json")}
    refused, different, names, same = [], set(), 0, 0
    for entry in read(suite / "libpcap/apply.json"):
        name, expression = entry["name"], entry["expr"]
        if NAMES.search(expression):
            names += 1
            continue
        try:
            taken = matches(shared_captures / "libpcap/filter" / entry["savefile"], expression)
        except REFUSALS as error:
            refused.append(Case(entry["savefile"], expression, str(error)))
            continue
        assert sum(taken) == counts[name], f"{name}: libpcap 1.10.3 takes {counts[name]} frames"
        if taken == [result != 0 for result in entry["results"]]:
            same += 1
        else:
            different.add(name)
    check(refused, NOT_APPLIED)
    assert different == set(DIFFERENT), "strike out what does not differ any more"
    assert (same, names) == (128, 5)


def test_the_filters_for_ethernet_take_the_same_frames_in_the_kernel(
    suite: Path, shared_captures: Path, sockets: KernelFilters, rng: random.Random
) -> None:
    """Those that the suite accepts, on random frames, and those that it applies to files."""
    filters = [
        (expression, [pcaps.ethernet_frame(rng) for _ in range(20)])
        for block in read(suite / "libpcap/accept.json")
        if block["dlt"] == "EN10MB"
        for expression in block["filters"]
    ]
    for entry in read(suite / "libpcap/apply.json"):
        path = shared_captures / "libpcap/filter" / entry["savefile"]
        if path.suffix == ".pcap":
            with fastcap.open(path) as capture:
                if capture.linktype == 1:
                    whole = [batch[i] for batch in capture for i in range(len(batch))
                             if len(batch[i]) == batch.lengths[i]]  # fmt: skip
                    filters.append((entry["expr"], [bytes(frame) for frame in whole]))
    asked = exact = 0
    for expression, frames in filters:
        if NAMES.search(expression) or refusal(expression, 1) is not None:
            continue
        compiled = fastcap.compile(expression)
        found = compiled.classic(live=True)
        sockets.attach(found.instructions)
        asked += 1
        exact += found.exact
        for frame in frames:
            passed = sockets.pass_on(frame) is not None
            assert passed >= compiled.matches(frame), (expression, frame.hex())
            assert passed == compiled.matches(frame) or not found.exact, (expression, frame.hex())
    assert (asked, exact) == (433, 420)


def matches(path: Path, expression: str) -> list[bool]:
    with fastcap.open(path) as capture:
        taken = fastcap.compile(expression, capture.linktype)
        return [
            taken.matches(batch[i], int(batch.lengths[i]))
            for batch in capture
            for i in range(len(batch))
        ]
