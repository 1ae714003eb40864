"""The tables of what Stage 1 trains on and with: towers and taxonomy, synthetic queries, misspelt queries; and of miners."""

from typing import Any

from common import result

RANKED = {"ndcg@10": "NDCG@10", "recall@100": "recall@100"}


def stage_1() -> str:
    return _towers() + _synthetic() + _spelling() + _miners()


def _towers() -> str:
    text = ""
    for data, title in (("shop", "the generated shop (simulated)"), ("home_depot", "Home Depot")):
        if (found := result(f"mine_and_refine_towers_{data}")) is None:
            continue
        base = "tied, 2 levels, Stage 1" if data == "shop" else "tied, Stage 1"
        text += (
            f"\n## Towers and taxonomy: {title}\n\n`{found['command']}`; {_seeds(found)}, static encoder, human-like labels of the test "
            f"queries, whole catalogue; gains over *{base}*. The circle loss trains on the same judgements after Stage 1.\n\n"
            f"{_head('towers, taxonomy levels, loss')}"
        )
        for name, arm in found["arms"].items():
            text += _row(name, arm[f"against {base}"]["test"])
    return text


def _synthetic() -> str:
    text = ""
    for data, title in (("shop", "the generated shop (simulated)"), ("home_depot", "Home Depot")):
        if (found := result(f"mine_and_refine_synthetic_{data}")) is None:
            continue
        text += (
            f"\n## Synthetic queries: {title}\n\n`{found['command']}`; {_seeds(found)}, static encoder; gains over training without. "
            "Margin: mean cosine of grade 2 less that of grade 0, over judged test pairs with at least 70 % token overlap.\n\n"
            "| arm | NDCG@10 | recall@100 | NDCG@10 gained | recall@100 gained | margin gained |\n|---|---|---|---|---|---|\n"
        )
        for name, arm in found["arms"].items():
            test = arm["against none"]["test"]
            text += _row(name, test, _gain(test["margin_2_0"]) if "margin_2_0" in test else "")
    return text


def _spelling() -> str:
    if (found := result("mine_and_refine_spelling")) is None:
        return ""
    text = (
        f"\n## Misspelt queries: Home Depot\n\n`{found['command']}`; {_seeds(found)}, static encoder, equal steps; gains over *none* on all "
        "test queries. *Loss*: what an arm loses from the correct to the misspelt text of a query, as a share of what *none* loses "
        "(the aim was half): on the queries that Home Depot records as misspelt, and on others made misspelt. Chosen on validation: "
        f"*{found['chosen on validation']}*.\n\n"
        "| arm | NDCG@10 | recall@100 | NDCG@10 gained | loss of NDCG@10, recorded | of recall@100 | of NDCG@10, noised | of recall@100 |\n"
        "|---|---|---|---|---|---|---|---|\n"
    )
    for name, arm in found["arms"].items():
        test, loss = arm["test"]["all queries"], arm["test"]["loss"]
        cells = [f"{test[metric]['mean']:.4f}" for metric in RANKED] + [_gain(test["ndcg@10"])]
        for kind in ("recorded", "noised"):
            for metric in RANKED:
                one = loss[kind][metric]
                cells.append(f"{one['ratio']:.2f} [{one['low']:.2f}, {one['high']:.2f}]")
        text += f"| {name} | " + " | ".join(cells) + " |\n"
    return text


def _miners() -> str:
    text = ""
    for study, title in (("shop", "the generated shop (simulated)"), ("home_depot_static", "Home Depot")):
        if (found := result(f"miners_{study}")) is None:
            continue
        judge = "the shop's truth" if study == "shop" else "the grader"
        text += (
            f"\n## Miners: {title}\n\n`{found['command']}`: {found['negatives']} negatives a query under Stage 1 of the static encoder; "
            f"false negatives: of grade 1 or 2 by {judge}. "
            f"Trained on as grade 0 beside all originals, {found['steps']} steps: NDCG@10 gained over the originals alone, "
            "human grades, 95 % bootstrap over queries.\n\n"
            "| miner | mined | false negatives | of grade 2 | mean cosine | CPU seconds | SupCon | MNRL |\n"
            "|---|---|---|---|---|---|---|---|\n"
        )
        boards = {name: list(seeds.values()) for name, seeds in found["boards"].items()}
        for name, rows in sorted(boards.items(), key=lambda pair: _mean(pair[1], "false_negatives")):
            text += (
                f"| {name} | {_mean(rows, 'mined'):,.0f} | {_mean(rows, 'false_negatives'):.1%} | "
                f"{_mean(rows, 'false_negatives_2'):.1%} | {_mean(rows, 'hardness'):.3f} | {_mean(rows, 'seconds'):.2f} | "
                f"{_trained(found, name, 'supcon')} | {_trained(found, name, 'mnrl')} |\n"
            )
        more = [name for name in found["gains"]["supcon"] if name.startswith("re-graded") and name not in boards]
        for name in more:
            text += f"| {name} | | | | | | {_trained(found, name, 'supcon')} | {_trained(found, name, 'mnrl')} |\n"
    return text


def _trained(found: dict[str, Any], name: str, loss: str) -> str:
    gains = found["gains"].get(loss, {})
    return _gain(gains[name]["human"]["ndcg@10"]) if name in gains else ""


def _mean(rows: list[dict[str, Any]], key: str) -> float:
    return sum(float(row[key] or 0) for row in rows) / len(rows)


def _seeds(found: dict[str, Any]) -> str:
    return f"seeds {', '.join(str(seed) for seed in found['seeds'])}"


def _head(first: str) -> str:
    names = list(RANKED.values())
    columns = [first, *names, *(f"{name} gained" for name in names)]
    return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n"


def _row(name: str, test: dict[str, Any], *more: str) -> str:
    cells = [f"{test[metric]['mean']:.4f}" for metric in RANKED] + [_gain(test[metric]) for metric in RANKED]
    return f"| {name} | " + " | ".join([*cells, *more]) + " |\n"


def _gain(found: dict[str, float]) -> str:
    return f"{found['delta']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"
