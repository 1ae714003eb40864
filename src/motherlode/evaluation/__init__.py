"""Measuring graded retrieval with numpy alone: ranking metrics, separation of grades, intervals, slices."""

from motherlode.evaluation.bootstrap import paired_bootstrap
from motherlode.evaluation.compare import Evaluation, evaluate
from motherlode.evaluation.judged import Judged
from motherlode.evaluation.ranking import judged_metrics, ranking_metrics
from motherlode.evaluation.run import Run, top_k
from motherlode.evaluation.separation import separation, separation_by_query

__all__ = [
    "Evaluation",
    "Judged",
    "Run",
    "evaluate",
    "judged_metrics",
    "paired_bootstrap",
    "ranking_metrics",
    "separation",
    "separation_by_query",
    "top_k",
]
