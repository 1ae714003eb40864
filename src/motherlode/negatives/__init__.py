"""Negatives: who is met as one (samplers), and which are made (interpolation and its rivals)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from motherlode.lazy import lazily

if TYPE_CHECKING:
    from motherlode.negatives.adaptive_hardness import AdaptiveHardnessSampler
    from motherlode.negatives.ambiguous import AmbiguousSampler
    from motherlode.negatives.batch import Batch, Histories
    from motherlode.negatives.bidirectional_margin import bidirectional_margin_loss
    from motherlode.negatives.bmns import bmns_negatives
    from motherlode.negatives.cluster import ClusterSampler
    from motherlode.negatives.combined import CombinedSampler
    from motherlode.negatives.cross_batch import CrossBatchSampler
    from motherlode.negatives.dynamic import DynamicSampler
    from motherlode.negatives.fair_groups import FairGroupsSampler
    from motherlode.negatives.flat_cluster import flat_cluster_sampler
    from motherlode.negatives.frequency import StreamingFrequency
    from motherlode.negatives.full_softmax import FullSoftmaxSampler
    from motherlode.negatives.in_batch import InBatchSampler
    from motherlode.negatives.in_batch_logq import InBatchLogQSampler
    from motherlode.negatives.interpolated import interpolate
    from motherlode.negatives.interpolation import Interpolation
    from motherlode.negatives.leaf_mask import LeafMaskedSampler, outside_leaf
    from motherlode.negatives.mixed import MixedSampler
    from motherlode.negatives.mixgcf import mixgcf_negatives
    from motherlode.negatives.mochi import mochi_negatives
    from motherlode.negatives.popularity import PopularitySampler
    from motherlode.negatives.rising_hardness import RisingHardness
    from motherlode.negatives.sampler import Negatives, Pool, Sampler
    from motherlode.negatives.scored import Scored, score
    from motherlode.negatives.semantic import SemanticSampler
    from motherlode.negatives.semantic_weights import SemanticWeightsSampler
    from motherlode.negatives.uniform import UniformSampler
    from motherlode.negatives.virtual import Virtual

__all__ = [
    "AdaptiveHardnessSampler",
    "AmbiguousSampler",
    "Batch",
    "ClusterSampler",
    "CombinedSampler",
    "CrossBatchSampler",
    "DynamicSampler",
    "FairGroupsSampler",
    "FullSoftmaxSampler",
    "Histories",
    "InBatchLogQSampler",
    "InBatchSampler",
    "Interpolation",
    "LeafMaskedSampler",
    "MixedSampler",
    "Negatives",
    "Pool",
    "PopularitySampler",
    "RisingHardness",
    "Sampler",
    "Scored",
    "SemanticSampler",
    "SemanticWeightsSampler",
    "StreamingFrequency",
    "UniformSampler",
    "Virtual",
    "bidirectional_margin_loss",
    "bmns_negatives",
    "flat_cluster_sampler",
    "interpolate",
    "mixgcf_negatives",
    "mochi_negatives",
    "outside_leaf",
    "score",
]

_HOME = {
    "AdaptiveHardnessSampler": "adaptive_hardness",
    "AmbiguousSampler": "ambiguous",
    "Batch": "batch",
    "ClusterSampler": "cluster",
    "CombinedSampler": "combined",
    "CrossBatchSampler": "cross_batch",
    "DynamicSampler": "dynamic",
    "FairGroupsSampler": "fair_groups",
    "FullSoftmaxSampler": "full_softmax",
    "Histories": "batch",
    "InBatchLogQSampler": "in_batch_logq",
    "InBatchSampler": "in_batch",
    "Interpolation": "interpolation",
    "LeafMaskedSampler": "leaf_mask",
    "MixedSampler": "mixed",
    "Negatives": "sampler",
    "Pool": "sampler",
    "PopularitySampler": "popularity",
    "RisingHardness": "rising_hardness",
    "Sampler": "sampler",
    "Scored": "scored",
    "SemanticSampler": "semantic",
    "SemanticWeightsSampler": "semantic_weights",
    "StreamingFrequency": "frequency",
    "UniformSampler": "uniform",
    "Virtual": "virtual",
    "bidirectional_margin_loss": "bidirectional_margin",
    "bmns_negatives": "bmns",
    "flat_cluster_sampler": "flat_cluster",
    "interpolate": "interpolated",
    "mixgcf_negatives": "mixgcf",
    "mochi_negatives": "mochi",
    "outside_leaf": "leaf_mask",
    "score": "scored",
}

__getattr__ = lazily(__name__, _HOME)
