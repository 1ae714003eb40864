"""Linear heads that bring the views of an item into one space."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from motherlode.atomic import file_fingerprint, fingerprint, read_json, replacing_folder, write_json
from motherlode.errors import InputError, MissingError
from motherlode.semantics.views import CHUNK, Views


class Head(NamedTuple):
    """x ↦ norm(x W + b): weight float32 [d_m, d], bias float32 [d]."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Aligned:
    """One head a view, and what the fit said of itself (`facts`: settings, temperature, losses)."""

    heads: dict[str, Head]
    facts: dict[str, Any] = field(default_factory=dict)

    def transform(self, views: Views) -> Views:
        """The views that have a head, in the order of the heads, each as unit vectors [N, d]; missing stays missing.

        Works on items the fit has not seen. A view that `views` lacks altogether is missing for every item.
        Raises InputError where a view has another width than its head reads.
        """
        count = len(views)
        vectors, present = {}, {}
        for name, head in self.heads.items():
            width, dim = head.weight.shape
            out = np.zeros((count, dim), np.float32)
            mask = views.present.get(name, np.zeros(count, bool))
            given = views.vectors.get(name)
            if given is not None and given.shape[1] != width:
                raise InputError(f"The view '{name}' is {given.shape[1]} wide, its head reads {width}.")
            for start in range(0, count if given is not None else 0, CHUNK):
                rows = start + np.flatnonzero(mask[start : start + CHUNK])
                if given is not None:
                    out[rows] = given[rows] @ head.weight + head.bias
            vectors[name], present[name] = out, mask
        return Views.from_arrays(vectors, present)

    def fingerprint(self) -> str:
        """16 hex digits over the heads' names, order and bytes."""
        import hashlib

        digest = hashlib.blake2b(digest_size=8)
        for name, head in self.heads.items():
            digest.update(f"{name}{head.weight.shape}".encode() + head.weight.tobytes() + head.bias.tobytes())
        return fingerprint(digest.hexdigest())

    def save(self, folder: Path | str) -> None:
        """Write heads.safetensors and heads.json into `folder`."""
        from safetensors.numpy import save_file

        tensors = {}
        for number, head in enumerate(self.heads.values()):
            tensors[f"{number}.weight"] = np.ascontiguousarray(head.weight)
            tensors[f"{number}.bias"] = np.ascontiguousarray(head.bias)
        with replacing_folder(folder) as temporary:
            save_file(tensors, temporary / "heads.safetensors")
            mark = file_fingerprint(temporary / "heads.safetensors")
            write_json(temporary / "heads.json", {"views": list(self.heads), "facts": self.facts, "bytes": mark})

    @classmethod
    def load(cls, folder: Path | str) -> Aligned:
        """Open what `save` wrote. MissingError where there is nothing, InputError where it is damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder)
        if not (folder / "heads.json").exists():
            raise MissingError(f"{folder} holds no alignment: fit it again.")
        try:
            stored = read_json(folder / "heads.json")
            if file_fingerprint(folder / "heads.safetensors") != stored["bytes"]:
                raise ValueError("other bytes than heads.json says")
            tensors = load_file(folder / "heads.safetensors")
            heads = {
                name: Head(tensors[f"{number}.weight"], tensors[f"{number}.bias"])
                for number, name in enumerate(stored["views"])
            }
            return cls(heads, stored["facts"])
        except (ValueError, KeyError, TypeError, OSError, SafetensorError) as error:
            raise InputError(f"{folder} is damaged: fit the alignment again.") from error
