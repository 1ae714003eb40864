"""Two graders' answers weighed into one by weights learnt on held-out pairs: tried, see the tables of graders."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError

MEMBERS = ("cross-encoder", "features")
TRUST = 0.8  # of a grade beside the raters' mean, by validation
FLOOR = 1e-4  # a probability below says nothing more
DECAY = 1e-3  # on the squares of the weights, away from the mean of the members


@dataclass(frozen=True, eq=False)
class Stack:
    """p = softmax(W x + b), x the log odds ln(p1 / p0), ln(p2 / p1) of every member in order.

    A multinomial logistic regression over the members' answers (Wolpert 1992, Stacked generalization).

    Attributes:
        weights: float64 [2 x members, 3].
        bias: float64 [3].
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    @classmethod
    def fit(cls, answers: Sequence[NDArray[np.float64]], targets: NDArray[np.floating]) -> Self:
        """Learn from the answers [n, 3] of each member and targets [n, 3] on pairs that no member has learnt from.

        Ordinal cross-entropy, by L-BFGS from the mean of the members; rows of NaN are left out. Raises
        InputError with fewer than 30 pairs that all members answer.
        """
        import torch

        from motherlode.losses.ordinal import ordinal_cross_entropy

        known = np.isfinite(np.concatenate(answers, axis=1)).all(axis=1)
        if known.sum() < 30:
            raise InputError(
                f"{known.sum()} validation pairs that all graders answer cannot show how to weigh them: give 30 or "
                "more."
            )
        x = torch.from_numpy(_odds([one[known] for one in answers]))
        y = torch.from_numpy(np.asarray(targets, np.float64)[known])
        mean = torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]] * len(answers), dtype=torch.float64) / len(answers)
        change = torch.zeros_like(mean, requires_grad=True)
        bias = torch.zeros(3, dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.LBFGS([change, bias], max_iter=200, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            optimiser.zero_grad()
            loss = ordinal_cross_entropy(x @ (mean + change) + bias, y) + DECAY * change.square().sum()
            loss.backward()
            return loss

        optimiser.step(closure)
        return cls((mean + change).detach().numpy(), bias.detach().numpy())

    def apply(self, answers: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Probabilities float64 [n, 3] from the answers [n, 3] of each member; NaN where one has none."""
        logits = _odds(answers) @ self.weights + self.bias
        weights = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _odds(answers: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    logs = [np.log(np.maximum(one, FLOOR)) for one in answers]
    return np.concatenate([np.diff(one, axis=1) for one in logs], axis=1)
