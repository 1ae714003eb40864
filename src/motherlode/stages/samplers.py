"""Which sampler and which maker of virtual negatives the words of a recipe stand for."""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from motherlode.recipe import Recipe

if TYPE_CHECKING:
    from motherlode.negatives import Sampler, SemanticSampler
    from motherlode.recommend.objective import VirtualMaker
    from motherlode.semantics.codes import Codes

CODED = {"fair", "cluster", "flat_cluster", "semantic", "semantic_weights"}


def needs_codes(recipe: Recipe) -> bool:
    """Whether training reads codes at all, for negatives or in the item tower."""
    chosen = recipe.recommend
    return chosen.code_sets > 0 or chosen.negatives.leaf_mask or bool(CODED & set(chosen.sampler.split("+")))


def sampler(recipe: Recipe, frequencies: np.ndarray, codes: "Callable[[], Codes]") -> "Sampler":
    """The samplers that `recommend.sampler` joins by +, side by side.

    Args:
        frequencies: int64 [N], training events of each item.
        codes: called where a sampler reads them.
    """
    from motherlode import negatives as ways

    chosen, n_items = recipe.recommend.negatives, len(frequencies)
    n, eta = chosen.n, chosen.eta
    found = cache(codes)

    def semantic() -> "SemanticSampler":
        popularity = "popularity" in (chosen.easy_by, chosen.hard_by)
        return ways.SemanticSampler(
            found().primary,
            found().secondary,
            found().primary_centres,
            easy=chosen.easy,
            hard=chosen.hard,
            cluster_temperature=chosen.cluster_temperature,
            easy_by=chosen.easy_by,
            hard_by=chosen.hard_by,
            frequencies=frequencies if popularity else None,
            eta=eta,
        )

    makers: dict[str, Callable[[], Sampler]] = {
        "in_batch_logq": lambda: ways.InBatchLogQSampler(frequencies, correct_positive=chosen.correct_positive),
        "in_batch": ways.InBatchSampler,
        "streaming": lambda: ways.InBatchLogQSampler(ways.StreamingFrequency(n_items)),
        "mixed": lambda: ways.MixedSampler(frequencies, n, correct_positive=chosen.correct_positive),
        "uniform": lambda: ways.UniformSampler(n_items, n, eta=eta),
        "uniform_shared": lambda: ways.UniformSampler(n_items, n, True, eta),
        "popularity": lambda: ways.PopularitySampler(frequencies, n, eta=eta),
        "popularity_shared": lambda: ways.PopularitySampler(frequencies, n, shared=True, eta=eta),
        "cross_batch": lambda: ways.CrossBatchSampler(frequencies, chosen.bank),
        "dynamic": lambda: ways.DynamicSampler(n_items, chosen.candidates, chosen.top, n),
        "adaptive": lambda: ways.AdaptiveHardnessSampler(n_items, chosen.candidates, n),
        "full": lambda: ways.FullSoftmaxSampler(n_items),
        "fair": lambda: ways.FairGroupsSampler(found().primary, n),
        "cluster": lambda: ways.ClusterSampler(found().primary, found().primary_centres, n),
        "flat_cluster": lambda: ways.flat_cluster_sampler(
            found().primary, found().primary_centres, easy=chosen.easy, hard=chosen.hard, eta=eta
        ),
        "semantic": semantic,
        "semantic_weights": lambda: ways.SemanticWeightsSampler(semantic(), ways.UniformSampler(n_items, n, True)),
    }
    made = [makers[name]() for name in recipe.recommend.sampler.split("+")]
    one = made[0] if len(made) == 1 else ways.CombinedSampler(made)
    return ways.LeafMaskedSampler(one, found().primary, found().secondary) if chosen.leaf_mask else one


def virtual(recipe: Recipe) -> "VirtualMaker | None":
    """The maker of virtual negatives that `recommend.virtual` names; None for none."""
    from motherlode import negatives as ways

    chosen = recipe.recommend.virtual
    if chosen.kind == "none":
        return None
    if chosen.kind == "edis":
        return ways.Interpolation(
            chosen.simple,
            chosen.hard,
            chosen.strength,
            chosen.reading,
            chosen.renormalise,
            cap=chosen.cap,
            detach=chosen.detach,
            same_cluster=chosen.same_cluster,
        )
    makers: dict[str, VirtualMaker] = {
        "mixgcf": lambda generator, scored: ways.mixgcf_negatives(
            generator, scored.users, scored.positives, scored.own, scored.own_mask, chosen.simple + chosen.hard
        ),
        "mochi": lambda generator, scored: ways.mochi_negatives(
            generator, scored.users, scored.own, scored.own_mask, mixed=chosen.simple, with_user=chosen.hard
        ),
        "bmns": lambda generator, scored: ways.bmns_negatives(
            generator, scored.scores, scored.mask, scored.log_q[0], chosen.count
        ),
    }
    return makers[chosen.kind]
