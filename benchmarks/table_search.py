"""The tables of search: blends of both legs, thresholds and what they hold, speed of the index."""

from typing import Any

from common import result

SETS = {"home_depot": "Home Depot, unseen test queries", "esci": "ESCI, five folds"}
METRICS = {"ndcg@10": "NDCG@10", "recall@100": "recall@100"}
LEARNT = "learnt blend"
METHODS = ("risk control", "learn then test")


def search() -> str:
    return _blends() + _thresholds() + _speed() + _recall() + _serving()


def _blends() -> str:
    text = ""
    for name, title in SETS.items():
        if (found := result(f"blends_{name}")) is None:
            continue
        text += (
            f"\n## Blends: {title}\n\n`{found['command']}`; {found['queries']:,} queries, the whole catalogue, gains 1 / 0.5 / 0, "
            "not judged counts as 0. All blends are fitted on the same queries, which the encoder was not trained on. "
            "Brackets: what the learnt blend gains, 95 % paired bootstrap.\n\n"
            f"| system | {' | '.join(METRICS.values())} | NDCG@10 gained | recall@100 gained |\n|---|---|---|---|---|\n"
        )
        for system, means in sorted(found["systems"].items(), key=lambda pair: -pair[1]["ndcg@10"]):
            over = found["learnt blend against"].get(system)
            gains = [_gain(over[metric]) if over else "" for metric in METRICS]
            text += f"| {system} | " + " | ".join([*(f"{means[one]:.4f}" for one in METRICS), *gains]) + " |\n"
    return text


def _thresholds() -> str:
    if (blends := result("blends_home_depot")) is None:
        return ""
    found = blends["thresholds"]
    shares = found["share among judged"]
    text = (
        f"\n## Thresholds: Home Depot\n\n`{blends['command']}`: cosines of judged pairs, of which {shares['1']:.1%} are of grade 1 or "
        f"more and {shares['2']:.1%} of grade 2; chosen on validation queries, measured on the test's. *Adapter*: the monotone "
        "function of cosine and query.\n\n| grade | asked | by | precision, validation | precision, test | recall, test |\n"
        "|---|---|---|---|---|---|\n"
    )
    for one in found["tuned"]:
        if "error" in one:
            text += f"| {one['grade']} | {one['target']:g} | {one['score']} | none reaches it | | |\n"
            continue
        own, there = one["validation"], one["test"]
        text += (
            f"| {own['grade']} | {one['target']:g} | {one['score']} | {own['precision']:.3f} | {there['precision']:.3f} "
            f"[{there['low']:.3f}, {there['high']:.3f}] | {there['recall']:.3f} |\n"
        )
    text += (
        "\nConformal, at most ten results a query. *Random halves*: fitted on one half of all held-out queries, measured on the "
        "other, 50 times; how often the share was below what was stated. *Shift*: the lowest share when queries of one slice come "
        "three times as often.\n\n| grade | stated | method | share, test | random halves: mean, below | shift |\n"
        "|---|---|---|---|---|---|\n"
    )
    for one in found["guarantees"]:
        for method in METHODS:
            text += f"| {one['grade']} | {one['stated']:g} | {method} | {_covered(one[method])} |\n"
    for one in found["refusing"]:
        text += (
            f"\nNothing relevant, grade {one['grade']}: best cosine of the list with and without its items of the grade (half of "
            f"{one['queries']:,} queries emptied), AUC {one['auc']:.3f}; refusing {one['recall']:.1%} of the empty costs "
            f"{one['lost']:.1%} of the others.\n"
        )
    if one := found.get("strangers"):
        text += (
            f"\nQueries of another shop ({one['empty']} of ESCI, a few of which Home Depot could have served): AUC of the best cosine "
            f"{one['auc']:.3f}; refusing {one['recall']:.1%} of them costs {one['lost']:.1%} of its own queries.\n"
        )
    return text


def _covered(one: dict[str, Any]) -> str:
    halves = one["random halves"]
    often = (
        f"{halves['mean']:.3f}, {halves['below stated']:.0%} ({halves['answered']} of {halves['splits']} could promise)"
        if halves["answered"]
        else "none could promise"
    )
    if one["test"]["share"] is None:
        return f"no promise | {often} | "
    shifted = [share["heavier"] for share in one["shifted"].values() if share["heavier"] is not None]
    test = one["test"]
    return f"{test['share']:.3f} [{test['low']:.3f}, {test['high']:.3f}] | {often} | {min(shifted):.3f}"


def _speed() -> str:
    text = ""
    for rows in (50_000, 1_000_000):
        if (found := result(f"search_speed_{rows}")) is None:
            continue
        text += (
            f"\n## Search: {rows:,} items\n\n`{found['command']}`: CPU-milliseconds a query, one thread, single queries, in turns; "
            f"k = 10. Opening: {1000 * found['open']['wall_s']:.0f} ms; on disk {found['disk_mb']:,} MB.\n\n"
            "| what | mean | median | 5 % | 95 % |\n|---|---|---|---|---|\n"
        )
        for name, one in found["cpu_ms"].items():
            text += f"| {name} | {one['mean']:.2f} | {one['median']:.2f} | {one['p5']:.2f} | {one['p95']:.2f} |\n"
        kept = [
            f"{_share(share)} {value['recall@100']:.3f}" for share, value in found["recall of the dense leg"].items()
        ]
        ratios = ", ".join(f"{name} {ratio:g}" for name, ratio in found["ratios"].items())
        built = ", ".join(f"{name} {seconds:g}" for name, seconds in found["build_cpu_s"].items())
        text += (
            f"\nTimes ours: {ratios}. The static encoder takes {found['static encoder cpu_ms']:g} ms a query. Built in CPU-seconds: "
            f"{built}. Recall@100 of exact search, dense leg: {', '.join(kept)}.\n"
        )
    return text


def _share(name: str) -> str:
    """How a part of the items is called: "all", a filter's share, or a rival."""
    if name == "all":
        return "all items"
    return f"{float(name):.0%} of items" if name[0] == "0" else name


def _recall() -> str:
    if (found := result("ann_recall")) is None:
        return ""
    text = ""
    for kind, title in (("real", "Home Depot's vectors under the trained encoder"), ("generated", "generated vectors")):
        one = found[kind]
        text += (
            f"\n## Dimensions and precision: {title}\n\n`{found['command']}`, {one['items']:,} items, recall of exact search at full "
            "width; fewer dimensions are the first principal directions of the items. Candidates from the codes (their bytes "
            "are those given) are scored again on mapped vectors of these dimensions.\n\n| dimensions | precision | bytes an item | recall@10 | recall@100 | CPU ms a query |\n"
            "|---|---|---|---|---|---|\n"
        )
        for row in one["rows"]:
            text += (
                f"| {row['dimensions']} | {row['precision']} | {row['bytes']:,} | {row['recall@10']:.3f} | "
                f"{row['recall@100']:.3f} | {row['cpu_ms']:.2f} |\n"
            )
    return text


def _serving() -> str:
    text = ""
    if found := result("http_overhead"):
        rows = found["CPU microseconds a request"]
        text += (
            f"\n## Serving\n\n`{found['command']}`: CPU-microseconds of the server a request, {found['items']:,} items.\n\n"
            "| request | median | quietest |\n|---|---|---|\n"
        )
        text += "".join(f"| {name} | {one['median']:.0f} | {one['quiet']:.0f} |\n" for name, one in rows.items())
    if found := result("page_latency"):
        first = found["ms from key press to paint"]["first"]
        cells = [
            f"{name}: median {one['p50']:.0f}, 95 % {one['p95']:.0f}, within 100 ms {one['within 100 ms']:.1%}"
            for name, one in ((name, first[name]) for name in ("by the clock", "of CPU"))
        ]
        text += (
            f"\n`{found['command']}`: milliseconds from a key press on the page to its results, {first['key presses']} letters "
            f"({found['browser']}). {'; '.join(cells)}.\n"
        )
    if found := result("serve_load"):
        spent = ", ".join(f"{name} {value:g} ms" for name, value in found["search ms"].items())
        text += (
            f"\n`{found['command']}`: {found['minutes']:g} minutes of searches, upserts, hot swaps, rubbish and killed workers: "
            f"{found['counts']['searches']:,} searches, {found['counts']['kills']} kills, {len(found['wrong'])} wrong answers, "
            f"{len(found['lost'])} lost changes; {spent}; memory {found['memory growth']:+.1%} from a quarter of the time to its end.\n"
        )
    return text


def _gain(found: dict[str, float]) -> str:
    return f"{found['delta']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"
