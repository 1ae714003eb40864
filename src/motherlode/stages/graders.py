"""Which grader a word stands for."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motherlode.atomic import read_json, write_json
from motherlode.errors import MissingError, SettingError
from motherlode.recipe import Recipe
from motherlode.workspace import Workspace

if TYPE_CHECKING:
    from motherlode.endpoint.judge import EndpointGrader
    from motherlode.grading.grader import Grader
    from motherlode.grading.ledger import Ledger
    from motherlode.grading.rubric import Rubric

WORDS = (
    "cross-encoder, light-llm, features, cascade, an endpoint's settings (.yaml), or several of these "
    "joined by + for a vote"
)
FOLDERS = {
    "cross-encoder": "grader",
    "light-llm": "light_llm",
    "features": "features_grader",
}
VERBS = {"cross-encoder": "grader", "light-llm": "light-llm"}


def grader(word: str, workspace: Workspace, recipe: Recipe, ledger: "Ledger | None" = None) -> "Grader":
    """The grader that `word` names: one trained in the workspace (calibrated), a cascade, an endpoint, or a vote.

    With a ledger, the members of a cascade or a vote keep their own verdicts there, and are not asked twice.

    Raises:
        MissingError: it has not been trained, or its file is not there.
        SettingError: no grader goes by that word.
    """
    if "+" in word:
        from motherlode.endpoint.vote import VoteGrader

        return VoteGrader([grader(one.strip(), workspace, recipe) for one in word.split("+")], ledger=ledger)
    if word == "features":  # learnt in seconds: to ask for it is enough
        from motherlode.stages import features_grader

        workspace.run(features_grader.STAGE, recipe)
    if word in FOLDERS:
        return _learned(word, workspace / FOLDERS[word])
    if word == "cascade":
        return _cascade(workspace, recipe, ledger)
    if Path(word).suffix in (".yaml", ".yml"):
        return endpoint(Path(word), _rubric(recipe))
    raise SettingError(f"'{word}' is no grader: give {WORDS}.")


def endpoint(path: Path, rubric: "Rubric") -> "EndpointGrader":
    """The judge whose endpoint's settings lie in this YAML file."""
    import yaml

    from motherlode.endpoint.judge import EndpointGrader
    from motherlode.endpoint.settings import EndpointSettings

    if not path.is_file():
        raise MissingError(f"There is no {path}: write an endpoint's settings there, such as url: and model:.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} is no readable YAML: {' '.join(str(error).split())}.") from None
    return EndpointGrader(EndpointSettings.read(values if isinstance(values, dict) else {}, str(path)), rubric)


def save_cascade(workspace: Workspace, members: Sequence[dict[str, Any]], **facts: Any) -> None:
    """Write the members (word, cost, calibration, thresholds) in order of asking, and how they were chosen."""
    write_json(workspace / "cascade.json", {"members": list(members), **facts})


def _learned(word: str, folder: Path) -> "Grader":
    from motherlode.grading.calibrated import Calibrated
    from motherlode.grading.calibration import Calibration

    if not (folder / "metrics.json").exists():
        raise MissingError(f"{folder} holds no trained grader: train it with `motherlode {VERBS[word]}`.")
    calibration = Calibration.load(folder / "calibration.json")
    if word == "cross-encoder":
        from motherlode.grading.cross_encoder import CrossEncoderGrader

        return Calibrated(CrossEncoderGrader(folder / "best"), calibration)
    if word == "features":
        from motherlode.grading.features import FeaturesGrader

        return Calibrated(FeaturesGrader.load(folder / "best"), calibration)
    from motherlode.grading.causal_lm import CausalLMGrader

    return Calibrated(CausalLMGrader.load(folder / "best"), calibration)


def _cascade(workspace: Workspace, recipe: Recipe, ledger: "Ledger | None") -> "Grader":
    from motherlode.grading.calibration import Calibration
    from motherlode.grading.cascade import Cascade, CascadeStage
    from motherlode.grading.remembered import Remembered

    path = workspace / "cascade.json"
    if not path.exists():
        raise MissingError(f"{path} is not there: tune one with `motherlode cascade cross-encoder JUDGE`.")
    stages = []
    for member in read_json(path)["members"]:
        asked = None if member["word"] == "people" else grader(member["word"], workspace, recipe)
        if asked is not None and ledger is not None:
            asked = Remembered(asked, ledger, "cascade")
        calibration = Calibration(**member["calibration"])
        stages.append(CascadeStage(asked, member["cost"], calibration, tuple(member["thresholds"])))
    return Cascade(stages)


def _rubric(recipe: Recipe) -> "Rubric":
    from motherlode.grading.rubric import Rubric

    return Rubric.load(recipe.grader.rubric)
