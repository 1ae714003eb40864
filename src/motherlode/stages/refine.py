"""Stage `refine`: rounds of mine -> assay -> refine until the human grades of validation see no more gain."""

import shutil
import sys
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from motherlode.atomic import fingerprint, replacing_folder, write_json
from motherlode.recipe import Encoder, Recipe
from motherlode.stages.fit_encoder import Material, fit_encoder
from motherlode.stages.shop_texts import ShopTexts
from motherlode.workspace import Stage, Workspace

if TYPE_CHECKING:
    import polars as pl

    from motherlode.mining.ground import Ground
    from motherlode.mining.round import Round

LEDGER = "ledger.sqlite"


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    from motherlode.grading.ledger import Ledger
    from motherlode.grading.pairs import PairTexts
    from motherlode.mining.plan import RoundSettings
    from motherlode.mining.round import mine_round
    from motherlode.mining.selection import Rule
    from motherlode.stages.graders import grader

    shop, chosen = ShopTexts(workspace, recipe), recipe.refine
    rule = Rule(chosen.top_10, chosen.grade_1, chosen.negatives, chosen.positives)
    settings = RoundSettings(chosen.k, rule, chosen.verdicts, chosen.first, recipe.seed)
    key = fingerprint(workspace.inputs(STAGE, recipe))
    best = workspace / "fit/best"
    mined: list[pl.DataFrame] = []
    rounds: list[dict[str, Any]] = []
    with Ledger(workspace / LEDGER) as ledger:
        judge = grader(chosen.grader, workspace, recipe, ledger)
        for number in range(1, chosen.rounds + 1):
            folder = workspace / f"refine/round_{number}"
            found = mine_round(
                ground(workspace, recipe, shop, best),
                PairTexts(shop.tables),
                judge,
                ledger,
                folder,
                settings,
                tuple(mined),
            )
            say_round(number, found)
            mined.append(found.mined)
            facts = train(workspace, recipe, shop, found.judgements, best, folder / "fit", key)
            rounds.append({"round": number, "mined": found.report.to_json(), "fit": facts})
            write_json(workspace / "refine/rounds.json", {"rounds": rounds})
            if facts["best_step"] == 0:
                break  # no weights of this round were better than those it began with
            best = folder / "fit/best"
            if found.report.stopped:
                break  # the grader's budget is spent: a further round could ask for nothing
    with replacing_folder(workspace / "refine/best") as temporary:
        shutil.copytree(best, temporary, dirs_exist_ok=True)
    last = rounds[-1]["fit"]
    return {
        "rounds": len(rounds),
        "kept": best.relative_to(workspace.folder).as_posix(),
        "verdicts": sum(one["mined"]["bought"] for one in rounds),
        "best_score": last["best_score"],
        "weights": last["weights"],
        "judge": rounds[-1]["mined"]["judge"],
    }


def ground(workspace: Workspace, recipe: Recipe, shop: ShopTexts, encoder: Path) -> "Ground":
    """The training queries, and the items they are judged on or the whole catalogue, under this encoder."""
    from motherlode.encoders.encode import encode
    from motherlode.encoders.fingerprint import weights_fingerprint
    from motherlode.encoders.presets import load
    from motherlode.mining.ground import Ground

    chosen, train = recipe.refine, shop.pairs("train")
    model, vectors = load(str(encoder)), workspace / "vectors"
    queries = np.unique(train.queries)
    items = np.arange(len(shop.item_ids)) if chosen.among == "catalogue" else np.unique(train.items)
    item_texts = shop.all_texts() if chosen.among == "catalogue" else shop.texts(items)
    query_texts = shop.queries["text"][queries].to_list()
    legs = {}
    if chosen.verdicts is not None and chosen.first in ("disagreement", "mixed"):
        legs["bm25"] = _lexical(workspace, shop, query_texts, items, chosen.k)
    originals = shop.tables.frame("judgements")
    keys, part = ["query_id", "item_id"], shop.split["part"]
    return Ground(
        query_ids=shop.queries["query_id"][queries],
        item_ids=shop.item_ids[items],
        queries=np.asarray(encode(model, query_texts, "query", vectors, "encoding the training queries")),
        items=encode(model, item_texts, "document", vectors, "encoding the items to mine"),
        weights=weights_fingerprint(model),
        # the split holds the grades that are trained on, one a pair
        originals=shop.split.filter(part == "train").join(
            originals.drop("grade").unique(keys, keep="first"), on=keys, how="left", maintain_order="left"
        ),
        held_out=shop.split.filter(part != "train").select(keys),
        legs=legs,
    )


def train(
    workspace: Workspace,
    recipe: Recipe,
    shop: ShopTexts,
    judgements: "pl.DataFrame",
    base: Path,
    folder: Path,
    key: str,
) -> dict[str, Any]:
    """Stage 2 from the encoder `base` on these judgements; validated on the human grades alone."""
    chosen, start = recipe.refine.fit, recipe.encoder
    texts, pairs = shop.queries["text"].to_list(), shop.pairs_of(judgements)
    if chosen.misspelt:
        texts, pairs = shop.misspelt_variants(texts, pairs, chosen.misspelt, recipe.seed)
    return fit_encoder(
        Material(shop, texts, pairs, shop.pairs("validation")),
        Encoder(base=str(base), untied=start.untied, max_tokens=start.max_tokens),
        chosen,
        folder,
        seed=recipe.seed,
        key=fingerprint(key, blake2b(b"".join(a.tobytes() for a in vars(pairs).values()), digest_size=8).hexdigest()),
        provenance={"base": base.relative_to(workspace.folder).as_posix(), "recipe": recipe.model_dump(mode="json")},
    )


def encoder_of(workspace: Workspace) -> tuple[Path, dict[str, Any]]:
    """The folder of the workspace's last encoder and the facts of its training: refined where it has been."""
    stage = "refine" if workspace.record("refine") else "fit"
    return workspace / f"{stage}/best", workspace.facts(stage)


def say_round(number: int, found: "Round") -> None:
    """Say on stderr what a round found."""
    print(f"round {number}: {found.report}.", file=sys.stderr)


def _lexical(workspace: Workspace, shop: ShopTexts, queries: list[str], items: np.ndarray, k: int) -> np.ndarray:
    """BM25's item places [Q, k] among `items` for every query, -1 padded."""
    from motherlode.stages.retrieve import lexical_index

    place = np.full(len(shop.item_ids), -1, np.int64)
    place[items] = np.arange(len(items))
    found = lexical_index(workspace, shop).search(queries, k).rows
    return np.where(found >= 0, place[found], -1)


def settings(recipe: Recipe) -> dict[str, Any]:
    return {"seed": recipe.seed, "refine": recipe.refine.model_dump(mode="json")}


STAGE = Stage(
    "refine",
    ("data", "split", "fit"),
    settings,
    work,
    ("refine/best", "refine/rounds.json"),
    after=("grader", "light_llm", "features_grader"),
)
