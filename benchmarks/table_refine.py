"""The tables of mine and refine: every arm of a study in every arena, against "train on"."""

from typing import Any

from common import result

#: title, and what `run.py` was told
STUDIES = {
    "home_depot_minilm": (
        "Home Depot, MiniLM wholly fine-tuned",
        "default seeds=0 factors=0.3 fit.precision=bf16",
    ),
    "home_depot_e5": (
        "Home Depot, multilingual-e5-small wholly fine-tuned",
        "default seeds=0 factors=0.3 fit.precision=bf16 fit.epochs=1",
    ),
    "home_depot_static": ("Home Depot, static encoder", "every"),
    "esci_static": ("ESCI, static encoder, five folds", "headline` and `gammas seeds=0"),
    "shop": ("the generated shop (simulated), static encoder", "every"),
}
ARENAS = {
    "human": "human grades, test queries never seen in training, the whole catalogue",
    "pool": "a pool graded by the grader that also labelled the training (the paper's protocol)",
    "truth": "the shop's complete truth, the whole catalogue",
}

BUDGETS = {"home_depot_static": "Home Depot", "shop": "the generated shop (simulated)"}
LIFTED = ("stage 1", "train on", "mixed, circle, gamma 32", "mixed, circle, gamma 16", "circle, gamma 8")
SIBLINGS = ("gamma 32", "gamma 16", "gamma 8")
SEPARATED = (
    "untouched", "stage 1", "train on", "random verdicts, circle, gamma 32", "mixed, circle, gamma 32",
    "mixed, circle, gamma 16", "circle, gamma 32", "circle, gamma 8", "mixed, supcon", "mined, supcon", "mined, triplet",
    "mined, lambda", "mined, cosent", "mined, mnrl", "mined, roar", "mined, gcl", "mined, graded_circle",
)  # fmt: skip
SCALED = "cpu seconds of encoding all texts, scaled"


def refine() -> str:
    text = ""
    for study, (title, told) in STUDIES.items():
        if (found := result(f"mine_and_refine_{study}")) is None:
            continue
        text += (
            f"\n## Mine and refine: {title}\n\n`{found['command']}` after `run.py {study} {told}`. {_mining(found)}\n"
        )
        for arena, where in ARENAS.items():
            if rows := found["arenas"].get(arena):
                text += _table(where, rows)
        text += _lifts(found["arenas"]) + _mining_alone(found["arenas"]) + _separation(study)
    return text + _rounds() + _budgets() + _round()


def _lifts(arenas: dict[str, Any]) -> str:
    lines = [
        "\n**Over the untouched encoder.** Relative; brackets: 95 %, bootstrap over queries.\n",
        "| arena | arm | NDCG@10 | NDCG@100 | recall@100 |\n|---|---|---|---|---|",
    ]
    for arena in ARENAS:
        for name in LIFTED:
            if over := arenas.get(arena, {}).get(name, {}).get("against untouched"):
                cells = [
                    f"{one['relative']:+.1%} [{one['relative_low']:+.1%}, {one['relative_high']:+.1%}]"
                    for one in (over[key] for key in ("ndcg@10", "ndcg@100", "recall@100"))
                ]
                lines.append(f"| {arena} | {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n" if len(lines) > 2 else ""


def _mining_alone(arenas: dict[str, Any]) -> str:
    lines = [
        "\n**What the mined pairs add to the loss.** The same loss for as many steps on the original judgements, or with as many verdicts on "
        "random pairs; brackets as above.\n",
        "| arena | arm | over | NDCG@10 | AUC 2 v 0 | AUC 2 v 1 |\n|---|---|---|---|---|---|",
    ]
    for arena in ARENAS:
        for name, row in arenas.get(arena, {}).items():
            for base in ("original", "random verdicts"):
                for key, over in row.items():
                    if key.startswith(f"against {base}") and name.rpartition(", ")[2] in SIBLINGS:
                        cells = [_gain(over[figure]) for figure in ("ndcg@10", "auc_2_0", "auc_2_1")]
                        lines.append(f"| {arena} | {name} ({over['seeds']}) | {base} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n" if len(lines) > 2 else ""


def _separation(study: str) -> str:
    if (found := result(f"separation_{study}")) is None:
        return ""
    lines = [
        f"\n**One threshold a boundary.** `{found['command']}`: chosen on validation for a precision {found['way']:.0%} of the way from "
        "chance to 1; human-judged pairs, mean over seeds. *Off*: the largest difference between test and validation of any seed. Head and "
        "tail are halves of the test queries (by traffic where it is known, else short and long ones). *Adapter*: the same on a rising "
        "function of cosine that the query's length and rarity move. Bands: share of the pairs of grade 0 at 0.25 or less, of 1 in 0.4 to 0.6, of 2 at 0.75 or more.\n",
        "| arm | bands 0, 1, 2 | by | grade 1: validation | test | head | tail | off | grade 2: validation | test | head | tail | off |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in SEPARATED:
        if one := found["arms"].get(name):
            bands = ", ".join(f"{one[f'band_{grade}']:.0%}" for grade in (0, 1, 2))
            for by, scale in (("cosine", ""), ("adapter", "adapter ")):
                cells = []
                for grade in (1, 2):
                    told = one[f"boundary {grade}"]
                    cells += [f"{told[f'{scale}{part}']:.3f}" for part in ("validation", "test", "head", "tail")]
                    off = told["test - validation by seed"]
                    cells.append("" if scale else f"{max(off, key=abs):+.3f}")
                lines.append(f"| {name} | {bands} | {by} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _rounds() -> str:
    text = ""
    for study, title in BUDGETS.items():
        if (found := result(f"rounds_{study}")) is None:
            continue
        arena = "truth" if study == "shop" else "human"
        lines = [
            f"\n## Verdicts in rounds: {title}\n",
            f"`{found['command']}`: {found['verdicts']:,} verdicts before the first of three trainings of {found['steps']} steps, a third "
            f"before each, or none. Gains over *train on* after as many trainings, {ARENAS[arena]}; brackets: 95 %, bootstrap over "
            "queries.\n",
            "| arm | seeds | NDCG@10 gained | recall@100 gained | AUC 2 v 0 | AUC 2 v 1 |\n|---|---|---|---|---|---|",
        ]
        lines += [_bought(name, one, arena) for name, one in found["arms"].items() if not name.startswith("train on")]
        text += "\n".join(lines) + "\n"
    return text


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


def _bought(name: str, one: dict[str, Any], arena: str = "human") -> str:
    human = one[arena]
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
