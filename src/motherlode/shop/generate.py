"""Write a generated shop: the tables, and beside them the truth. What is measured on it is called simulated."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from motherlode.atomic import replacing_folder, write_json
from motherlode.errors import SettingError
from motherlode.progress import bar
from motherlode.shop import engagement as clicks
from motherlode.shop import interactions as journeys
from motherlode.shop import items as numbered
from motherlode.shop import judgements as judging
from motherlode.shop import queries as asking
from motherlode.shop import views as seen
from motherlode.shop.assortment import SLOTS, assortment
from motherlode.shop.titles import descriptions, titles
from motherlode.tables.schema import ATTRIBUTES
from motherlode.tables.tables import Tables, TableWriter, write_source

VERSION = 1  # raise it whenever the same seed would no longer give the same shop
ITEM_BATCH = 20_000
VIEW_BATCH = 5_000
QUERY_BATCH = 1_000
USER_BATCH = 2_000
SMALLEST = 100

TRUTH_SCHEMAS = {
    "items": pa.schema(
        [
            ("item_id", pa.string()),
            ("leaf", pa.int16()),
            ("brand_code", pa.int16()),
            *((f"value_{slot}", pa.int8()) for slot in range(SLOTS)),
            ("family", pa.string()),  # item_id of the family's head
            ("role", pa.string()),  # original, variant, duplicate
            ("cluster", pa.int16()),
            ("popularity", pa.float32()),
        ]
    ),
    "queries": pa.schema(
        [
            ("query_id", pa.string()),
            ("clean", pa.string()),
            ("misspelt", pa.bool_()),
            ("broadness", pa.string()),
            ("category", pa.list_(pa.string())),
            ("brand", pa.string()),
            ("constraints", ATTRIBUTES),
            ("leaf", pa.int16()),
            ("brand_code", pa.int16()),
            *((f"value_{slot}", pa.int8()) for slot in range(SLOTS)),
        ]
    ),
    "planted": pa.schema(
        [
            ("query_id", pa.string()),
            ("item_id", pa.string()),
            ("true_grade", pa.int8()),
            ("planted_grade", pa.int8()),  # null where the pair is left unjudged
            ("kind", pa.string()),
        ]
    ),
    "pages": pa.schema(
        [("query_id", pa.string()), ("item_id", pa.string()), ("rank", pa.int16()), ("appeal", pa.float32())]
    ),
    "users": pa.schema([("user_id", pa.string()), ("taste", pa.int16())]),
}


def write(
    out: Path | str,
    items: int = 2000,
    queries: int | None = None,
    users: int | None = None,
    seed: int = 0,
    *,
    views: bool = False,
    engagement: bool = True,
    label_errors: float = 0.05,
    false_negatives: float = 0.05,
) -> Tables:
    """Write a shop of `items` items into the folder `out`, which appears whole or not at all.

    queries: how many, by default 9 · √items (402 for 2,000 items); each gets about 20 judgements.
    users: how many journeys; none by default, and then no interactions table.
    views: whether to write the features table; engagement: whether to write the engagement table.
    label_errors, false_negatives: shares of planted faults, see `judgements.plant`.
    Memory does not grow with `items`. The same arguments give the same tables, and row n of the catalogue and of the
    features depends on (seed, n) alone. Raises SettingError on an argument that cannot be.
    """
    if items < SMALLEST:
        raise SettingError(f"items = {items}: a generated shop has at least {SMALLEST} items.")
    if queries is None:
        queries = round(9 * items**0.5)
    if queries < 1 or seed < 0 or (users is not None and users < 1):
        raise SettingError("queries and users must be at least 1 and seed at least 0.")
    for name, share in {"label_errors": label_errors, "false_negatives": false_negatives}.items():
        if not 0 <= share < 1:
            raise SettingError(f"{name} = {share}: a share lies between 0 and 1.")
    asked = asking.draw(seed, items, queries)
    with replacing_folder(out) as folder:
        truth = folder / "truth"
        truth.mkdir()
        counts = {"catalogue": _write_catalogue(folder, seed, items)}
        if views:
            counts["features"] = _write_features(folder, seed, items)
        counts["queries"] = _write_queries(folder, asked)
        counts |= _write_pairs(folder, seed, items, asked, engagement, label_errors, false_negatives)
        if users is not None:
            counts["interactions"] = _write_interactions(folder, seed, items, users)
        settings = {
            "seed": seed,
            "items": items,
            "queries": queries,
            "users": users,
            "views": views,
            "engagement": engagement,
            "label_errors": label_errors,
            "false_negatives": false_negatives,
        }
        click_model = {
            "page": clicks.PAGE,
            "eta": clicks.ETA,
            "attraction": clicks.ATTRACTION,
            "add": clicks.ADD,
            "purchase": clicks.PURCHASE,
            "appeal_spread": clicks.APPEAL_SPREAD,
        }
        write_json(truth / "parameters.json", {"version": VERSION, **settings, "click_model": click_model})
        write_source(
            folder,
            name="shop",
            title="Generated shop",
            simulated=True,
            licence="CC0-1.0",
            origin="motherlode.shop",
            version=VERSION,
            counts=counts,
            **settings,
        )
    return Tables(out)


def _write_catalogue(folder: Path, seed: int, items: int) -> int:
    shop = assortment()
    paths = pa.array(shop.paths, pa.list_(pa.string()))
    brands = pa.array(shop.brands)
    with (
        TableWriter(folder, "catalogue") as catalogue,
        _truth(folder, "items") as truth,
        bar("catalogue", items) as advance,
    ):
        for numbers in _batches(items, ITEM_BATCH):
            codes = numbered.codes(seed, numbers)
            ids = numbered.item_ids(numbers)
            head, role = numbered.family(seed, numbers)
            catalogue.write(
                {
                    "item_id": ids,
                    "title": titles(seed, numbers, codes),
                    "taxonomy": paths.take(pa.array(codes.leaf)),
                    "brand": brands.take(pa.array(codes.brand)),
                    "attributes": _attributes(codes),
                    "description": descriptions(seed, numbers, codes),
                }
            )
            truth(
                item_id=ids,
                **_code_columns(codes),
                family=numbered.item_ids(head),
                role=pa.array(numbered.ROLES).take(pa.array(role)),
                cluster=seen.clusters(seed, numbers),
                popularity=numbered.popularity(seed, numbers),
            )
            advance(len(numbers))
    return items


def _write_features(folder: Path, seed: int, items: int) -> int:
    with TableWriter(folder, "features") as features, bar("features", items) as advance:
        for numbers in _batches(items, VIEW_BATCH):
            for view in seen.VIEWS:
                vectors, present = seen.vectors(seed, view, numbers)
                kept = vectors[present]
                offsets = pa.array(np.arange(len(kept) + 1, dtype=np.int32) * seen.WIDTH)
                features.write(
                    {
                        "item_id": numbered.item_ids(numbers[present]),
                        "view": [view] * len(kept),
                        "vector": pa.ListArray.from_arrays(offsets, pa.array(kept.ravel())),
                    }
                )
            advance(len(numbers))
        return features.rows


def _write_queries(folder: Path, asked: asking.Queries) -> int:
    shop = assortment()
    ids = asking.query_ids(np.arange(len(asked.texts)))
    codes = asked.codes
    with TableWriter(folder, "queries") as queries, _truth(folder, "queries") as truth:
        queries.write(
            {
                "query_id": ids,
                "text": asked.texts,
                "locale": ["en"] * len(ids),
                "frequency": asked.frequency,
            }
        )
        truth(
            query_id=ids,
            clean=asked.clean,
            misspelt=[text != clean for text, clean in zip(asked.texts, asked.clean, strict=True)],
            broadness=[asking.BROADNESS[level] for level in asked.broadness],
            category=[shop.paths[leaf] for leaf in codes.leaf],
            brand=[shop.brands[brand] if brand >= 0 else None for brand in codes.brand],
            constraints=_attributes(codes),
            **_code_columns(codes),
        )
    return len(ids)


def _write_pairs(
    folder: Path,
    seed: int,
    items: int,
    asked: asking.Queries,
    engagement: bool,
    label_errors: float,
    false_negatives: float,
) -> dict[str, int]:
    """Judgements with their planted faults and, if wanted, engagement: both from one pool of candidates a query."""
    count = len(asked.texts)
    with ExitStack() as stack:
        judgements = stack.enter_context(TableWriter(folder, "judgements"))
        planted = stack.enter_context(_truth(folder, "planted"))
        if engagement:
            log = stack.enter_context(TableWriter(folder, "engagement"))
            pages = stack.enter_context(_truth(folder, "pages"))
        advance = stack.enter_context(bar("judgements", count, "queries"))
        for rows in _batches(count, QUERY_BATCH):
            pool = judging.candidates(seed, items, asked, int(rows[0]), int(rows[-1]) + 1)
            judged = judging.shortlist(seed, pool, asked.targets)
            given, fault = judging.plant(seed, judged, label_errors, false_negatives)
            query_ids = np.array(asking.query_ids(judged.query))
            item_ids = np.array(numbered.item_ids(judged.item))
            kept = given >= 0
            judgements.write(
                {
                    "query_id": query_ids[kept],
                    "item_id": item_ids[kept],
                    "grade": given[kept],
                    "source": ["simulated"] * int(kept.sum()),
                    "grader": [f"generated shop {VERSION}"] * int(kept.sum()),
                }
            )
            bad = fault > 0
            planted(
                query_id=query_ids[bad],
                item_id=item_ids[bad],
                true_grade=judged.grade[bad],
                planted_grade=pa.array(given[bad], mask=given[bad] < 0),
                kind=[judging.FAULTS[number] for number in fault[bad]],
            )
            if engagement:
                shown = clicks.engage(seed, pool, asked)
                pair = {
                    "query_id": asking.query_ids(shown.query),
                    "item_id": numbered.item_ids(shown.item),
                }
                log.write(
                    pair
                    | {
                        "impressions": shown.impressions,
                        "clicks": shown.clicks,
                        "adds": shown.adds,
                        "purchases": shown.purchases,
                    }
                )
                pages(**pair, rank=shown.rank, appeal=shown.appeal)
            advance(len(rows))
        counts = {"judgements": judgements.rows}
        return counts | {"engagement": log.rows} if engagement else counts


def _write_interactions(folder: Path, seed: int, items: int, users: int) -> int:
    events = pa.array(journeys.EVENTS)
    with (
        TableWriter(folder, "interactions") as interactions,
        _truth(folder, "users") as truth,
        bar("interactions", users, "users") as advance,
    ):
        for numbers in _batches(users, USER_BATCH):
            made = journeys.travel(seed, items, int(numbers[0]), int(numbers[-1]) + 1)
            interactions.write(
                {
                    "user_id": _user_ids(made.user),
                    "item_id": numbered.item_ids(made.item),
                    "time": pa.array(made.time).cast(pa.timestamp("us", tz="UTC")),
                    "event": events.take(pa.array(made.event)),
                }
            )
            truth(user_id=_user_ids(numbers), taste=journeys.tastes(seed, numbers))
            advance(len(numbers))
        return interactions.rows


def _attributes(codes: numbered.Codes) -> pa.Array:
    """The attributes column: names and canonical values of the codes, unstated ones left out."""
    shop = assortment()
    stated = codes.values >= 0
    attribute = shop.slots[codes.leaf][stated]
    starts = np.cumsum([0, *(len(values) for values in shop.values)])
    value = starts[attribute] + codes.values[stated]
    names = pa.array(shop.attributes).take(pa.array(attribute))
    values = pa.array([value for values in shop.values for value in values]).take(pa.array(value))
    offsets = np.concatenate([[0], np.cumsum(stated.sum(axis=1))]).astype(np.int32)
    pairs = pa.StructArray.from_arrays([names, values], names=["name", "value"])
    return pa.ListArray.from_arrays(pa.array(offsets), pairs)


def _code_columns(codes: numbered.Codes) -> dict[str, NDArray[np.int64]]:
    values = {f"value_{slot}": codes.values[:, slot] for slot in range(SLOTS)}
    return {"leaf": codes.leaf, "brand_code": codes.brand, **values}


def _user_ids(numbers: NDArray[np.int64]) -> list[str]:
    return [f"u{number:07d}" for number in numbers.tolist()]


def _batches(count: int, size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))


@contextmanager
def _truth(folder: Path, name: str) -> Iterator[Any]:
    """Yield a function that appends columns to truth/<name>.parquet."""
    schema = TRUTH_SCHEMAS[name]
    with pq.ParquetWriter(folder / "truth" / f"{name}.parquet", schema, compression="zstd") as writer:
        yield lambda **columns: writer.write_table(
            pa.table([pa.array(columns[field.name]).cast(field.type) for field in schema], schema=schema)
        )
