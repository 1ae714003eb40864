"""The two-tower encoder: a backbone, one linear head for queries, one for items, unit vectors."""

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from motherlode.encoders.principal import principal_directions
from motherlode.errors import SettingError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

SAMPLE = 4_000  # texts that the directions of a narrower head are read off


def two_tower(
    base: str,
    texts: Sequence[str],
    *,
    dim: int | None = None,
    untied: bool = False,
    max_tokens: int = 64,
) -> "SentenceTransformer":
    """Put two separate linear heads on a backbone; query and document routes, L2-normalised output.

    A head without reduction starts at the identity, one with reduction at the first `dim` principal
    directions of the item texts, so that the untrained model ranks (nearly) as its backbone does.
    Everything in it is a stock sentence-transformers module: `SentenceTransformer(path)` loads what `save`
    wrote on a machine without motherlode, and `encode_query` / `encode_document` choose the route.

    Args:
        base: "static", "minilm", or a sentence-transformers / transformers folder or name.
        texts: item texts of the shop: token rarity of a static table and the principal directions come from them.
        dim: width of the output; None keeps the backbone's (256 for "static").
        untied: give each route a backbone of its own (the paper's asymmetric variant).
        max_tokens: longer texts are cut; ignored by a static table.

    A base that is itself such an encoder (it has the two routes) is taken as it is, to be trained further.

    Raises:
        SettingError: `dim` is wider than the backbone, or differs from that of a ready two-tower encoder.

    Source: Mine and Refine (arXiv 2602.17654) §4.1: shared weights, two projection heads, L2 norm. Linear
    heads, their start and the width are ours.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Router

    from motherlode.encoders.presets import load
    from motherlode.encoders.static import static_backbone

    source = load(base)
    if any(isinstance(module, Router) for module in source.children()):
        width = source.get_embedding_dimension()
        if dim not in (None, width) or untied != isinstance(source[0], Router):
            raise SettingError(
                f"{base} is a two-tower encoder of width {width} already: encoder.dim and encoder.untied must fit it."
            )
        return source
    if base == "static":
        backbone: list[torch.nn.Module] = [static_backbone(source, texts, min(dim or 256, 256))]
    else:
        source.max_seq_length = min(max_tokens, source.max_seq_length or max_tokens)
        backbone = [module for module in source.children() if not isinstance(module, Normalize)]
    width = SentenceTransformer(modules=backbone, device="cpu").get_embedding_dimension()
    dim = dim or width
    if dim > width:
        raise SettingError(f"encoder.dim={dim} is wider than the backbone's {width}: give {width} or less.")

    def head() -> Dense:
        dense = Dense(width, dim, bias=False, activation_function=torch.nn.Identity())
        with torch.no_grad():
            dense.linear.weight.copy_(start)
        return dense

    start = torch.eye(width)
    if dim < width:
        plain = SentenceTransformer(modules=backbone, device="cpu", prompts=source.prompts)
        sample = [texts[i] for i in np.random.default_rng(0).permutation(len(texts))[:SAMPLE]]
        vectors = plain.encode(sample, show_progress_bar=False, normalize_embeddings=True).astype(np.float64)
        start = torch.from_numpy(principal_directions(vectors, dim).T.astype(np.float32))
    if untied:
        query, document = [*copy.deepcopy(backbone), head()], [*backbone, head()]
        modules: list[torch.nn.Module] = [Router.for_query_document(query, document), Normalize()]
    else:
        modules = [*backbone, Router.for_query_document([head()], [head()]), Normalize()]
    return SentenceTransformer(modules=modules, device="cpu", prompts=source.prompts).eval()
