"""Stages run when they must and only then; what a killed writer leaves is never taken for whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.atomic import file_fingerprint, fingerprint, read_json, replacing, replacing_folder, sweep, write_json
from motherlode.errors import InputError, MotherlodeError, SettingError
from motherlode.recipe import Recipe
from motherlode.workspace import ENDS, Stage, Workspace, difference, stamp


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


def trained(ran: list[str], refuse: str = "", late: str = "") -> Stage:
    """Writes weights into a folder, a log and a checkpoint, from which it would not begin again."""

    def work(workspace, recipe):  # type: ignore[no-untyped-def] # noqa: ARG001
        if refuse:
            raise SettingError(refuse)
        left = [name for name in ("fit/checkpoint.pt", "fit/best/inner/config") if (workspace / name).exists()]
        ran.append("on" if left else "anew")
        for name in ("fit/best/inner/weights", "fit/best/inner/config", "fit/metrics.jsonl", "fit/checkpoint.pt"):
            (workspace / name).parent.mkdir(parents=True, exist_ok=True)
            (workspace / name).write_bytes((late.encode() or bytes(range(256))) * 64)
        if late:
            raise SettingError(late)
        return {}

    return Stage("fit", (), lambda recipe: {"seed": recipe.seed}, work, ("fit/best", "fit/metrics.jsonl"))


@pytest.mark.parametrize("harm", ["half", "empty", "gone", "begin", "end"])
def test_damaged_output_is_made_from_nothing(tmp_path, harm):
    workspace, ran, recipe = Workspace(tmp_path), [], Recipe()
    stage = trained(ran)
    assert workspace.run(stage, recipe)
    weights = tmp_path / "fit/best/inner/weights"
    whole = weights.read_bytes()
    (tmp_path / "fit/best/mine").write_text("of another program")
    (tmp_path / "fit/metrics.jsonl").write_text("longer or shorter, a log is no weight")
    assert not workspace.run(stage, recipe)
    if harm == "gone":
        weights.unlink()
    else:
        cut = {"half": whole[:8192], "empty": b"", "begin": b"?" + whole[1:], "end": whole[:-1] + b"?"}[harm]
        weights.write_bytes(cut)
    assert workspace.standing(stage, recipe).state == "missing"
    assert workspace.standing(stage, recipe).why.startswith("fit/best/inner/weights is ")
    assert workspace.run(stage, recipe)
    assert ran == ["anew", "anew"]
    assert weights.read_bytes() == whole
    assert (tmp_path / "fit/best/mine").read_text() == "of another program"
    assert not workspace.run(stage, recipe)


def test_a_killed_stage_goes_on_from_its_checkpoint(tmp_path):
    workspace, ran, recipe = Workspace(tmp_path), [], Recipe()
    workspace.run(trained(ran), recipe)
    (tmp_path / "stages/fit.json").unlink()  # as a kill leaves it
    (tmp_path / "fit/best/inner/weights").unlink()
    workspace.run(trained(ran), recipe)
    (tmp_path / "fit/metrics.jsonl").unlink()
    workspace.run(trained(ran), recipe)
    assert ran == ["anew", "on", "on"]


def test_records_without_stamps_are_taken_as_they_are(tmp_path):
    workspace, ran, recipe = Workspace(tmp_path), [], Recipe()
    workspace.run(trained(ran), recipe)
    record = read_json(tmp_path / "stages/fit.json")
    del record["files"]
    write_json(tmp_path / "stages/fit.json", record)
    (tmp_path / "fit/best/inner/weights").write_bytes(b"other")
    assert workspace.standing(trained(ran), recipe).state == "fresh"


def test_a_run_that_is_refused_at_once_leaves_record_and_recipe(tmp_path):
    workspace, recipe = Workspace(tmp_path), Recipe()
    other = Recipe.load(overrides=["seed=9"])
    with pytest.raises(SettingError), workspace.running(recipe):
        raise SettingError("no")
    assert not (tmp_path / "recipe.yaml").exists()
    with workspace.running(recipe):
        workspace.run(trained([]), recipe)
    held = {name: (tmp_path / name).read_bytes() for name in ("recipe.yaml", "stages/fit.json")}
    with pytest.raises(SettingError, match="no"), workspace.running(other):
        workspace.run(trained([], "no"), other)
    assert {name: (tmp_path / name).read_bytes() for name in held} == held
    with pytest.raises(SettingError, match="no"):
        workspace.run(trained([], late="no"), other)
    assert not (tmp_path / "stages/fit.json").exists()  # what it tells of has been written over
    with pytest.raises(SettingError), workspace.running(other):
        workspace.run(trained([]), other)  # this much was done
        raise SettingError("no")
    assert workspace.recipe() == other


def test_no_part_of_a_recipe_is_taken_for_the_whole(tmp_path):
    workspace = Workspace(tmp_path)
    with workspace.running(Recipe.load(overrides=["seed=5", "data.source=mine"])):
        pass
    text = (tmp_path / "recipe.yaml").read_bytes()
    assert workspace.recipe(["seed=6"]).data.source == "mine"
    with pytest.raises(SettingError, match=r"^seed=-1 cannot be"):
        workspace.recipe(["seed=-1"])
    for cut in [*range(12), *range(12, len(text), 97), len(text) - 4, len(text) - 1]:
        (tmp_path / "recipe.yaml").write_bytes(text[:cut])
        with pytest.raises(MotherlodeError):
            workspace.recipe()
    (tmp_path / "recipe.yaml").write_bytes(b"\xff\xfe" + text)
    with pytest.raises(InputError, match="is damaged"):
        workspace.recipe()
    (tmp_path / "recipe.yaml").write_text("seed: 4\n")  # by hand, or of before there were marks
    assert workspace.recipe().seed == 4


@given(st.binary(max_size=3 * ENDS), st.data())
def test_a_stamp_tells_length_begin_and_end(tmp_path_factory, held, data):
    path = tmp_path_factory.mktemp("stamps") / "x"
    path.write_bytes(held)
    one = stamp(path)
    path.write_bytes(held)
    assert stamp(path) == one
    other = data.draw(st.binary(max_size=3 * ENDS))
    path.write_bytes(other)
    same = len(held) == len(other) and (held[:ENDS], held[-ENDS:]) == (other[:ENDS], other[-ENDS:])
    assert (stamp(path) == one) == same


nested = st.recursive(st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner), max_leaves=6)


@given(nested, nested)
def test_difference_is_empty_exactly_for_equals(a, b):
    assert (difference(a, b) == []) == (a == b)
