"""Weights between those a training started from and those it reached."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def snapshot(model: "nn.Module") -> "dict[str, Tensor]":
    """A copy of every tensor of the model."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


@contextmanager
def merged(model: "nn.Module", start: "dict[str, Tensor]", share: float) -> Iterator[None]:
    """Within the block the model holds (1 - share) * start + share * its own weights, afterwards its own again.

    What a model knew before a small training set is worth keeping: the average of both often beats either. `share=1`
    changes nothing. Integer tensors keep their own value.

    Source: WiSE-FT (Wortsman et al. 2022, arXiv 2109.01903).
    """
    import torch

    if share == 1:
        yield
        return
    own, state = snapshot(model), model.state_dict()
    with torch.no_grad():
        for name, tensor in state.items():
            if tensor.is_floating_point():
                tensor.lerp_(start[name].to(tensor.device), 1 - share)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, tensor in state.items():
                tensor.copy_(own[name])
