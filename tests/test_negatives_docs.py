"""The Python of docs/negatives.md, run as it stands on small data, does what the page says."""

import re
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers.utils.logging import disable_progress_bar

PAGE = Path(__file__).parent.parent / "docs" / "negatives.md"
CODES, LOOP, SEARCH = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def shop(n_items=400, kinds=16):
    """Views of items of some kinds, and users who buy of one kind."""
    rng = np.random.default_rng(0)
    kind = np.arange(n_items) % kinds
    titles, posters = (
        (rng.standard_normal((kinds, 8))[kind] + 0.3 * rng.standard_normal((n_items, 8))).astype(np.float32)
        for _ in range(2)
    )
    users = np.repeat(np.arange(150), 6)
    bought = rng.integers(n_items // kinds, size=len(users)) * kinds + users % kinds
    return {"titles": titles, "posters": posters, "users": users, "bought": bought}


def test_codes_and_the_plain_loop():
    torch.manual_seed(0)
    names = shop()
    exec(CODES, names)
    codes = names["codes"]
    assert codes.primary.shape == codes.secondary.shape == (400,)
    assert len(np.unique(codes.primary)) > 8 and codes.secondary.max() < 4
    exec(LOOP, names)
    losses, negatives, pool = names["losses"], names["negatives"], names["negatives"].pools[0]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.3
    positives = negatives.items[negatives.positive]
    leaf = codes.primary.astype(np.int64) * 4 + codes.secondary
    assert (leaf[pool.rows] != leaf[positives][:, None])[pool.mask].all()
    assert (codes.primary[pool.rows[:, :6]] != codes.primary[positives][:, None])[pool.mask[:, :6]].all()


def test_cluster_aware_negatives_for_search(tmp_path):
    disable_progress_bar()
    nouns, colours = [f"noun{k}" for k in range(8)], [f"colour{k}" for k in range(10)]
    words = [*nouns, *colours, *(f"query{k}" for k in range(8))]
    tokens = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1} | {w: i + 2 for i, w in enumerate(words)}, "[UNK]"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    table = 0.02 * torch.randn(len(words) + 2, 16, generator=torch.Generator().manual_seed(0))
    model = SentenceTransformer(modules=[StaticEmbedding(tokens, embedding_weights=table)], device="cpu")
    items = [f"{colour} {noun}" for noun in nouns for colour in colours]
    queries = [f"query{k}" for k in range(8)]
    chosen = np.array([(k, 10 * k + c) for k in range(8) for c in range(6)])
    names = {"model": model, "items": items, "queries": queries, "pairs": chosen, "folder": tmp_path}

    def hits():
        scores = model.encode(queries, normalize_embeddings=True) @ model.encode(items, normalize_embeddings=True).T
        return float((scores.argmax(axis=1) // 10 == np.arange(8)).mean())

    before = hits()
    exec(SEARCH, names)
    assert hits() > max(before, 0.8)
    pool, codes, pairs = names["pool"], names["codes"], names["pairs"]
    taken = {(q, i) for q, i in pairs.tolist()}
    assert not any((q, i) in taken for q, row in zip(pairs[:, 0].tolist(), pool.rows, strict=True) for i in row[:1])
    same = (codes.primary[pool.rows] == codes.primary[pairs[:, 1]][:, None]) & pool.mask
    near = same & (codes.secondary[pool.rows] == codes.secondary[pairs[:, 1]][:, None])
    assert same[:, 1:].any() and not near.any()
