"""Planted faults are found, named, counted and set aside; what is right is written, and nothing else."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from motherlode.errors import InputError, MissingError, SettingError
from motherlode.tables import GradeMap, Tables, check_tables, import_tables
from motherlode.tables.schema import SCHEMAS

GOOD = {
    "catalogue.csv": "item_id,title,brand\na,Pan,Acme\nb,Pot,\nc,Lid,\n",
    "queries.csv": "query_id,text,frequency\n1,pan,9\n2,pot,\n3,sieve,1\n",
    "judgements.csv": "query_id,item_id,grade,confidence\n1,a,2,0.5\n1,b,S,\n2,b,0,\n",
    "engagement.csv": "query_id,item_id,impressions,clicks\n1,a,10,2\n",
    "interactions.csv": "user_id,item_id,event\nu,a,view\nu,b,\n",
    "features.jsonl": '{"item_id": "a", "view": "text", "vector": [1, 2]}\n',
}


def source(folder, **files):
    """A right folder with some files changed; a text that starts with + is appended."""
    folder.mkdir(exist_ok=True)
    for name, text in {**GOOD, **{name.replace("__", "."): text for name, text in files.items()}}.items():
        content = GOOD[name] + text[1:] if text.startswith("+") else text
        (folder / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    return folder


def test_right_tables_are_written_as_they_are(tmp_path):
    report = import_tables(source(tmp_path / "in"), tmp_path / "out")
    assert report.counts == report.warnings == {}
    assert report.rows == report.read
    tables = Tables(tmp_path / "out")
    for kind, schema in SCHEMAS.items():
        assert tables.count(kind) == report.rows[kind]
        assert next(tables.batches(kind)).schema.equals(schema)
    assert tables.frame("judgements")["grade"].to_list() == [2, 1, 0]
    assert tables.frame("catalogue")["brand"].to_list() == ["Acme", None, None]
    again = check_tables(tmp_path / "out")
    assert (again.rows, again.facts, again.counts) == (report.rows, report.facts, {})


def test_facts(tmp_path):
    facts = import_tables(source(tmp_path / "in"), tmp_path / "out").facts
    assert facts["grade_shares"] == {"0": 1 / 3, "1": 1 / 3, "2": 1 / 3}
    assert facts["queries_with_one_grade"] == 1  # query 2
    assert facts["queries_without_judgements"] == 1  # query 3
    assert facts["items_without_judgements"] == 1  # item c
    assert facts["missing"]["catalogue"]["brand"] == 2 / 3
    assert facts["missing"]["judgements"]["confidence"] == 2 / 3


# file, text to append, (kind, field, line), value the message shows
PLANTED = [
    ("catalogue.csv", ",No id,\n", ("missing id", "item_id", 5), ""),
    ("catalogue.csv", "a,Again,\n", ("duplicate item id", "item_id", 5), "a"),
    ("catalogue.csv", "d, ,\n", ("empty title", "title", 5), ""),
    ("catalogue.csv", "d,br\udcffken,\n", ("broken UTF-8", "title", 5), "br\\udcffken"),
    ("catalogue.csv", "d\n", ("unreadable row", "the whole row", 5), ""),
    ("queries.csv", "4,many,1e400\n", ("not a finite number", "frequency", 5), "1e400"),
    ("queries.csv", "1,again,\n", ("duplicate query id", "query_id", 5), "1"),
    ("queries.csv", "4,,\n", ("empty query text", "text", 5), ""),
    ("queries.csv", "4,x,-1\n", ("negative count", "frequency", 5), "-1"),
    ("queries.csv", "4,x,often\n", ("unreadable value", "frequency", 5), "often"),
    ("judgements.csv", "2,c,3,\n", ("unknown grade", "grade", 5), "3"),
    ("judgements.csv", "2,c,X,\n", ("unknown grade", "grade", 5), "X"),
    ("judgements.csv", "2,c,,\n", ("missing grade", "grade", 5), ""),
    ("judgements.csv", "9,c,1,\n", ("unknown query", "query_id", 5), "9"),
    ("judgements.csv", "2,z,1,\n", ("unknown item", "item_id", 5), "z"),
    ("judgements.csv", "1,a,0,\n", ("conflicting judgement", "grade", 5), "0"),
    ("judgements.csv", "2,c,1,nan\n", ("not a finite number", "confidence", 5), "nan"),
    ("engagement.csv", "1,b,-3,\n", ("negative count", "impressions", 3), "-3"),
    ("engagement.csv", "1,b,inf,\n", ("not a finite number", "impressions", 3), "inf"),
    ("interactions.csv", ",a,\n", ("missing id", "user_id", 4), ""),
    ("interactions.csv", "u,z,\n", ("unknown item", "item_id", 4), "z"),
    (
        "features.jsonl",
        '{"item_id": "b", "view": "text", "vector": []}\n',
        ("missing vector", "vector", 2),
        "[]",
    ),
    (
        "features.jsonl",
        '{"item_id": "b", "view": "text", "vector": [1]}\n',
        ("vector of another length", "vector", 2),
        "[1]",
    ),
    (
        "features.jsonl",
        '{"item_id": "b", "view": "text", "vector": [1, NaN]}\n',
        ("not a finite number", "vector", 2),
        "[1, nan]",
    ),
    (
        "features.jsonl",
        '{"item_id": "a", "view": "text", "vector": [1, 3]}\n',
        ("duplicate vector", "view", 2),
        "text",
    ),
    ("features.jsonl", "[" * 3000 + "\n", ("unreadable row", "the whole row", 2), ""),
    ("features.jsonl", "1" * 5000 + "\n", ("unreadable row", "the whole row", 2), ""),
    ("features.jsonl", '{"item_id": "a", "view": "text"\n', ("unreadable row", "the whole row", 2), ""),
]


@pytest.mark.parametrize(("file", "text", "problem", "value"), PLANTED)
def test_a_planted_fault_is_named_and_set_aside(tmp_path, file, text, problem, value):
    kind, field, line = problem
    table = file.split(".")[0]
    folder = source(tmp_path / "in", **{file.replace(".", "__"): "+" + text})
    with pytest.raises(InputError) as caught:
        import_tables(folder, tmp_path / "out")
    shown = f" ({value})" if value else ""
    assert f"{folder / file}, line {line}, {field}: {kind}{shown}; " in str(caught.value)
    assert f"1 {kind}" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]

    right = import_tables(source(tmp_path / "right"), tmp_path / "expected")
    report = import_tables(folder, tmp_path / "out", strict=False)
    assert report.counts == {kind: 1}
    assert report.rows == right.rows
    assert report.read[table] == right.read[table] + 1
    for name in SCHEMAS:
        assert Tables(tmp_path / "out").frame(name).equals(Tables(tmp_path / "expected").frame(name))
    (rejects,) = (tmp_path / "out").glob("*.rejects.jsonl")
    assert rejects.name == f"{table}.rejects.jsonl"
    (row,) = map(json.loads, rejects.read_text().splitlines())
    assert (row["file"], row["row"], row["field"], row["problem"]) == (file, line, field, kind)
    assert all(part in str(row["values"]) for part in ([value] if value and "udc" not in value else []))
    assert check_tables(tmp_path / "out").counts == {}


def test_broken_bytes_survive_in_the_rejects(tmp_path):
    folder = source(tmp_path / "in", catalogue__csv="+d,br\udcffken,\n")
    import_tables(folder, tmp_path / "out", strict=False)
    row = json.loads((tmp_path / "out" / "catalogue.rejects.jsonl").read_text())
    assert row["values"]["title"].encode("utf-8", "surrogateescape") == b"br\xffken"


def test_repeated_judgements_are_dropped_and_odd_clicks_kept(tmp_path):
    files = {"judgements__csv": "+1,b,1,0.9\n1,b,1,0.9\n", "engagement__csv": "+1,b,2,5\n"}
    report = import_tables(source(tmp_path / "in", **files), tmp_path / "out")
    assert report.counts == {}
    assert report.warnings == {"repeated judgement": 2, "more clicks than impressions": 1}
    assert Tables(tmp_path / "out").count("judgements") == 3
    assert Tables(tmp_path / "out").frame("engagement")["clicks"].to_list() == [2, 5]
    assert not list((tmp_path / "out").glob("*.rejects.jsonl"))


def test_what_refers_to_a_rejected_item_is_rejected_too(tmp_path):
    folder = source(tmp_path / "in", catalogue__csv="item_id,title\na,Pan\nb,\nc,Lid\n")
    report = import_tables(folder, tmp_path / "out", strict=False)
    assert report.counts == {"empty title": 1, "unknown item": 3}  # two judgements, one interaction


def test_the_first_problem_is_the_first_line_that_is_wrong(tmp_path):
    folder = source(tmp_path / "in", catalogue__csv="+d,,\na,Again,\ne\n")
    with pytest.raises(InputError, match="line 5, title: empty title") as caught:
        import_tables(folder, tmp_path / "out")
    assert "1 unreadable row, 1 empty title, 1 duplicate item id" in str(caught.value)


def test_examples_are_few_and_counts_are_all(tmp_path):
    folder = source(tmp_path / "in", catalogue__csv="+" + ",x,\n" * 50)
    report = import_tables(folder, tmp_path / "out", strict=False)
    assert report.counts == {"missing id": 50}
    assert [problem.place.split()[-1] for problem in report.problems] == ["5", "6", "7"]
    assert len((tmp_path / "out" / "catalogue.rejects.jsonl").read_text().splitlines()) == 50
    assert json.loads(json.dumps(report.as_dict()))["counts"] == report.counts


def test_check_of_a_spoilt_canonical_folder(tmp_path):
    import_tables(source(tmp_path / "in"), tmp_path / "out")
    path = tmp_path / "out" / "judgements.parquet"
    spoilt = pl.read_parquet(path).with_columns(grade=pl.Series([2, 1, 7], dtype=pl.Int8))
    spoilt.write_parquet(path)
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    report = check_tables(tmp_path / "out")
    assert report.counts == {"unknown grade": 1}
    assert "judgements.parquet, row 3, grade: unknown grade (7)" in str(report.problems[0])
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before


def test_print_says_what_was_read_and_what_is_wrong(tmp_path):
    files = {"catalogue__csv": "+d,[bold],x,y\n", "queries__csv": "query_id,text,note\n1,a,\n2,b,\n3,c,\n"}
    report = import_tables(source(tmp_path / "in", **files), tmp_path / "out", strict=False)
    console = Console(width=200, record=True, file=(tmp_path / "printed").open("w"))
    report.print(console)
    console.file.close()
    printed = (tmp_path / "printed").read_text()
    for part in (
        "1 x unreadable row",
        "catalogue.csv, line 5",
        "queries: columns not used: note",
        "brand 67%",
        "2: 33.3%",
    ):
        assert part in printed


def test_columns_and_grades_pass_through_and_a_wrong_name_is_an_error(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "catalogue.csv").write_text("id,name\na,Pan\n")
    (folder / "queries.jsonl").write_text('{"id": 1, "q": "pan"}\n')
    (folder / "judgements.tsv").write_text("q\tp\tr\n1\ta\t2.5\n")
    names = {"catalogue.id": "item_id", "name": "title", "queries.id": "query_id", "queries.q": "text"}
    names |= {"judgements.q": "query_id", "p": "item_id", "r": "grade"}
    grades = GradeMap(cuts=(1.75, 2.67))
    import_tables(folder, tmp_path / "out", columns=names, grades=grades)
    assert Tables(tmp_path / "out").frame("judgements")["grade"].to_list() == [1]
    with pytest.raises(SettingError, match="colour"):
        import_tables(folder, tmp_path / "out", columns={**names, "colour": "brand"}, grades=grades)


def test_beir_folder(tmp_path):
    (tmp_path / "in" / "qrels").mkdir(parents=True)
    documents = [
        {"_id": "d1", "title": "Pan", "text": "of iron", "metadata": {}},
        {"_id": "d2", "title": "", "text": "Pot"},
    ]
    (tmp_path / "in" / "corpus.jsonl").write_text("\n".join(map(json.dumps, documents)))
    (tmp_path / "in" / "queries.jsonl").write_text('{"_id": "q1", "text": "pan", "metadata": {}}')
    for part, row in (("train", "q1\td1\t2"), ("test", "q1\td2\t0")):
        (tmp_path / "in" / "qrels" / f"{part}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{row}\n")
    import_tables(tmp_path / "in", tmp_path / "out")
    tables = Tables(tmp_path / "out")
    assert tables.frame("catalogue").select("item_id", "title", "description").rows() == [
        ("d1", "Pan", "of iron"),
        ("d2", "Pot", "Pot"),
    ]
    judged = tables.frame("judgements").select("query_id", "item_id", "grade")
    assert sorted(judged.rows()) == [("q1", "d1", 2), ("q1", "d2", 0)]


def test_several_qrels_files_are_one_table(tmp_path):
    folder = source(tmp_path / "in")
    (folder / "judgements.csv").unlink()
    (folder / "qrels.train.txt").write_text("1 0 a 2\n")
    (folder / "qrels.test").write_text("1 0 b 1\n1 0 a 0\n")
    report = import_tables(folder, tmp_path / "out", strict=False)
    assert report.rows["judgements"] == 2
    assert report.counts == {"conflicting judgement": 1}


def test_folders_that_cannot_be_read(tmp_path):
    folder = source(tmp_path / "in")
    (folder / "catalogue.parquet").write_bytes(b"")
    with pytest.raises(InputError, match="both the catalogue table"):
        import_tables(folder, tmp_path / "out")
    (folder / "catalogue.parquet").unlink()
    (folder / "queries.csv").unlink()
    with pytest.raises(MissingError, match="no queries"):
        import_tables(folder, tmp_path / "out")
    (folder / "catalogue.csv").write_text("item_id,title\n")
    (folder / "queries.csv").write_text("query_id,text\n1,a\n")
    with pytest.raises(InputError, match="holds no items"):
        import_tables(folder, tmp_path / "out")
    (folder / "catalogue.csv").unlink()
    with pytest.raises(MissingError, match="no catalogue"):
        check_tables(folder)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_things_is_never_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="no folder of tables"):
        import_tables(source(tmp_path / "in"), tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"


PAIR = st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 3))


@settings(max_examples=40)
@given(st.lists(PAIR, max_size=40), st.integers(1, 7))
def test_same_judgements_as_a_slow_loop(tmp_path_factory, pairs, rows):
    folder = tmp_path_factory.mktemp("check")
    lines = "".join(f"{query},{item},{grade}\n" for query, item, grade in pairs)
    files = {
        "catalogue__csv": "item_id,title\n" + "".join(f"{n},t\n" for n in range(4)),
        "queries__csv": "query_id,text\n" + "".join(f"{n},t\n" for n in range(5)),
        "judgements__csv": "query_id,item_id,grade\n" + lines,
        "engagement__csv": "query_id,item_id\n",
        "interactions__csv": "user_id,item_id\n",
        "features__jsonl": "",
    }
    kept, counts, warnings = {}, {}, {}
    for query, item, grade in pairs:
        known = kept.get((query, item))
        if grade == 3:
            problem = "unknown grade"
        elif query > 4:
            problem = "unknown query"
        elif item > 3:
            problem = "unknown item"
        elif known is not None:
            problem = "repeated judgement" if known == grade else "conflicting judgement"
        else:
            kept[query, item] = grade
            continue
        target = warnings if problem == "repeated judgement" else counts
        target[problem] = target.get(problem, 0) + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("motherlode.tables.raw.ROWS", rows)
        report = import_tables(source(folder / "in", **files), folder / "out", strict=False)
    assert (report.counts, report.warnings) == (counts, warnings)
    judged = Tables(folder / "out").frame("judgements")
    expected = [(str(query), str(item), grade) for (query, item), grade in kept.items()]
    assert judged.select("query_id", "item_id", "grade").rows() == expected
    if kept:
        by_query = {}
        for (query, _), grade in kept.items():
            by_query.setdefault(query, set()).add(grade)
        assert report.facts["queries_with_one_grade"] == sum(len(g) == 1 for g in by_query.values())
        assert report.facts["queries_without_judgements"] == 5 - len(by_query)
        assert report.facts["items_without_judgements"] == 4 - len({item for _, item in kept})
        shares = np.bincount(list(kept.values()), minlength=3) / len(kept)
        assert report.facts["grade_shares"] == {str(g): pytest.approx(shares[g]) for g in range(3)}
