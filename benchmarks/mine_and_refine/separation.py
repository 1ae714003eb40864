"""Whether one threshold a boundary holds: chosen on validation, its precision on test, on its head and on its tail.

    MOTHERLODE_DATA=... python benchmarks/mine_and_refine/separation.py STUDY

Of every arm that `run.py STUDY` has measured, judged pairs alone. The precision asked for lies WAY of the way from the
share of such pairs among all of validation's to 1. Head and tail are the halves of the test queries: by how often they
were asked where the data says so, else by their number of words.
"""

import sys
from typing import Any

import numpy as np
from arenas import Measured
from material import FOLDER
from run import STUDIES
from summary import gather

from common import write
from motherlode.evaluation.separation import auc
from motherlode.stages.retrieve import Part
from motherlode.stages.run import run
from motherlode.stages.shop_texts import ShopTexts
from motherlode.thresholds.boundary import measured, tuned

WAY = 0.4


def head(study: str, seed: int) -> np.ndarray:
    """bool [Q] over the test queries of a seed."""
    chosen = STUDIES[study].recipe(seed)
    shop = ShopTexts(run(chosen, STUDIES[study].folder(seed) / "stage_1", ("split",)), chosen)
    rows = Part(shop, "test", 100).rows
    asked = shop.tables.frame("queries")["frequency"][rows]
    if asked.null_count() == len(asked):
        few = -shop.queries["text"][rows].str.split(" ").list.len().to_numpy().astype(float)
    else:
        few = asked.fill_null(0).to_numpy().astype(float)
    found = np.zeros(len(few), bool)
    found[np.argsort(-few, kind="stable")[: len(few) // 2]] = True
    return found


def held(validation: Measured, test: Measured, is_head: np.ndarray, grade: int) -> dict[str, Any]:
    """Precision of one boundary's threshold wherever it is looked at, beside the share of such pairs there."""
    chance = float((validation.grades >= grade).mean())
    boundary = tuned(grade, chance + WAY * (1 - chance), validation.scores, validation.grades)
    found: dict[str, Any] = {"threshold": boundary.threshold, "validation": boundary.precision}
    inside = is_head[test.queries]
    for name, of in (("test", slice(None)), ("head", inside), ("tail", ~inside)):
        one = measured(grade, boundary.threshold, "", test.scores[of], test.grades[of])
        found |= {
            name: one.precision,
            f"{name} recall": one.recall,
            f"{name} share": float(np.mean(test.grades[of] >= grade)),
        }
    return found


def summary(study: str) -> dict[str, Any]:
    arenas = gather(study)
    seeds = sorted(arenas["human"]["train on"])
    heads = {seed: head(study, seed) for seed in seeds}
    found = {}
    for name, tests in arenas["human"].items():
        validations = arenas["validation"][name]
        if set(tests) != set(seeds) or set(validations) != set(seeds):
            continue
        of = [tests[seed] for seed in seeds]
        rows: dict[str, Any] = {
            f"auc_2_{low}": float(
                np.mean([auc(one.scores[one.grades == 2], one.scores[one.grades == low]) or np.nan for one in of])
            )
            for low in (0, 1)
        }
        facts = [one.facts() for one in of]
        rows |= {f"band_{grade}": float(np.mean([one[f"band_{grade}"] for one in facts])) for grade in (0, 1, 2)}
        for grade in (1, 2):
            each = [held(validations[seed], tests[seed], heads[seed], grade) for seed in seeds]
            mean = {key: float(np.mean([one[key] for one in each])) for key in each[0]}
            off = [one["test"] - one["validation"] for one in each]
            rows[f"boundary {grade}"] = mean | {"test - validation by seed": off}
        found[name] = _rounded(rows)
    return {"study": study, "seeds": seeds, "way": WAY, "arms": found}


def _rounded(found: Any) -> Any:
    if isinstance(found, dict):
        return {key: _rounded(value) for key, value in found.items()}
    return [_rounded(one) for one in found] if isinstance(found, list) else round(found, 4)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not (FOLDER / sys.argv[1]).exists():
        sys.exit(__doc__)
    write(f"separation_{sys.argv[1]}", summary(sys.argv[1]))
