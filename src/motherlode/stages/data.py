"""Stage `data`: a named data set or a folder of tables becomes the workspace's own tables."""

from pathlib import Path
from typing import Any

from motherlode.recipe import Recipe
from motherlode.workspace import Stage, Workspace


def settings(recipe: Recipe) -> dict[str, Any]:
    chosen = recipe.data.model_dump(mode="json", exclude={"root"})
    if _is_shop(recipe):
        return {"source": "shop", "items": recipe.data.items, "seed": recipe.seed}
    return {**chosen, "files": _files(recipe)}


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    from motherlode import datasets
    from motherlode.tables.check import import_tables
    from motherlode.tables.grades import ESCI, GradeMap
    from motherlode.tables.tables import Tables, write_source

    data, out = recipe.data, workspace / "tables"
    folder = Path(data.source)
    if folder.is_dir():
        grades = GradeMap(data.grade_labels or ESCI, data.grade_cuts or ())
        report = import_tables(
            folder, out, strict=data.strict, grades=grades, columns=data.columns, separator=data.separator
        )
        write_source(out, name=folder.name, licence="your own", rows=report.rows, set_aside=report.counts)
        tables = Tables(out)
    elif _is_shop(recipe):
        from motherlode.shop import generate

        tables = generate.write(out, items=data.items, seed=recipe.seed)
    else:
        tables = datasets.load(data.source, out, root=data.root)
    return {"tables": tables.fingerprint(), "source": tables.source}


def _is_shop(recipe: Recipe) -> bool:
    return recipe.data.source == "shop" and not Path("shop").is_dir()


def _files(recipe: Recipe) -> dict[str, list[float]]:
    """Size and time of the raw files, so that a changed file makes the tables stale without reading it all."""
    from motherlode import datasets
    from motherlode.datasets.source import default_root

    folder = Path(recipe.data.source)
    if not folder.is_dir():
        root = Path(recipe.data.root) if recipe.data.root else default_root()
        found = [root / layout for layout in datasets.info(recipe.data.source).layouts if (root / layout).is_dir()]
        if not found:
            return {}
        folder = found[0]
    return {
        path.relative_to(folder).as_posix(): [path.stat().st_size, path.stat().st_mtime]
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


STAGE = Stage("data", (), settings, work, ("tables/catalogue.parquet",))
