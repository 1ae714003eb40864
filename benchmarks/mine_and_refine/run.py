"""Mine and refine against its controls and rivals: every arm of a study trained and measured, resumably.

    MOTHERLODE_DATA=... python benchmarks/mine_and_refine/run.py STUDY [seeds=0,1,2] [key=value ...]
        [headline | default | gammas | rivals | ranked | neighbours | every]

STUDY is home_depot_static, home_depot_minilm, home_depot_e5, esci_static or shop; with the data at hand also
wands_static and esci_full_static, which no figure here comes from. Settings (as fit.precision=bf16) go to both stages;
with that one the vectors to measure are bfloat16 too, of every arm alike. Every arm trains from the same Stage 1 for
the same number of steps; of every loss the learning rate is chosen on validation among the same factors, with the
first seed. What is done is not done again. `summary.py STUDY` makes tables.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from arenas import Measured, build_pool, measure
from arms import DEFAULT, EVERY, GAMMAS, HEADLINE, NEIGHBOURS, RANKED, RIVALS, Arm
from material import FOLDER, Material, Study, quick, say, shared
from noisy_truth import NoisyTruth

from motherlode.atomic import fingerprint, read_json, write_json
from motherlode.errors import SettingError
from motherlode.grading.calibrated import Calibrated
from motherlode.grading.calibration import Calibration
from motherlode.grading.cross_encoder import CrossEncoderGrader
from motherlode.grading.grader import Grader
from motherlode.recipe import Encoder, Fit
from motherlode.stages.fit_encoder import Material as Trained
from motherlode.stages.fit_encoder import fit_encoder
from motherlode.stages.graders import grader
from motherlode.stages.run import run
from motherlode.stages.shop_texts import ShopTexts
from motherlode.training.criterion import Criterion

HOME_DEPOT = ("data.source=homedepot", "split.unseen=1", "split.test=0.15", "split.validation=0.07")
ESCI = ("data.source=esci", "split.validation=0.15")
STUDIES = {
    "home_depot_static": Study("home_depot_static", HOME_DEPOT, ("preset=tiny",), steps=160, verdicts=30_000),
    "home_depot_minilm": Study("home_depot_minilm", HOME_DEPOT, ("preset=small",), steps=40, verdicts=30_000),
    # the paper's likely backbone, as a sentence-transformers folder with its two prompts at runs/e5_small
    "home_depot_e5": Study(
        "home_depot_e5",
        HOME_DEPOT,
        ("preset=base", f"encoder.base={FOLDER.parent / 'e5_small'}"),
        steps=20,
        verdicts=30_000,
    ),
    "esci_static": Study("esci_static", ESCI, ("preset=tiny",), steps=40, verdicts=8_000, folds=5),
    "wands_static": Study(
        "wands_static",
        ("data.source=wands", "split.unseen=1", "split.test=0.3", "split.validation=0.15"),
        ("preset=tiny",),
        steps=160,
        verdicts=30_000,
    ),
    "esci_full_static": Study(
        "esci_full_static", ("data.source=esci", "split.unseen=1"), ("preset=tiny",), steps=400, verdicts=200_000
    ),
    "shop": Study("shop", ("data.source=shop", "data.items=8000"), ("preset=tiny",), steps=160, verdicts=20_000),
}
GROUPS = {
    "headline": HEADLINE,
    "default": DEFAULT,
    "gammas": GAMMAS,
    "rivals": RIVALS,
    "ranked": RANKED,
    "neighbours": NEIGHBOURS,
    "every": EVERY,
}
FACTORS = (0.3, 1.0)  # of Stage 1's learning rates: the trials every loss gets
GAMMA = 64.0  # of arms that name no other
ACCURACY = 0.9  # of the generated shop's judge


def tuned(material: Material, arm: Arm, factors: tuple[float, ...]) -> float:
    """The factor that does best on validation (NDCG@10), tried with the first seed."""
    loss = str(arm.fit["loss"])
    path = FOLDER / material.study.name / f"tuned/{loss}.json"
    if path.exists():
        return float(read_json(path)["factor"])
    if len(factors) == 1:
        return factors[0]
    scores = {}
    for factor in factors:
        found = train(material, Arm(f"tune {loss} {factor}", "mined", {"loss": loss}), factor)
        scores[factor] = found["validation"].facts()["ndcg@10"]
    factor = max(scores, key=lambda one: scores[one])
    write_json(path, {"factor": factor, "validation ndcg@10": {str(key): value for key, value in scores.items()}})
    return factor


def train(material: Material, arm: Arm, factor: float) -> dict[str, Measured]:
    """Train one arm and measure it; read back where that has been done."""
    folder = (
        material.folder / "arms" / fingerprint(arm.name, arm.data, arm.fit, arm.start, factor, material.study.steps)
    )
    arenas = ["human", "validation"] + ["pool"] * (material.pool is not None)
    arenas += ["truth"] * (material.shop.tables.folder / "truth").exists()
    if (folder / "arm.json").exists():
        return {name: Measured.load(folder / f"{name}.npz") for name in arenas}
    steps = material.study.steps
    if arm.start == "untouched":
        steps += int(material.workspace.facts("fit")["steps"])
    base = material.stage_1 if arm.start == "stage 1" else material.workspace / "fit/untouched"
    shop, judgements = material.shop, material.judgements(arm.data)
    facts = fit(
        material, base, judgements, {"gamma": GAMMA, **arm.fit}, factor, folder,
        name=arm.name, steps=steps, loss=arm.loss() if arm.loss else None,
    )  # fmt: skip
    with quick(material.study.bf16):
        found = measure(shop, folder / "best", folder / "vectors", material.pool)
    for name, one in found.items():
        one.save(folder / f"{name}.npz")
    lighten(folder)
    report = {name: one.facts() for name, one in found.items()}
    write_json(
        folder / "arm.json",
        {"arm": arm.name, "data": arm.data, "factor": factor, "pairs": len(judgements), "fit": facts, "found": report},
    )
    shown = "  ".join(
        f"{name} {one['ndcg@10']:.4f}/{one['recall@100']:.4f}/{one['auc_2_0']:.4f}" for name, one in report.items()
    )
    say(f"{material.study.name} seed {material.seed} {arm.name} x{factor}: {shown}")
    return found


def fit(
    material: Material,
    base: Path,
    judgements: pl.DataFrame,
    change: dict[str, Any],
    factor: float,
    folder: Path,
    *,
    name: str,
    steps: int,
    loss: Criterion | None = None,
) -> dict[str, Any]:
    """Train `base` on judgements for so many steps, at the study's learning rates times `factor`; the last weights."""
    shop, chosen = material.shop, material.recipe.fit
    settings = {
        **chosen.model_dump(),
        "steps": steps,
        "keep": "last",
        "validations_per_epoch": 1,
        "lr": chosen.lr * factor,
        "head_lr": chosen.head_lr * factor,
        **change,
    }
    return fit_encoder(
        Trained(shop, shop.queries["text"].to_list(), shop.pairs_of(judgements), shop.pairs("validation")),
        Encoder(base=str(base)),
        Fit(**settings),
        folder,
        seed=material.seed,
        key=folder.name,
        provenance={"arm": name},
        loss=loss,
    )


def baselines(material: Material) -> None:
    """Measure the untouched encoder and Stage 1."""
    for name, base in (("untouched", material.workspace / "fit/untouched"), ("stage 1", material.stage_1)):
        folder = material.folder / "arms" / name.replace(" ", "_")
        if (folder / "arm.json").exists():
            continue
        with quick(material.study.bf16):
            found = measure(material.shop, base, material.vectors, material.pool)
        for arena, one in found.items():
            one.save(folder / f"{arena}.npz")
        report = {arena: one.facts() for arena, one in found.items()}
        write_json(folder / "arm.json", {"arm": name, "found": report})
        say(f"{material.study.name} seed {material.seed} {name}: {report}")


def lighten(folder: Path) -> None:
    """Weights, checkpoint and vectors of an arm are large and made again in minutes: only its figures stay."""
    import shutil

    for name in ("best", "vectors", "tensorboard"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "checkpoint.pt").unlink(missing_ok=True)


def grader_of(study: Study, seed: int = 0, fold: int = 0) -> Grader:
    """The cross-encoder of `graders.py` on the same split; ESCI and WANDS: `features`; the shop: a noisy truth."""
    if study.name.startswith("shop"):
        tables = run(study.recipe(seed), study.folder(seed) / "stage_1", ("split",)) / "tables"
        return NoisyTruth(tables, ACCURACY)
    if study.name.startswith(("esci", "wands")):  # ESCI: a hundred training queries a fold make no cross-encoder
        recipe = study.recipe(seed, fold)
        return grader("features", run(recipe, study.folder(seed, fold) / "stage_1", ("split",)), recipe)
    shortlists = f"runs/grader_home_depot_{fingerprint([*HOME_DEPOT, 'grader.precision=bf16'])}/grader/best"
    words = [f"grader.base={shortlists}", "grader.epochs=1", "grader.lr=5e-5", "grader.precision=bf16"]
    folder = FOLDER.parent / f"grader_home_depot_{fingerprint([*HOME_DEPOT, *words])}/grader"
    if not (folder / "calibration.json").exists():
        command = " ".join(["home_depot", shortlists, *words[1:]])
        raise SettingError(f"{folder} is not there: run `graders.py {command}` in benchmarks/ first.")
    return Calibrated(CrossEncoderGrader(folder / "best"), Calibration.load(folder / "calibration.json"))


def remembering(study: Study, seed: int = 0, fold: int = 0) -> Grader:
    """`grader_of` with a memory for all seeds, but for the shop's: each seed is another shop under the same ids."""
    found = grader_of(study, seed, fold)
    if study.name.startswith("home_depot"):
        return shared(found, "home_depot")  # whatever the backbone
    return found if study.name == "shop" else shared(found, study.name)


def main(words: list[str]) -> None:
    name, *rest = [word for word in words if "=" not in word]
    given = dict(word.split("=", 1) for word in words if "=" in word)
    seeds = [int(one) for one in given.pop("seeds", "0,1,2").split(",")]
    factors = tuple(float(one) for one in given.pop("factors", "0.3,1.0").split(","))
    study = STUDIES[name]
    study = Study(**{**vars(study), "fit": (*study.fit, *(f"{key}={value}" for key, value in given.items()))})
    pool = None
    if name.startswith("home_depot"):
        split = run(study.recipe(0), study.folder(0) / "stage_1", ("split",))
        pool = build_pool(ShopTexts(split, study.recipe(0)), split, remembering(study), "home_depot")
    arms = GROUPS[rest[0] if rest else "headline"]
    for seed in seeds:
        for fold in range(study.folds):
            material = Material(study, seed, remembering(study, seed, fold), pool, fold)
            baselines(material)
            for arm in arms:
                train(material, arm, tuned(material, arm, factors))


if __name__ == "__main__":
    np.seterr(invalid="ignore")
    if len(sys.argv) < 2 or sys.argv[1] not in STUDIES:
        sys.exit(__doc__)
    main(sys.argv[1:])
