"""Graders stacked: what several of them say of a pair, weighed into one answer by weights learnt on held-out pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from motherlode.atomic import fingerprint, read_json, write_json
from motherlode.errors import InputError, MissingError, SettingError
from motherlode.grading.grader import Graded, Grader, Judge, Pair

NAME = "stacked"
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

    def save(self, path: Path | str) -> None:
        """Write it as JSON."""
        write_json(path, {"weights": self.weights.tolist(), "bias": self.bias.tolist()})

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read what `save` wrote. Raises MissingError without the file, InputError where it is something else."""
        if not Path(path).exists():
            raise MissingError(f"{path} is not there: ask with `--with stacked` to learn how to weigh the graders.")
        try:
            found = read_json(path)
            made = cls(np.array(found["weights"], np.float64), np.array(found["bias"], np.float64))
            if made.weights.ndim != 2 or made.weights.shape[1] != 3 or made.bias.shape != (3,):
                raise ValueError
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} holds no weights of graders: remove it, and it is learnt again.") from error
        return made


class StackedGrader:
    """Members whose answers a `Stack` weighs; a `Grader` itself. All members are asked about every pair.

    Raises SettingError where members judge by different rubrics, or the stack was learnt from another number of them.
    """

    def __init__(self, members: Sequence[Grader], stack: Stack) -> None:
        self.members, self.stack = list(members), stack
        rubrics = {member.judge.rubric for member in self.members}
        if len(rubrics) > 1:
            raise SettingError(f"The graders judge by different rubrics ({', '.join(sorted(rubrics))}): give them one.")
        if len(self.stack.weights) != 2 * len(self.members):
            raise SettingError(f"These weights are of {len(stack.weights) // 2} graders, not of {len(self.members)}.")

    @property
    def judge(self) -> Judge:
        """Its version changes with any member's and with the weights."""
        parts = [str(member.judge) for member in self.members], self.stack.weights.tolist(), self.stack.bias.tolist()
        return Judge(NAME, fingerprint(*parts), self.members[0].judge.rubric)

    @property
    def block(self) -> int:
        """The smallest of its members'."""
        return min(member.block for member in self.members)

    def grade(self, pairs: Sequence[Pair]) -> Graded:
        """The weighed answers; the cost is that of all members."""
        found = [member.grade(pairs) for member in self.members]
        cost = np.sum([one.cost for one in found], axis=0)
        return Graded(self.stack.apply([one.probabilities for one in found]), cost)


def _odds(answers: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    logs = [np.log(np.maximum(one, FLOOR)) for one in answers]
    return np.concatenate([np.diff(one, axis=1) for one in logs], axis=1)
