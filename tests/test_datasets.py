"""Readers of public data sets: the published layouts in small, and the real folders where there are any."""

import json
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from motherlode.datasets import info, load, names, source, typos
from motherlode.errors import InputError, MissingError, SettingError
from motherlode.tables import Tables, check_tables
from motherlode.tables.schema import SCHEMAS


def rows(tables, kind, *columns):
    return tables.frame(kind, list(columns)).rows()


def pairs(*named):
    return [{"name": name, "value": value} for name, value in named]


# --- published layouts --------------------


def test_esci_official(tmp_path):
    raw = tmp_path / "root" / "esci"
    raw.mkdir(parents=True)
    pl.DataFrame(
        {
            "example_id": [0, 1, 2, 3, 4],
            "query": ["pan", "pan", "pan", "pan", "sartén"],
            "query_id": [7, 7, 7, 7, 9],
            "product_id": ["B1", "B2", "B3", "B4", "B1"],
            "product_locale": ["us", "us", "us", "us", "es"],
            "esci_label": ["E", "S", "C", "I", "E"],
            "small_version": [0, 1, 1, 1, 1],
            "large_version": [1] * 5,
            "split": ["train", "train", "test", "test", "test"],
        }
    ).write_parquet(raw / "shopping_queries_dataset_examples.parquet")
    pl.DataFrame(
        {
            "product_id": ["B1", "B2", "B3", "B4", "B1"],
            "product_title": ["Pan", "Pot", "Lid", "Sofa", "Sartén"],
            "product_description": ["deep", None, None, None, None],
            "product_bullet_point": ["iron\nheavy", "steel", None, None, None],
            "product_brand": ["Acme", None, None, None, None],
            "product_color": ["red", None, "", "blue", None],
            "product_locale": ["us", "us", "us", "us", "es"],
        }
    ).write_parquet(raw / "shopping_queries_dataset_products.parquet")
    tables = load("esci", tmp_path / "out", root=tmp_path / "root", strict=True)
    assert [row[0] for row in rows(tables, "catalogue", "item_id")] == [
        "us:B1",
        "us:B2",
        "us:B3",
        "us:B4",
        "es:B1",
    ]
    first = tables.frame("catalogue").row(0, named=True)
    assert (first["description"], first["brand"]) == ("iron\nheavy\ndeep", "Acme")
    assert first["attributes"] == pairs(("colour", "red"))
    assert rows(tables, "queries", "query_id", "text", "locale") == [
        ("7", "pan", "us"),
        ("9", "sartén", "es"),
    ]
    assert rows(tables, "judgements", "query_id", "item_id", "grade") == [
        ("7", "us:B1", 2),
        ("7", "us:B2", 1),
        ("7", "us:B3", 1),
        ("7", "us:B4", 0),
        ("9", "es:B1", 2),
    ]


WANDS = {
    "product.csv": (
        "product_id\tproduct_name\tproduct_class\tcategory hierarchy\tproduct_description\tproduct_features\t"
        "rating_count\taverage_rating\treview_count\n"
        '0\tsolid wood bed\tBeds\tFurniture / Bedroom Furniture / Beds\t"a ""good"" bed"\t'
        "overallwidth : 64.7|dswoodtone : light : oak|broken\t15.0\t4.5\t15.0\n"
        "1\tslow cooker\tSlow Cookers\t\t\t\t\t\t\n"
    ),
    "query.csv": "query_id\tquery\tquery_class\n0\tsalon chair\tMassage Chairs\n1\tcoffee table\tTables\n",
    "label.csv": "id\tquery_id\tproduct_id\tlabel\n0\t0\t0\tExact\n1\t0\t1\tIrrelevant\n2\t1\t0\tPartial\n",
}


def test_wands(tmp_path):
    raw = tmp_path / "root" / "wands"
    raw.mkdir(parents=True)
    for name, text in WANDS.items():
        (raw / name).write_text(text)
    tables = load("wands", tmp_path / "out", root=tmp_path / "root", strict=True)
    bed, cooker = tables.frame("catalogue").rows(named=True)
    assert bed["taxonomy"] == ["Furniture", "Bedroom Furniture", "Beds"]
    assert bed["attributes"] == pairs(("overallwidth", "64.7"), ("dswoodtone", "light : oak"))
    assert bed["description"] == 'a "good" bed'
    assert (cooker["taxonomy"], cooker["description"], cooker["attributes"]) == (["Slow Cookers"], None, None)
    assert rows(tables, "judgements", "query_id", "item_id", "grade") == [
        ("0", "0", 2),
        ("0", "1", 0),
        ("1", "0", 1),
    ]


def test_homedepot_competition(tmp_path):
    raw = tmp_path / "root" / "home-depot-product-search-relevance"
    raw.mkdir(parents=True)
    train = (
        '"id","product_uid","product_title","search_term","relevance"\n'
        '2,100001,"Angle, 12 °","l bracket",2.67\n3,100001,"Angle, 12 °","angle",1.67\n'
        '9,100002,"Deck ""Over""","angle",1.75\n'
    )
    (raw / "train.csv").write_text(train, encoding="iso-8859-1")
    (raw / "test.csv").write_text('"id","product_uid","product_title","search_term"\n1,100003,"Door","door"\n')
    (raw / "product_descriptions.csv").write_text('"product_uid","product_description"\n100001,"strong"\n')
    (raw / "attributes.csv").write_text(
        '"product_uid","name","value"\n100001,"Material","Steel"\n100001,"MFG Brand Name","Acme"\n,,\n'
    )
    tables = load("homedepot", tmp_path / "out", root=tmp_path / "root", strict=True)
    catalogue = rows(tables, "catalogue", "item_id", "title", "brand", "description")
    assert catalogue == [
        ("100001", "Angle, 12 °", "Acme", "strong"),
        ("100002", 'Deck "Over"', None, None),
        ("100003", "Door", None, None),
    ]
    assert tables.frame("catalogue")["attributes"].to_list() == [pairs(("Material", "Steel")), None, None]
    assert rows(tables, "queries", "query_id", "text") == [("h00000", "angle"), ("h00001", "l bracket")]
    judged = rows(tables, "judgements", "query_id", "item_id", "grade")
    assert judged == [("h00001", "100001", 2), ("h00000", "100001", 0), ("h00000", "100002", 1)]
    (raw / "test.csv").unlink()
    (raw / "attributes.csv").unlink()
    assert load("homedepot", tmp_path / "out", root=tmp_path / "root").count("catalogue") == 2


def test_movielens_official(tmp_path):
    large, small = tmp_path / "ml-1m", tmp_path / "ml-100k"
    large.mkdir()
    small.mkdir()
    (large / "movies.dat").write_bytes("1::Amélie (2001)::Comedy|Romance\n2::Heat: Two::Crime\n".encode("latin-1"))
    (large / "ratings.dat").write_text("1::2::5::978300760\n1::1::3::978300719\n")
    flags = ["0"] * 19
    flags[5] = flags[14] = "1"
    (small / "u.item").write_bytes(f"1|Amélie (2001)|01-Jan-2001||http://x|{'|'.join(flags)}\n".encode("latin-1"))
    (small / "u.data").write_text("196\t1\t3\t881250949\n")
    tables = load("ml1m", tmp_path / "out1", root=tmp_path, strict=True)
    assert tables.frame("catalogue")["attributes"][0].to_list() == pairs(("genre", "Comedy"), ("genre", "Romance"))
    times = [datetime.fromtimestamp(second, UTC) for second in (978300719, 978300760)]
    assert rows(tables, "interactions", "item_id", "time") == [("1", times[0]), ("2", times[1])]
    tables = load("ml100k", tmp_path / "out2", root=tmp_path, strict=True)
    expected = pairs(("genre", "Comedy"), ("genre", "Romance"), ("year", "2001"))
    assert tables.frame("catalogue")["attributes"].to_list() == [expected]
    assert rows(tables, "interactions", "user_id", "item_id") == [("196", "1")]


# --- finding, fetching, refusing --------------------


def test_missing_files_are_named_with_publisher_and_licence(tmp_path):
    for name in set(names()) - {"shop", "esci", "wands"}:
        with pytest.raises(MissingError) as caught:
            load(name, tmp_path / "out", root=tmp_path)
        folder, files = list(info(name).layouts.items())[-1]
        for part in (name, str(tmp_path / folder), files[0], info(name).licence, info(name).publisher):
            assert part in str(caught.value)
    with pytest.raises(SettingError, match="no data set 'amazon'"):
        load("amazon", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_published_files_are_fetched_once_and_recorded(tmp_path, monkeypatch):
    origin = tmp_path / "origin"
    origin.mkdir()
    for name, text in WANDS.items():
        (origin / name).write_text(text)
    about = info("wands")
    urls = {name: (origin / name).as_uri() for name in WANDS}
    monkeypatch.setattr("motherlode.datasets.wands.INFO", source.DataSet(**{**vars(about), "urls": urls}))
    tables = load("wands", tmp_path / "out", root=tmp_path / "root")
    assert tables.source["sha256"] == {name: source.sha256(origin / name) for name in sorted(WANDS)}
    assert tables.source["rows"] == {"catalogue": 2, "queries": 2, "judgements": 3}
    for name in WANDS:
        (origin / name).unlink()
    assert load("wands", tmp_path / "out", root=tmp_path / "root").fingerprint() == tables.fingerprint()


def test_a_failed_fetch_leaves_nothing(tmp_path, monkeypatch):
    urls = {"product.csv": (tmp_path / "nowhere").as_uri()}
    monkeypatch.setattr("motherlode.datasets.wands.INFO", source.DataSet(**{**vars(info("wands")), "urls": urls}))
    with pytest.raises(MissingError, match="fetching failed"):
        load("wands", tmp_path / "out", root=tmp_path / "root")
    assert list(tmp_path.iterdir()) == []


def test_bad_rows_are_set_aside_or_refused(tmp_path):
    raw = tmp_path / "root" / "wands"
    raw.mkdir(parents=True)
    for name, text in WANDS.items():
        (raw / name).write_text(text)
    (raw / "label.csv").write_text(WANDS["label.csv"] + "3\t1\t99\tExact\n4\t1\t1\tPerhaps\n")
    with pytest.raises(InputError, match="unknown grade"):
        load("wands", tmp_path / "out", root=tmp_path / "root", strict=True)
    assert not (tmp_path / "out").exists()
    tables = load("wands", tmp_path / "out", root=tmp_path / "root")
    assert tables.source["set_aside"] == {"unknown grade": 1, "unknown item": 1}
    rejects = (tmp_path / "out" / "judgements.rejects.jsonl").read_text().splitlines()
    assert [json.loads(line)["values"]["item_id"] for line in rejects] == ["1", "99"]


def test_the_generated_shop_is_a_data_set(tmp_path):
    tables = load("shop", tmp_path / "out")
    assert tables.source["simulated"] is True
    assert check_tables(tmp_path / "out").counts == {}


# --- the real folders --------------------

REAL = {
    "esci": {"catalogue": 6764, "queries": 150, "judgements": 6678},
    "homedepot": {"catalogue": 54667, "queries": 9417, "judgements": 59083},
    "beauty": {"catalogue": 12101, "interactions": 198502},
    "instruments": {"catalogue": 6250, "interactions": 136226},
    "ml1m": {"catalogue": 3883, "interactions": 1000209, "features": 3872},
    "ml100k": {"catalogue": 1682, "interactions": 100000},
}


@pytest.fixture(scope="module")
def real(data_root, tmp_path_factory):
    """Load a real data set once, strictly: there is nothing in it to set aside."""
    loaded = {}

    def get(name) -> Tables:
        if name not in loaded:
            loaded[name] = load(name, tmp_path_factory.mktemp("real") / name, root=data_root, strict=True)
        return loaded[name]

    return get


@pytest.mark.parametrize("name", REAL)
def test_real_counts(real, name):
    tables = real(name)
    assert tables.source["rows"] == REAL[name] == {k: tables.count(k) for k in SCHEMAS if tables.has(k)}
    assert tables.source["set_aside"] == tables.source["warnings"] == {}
    assert tables.source["licence"] == info(name).licence


def test_real_esci_grades_and_texts(real, data_root):
    tables = real("esci")
    judged = pl.read_parquet(data_root / "esci_us_150q" / "judgments.parquet")
    letters = {"E": 2, "S": 1, "C": 1, "I": 0}
    assert tables.frame("judgements")["grade"].to_list() == [letters[letter] for letter in judged["esci"]]
    products = pl.read_parquet(data_root / "esci_us_150q" / "products.parquet")
    paths = [None if path is None else path.split(" > ") for path in products["category_path"]]
    assert tables.frame("catalogue")["taxonomy"].to_list() == paths
    assert tables.frame("catalogue")["title"].equals(products["title"])


def test_real_homedepot_grades_ids_and_corrections(real, data_root):
    tables = real("homedepot")
    raw = pl.read_parquet(data_root / "homedepot_search" / "judgments.parquet")
    assert tables.frame("judgements")["grade"].cast(pl.Int64).equals(raw["label3"].rename("grade"))
    queries = dict(rows(tables, "queries", "query_id", "text"))
    # Ids rise with the texts, as the reader of the competition's own files numbers them.
    assert [queries[query] for query in sorted(queries)] == sorted(set(raw["query"]))
    corrections = pl.read_parquet(tables.folder / "corrections.parquet")
    assert corrections.columns == ["query_id", "text", "corrected"]
    assert len(corrections) == 1308
    assert all(queries[query] == text for query, text, _ in corrections.rows())


def test_real_sequences_keep_their_order(real, data_root):
    raw = pl.read_parquet(data_root / "amazon_beauty" / "interactions.parquet")
    user = raw["user_id"][1000]
    expected = raw.filter(user_id=user).sort("position")["item_id"].to_list()
    assert real("beauty").frame("interactions").filter(user_id=user)["item_id"].to_list() == expected
    assert real("beauty").frame("interactions")["user_id"].n_unique() == 22363
    assert real("instruments").frame("interactions")["user_id"].n_unique() == 17112
    assert real("ml100k").frame("interactions")["time"].is_sorted()


def test_real_posters_belong_to_their_films(real, data_root):
    with np.load(data_root / "ml1m_posters" / "poster_emb_effnetlite0_1280.npz") as arrays:
        ids, vectors = arrays["item_id"], arrays["emb"]
    features = real("ml1m").frame("features")
    assert set(features["view"]) == {"image"}
    at = {item: number for number, item in enumerate(features["item_id"])}
    for number in (0, 17, len(ids) - 1):
        stored = features["vector"][at[str(ids[number])]].to_numpy()
        assert np.array_equal(stored, vectors[number].astype(np.float32))


def test_real_online_retail_keeps_sales_to_known_customers(real, data_root):
    raw = pl.read_parquet(data_root / "online_retail_uci" / "transactions.parquet")
    sold, items = 0, set()
    for text, quantity, customer in raw.select("Description", "Quantity", "CustomerID").iter_rows():
        if quantity > 0 and customer is not None and text is not None:
            sold += 1
            items.add(text.strip())
    tables = real("online_retail")
    assert tables.source["rows"] == {"catalogue": len(items), "interactions": sold}
    assert set(tables.frame("catalogue")["title"]) == items


def test_real_typos(data_root):
    words = typos.read(data_root)
    assert words.columns == ["misspelling", "correction"]
    assert len(words) == 96395
    assert ("programing", "programming") in words.rows()
