"""Every file of a workspace cut short, emptied, overwritten or removed: one sentence, or the file made again."""

import json
import os
import random
import shutil
import sys
from pathlib import Path

import pytest

from motherlode.atomic import write_json
from motherlode.cli import main
from motherlode.errors import InputError, MissingError
from motherlode.recipe import Recipe
from motherlode.stages import damage
from motherlode.stages.index import unsound
from motherlode.stages.run import EVERY, RECOMMEND, VERBS, run, status
from motherlode.workspace import Workspace

QUICK = ["journey=recommend", "data.items=120", "data.users=80", "views.epochs=2", "recommend.budget=2",
         "evaluate.resamples=100"]  # fmt: skip
HOW = ("half", "empty", "rubbish", "gone")
DAMAGED = (
    "tables/catalogue.parquet",
    "tables/source.json",
    "check.json",
    "sequences/split.safetensors",
    "views/views.json",
    "codes/described.json",
    "codes/books/codebooks.safetensors",
    "recommend/best/model.safetensors",
    "recommend_evaluate/examples.json",
    "recommend_evaluate/metrics.json",
    "recommender/items.parquet",
    "recommender/dense/vectors.npy",
    "report.html",
)
APPENDED = (".jsonl", ".lock", ".pt")  # what is written into: a copy must not share it


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return run(Recipe.load(overrides=QUICK), tmp_path_factory.mktemp("shop") / "whole").folder


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> Path:
    return run(Recipe.load(overrides=["data.items=150"]), tmp_path_factory.mktemp("shop") / "judged", ("split",)).folder


@pytest.fixture
def motherlode(monkeypatch, capsys):
    def call(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["motherlode", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.err if ended.value.code else said.out

    return call


def copied(folder: Path, to: Path) -> Path:
    def one(source: str, target: str) -> str:
        return shutil.copy2(source, target) if source.endswith(APPENDED) else os.link(source, target) or target

    shutil.rmtree(to, ignore_errors=True)
    return Path(shutil.copytree(folder, to, copy_function=one))


def harm(path: Path, how: str) -> None:
    """The file under its name is another one: copies that share it stay whole."""
    held = path.read_bytes()
    rubbish = random.Random(7).randbytes(len(held))
    path.unlink()
    if how != "gone":
        path.write_bytes({"half": held[: len(held) // 2], "empty": b"", "rubbish": rubbish}[how])


def files(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    return sorted(path.relative_to(folder).as_posix() for path in found if path.name != ".lock")


def sentence(found: tuple[int, str], *names: str) -> None:
    """One line on stderr that holds these, and exit code 2."""
    code, said = found
    assert code == 2, said
    last = said.strip().splitlines()[-1]
    assert last.startswith("motherlode: ")
    assert "Traceback" not in said
    for name in names:
        assert name in last


@pytest.mark.parametrize("how", HOW)
def test_status_knows_every_damaged_file_that_a_stage_wrote(whole, tmp_path, motherlode, how):
    written = [name for stage in RECOMMEND for name in (Workspace(whole).record(stage) or {})["files"]]
    assert len(written) > 25
    place = copied(whole, tmp_path / "w")
    for name in files(whole):
        harm(place / name, how)
        code, said = motherlode("status", "-w", str(place))
        if name in written:
            assert (code, said.count(f"{name} is {'gone' if how == 'gone' else 'damaged'}")) == (0, 1)
        elif name.startswith("stages/") and how != "gone":
            sentence((code, said), str(place / name), "remove it, then run `motherlode ")
        elif name == "recipe.yaml":
            sentence((code, said), str(place / name), "settings again")
        else:
            assert code == 0
        (place / name).unlink(missing_ok=True)
        shutil.copy2(whole / name, place / name)


@pytest.mark.parametrize("how", ["empty", "rubbish"])
def test_what_its_library_cannot_read_is_found(whole, tmp_path, how):
    names = [name for name in files(whole) if Path(name).suffix in damage.READERS]
    assert {Path(name).suffix for name in names} == {
        ".json",
        ".jsonl",
        ".npy",
        ".parquet",
        ".pt",
        ".safetensors",
        ".yaml",
    }
    place = copied(whole, tmp_path / "w")
    for name in names:
        if Path(name).suffix != ".yaml" and (how, Path(name).suffix) != ("empty", ".jsonl"):  # these can be read
            harm(place / name, how)
    found = [path.relative_to(place).as_posix() for path, _ in damage.unreadable(place)]
    assert found == [name for name in names if (place / name).read_bytes() != (whole / name).read_bytes()]
    assert len(found) > 40


def test_a_whole_workspace_has_nothing_unreadable(whole):
    assert list(damage.unreadable(whole)) == []


def test_one_run_makes_again_whatever_is_damaged(whole, tmp_path, motherlode):
    place = copied(whole, tmp_path / "w")
    for number, name in enumerate(DAMAGED):
        harm(place / name, HOW[(number + 3) % 4])
    assert motherlode("run", "-w", str(place))[0] == 0
    assert {one.state for one in status(Workspace(place))} == {"fresh"}
    assert list(damage.unreadable(place)) == []
    assert (place / "tables/catalogue.parquet").read_bytes() == (whole / "tables/catalogue.parquet").read_bytes()
    made, before = (json.loads((at / "recommend_evaluate/metrics.json").read_text()) for at in (place, whole))
    for fact in ("users", "items", "simulated"):
        assert made[fact] == before[fact]
    assert set(files(whole)) <= {*files(place), *(name for name in files(whole) if "tensorboard" in name)}


@pytest.mark.parametrize(
    ("name", "again", "words"),
    [
        ("recommend/checkpoint.pt", "recommend", ["fit"]),
        ("recommend/plan.json", "recommend", ["fit"]),
        ("recommend/metrics.jsonl", "report", ["report"]),
        ("stages/views.json", None, ["run"]),
        ("recipe.yaml", None, ["run"]),
        ("recommender/items.parquet", None, ["recommend", "--history", "i00000000"]),
        ("recommender/towers/towers.json", None, ["recommend", "--user", "u0000000"]),
    ],
)
@pytest.mark.parametrize("how", ["half", "rubbish"])
def test_what_cannot_be_made_again_unasked_gets_one_sentence(whole, tmp_path, motherlode, name, again, words, how):
    place = copied(whole, tmp_path / "w")
    if again:
        (place / f"stages/{again}.json").unlink()
    before = {
        one: (place / one).read_bytes() for one in files(place) if one.startswith(("tables/", "recipe", "codes/"))
    }
    harm(place / name, how)
    before.pop(name, None)
    sentence(motherlode(*words, "-w", str(place)), str(place / name))
    assert {one: (place / one).read_bytes() for one in before} == before
    assert not list(place.rglob(".*.tmp"))


@pytest.mark.parametrize("how", ["half", "gone"])
def test_without_its_recipe_a_workspace_is_not_run_with_the_defaults(whole, tmp_path, motherlode, how):
    place = copied(whole, tmp_path / "w")
    harm(place / "recipe.yaml", how)
    tables = (place / "tables/catalogue.parquet").read_bytes()
    for words in (["run"], ["run", "fit.epochs=2"], ["status"]):
        sentence(motherlode(*words, "-w", str(place)), "recipe.yaml", "settings again, preset=... among them")
    assert (place / "tables/catalogue.parquet").read_bytes() == tables
    (place / "recipe.yaml").unlink(missing_ok=True)
    assert motherlode("status", "preset=tiny", *QUICK, "-w", str(place))[1].count("fresh") == len(RECOMMEND)


@pytest.mark.parametrize(
    ("name", "words", "says"),
    [
        ("cascade.json", ["assay"], "`motherlode cascade`"),
        ("cascade.json", ["grade", "test", "--with", "cascade"], "`motherlode cascade`"),
        ("audit/outcome.json", ["assay"], "`motherlode audit`"),
        ("ledger.sqlite", ["ledger"], "restore it from a copy"),
        ("tables/source.json", ["assay"], "`motherlode data -w"),
        ("tables/queries.parquet", ["grade", "test", "--with", "features"], "`motherlode data -w"),
        ("split.parquet", ["choose", "5"], "`motherlode split -w"),
    ],
)
def test_the_verbs_of_assaying_name_the_damaged_file(judged, tmp_path, motherlode, name, words, says):
    place = copied(judged, tmp_path / "w")
    (place / name).unlink(missing_ok=True)
    (place / name).parent.mkdir(exist_ok=True)
    (place / name).write_bytes(random.Random(3).randbytes(600))
    sentence(motherlode(*words, "-w", str(place)), str(place / name), says)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "fit.epohs=3"], "fit.epohs is no setting; known here"),
        (["run", "data.items=many"], "data.items='many' cannot be"),
        (["run", "split.test=2"], "split.test=2 cannot be"),
        (["run", "journey=fly"], "'search' or 'recommend'"),
        (["run", "a.yaml"], "There is no recipe at a.yaml"),
        (["views"], "The journey search has no stage 'views'"),
        (["sparse"], "There is no third leg"),
        (["grade", "none.csv"], "There is no file none.csv"),
        (["grade", "test", "--with", "nobody"], "'nobody' is no grader"),
        (["audit", "looks=few"], "looks='few' cannot be"),
        (["choose", "5", "--judge", "nobody"], "holds no verdict of 'nobody'"),
        (["cascade", "features"], "A cascade needs two members"),
        (["search", "mug"], "holds no index"),
        (["recommend", "--user", "u"], "holds no recommender"),
        (["drift"], "holds no index"),
        (["key", "A b"], "cannot be used"),
    ],
)
def test_wrong_settings_leave_the_workspace_as_it_was(judged, tmp_path, motherlode, words, says):
    place = copied(judged, tmp_path / "w")
    kept = ("tables/", "stages/", "recipe.yaml", "split.parquet")
    before = {name: (place / name).read_bytes() for name in files(place) if name.startswith(kept)}
    found = motherlode(*words, "-w", str(place))
    sentence(found, says)
    assert "recipe.yaml" not in found[1]  # the fault is not the file's
    assert {name: (place / name).read_bytes() for name in files(place) if name.startswith(kept)} == before


@pytest.mark.parametrize("words", [["run"], ["evaluate"], ["status"], ["search", "mug"], ["ledger"], ["key", "me"]])
@pytest.mark.parametrize("inner", ["", "below"])
def test_a_workspace_that_is_a_file(tmp_path, motherlode, words, inner):
    (tmp_path / "w").write_text("mine")
    sentence(motherlode(*words, "-w", str(tmp_path / "w" / inner)), str(tmp_path / "w"))
    assert (tmp_path / "w").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only to its root")
def test_a_workspace_that_is_read_only(judged, tmp_path, motherlode):
    place = copied(judged, tmp_path / "w")
    place.chmod(0o500)
    sentence(motherlode("fit", "-w", str(place)), str(place), "permissions")
    place.chmod(0o700)


def test_a_workspace_may_have_the_name_of_the_generated_shop(tmp_path, motherlode, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert motherlode("data", "data.items=100", "-w", "shop")[0] == 0
    assert motherlode("status", "-w", "shop")[1].split()[:2] == ["data", "fresh"]
    (tmp_path / "shop/recipe.yaml").unlink()
    sentence(motherlode("data", "data.items=100", "-w", "other"), "shop holds no catalogue")


@pytest.mark.parametrize("how", ["", *HOW])
@pytest.mark.parametrize("name", ["index/current", "index/v000001/index.json", "index/v000001/encoder/weights"])
def test_an_index_is_built_again_where_the_version_it_serves_is_not_whole(tmp_path, name, how):
    place = Workspace(tmp_path)
    (tmp_path / "index/v000001/encoder").mkdir(parents=True)
    (tmp_path / "index/v000001/encoder/weights").write_bytes(b"1234")
    write_json(tmp_path / "index/v000001/index.json", {"files": {"encoder/weights": 4}})
    (tmp_path / "index/current").write_text("v000001\n")
    if how:
        harm(tmp_path / name, how)
    unseen = not how or (how == "rubbish" and name.endswith("weights"))  # of the same length
    assert (unsound(place) == "") == unseen


def test_an_export_onto_a_folder_names_the_folder(judged, tmp_path, motherlode):
    place, taken = copied(judged, tmp_path / "w"), tmp_path / "taken"
    taken.mkdir()
    from motherlode.stages.assay import ledger

    with ledger(Workspace(place)):
        pass
    sentence(motherlode("ledger", "--export", str(taken), "-w", str(place)), f"{taken} cannot be used")


@pytest.mark.parametrize("error", [KeyError("a"), TypeError("b"), AttributeError("c"), ZeroDivisionError()])
def test_a_fault_of_the_program_is_never_blamed_on_a_file(tmp_path, error):
    (tmp_path / "damaged.json").write_text("{")
    with pytest.raises(type(error)), damage.named(tmp_path):
        raise error
    with pytest.raises(InputError, match=r"damaged.json is damaged"), damage.named(tmp_path):
        raise ValueError("no such thing")
    (tmp_path / "damaged.json").write_text("{}")
    with pytest.raises(ValueError, match="no such thing"), damage.named(tmp_path):
        raise ValueError("no such thing")
    with pytest.raises(MissingError, match=r"gone\.npy is gone"), damage.named(tmp_path):
        (tmp_path / "gone.npy").read_bytes()
    with pytest.raises(FileNotFoundError), damage.named(tmp_path / "other"):
        (tmp_path / "gone.npy").read_bytes()


def test_a_kill_by_hand_says_that_the_command_goes_on(judged, motherlode, monkeypatch):
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("motherlode.stages.run.status", stopped)
    code, said = motherlode("status", "-w", str(judged))
    assert (code, said) == (130, "motherlode: stopped; the same command goes on where it was.\n")


def test_the_verbs_named_are_those_of_the_command_line():
    from typer.main import get_command

    from motherlode.cli import app

    verbs = get_command(app).commands
    for stage in {*EVERY, *RECOMMEND}:
        place = Workspace("w")
        for path in (place / stage / "x.json", place / f"stages/{stage}.json"):
            assert damage.remedy(place, path).split("`motherlode ")[1].split()[0] in verbs
    assert {stage: damage.VERBS[stage] for stage in VERBS.values()} == {stage: verb for verb, stage in VERBS.items()}
