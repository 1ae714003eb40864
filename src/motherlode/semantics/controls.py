"""Codes that should do worse: drawn at random, or read off the catalogue's own labels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.semantics.codes import Codes


def random_codes_like(codes: Codes, seed: int = 0) -> Codes:
    """The same leaves with the same sizes and centres, their members drawn at random.

    What a method keeps with these codes it owes to the sizes of the cells, not to what is in them.
    """
    order = np.random.default_rng([seed, len(codes)]).permutation(len(codes))
    return Codes(
        codes.primary[order], codes.secondary[order], codes.primary_centres, codes.secondary_size, codes.coded[order]
    )


def label_codes(
    paths: Sequence[Sequence[str]],
    vectors: NDArray[np.float32],
    level: int = 1,
    secondary_size: int | None = None,
) -> Codes:
    """Codes from labels: the path's first `level` steps name the primary cell, one step more the secondary code.

    A label is a path such as a taxonomy's (root first) or (genre, decade). A path that is too short counts as one
    with an empty step, an item without a path is one of the items labelled "nothing", and `coded` is False there.
    Cells and codes are numbered in the order of their names; a centre is the mean of the cell's vectors. Of more
    than `secondary_size` labels in a cell, the rarest share the last code.

    Args:
        paths: of the N items.
        vectors: float32 [N, d] that the centres are means of (such as `Views.block(...).mean()`).
        secondary_size: K_s; None for the most labels that any cell has.

    Raises InputError where lengths differ or there is no item.
    """
    if len(paths) != len(vectors) or not len(paths):
        raise InputError(f"There are {len(paths)} label paths for {len(vectors)} items: give each item one.")
    if level < 1 or (secondary_size is not None and secondary_size < 1):
        raise InputError(f"level = {level} and secondary_size = {secondary_size} must be 1 or more.")
    cells = [tuple(path[:level]) for path in paths]
    steps = [path[level] if len(path) > level else "" for path in paths]
    number = {cell: row for row, cell in enumerate(sorted(set(cells)))}
    primary = np.array([number[cell] for cell in cells], dtype=np.int32)
    counts: list[dict[str, int]] = [{} for _ in number]
    for cell, step in zip(primary, steps, strict=True):
        counts[cell][step] = counts[cell].get(step, 0) + 1
    size = secondary_size or max(map(len, counts))
    names = []
    for of_cell in counts:
        frequent = sorted(sorted(of_cell), key=lambda step: -of_cell[step])
        kept = sorted(frequent if len(frequent) <= size else frequent[: size - 1])
        names.append({step: row for row, step in enumerate(kept)})
    secondary = np.array(
        [names[cell].get(step, size - 1) for cell, step in zip(primary, steps, strict=True)], dtype=np.int32
    )
    sums = np.zeros((len(number), vectors.shape[1]))
    np.add.at(sums, primary, vectors)
    centres = (sums / np.bincount(primary)[:, None]).astype(np.float32)
    return Codes(primary, secondary, centres, size, np.array([len(path) > 0 for path in paths]))
