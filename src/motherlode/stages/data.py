"""Stage `data`: a named data set or a folder of tables becomes the workspace's own tables."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from motherlode.atomic import file_fingerprint
from motherlode.recipe import Recipe
from motherlode.workspace import Stage, Workspace


def settings(recipe: Recipe) -> dict[str, Any]:
    chosen = recipe.data.model_dump(mode="json", exclude={"root", "users"})
    if _is_shop(recipe):
        users = {"users": recipe.data.users} if recipe.journey == "recommend" else {}
        return {"source": "shop", "items": recipe.data.items, "seed": recipe.seed, **users}
    return {**chosen, "files": _files(recipe)}


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    from motherlode import datasets
    from motherlode.tables.check import import_tables
    from motherlode.tables.grades import ESCI, GradeMap
    from motherlode.tables.tables import Tables, write_source

    data, out = recipe.data, workspace / "tables"
    folder = Path(data.source)
    if folder.is_dir() and not _is_shop(recipe):
        grades = GradeMap(data.grade_labels or ESCI, data.grade_cuts or ())
        report = import_tables(
            folder, out, strict=data.strict, grades=grades, columns=data.columns, separator=data.separator
        )
        write_source(out, name=folder.name, licence="your own", rows=report.rows, set_aside=report.counts)
        tables = Tables(out)
    elif _is_shop(recipe):
        from motherlode.shop import generate

        if recipe.journey == "recommend":
            tables = generate.write(out, data.items, users=data.users, seed=recipe.seed, views=True, engagement=False)
        else:
            tables = generate.write(out, items=data.items, seed=recipe.seed)
    else:
        tables = datasets.load(data.source, out, root=data.root)
    return {"tables": tables.fingerprint(), "source": tables.source}


def _is_shop(recipe: Recipe) -> bool:
    """Whether the generated shop is meant; a folder of that name is one of tables, unless it is a workspace."""
    folder = Path("shop")
    return recipe.data.source == "shop" and (not folder.is_dir() or (folder / "recipe.yaml").exists())


def _files(recipe: Recipe) -> dict[str, str]:
    """What the raw files hold, whenever and wherever they were put: a changed file makes the tables stale."""
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
        path.relative_to(folder).as_posix(): _contents(path, path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@lru_cache(maxsize=1_024)
def _contents(path: Path, *_stamp: int) -> str:
    """Fingerprint of the bytes, read once a process while its stamp, size and time of change, stays the same."""
    return file_fingerprint(path)


STAGE = Stage("data", (), settings, work, ("tables/catalogue.parquet", "tables"))
