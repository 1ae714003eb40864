"""motherlode: graded-relevance retrieval for commerce. Mine, assay, refine."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from motherlode.index.store import Index
    from motherlode.recipe import Recipe
    from motherlode.stages.run import run, status
    from motherlode.tables.tables import Tables
    from motherlode.workspace import Workspace

_PUBLIC = {
    "Index": "motherlode.index.store",
    "Recipe": "motherlode.recipe",
    "Tables": "motherlode.tables.tables",
    "Workspace": "motherlode.workspace",
    "run": "motherlode.stages.run",
    "status": "motherlode.stages.run",
}
__all__ = ["Index", "Recipe", "Tables", "Workspace", "__version__", "run", "status"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'motherlode' has no attribute '{name}'")
