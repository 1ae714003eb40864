"""Write a generated shop: the tables, and beside them the truth. What it measures is called simulated."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from motherlode.atomic import replacing_folder, write_json
from motherlode.errors import SettingError
from motherlode.progress import bar
from motherlode.shop import engagement as click_model
from motherlode.shop.assortment import assortment
from motherlode.shop.catalogue import write_catalogue, write_features
from motherlode.shop.interactions import EVENTS, tastes, travel
from motherlode.shop.items import batches, item_ids
from motherlode.shop.pairs import write_pairs
from motherlode.shop.queries import BROADNESS, Queries, draw, query_ids
from motherlode.shop.truth_tables import VERSION, attributes_column, code_columns, truth_table
from motherlode.tables.check import refuse_foreign
from motherlode.tables.tables import Tables, TableWriter, write_source

USER_BATCH = 2_000
SMALLEST = 100


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
    Memory does not grow with `items`. The same arguments give the same tables, and row n of the catalogue
    and of the features depends on (seed, n) alone. Raises SettingError on an argument that cannot be,
    InputError where `out` holds something other than tables.
    """
    refuse_foreign(out)
    if items < SMALLEST:
        raise SettingError(f"items = {items}: a generated shop has at least {SMALLEST} items.")
    if queries is None:
        queries = round(9 * items**0.5)
    if queries < 1 or seed < 0 or (users is not None and users < 1):
        raise SettingError("queries and users must be at least 1 and seed at least 0.")
    for name, share in {"label_errors": label_errors, "false_negatives": false_negatives}.items():
        if not 0 <= share < 1:
            raise SettingError(f"{name} = {share}: a share lies between 0 and 1.")
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
    drawn = draw(seed, items, queries)
    with replacing_folder(out) as folder:
        (folder / "truth").mkdir()
        counts = {"catalogue": write_catalogue(folder, seed, items)}
        if views:
            counts["features"] = write_features(folder, seed, items)
        counts["queries"] = _write_queries(folder, drawn)
        counts |= write_pairs(folder, seed, items, drawn, engagement, label_errors, false_negatives)
        if users is not None:
            counts["interactions"] = _write_interactions(folder, seed, items, users)
        _write_parameters(folder, settings)
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


def _write_queries(folder: Path, drawn: Queries) -> int:
    shop = assortment()
    ids = query_ids(np.arange(len(drawn.texts)))
    codes = drawn.codes
    with TableWriter(folder, "queries") as queries, truth_table(folder, "queries") as truth:
        queries.write(
            {
                "query_id": ids,
                "text": drawn.texts,
                "locale": ["en"] * len(ids),
                "frequency": drawn.frequency,
            }
        )
        truth(
            query_id=ids,
            clean=drawn.clean,
            misspelt=[text != clean for text, clean in zip(drawn.texts, drawn.clean, strict=True)],
            broadness=[BROADNESS[level] for level in drawn.broadness],
            category=[shop.paths[leaf] for leaf in codes.leaf],
            brand=[shop.brands[brand] if brand >= 0 else None for brand in codes.brand],
            constraints=attributes_column(codes),
            **code_columns(codes),
        )
    return len(ids)


def _write_interactions(folder: Path, seed: int, items: int, users: int) -> int:
    events = pa.array(EVENTS)
    with (
        TableWriter(folder, "interactions") as interactions,
        truth_table(folder, "users") as truth,
        bar("interactions", users, "users") as advance,
    ):
        for numbers in batches(users, USER_BATCH):
            made = travel(seed, items, int(numbers[0]), int(numbers[-1]) + 1)
            interactions.write(
                {
                    "user_id": _user_ids(made.user),
                    "item_id": item_ids(made.item),
                    "time": pa.array(made.time).cast(pa.timestamp("us", tz="UTC")),
                    "event": events.take(pa.array(made.event)),
                }
            )
            truth(user_id=_user_ids(numbers), taste=tastes(seed, numbers))
            advance(len(numbers))
        return interactions.rows


def _user_ids(numbers: NDArray[np.int64]) -> list[str]:
    return [f"u{number:07d}" for number in numbers.tolist()]


def _write_parameters(folder: Path, settings: dict[str, int | float | bool | None]) -> None:
    clicks = {
        "page": click_model.PAGE,
        "eta": click_model.ETA,
        "attraction": click_model.ATTRACTION,
        "add": click_model.ADD,
        "purchase": click_model.PURCHASE,
        "appeal_spread": click_model.APPEAL_SPREAD,
    }
    write_json(folder / "truth" / "parameters.json", {"version": VERSION, **settings, "click_model": clicks})
