"""Items of an index: what a hit says, by row; files written before there was an image column."""

import numpy as np
import pyarrow as pa

from motherlode.index.items import STORED, Items
from motherlode.tables.schema import CATALOGUE

ROWS = [
    {"item_id": f"i{number}", "title": f"mug {number}", "taxonomy": ["Home"], "image": f"https://shop/{number}.jpg"}
    for number in range(5)
]


def write(path, rows, names=STORED):
    schema = pa.schema([CATALOGUE.field(name) for name in names])
    with pa.ipc.new_file(str(path), schema) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def test_a_hit_names_the_image(tmp_path):
    write(tmp_path / "items.arrow", ROWS)
    items = Items(tmp_path / "items.arrow")
    for row, told in enumerate(ROWS):
        assert items[row] == {**told, "brand": None}


def test_items_without_an_image_column_are_read_and_written_again_with_one(tmp_path):
    write(tmp_path / "old.arrow", ROWS[:3], [name for name in STORED if name != "image"])
    write(tmp_path / "new.arrow", ROWS[3:])
    items = Items(tmp_path / "old.arrow", tmp_path / "new.arrow")
    assert [items[row]["image"] for row in range(5)] == [None] * 3 + [row["image"] for row in ROWS[3:]]

    class Kept:
        def batches(self, *_):
            return items.batches(np.ones(5, bool))

    Items.write(Kept(), tmp_path / "again.arrow")
    again = Items(tmp_path / "again.arrow")
    assert [again.record(row) for row in range(5)] == [items.record(row) for row in range(5)]
