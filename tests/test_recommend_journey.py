"""The journey from users to products as a user meets it: one command, an index, a page; killed and resumed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

import numpy as np
import polars as pl
import pytest

from motherlode.errors import InputError, MissingError, SettingError
from motherlode.recipe import Recipe
from motherlode.recommend.towers import UserItemTwoTower
from motherlode.stages import sequences
from motherlode.stages.codes import load_codes, primary_of
from motherlode.stages.recommend import towers_of
from motherlode.stages.run import RECOMMEND, run, status
from motherlode.stages.sequences import load_split
from motherlode.stages.views import load_views
from motherlode.workspace import Workspace

QUICK = [
    "journey=recommend", "data.items=300", "data.users=250", "views.epochs=4", "recommend.batch=32",
    "recommend.budget=4", "recommend.sampler=in_batch_logq+semantic", "evaluate.resamples=200",
    "recommend.window=4",  # shorter than histories are
]  # fmt: skip
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MOTHERLODE_DATA": ""}


def motherlode(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "motherlode.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Workspace:
    folder = tmp_path_factory.mktemp("shop") / "whole"
    done = motherlode("run", *QUICK, "-w", str(folder))
    assert "two-tower" in done.stdout and "Simulated" in done.stdout
    return Workspace(folder)


def test_a_run_leaves_everything_fresh_and_a_change_makes_stale_what_reads_it(shop):
    recipe = shop.recipe()
    assert {one.name: one.state for one in status(shop)} == dict.fromkeys(RECOMMEND, "fresh")

    def stale(*words: str) -> set[str]:
        changed = Recipe.load(shop / "recipe.yaml", words)
        return {one.name for one in status(shop, changed) if one.state != "fresh"}

    after = {"recommend", "recommend_evaluate", "recommend_index", "report"}
    assert stale("recommend.temperature=0.2") == after
    assert stale("codes.primary=5") == {"codes", *after}  # the sampler reads codes
    assert stale("evaluate.resamples=300") == {"recommend_evaluate", "report"}
    assert stale("recommend.baselines=[popularity]") == {"recommend_evaluate", "report"}
    assert stale("sequences.k=3") == set()  # read by another kind of split alone
    assert stale("sequences.split=time") == set(RECOMMEND) - {"data", "check"}
    assert "data" in stale("data.users=260")
    assert run(recipe, shop, tell=lambda name, what, _: pytest.fail(name) if what != "fresh" else None)


def test_codes_reach_the_item_tower_as_labels(shop, tmp_path):
    words = ["recommend.code_sets=2", "recommend.sampler=mixed", "recommend.negatives.n=64", "recommend.budget=1"]
    folder = tmp_path / "labels"
    shutil.copytree(shop.folder, folder)
    place = run(Recipe.load(shop / "recipe.yaml", words), folder, ("recommend",))
    model, codes = UserItemTwoTower.load(place / "recommend/best"), load_codes(shop)
    assert model.label_names == ("leaf_0", "leaf_1", "primary_0", "primary_1")
    for name, column in (("primary_0", codes.primary), ("leaf_0", codes.leaf)):
        np.testing.assert_array_equal(model.get_buffer(f"label_{name}") - 1, np.where(codes.coded, column, -1))
    assert model.get_buffer("label_primary_1").max() > codes.primary_size  # twice as many, row 0 for the unknown
    changed = Recipe.load(place / "recipe.yaml", ["codes.secondary=5"])
    states = {one.name: one.state for one in status(place, changed)}
    assert states["codes"] != "fresh" and states["recommend"] != "fresh"  # the sampler alone would not read codes


def main_says(capsys, monkeypatch, *words: str) -> str:
    """What the command line prints, in this process."""
    from motherlode.cli import app

    monkeypatch.setattr(sys, "argv", ["motherlode", *words])
    app(standalone_mode=False)
    return capsys.readouterr().out


def brute_parts(shop: Workspace) -> tuple[dict[str, list[str]], dict[str, str], dict[str, list[str]]]:
    """From the interactions alone, in plain Python: what is known of each user in test, the last item, training."""
    rows = pl.read_parquet(shop / "tables/interactions.parquet").sort("time", maintain_order=True)
    had: dict[str, list[str]] = {}
    for user, item in rows.select("user_id", "item_id").iter_rows():
        if item not in had.setdefault(user, []):
            had[user].append(item)
    known = {user: items[:-1] for user, items in had.items() if len(items) > 1}
    train = {user: items[: max(1, len(items) - 2)] for user, items in had.items()}
    return known, {user: had[user][-1] for user in known}, train


def test_the_figures_are_those_of_slow_loops_over_the_tables(shop):
    """Recall and NDCG of the two-tower and of popularity, from the model's vectors and the interactions alone."""
    known, last, train = brute_parts(shop)
    ids = pl.read_parquet(shop / "tables/catalogue.parquet")["item_id"].to_list()
    row = {item: number for number, item in enumerate(ids)}
    model = UserItemTwoTower.load(shop / "recommend/best")
    items = model.encode_items().astype(np.float64)
    counts = np.zeros(len(ids))
    for item in (item for history in train.values() for item in history):
        counts[row[item]] += 1
    ranks: dict[str, list[int]] = {"two-tower": [], "popularity": []}
    for user, history in known.items():
        rows = [row[item] for item in history]
        window = (rows[-model.settings.window :] + [-1] * model.settings.window)[: model.settings.window]
        vector = model.encode_users(np.array([window]))[0].astype(np.float64)
        target = row[last[user]]
        for name, scores in (("two-tower", items @ vector), ("popularity", counts)):
            others = [j for j in range(len(ids)) if j not in rows and j != target]
            better = [j for j in others if scores[j] > scores[target] or (scores[j] == scores[target] and j < target)]
            ranks[name].append(1 + len(better))
    metrics = json.loads((shop / "recommend_evaluate/metrics.json").read_text())
    assert metrics["users"] == len(known) and metrics["items"] == len(ids) and metrics["simulated"]
    for name, found in ranks.items():
        places = np.array(found)
        for k in (50, 200):
            assert metrics["systems"][name][f"recall@{k}"]["mean"] == pytest.approx((places <= k).mean(), abs=1e-9)
        gains = np.where(places <= 50, 1 / np.log2(1 + places), 0)
        assert metrics["systems"][name]["ndcg@50"]["mean"] == pytest.approx(gains.mean(), abs=1e-6)
    cold = counts == 0
    assert metrics["targets"]["cold"] == sum(cold[row[item]] for item in last.values())


def test_differences_are_paired_and_the_best_baseline_is_the_best(shop):
    metrics = json.loads((shop / "recommend_evaluate/metrics.json").read_text())
    frame = pl.read_parquet(shop / "recommend_evaluate/per_user.parquet")
    wide = frame.pivot("system", index="user_id", values="recall@50")
    recalls = {}
    for base, deltas in metrics["against"].items():
        found = deltas["recall@50"]
        assert found["delta"] == pytest.approx(float((wide["two-tower"] - wide[base]).mean()), abs=1e-9)
        assert found["low"] <= found["delta"] <= found["high"]
        recalls[base] = metrics["systems"][base]["recall@50"]["mean"]
    assert {"popularity", "item-kNN"} <= set(recalls)
    assert recalls[metrics["best baseline"]] == max(recalls.values())
    two_tower = metrics["systems"]["two-tower"]["recall@50"]["mean"]
    assert two_tower > 1.3 * recalls["popularity"]  # it has learnt tastes


def test_the_split_comes_back_as_it_was_and_behaviour_is_of_training_alone(tmp_path):
    """Other validation and test events leave the behaviour view and the codes bit for bit as they were."""
    users, length, items = 60, 8, 50
    rng = np.random.default_rng(5)
    taken = np.stack([rng.permutation(items) for _ in range(users)])
    other = np.concatenate([taken[:, : length - 2], taken[:, length : length + 2]], axis=1)
    made = []
    for name, events in (("one", taken[:, :length]), ("two", other)):
        folder = tmp_path / name
        folder.mkdir()
        ids = pl.DataFrame({"item_id": [f"i{row}" for row in range(items)]})
        ids.with_columns(title=pl.col("item_id")).write_parquet(folder / "catalogue.parquet")
        rows = [(f"u{user}", f"i{item}") for user in range(users) for item in events[user]]
        pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row").write_parquet(folder / "interactions.parquet")
        words = ["journey=recommend", f"data.source={folder}", "views.names=[behaviour]", "codes.secondary=2"]
        made.append(run(Recipe.load(overrides=words), tmp_path / f"{name}_run", ("codes",)))
    for place, events in zip(made, (taken[:, :length], other), strict=True):
        split = load_split(place)
        np.testing.assert_array_equal(split.train.items, events[:, :-2].ravel())
        np.testing.assert_array_equal(split.validation.targets.items, events[:, -2])
        np.testing.assert_array_equal(split.test.targets.items, events[:, -1])
        np.testing.assert_array_equal(split.test.history.items, events[:, :-1].ravel())
    files = ("views/views.safetensors", "codes/books/codebooks.safetensors")
    for name in files:
        assert (made[0] / name).read_bytes() == (made[1] / name).read_bytes()
    assert load_codes(made[0]).coded.sum() == len(np.unique(taken[:, : length - 2]))


def test_views_and_codes_are_those_of_the_saved_centres(shop):
    views, codes = load_views(shop), load_codes(shop)
    assert views.names == ["text", "behaviour", "image"]  # the behaviour of the features table is passed over
    assert views.width == 64
    mean = views.block(slice(None)).mean()
    distance = ((mean[:, None, :] - codes.primary_centres[None]) ** 2).sum(axis=2)
    best = distance[np.arange(len(mean)), codes.primary]
    np.testing.assert_allclose(best[codes.coded], distance.min(axis=1)[codes.coded], rtol=1e-5)
    described = json.loads((shop / "codes/described.json").read_text())
    assert described["items"] == 300 and described["primary"]["codes"] == primary_of(300) == 4
    assert described["purity"]["category"]["primary"] > described["purity"]["category"]["primary by chance"]
    assert [primary_of(n) for n in (1, 50, 1_600, 12_000, 10**9)] == [4, 4, 16, 128, 1024]


def test_the_verb_recommends_what_a_full_scan_finds(shop, capsys, monkeypatch):
    user = pl.read_parquet(shop / "sequences/users.parquet")["user_id"][7]
    known, last, _ = brute_parts(shop)
    had = [*known[user], last[user]]
    place = ["-k", "15", "-w", str(shop.folder)]
    said = json.loads(main_says(capsys, monkeypatch, "recommend", "--user", user, "--json", *place))
    assert said["history"] == had
    frame = pl.read_parquet(shop / "tables/catalogue.parquet")
    row = {item: number for number, item in enumerate(frame["item_id"])}
    model = UserItemTwoTower.load(shop / "recommend/best")
    rows = np.array([row[item] for item in had])
    window = np.full((1, model.settings.window), -1)
    window[0, : min(len(rows), window.shape[1])] = rows[-window.shape[1] :]
    scores = model.encode_items() @ model.encode_users(window)[0]
    scores[rows] = -np.inf
    best = np.argsort(-scores, kind="stable")[:15]
    assert [one["item_id"] for one in said["items"]] == frame["item_id"][best].to_list()
    assert [one["title"] for one in said["items"]] == frame["title"][best].to_list()
    by_hand = ["recommend", "--history", ",".join(had), *place]
    assert json.loads(main_says(capsys, monkeypatch, *by_hand, "--json"))["items"] == said["items"]
    table = main_says(capsys, monkeypatch, *by_hand)
    assert all(one["item_id"] in table and f"{one['score']:.3f}" in table for one in said["items"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["recommend"], "Name a user with --user ID"),
        (["recommend", "--user", "a", "--history", "b"], "Name a user with --user ID"),
        (["recommend", "--user", "nobody"], "There is no user 'nobody'"),
        (["recommend", "--history", "x,y"], "None of the 2 items"),
        (["refine"], "The journey recommend has no stage 'refine'"),
    ],
)
def test_mistakes_get_one_sentence(shop, words, says, capsys, monkeypatch):
    from motherlode.cli import main

    monkeypatch.setattr(sys, "argv", ["motherlode", *words, "-w", str(shop.folder)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "window", "decay"),
    [
        ("sequences.split=last", 200, 1),
        ("sequences.split=k_out", 200, 0),
        ("sequences.split=time", 200, 0),
        ("sequences.split=last recommend.window=7 recommend.decay=0.5", 7, 0.5),
        ("sequences.split=last recommend.pooling=gru", 20, 0),
    ],
)
def test_how_much_of_a_history_the_user_tower_sees(words, window, decay):
    towers = towers_of(Recipe.load(overrides=["journey=recommend", *words.split()]))
    assert (towers.window, towers.decay) == (window, decay)


def test_what_cannot_be_recommended_from_is_refused(tmp_path):
    recipe = Recipe.load(overrides=["journey=recommend", "data.items=100", "data.users=10"])
    place = run(recipe, tmp_path / "w", ("sequences",))
    with pytest.raises(SettingError, match=r"views.names names 'sound': the views of these tables are text, beh"):
        run(Recipe.load(place / "recipe.yaml", ["views.names=[sound]"]), place, ("views",))
    (place / "tables/interactions.parquet").rename(tmp_path / "aside.parquet")
    changed = Recipe.load(place / "recipe.yaml", ["sequences.split=k_out"])
    with pytest.raises(MissingError, match="holds no interactions"):
        sequences.work(place, changed)  # a run would make the table again
    events = pl.read_parquet(tmp_path / "aside.parquet").unique("user_id", maintain_order=True)
    events.write_parquet(place / "tables/interactions.parquet")
    with pytest.raises(InputError, match="enough events to leave one out for test"):
        sequences.work(place, changed)


def test_the_page_shows_what_was_measured_and_loads_nothing(shop):
    html = (shop / "report.html").read_text(encoding="utf-8")
    metrics = json.loads((shop / "recommend_evaluate/metrics.json").read_text())
    for name, found in metrics["systems"].items():
        assert name in html
        assert f"{found['recall@50']['mean']:.3f}" in html and f"{found['recall@200/tail']['mean']:.3f}" in html
    for title in ("How well it ranks", "Where it helps", "How it learned", "What shares a code", "Semantic codes"):
        assert f"<h2>{title}</h2>" in html
    assert "Simulated data" in html and metrics["weights"] in html
    assert not re.search(r"https?:|url\(|@import|<img|<link", html)
    drawings = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(drawings) > 12
    for drawing in drawings:
        ET.fromstring(drawing)
        assert "nan" not in drawing
    codes, titles = load_codes(shop), pl.read_parquet(shop / "tables/catalogue.parquet")["title"]
    largest = int(codes.primary_counts().argmax())
    assert f"Cell {largest}<" in html
    shown = re.findall(r"<h4>leaf (\d+)\.(\d+): (\d+)</h4><ol>(.*?)</ol>", html)
    assert len(shown) >= 4
    for primary, secondary, count, listed in shown:
        inside = (codes.primary == int(primary)) & (codes.secondary == int(secondary))
        assert inside.sum() == int(count)
        told = re.findall(r"<span>(.*?)</span>", listed)
        escaped = {title.replace("&", "&amp;").replace("'", "&#x27;") for title in titles.filter(pl.Series(inside))}
        assert told and set(told) <= escaped


def test_killed_in_training_it_ends_as_if_it_had_not_been(shop, tmp_path):
    """Kill -9 after a checkpoint of the training; the same command ends with the same weights, metrics and answers."""
    folder = tmp_path / "cut"
    log = folder / "recommend/metrics.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "motherlode.cli", "run", *QUICK, "-w", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
    )
    steps = len((shop / "recommend/metrics.jsonl").read_text().splitlines())
    deadline = time.monotonic() + 900
    while process.poll() is None and time.monotonic() < deadline:
        if (folder / "recommend/checkpoint.pt").exists() and len(log.read_text().splitlines()) > steps // 3:
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = {path.stem for path in (folder / "stages").glob("*.json")}
    assert "codes" in done and "recommend" not in done
    motherlode("run", "-w", str(folder))
    for name in ("recommend/best/model.safetensors", "recommend_evaluate/metrics.json", "codes/described.json"):
        assert (folder / name).read_bytes() == (shop / name).read_bytes()
    losses = [
        [json.loads(line).get("loss") for line in (place / "recommend/metrics.jsonl").read_text().splitlines()]
        for place in (folder, shop.folder)
    ]
    assert losses[0] == losses[1]
    vectors = [np.load(place / "recommender/dense/vectors.npy") for place in (folder, shop.folder)]
    np.testing.assert_array_equal(*vectors)
    assert not [path for path in folder.rglob(".*.tmp") if path.is_file()]


def test_a_slice_of_real_viewers(data_root, tmp_path):
    """The 200 first viewers of MovieLens-100K: better than popularity, the interval above 0."""
    from motherlode import datasets

    tables = datasets.load("ml100k", tmp_path / "ml100k", root=data_root)
    folder = tmp_path / "slice"
    folder.mkdir()
    events = tables.frame("interactions")
    viewers = events["user_id"].unique(maintain_order=True)[:200]
    events.filter(pl.col("user_id").is_in(viewers.implode())).write_parquet(folder / "interactions.parquet")
    tables.frame("catalogue").write_parquet(folder / "catalogue.parquet")
    words = [
        "journey=recommend", f"data.source={folder}", "views.names=[behaviour]", "recommend.batch=256",
        "recommend.budget=2", "recommend.baselines=[popularity, item_knn, rg2]", "evaluate.resamples=200",
    ]  # fmt: skip
    place = run(Recipe.load(overrides=words), tmp_path / "w")
    metrics = json.loads((place / "recommend_evaluate/metrics.json").read_text())
    assert metrics["users"] == 200 and metrics["simulated"] is False
    systems = metrics["systems"]
    assert list(systems) == ["two-tower", "popularity", "item-kNN", "RG2"]
    assert systems["RG2"]["recall@50"]["mean"] > systems["popularity"]["recall@50"]["mean"]
    assert metrics["against"]["popularity"]["recall@50"]["low"] > 0
    assert "MovieLens" not in (place / "report.html").read_text()  # a user's folder has its own name
