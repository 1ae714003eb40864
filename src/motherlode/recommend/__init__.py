"""User to product: sequences, the user-item two-tower, training with any sampler, measuring over the whole catalogue.

The two verbs are named like their files: `from motherlode.recommend.train import train`, and likewise `evaluate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from motherlode.lazy import lazily

if TYPE_CHECKING:
    from motherlode.recommend.budget import Budget
    from motherlode.recommend.evaluate import UserMetrics, model_scorer, recommend
    from motherlode.recommend.examples import ExampleBatches
    from motherlode.recommend.holdout import Holdout, Split, leave_k_out, leave_last, popularity_slices, temporal
    from motherlode.recommend.objective import RetrievalObjective
    from motherlode.recommend.sequences import Sequences, read_sequences
    from motherlode.recommend.serving import Recommendation, Recommender
    from motherlode.recommend.towers import TowerSettings, UserItemTwoTower
    from motherlode.recommend.train import Trained, TrainSettings

__all__ = [
    "Budget",
    "ExampleBatches",
    "Holdout",
    "Recommendation",
    "Recommender",
    "RetrievalObjective",
    "Sequences",
    "Split",
    "TowerSettings",
    "TrainSettings",
    "Trained",
    "UserItemTwoTower",
    "UserMetrics",
    "leave_k_out",
    "leave_last",
    "model_scorer",
    "popularity_slices",
    "read_sequences",
    "recommend",
    "temporal",
]

_HOME = {
    "Budget": "budget",
    "ExampleBatches": "examples",
    "Holdout": "holdout",
    "Recommendation": "serving",
    "Recommender": "serving",
    "RetrievalObjective": "objective",
    "Sequences": "sequences",
    "Split": "holdout",
    "TowerSettings": "towers",
    "TrainSettings": "train",
    "Trained": "train",
    "UserItemTwoTower": "towers",
    "UserMetrics": "evaluate",
    "leave_k_out": "holdout",
    "leave_last": "holdout",
    "model_scorer": "evaluate",
    "popularity_slices": "holdout",
    "read_sequences": "sequences",
    "recommend": "evaluate",
    "temporal": "holdout",
}

__getattr__ = lazily(__name__, _HOME)
