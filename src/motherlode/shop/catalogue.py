"""Write the two tables with a row for every item, batch by batch."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from motherlode.progress import bar
from motherlode.shop.assortment import assortment
from motherlode.shop.items import ROLES, batches, codes, family, item_ids, popularity
from motherlode.shop.titles import descriptions, titles
from motherlode.shop.truth_tables import attributes_column, code_columns, truth_table
from motherlode.shop.views import VIEWS, WIDTH, clusters, vectors
from motherlode.tables.tables import TableWriter

ITEM_BATCH = 20_000
VIEW_BATCH = 5_000


def write_catalogue(folder: Path, seed: int, items: int) -> int:
    """Write catalogue.parquet and truth/items.parquet; returns the number of rows."""
    shop = assortment()
    paths = pa.array(shop.paths, pa.list_(pa.string()))
    brands = pa.array(shop.brands)
    with (
        TableWriter(folder, "catalogue") as catalogue,
        truth_table(folder, "items") as truth,
        bar("catalogue", items) as advance,
    ):
        for numbers in batches(items, ITEM_BATCH):
            own = codes(seed, numbers)
            ids = item_ids(numbers)
            head, role = family(seed, numbers)
            catalogue.write(
                {
                    "item_id": ids,
                    "title": titles(seed, numbers, own),
                    "taxonomy": paths.take(pa.array(own.leaf)),
                    "brand": brands.take(pa.array(own.brand)),
                    "attributes": attributes_column(own),
                    "description": descriptions(seed, numbers, own),
                }
            )
            truth(
                item_id=ids,
                **code_columns(own),
                family=item_ids(head),
                role=pa.array(ROLES).take(pa.array(role)),
                cluster=clusters(seed, numbers),
                popularity=popularity(seed, numbers),
            )
            advance(len(numbers))
    return items


def write_features(folder: Path, seed: int, items: int) -> int:
    """Write features.parquet, a row for each view an item has; returns the number of rows."""
    with TableWriter(folder, "features") as features, bar("features", items) as advance:
        for numbers in batches(items, VIEW_BATCH):
            for view in VIEWS:
                views, present = vectors(seed, view, numbers)
                kept = views[present]
                offsets = pa.array(np.arange(len(kept) + 1, dtype=np.int32) * WIDTH)
                features.write(
                    {
                        "item_id": item_ids(numbers[present]),
                        "view": [view] * len(kept),
                        "vector": pa.ListArray.from_arrays(offsets, pa.array(kept.ravel())),
                    }
                )
            advance(len(numbers))
        return features.rows
