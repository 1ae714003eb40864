"""All stages in order, each only if something it depends on has changed."""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from motherlode.errors import SettingError
from motherlode.recipe import Recipe
from motherlode.stages.damage import named
from motherlode.workspace import Stage, Standing, Workspace

ORDER = ("data", "check", "split", "fit", "evaluate", "blend", "thresholds", "index", "report")
# asked for by name; once there, `run` keeps those it builds on fresh
ASIDE = ("grader", "light_llm", "features_grader", "refine")
EVERY = (
    "data", "check", "split", "grader", "light_llm", "features_grader", "fit", "refine", "sparse",
    "evaluate", "blend", "thresholds", "index", "report",
)  # fmt: skip
RECOMMEND = (
    "data", "check", "sequences", "views", "codes", "recommend", "recommend_evaluate", "recommend_index", "report",
)  # fmt: skip
# what the verbs of search mean on the other journey
VERBS = {"split": "sequences", "fit": "recommend", "evaluate": "recommend_evaluate", "index": "recommend_index"}


def order(recipe: Recipe) -> tuple[str, ...]:
    """The stages of a whole run of the recipe's journey."""
    return ORDER if recipe.journey == "search" else RECOMMEND


def every(recipe: Recipe) -> tuple[str, ...]:
    """All stages of the recipe's journey, those asked for by name too, each after those it reads."""
    if recipe.journey == "search":
        return EVERY if recipe.index.sparse else tuple(name for name in EVERY if name != "sparse")
    return RECOMMEND


def stage_of(verb: str, recipe: Recipe) -> str:
    """The name of the stage that a verb stands for. Raises SettingError where the journey has none."""
    name = verb if recipe.journey == "search" else VERBS.get(verb, verb)
    if verb == "sparse" and not recipe.index.sparse:
        raise SettingError("There is no third leg: say index.sparse=train, or the folder of a term encoder.")
    if name not in every(recipe):
        raise SettingError(
            f"The journey {recipe.journey} has no stage '{verb}': its stages are {', '.join(every(recipe))}; "
            "another journey=... has others."
        )
    return name


def stage(name: str, recipe: Recipe) -> Stage:
    """The stage of that name as this recipe has it."""
    module = import_module(f"motherlode.stages.{name}")
    found: Stage = module.stage_for(recipe) if hasattr(module, "stage_for") else module.STAGE
    return found


def run(
    recipe: Recipe,
    workspace: Workspace | Path | str,
    until: Sequence[str] | None = None,
    tell: Callable[[str, str, float], None] | None = None,
) -> Workspace:
    """Bring the named stages (all by default), and those they need, up to date; a killed run goes on where it was.

    `tell(stage, what, seconds)` hears of each stage: "fresh", "begins" or "done".
    """
    workspace = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
    names = order(recipe) if until is None else [stage_of(name, recipe) for name in until]
    with named(workspace.folder), workspace.locked(), workspace.running(recipe):
        wanted = _closure(names, workspace, recipe)
        for name in every(recipe):
            if name not in wanted:
                continue
            fresh = workspace.standing(stage(name, recipe), recipe).state == "fresh"
            if tell:
                tell(name, "fresh" if fresh else "begins", 0.0)
            if not fresh:
                workspace.run(stage(name, recipe), recipe)
                if tell:
                    tell(name, "done", (workspace.record(name) or {})["seconds"])
    return workspace


def status(workspace: Workspace, recipe: Recipe | None = None) -> list[Standing]:
    """What is there, what is stale and why; a stage above another that is not fresh makes it stale."""
    standings: dict[str, Standing] = {}
    with named(workspace.folder):
        recipe = recipe or workspace.recipe()
        for name in every(recipe):
            if name in ASIDE and not workspace.record(name):
                continue
            one = stage(name, recipe)
            found = workspace.standing(one, recipe)
            above = (*one.needs, *(other for other in one.after if other in standings))
            behind = [need for need in above if standings[need].state != "fresh"]
            if found.state == "fresh" and behind:
                why = f"{behind[0]} is {standings[behind[0]].state}"
                found = Standing(name, "stale", why, found.facts, found.seconds)
            standings[name] = found
    return list(standings.values())


def _closure(names: Sequence[str], workspace: Workspace, recipe: Recipe) -> set[str]:
    wanted = set(names)
    for name in reversed(every(recipe)):
        if name in wanted:
            one = stage(name, recipe)
            wanted |= set(one.needs) | {other for other in one.after if workspace.record(other)}
    return wanted
