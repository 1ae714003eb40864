"""The fingerprint of an encoder's weights: what cached vectors are keyed by, never a name."""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def weights_fingerprint(model: "SentenceTransformer") -> str:
    """16 hex digits over every tensor (name, shape, dtype, bytes), the tokenizer and the prompts."""
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in sorted(model.state_dict().items()):
        tensor = tensor.detach().cpu().contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.view(-1).numpy().tobytes())
    for module in model.modules():
        tokenizer = getattr(module, "tokenizer", None)
        if tokenizer is not None:
            digest.update(tokenizer_json(tokenizer).encode())
            digest.update(str(getattr(module, "max_seq_length", None)).encode())
    digest.update(repr(sorted((model.prompts or {}).items())).encode())
    return digest.hexdigest()


def tokenizer_json(tokenizer: object) -> str:
    """The tokenizer's own description, without padding and truncation, which every call sets anew."""
    import json

    inner = getattr(tokenizer, "_tokenizer", tokenizer)
    description = json.loads(inner.to_str())  # type: ignore[attr-defined]
    description.pop("padding", None)
    description.pop("truncation", None)
    return json.dumps(description, sort_keys=True)
