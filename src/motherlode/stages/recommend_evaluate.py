"""Stage `recommend_evaluate`: the two-tower over the whole catalogue, beside popularity, item-kNN, ALS and RG2."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from motherlode.atomic import replacing, write_json
from motherlode.recipe import Recipe
from motherlode.workspace import Stage, Workspace

if TYPE_CHECKING:
    from motherlode.recommend.evaluate import Scorer, UserMetrics
    from motherlode.recommend.holdout import Holdout

TRAINED = "two-tower"
BASELINES = {"popularity": "popularity", "item_knn": "item-kNN", "als": "ALS", "rg2": "RG2"}
HEADLINE = ("recall@50", "recall@200", "ndcg@50")
FOLDER = "recommend_evaluate"
EXAMPLES, SHOWN, TOLD = 5, 10, 12  # users won and lost; results of each; latest events of a history


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    from motherlode.recommend.evaluate import evaluate, model_scorer
    from motherlode.recommend.holdout import popularity_slices
    from motherlode.recommend.towers import UserItemTwoTower
    from motherlode.stages.recommend import BEST
    from motherlode.stages.sequences import load_split
    from motherlode.tables.tables import Tables

    split, tables = load_split(workspace), Tables(workspace / "tables")
    slices = popularity_slices(split.frequencies)
    model = UserItemTwoTower.load(workspace / BEST)
    scorers: dict[str, Scorer] = {TRAINED: model_scorer(model, split.test)}
    chosen, left_out = baselines_of(recipe)
    for name in chosen:
        scorers[BASELINES[name]] = _baseline(name, split.train, split.test, recipe.seed)
    found = {name: evaluate(split.test, scorer, slices=slices) for name, scorer in scorers.items()}
    baselines = [name for name in found if name != TRAINED]
    best = max(baselines, key=lambda name: found[name].means[HEADLINE[0]] or 0.0) if baselines else None
    systems, against = intervals(found, recipe)
    summary = {
        "part": "test",
        "users": len(split.test),
        "items": split.train.n_items,
        "cold items": int(split.cold.sum()),
        "targets": {name: int(mask[split.test.targets.items].sum()) for name, mask in slices.items()},
        "split": recipe.sequences.split,
        "simulated": bool(tables.source.get("simulated", False)),
        "resamples": recipe.evaluate.resamples,
        "seed": recipe.seed,
        "systems": systems,
        "against": against,
        "best baseline": best,
        "left out": left_out,
        "weights": workspace.facts("recommend")["weights"],
        "data": workspace.facts("data")["tables"],
    }
    ids = _user_ids(workspace, split.test.users)
    _write_per_user(workspace, ids, found)
    write_json(workspace / FOLDER / "examples.json", _examples(tables, ids, split.test, scorers, found, best))
    write_json(workspace / FOLDER / "metrics.json", summary)
    return {"users": summary["users"], "best baseline": best, **found[TRAINED].means}


def baselines_of(recipe: Recipe) -> tuple[list[str], dict[str, str]]:
    """The baselines to measure, and why others are left out.

    Asked for by name, a baseline that cannot run is an error of its own; by default it is left out and named.
    """
    if recipe.recommend.baselines is not None:
        return list(recipe.recommend.baselines), {}
    missing = find_spec("implicit") is None
    left_out = {BASELINES["als"]: "needs the library implicit"} if missing else {}
    return [name for name in BASELINES if name != "als" or not missing], left_out


def _baseline(name: str, train: Any, holdout: "Holdout", seed: int) -> "Scorer":
    from motherlode.recommend import baselines, least_squares

    if name == "als":
        return baselines.implicit_als(train, holdout, seed=seed)
    if name == "rg2":
        return least_squares.rg2(train.n_items, seed=seed).scorer(train, holdout)
    return baselines.popularity(train, holdout) if name == "popularity" else baselines.item_knn(train, holdout)


def intervals(found: "Mapping[str, UserMetrics]", recipe: Recipe) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every system's means with intervals, and the paired differences of the two-tower to every other one.

    All come from one set of resamples of the users.
    """
    from motherlode.evaluation.bootstrap import paired_bootstrap

    columns = {name: np.stack(list(metrics.per_user.values()), axis=1) for name, metrics in found.items()}
    others = [name for name in columns if name != TRAINED]
    values = [*columns.values(), *(columns[TRAINED] for _ in others)]
    bases = [*(np.zeros_like(column) for column in columns.values()), *(columns[name] for name in others)]
    drawn = paired_bootstrap(
        np.concatenate(values, axis=1),
        np.concatenate(bases, axis=1),
        resamples=recipe.evaluate.resamples,
        seed=recipe.seed,
    )
    metrics = list(found[TRAINED].per_user)
    parts = [
        dict(zip(metrics, drawn[start : start + len(metrics)], strict=True))
        for start in range(0, len(drawn), len(metrics))
    ]
    means = [
        {name: {"mean": one["delta"], **{key: one[key] for key in ("low", "high", "n")}} for name, one in part.items()}
        for part in parts[: len(columns)]
    ]
    return dict(zip(columns, means, strict=True)), dict(zip(others, parts[len(columns) :], strict=True))


def _user_ids(workspace: Workspace, rows: np.ndarray) -> list[str]:
    import polars as pl

    from motherlode.stages.sequences import USERS

    return list(pl.read_parquet(workspace / USERS, columns=["user_id"])["user_id"][rows])


def _write_per_user(workspace: Workspace, ids: list[str], found: "Mapping[str, UserMetrics]") -> None:
    import polars as pl

    frames = [
        pl.DataFrame({"user_id": ids, "system": [name] * len(ids)}).hstack(
            pl.DataFrame(metrics.per_user).fill_nan(None)
        )
        for name, metrics in found.items()
    ]
    with replacing(workspace / FOLDER / "per_user.parquet") as temporary:
        pl.concat(frames).write_parquet(temporary)


def _examples(
    tables: Any,
    ids: list[str],
    holdout: "Holdout",
    scorers: "Mapping[str, Scorer]",
    found: "Mapping[str, UserMetrics]",
    best: str | None,
) -> list[dict[str, Any]]:
    """The users whose NDCG@50 changed most against the best baseline, with what both recommend them."""
    from motherlode.recommend.evaluate import recommend
    from motherlode.recommend.holdout import Holdout, take_users

    values = {name: found[name].per_user["ndcg@50"] for name in (TRAINED, best) if name}
    gain = values[TRAINED] - (values[best] if best else 0.0)
    order = np.argsort(-gain, kind="stable")
    won = [int(row) for row in order[:EXAMPLES] if gain[row] > 0]
    lost = [int(row) for row in order[::-1][:EXAMPLES] if gain[row] < 0]
    titles = tables.frame("catalogue", ["title"])["title"]
    examples = []
    for row in won + lost:
        alone = np.array([row])
        one = Holdout(alone, take_users(holdout.history, alone), take_users(holdout.targets, alone))
        targets = set(one.targets.items.tolist())
        lists = {}
        for name in values:
            top, _ = recommend(one, _only(scorers[name], row), SHOWN)
            lists[name] = [{"title": titles[item], "hit": item in targets} for item in top[0].tolist() if item >= 0]
        examples.append(
            {
                "user": ids[row],
                "gain": float(gain[row]),
                "values": {name: float(column[row]) for name, column in values.items()},
                "history": titles[one.history.items[-TOLD:]].to_list(),
                "events": len(one.history.items),
                "targets": titles[one.targets.items].to_list(),
                "lists": lists,
            }
        )
    return examples


def _only(scorer: "Scorer", row: int) -> "Scorer":
    """The scorer of a holdout that is this one user."""
    return lambda start, end: scorer(row + start, row + end)


def settings(recipe: Recipe) -> dict[str, Any]:
    return {"seed": recipe.seed, "resamples": recipe.evaluate.resamples, "baselines": baselines_of(recipe)[0]}


OUTPUTS = tuple(f"{FOLDER}/{name}" for name in ("metrics.json", "per_user.parquet", "examples.json"))
STAGE = Stage("recommend_evaluate", ("data", "sequences", "recommend"), settings, work, OUTPUTS)
