"""Assaying from the command line on a generated shop: every verb once, in the order a user would."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from motherlode.cli import app
from motherlode.errors import MotherlodeError
from motherlode.grading.ledger import Ledger

SETTINGS = ["data.source=shop", "data.items=300", "grader.layers=1", "grader.epochs=1", "grader.max_tokens=32"]


def motherlode(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(words))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.stdout


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assay") / "run"
    motherlode("grader", *SETTINGS, "-w", str(folder))
    return folder


def test_the_grader_says_what_it_reached_and_is_fresh_the_second_time(shop: Path) -> None:
    metrics = json.loads((shop / "grader/metrics.json").read_text())
    test = pl.read_parquet(shop / "grader/test.parquet")
    predicted = test.select("p0", "p1", "p2").to_numpy().argmax(axis=1)
    assert metrics["test"]["accuracy"] == pytest.approx((predicted == test["grade"].to_numpy()).mean())
    assert metrics["test"]["n"] == len(test)
    made = (shop / "grader/best/model.safetensors").stat().st_mtime_ns
    assert "commonest grade" in motherlode("grader", "-w", str(shop))
    assert (shop / "grader/best/model.safetensors").stat().st_mtime_ns == made


def test_pairs_are_judged_once(shop: Path) -> None:
    first = json.loads(motherlode("grade", "validation", "-w", str(shop), "--json"))
    again = json.loads(motherlode("grade", "validation", "-w", str(shop), "--json"))
    assert first["graded"] == first["asked"] > 0
    assert (again["graded"], again["known"]) == (0, first["asked"])
    with Ledger(shop / "ledger.sqlite") as ledger:
        verdicts = ledger.verdicts()
    held = pl.read_parquet(shop / "grader/validation.parquet")
    joined = held.join(verdicts, on=["query_id", "item_id"], suffix="_ledger")
    assert len(joined) == len(held)
    for name in ("p0", "p1", "p2"):
        np.testing.assert_allclose(joined[name], joined[f"{name}_ledger"], atol=1e-6)


def test_ledger_exports(shop: Path, tmp_path: Path) -> None:
    motherlode("grade", "validation", "-w", str(shop))
    out = tmp_path / "judgements.parquet"
    words = ("ledger", "-w", str(shop), "--json", "--judge", "cross-encoder", "--judgements", str(out))
    found = json.loads(motherlode(*words))
    made = pl.read_parquet(out)
    assert found["wrote"][str(out)] == len(made) > 0
    assert made["grader"][0].startswith("cross-encoder@")
    with pytest.raises(MotherlodeError, match="holds no judge 'nobody'"):
        motherlode("ledger", "-w", str(shop), "--judge", "nobody")


def test_cascade_with_people_grades_and_reports(shop: Path) -> None:
    found = json.loads(
        motherlode("cascade", "cross-encoder", "--people", "1", "--target", "0.8", "-w", str(shop), "--json")
    )
    assert found["validation"]["agreement"] >= 0.8
    assert [member["word"] for member in found["members"]] == ["cross-encoder", "people"]
    done = json.loads(motherlode("grade", "test", "--with", "cascade", "-w", str(shop), "--json", code=1))
    assert done["unanswered"] > 0  # those are for people
    assert done["graded"] + done["unanswered"] == done["asked"]


def test_choose_audit_and_the_page(shop: Path) -> None:
    motherlode("grade", "test", "-w", str(shop))
    queue = pl.read_parquet(json.loads(motherlode("choose", "7", "-w", str(shop), "--json"))["wrote"])
    assert len(queue) == 7
    assert queue["priority"].is_sorted(descending=True)
    outcome = json.loads(motherlode("audit", "share=1", "precision=0.3", "-w", str(shop), "--json"))
    assert outcome["sampled"] == outcome["annotated"] > 0
    assert outcome["doubted"]["hits"] > 0
    corrected = pl.read_parquet(shop / "audit/corrected/judgements.parquet")
    assert len(corrected) == outcome["annotated"]
    motherlode("assay", "-w", str(shop))
    page = (shop / "assay.html").read_text()
    assert "Simulated" in page
    assert "cross-encoder" in page


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["grade", "test", "--with", "oracle"], "'oracle' is no grader"),
        (["grade", "test", "--with", "light-llm"], "motherlode light-llm"),
        (["grade", "test", "--with", "nowhere.yaml"], "There is no nowhere.yaml"),
        (["grade", "nowhere.csv"], "nowhere.csv"),
        (["audit", "precison=0.9"], "precison is no setting; known here: share"),
        (["audit", "share=7"], "share=7 cannot be"),
        (["cascade", "cross-encoder"], "needs two members"),
        (["review", "--queue", "nowhere.parquet"], "There is no file nowhere.parquet"),
    ],
)
def test_mistakes_get_one_sentence(shop: Path, words: list[str], sentence: str) -> None:
    with pytest.raises(MotherlodeError) as error:
        motherlode(*words, "-w", str(shop))
    assert sentence in str(error.value)


def test_nothing_there_yet(tmp_path: Path) -> None:
    with pytest.raises(MotherlodeError, match="no finished 'split'"):
        motherlode("grade", "test", "-w", str(tmp_path))


def test_the_rubric_can_be_copied_and_used(tmp_path: Path) -> None:
    assert "Grade 2" in motherlode("rubric", "-w", str(tmp_path))
    copy = tmp_path / "ours.md"
    motherlode("rubric", str(copy), "-w", str(tmp_path))
    from motherlode.grading.rubric import Rubric

    assert Rubric.load(copy).version == Rubric.load().version
    with pytest.raises(MotherlodeError, match="there already"):
        motherlode("rubric", str(copy), "-w", str(tmp_path))
