"""The tables of docs/negatives.md, as Markdown, from the results of recommend_summary.py and recommend_curves.py.

    python benchmarks/recommend_map.py

Reads results/recommend_<data>.json and results/recommend_curves_<data>.json, prints what the page shows, and exits 1
where the page shows something else.
"""

import json
import sys
from pathlib import Path
from typing import Any

from common import RESULTS
from recommend_plan import (
    BASE,
    BOTH,
    BROAD,
    BROAD_RANDOM,
    CONTENT,
    LITERAL,
    LITERAL_RANDOM,
    PLAIN,
    THREE,
    THREE_RANDOM,
    UNIFORM,
)

PAGE = Path(__file__).parents[1] / "docs" / "negatives.md"
SETS = ("beauty_recent", "instruments_recent", "retail_last", "retail", "ml1m")
FIGURE = "recall@200"
GAINS = {  # what a row says: (arm, over which)
    "ESANS as told, over 10 uniform": (LITERAL, UNIFORM),
    "the same with random codes": (LITERAL_RANDOM, UNIFORM),
    "in-batch + logQ, over 10 uniform": (BASE, UNIFORM),
    "`mixed`, over in-batch + logQ": (PLAIN, BASE),
    "`mixed` and content, over in-batch + logQ": (CONTENT, BASE),
    "`mixed` and three sets of codes, over `mixed`": (THREE, PLAIN),
    "the same with random codes, over `mixed`": (THREE_RANDOM, PLAIN),
    "`mixed` and three sets of codes, over in-batch + logQ": (THREE, BASE),
    "content and three sets of codes, over content": (BOTH, CONTENT),
}
SHOPS = ((10_000, 80_000), (10_000, 20_000), (100_000, 50_000), (1_000_000, 100_000))
SHOWN = (
    (LITERAL, UNIFORM),
    (LITERAL_RANDOM, UNIFORM),
    (BROAD, BASE),
    (BROAD_RANDOM, BASE),
    (THREE, BASE),
    (THREE_RANDOM, BASE),
)
WINDOWS = ("beauty", "instruments", "retail_last", "ml100k", "ml1m", "retail")


def read(name: str) -> dict[str, Any]:
    return dict(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")))


def gains() -> list[str]:
    """Real sets."""
    found = {data: read(f"recommend_{data}")["arms"] for data in SETS}

    def cell(data: str, arm: str, over: str) -> str:
        seeds = set(found[data][arm]["seeds"].split()) & set(found[data][over]["seeds"].split())
        return f"{found[data][arm][f'against {over}'][FIGURE]} ({len(seeds)})"

    return [f"| {said} | {' | '.join(cell(data, *pair) for data in SETS)} |" for said, pair in GAINS.items()]


def shops() -> list[str]:
    """The generated shop."""
    points, lines = read("recommend_curves_shop")["curves"]["catalogue"], []
    for items, users in SHOPS:
        shop = f"{items:,} items, {users:,} users"
        per_item = points[f"{shop}: {BASE}"]["events"] / items
        cells = [points.get(f"{shop}: {arm}", {}).get("over", {}).get(over, {}).get(FIGURE, "") for arm, over in SHOWN]
        lines.append(f"| {items:,} | {per_item:.{0 if per_item >= 2 else 1}f} | {' | '.join(cells)} |")
    return lines


def windows() -> list[str]:
    """How much of a history."""
    found = {data: read(f"recommend_curves_{data}")["curves"]["window"] for data in WINDOWS}
    return [
        f"| {point} | {' | '.join(_both(found[data].get(point)) for data in WINDOWS)} |" for point in found["beauty"]
    ]


def _both(point: dict[str, Any] | None) -> str:
    return "" if point is None else f"{point['recall@50']:.3f} / {point['recall@200']:.3f}"


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    lines = [*gains(), "", *shops(), "", *windows()]
    print("\n".join(lines))
    missing = [line for line in lines if line not in page]
    if missing:
        sys.exit(f"{len(missing)} of these lines are not in docs/negatives.md.")


if __name__ == "__main__":
    main()
