"""Fresh grades against what the thresholds state."""

import numpy as np
import pytest

from motherlode.atomic import read_json, write_json
from motherlode.errors import MissingError
from motherlode.grading.grader import Graded, Judge
from motherlode.grading.ledger import Ledger
from motherlode.grading.rubric import Rubric
from motherlode.recipe import Recipe
from motherlode.serve.grades import Grades
from motherlode.serve.strata import Strata
from motherlode.stages.drift import drift
from motherlode.stages.run import run


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    recipe = Recipe.load(
        overrides=["data.items=400", "fit.epochs=1", "evaluate.resamples=100", "thresholds.precision=0.4"]
    )
    return run(recipe, tmp_path_factory.mktemp("shop") / "w", ("index",))


@pytest.fixture(autouse=True)
def ledger(workspace):
    """A ledger that holds nothing, gone afterwards."""
    path = workspace / "ledger.sqlite"
    yield path
    for file in path.parent.glob("ledger.sqlite*"):
        file.unlink()


def grade(workspace, share, count=40):
    """Grade what is shown at or above the boundary of grade 1: `share` of it as 2, the rest as 0."""
    from motherlode.index.store import Index
    from motherlode.tables.tables import Tables

    known = Tables(workspace / "tables").frame("queries", ["text"])["text"].to_list()
    queries = [*known[:10], f"{known[10]} {known[11]}"]  # the last one is in no table
    index, boundary = Index.open(workspace / "index"), Strata.load(workspace / "index").boundaries[1]
    desk, given = Grades(workspace.folder), []
    rng = np.random.default_rng(0)
    for query in queries:
        for hit in index.search(query, count, "dense"):
            if hit.dense >= boundary.threshold:
                given.append(2 if rng.random() < share else 0)
                desk.record("ann", query, hit.item_id, given[-1])
    desk.close()
    assert len(given) > 30
    return boundary, np.array(given)


def test_without_fresh_grades_there_is_nothing_to_say(workspace, ledger):
    with pytest.raises(MissingError, match="nothing was graded"):
        drift(workspace)
    with Ledger(ledger) as opened:
        judge = Judge("cross-encoder", "1", Rubric.load(None).version)
        opened.record(judge, ["q0"], ["i0"], Graded(np.eye(3)[[2]]), source="grade")
    with pytest.raises(MissingError, match="no verdict from 'serve'"):
        drift(workspace)


def test_the_precision_of_fresh_grades_is_counted_and_a_fall_is_an_alarm(workspace):
    boundary, given = grade(workspace, share=0.1)
    found = drift(workspace)
    one = next(one for one in found["precision"] if one["grade"] == 1)
    assert found["graded"] == one["n"] == len(given) and found["queries"] <= 11
    assert one["share"] == pytest.approx((given >= 1).mean()) and one["stated"] == boundary.precision
    assert one["state"] == found["state"] == "alarm"


def test_grades_as_good_as_stated_are_no_alarm(workspace):
    boundary, given = grade(workspace, share=Strata.load(workspace / "index").boundaries[1].precision)
    one = next(one for one in drift(workspace)["precision"] if one["grade"] == 1)
    assert one["state"] in ("stable", "watch") and one["n"] == len(given)
    assert abs(one["share"] - boundary.precision) < 0.15


def test_scores_are_compared_with_those_of_validation_queries(workspace):
    grade(workspace, share=0.8)
    path = workspace / "thresholds/metrics.json"
    before = read_json(path)
    here = drift(workspace)["scores"]
    assert here["reference"] == before["scores"]["version"]
    try:
        shifted = [edge + 10 for edge in before["scores"]["edges"]]  # as if validation had scored far higher
        write_json(path, before | {"scores": before["scores"] | {"edges": shifted}})
        assert drift(workspace)["scores"]["psi"] > max(here["psi"], 1)
    finally:
        write_json(path, before)
