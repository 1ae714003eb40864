"""Stage `sequences`: what each user took, in order, and what of it trains, validates and tests."""

from typing import TYPE_CHECKING, Any

import numpy as np

from motherlode.errors import InputError
from motherlode.recipe import Recipe
from motherlode.workspace import Stage, Workspace

if TYPE_CHECKING:
    from motherlode.recommend.holdout import Split
    from motherlode.recommend.sequences import Sequences

SPLIT, USERS = "sequences/split.safetensors", "sequences/users.parquet"
PARTS = ("train", "validation history", "validation targets", "test history", "test targets")


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    import polars as pl
    from safetensors.numpy import save_file

    from motherlode.atomic import replacing
    from motherlode.recommend.sequences import read_sequences
    from motherlode.tables.tables import Tables

    sequences, user_ids = read_sequences(Tables(workspace / "tables"))
    split = divided(sequences, recipe)
    if not len(split.test) or not len(split.validation):
        raise InputError(
            f"No user of {workspace / 'tables/interactions.parquet'} has enough events to leave one out for "
            f"{'test' if not len(split.test) else 'validation'}: give longer histories or another sequences.split."
        )
    tensors = {"validation users": split.validation.users, "test users": split.test.users}
    for name, part in zip(PARTS, _parts(split), strict=True):
        tensors |= {f"{name} indptr": part.indptr, f"{name} items": part.items}
        tensors |= {} if part.times is None else {f"{name} times": part.times}
    with replacing(workspace / SPLIT) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, temporary)
    with replacing(workspace / USERS) as temporary:
        pl.DataFrame({"user_id": user_ids, "events": np.diff(sequences.indptr)}).write_parquet(temporary)
    return {
        "users": sequences.n_users,
        "items": sequences.n_items,
        "events": len(sequences.items),
        "training events": len(split.train.items),
        "validation users": len(split.validation),
        "test users": len(split.test),
        "test targets": len(split.test.targets.items),
        "cold items": int(split.cold.sum()),
        "ordered": split.ordered,
        "asked without history": split.asked_without_history,
    }


def divided(sequences: "Sequences", recipe: Recipe) -> "Split":
    """The split that the recipe asks for."""
    from motherlode.recommend.holdout import leave_k_out, leave_last, temporal

    chosen = recipe.sequences
    if chosen.split == "k_out":
        return leave_k_out(sequences, chosen.k, recipe.seed)
    return leave_last(sequences) if chosen.split == "last" else temporal(sequences, chosen.validation, chosen.test)


def load_split(workspace: Workspace) -> "Split":
    """The split as the stage wrote it."""
    from safetensors.numpy import load_file

    from motherlode.recommend.holdout import Holdout, Split
    from motherlode.recommend.sequences import Sequences

    facts, tensors = workspace.facts("sequences"), load_file(workspace / SPLIT)
    train, *held = (
        Sequences(tensors[f"{name} indptr"], tensors[f"{name} items"], facts["items"], tensors.get(f"{name} times"))
        for name in PARTS
    )
    return Split(
        train,
        Holdout(tensors["validation users"], held[0], held[1]),
        Holdout(tensors["test users"], held[2], held[3]),
        facts["ordered"],
        facts["asked without history"],
    )


def _parts(split: "Split") -> "tuple[Sequences, ...]":
    validation, test = split.validation, split.test
    return split.train, validation.history, validation.targets, test.history, test.targets


def settings(recipe: Recipe) -> dict[str, Any]:
    """What the chosen kind of split reads, and no more."""
    chosen = recipe.sequences
    if chosen.split == "k_out":
        return {"split": "k_out", "k": chosen.k, "seed": recipe.seed}
    if chosen.split == "time":
        return {"split": "time", "validation": chosen.validation, "test": chosen.test}
    return {"split": "last"}


STAGE = Stage("sequences", ("data",), settings, work, (SPLIT, USERS))
