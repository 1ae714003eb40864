"""The parts of PROSPER as functions of tensors: each can be left out, so that each can be weighed."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Norm = Literal["none", "query", "both"]


def saturated(logits: Tensor) -> Tensor:
    """Term weights of pooled logits: w = log(1 + max(0, logit)), elementwise.

    Rising, so that the pooled weight is the weight of the pooled logit and one logarithm a text and term is enough.

    Source: SPLADE v2 (arXiv 2109.10086); PROSPER (arXiv 2510.18527) keeps it.
    """
    return torch.log1p(torch.relu(logits))


def literal_residual(weights: Tensor, estimate: Tensor, literal: Tensor) -> Tensor:
    """Raise the terms that stand in the text by what they seem to lack.

        W = w + I * (max_v w'_v - w'_v)

    A brand or a model number that the encoder weighs low (w'_v small) gets much, a term it weighs high little;
    nothing is ever taken away, and a term outside the text is left alone.

    Args:
        weights: w, float [n, V].
        estimate: w', float [n, V], of a linear layer over the pooled hidden state.
        literal: I, bool [n, V]: the term is literally in the text.

    Source: PROSPER (arXiv 2510.18527), literal residual network.
    """
    return weights + literal * (estimate.amax(dim=1, keepdim=True) - estimate)


def focusing_window(weights: Tensor, k: int) -> Tensor:
    """Keep the k greatest weights of each row and set the rest to 0; a row of at most k weights above 0 is unchanged.

    weights: float [n, V], not negative. A hard mask while rows are crowded, none once the FLOPS term has thinned
    them out. Gradients reach the kept weights alone.

    Source: PROSPER (arXiv 2510.18527), lexical focusing window; its widths are 256 (query) and 512 (item).
    """
    if k >= weights.shape[1]:
        return weights
    kept = torch.zeros_like(weights, dtype=torch.bool)
    kept.scatter_(1, weights.detach().topk(k, dim=1, sorted=False).indices, True)
    return weights * kept


def sparse_scores(queries: Tensor, items: Tensor, norm: Norm = "query") -> Tensor:
    """Scores of all pairs: float32 [Q, M] from term weights [Q, V] and [M, V].

        query:  (q / |q|_2) . d        none:  q . d        both:  (q / |q|_2) . (d / |d|_2)

    With "query" no long query outweighs a short one in the loss, while an item still says by its length how much it
    has to say. Between the items of one query "query" and "none" rank alike: they differ in training, and in
    whether one threshold fits all queries. A row without any term scores 0.

    Source: PROSPER (arXiv 2510.18527), which keeps "query"; the other two are its ablations.
    """
    with torch.autocast(queries.device.type, enabled=False):
        queries, items = queries.float(), items.float()
        if norm != "none":
            queries = functional.normalize(queries, dim=1)
        if norm == "both":
            items = functional.normalize(items, dim=1)
        return queries @ items.T


def flops(weights: Tensor) -> Tensor:
    """Expected multiplications of a search, smoothed: sum_v (mean_i w_iv)^2 over the rows i; 0-d tensor.

    It presses hardest on the terms that many texts hold, whose postings are the longest.

    weights: float [n, V], not negative.

    Source: Paria et al. 2020 (arXiv 2004.05665); SPLADE and PROSPER use it, the latter on the base weights w.
    """
    return weights.mean(dim=0).square().sum()


def quadratic_ramp(step: int, steps: int) -> float:
    """Share of the FLOPS term's final strength at a step, from 0: min(1, (step / steps)^2); 1 where `steps` is 0.

    Source: SPLADE (arXiv 2107.05720); PROSPER reaches full strength after about 1.5 epochs of 5.
    """
    return min(1.0, (step / steps) ** 2) if steps else 1.0
