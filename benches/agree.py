"""Whether two runs of `fastcap bench capture` agree: the same order by cost a frame, and each loss
of the second within the spread that the first one states.

    python benches/agree.py one.json two.json    # exit status 1 where they do not
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

CASE = ("tool", "size", "snaplen", "rate_asked", "quota_percent")


def order(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Sizes, and of each the tools, the cheapest a frame first."""
    return [(row["size"], row["tool"]) for row in report["cost"]]


def disagreements(one: dict[str, Any], two: dict[str, Any]) -> list[str]:
    """Of their losses."""
    others = {tuple(row[name] for name in CASE): row for row in two["results"]}
    found = []
    for row in one["results"]:
        case = tuple(row[name] for name in CASE)
        lost = others[case]["lost_percent"]
        low, high = row["lost_percent_low"], row["lost_percent_high"]
        if not low <= lost <= high:
            found.append(f"{case}: {lost} % lost, and {low} to {high} % were to be expected")
    return found


def main() -> int:
    one, two = (json.loads(Path(path).read_text()) for path in sys.argv[1:3])
    wrong = disagreements(one, two)
    orders = order(one), order(two)
    for place in orders:
        print("by cost a frame:", ", ".join(" ".join(which) for which in place))
    print(f"losses: {len(one['results']) - len(wrong)} of {len(one['results'])} agree", *wrong,
          sep="\n")  # fmt: skip
    return int(bool(wrong) or orders[0] != orders[1])


if __name__ == "__main__":
    sys.exit(main())
