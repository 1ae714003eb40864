"""Stages run when they must and only then; what a killed writer leaves is never taken for whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.atomic import file_fingerprint, fingerprint, read_json, replacing, replacing_folder, sweep, write_json
from motherlode.errors import MotherlodeError
from motherlode.recipe import Recipe
from motherlode.workspace import Stage, Workspace, difference


def stages(ran: list[str], version: int = 1) -> tuple[Stage, Stage]:
    def make(name, needs, settings):  # type: ignore[no-untyped-def]
        def work(workspace, recipe):  # type: ignore[no-untyped-def]
            ran.append(name)
            write_json(workspace / f"{name}.json", recipe.seed)
            return {"seed": recipe.seed}

        return Stage(name, needs, settings, work, (f"{name}.json",), version if name == "first" else 1)

    first = make("first", (), lambda recipe: {"seed": recipe.seed})
    return first, make("second", ("first",), lambda recipe: {"epochs": recipe.fit.epochs})


def bring(workspace: Workspace, recipe: Recipe, ran: list[str], version: int = 1) -> list[str]:
    ran.clear()
    for stage in stages(ran, version):
        workspace.run(stage, recipe)
    return list(ran)


def test_only_what_changed_runs_again(tmp_path):
    workspace, ran, recipe = Workspace(tmp_path), [], Recipe()
    assert bring(workspace, recipe, ran) == ["first", "second"]
    assert bring(workspace, recipe, ran) == []
    other = Recipe.load(overrides=["fit.epochs=9"])
    second = stages(ran)[1]
    assert workspace.standing(second, other).why == "epochs: 5 -> 9"
    assert bring(workspace, other, ran) == ["second"]
    assert bring(workspace, Recipe.load(overrides=["fit.epochs=9", "seed=1"]), ran) == ["first", "second"]
    (tmp_path / "first.json").unlink()
    assert workspace.standing(stages(ran)[0], recipe).why == "first.json is gone"
    assert bring(workspace, recipe, ran)[0] == "first"
    assert bring(workspace, recipe, ran, version=2) == ["first", "second"]


def test_a_stage_that_fails_is_not_recorded(tmp_path):
    workspace = Workspace(tmp_path)

    def work(workspace, recipe):  # type: ignore[no-untyped-def] # noqa: ARG001
        write_json(workspace / "out.json", 1)
        raise RuntimeError

    stage = Stage("failing", (), lambda _: {}, work, ("out.json",))
    with pytest.raises(RuntimeError):
        workspace.run(stage, Recipe())
    assert workspace.standing(stage, Recipe()).state == "missing"


def test_one_process_at_a_time(tmp_path):
    with (
        Workspace(tmp_path).locked(),
        pytest.raises(MotherlodeError, match="Another process"),
        Workspace(tmp_path).locked(),
    ):
        pass
    with Workspace(tmp_path).locked():
        pass


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_is_whole_or_as_it_was(tmp_path):
    folder = tmp_path / "f"
    for text in ("one", "two"):
        with replacing_folder(folder) as temporary:
            (temporary / "x").write_text(text)
        assert (folder / "x").read_text() == text
    with pytest.raises(RuntimeError), replacing_folder(folder):
        raise RuntimeError
    assert (folder / "x").read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
    (tmp_path / ".g.1.tmp").mkdir()
    (tmp_path / ".h.2.tmp").write_text("")
    sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_fingerprints(tmp_path):
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}) != fingerprint({"a": 1, "b": 3})
    (tmp_path / "x").write_text("1")
    one = file_fingerprint(tmp_path)
    (tmp_path / "x").rename(tmp_path / "y")
    assert file_fingerprint(tmp_path) != one
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "z", float("nan"))
    assert not (tmp_path / "z").exists()
    write_json(tmp_path / "z", {"é": 1})
    assert read_json(tmp_path / "z") == {"é": 1}


nested = st.recursive(st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner), max_leaves=6)


@given(nested, nested)
def test_difference_is_empty_exactly_for_equals(a, b):
    assert (difference(a, b) == []) == (a == b)
