"""The generated shop as written: the same twice, the same from the front, and true to its own truth."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from motherlode.errors import InputError, MissingError, SettingError
from motherlode.shop import catalogue, words
from motherlode.shop import queries as asking
from motherlode.shop.assortment import assortment
from motherlode.shop.generate import write
from motherlode.shop.truth import Truth
from motherlode.tables.check import check_tables
from motherlode.tables.schema import SCHEMAS
from motherlode.tables.tables import Tables


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return write(tmp_path_factory.mktemp("shop") / "a", users=300, seed=7, views=True)


def truth(shop: Tables, name: str) -> pl.DataFrame:
    return pl.read_parquet(shop.folder / "truth" / f"{name}.parquet")


def test_all_six_tables_have_their_schema_and_counts(shop: Tables) -> None:
    for kind, schema in SCHEMAS.items():
        assert next(shop.batches(kind)).schema.equals(schema)
        assert shop.count(kind) == shop.source["counts"][kind] > 0
    assert shop.count("catalogue") == 2000 and shop.count("queries") == 402
    assert shop.source["simulated"] is True and shop.source["licence"] == "CC0-1.0"
    assert shop.frame("catalogue")["item_id"].n_unique() == 2000
    assert shop.frame("queries")["text"].n_unique() == 402


def test_same_seed_same_bytes_other_seed_other_shop(shop: Tables, tmp_path: Path) -> None:
    again = write(tmp_path / "b", users=300, seed=7, views=True)
    assert again.fingerprint() == shop.fingerprint()
    for file in (shop.folder / "truth").glob("*.parquet"):
        assert_frame_equal(pl.read_parquet(file), pl.read_parquet(again.folder / "truth" / file.name))
    other = write(tmp_path / "c", seed=8)
    assert (other.frame("catalogue")["title"] != shop.frame("catalogue")["title"]).mean() > 0.99


def test_a_smaller_shop_is_the_front_of_a_larger_one(
    shop: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "ITEM_BATCH", 333)
    monkeypatch.setattr(catalogue, "VIEW_BATCH", 97)
    small = write(tmp_path / "small", items=1001, seed=7, views=True)
    assert_frame_equal(small.frame("catalogue"), shop.frame("catalogue").head(1001))
    assert_frame_equal(truth(small, "items"), truth(shop, "items").head(1001))
    front = shop.frame("features").filter(pl.col("item_id") <= "i00001000")
    assert_frame_equal(small.frame("features"), front, check_row_order=False)


def read_rules() -> tuple[dict[str, tuple[str, list[str]]], dict[tuple[str, ...], set[tuple[str, ...]]]]:
    """The rules of grading, from the word tables by other means than `assortment`."""
    attributes = {}
    for line in words.ATTRIBUTES.strip().splitlines():
        name, kind, values = re.fullmatch(r"(\w+) (\w+): (.*)", line).groups()  # type: ignore[union-attr]
        attributes[name] = (kind, [value.split("/")[0].strip() for value in values.split(",")])
    rows = [line.split("|") for line in words.LEAVES.strip().splitlines()]
    paths = {row[1].split(",")[0].strip(" *"): tuple(part.strip() for part in row[0].split(">")) for row in rows}
    complements = {
        paths[row[1].split(",")[0].strip(" *")]: {paths[n.strip()] for n in row[3].split(",") if n.strip()}
        for row in rows
    }
    return attributes, complements


def slow_grade(query: dict, item: dict, rules: tuple) -> int:
    """The grade from printed names alone, a sentence of the policy at a time."""
    attributes, complements = rules
    has = {pair["name"]: pair["value"] for pair in item["attributes"]}
    asked = {pair["name"]: pair["value"] for pair in query["constraints"]}
    category, own = tuple(query["category"]), tuple(item["taxonomy"])
    violated = any(attributes[n][0] == "hard" and n in has and has[n] != v for n, v in asked.items())
    if category != own:
        return int(own in complements[category] and not violated)
    if violated:
        return 0
    missed = int(query["brand"] is not None and query["brand"] != item["brand"])
    for name, value in asked.items():
        kind, values = attributes[name]
        if has[name] != value:
            missed += 1
            if kind == "ordered" and abs(values.index(has[name]) - values.index(value)) > 1:
                return 0
    return max(0, 2 - missed)


def test_grades_equal_a_slow_derivation_from_what_is_printed(shop: Tables) -> None:
    rules = read_rules()
    items = shop.frame("catalogue").to_dicts()
    queries = truth(shop, "queries").to_dicts()
    rng = np.random.default_rng(0)
    pairs = [(int(q), int(i)) for q, i in rng.integers([402, 2000], size=(4000, 2))]
    known = Truth(shop.folder)
    number = {item["item_id"]: row for row, item in enumerate(items)}
    position = {query["query_id"]: row for row, query in enumerate(queries)}
    for query_id, item_id in shop.frame("judgements").select("query_id", "item_id").iter_rows():
        pairs.append((position[query_id], number[item_id]))
    got = known.grade([queries[q]["query_id"] for q, _ in pairs], [items[i]["item_id"] for _, i in pairs])
    assert got.dtype == np.int8 and set(got.tolist()) == {0, 1, 2}
    assert got.tolist() == [slow_grade(queries[q], items[i], rules) for q, i in pairs]

    for query in queries[:12]:
        ids, grades = known.relevant(query["query_id"])
        slow = {item["item_id"]: slow_grade(query, item, rules) for item in items}
        assert dict(zip(ids, grades.tolist(), strict=True)) == {i: g for i, g in slow.items() if g > 0}
        assert 2 in grades


def test_planted_faults_are_exactly_the_wrong_judgements(shop: Tables) -> None:
    judgements = shop.frame("judgements")
    assert not judgements.select("query_id", "item_id").is_duplicated().any()
    known = Truth(shop.folder)
    true = known.grade(judgements["query_id"].to_list(), judgements["item_id"].to_list())
    wrong = judgements.with_columns(true_grade=true).filter(pl.col("grade") != pl.col("true_grade"))
    planted = truth(shop, "planted")
    given = planted.filter(pl.col("kind") != "unjudged")
    assert_frame_equal(
        wrong.select("query_id", "item_id", "true_grade", planted_grade="grade"),
        given.select("query_id", "item_id", "true_grade", "planted_grade"),
        check_row_order=False,
    )
    unjudged = planted.filter(kind="unjudged")
    assert unjudged["planted_grade"].is_null().all()
    assert unjudged.join(judgements, on=["query_id", "item_id"]).is_empty()
    assert known.grade(unjudged["query_id"].to_list(), unjudged["item_id"].to_list()).tolist() == [2] * len(unjudged)
    assert given.filter(kind="false negative").select("true_grade", "planted_grade").unique().rows() == [(2, 0)]

    errors = given.filter(kind="label error")
    assert errors.height / judgements.height == pytest.approx(0.05, abs=0.01)
    far = (errors["true_grade"] - errors["planted_grade"]).abs() == 2
    assert 0 < far.mean() < 0.15
    twos = (true == 2).sum() + unjudged.height
    assert planted.filter(pl.col("kind") != "label error").height / twos == pytest.approx(0.05, abs=0.02)


def test_without_faults_every_judgement_is_true(tmp_path: Path) -> None:
    clean = write(tmp_path / "clean", items=1000, label_errors=0, false_negatives=0)
    judgements = clean.frame("judgements")
    true = Truth(clean.folder).grade(judgements["query_id"].to_list(), judgements["item_id"].to_list())
    assert judgements["grade"].to_list() == true.tolist()
    assert truth(clean, "planted").is_empty()


def test_each_query_has_a_mixed_shortlist(shop: Tables) -> None:
    judgements = shop.frame("judgements")
    sizes = judgements.group_by("query_id").len()["len"]
    assert len(sizes) == 402 and 17 < sizes.mean() < 22
    shares = judgements["grade"].value_counts(normalize=True).sort("grade")["proportion"]
    assert shares.min() > 0.15


def test_query_texts_say_exactly_what_the_truth_says(shop: Tables) -> None:
    a = assortment()
    queries = truth(shop, "queries").join(shop.frame("queries"), on="query_id")
    noise = {a.phrases[number] for number in a.query_noise}
    for query in queries.iter_rows(named=True):
        forms = [[query["brand"].lower()]] if query["brand"] else []
        for pair in query["constraints"]:
            attribute = a.attributes.index(pair["name"])
            value = a.values[attribute].index(pair["value"])
            forms.append([a.phrases[n].lower() for n in a.spellings[attribute, value] if n >= 0])
        nouns = [a.phrases[n].lower() for n in (*a.nouns[query["leaf"]], *a.plurals[query["leaf"]]) if n >= 0]
        rests = {f" {query['clean']} "}
        for choices in [*forms, nouns]:
            rests = {rest.replace(f" {form} ", " ", 1) for rest in rests for form in choices if f" {form} " in rest}
        assert {rest.strip() for rest in rests} & (noise | {""}), query
        assert query["misspelt"] == (query["text"] != query["clean"])
        assert (
            query["broadness"]
            == {
                (False, False): "category",
                (False, True): "category+attribute",
                (True, False): "category+brand",
                (True, True): "narrow",
            }[bool(query["brand"]), bool(query["constraints"])]
        )
    assert queries["misspelt"].mean() == pytest.approx(0.15, abs=0.06)


def test_broad_queries_are_asked_more_often_and_frequency_is_zipf(shop: Tables) -> None:
    queries = truth(shop, "queries").join(shop.frame("queries"), on="query_id")
    frequency = np.sort(queries["frequency"].to_numpy())[::-1]
    ranks = np.arange(1, len(frequency) + 1)
    assert np.polyfit(np.log(ranks), np.log(frequency), 1)[0] == pytest.approx(-1, abs=0.05)
    means = dict(queries.group_by("broadness").agg(pl.col("frequency").median()).iter_rows())
    assert means["category"] > 3 * means["narrow"]


def test_families_in_the_written_tables(shop: Tables) -> None:
    items = truth(shop, "items").join(shop.frame("catalogue"), on="item_id")
    pairs = items.join(items, left_on="family", right_on="item_id", suffix="_head")
    duplicates = pairs.filter(role="duplicate")
    assert 0.03 < duplicates.height / items.height < 0.1
    assert (duplicates["attributes"] == duplicates["attributes_head"]).all()
    assert (duplicates["title"] != duplicates["title_head"]).mean() > 0.9
    variants = pairs.filter(role="variant")
    assert 0.2 < variants.height / items.height < 0.45
    for row in variants.iter_rows(named=True):
        assert row["taxonomy"] == row["taxonomy_head"] and row["brand"] == row["brand_head"]
        assert row["attributes"][:-1] == row["attributes_head"][:-1]
        assert row["attributes"][-1]["name"] == row["attributes_head"][-1]["name"]
        assert row["attributes"][-1]["value"] != row["attributes_head"][-1]["value"]
    grouped = items.filter(pl.col("role") != "duplicate").group_by("family")
    last = grouped.agg(pl.col("attributes").n_unique() == pl.len())
    assert last["attributes"].all()


def test_titles_are_ragged_but_honest(shop: Tables) -> None:
    a = assortment()
    items = truth(shop, "items").join(shop.frame("catalogue"), on="item_id")
    canonical = 0
    for row in items.iter_rows(named=True):
        nouns = [a.phrases[n].lower() for n in a.nouns[row["leaf"]] if n >= 0]
        assert any(noun in row["title"].lower() for noun in nouns), row["title"]
        canonical += nouns[0] in row["title"].lower()
        assert row["title"] == row["title"].strip() and "  " not in row["title"]
    assert 0.4 < canonical / items.height < 0.95
    silent = items.filter(
        ~pl.col("title").str.to_lowercase().str.contains(pl.col("brand").str.to_lowercase(), literal=True)
    )
    assert 0.05 < silent.height / items.height < 0.2


def test_wrong_settings_and_ids_are_refused(shop: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for bad in ({"items": 5}, {"queries": 0}, {"users": 0}, {"seed": -1}, {"label_errors": 1.5}):
        with pytest.raises(SettingError):
            write(tmp_path / "bad", **bad)
    monkeypatch.setattr(asking, "SHARES", (1.0, 0.0, 0.0, 0.0))
    monkeypatch.setattr(asking, "MISSPELT", 0.0)
    with pytest.raises(SettingError, match="fewer than 3,000 different queries"):
        write(tmp_path / "bad", items=100, queries=3000)
    assert not list(tmp_path.iterdir())
    known = Truth(shop.folder)
    with pytest.raises(InputError, match="i00002000"):
        known.grade(["q000000"], ["i00002000"])
    with pytest.raises(InputError, match="no query 'x1'"):
        known.relevant("x1")
    with pytest.raises(InputError, match="pairs"):
        known.grade(["q000000"], [])
    with pytest.raises(MissingError, match="only a generated shop"):
        Truth(tmp_path)


def test_a_shop_of_another_version_has_no_truth(tmp_path: Path) -> None:
    small = write(tmp_path / "old", items=100, queries=5)
    file = small.folder / "truth" / "parameters.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"version": 0}))
    with pytest.raises(InputError, match="generate it anew"):
        Truth(small.folder)


def test_a_folder_of_other_files_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("keep me")
    with pytest.raises(InputError, match="no folder of tables"):
        write(tmp_path, items=100, queries=5)
    assert (tmp_path / "letter.txt").read_text() == "keep me"


def test_the_tables_pass_the_check_without_a_problem(shop: Tables) -> None:
    assert check_tables(shop.folder).counts == {}


def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = write(tmp_path / "shop", items=100, queries=5).fingerprint()
    monkeypatch.setattr("motherlode.shop.pairs.plant", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(tmp_path / "shop", items=200, queries=5)
    assert Tables(tmp_path / "shop").fingerprint() == before
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_catalogue(tmp_path: Path) -> None:
    # VmHWM begins anew with a program; ru_maxrss would carry over the peak of the process that started it
    program = (
        "import sys; from motherlode.shop.generate import write;"
        "write(sys.argv[1], items=int(sys.argv[2]), queries=400);"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    peak = [
        int(
            subprocess.run(
                [sys.executable, "-c", program, str(tmp_path / str(items)), str(items)],
                capture_output=True,
                check=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            ).stdout
        )
        for items in (50_000, 200_000)
    ]
    assert (peak[1] - peak[0]) * 1024 < 60e6
    assert peak[1] * 1024 < 1e9
