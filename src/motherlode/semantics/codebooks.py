"""Cascaded codebooks: a coarse code from the mean of an item's views, a fine one from how each view departs from it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from motherlode.atomic import file_fingerprint, read_json, replacing_folder, write_json
from motherlode.errors import InputError, MissingError, SettingError
from motherlode.progress import bar
from motherlode.semantics.balance import cap_of, capped_nearest
from motherlode.semantics.cascade import Cascade, residuals
from motherlode.semantics.codes import Codes
from motherlode.semantics.kmeans_backend import fit_kmeans
from motherlode.semantics.matching import renamed
from motherlode.semantics.nearest import nearest, offsets
from motherlode.semantics.views import CHUNK, Views
from motherlode.semantics.vq_backend import VQSettings, fit_vq

POINTS_PER_CENTRE = 256  # sampled items for each primary code, as faiss has it
LEAST_SAMPLE = 65_536  # the second level has fewer codes of many more dimensions
ARRAYS = ("primary", "secondary", "used", "marks", "leaf_counts")


class CascadedCodebooks:
    """Primary and secondary code of every item.

        x̄_i = mean of the views that item i has          p_i = argmin_k ‖x̄_i - c^P_k‖²
        r_i = [x_i^1 - c^P_{p_i}; ...; x_i^M - c^P_{p_i}]  s_i = argmin_k ‖r_i - c^S_k‖²

    Args:
        primary, secondary: K_p and K_s.
        backend: "kmeans" (faiss) or "vq" (learnt by gradient or moving averages, see `vq_backend`).
        per_primary: one secondary codebook for each primary cell, rather than one for all.
        balance: no primary cell gets more than ⌈balance · N / K_p⌉ of the N items it was fitted on (or of the items
            assigned together, where these are more); None for plain nearest centres. At least 1.
        seed: of the sample, the start and the back-end.
        vq: how the "vq" back-end trains.

    Source: two-level structure after ESANS (arXiv 2502.16077) as second-hand accounts give it: K-means on the mean,
    K-means on the concatenated residuals. Missing views, balance, one codebook for each cell, sizes and the
    "vq" settings are ours.
    """

    def __init__(
        self,
        primary: int = 256,
        secondary: int = 16,
        backend: Literal["kmeans", "vq"] = "kmeans",
        per_primary: bool = False,
        balance: float | None = None,
        seed: int = 0,
        vq: VQSettings | None = None,
    ) -> None:
        for name, size in (("primary", primary), ("secondary", secondary)):
            if size < 1:
                raise SettingError(f"The {name} codebook needs at least 1 code, not {size}.")
        if backend not in ("kmeans", "vq"):
            raise SettingError(f"There is no codebook back-end '{backend}': use kmeans or vq.")
        if balance is not None and balance < 1:
            raise SettingError(f"balance = {balance} would leave no room for all items: use 1 or more.")
        self.primary, self.secondary, self.backend = primary, secondary, backend
        self.per_primary, self.balance, self.seed = per_primary, balance, seed
        self.vq = vq or VQSettings()
        self.facts: dict[str, Any] = {}
        self._cascade: Cascade | None = None
        self._leaf_counts = np.zeros((primary, secondary), np.int64)

    @property
    def cascade(self) -> Cascade:
        """The centres; MissingError before `fit`."""
        if self._cascade is None:
            raise MissingError("These codebooks have no centres yet: call fit, or load saved ones.")
        return self._cascade

    def fit(self, views: Views) -> CascadedCodebooks:
        """Learn the centres from (a sample of) these items.

        Items without any view are left out. Raises InputError where no item has a view or the views' widths differ,
        SettingError for more codes than different items.
        """
        self._learn(views, None)
        return self

    def refresh(self, views: Views) -> CascadedCodebooks:
        """Go on from the present centres with these items, then give the new centres the old ones' names.

        Names go by the least total squared distance between old and new centres, so most items keep their codes. The
        views must be those of the same alignment. `facts["moved"]` says how far the primary centres went.
        """
        before = self.cascade
        self._check(views)
        self._learn(views, before)
        return self

    def assign(self, views: Views) -> Codes:
        """The codes of any items, new ones too; nothing is learnt.

        An item without any view gets a leaf drawn by (seed, its row) in proportion to the fitted leaves' sizes, and
        `coded` False: it then behaves like an item of which nothing is known.
        """
        cascade = self.cascade
        self._check(views)
        coded = views.any_present()
        first = np.zeros(len(views), np.int32)
        second = np.zeros(len(views), np.int32)
        capped = self._capped(views, coded)
        half = offsets(cascade.primary)
        with bar("codes", len(views)) as advance:
            for rows, block in views.blocks():
                codes = nearest(block.mean(), cascade.primary, half) if capped is None else capped[rows]
                first[rows] = codes
                second[rows] = cascade.second_codes(residuals(block, cascade.primary[codes], cascade.marks), codes)
                advance(len(codes))
        unknown = np.flatnonzero(~coded)
        if len(unknown):
            rng = np.random.default_rng([self.seed, len(views)])
            shares = self._leaf_counts.ravel() / self._leaf_counts.sum()
            leaves = rng.choice(len(shares), size=len(unknown), p=shares)
            first[unknown], second[unknown] = np.divmod(leaves, self.secondary)
        return Codes(first, second, cascade.primary, self.secondary, coded)

    def fingerprint(self) -> str:
        """16 hex digits over the settings and the centres' bytes."""
        import hashlib

        digest = hashlib.blake2b(repr(sorted(self._settings().items())).encode(), digest_size=8)
        for array in (self.cascade.primary, self.cascade.secondary, self.cascade.used, self.cascade.marks):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def save(self, folder: Path | str) -> None:
        """Write codebooks.safetensors and codebooks.json into `folder`."""
        from safetensors.numpy import save_file

        cascade = self.cascade
        arrays = (cascade.primary, cascade.secondary, cascade.used, cascade.marks, self._leaf_counts)
        with replacing_folder(folder) as temporary:
            tensors = {name: np.ascontiguousarray(a) for name, a in zip(ARRAYS, arrays, strict=True)}
            save_file(tensors, temporary / "codebooks.safetensors")
            marks = {"bytes": file_fingerprint(temporary / "codebooks.safetensors"), "centres": self.fingerprint()}
            write_json(temporary / "codebooks.json", {"settings": self._settings(), "facts": self.facts} | marks)

    @classmethod
    def load(cls, folder: Path | str) -> CascadedCodebooks:
        """Open what `save` wrote. MissingError where there is nothing, InputError where it is damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder)
        if not (folder / "codebooks.json").exists():
            raise MissingError(f"{folder} holds no codebooks: fit them again.")
        try:
            stored = read_json(folder / "codebooks.json")
            if file_fingerprint(folder / "codebooks.safetensors") != stored["bytes"]:
                raise ValueError("other bytes than codebooks.json says")
            settings = stored["settings"]
            made = cls(**(settings | {"vq": VQSettings(**settings["vq"])}))
            made.facts = stored["facts"]
            tensors = load_file(folder / "codebooks.safetensors")
            primary, secondary, used, marks, counts = (tensors[name] for name in ARRAYS)
            made._cascade, made._leaf_counts = Cascade(primary, secondary, used, marks), counts
        except (ValueError, KeyError, TypeError, OSError, SafetensorError) as error:
            raise InputError(f"{folder} is damaged: fit the codebooks again.") from error
        return made

    def _learn(self, views: Views, start: Cascade | None) -> None:
        known = np.flatnonzero(views.any_present())
        if not len(known):
            raise InputError("No item has a view: there is nothing to make codes from.")
        most = max(POINTS_PER_CENTRE * self.primary, LEAST_SAMPLE)
        rng = np.random.default_rng([self.seed, len(known)])
        rows = known if len(known) <= most else np.sort(rng.choice(known, most, replace=False))
        sample = views.block(rows)
        sizes = (self.primary, self.secondary)
        if self.backend == "vq":
            learnt, history = fit_vq(sample, sizes, self.per_primary, self.vq, self.seed, start)
        else:
            learnt, history = fit_kmeans(sample, sizes, self.per_primary, self.balance, self.seed, start), {}
        self._cascade = learnt if start is None else renamed(start, learnt)
        moved = None if start is None else float(np.linalg.norm(self._cascade.primary - start.primary, axis=1).mean())
        self.facts = {
            "views": views.names,
            "width": views.width,
            "items": len(known),
            "sampled": len(rows),
            "data": views.fingerprint(),
            "moved": moved,
            **history,
        }
        counted = rows[np.linspace(0, len(rows) - 1, min(len(rows), CHUNK)).astype(np.int64)]
        self._leaf_counts = self.assign(views.take(counted)).leaf_counts()

    def _capped(self, views: Views, coded: np.ndarray) -> np.ndarray | None:
        """The primary codes under the cap; None where there is none to keep."""
        if self.balance is None:
            return None
        cap = cap_of(self.balance, max(self.facts["items"], int(coded.sum())), self.primary)
        first = np.zeros(len(views), np.int32)
        mean = np.concatenate([block.mean() for _, block in views.blocks()])
        first[coded] = capped_nearest(mean[coded], self.cascade.primary, cap)
        return first

    def _check(self, views: Views) -> None:
        if views.names != self.facts["views"] or views.width != self.facts["width"]:
            raise InputError(
                f"The codebooks were made from the views {', '.join(self.facts['views'])} of width "
                f"{self.facts['width']}, these are {', '.join(views.names)} of width {views.width}."
            )

    def _settings(self) -> dict[str, Any]:
        names = ("primary", "secondary", "backend", "per_primary", "balance", "seed")
        return {name: getattr(self, name) for name in names} | {"vq": asdict(self.vq)}
