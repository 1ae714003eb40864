"""A static encoder: one vector a token, averaged; no attention, so it trains and encodes in seconds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from motherlode.encoders.principal import principal_directions

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding


def static_backbone(source: "SentenceTransformer", texts: Sequence[str], dim: int = 256) -> "StaticEmbedding":
    """Token table of `source`, reduced by PCA, each row scaled by the token's rarity in `texts`.

        row_t = idf_t * (E_t - mean(E)) V,    idf_t = ln((n + 1) / (df_t + 1))

    where E is the input embedding table, V its first `dim` principal directions over the tokens that occur,
    n the number of texts and df_t the number that hold token t. The mean of such rows points where an
    idf-weighted mean would: scaling the rows keeps the module a plain embedding bag.
    """
    import torch
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    tokenizer = source.tokenizer._tokenizer
    table = source[0].auto_model.get_input_embeddings().weight.detach().numpy().astype(np.float64)
    frequency = document_frequency(tokenizer, texts, len(table))
    seen = frequency > 0
    mean = table[seen].mean(0)
    centred = table - mean
    reduced = centred @ principal_directions(centred[seen], dim)
    reduced *= np.log((len(texts) + 1) / (frequency + 1))[:, None]
    reduced /= np.linalg.norm(reduced[seen], axis=1).mean()
    return StaticEmbedding(tokenizer, embedding_weights=torch.from_numpy(reduced.astype(np.float32)))


def document_frequency(tokenizer, texts: Sequence[str], vocabulary: int) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Number of texts that hold each token; int64 [vocabulary]."""
    counts = np.zeros(vocabulary, dtype=np.int64)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    for begin in range(0, len(texts), 10_000):
        for encoding in tokenizer.encode_batch(list(texts[begin : begin + 10_000]), add_special_tokens=False):
            counts[np.unique(np.asarray(encoding.ids, dtype=np.int64))] += 1
    return counts
