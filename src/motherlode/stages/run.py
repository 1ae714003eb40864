"""All stages in order, each only if something it depends on has changed."""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from motherlode.recipe import Recipe
from motherlode.workspace import Stage, Standing, Workspace

ORDER = ("data", "check", "split", "fit", "evaluate", "index", "report")
ASIDE = ("grader", "light_llm", "refine")  # asked for by name; once there, `run` keeps those it builds on fresh
EVERY = ("data", "check", "split", "grader", "light_llm", "fit", "refine", "evaluate", "index", "report")


def stage(name: str) -> Stage:
    """The stage of that name."""
    found: Stage = import_module(f"motherlode.stages.{name}").STAGE
    return found


def run(
    recipe: Recipe,
    workspace: Workspace | Path | str,
    until: Sequence[str] = ORDER,
    tell: Callable[[str, str, float], None] | None = None,
) -> Workspace:
    """Bring the named stages, and those they need, up to date; a killed run goes on where it was.

    `tell(stage, what, seconds)` hears of each stage: "fresh", "begins" or "done".
    """
    workspace = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
    wanted = _closure(until, workspace)
    with workspace.locked():
        recipe.save(workspace / "recipe.yaml")
        for name in EVERY:
            if name not in wanted:
                continue
            fresh = workspace.standing(stage(name), recipe).state == "fresh"
            if tell:
                tell(name, "fresh" if fresh else "begins", 0.0)
            if not fresh:
                workspace.run(stage(name), recipe)
                if tell:
                    tell(name, "done", (workspace.record(name) or {})["seconds"])
    return workspace


def status(workspace: Workspace, recipe: Recipe | None = None) -> list[Standing]:
    """What is there, what is stale and why; a stage above another that is not fresh makes it stale."""
    recipe = recipe or workspace.recipe()
    standings: dict[str, Standing] = {}
    for name in EVERY:
        if name in ASIDE and not workspace.record(name):
            continue
        found = workspace.standing(stage(name), recipe)
        above = (*stage(name).needs, *(one for one in stage(name).after if one in standings))
        behind = [need for need in above if standings[need].state != "fresh"]
        if found.state == "fresh" and behind:
            found = Standing(name, "stale", f"{behind[0]} is {standings[behind[0]].state}", found.facts, found.seconds)
        standings[name] = found
    return list(standings.values())


def _closure(names: Sequence[str], workspace: Workspace) -> set[str]:
    wanted = set(names)
    for name in reversed(EVERY):
        if name in wanted:
            wanted |= set(stage(name).needs) | {one for one in stage(name).after if workspace.record(one)}
    return wanted
