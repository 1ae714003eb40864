"""The tables of semantic and virtual negatives in search: Stage 1's unrelated items, Stage 2's virtual columns."""

from typing import Any

from common import result

SHOWN = {"ndcg@10": "NDCG@10", "recall@100": "recall@100", "auc_2_0": "AUC 2 v 0"}
STAGES = {
    "stage 1": "Stage 1, graded SupCon: whose items join an instance as grade 0. *Tiers*: 4 easy and 4 hard items drawn for each query, "
    "met by all queries of the batch (*alone*: by that query only), the positives' own leaves masked.",
    "stage 2": "Stage 2 on mined judgements: 8 virtual negatives a query as more columns of grade 0, from its 8 nearest negatives.",
}


def semantic() -> str:
    if (found := result("semantic_search")) is None:
        return ""
    cells = " × ".join(str(one) for one in found["codes"])
    text = (
        f"\n## Semantic and virtual negatives: Home Depot\n\n`{found['command']}`; static encoder, human grades of test queries never seen in "
        f"training, the whole catalogue; codes {cells} of the untouched encoder's item vectors. Brackets: 95 %, bootstrap over queries, seeds "
        "of a query together. Learning rates (×, of Stage 1's) chosen on the first seed's validation.\n"
    )
    for stage, what in STAGES.items():
        if arms := found.get(stage):
            text += f"\n**{what}**\n\n{_head()}" + "".join(_rows(name, arm) for name, arm in arms.items())
    return text + _neighbours(found["same query's items"])


def _head() -> str:
    columns = ["arm (seeds)", "×", *SHOWN.values(), "over", *(f"{name} gained" for name in SHOWN.values())]
    return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n"


def _rows(name: str, arm: dict[str, Any]) -> str:
    """A row with the arm's means and its gains over each arm it answers to."""
    label = f"{name} ({len(arm['seeds'])})"
    head = [label, f"{arm['first seed']['factor']:g}", *(f"{arm['mean'][one]:.4f}" for one in SHOWN)]
    text = ""
    for base, gains in (arm["against"] or {"": None}).items():
        cells = [f"{_gain(gains[one])}" if gains else "" for one in SHOWN]
        text += f"| {' | '.join([*head, base, *cells])} |\n"
        head = [""] * len(head)
    return text


def _neighbours(seeds: dict[str, Any]) -> str:
    grades = list(next(iter(seeds.values())))
    text = (
        "\nWhere the other judged items of a query lie, seen from its items of grade 2 (training judgements, mean of the seeds; "
        "*random*: any two items):\n\n| other item | in the same leaf | in the same primary cell, another leaf |\n|---|---|---|\n"
    )
    for grade in grades:
        shares = [sum(seed[grade][place] for seed in seeds.values()) / len(seeds) for place in ("leaf", "cell")]
        text += f"| {grade} | {shares[0]:.2%} | {shares[1]:.2%} |\n"
    return text


def _gain(found: dict[str, float]) -> str:
    return f"{found['delta']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"
