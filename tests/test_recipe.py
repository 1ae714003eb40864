"""Recipes: preset, then file, then overrides; unknown keys and impossible values are named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.errors import MissingError, SettingError
from motherlode.recipe import PRESETS, Recipe


def test_later_wins(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("preset: small\nseed: 3\nfit: {epochs: 7, clip: 2.0}\n")
    recipe = Recipe.load(path, ["fit.epochs=9", "fit.lr=1e-4"])
    assert (recipe.encoder.base, recipe.seed) == ("minilm", 3)
    assert (recipe.fit.epochs, recipe.fit.clip, recipe.fit.lr) == (9, 2.0, 1e-4)


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_saved_is_what_is_read(preset, tmp_path):
    recipe = Recipe.load(overrides=[f"preset={preset}", "data.grade_cuts=[1.75, 2.67]", "encoder.dim=64"])
    recipe.save(tmp_path / "recipe.yaml")
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("fit.epoch=1", "fit.epoch is no setting; known here: epochs"),
        ("epochs=1", "epochs is no setting; known here: preset, seed"),
        ("fit.epochs=0", "fit.epochs=0 cannot be"),
        ("fit.unrelated=some", "fit.unrelated='some' cannot be"),
        ("text.levels=3", "text.levels=3 cannot be"),
        ("seed.x=1", "seed is a single value"),
        ("fit.epochs", "is no override: write it as key=value"),
        ("preset=large", "choose tiny, small, base"),
        ("preset=[1]", "choose tiny, small, base"),
    ],
)
def test_mistakes_are_named(override, says):
    overrides = ["seed=1", override] if override.startswith("seed.") else [override]
    with pytest.raises(SettingError, match=says.replace("(", r"\(")):
        Recipe.load(overrides=overrides)


@pytest.mark.parametrize(("text", "says"), [("- a\n- b\n", "mapping"), ("a: [", "no readable YAML"), ("\x00", "YAML")])
def test_a_broken_file_is_named(text, says, tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(SettingError, match=says) as caught:
        Recipe.load(path)
    assert str(path) in str(caught.value)
    with pytest.raises(MissingError, match="no recipe"):
        Recipe.load(tmp_path / "absent.yaml")


@given(st.text(max_size=30))
def test_any_override_is_taken_or_refused_in_a_sentence(text):
    try:
        Recipe.load(overrides=[text])
    except (SettingError, MissingError) as error:
        assert str(error)
