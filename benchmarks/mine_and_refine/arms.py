"""The arms of a study: what each trains on, by which loss, from which weights."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from motherlode.losses.multilevel_circle import LEVELS, Level
from motherlode.training.criterion import Criterion, criterion

LOSSES = ("circle", "supcon", "triplet", "mnrl", "cosent", "graded_circle", "gcl", "roar", "lambda")
SYMMETRIC = (LEVELS[0], Level(1, positive=(0.40, 0.60), negative=(0.60, 0.40)), LEVELS[2])


@dataclass(frozen=True)
class Arm:
    """One training beyond Stage 1 (or instead of it).

    Attributes:
        name: of the arm.
        data: what it trains on, see `material.Material.judgements`.
        fit: settings of the training, over those of Stage 1.
        start: "stage 1", "untouched" (no Stage 1), or the name of another arm.
        loss: where it is none that a recipe can name.
    """

    name: str
    data: str
    fit: dict[str, object] = field(default_factory=dict)
    start: str = "stage 1"
    loss: Callable[[], Criterion] | None = None


TRAIN_ON = Arm("train on", "original", {"loss": "supcon"})
DEFAULTS = ("mixed, circle, gamma 32", "random verdicts, circle, gamma 32")
CIRCLE = Arm("mined, circle", "mined", {"loss": "circle"})
HEADLINE = (
    TRAIN_ON,
    CIRCLE,
    Arm("random verdicts, circle", "random", {"loss": "circle"}),
    Arm("mined, supcon", "mined", {"loss": "supcon"}),
    Arm("random verdicts, supcon", "random", {"loss": "supcon"}),
)
DATA = (
    Arm("original, circle", "original", {"loss": "circle"}),
    Arm("un-graded neighbours, supcon", "naive", {"loss": "supcon"}),
    Arm("un-graded neighbours, circle", "naive", {"loss": "circle"}),
    Arm("un-graded neighbours, mnrl", "naive", {"loss": "mnrl"}),
    Arm("all verdicts, supcon", "verdicts", {"loss": "supcon"}),
    Arm("all verdicts, circle", "verdicts", {"loss": "circle"}),
    Arm("mined alone, circle", "mined alone", {"loss": "circle"}),
    Arm("no top 10, circle", "no top 10", {"loss": "circle"}),
    Arm("no hard positives, circle", "no positives", {"loss": "circle"}),
    Arm("grade 2 only, circle", "grade 2 only", {"loss": "circle"}),
)
RIVALS = tuple(Arm(f"mined, {name}", "mined", {"loss": name}) for name in LOSSES if name not in ("circle", "supcon"))
GAMMAS = tuple(
    Arm(f"{name}circle, gamma {gamma}", data, {"loss": "circle", "gamma": gamma})
    for gamma in (8, 16, 32)
    for name, data in (("", "mined"), ("random verdicts, ", "random"), ("original, ", "original"))
)
# verdicts on the nearest neighbours first, or in a recipe's order, where a test takes the unjudged for wrong
RANKED = tuple(
    Arm(f"{data}, {name}", data, fit)
    for data in ("ranked", "mixed", "ranked verdicts")
    for name, fit in (
        ("supcon", {"loss": "supcon"}),
        ("circle, gamma 32", {"loss": "circle", "gamma": 32}),
        ("circle, gamma 16", {"loss": "circle", "gamma": 16}),
        ("circle, gamma 32 + 1.0 supcon", {"loss": "circle", "gamma": 32, "supcon": 1.0}),
    )
)
# how far mining looks, for as many verdicts; hard positives come from beyond rank k/2
NEIGHBOURS = tuple(
    Arm(f"mixed, k {k}, circle, gamma 32", f"mixed, k {k}", {"loss": "circle", "gamma": 32}) for k in (50, 200)
)
# what a recipe does unless told otherwise, and its two controls
DEFAULT = (TRAIN_ON, *(arm for arm in (*RANKED, *GAMMAS) if arm.name in DEFAULTS))
ABLATIONS = (
    *GAMMAS,
    replace(CIRCLE, name="circle, gradient through the weights", loss=lambda: criterion("circle", detach=False)),
    replace(CIRCLE, name="circle, optimum 0.40", loss=lambda: criterion("circle", levels=SYMMETRIC)),
    replace(CIRCLE, name="circle, mean over queries", fit={"loss": "circle", "reduction": "mean"}),
    replace(CIRCLE, name="circle, within the instance", fit={"loss": "circle", "unrelated": "none"}),
    replace(CIRCLE, name="circle, with random items", fit={"loss": "circle", "unrelated": "both"}),
    replace(CIRCLE, name="circle without Stage 1", start="untouched"),
    *(
        replace(CIRCLE, name=f"circle + {weight} supcon", fit={"loss": "circle", "supcon": weight})
        for weight in (0.1, 1.0)
    ),
)
EVERY = (*HEADLINE, *DATA, *RIVALS, *ABLATIONS, *RANKED, *NEIGHBOURS)
