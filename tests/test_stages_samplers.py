"""Every sampler and every maker of virtual negatives that a recipe can name trains, and is the one it names."""

import numpy as np
import pytest

from motherlode import negatives as ways
from motherlode.errors import SettingError
from motherlode.recipe import Recipe
from motherlode.recipe_recommend import SAMPLERS
from motherlode.recommend.budget import Budget
from motherlode.recommend.holdout import leave_last
from motherlode.recommend.towers import TowerSettings
from motherlode.recommend.train import TrainSettings, train
from motherlode.semantics.codes import Codes
from motherlode.stages.recommend import stage_for
from motherlode.stages.samplers import needs_codes, sampler, virtual
from recommend_case import EACH, GROUPS, N_ITEMS, world

SPLIT = leave_last(world(120))
FULL = {"dynamic": ["recommend.negatives.top=10"]}  # n of the best so many


def codes() -> Codes:
    """A primary cell a group of the world, two leaves each; items never taken lie in the last group's."""
    rows = np.arange(N_ITEMS + 3)
    primary = np.minimum(rows // EACH, GROUPS - 1).astype(np.int32)
    centres = np.random.default_rng(0).normal(size=(GROUPS, 4)).astype(np.float32)
    return Codes(primary, (rows % 2).astype(np.int32), centres, 2, np.ones(len(rows), bool))


def recipe(*words: str) -> Recipe:
    return Recipe.load(overrides=["recommend.negatives.n=3", *words])


def trained(chosen: Recipe, folder) -> dict:
    made = sampler(chosen, SPLIT.frequencies, codes)
    settings = TrainSettings(Budget("steps", 2), batch=16, seed=1)
    found = train(SPLIT, TowerSettings(8, 4), made, settings, folder, virtual=virtual(chosen))
    assert found.facts["steps"] == 2
    assert np.isfinite(found.test.per_user["recall@50"]).all()
    return found.facts


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_trains(name, tmp_path):
    trained(recipe(f"recommend.sampler={name}", *FULL.get(name, [])), tmp_path)


@pytest.mark.parametrize("kind", ["edis", "mixgcf", "mochi", "bmns"])
def test_every_maker_of_virtual_negatives_trains(kind, tmp_path):
    name = "in_batch_logq" if kind == "bmns" else "semantic"
    trained(recipe(f"recommend.sampler={name}", f"recommend.virtual.kind={kind}"), tmp_path)


def test_words_stand_for_what_they_say():
    made = sampler(recipe("recommend.sampler=in_batch_logq+uniform"), SPLIT.frequencies, codes)
    assert isinstance(made, ways.CombinedSampler)
    assert [type(one) for one in made.samplers] == [ways.InBatchLogQSampler, ways.UniformSampler]
    made = sampler(
        recipe("recommend.sampler=semantic", "recommend.negatives.easy=4", "recommend.negatives.hard=2"),
        SPLIT.frequencies,
        codes,
    )
    assert (made.easy, made.hard) == (4, 2)
    batch = ways.Batch(SPLIT.train.items[:5], None)
    drawn = made.draw(np.random.default_rng(0), batch).pools[0]
    group = codes().primary
    assert (group[drawn.rows[:, :4]] != group[batch.positives][:, None]).all()
    assert (group[drawn.rows[:, 4:]] == group[batch.positives][:, None]).all()
    assert (codes().leaf[drawn.rows[:, 4:]] != codes().leaf[batch.positives][:, None]).all()
    assert isinstance(
        sampler(recipe("recommend.negatives.leaf_mask=true"), SPLIT.frequencies, codes), ways.LeafMaskedSampler
    )
    edis = virtual(recipe("recommend.virtual.kind=edis", "recommend.virtual.strength=0.2"))
    assert isinstance(edis, ways.Interpolation) and edis.strength == 0.2
    assert virtual(recipe()) is None


def test_codes_are_made_only_for_those_who_read_them():
    def refuse() -> Codes:
        raise AssertionError("no codes are needed")

    for name in SAMPLERS:
        chosen = recipe(f"recommend.sampler={name}", *FULL.get(name, []))
        if not needs_codes(chosen):
            sampler(chosen, SPLIT.frequencies, refuse)
            continue
        with pytest.raises(AssertionError):
            sampler(chosen, SPLIT.frequencies, refuse)
    assert stage_for(recipe()).needs == ("data", "sequences")
    assert "codes" in stage_for(recipe("recommend.sampler=uniform+semantic")).needs
    assert "codes" in stage_for(recipe("recommend.negatives.leaf_mask=true")).needs
    assert stage_for(recipe("recommend.content=true")).needs == ("data", "sequences", "views")


def test_a_name_that_is_none_is_refused_with_those_that_are():
    with pytest.raises(SettingError, match="there is no sampler 'best', choose among in_batch_logq"):
        recipe("recommend.sampler=uniform+best")
