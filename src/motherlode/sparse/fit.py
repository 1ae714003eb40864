"""Training a term encoder on graded groups, in the one fit loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from motherlode.encoders.presets import load
from motherlode.sparse.objective import SparseObjective, SparseSettings, SteppedBatches
from motherlode.sparse.term_encoder import TermEncoder
from motherlode.training.batches import GradedBatches
from motherlode.training.fit import FitResult, FitSettings, fit
from motherlode.training.groups import Caps, GradedGroups

CAPS = Caps(2, 1, 1)  # a group's items: every one more costs a product with all terms
AT_ONCE = 10_000  # texts whose pieces are in memory at once


@dataclass(frozen=True)
class Rates:
    """Learning rates of the backbone and of what the sparse head adds, and the decay of both. Ours."""

    backbone: float = 1e-4
    head: float = 1e-3
    decay: float = 0.01


def fit_terms(
    encoder: TermEncoder,
    queries: Sequence[str],
    items: Sequence[str],
    groups: GradedGroups,
    folder: Path | str,
    settings: FitSettings,
    *,
    size: int,
    rates: Rates,
    objective: SparseSettings,
    fingerprint: str = "",
    provenance: dict[str, Any] | None = None,
) -> FitResult:
    """Train on groups over numbered query and item texts, `size` groups a step; the last weights go to folder/best.

    Goes on after a kill as `training.fit` does; `fingerprint` is of all that shapes the run. Raises SettingError.
    """
    batches = GradedBatches(groups, size=size, caps=CAPS, unrelated="in_batch", seed=settings.seed)
    module = SparseObjective(encoder, encoder.store(queries, "query"), encoder.store(items, "document"), objective)
    return fit(
        module,
        module.parameter_groups(rates.backbone, rates.head, rates.decay),
        SteppedBatches(batches),
        settings,
        folder,
        save=lambda best: encoder.save(best, provenance),
        fingerprint=fingerprint,
    )


def pieces_in(base: str, texts: Sequence[str]) -> np.ndarray:
    """Ids of the pieces, of the tokenizer of a preset, a folder or a hub name, that stand in the texts, rising."""
    tokenizer = load(base)[0].tokenizer
    inner = getattr(tokenizer, "_tokenizer", tokenizer)
    inner.no_padding()
    inner.no_truncation()
    found = np.zeros(0, np.int64)
    for begin in range(0, len(texts), AT_ONCE):
        ids = [one.ids for one in inner.encode_batch(list(texts[begin : begin + AT_ONCE]))]
        found = np.union1d(found, np.concatenate(ids))
    return found.astype(np.int64)
