"""Whether one threshold a boundary holds: chosen on validation, its precision on test, on its head and on its tail.

    MOTHERLODE_DATA=... python benchmarks/mine_and_refine/separation.py STUDY

Of every arm that `run.py STUDY` has measured, judged pairs alone. The precision asked for lies WAY of the way from the
share of such pairs among all of validation's to 1. Head and tail are the halves of the test queries: by how often they
were asked where the data says so, else by their number of words.
"""

import sys
from collections import Counter
from dataclasses import dataclass
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
from motherlode.thresholds.adapter import Adapter
from motherlode.thresholds.boundary import measured, tuned

WAY = 0.4


@dataclass(frozen=True)
class Queries:
    """Features of the queries of both parts, and which of the test's are its head."""

    validation: np.ndarray  # float64 [Q, 2]: words, and how rare they are among the titles
    test: np.ndarray
    head: np.ndarray  # bool [Q of test]

    @classmethod
    def of(cls, study: str, seed: int) -> "Queries":
        chosen = STUDIES[study].recipe(seed)
        shop = ShopTexts(run(chosen, STUDIES[study].folder(seed) / "stage_1", ("split",)), chosen)
        titles = shop.tables.frame("catalogue", ["title"])["title"].str.to_lowercase().to_list()
        held = Counter(word for title in titles for word in set(title.split()))
        found = {}
        for name in ("validation", "test"):
            words = [text.lower().split() for text in Part(shop, name, 100).texts]
            rare = [np.mean([np.log(len(titles) / (1 + held[one])) for one in of or [""]]) for of in words]
            found[name] = np.column_stack([[len(of) for of in words], rare])
        asked = shop.tables.frame("queries")["frequency"][Part(shop, "test", 100).rows]
        often = -found["test"][:, 0] if asked.null_count() else asked.to_numpy().astype(float)
        head = np.zeros(len(often), bool)
        head[np.argsort(-often, kind="stable")[: len(often) // 2]] = True
        return cls(found["validation"], found["test"], head)


def held(validation: Measured, test: Measured, queries: Queries, grade: int) -> dict[str, Any]:
    """Precision of one boundary's threshold wherever it is looked at, beside the share of such pairs there.

    By cosine, and by `Adapter`: a rising function of cosine whose place depends on the query's features.
    """
    chance = float((validation.grades >= grade).mean())
    of = queries.validation[validation.queries], queries.test[test.queries]
    adapter = Adapter.fit(validation.scores, validation.grades, of[0], grade=grade)
    scales = {
        "": (validation.scores, test.scores),
        "adapter ": (adapter(validation.scores, of[0]), adapter(test.scores, of[1])),
    }
    inside, found = queries.head[test.queries], dict[str, Any]()
    for scale, (fitted, asked) in scales.items():
        boundary = tuned(grade, chance + WAY * (1 - chance), fitted, validation.grades)
        found |= {f"{scale}threshold": boundary.threshold, f"{scale}validation": boundary.precision}
        for name, rows in (("test", np.ones(len(inside), bool)), ("head", inside), ("tail", ~inside)):
            one = measured(grade, boundary.threshold, "", asked[rows], test.grades[rows])
            found |= {f"{scale}{name}": one.precision, f"{scale}{name} recall": one.recall}
            found[f"{name} share"] = float(np.mean(test.grades[rows] >= grade))
    return found


def summary(study: str) -> dict[str, Any]:
    arenas = gather(study)
    seeds = sorted(arenas["human"]["train on"])
    queries = {seed: Queries.of(study, seed) for seed in seeds}
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
            each = [held(validations[seed], tests[seed], queries[seed], grade) for seed in seeds]
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
