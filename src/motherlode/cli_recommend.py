"""The verbs of the journey from users to products that search has no word for."""

import json
from pathlib import Path
from typing import Annotated

import typer

from motherlode.cli_common import DEFAULT_WORKSPACE, JsonOption, SettingsArgument, WorkspaceOption, run_stages
from motherlode.errors import SettingError

app = typer.Typer()


@app.command()
def views(
    settings: SettingsArgument = None, workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False
) -> None:
    """Bring text, behaviour and given vectors of the items into one space (journey=recommend)."""
    run_stages("views", settings, workspace, as_json)


@app.command()
def codes(
    settings: SettingsArgument = None, workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False
) -> None:
    """Fit the cascaded codebooks and write every item's semantic id (journey=recommend)."""
    run_stages("codes", settings, workspace, as_json)


@app.command()
def recommend(
    user: Annotated[str | None, typer.Option(help="A user of the interactions.")] = None,
    history: Annotated[str | None, typer.Option(help="Item ids A,B,C, oldest first.")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Results.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Recommend items to a user, or to anyone with this history."""
    from dataclasses import asdict

    from motherlode.recommend.serving import Recommender
    from motherlode.stages.damage import check_whole
    from motherlode.workspace import Workspace

    if (user is None) == (history is None):
        raise SettingError("Name a user with --user ID, or what someone has had with --history A,B.")
    check_whole(Workspace(workspace), "recommend_index")
    held = Recommender.open(workspace / "recommender")
    if user is not None:
        had = held.history_of(user)
    else:
        had = [item.strip() for item in (history or "").split(",") if item.strip()]
    found = held.recommend(had, k)
    unknown = held.unknown(had)
    if as_json:
        said = {"user": user, "history": had, "unknown": unknown, "items": [asdict(one) for one in found]}
        typer.echo(json.dumps(said, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if unknown:
        typer.echo(f"Not in the catalogue: {', '.join(unknown)}.", err=True)
    shown = [title for title in held.titles_of(had[-5:]) if title is not None]
    latest = "; ".join(shown)
    console.print(f"After {len(had) - len(unknown):,} items, the latest: {latest}", markup=False, highlight=False)
    table = Table()
    table.add_column("", justify="right")
    table.add_column("score", justify="right")
    table.add_column("item")
    table.add_column("title", overflow="fold")
    from rich.text import Text

    for one in found:
        table.add_row(str(one.rank), f"{one.score:.3f}", Text(one.item_id), Text(one.title))
    console.print(table)


def print_metrics(path: Path) -> None:
    """The headline figures of `recommend_evaluate/metrics.json`, and what the two-tower gains over each baseline."""
    from rich.console import Console
    from rich.table import Table

    from motherlode.atomic import read_json

    metrics = read_json(path)
    names = ("recall@50", "recall@200", "ndcg@50")
    what = "Simulated: " if metrics["simulated"] else ""
    table = Table(title=f"{what}{metrics['users']:,} test users, all {metrics['items']:,} items", title_justify="left")
    table.add_column("system")
    for name in (*names, "two-tower over it, Recall@50 [95 %]"):
        table.add_column(name, justify="right")
    for system, found in metrics["systems"].items():
        delta = metrics["against"].get(system, {}).get("recall@50")
        change = f"{delta['delta']:+.4f} [{delta['low']:+.4f}, {delta['high']:+.4f}]" if delta else ""
        table.add_row(system, *(f"{found[name]['mean']:.4f}" for name in names), change)
    Console().print(table)
