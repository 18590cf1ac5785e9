"""A report with everything that a page can show: four tools that capture, made up."""

from __future__ import annotations

import math
from typing import Any

from fastcap.bench.charts import Bar, BarGroup, Bars, Lines, Series
from fastcap.bench.report import Figure, Figures, Grid, Report

TOOLS = ("fastcap", "tcpdump", "dumpcap", "netsniff-ng")
HOSTILE = ("</script><script>alert(1)</script>", "<b>bold</b>", "\"'&amp; %{x} $x^2$", "<!-- Größe")
RATES = (500_000, 1_000_000, 2_000_000, 4_000_000, 8_000_000, 14_880_952)
CARRIES = {"fastcap": 9e6, "tcpdump": 1.1e6, "dumpcap": 0.8e6, "netsniff-ng": 3e6}
STALLS: dict[str, list[tuple[float, float]]] = {
    "fastcap": [(21.5, 21.52)],
    "tcpdump": [(4.0, 6.5), (15.25, 17.0), (24.0, 25.0)],
    "dumpcap": [(3.0, 3.4), (9.5, 12.0), (20.0, 26.0)],
    "netsniff-ng": [],
}
COSTS = {
    ("fastcap", 64): 41.2, ("tcpdump", 64): 402.7, ("dumpcap", 64): 611.0,
    ("netsniff-ng", 64): 187.9, ("fastcap", 1518): 63.75, ("tcpdump", 1518): 640.5,
    ("dumpcap", 1518): 871.25, ("netsniff-ng", 1518): None,
}  # fmt: skip


def comparison(title: str = "64 bytes, up to 14.88 million frames a second") -> Report:
    """A comparison as of a machine of two processors."""
    loss = {tool: [_loss(tool, rate) for rate in RATES] for tool in TOOLS}
    waiting = {tool: _waiting(tool) for tool in TOOLS}
    rows = [
        (tool, [Figure("frames_per_second", "without loss", int(CARRIES[tool]), "/s"),
                Figure("lost_percent", "lost at the most", loss[tool][-1][1], "%"),
                Figure("ns_per_frame", "a frame", COSTS[tool, 64], "ns"),
                Figure("ns_per_frame_1518", "of 1,518 bytes", COSTS[tool, 1518], "ns"),
                Figure("stalls", "stalls", len(STALLS[tool])),
                Figure("longest_stall_s", "the longest",
                       max((end - start for start, end in STALLS[tool]), default=None), "s")])
        for tool in TOOLS
    ]  # fmt: skip
    how = [
        Figure("wire_bits", "a frame on the wire", 672, "bits", "8 × (64 bytes + 20 of the wire)"),
        Figure("ns_between_frames", "time between two", 67.2, "ns", "672 bits / 10,000,000,000"),
        Figure("filter", "filter", "host 10.35.69.103 and tcp port 443"),
        Figure("driver_drops", "dropped by the driver", None),
    ]
    charts: list[Lines | Bars] = [
        Lines("loss", "What is lost at which rate", "frames a second that were sent",
              "frames lost, % of those sent",
              [Series(tool, [(rate, value) for rate, (_, value, _) in
                             zip(RATES, loss[tool], strict=True)],
                      [(least, most) for least, _, most in loss[tool]]) for tool in TOOLS],
              "Median of 5 runs of 30 s each; the bars are the least and the most.", True),
        Bars("cost", "What a frame costs", "ns",
             [BarGroup(f"frames of {size:,} bytes",
                       [Bar(tool, value, value and value * 0.9375, value and value * 1.125)
                        for tool in TOOLS for value in [COSTS[tool, size]]])
              for size in (64, 1518)], "Processor time, user and system."),
        Lines("waiting", "Frames that wait in the ring", "seconds since the first frame",
              "frames that were sent and not read yet",
              [Series(tool, waiting[tool], None, STALLS[tool]) for tool in TOOLS],
              "At 1,000,000 frames a second.", marked="when a tool's files did not grow"),
    ]  # fmt: skip
    more: dict[str, Any] = {
        "loss": {tool: [[rate, *told] for rate, told in zip(RATES, loss[tool], strict=True)]
                 for tool in TOOLS},
        "cost": [[tool, size, value, value and value * 0.9375, value and value * 1.125]
                 for (tool, size), value in COSTS.items()],
        "waiting": waiting,
        "stalls": STALLS,
    }  # fmt: skip
    return Report(
        title, "fastcap bench capture --rate 10G --frame 64 --tools "
        "fastcap,tcpdump,dumpcap,netsniff-ng --seconds 30 --runs 5 --html comparison.html",
        {"processor": "AMD EPYC", "processors": 2, "memory_mib": 24_105, "system": "Linux 6.18"},
        {"fastcap": "0.1.0", "engine": "jit", "Python": "3.11.7", "tcpdump": "4.99.3",
         "dumpcap": "4.0.17", "netsniff-ng": "0.6.8"},
        [Grid("tools", "tool", rows), Figures("how", "what was sent", how)],
        ["fastcap and tcpdump kept the same frames: 59,523,808",
         "dumpcap has no way to keep less of a frame"],
        charts, more,
    )  # fmt: skip


def hostile() -> Report:
    """The same, but nothing in it is what a page may take for its own."""
    told = comparison(HOSTILE[0])
    evil = " ".join(HOSTILE)
    rows = [(f"fastcap {evil}", [Figure("a", evil, 0.1 + 0.2, evil)]),
            ("tcpdump", [Figure("a", evil, 1e-9, "s")])]  # fmt: skip
    points = [(1.0, 2.0), (2.0, 0.1 + 0.2)]
    return told._replace(
        command=f"fastcap bench filter '{evil}'",
        versions={"fastcap": evil},
        machine={**told.machine, "processor": evil},
        tables=[Grid("evil", evil, rows),
                Figures("more_evil", evil, [Figure("b", evil, evil, "", evil)])],
        notes=HOSTILE,
        charts=[
            Lines("evil-lines", evil, evil, evil,
                  [Series(f"{word} {evil}", points, points, [(1.0, 1.5)])
                   for word in ("fastcap", *HOSTILE)], evil, marked=evil),
            Bars("evil-bars", evil, HOSTILE[1],
                 [BarGroup(each, [Bar(f"{HOSTILE[1]} {each}", 3.0), Bar(each, None)])
                  for each in HOSTILE], evil),
        ],
        more={"drawn": [evil, points, 3.0, 1.5]},
    )  # fmt: skip


def _loss(tool: str, rate: int) -> tuple[float, float, float]:
    lost = max(0.0, 100 * (1 - CARRIES[tool] / rate))
    return round(lost * 0.94, 3), round(lost, 3), round(min(100, lost * 1.05), 3)


def _waiting(tool: str) -> list[tuple[float, float]]:
    """A ring of 600,000 frames, while 1,000,000 come a second."""
    found: list[tuple[float, float]] = []
    waiting = 0.0
    for step in range(300):
        still = any(start <= step / 10 < end for start, end in STALLS[tool])
        reads = 0 if still else 0.1 * CARRIES[tool] * (1 + math.sin(step / 4) / 3)
        waiting = min(600_000.0, max(0.0, waiting + 100_000 - reads))
        found.append((step / 10, round(waiting)))
    return found
