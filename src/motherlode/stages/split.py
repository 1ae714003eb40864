"""Stage `split`: each judgement's part (train, validation, test), by a stable hash of its query."""

from typing import Any

from motherlode.errors import InputError, SettingError
from motherlode.recipe import Recipe
from motherlode.workspace import Stage, Workspace

PARTS = ("train", "validation", "test")


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    import polars as pl

    from motherlode.atomic import replacing
    from motherlode.tables.split import folds, split
    from motherlode.tables.tables import Tables

    judgements = Tables(workspace / "tables").frame("judgements", ["query_id", "item_id", "grade"])
    chosen = recipe.split
    if chosen.folds is None:
        parts = split(
            judgements,
            seed=recipe.seed,
            validation=chosen.validation,
            test=chosen.test,
            unseen=chosen.unseen,
        )
    else:
        if chosen.fold >= chosen.folds:
            raise SettingError(f"split.fold={chosen.fold} must lie below split.folds={chosen.folds}.")
        # the rest is split as ever; then this fold's queries, and they alone, are the test
        test = pl.Series(folds(judgements["query_id"], chosen.folds, recipe.seed) == chosen.fold)
        rest = split(judgements, seed=recipe.seed, validation=chosen.validation, test=0.0, unseen=1.0)
        parts = rest.with_columns(
            part=pl.when(test).then(pl.lit("test")).otherwise(pl.col("part")),
            seen=pl.col("seen") & ~test,
        )
    with replacing(workspace / "split.parquet") as temporary:
        parts.write_parquet(temporary)
    rows = {
        part: parts.filter(pl.col("part") == part)
        .select(pl.len().alias("pairs"), pl.col("query_id").n_unique().alias("queries"))
        .row(0, named=True)
        for part in PARTS
    }
    for part in PARTS:
        if rows[part]["queries"] == 0:
            raise InputError(
                f"No query fell into the {part} part of {workspace / 'tables/judgements.parquet'}: "
                f"{parts['query_id'].n_unique()} judged queries are too few for these shares; give more "
                "judgements or larger split.validation and split.test."
            )
    return rows


STAGE = Stage("split", ("data",), lambda r: {"seed": r.seed, **r.split.model_dump()}, work, ("split.parquet",))
