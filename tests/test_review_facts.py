"""What the page shows of a pair is what the tables say, and no image reference leads out of their folder."""

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode.datasets import load
from motherlode.errors import InputError
from motherlode.review.facts import Facts
from motherlode.review.queue import check_queue
from review_case import PNG, make_queue, make_tables


def with_image(tmp_path: Path, reference: str) -> str | Path | None:
    """What the item i0 of a shop shows whose image is `reference`."""
    tables = make_tables(tmp_path / "tables", 2)
    changed = tables.frame("catalogue").with_columns(
        image=pl.when(pl.col("item_id") == "i0").then(pl.lit(reference)).otherwise("image")
    )
    changed.write_parquet(tables.path("catalogue"))
    return Facts(tables, check_queue(make_queue(2))).image("i0")


def test_facts_are_the_tables(tmp_path: Path) -> None:
    tables = make_tables(tmp_path / "tables", 9)
    facts = Facts(tables, check_queue(make_queue(9)))
    items = {row["item_id"]: row for row in tables.frame("catalogue").to_dicts()}
    shown = {row["item_id"]: row for row in tables.frame("engagement").to_dicts()}
    for number in range(9):
        told = facts.of(f"q{number}", f"i{number}")
        item = items[f"i{number}"]
        assert told["query"] == f"query {number}" and told["locale"] is None
        assert {key: told["item"][key] for key in ("title", "brand", "taxonomy", "description")} == {
            key: item[key] for key in ("title", "brand", "taxonomy", "description")
        }
        assert told["item"]["attributes"] == [[one["name"], one["value"]] for one in item["attributes"]]
        assert "image" not in told["item"]
        if number % 2:
            assert told["engagement"] is None
        else:
            expected = {name: shown[f"i{number}"][name] for name in ("impressions", "clicks", "adds")}
            assert told["engagement"] == expected  # purchases are not known, and not told as none


def test_a_pair_that_the_tables_do_not_have_is_named(tmp_path: Path) -> None:
    tables = make_tables(tmp_path / "tables", 3)
    with pytest.raises(InputError, match=r"row 4: query 'q3' is not in .*queries\.parquet"):
        Facts(tables, check_queue(make_queue(5)))
    queue = make_queue(3).with_columns(item_id=pl.Series(["i0", "elsewhere", "i2"]))
    with pytest.raises(InputError, match=r"row 2: item 'elsewhere' is not in .*catalogue\.parquet"):
        Facts(tables, check_queue(queue))


def test_tables_without_engagement(tmp_path: Path) -> None:
    tables = make_tables(tmp_path / "tables", 2)
    tables.path("engagement").unlink()
    assert Facts(tables, check_queue(make_queue(2))).of("q0", "i0")["engagement"] is None


@pytest.mark.parametrize("address", ["https://shop.example/a.jpg?x=1", "HTTP://shop.example/b"])
def test_addresses_are_told_as_they_are(tmp_path: Path, address: str) -> None:
    assert with_image(tmp_path, address) == address


@pytest.mark.parametrize(
    "form",
    ["images/one.png", "./images/../images/one.png", "{folder}/images/one.png", "file://{folder}/images/one.png"],
)
def test_files_inside_the_folder_are_found(tmp_path: Path, form: str) -> None:
    found = with_image(tmp_path, form.format(folder=tmp_path / "tables"))
    assert isinstance(found, Path) and found.read_bytes() == PNG


@pytest.mark.parametrize(
    "reference",
    [
        "../secret.png",
        "images/../../secret.png",
        "{outside}/secret.png",
        "file://{outside}/secret.png",
        "file://{outside}/tables/images/%2e%2e/%2e%2e/secret.png",
        "link.png",  # a link to the file outside
        "linked/secret.png",  # inside a linked folder
        "catalogue.parquet",
        "images",
        "images/absent.png",
        "images/" + "x" * 5000 + ".png",
        "loop.png",
        "images/one.png\0.txt",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "",
    ],
)
def test_nothing_else_is(tmp_path: Path, reference: str) -> None:
    (tmp_path / "secret.png").write_bytes(PNG)
    tables = make_tables(tmp_path / "tables", 2)
    (tables.folder / "link.png").symlink_to(tmp_path / "secret.png")
    (tables.folder / "linked").symlink_to(tmp_path)
    (tables.folder / "loop.png").symlink_to(tables.folder / "loop.png")
    catalogue = tables.frame("catalogue").with_columns(image=pl.lit(reference.format(outside=tmp_path)))
    catalogue.write_parquet(tables.path("catalogue"))
    assert Facts(tables, check_queue(make_queue(2))).image("i0") is None


@settings(max_examples=40)
@given(st.lists(st.sampled_from(["..", ".", "images", "one.png", "secret.png", "/", "tables"]), max_size=6))
def test_no_path_leads_out(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("case")
    (folder / "secret.png").write_bytes(PNG)
    found = with_image(folder, "/".join(parts))
    assert found is None or found == folder / "tables/images/one.png"


def test_real_tables(data_root: Path, tmp_path: Path) -> None:
    tables = load("esci", tmp_path / "tables", root=data_root)
    judged = tables.frame("judgements").sample(200, seed=1)
    queue = check_queue(judged.select("query_id", "item_id", label="grade", label_source="source"))
    facts = Facts(tables, queue)
    texts = dict(tables.frame("queries", ["query_id", "text"]).iter_rows())
    items = {row["item_id"]: row for row in tables.frame("catalogue").to_dicts()}
    for query_id, item_id in judged.select("query_id", "item_id").iter_rows():
        told = facts.of(query_id, item_id)
        assert told["query"] == texts[query_id]
        assert told["item"]["title"] == items[item_id]["title"]
        assert facts.image(item_id) == items[item_id]["image"]
        json.dumps(told, allow_nan=False)
