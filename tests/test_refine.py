"""Rounds of mine, assay and refine on a generated shop, by a real (small) grader, through a kill, on to the index."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from motherlode.cli import app
from motherlode.encoders.fingerprint import weights_fingerprint
from motherlode.encoders.presets import load
from motherlode.errors import MissingError
from motherlode.index.store import Index

SHOP = ["data.source=shop", "data.items=300", "fit.epochs=1", "evaluate.resamples=200"]
GRADER = ["grader.layers=1", "grader.epochs=1", "grader.max_tokens=32"]
REFINE = ["refine.k=20", "refine.rounds=2", "refine.fit.epochs=1", "refine.fit.loss=circle", "refine.fit.lr=1e-3"]
KEYS = ["query_id", "item_id"]


def motherlode(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refine") / "run"
    motherlode("fit", *SHOP, *GRADER, "-w", str(folder))
    motherlode("grader", "-w", str(folder))
    return folder


@pytest.fixture(scope="module")
def refined(trained: Path) -> Path:
    folder = trained.with_name("refined")
    shutil.copytree(trained, folder)
    motherlode("refine", *REFINE, "-w", str(folder))
    return folder


def test_what_a_round_mined_was_graded_and_joins_all_originals(refined: Path) -> None:
    mined = pl.read_parquet(refined / "refine/round_1/mined.parquet")
    split = pl.read_parquet(refined / "split.parquet")
    merged = pl.read_parquet(refined / "refine/round_1/judgements.parquet")
    train = split.filter(pl.col("part") == "train")
    assert len(mined)
    assert (
        mined.select("rank", "score", "grade", "judge", "rubric", "weights").null_count().sum_horizontal().item() == 0
    )
    assert mined["weights"].unique().to_list() == [weights_fingerprint(load(str(refined / "fit/best")))]
    assert len(mined.join(split, on=KEYS, how="semi")) == 0  # neither known nor held out
    assert len(train.join(merged, on=[*KEYS, "grade"], how="semi")) == len(train)
    assert len(merged) == len(train) + len(mined)


def test_the_last_encoder_is_measured_and_indexed(refined: Path) -> None:
    motherlode("run", "-w", str(refined))
    metrics = json.loads((refined / "evaluate/metrics.json").read_text())
    assert list(metrics["systems"])[-2:] == ["refined", "refined + bm25"]
    weights = weights_fingerprint(load(str(refined / "refine/best")))
    assert metrics["weights"] == weights
    current = (refined / "index/current").read_text().strip()
    kept = json.loads((refined / "index" / current / "index.json").read_text())
    assert weights in json.dumps(kept)
    assert "refine" in motherlode("status", "-w", str(refined))


def test_a_version_published_by_hand_leaves_the_index_fresh(refined: Path, tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(refined, folder)
    motherlode("run", "-w", str(folder))
    index = Index.open(folder / "index")
    index.delete([index.items[0]["item_id"]])
    assert index.publish().facts["items"] == index.facts["items"] - 1
    assert re.search(r"index +fresh", motherlode("status", "-w", str(folder)))
    motherlode("run", "-w", str(folder))
    assert Index.open(folder / "index").facts["items"] == index.facts["items"] - 1  # the change is not undone


def test_changed_settings_make_it_stale_and_nothing_is_graded_twice(refined: Path, tmp_path: Path) -> None:
    folder = tmp_path / "again"
    shutil.copytree(refined, folder)
    assert "refine.k: 20 -> 10" in motherlode("status", "refine.k=10", "-w", str(folder))
    shutil.rmtree(folder / "refine")
    motherlode("refine", "-w", str(folder))
    rounds = json.loads((folder / "refine/rounds.json").read_text())["rounds"]
    assert rounds[0]["mined"]["bought"] == 0
    assert rounds[0]["mined"]["remembered"] > 0


def test_a_killed_round_goes_on_to_the_same_weights(trained: Path, refined: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    shutil.copytree(trained, folder)
    words = [sys.executable, "-m", "motherlode.cli", "refine", *REFINE, "-w", str(folder)]
    for sign in ("refine/round_1/plan.npz", "refine/round_1/fit/metrics.jsonl"):
        process = subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 120
        while not (folder / sign).exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    motherlode("refine", *REFINE, "-w", str(folder))
    for name in ("refine/best", "refine/round_1/fit/best"):
        there, here = (weights_fingerprint(load(str(place / name))) for place in (refined, folder))
        assert there == here


def test_a_budget_is_kept_and_every_order_of_buying_works(trained: Path, tmp_path: Path) -> None:
    for first in ("mixed", "random"):
        folder = tmp_path / first
        shutil.copytree(trained, folder)
        budget = ["refine.verdicts=50", f"refine.first={first}", "refine.rounds=1", "refine.among=catalogue"]
        motherlode("refine", *REFINE[:1], *REFINE[2:], *budget, "-w", str(folder))
        found = json.loads((folder / "refine/rounds.json").read_text())["rounds"][0]["mined"]
        assert found["asked"] == found["bought"] == 50


def test_without_a_grader_it_says_which_verb_trains_one(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="motherlode grader"):
        motherlode("refine", *SHOP, "-w", str(tmp_path / "w"))
