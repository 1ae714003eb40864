"""What codes look like: how evenly they are used, what shares a cell, and whether cells mean anything."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.semantics.codes import Codes
from motherlode.semantics.controls import random_codes_like

Labels = Sequence[Hashable] | Sequence[Sequence[Hashable]]


def describe_codes(
    codes: Codes,
    labels: Mapping[str, Labels] | None = None,
    pairs: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Usage, sizes, aliasing, purity and co-interaction of both levels, ready for JSON.

    Args:
        codes: of N items.
        labels: by column name, one label of each item (taxonomy leaf, brand) or a list of them (genres); None or
            an empty list where unknown. See `purity`.
        pairs: int64 [P, 2], items that users took together (see `co_interaction_pairs`). See `together`.
        seed: of the random codes of equal sizes that purity is set against.

    Returns a dict with "items" and "uncoded"; "primary" and "leaf", each with codes, used, dead, perplexity (exp of
    the entropy of its sizes), largest and the 10, 50 and 90 % quantiles of the used cells' sizes; "secondary" with
    its perplexity; "aliased", the share of items that share their leaf with another; "purity" and "together".
    """
    leaves = codes.leaf_counts()
    found: dict[str, Any] = {
        "items": len(codes),
        "uncoded": int((~codes.coded).sum()),
        "primary": _usage(codes.primary_counts()),
        "leaf": _usage(leaves.ravel()),
        "secondary": {"codes": codes.secondary_size, "perplexity": perplexity(leaves.sum(axis=0))},
        "aliased": float(leaves[leaves > 1].sum() / max(1, len(codes))),
    }
    if labels:
        shuffled = random_codes_like(codes, seed)
        found["purity"] = {
            name: {
                "primary": purity(codes.primary, column),
                "leaf": purity(codes.leaf, column),
                "primary by chance": purity(shuffled.primary, column),
                "leaf by chance": purity(shuffled.leaf, column),
            }
            for name, column in labels.items()
        }
    if pairs is not None and len(pairs):
        found["together"] = {"primary": together(codes.primary, pairs), "leaf": together(codes.leaf, pairs)}
    return found


def perplexity(counts: NDArray[np.int64]) -> float:
    """exp(-Σ_k p_k log p_k) of cell sizes [K]: K when all are alike, 1 when one holds everything, 0 for no item."""
    total = counts.sum()
    if not total:
        return 0.0
    shares = counts[counts > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def purity(cells: NDArray[Any], labels: Labels) -> float | None:
    """Share of labelled items that carry the commonest label of their cell; None where nothing is labelled.

    With lists of labels an item counts when the commonest label is among its own. Small cells are pure by
    themselves: compare with random codes of equal sizes. Raises InputError where lengths differ.
    """
    if len(labels) != len(cells):
        raise InputError(f"There are {len(labels)} labels for {len(cells)} items: give one of each, None if unknown.")
    number: dict[Hashable, int] = {}
    at, carried, labelled = [], [], 0
    for cell, label in zip(cells.tolist(), labels, strict=True):
        several = () if label is None else label if isinstance(label, (list, tuple, set)) else (label,)
        labelled += bool(several)
        for one in set(several):
            at.append(cell)
            carried.append(number.setdefault(one, len(number)))
    if not labelled:
        return None
    key = np.asarray(at, np.int64) * len(number) + np.asarray(carried, np.int64)
    kept, counts = np.unique(key, return_counts=True)
    starts = np.flatnonzero(np.diff(kept // len(number), prepend=-1))
    return float(np.maximum.reduceat(counts, starts).sum() / labelled)


def together(cells: NDArray[Any], pairs: NDArray[np.int64]) -> dict[str, float | None]:
    """Share of pairs [P, 2] whose items share a cell, by chance, and the lift over it.

    Chance keeps how often each item stands on either side of a pair, so popular items give no lift:
    Σ_k (share of left ends in cell k) · (share of right ends in cell k).
    """
    _, cell = np.unique(cells, return_inverse=True)
    left, right = cell[pairs[:, 0]], cell[pairs[:, 1]]
    ends = np.stack([np.bincount(side, minlength=cell.max() + 1) for side in (left, right)]) / len(pairs)
    share, chance = float((left == right).mean()), float((ends[0] * ends[1]).sum())
    return {"share": share, "chance": chance, "lift": share / chance if chance > 0 else None}


def _usage(counts: NDArray[np.int64]) -> dict[str, Any]:
    used = counts[counts > 0]
    low, middle, high = np.quantile(used, (0.1, 0.5, 0.9)).tolist() if len(used) else (0.0, 0.0, 0.0)
    return {
        "codes": len(counts),
        "used": len(used),
        "dead": int((counts == 0).sum()),
        "perplexity": perplexity(counts),
        "largest": int(counts.max(initial=0)),
        "quantiles": {"10%": low, "50%": middle, "90%": high},
    }
