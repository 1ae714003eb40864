"""What the verbs share: options, the workspace's recipe, running stages, saying what was done."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

SettingsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RECIPE] [KEY=VALUE]...",
        help="A recipe file, settings, or both. Without any, the workspace's own recipe.",
        show_default=False,
    ),
]


def place_of(context: typer.Context, folder: Path) -> Path:
    """Keep the workspace a verb is about where `Verbs` finds it."""
    context.find_root().obj = folder
    return folder


WorkspaceOption = Annotated[
    Path, typer.Option("--workspace", "-w", callback=place_of, help="Folder of the run's artefacts.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]

DEFAULT_WORKSPACE = Path("runs/default")
WROTE = {
    "data": ("tables/", "look at them with `motherlode check`"),
    "check": ("check.json", "train with `motherlode fit`"),
    "split": ("split.parquet", "train with `motherlode fit`"),
    "fit": ("fit/best/", "measure it with `motherlode evaluate`"),
    "evaluate": ("evaluate/metrics.json", "see it with `motherlode report`, search with `motherlode index`"),
    "sparse": ("sparse/best/", "blend its answers with `motherlode blend`"),
    "blend": ("blend/blend.json", "search with it: `motherlode index`"),
    "thresholds": ("thresholds/thresholds.json", "see what they hold with `motherlode report`"),
    "index": ("index/", "try it with `motherlode search 'your words'`"),
    "report": ("report.html", "open it in a browser"),
    "run": ("report.html", "open it in a browser, or `motherlode search 'your words'`"),
    "sequences": ("sequences/", "train with `motherlode fit`"),
    "views": ("views/", "make codes of them with `motherlode codes`"),
    "codes": ("codes/", "look at them with `motherlode report`"),
    "recommend": ("recommend/best/", "measure it with `motherlode evaluate`"),
    "recommend_evaluate": (
        "recommend_evaluate/metrics.json",
        "see it with `motherlode report`, recommend with `motherlode index`",
    ),
    "recommend_index": ("recommender/", "try it with `motherlode recommend --user ID`"),
    "run recommend": ("report.html", "open it in a browser, or `motherlode recommend --user ID`"),
    "refine": ("refine/best/", "measure it with `motherlode evaluate`"),
    "grader": ("grader/best/", "judge pairs with `motherlode grade PAIRS`"),
    "light_llm": ("light_llm/best/", "judge pairs with `motherlode grade PAIRS --with light-llm`"),
}


class Verbs(TyperGroup):
    """The verbs; what one of them stumbles over in its workspace is said in a sentence (`stages.damage.named`)."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("motherlode: stopped; the same command goes on where it was.", file=sys.stderr)
            raise typer.Exit(130) from None
        except Exception as error:
            if ctx.obj is None or isinstance(error, typer.Abort) or hasattr(error, "exit_code"):
                raise  # no workspace to look through, or an end that the verb chose
            from motherlode.stages.damage import named

            with named(ctx.obj):
                raise


def recipe_of(settings: list[str] | None, workspace: Path) -> Any:
    """The recipe named on the command line, else the workspace's, with overrides on top."""
    from motherlode.recipe import Recipe
    from motherlode.workspace import Workspace

    words = settings or []
    files = [word for word in words if "=" not in word]
    if len(files) > 1:
        raise typer.BadParameter(f"more than one recipe file: {', '.join(files)}")
    overrides, place = [word for word in words if "=" in word], Workspace(workspace)
    anew = any(word.startswith("preset=") for word in words)  # a saved recipe is resolved: it would win over the preset
    if not files and not anew and (place.finished() or (place / "recipe.yaml").exists()):
        return place.recipe(overrides)
    return Recipe.load(files[0] if files else None, overrides)


def run_stages(verb: str, settings: list[str] | None, folder: Path, as_json: bool) -> Any:
    """Run a verb's stage and what it needs; say what was written and what comes next."""
    from motherlode.stages.run import every, order, run, stage_of

    recipe = recipe_of(settings, folder)
    width = max(map(len, order(recipe)))

    def tell(name: str, what: str, seconds: float) -> None:
        line = {"fresh": "is up to date", "begins": "...", "done": f"done in {seconds:.1f} s"}[what]
        print(f"{name:<{width}} {line}", file=sys.stderr)

    names = order(recipe) if verb == "run" else (stage_of(verb, recipe),)
    made = run(recipe, folder, names, tell)
    if verb == "run":
        wrote, then = WROTE["run" if recipe.journey == "search" else "run recommend"]
    else:
        wrote, then = WROTE[names[0]]
    if as_json:
        records = {name: made.record(name) for name in every(recipe) if made.record(name)}
        typer.echo(json.dumps({"workspace": str(folder), "wrote": str(folder / wrote), "stages": records}))
    else:
        typer.echo(f"Wrote {folder / wrote}. Next: {then}{also(folder)}.")
    return made


def opened(workspace: Path, needs: str = "split") -> tuple[Any, Any]:
    """A workspace that has been run up to the stage `needs`, with whole tables, and its recipe."""
    from motherlode.stages.damage import check_whole
    from motherlode.workspace import Workspace

    place = Workspace(workspace)
    place.facts(needs)
    check_whole(place, "data", needs)
    return place, place.recipe()


def also(folder: Path) -> str:
    """What must be added to the next command so that it means this workspace."""
    return "" if folder == DEFAULT_WORKSPACE else f" -w {folder}"


def say(text: str, as_json: bool, facts: Any) -> None:
    """Print the text, or the facts as one JSON object."""
    typer.echo(json.dumps(facts, default=str) if as_json else text)
