"""The tables of mine and refine: every arm of a study in every arena, against "train on"."""

from typing import Any

from common import result

STUDIES = {
    "home_depot_minilm": "Home Depot, MiniLM wholly fine-tuned",
    "home_depot_e5": "Home Depot, multilingual-e5-small wholly fine-tuned",
    "home_depot_static": "Home Depot, static encoder",
    "esci_static": "ESCI, static encoder, five folds",
    "shop": "the generated shop (simulated), static encoder",
}
ARENAS = {
    "human": "human grades, test queries never seen in training, the whole catalogue",
    "pool": "a pool graded by the grader that also labelled the training (the paper's protocol)",
    "truth": "the shop's complete truth, the whole catalogue",
}

BUDGETS = {"home_depot_static": "Home Depot", "shop": "the generated shop (simulated)"}
SCALED = "cpu seconds of encoding all texts, scaled"


def refine() -> str:
    text = ""
    for study, title in STUDIES.items():
        if (found := result(f"mine_and_refine_{study}")) is None:
            continue
        text += f"\n## Mine and refine: {title}\n\n`{found['command']}` after `run.py {study}`. {_mining(found)}\n"
        for arena, where in ARENAS.items():
            if rows := found["arenas"].get(arena):
                text += _table(where, rows)
    return text + _budgets() + _round()


def _budgets() -> str:
    text = ""
    for study, title in BUDGETS.items():
        if (found := result(f"verdict_budget_{study}")) is None:
            continue
        lines = [
            f"\n## Verdicts bought: {title}\n",
            f"`{found['command']}`: rounds that may buy so many verdicts, in that order; what the rule keeps is trained on beside all "
            f"originals ({found['loss']}, {found['steps']} steps). Gains over as many steps on the originals alone, human grades; "
            "brackets: 95 %, bootstrap over queries.\n",
            "| order and verdicts | seeds | NDCG@10 gained | recall@100 gained | AUC 2 v 0 | AUC 2 v 1 |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_bought(name, one) for name, one in found["curves"].items()]
        if judges := found.get("judges"):
            lines += [_bought(f"judge: {name}", one) for name, one in judges.items()]
        text += "\n".join(lines) + "\n"
    return text


def _bought(name: str, one: dict[str, Any]) -> str:
    human = one["human"]
    cells = [_gain(human[key]) for key in ("ndcg@10", "recall@100")]
    cells += [
        f"{human[key]['delta']:+.4f}" if human[key]["delta"] is not None else "-" for key in ("auc_2_0", "auc_2_1")
    ]
    return f"| {name} | {len(one['seeds'])} | " + " | ".join(cells) + " |"


def _round() -> str:
    if (found := result("round_speed")) is None:
        return ""
    lines = [
        "\n## A round of mining\n",
        f"`{found['command']}`: {found['static']['queries']:,} queries over {found['static']['items']:,} items of Home Depot, "
        "CPU-seconds of one thread; both sides name the same neighbours as exact search.\n",
        "| encoder | ours, vectors kept | 1 % of the items new | `mine_hard_negatives` | times |",
        "|---|---|---|---|---|",
    ]
    for encoder in ("static", "minilm"):
        spent, times = found[encoder]["cpu seconds"], found[encoder]["times"]["ours, vectors kept"]
        rival = spent.get("mine_hard_negatives")
        scaled = spent["mine_hard_negatives, vectors given"][0] + found[encoder].get(SCALED, 0)
        lines.append(
            f"| {encoder} | {spent['ours, vectors kept'][0]:.1f} | {spent['ours, 1 % of the items new'][0]:.1f} | "
            f"{rival[0] if rival else scaled:.1f} | {times['mine_hard_negatives']:g} |"
        )
    return "\n".join(lines) + "\n"


def _mining(found: dict[str, Any]) -> str:
    rounds = list(found["mined"].values())
    if not rounds:
        return ""
    rates = ", ".join(f"{one['false_negative_rate']:.1%}" for one in rounds)
    bought = ", ".join(f"{one['bought']:,}" for one in rounds)
    kept = ", ".join(f"{one['mined'][0]:,} + {one['mined'][1] + one['mined'][2]:,}" for one in rounds)
    return (
        f"Seeds {', '.join(seed.removeprefix('seed_') for seed in found['mined'])}: verdicts bought {bought}; neighbours that a "
        f"naive miner would wrongly take for negatives {rates}; hard negatives + positives kept {kept}. Learning-rate "
        "factors chosen on validation, one seed: "
        + ", ".join(f"{loss} {one['factor']:g}" for loss, one in found["tuned"].items())
        + "."
    )


def _table(where: str, rows: dict[str, Any]) -> str:
    lines = [
        f"\n**{where[0].upper()}{where[1:]}.** Brackets: 95 %, bootstrap over queries; where the seeds share their queries, of a query's mean.\n",
        "| arm | NDCG@10 | recall@100 | AUC 2 v 0 | AUC 2 v 1 | NDCG@10 over *train on* | AUC 2 v 0 over | AUC 2 v 1 over |",
        "|---|---|---|---|---|---|---|---|",
    ]
    first = [name for name in ("untouched", "stage 1", "train on") if name in rows]
    rest = sorted((name for name in rows if name not in first), key=lambda name: -rows[name]["mean"]["ndcg@10"])
    for name in (*first, *rest):
        mean, over = rows[name]["mean"], rows[name].get("against train on")
        cells = [f"{mean[key]:.4f}" if mean[key] is not None else "-" for key in COLUMNS]
        gains = [_gain(over[key]) if over else "" for key in ("ndcg@10", "auc_2_0", "auc_2_1")]
        lines.append(f"| {name} ({len(rows[name]['seeds'])}) | " + " | ".join([*cells, *gains]) + " |")
    return "\n".join(lines) + "\n"


COLUMNS = ("ndcg@10", "recall@100", "auc_2_0", "auc_2_1")


def _gain(found: dict[str, Any]) -> str:
    return f"{found['delta']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"
