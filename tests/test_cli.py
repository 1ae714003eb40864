"""The command line as a user meets it: a whole run on real data, wrong flags, broken files, kills."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

QUICK = ["fit.epochs=2", "evaluate.resamples=200"]


def motherlode(*words: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "motherlode.cli", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        check=False,
    )
    if check:
        assert done.returncode == 0, done.stderr
    return done


def test_help_and_import_are_quick_and_light():
    program = (
        "import sys, motherlode, motherlode.cli, motherlode.recipe, motherlode.workspace\n"
        "heavy = {'torch', 'sentence_transformers', 'transformers', 'faiss', 'polars', 'pyarrow', 'tantivy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert "fit" in motherlode("--help").stdout


@pytest.fixture(scope="module")
def esci(tmp_path_factory, data_root) -> Path:
    folder = tmp_path_factory.mktemp("esci") / "run"
    motherlode("run", "data.source=esci", *QUICK, "-w", str(folder), MOTHERLODE_DATA=str(data_root))
    return folder


def test_a_run_on_real_judgements(esci):
    metrics = json.loads((esci / "evaluate/metrics.json").read_text())
    assert set(metrics["systems"]) == {"bm25", "untouched", "untouched + bm25", "trained", "trained + bm25"}
    ndcg = {name: found["catalogue"]["ndcg@10"]["mean"] for name, found in metrics["systems"].items()}
    assert ndcg["bm25"] > 0.5
    assert 0.4 < ndcg["trained"] < 1
    assert metrics["items"] == 6764
    assert metrics["simulated"] is False
    page = (esci / "report.html").read_text()
    assert "Apache-2.0" in page
    assert metrics["weights"] in page
    encoder = json.loads((esci / "fit/best/motherlode.json").read_text())
    assert encoder["weights"] == metrics["weights"]
    assert encoder["data"] == metrics["data"]


def test_a_second_run_has_nothing_to_do_and_status_says_what_is_stale(esci, data_root):
    done = motherlode("run", "-w", str(esci), MOTHERLODE_DATA=str(data_root))
    assert done.stderr.count("is up to date") == 9
    status = json.loads(motherlode("status", "-w", str(esci), "--json", MOTHERLODE_DATA=str(data_root)).stdout)
    assert {stage["state"] for stage in status["stages"]} == {"fresh"}
    changed = motherlode("status", "fit.epochs=3", "-w", str(esci), MOTHERLODE_DATA=str(data_root)).stdout
    lines = {line.split()[0]: line for line in changed.splitlines()}
    assert "fresh" in lines["split"]
    assert "stale" in lines["fit"]
    assert "fit.epochs: 2 -> 3" in lines["fit"]
    assert "fit is stale" in lines["evaluate"]


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_search_answers(esci, mode):
    done = motherlode("search", "wireless gaming mouse", "-w", str(esci), "-k", "5", "--mode", mode, "--json")
    hits = json.loads(done.stdout)["hits"]
    assert [hit["rank"] for hit in hits] == [1, 2, 3, 4, 5]
    assert "mouse" in hits[0]["title"].lower()
    assert "1" in motherlode("search", "mouse", "-w", str(esci)).stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "fit.epoch=2"], "fit.epoch is no setting; known here: epochs"),
        (["run", "fit.epochs=none"], "fit.epochs='none' cannot be"),
        (["run", "preset=huge"], "choose tiny, small, base"),
        (["run", "data.source=nowhere"], "There is no data set 'nowhere'"),
        (["run", "missing.yaml"], "There is no recipe at missing.yaml"),
        (["fit", "fit.precision=bf8"], "fit.precision='bf8' cannot be"),
        (["search", "mug"], "holds no index"),
        (["status"], "holds no run yet"),
    ],
)
def test_mistakes_get_one_sentence_and_a_failing_exit(words, says, tmp_path):
    done = motherlode(*words, "-w", str(tmp_path / "w"), check=False, MOTHERLODE_DATA="")
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "w/tables").exists()


def test_an_unknown_option_is_refused():
    done = motherlode("run", "--fast", check=False)
    assert done.returncode == 2
    assert "--fast" in done.stderr


def shop_folder(folder: Path, grade: str = "2") -> Path:
    folder.mkdir()
    (folder / "catalogue.csv").write_text(
        "item_id,title,taxonomy\na,Red mug,Kitchen > Mugs\nb,Blue mug,Kitchen > Mugs\n"
    )
    (folder / "queries.csv").write_text("query_id,text\nq,red mug\n")
    (folder / "judgements.csv").write_text(f"query_id,item_id,grade\nq,a,{grade}\nq,b,1\n")
    return folder


def test_a_broken_table_is_named_with_file_row_and_field(tmp_path):
    folder = shop_folder(tmp_path / "shop", grade="7")
    done = motherlode("data", f"data.source={folder}", "-w", str(tmp_path / "w"), check=False)
    assert done.returncode == 2
    assert "judgements.csv" in done.stderr
    assert "grade" in done.stderr
    assert not (tmp_path / "w/tables").exists()
    lenient = motherlode("check", f"data.source={folder}", "data.strict=false", "-w", str(tmp_path / "w"))
    assert "Wrote" in lenient.stdout
    rejects = [json.loads(line) for line in (tmp_path / "w/tables/judgements.rejects.jsonl").read_text().splitlines()]
    assert len(rejects) == 1


def test_too_few_judgements_are_refused_clearly(tmp_path):
    folder = shop_folder(tmp_path / "shop")
    done = motherlode("run", f"data.source={folder}", "-w", str(tmp_path / "w"), check=False)
    assert done.returncode == 2
    assert "too few" in done.stderr


def test_two_processes_cannot_share_a_workspace(tmp_path):
    fcntl = pytest.importorskip("fcntl", reason="Windows has no such locks")
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = motherlode("data", "data.source=shop", "-w", str(tmp_path), check=False)
    assert done.returncode == 2
    assert "Another process" in done.stderr


def test_killed_at_random_moments_a_run_ends_with_the_same_metrics(tmp_path):
    """Kill -9 twice, run again: same metrics as the uninterrupted run, every file whole."""
    settings = ["data.items=1000", "fit.groups=32", "fit.epochs=4", "evaluate.resamples=200"]
    began = time.monotonic()
    motherlode("run", *settings, "-w", str(tmp_path / "whole"))
    took = time.monotonic() - began
    moments = random.Random(os.environ.get("MOTHERLODE_KILL_SEED", "7"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = 0
    for share in (moments.uniform(0.25, 0.6), moments.uniform(0.25, 0.9)):
        process = subprocess.Popen(
            [sys.executable, "-m", "motherlode.cli", "run", *settings, "-w", str(tmp_path / "cut")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        time.sleep(share * took)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert killed >= 1
    motherlode("run", *settings, "-w", str(tmp_path / "cut"))
    metrics = [json.loads((tmp_path / name / "evaluate/metrics.json").read_text()) for name in ("whole", "cut")]
    assert metrics[0] == metrics[1]
    assert metrics[0]["simulated"] is True
    hits = [motherlode("search", "mug", "-w", str(tmp_path / name), "--json").stdout for name in ("whole", "cut")]
    assert hits[0] == hits[1]
    left = [path for path in (tmp_path / "cut").rglob(".*.tmp") if path.is_file()]
    assert not left
