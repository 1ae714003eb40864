"""The tables of the learned sparse leg: the parts of PROSPER one after another, and a third leg beside two."""

from typing import Any

from common import result

SETS = {"home_depot": "Home Depot, unseen test queries", "shop": "generated shop"}
METRICS = {"ndcg@10": "NDCG@10", "recall@100": "recall@100"}
FACTS = {"query_terms": "terms a query", "item_terms": "terms an item", "postings_a_query": "postings a query"}


def sparse() -> str:
    """Markdown of whatever has been measured."""
    return "".join(_ablation(name) + _blend(name) + _served(name) for name in SETS)


def _ablation(name: str) -> str:
    if (found := result(f"sparse_{name}_ablation")) is None:
        return ""
    setting = found["setting"]
    text = (
        f"\n## Learned sparse leg: {SETS[name]}\n\n`{found['command']}`; {found['items']:,} items, {found['queries']:,} queries, "
        f"{found['terms']:,} terms, {setting['base']}, {setting['steps']} steps of {setting['groups']} groups, one seed. Each arm adds one "
        "part to the one above; brackets: what it gains on that one, 95 % paired bootstrap. Gains 1 / 0.5 / 0.\n\n"
        f"| arm | {' | '.join(METRICS.values())} | NDCG@10 gained | recall@100 gained | {' | '.join(FACTS.values())} |\n"
        f"|{'---|' * (1 + 2 * len(METRICS) + len(FACTS))}\n"
    )
    over = {pair.split(" vs ")[0]: gains for pair, gains in reversed(found["against"].items())}
    for system, one in found["systems"].items():
        gains = [_gain(over[system][metric]) if system in over else "" for metric in METRICS]
        facts = [f"{one[fact]:,}" if fact in one else "" for fact in FACTS]
        text += f"| {system} | " + " | ".join([*(f"{one[metric]:.4f}" for metric in METRICS), *gains, *facts]) + " |\n"
    return text


def _blend(name: str) -> str:
    if (found := result(f"sparse_{name}_blend")) is None:
        return ""
    text = (
        f"\n## A third leg: {SETS[name]}\n\n`{found['command']}`; {found['items']:,} items, {found['queries']:,} queries, the sparse "
        "encoder with all parts; blends fitted on validation queries, paired 95 % intervals.\n\n"
        f"| system | {' | '.join(METRICS.values())} |\n|---|---|---|\n"
    )
    for system, one in found["systems"].items():
        text += f"| {system} | " + " | ".join(f"{one[metric]:.4f}" for metric in METRICS) + " |\n"
    text += "\n| gained | " + " | ".join(METRICS.values()) + " |\n|---|---|---|\n"
    for pair, gains in found["against"].items():
        text += f"| {pair} | " + " | ".join(_gain(gains[metric]) for metric in METRICS) + " |\n"
    shares = ", ".join(f"{leg} {share:.1%}" for leg, share in found.get("found by one leg alone", {}).items())
    return text + (f"\nOf the relevant items that any leg found, one alone found: {shares}.\n" if shares else "")


def _served(name: str) -> str:
    if (found := result(f"sparse_{name}_served")) is None:
        return ""
    text = (
        f"\n## A query's strongest terms: {SETS[name]}\n\n`{found['command']}`; the sparse leg alone, and fused by rank (constant 60) with the "
        "other two legs; brackets: what that gains on these two.\n\n"
        "| terms kept | postings a query | CPU ms a query | alone, NDCG@10 | fused, NDCG@10 | fused, recall@100 | NDCG@10 gained |\n"
        f"|{'---|' * 7}\n"
    )
    for kept, one in found["systems"].items():
        if "cpu_ms_a_query" in one:
            fused, gain = found["systems"][f"{kept}, fused"], found["against"][f"{kept}, fused vs two legs"]["ndcg@10"]
            text += (
                f"| {kept.removesuffix(' terms')} | {one['postings_a_query']:,} | {one['cpu_ms_a_query']:.2f} | {one['ndcg@10']:.4f} | "
                f"{fused['ndcg@10']:.4f} | {fused['recall@100']:.4f} | {_gain(gain)} |\n"
            )
    return text


def _gain(found: dict[str, Any]) -> str:
    return f"{found['delta']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"
