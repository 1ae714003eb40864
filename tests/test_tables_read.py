"""Every form of file gives the same table; every value lands in the schema's type or is named."""

import gzip
import json
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode.errors import InputError
from motherlode.tables import raw
from motherlode.tables.grades import GradeMap
from motherlode.tables.read import read
from motherlode.tables.schema import SCHEMAS

ITEMS = [
    {
        "item_id": "1",
        "title": 'Pan, 28 cm, "heavy"\nof iron',
        "taxonomy": ["Home", "Pans"],
        "attributes": {"colour": "red", "weight": 2.5},
    },
    {"item_id": "b", "title": "Pfännchen ✓", "taxonomy": None, "attributes": None},
]
PAIRS = [[{"name": "colour", "value": "red"}, {"name": "weight", "value": "2.5"}], None]


def whole(kind, path, **options):
    """All batches as one frame, with the row numbers and (kind, field, rows) of the faults."""
    batches = list(read(kind, path, **options))
    faults = [(f.kind, f.field, b.rows[f.at].tolist()) for b in batches for f in b.faults if len(f.at)]
    return pl.concat([b.frame for b in batches]), [int(n) for b in batches for n in b.rows], faults


def csv_text(items):
    def quoted(value):
        return '"' + value.replace('"', '""') + '"'

    lines = ["item_id,title,taxonomy,attributes"]
    for item in items:
        path = " > ".join(item["taxonomy"] or [])
        pairs = json.dumps(item["attributes"]) if item["attributes"] else ""
        lines.append(",".join(quoted(v) for v in (item["item_id"], item["title"], path, pairs)))
    return "\n".join(lines) + "\n"


def write_items(folder, form):
    path = folder / f"catalogue.{form}"
    text = csv_text(ITEMS)
    if form == "csv":
        path.write_text("\ufeff" + text)  # spreadsheets write a byte-order mark
    elif form == "csv.gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif form == "tsv":
        rows = ["item_id\ttitle\ttaxonomy\tattributes"]
        rows += [f'{i["item_id"]}\t"{i["title"].replace(chr(34), chr(34) * 2)}"' for i in ITEMS]
        rows[1] += "\tHome > Pans\t" + '"[{""name"": ""colour"", ""value"": ""red""}, {""name"": ""weight"", '
        rows[1] += '""value"": 2.5}]"'
        rows[2] += "\t\t"
        path.write_text("\n".join(rows))
    elif form == "jsonl":
        path.write_text("\n\n".join(json.dumps(item) for item in ITEMS))
    elif form == "parquet-map":
        pairs = [[("colour", "red"), ("weight", "2.5")], None]
        columns = {name: [item[name] for item in ITEMS] for name in ("item_id", "title", "taxonomy")}
        table = pa.table({**columns, "attributes": pa.array(pairs, pa.map_(pa.string(), pa.string()))})
        pq.write_table(table, path.with_suffix(".parquet"))
    elif form == "parquet-list":
        pl.DataFrame({**pl.DataFrame(ITEMS).drop("attributes").to_dict(), "attributes": PAIRS}).write_parquet(
            path.with_suffix(".parquet")
        )
    else:
        pl.DataFrame(ITEMS).write_parquet(path.with_suffix(".parquet"))  # attributes as a struct
    return next(folder.iterdir())


@pytest.mark.parametrize("form", ["csv", "csv.gz", "tsv", "jsonl", "parquet-map", "parquet-list", "parquet-struct"])
def test_every_form_gives_the_same_table(tmp_path, form):
    frame, rows, faults = whole("catalogue", write_items(tmp_path, form))
    assert frame["item_id"].to_list() == ["1", "b"]
    assert frame["title"].to_list() == [item["title"] for item in ITEMS]
    assert frame["taxonomy"].to_list() == [["Home", "Pans"], None]
    assert frame["attributes"].to_list() == PAIRS
    assert frame.to_arrow().cast(SCHEMAS["catalogue"]).schema == SCHEMAS["catalogue"]
    assert faults == []
    # The first title runs over two lines of the text files.
    assert rows == ([1, 2] if "parquet" in form else [1, 3] if form == "jsonl" else [2, 4])


def test_qrels_have_lines_and_grades(tmp_path):
    path = tmp_path / "qrels.test.txt"
    path.write_text("q1 0 d1 2\n\nq1\t0\td2\t0\nq2 0 d1\nq2 0 d2 7\n")
    frame, rows, faults = whole("judgements", path)
    assert rows == [1, 3, 4, 5]
    assert frame["grade"].to_list() == [2, 0, None, None]
    assert faults == [("unreadable row", "the whole row", [4]), ("unknown grade", "grade", [5])]


def test_renames_and_grade_map(tmp_path):
    path = tmp_path / "judgements.csv"
    path.write_text("id,product_id,score\nq,7,2.1\n")
    names = {"judgements.id": "query_id", "id": "item_id", "product_id": "item_id", "score": "grade"}
    frame, _, _ = whole("judgements", path, columns=names, grades=GradeMap(cuts=(1.75, 2.67)))
    assert frame.select("query_id", "item_id", "grade").row(0) == ("q", "7", 1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("A / B", ["A / B"]),
        ("A > B >  C ", ["A", "B", "C"]),
        ('["A", " B ", null, ""]', ["A", "B"]),
        (["A", "B"], ["A", "B"]),
        ([], None),
        ("", None),
    ],
)
def test_taxonomy_may_be_text_or_list(tmp_path, value, expected):
    path = tmp_path / "catalogue.jsonl"
    path.write_text(json.dumps({"item_id": 1, "title": "t", "taxonomy": value}))
    assert whole("catalogue", path)[0]["taxonomy"].to_list() == [expected]


def test_taxonomy_separator(tmp_path):
    path = tmp_path / "catalogue.csv"
    path.write_text("item_id,title,taxonomy\n1,t,A|B\n")
    assert whole("catalogue", path, separator="|")[0]["taxonomy"].to_list() == [["A", "B"]]


NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-01-31T12:00:00Z", NOON),
        ("2026-01-31T13:00:00+01:00", NOON),
        ("2026-01-31 12:00", NOON),
        ("2026-01-31", NOON.replace(hour=0)),
        (int(NOON.timestamp()), NOON),
        (str(NOON.timestamp()), NOON),
    ],
)
def test_times_are_utc(tmp_path, value, expected):
    path = tmp_path / "interactions.jsonl"
    rows = [{"user_id": "u", "item_id": "i", "time": time} for time in (value, None)]
    path.write_text("\n".join(map(json.dumps, rows)))
    frame, _, faults = whole("interactions", path)
    assert (frame["time"].to_list(), faults) == ([expected, None], [])


def test_mixed_and_unreadable_times(tmp_path):
    path = tmp_path / "interactions.csv"
    path.write_text("user_id,item_id,time\nu,i,2026-01-31T12:00:00Z\nu,i,2026-01-31\nu,i,soon\nu,i,\n")
    frame, _, faults = whole("interactions", path)
    assert frame["time"].to_list() == [NOON, NOON.replace(hour=0), None, None]
    assert faults == [("unreadable value", "time", [4])]


def test_naive_and_zoned_arrow_times(tmp_path):
    path = tmp_path / "interactions.parquet"
    for times in (
        pl.Series([NOON.replace(tzinfo=None)]),
        pl.Series([NOON]).dt.convert_time_zone("Asia/Tokyo"),
    ):
        pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "time": times}).write_parquet(path)
        assert whole("interactions", path)[0]["time"].to_list() == [NOON]


def test_numbers_are_whole_finite_or_named(tmp_path):
    path = tmp_path / "engagement.csv"
    path.write_text("query_id,item_id,impressions,clicks\nq,a,3.0, 4 \nq,b,2.5,\nq,c,many,1e3\nq,d,inf,nan\n")
    frame, _, faults = whole("engagement", path)
    assert frame["impressions"].to_list() == [3, None, None, None]
    assert frame["clicks"].to_list() == [4, None, 1000, None]
    assert sorted(faults) == [
        ("not a finite number", "clicks", [5]),
        ("not a finite number", "impressions", [5]),
        ("unreadable value", "impressions", [3]),
        ("unreadable value", "impressions", [4]),
    ]


def test_ids_may_be_numbers_but_not_fractions(tmp_path):
    path = tmp_path / "queries.parquet"
    pl.DataFrame({"query_id": [12.0, 1.5, None], "text": ["a", "b", "c"]}).write_parquet(path)
    frame, _, faults = whole("queries", path)
    assert frame["query_id"].to_list() == ["12", None, None]
    assert faults == [("unreadable value", "query_id", [2])]
    path = tmp_path / "queries.jsonl"
    path.write_text(f'{{"query_id": {2**70}, "text": "a"}}\n{{"query_id": "x", "text": "b"}}\n')
    assert whole("queries", path)[0]["query_id"].to_list() == [str(2**70), "x"]


@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv"])
def test_vectors(tmp_path, form):
    path = tmp_path / f"features.{form}"
    vectors = [[1.0, 2.0], [3.0, float("nan")]]
    if form == "parquet":
        fixed = pa.array(vectors, pa.list_(pa.float64(), 2))
        pq.write_table(pa.table({"item_id": ["a", "b"], "view": ["text"] * 2, "vector": fixed}), path)
    elif form == "jsonl":
        rows = [{"item_id": i, "view": "text", "vector": v} for i, v in zip("ab", vectors, strict=True)]
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        path.write_text('item_id,view,vector\na,text,"[1, 2]"\nb,text,"[3, NaN]"\n')
    frame, _, faults = whole("features", path)
    assert frame["vector"].to_list()[0] == [1.0, 2.0]
    assert [(kind, field) for kind, field, _ in faults] == [("not a finite number", "vector")]


def broken_parquet(path, column):
    parts = pa.array([b"fine", b"br\xffken", None, b"good"])
    text = pa.StringArray.from_buffers(4, parts.buffers()[1], parts.buffers()[2], parts.buffers()[0])
    columns = {"item_id": pa.array(["1", "2", "3", "4"]), "title": pa.array(["t"] * 4), column: text}
    if column == "taxonomy":
        columns[column] = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3, 4]), text)
    pq.write_table(pa.table(columns), path)


@pytest.mark.parametrize("column", ["title", "brand", "taxonomy"])
def test_broken_utf8_in_parquet_is_named(tmp_path, column):
    broken_parquet(tmp_path / "catalogue.parquet", column)
    frame, _, faults = whole("catalogue", tmp_path / "catalogue.parquet")
    assert faults == [("broken UTF-8", column, [2])]
    assert frame[column].is_null().to_list()[:2] == [False, True]


def test_broken_utf8_in_text_is_named_and_ignored_where_nobody_looks(tmp_path):
    path = tmp_path / "catalogue.csv"
    path.write_bytes(b"item_id,title,unus\xe9d\n1,ok,\xff\n2,b\xe4d,\n3,fine,\n")
    frame, _, faults = whole("catalogue", path)
    assert faults == [("broken UTF-8", "title", [3])]
    assert frame["title"].to_list() == ["ok", None, "fine"]
    assert next(read("catalogue", path)).unused == ["unus\\udce9d"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("catalogue.csv", b"item_id,name\n1,x\n", "no column title"),
        ("catalogue.csv", b"item_id,title,title\n1,x,y\n", "names a column twice"),
        ("catalogue.csv", b'item_id,title\n1,"' + b"x" * 200_000, "line 2"),
        ("catalogue.csv", b'item_id,title\n1,a\n2,"lamp\n3,desk\n', "line 3: the row never ends"),
        ("catalogue.tsv", b'item_id\ttitle\n1\ta\n\n2\t"lamp', "line 4: the row never ends"),
        ("catalogue.csv", b'item_id,"title\n1,a\n', "line 1: the row never ends"),
        ("catalogue.parquet", b"no parquet", "not a readable parquet file"),
        ("catalogue.jsonl.gz", b"no gzip", "not a whole gzip file"),
        (
            "catalogue.jsonl.gz",
            gzip.compress(b'{"item_id": "1", "title": "x"}', mtime=0)[:-9],  # no time: processes share the test's name
            "not a whole gzip file",
        ),
    ],
)
def test_files_wrong_as_a_whole(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        whole("catalogue", tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_a_column_of_a_wrong_kind_is_refused(tmp_path):
    pl.DataFrame({"item_id": ["1"], "title": [["a"]]}).write_parquet(tmp_path / "catalogue.parquet")
    with pytest.raises(InputError, match="title"):
        whole("catalogue", tmp_path / "catalogue.parquet")


TITLES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), min_size=1, max_size=12)


@settings(max_examples=40)
@given(st.lists(TITLES.filter(str.strip), min_size=1, max_size=25), st.integers(1, 9))
def test_any_text_comes_back_from_csv_with_its_line(tmp_path_factory, titles, rows):
    path = tmp_path_factory.mktemp("csv") / "catalogue.csv"
    items = [{"item_id": str(n), "title": t, "taxonomy": None, "attributes": None} for n, t in enumerate(titles)]
    text = csv_text(items)
    path.write_text(text, newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw, "ROWS", rows)  # batches of any size
        frame, lines, faults = whole("catalogue", path)
    assert (frame["title"].to_list(), faults) == (titles, [])
    assert lines == [2 + n + "".join(titles[:n]).count("\n") for n in range(len(titles))]


def test_text_may_hold_line_breaks_and_need_not_end_with_one(tmp_path):
    path = tmp_path / "catalogue.csv"
    for end in ("", "\n", "\r\n", "\n\n"):
        path.write_bytes(b'item_id,title\n1,"a\nlamp"\n2,"desk"' + end.encode())
        frame, _, faults = whole("catalogue", path)
        assert frame["title"].to_list() == ["a\nlamp", "desk"]
        assert not faults
