"""Write what is known of (query, item) pairs: judgements with planted faults, engagement."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from motherlode.progress import bar
from motherlode.shop.engagement import engage
from motherlode.shop.items import batches, item_ids
from motherlode.shop.judgements import FAULTS, candidates, plant, shortlist
from motherlode.shop.queries import Queries, query_ids
from motherlode.shop.truth_tables import VERSION, truth_table
from motherlode.tables.tables import TableWriter

QUERY_BATCH = 1_000


def write_pairs(
    folder: Path,
    seed: int,
    items: int,
    queries: Queries,
    engagement: bool,
    label_errors: float,
    false_negatives: float,
) -> dict[str, int]:
    """Write judgements and, if wanted, engagement, with truth/planted and truth/pages; returns rows by table.

    Judgements and result pages come from one pool of candidates a query.
    """
    count = len(queries.texts)
    with ExitStack() as stack:
        judgements = stack.enter_context(TableWriter(folder, "judgements"))
        planted = stack.enter_context(truth_table(folder, "planted"))
        if engagement:
            log = stack.enter_context(TableWriter(folder, "engagement"))
            pages = stack.enter_context(truth_table(folder, "pages"))
        advance = stack.enter_context(bar("judgements", count, "queries"))
        for rows in batches(count, QUERY_BATCH):
            pool = candidates(seed, items, queries, int(rows[0]), int(rows[-1]) + 1)
            judged = shortlist(seed, pool, queries.targets)
            given, fault = plant(seed, judged, label_errors, false_negatives)
            query, item = np.array(query_ids(judged.query)), np.array(item_ids(judged.item))
            kept, bad = given >= 0, fault > 0
            judgements.write(
                {
                    "query_id": query[kept],
                    "item_id": item[kept],
                    "grade": given[kept],
                    "source": ["simulated"] * int(kept.sum()),
                    "grader": [f"generated shop {VERSION}"] * int(kept.sum()),
                }
            )
            planted(
                query_id=query[bad],
                item_id=item[bad],
                true_grade=judged.grade[bad],
                planted_grade=pa.array(given[bad], mask=given[bad] < 0),
                kind=[FAULTS[number] for number in fault[bad]],
            )
            if engagement:
                shown = engage(seed, pool, queries)
                pair: dict[str, Any] = {"query_id": query_ids(shown.query), "item_id": item_ids(shown.item)}
                counted = {
                    "impressions": shown.impressions,
                    "clicks": shown.clicks,
                    "adds": shown.adds,
                    "purchases": shown.purchases,
                    "position": shown.rank,
                }
                log.write(pair | counted)
                pages(**pair, rank=shown.rank, appeal=shown.appeal)
            advance(len(rows))
    return {"judgements": judgements.rows} | ({"engagement": log.rows} if engagement else {})
