"""motherlode: graded-relevance retrieval for commerce. Mine, assay, refine."""

from typing import TYPE_CHECKING

from motherlode.lazy import lazily

__version__ = "0.1.0"

if TYPE_CHECKING:
    from motherlode.index.store import Index
    from motherlode.recipe import Recipe
    from motherlode.stages.run import run, status
    from motherlode.tables.tables import Tables
    from motherlode.workspace import Workspace

_HOME = {
    "Index": "index.store",
    "Recipe": "recipe",
    "Tables": "tables.tables",
    "Workspace": "workspace",
    "run": "stages.run",
    "status": "stages.run",
}
__all__ = ["Index", "Recipe", "Tables", "Workspace", "__version__", "run", "status"]

__getattr__ = lazily(__name__, _HOME)
