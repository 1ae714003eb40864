"""Texts tokenised once, and batches of them laid out so that little is padding."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer


class TokenStore:
    """Token ids of a list of texts for one route of an encoder: flat int32 ids and offsets.

    `vectors(rows)` encodes those texts with gradients: sorted by length, cut into chunks of at most
    `token_budget` tokens padding included (by default 512 on a CPU, where small chunks waste least and stay in
    cache, 32,768 elsewhere), returned in the order asked for. The chunks change the arithmetic's
    order, not its meaning: the result equals one padded pass up to rounding.
    """

    def __init__(
        self, model: "SentenceTransformer", texts: Sequence[str], task: str, token_budget: int | None = None
    ) -> None:
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding

        self.model, self.task = model, task
        self.token_budget = token_budget or (512 if model.device.type == "cpu" else 32_768)
        first = _first_module(model, task)
        self.static = isinstance(first, StaticEmbedding)
        prompt = (model.prompts or {}).get(task) or ""
        tokenizer = first.tokenizer if self.static else first.tokenizer._tokenizer
        limit = None if self.static else first.max_seq_length
        self.pad_id = 0 if self.static else first.tokenizer.pad_token_id
        tokenizer.no_padding()
        tokenizer.enable_truncation(limit) if limit else tokenizer.no_truncation()
        ids: list[np.ndarray] = []
        for begin in range(0, len(texts), 10_000):
            chunk = [prompt + text for text in texts[begin : begin + 10_000]]
            encodings = tokenizer.encode_batch(chunk, add_special_tokens=not self.static)
            ids += [np.asarray(encoding.ids, dtype=np.int32) for encoding in encodings]
        self.lengths = np.fromiter((len(i) for i in ids), dtype=np.int64, count=len(ids))
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        self.ids = np.concatenate(ids) if ids else np.zeros(0, np.int32)

    def vectors(self, rows: np.ndarray, forward: "torch.nn.Module | None" = None) -> "torch.Tensor":
        """Unit vectors of the texts numbered `rows` (int64 [n]); float [n, dim], differentiable."""
        import torch

        forward = forward or self.model
        if self.static:
            return forward(self._bag(rows), task=self.task)["sentence_embedding"]
        order = np.argsort(-self.lengths[rows], kind="stable")
        parts = [
            forward(self._padded(chunk), task=self.task)["sentence_embedding"] for chunk in self._chunks(rows[order])
        ]
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return torch.cat(parts)[torch.from_numpy(back).to(parts[0].device)]

    def _chunks(self, rows: np.ndarray) -> list[np.ndarray]:
        """Cut rows sorted by falling length so that count x longest stays within the budget."""
        chunks, begin = [], 0
        while begin < len(rows):
            count = max(1, self.token_budget // max(1, int(self.lengths[rows[begin]])))
            chunks.append(rows[begin : begin + count])
            begin += count
        return chunks

    def _padded(self, rows: np.ndarray) -> dict[str, "torch.Tensor"]:
        import torch

        lengths = self.lengths[rows]
        mask = np.arange(int(lengths.max(initial=1)))[None, :] < lengths[:, None]
        ids = np.full(mask.shape, self.pad_id, dtype=np.int64)
        ids[mask] = self._flat(rows)
        device = self.model.device
        return {
            "input_ids": torch.from_numpy(ids).to(device),
            "attention_mask": torch.from_numpy(mask.astype(np.int64)).to(device),
        }

    def _bag(self, rows: np.ndarray) -> dict[str, "torch.Tensor"]:
        import torch

        offsets = np.concatenate([[0], np.cumsum(self.lengths[rows])[:-1]]).astype(np.int64)
        device = self.model.device
        return {
            "input_ids": torch.from_numpy(self._flat(rows).astype(np.int64)).to(device),
            "offsets": torch.from_numpy(offsets).to(device),
        }

    def _flat(self, rows: np.ndarray) -> np.ndarray:
        lengths = self.lengths[rows]
        starts = np.repeat(self.offsets[rows] - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
        return self.ids[np.arange(int(lengths.sum())) + starts]


def _first_module(model: "SentenceTransformer", task: str) -> Any:
    from sentence_transformers.sentence_transformer.modules import Router

    first = model[0]
    return first.sub_modules[task][0] if isinstance(first, Router) else first
