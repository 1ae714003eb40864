"""Stage `codes`: cascaded codebooks over the views, the semantic id of every item, and what the cells hold."""

from typing import TYPE_CHECKING, Any

import numpy as np

from motherlode.recipe import Recipe
from motherlode.workspace import Stage, Workspace

if TYPE_CHECKING:
    from motherlode.recommend.holdout import Holdout
    from motherlode.semantics.codes import Codes
    from motherlode.tables.tables import Tables

BOOKS, IDS, DESCRIBED = "codes/books", "codes/semantic_ids.parquet", "codes/described.json"
PER_PRIMARY = 100  # items of a coarse cell that the default aims at
LEAST, MOST = 4, 1_024  # coarse codes by default
ATTRIBUTES = 3  # attributes whose purity is told: the most widely known ones


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    from motherlode.atomic import write_json
    from motherlode.semantics.codebooks import CascadedCodebooks
    from motherlode.semantics.inspect_codes import describe_codes
    from motherlode.semantics.semantic_ids import write_semantic_ids
    from motherlode.stages.sequences import load_split
    from motherlode.stages.views import load_views
    from motherlode.tables.tables import Tables

    chosen, views, tables = recipe.codes, load_views(workspace), Tables(workspace / "tables")
    books = CascadedCodebooks(
        chosen.primary or primary_of(int(views.any_present().sum())),
        chosen.secondary,
        chosen.backend,
        chosen.per_primary,
        chosen.balance,
        recipe.seed,
    )
    codes = books.fit(views).assign(views)
    books.save(workspace / BOOKS)
    made = {"codebooks": books.fingerprint(), "views": views.fingerprint(), "seed": recipe.seed}
    ids = tables.frame("catalogue", ["item_id"])["item_id"].to_list()
    write_semantic_ids(workspace / IDS, ids, codes, **made)
    pairs = consecutive(load_split(workspace).validation)
    write_json(workspace / DESCRIBED, describe_codes(codes, labels_of(tables), pairs, recipe.seed) | {"made": made})
    return {"primary": codes.primary_size, "secondary": codes.secondary_size, **made}


def primary_of(items: int) -> int:
    """The power of two nearest to items / PER_PRIMARY, from LEAST to MOST."""
    return int(np.clip(2 ** round(np.log2(max(items / PER_PRIMARY, 1))), LEAST, MOST))


def consecutive(holdout: "Holdout") -> np.ndarray:
    """Pairs (last item of the history, first target): int64 [Q, 2]. The codes have not seen that they go together."""
    history, targets = holdout.history, holdout.targets
    return np.stack([history.items[history.indptr[1:] - 1], targets.items[targets.indptr[:-1]]], axis=1)


def labels_of(tables: "Tables") -> dict[str, list[Any]]:
    """The labels of the catalogue, one or a list an item: category, brand, and the attributes that most items have."""
    rows = tables.frame("catalogue", ["taxonomy", "brand", "attributes"])
    found: dict[str, list[Any]] = {
        "category": [path[-1] if path else None for path in rows["taxonomy"].to_list()],
        "brand": rows["brand"].to_list(),
    }
    carried: dict[str, dict[int, list[str]]] = {}
    for row, pairs in enumerate(rows["attributes"].to_list()):
        for pair in pairs or ():
            carried.setdefault(pair["name"], {}).setdefault(row, []).append(pair["value"])
    widest = sorted(carried, key=lambda name: (-len(carried[name]), name))[:ATTRIBUTES]
    found |= {name: [carried[name].get(row) for row in range(len(rows))] for name in widest}
    return {name: column for name, column in found.items() if 2 * sum(one is not None for one in column) >= len(rows)}


def load_codes(workspace: Workspace) -> "Codes":
    """The codes as the stage wrote them."""
    from motherlode.semantics.codebooks import CascadedCodebooks
    from motherlode.semantics.codes import Codes
    from motherlode.semantics.semantic_ids import read_semantic_ids

    table, provenance = read_semantic_ids(workspace / IDS)
    centres = CascadedCodebooks.load(workspace / BOOKS).cascade.primary
    primary, secondary, coded = (table[name].to_numpy() for name in ("primary", "secondary", "coded"))
    return Codes(primary, secondary, centres, provenance["sizes"]["secondary"], coded)


def settings(recipe: Recipe) -> dict[str, Any]:
    return {"seed": recipe.seed, "codes": recipe.codes.model_dump(mode="json")}


STAGE = Stage("codes", ("data", "sequences", "views"), settings, work, (BOOKS, IDS, DESCRIBED))
