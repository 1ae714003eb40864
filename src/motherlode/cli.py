"""The command line: one verb a stage, each a thin call of a Python function."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from motherlode import cli_assay, cli_recommend, cli_serve
from motherlode.cli_common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    SettingsArgument,
    Verbs,
    WorkspaceOption,
    recipe_of,
    run_stages,
)
from motherlode.errors import MotherlodeError

if TYPE_CHECKING:
    from motherlode.workspace import Workspace

app = typer.Typer(
    name="motherlode",
    cls=Verbs,
    help="Graded-relevance retrieval for commerce: mine, assay, refine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Mode(StrEnum):
    hybrid = "hybrid"
    dense = "dense"
    lexical = "lexical"
    sparse = "sparse"


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from motherlode import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.command()
def data(
    settings: SettingsArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Bring a data set or a folder of tables into the workspace."""
    made = run_stages("data", settings, workspace, as_json)
    if not as_json:
        source = made.facts("data")["source"]
        typer.echo(
            f"{source.get('title', source.get('name', 'your tables'))}. Licence: {source.get('licence', 'not stated')}."
        )


@app.command()
def check(
    settings: SettingsArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Report what the tables hold and what is wrong with them."""
    made = run_stages("check", settings, workspace, as_json)
    if not as_json:
        from rich.console import Console

        from motherlode.atomic import read_json
        from motherlode.tables.check import CheckReport

        CheckReport.from_dict(read_json(made / "check.json")).print(Console())


@app.command()
def split(
    settings: SettingsArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Divide the judgements (or the interactions) into train, validation and test."""
    run_stages("split", settings, workspace, as_json)


@app.command()
def fit(
    settings: SettingsArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Train the two-tower encoder on graded groups (Stage 1), or the user-item one on interactions."""
    run_stages("fit", settings, workspace, as_json)


@app.command()
def refine(
    settings: SettingsArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Mine neighbours, have them graded, train on the grades (Stage 2); rounds until validation gains no more."""
    run_stages("refine", settings, workspace, as_json)


@app.command()
def evaluate(
    settings: SettingsArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Measure it beside BM25, the untouched encoder and their blends, or beside popularity, item-kNN and ALS."""
    made = run_stages("evaluate", settings, workspace, as_json)
    if not as_json:
        print_measured(made)


@app.command()
def sparse(
    settings: SettingsArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Train the encoder of a third, learned sparse leg, where index.sparse asks for one."""
    run_stages("sparse", settings, workspace, as_json)


@app.command()
def blend(
    settings: SettingsArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Choose how the answers of the legs become one list."""
    made = run_stages("blend", settings, workspace, as_json)
    if not as_json:
        typer.echo(f"Chosen is {(made.record('blend') or {})['facts']['why']}")


@app.command()
def thresholds(
    settings: SettingsArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Fix the score thresholds between grades, and measure what they hold."""
    made = run_stages("thresholds", settings, workspace, as_json)
    if not as_json:
        print_boundaries(made)


@app.command()
def index(
    settings: SettingsArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Build what `search` (or `recommend`) answers from."""
    run_stages("index", settings, workspace, as_json)


@app.command()
def report(
    settings: SettingsArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Write report.html."""
    run_stages("report", settings, workspace, as_json)


@app.command()
def run(
    settings: SettingsArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """All stages in order; what is fresh is skipped, what was killed goes on."""
    made = run_stages("run", settings, workspace, as_json)
    if not as_json:
        print_measured(made)


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What a customer would type.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Results.")] = 10,
    mode: Annotated[Mode, typer.Option(help="Which legs answer.")] = Mode.hybrid,
    as_json: JsonOption = False,
) -> None:
    """Search the workspace's index."""
    from dataclasses import asdict

    from motherlode.index.store import Index

    hits = Index.open(workspace / "index").search(query, k=k, mode=mode.value)
    if as_json:
        typer.echo(json.dumps({"query": query, "hits": [asdict(hit) for hit in hits]}, ensure_ascii=False))
        return
    for hit in hits:
        typer.echo(f"{hit.rank:>3}  {hit.score:.3f}  {hit.title}  [{hit.item_id}]")
    if not hits:
        typer.echo("Nothing found.")


@app.command()
def drift(workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False) -> None:
    """Say whether the thresholds still hold, by what people graded on the search page; exit code 1 for an alarm."""
    from motherlode.stages.drift import drift as drifted
    from motherlode.workspace import Workspace

    found = drifted(Workspace(workspace))
    if as_json:
        typer.echo(json.dumps(found))
    else:
        typer.echo(f"{found['state']}: {found['graded']:,} fresh grades of {found['queries']:,} queries.")
        for one in found["precision"]:
            now = "none graded" if one["share"] is None else f"{one['share']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"
            boundary = f"Grade {one['grade']} or more from {one['threshold']:.3f}"
            typer.echo(f"{boundary}: {one['stated']:.3f} stated, {now} now.")
        if scores := found["scores"]:
            typer.echo(f"Scores: {scores['state']} (PSI {scores['psi']:.3f}).")
    if found["state"] == "alarm":
        raise typer.Exit(1)


@app.command()
def status(
    settings: SettingsArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """What is there, what is stale and why."""
    from dataclasses import asdict

    from motherlode.stages.run import status as stages_status
    from motherlode.workspace import Workspace

    place = Workspace(workspace)
    standings = stages_status(place, recipe_of(settings, workspace) if settings else place.recipe())
    if as_json:
        typer.echo(json.dumps({"workspace": str(workspace), "stages": [asdict(s) for s in standings]}))
        return
    width = max(9, *(len(standing.name) for standing in standings))
    for standing in standings:
        took = f"{standing.seconds:8.1f} s" if standing.seconds is not None else " " * 10
        typer.echo(f"{standing.name:<{width}} {standing.state:<8}{took}  {standing.why}")


app.add_typer(cli_assay.app)
app.add_typer(cli_recommend.app)
app.add_typer(cli_serve.app)


def main() -> None:
    """Entry point: expected errors are one sentence on stderr and exit code 2."""
    try:
        app()
    except MotherlodeError as error:
        print(f"motherlode: {error}", file=sys.stderr)
        sys.exit(2)


def print_measured(made: "Workspace") -> None:
    """The table of the workspace's journey."""
    if made.recipe().journey == "recommend":
        cli_recommend.print_metrics(made / "recommend_evaluate/metrics.json")
    else:
        print_metrics(made / "evaluate/metrics.json")


def print_boundaries(made: "Workspace") -> None:
    """Each boundary, and what it held on validation and on the test."""
    from motherlode.atomic import read_json

    for one in read_json(made / "thresholds/metrics.json")["boundaries"]:
        own, test = one["validation"], one["test"]
        held = " and ".join(
            f"{side['precision']:.3f} on {name}" if side["precision"] is not None else f"nothing shown on {name}"
            for name, side in (("validation", own), ("test", test))
        )
        typer.echo(f"Grade {own['grade']} or more from {own['threshold']:.3f} ({own['how']}): precision {held}.")


def print_metrics(path: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from motherlode.atomic import read_json

    metrics = read_json(path)
    names = ("ndcg@10", "recall@100")
    grades = ", ".join(f"{gain:g}" for gain in reversed(metrics["gains"]))
    what = "Simulated: " if metrics["simulated"] else ""
    pool = f"{metrics['queries']:,} test queries, {metrics['items']:,} items"
    table = Table(title=f"{what}{pool}; gains {grades} for grades 2, 1, 0", title_justify="left")
    table.add_column("system")
    for name in (*names, "AUC 2 v 0", "vs untouched NDCG@10 [95 %]"):
        table.add_column(name, justify="right")
    for system, found in metrics["systems"].items():
        delta = metrics["deltas"].get(system, {}).get("ndcg@10")
        change = (
            ""
            if not delta or delta["relative"] is None
            else (f"{delta['relative']:+.1%} [{delta['relative_low']:+.1%}, {delta['relative_high']:+.1%}]")
        )
        auc = found["separation"]["auc_2_0"]["pooled"]
        table.add_row(
            system,
            *(f"{found['catalogue'][name]['mean']:.3f}" for name in names),
            f"{auc:.3f}" if auc else "-",
            change,
        )
    Console().print(table)


if __name__ == "__main__":
    main()
