"""The fingerprint of an encoder's weights: what cached vectors are keyed by, never a name."""

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor


def weights_fingerprint(model: "SentenceTransformer") -> str:
    """16 hex digits over every tensor (name, shape, dtype, bytes), the tokenizer and the prompts."""
    digest = hashlib.blake2b(digest_size=8)
    hash_tensors(digest, model.state_dict().items())
    for module in model.modules():
        tokenizer = getattr(module, "tokenizer", None)
        if tokenizer is not None:
            digest.update(tokenizer_json(tokenizer).encode())
            digest.update(str(getattr(module, "max_seq_length", None)).encode())
    digest.update(repr(sorted((model.prompts or {}).items())).encode())
    return digest.hexdigest()


def hash_tensors(digest: "hashlib.blake2b", tensors: Iterable[tuple[str, "Tensor"]]) -> None:
    """Feed name, shape, dtype and bytes of every named tensor to a hash, in the order of their names."""
    import torch

    for name, tensor in sorted(tensors, key=lambda one: one[0]):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        # as bytes: numpy knows no bfloat16
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())


def tokenizer_json(tokenizer: object) -> str:
    """The tokenizer's own description, without padding and truncation, which every call sets anew."""
    import json

    inner = getattr(tokenizer, "_tokenizer", tokenizer)
    description = json.loads(inner.to_str())  # type: ignore[attr-defined]
    description.pop("padding", None)
    description.pop("truncation", None)
    return json.dumps(description, sort_keys=True)
