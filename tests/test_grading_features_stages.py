"""The word `features` from the command line: trained when asked for, in the ledger, in a cascade."""

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


def motherlode(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("features") / "run"
    motherlode("split", *SETTINGS, "-w", str(folder))
    return folder


def test_from_the_first_question_to_a_cascade(shop: Path) -> None:
    def said(*words: str) -> dict:  # type: ignore[type-arg]
        return json.loads(motherlode(*words, "-w", str(shop), "--json"))

    first = said("grade", "test", "--with", "features")
    made = (shop / "features_grader/best/features.safetensors").stat().st_mtime_ns
    again = said("grade", "test", "--with", "features")
    assert first["graded"] == first["asked"] > 0 and again["graded"] == 0
    assert (shop / "features_grader/best/features.safetensors").stat().st_mtime_ns == made
    held = pl.read_parquet(shop / "features_grader/test.parquet")
    with Ledger(shop / "ledger.sqlite") as ledger:
        joined = held.join(ledger.verdicts(), on=["query_id", "item_id"], suffix="_ledger")
    assert len(joined) == len(held)
    np.testing.assert_allclose(joined["p2"], joined["p2_ledger"], atol=1e-6)
    metrics = json.loads((shop / "features_grader/metrics.json").read_text())
    assert metrics["test"]["accuracy"] > metrics["majority"]["accuracy"]

    motherlode("grader", "-w", str(shop))
    found = said("cascade", "features", "cross-encoder", "--target", "0.3")
    assert [member["word"] for member in found["members"]] == ["features", "cross-encoder"]
    assert found["members"][0]["cost"] < found["members"][1]["cost"]
    assert said("grade", "test", "--with", "cascade")["unanswered"] == 0
    assert "features_grader" in {one["name"] for one in said("status")["stages"]}

    path = shop / "features_grader/best/features.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    motherlode("grade", "test", "--with", "features", "-w", str(shop))  # learnt in seconds: it is made again
    assert len(path.read_bytes()) == len(whole)

    path = shop / "split.parquet"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(MotherlodeError, match=r"split\.parquet is damaged"):
        motherlode("grade", "test", "--with", "cross-encoder", "-w", str(shop))
