"""The verbs of assaying: train graders, grade, tune a cascade, audit labels, let people decide."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from motherlode.cli_common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    SettingsArgument,
    WorkspaceOption,
    also,
    opened,
    run_stages,
    say,
)

app = typer.Typer()

WithOption = Annotated[
    str,
    typer.Option(
        "--with",
        help="Who grades: cross-encoder, light-llm, features, cascade, an endpoint's .yaml, several with +.",
    ),
]


@app.command()
def grader(
    settings: SettingsArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Train the cross-encoder grader on the human grades, calibrate and measure it."""
    made = run_stages("grader", settings, workspace, as_json)
    if not as_json:
        print_grader(made / "grader/metrics.json")


@app.command(name="light-llm")
def light_llm(
    settings: SettingsArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Train a small language model as grader (LoRA), calibrate and measure it."""
    made = run_stages("light_llm", settings, workspace, as_json)
    if not as_json:
        print_grader(made / "light_llm/metrics.json")


@app.command()
def grade(
    pairs: Annotated[str, typer.Argument(help="A file with query_id and item_id, or train, validation or test.")],
    who: WithOption = "cross-encoder",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Have a grader judge pairs; each verdict is kept in the ledger and never asked for twice."""
    from dataclasses import asdict

    from motherlode.stages import assay

    place, recipe = opened(workspace)
    done = assay.grade(place, recipe, pairs, who)
    say(
        f"{done}.\nThe verdicts are in {place / assay.LEDGER}; see them with `motherlode ledger`.",
        as_json,
        asdict(done),
    )
    if done.stopped or done.unanswered:
        raise typer.Exit(1)


@app.command()
def cascade(
    members: Annotated[list[str], typer.Argument(help="Graders, cheapest first; words as in `grade --with`.")],
    target: Annotated[
        float | None, typer.Option(min=0, max=1, help="Agreement to reach; default: that of the last member.")
    ] = None,
    max_cost: Annotated[float | None, typer.Option(min=0, help="Most a pair may cost on average.")] = None,
    people: Annotated[float | None, typer.Option(min=0, help="Cost of a person's verdict; puts people last.")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Tune a cascade on validation: the cheap grader answers where it is sure, the rest go to the next."""
    from motherlode.stages import assay

    place, recipe = opened(workspace)
    found = assay.cascade(place, recipe, members, target=target, max_cost=max_cost, people=people)
    lines = ["agreement against cost, on validation (cost relative to the last member alone):"]
    lines += [f"  {point['agreement']:.3f}  {point['relative_cost']:.2f}" for point in found["curve"]]
    test, alone = found["test"], found["strongest alone on test"]
    lines += [
        f"chosen, on test: agreement {test['agreement']:.3f} at {test['relative_cost']:.0%} of the cost of "
        f"{members[-1] if people is None else 'people'} alone ({alone['agreement']:.3f}); "
        f"shares answered {', '.join(f'{share:.0%}' for share in test['shares'])}.",
        f"Wrote {place / 'cascade.json'}. Next: `motherlode grade PAIRS --with cascade{also(workspace)}`.",
    ]
    say("\n".join(lines), as_json, found)


@app.command()
def preflight(
    settings: Annotated[Path, typer.Argument(help="An endpoint's settings (.yaml).")],
    pairs: Annotated[int, typer.Option(min=1, help="Golden pairs to try, drawn from validation.")] = 200,
    job: Annotated[int, typer.Option(min=1, help="Pairs of the large job to reckon with.")] = 100_000,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Before a large job: parse rate, agreement on golden pairs, cost and time of a judge behind an endpoint."""
    import numpy as np

    from motherlode.endpoint.preflight import preflight as look
    from motherlode.grading.pairs import PairTexts
    from motherlode.grading.rubric import Rubric
    from motherlode.stages import assay
    from motherlode.stages.graders import endpoint
    from motherlode.stages.learned_grader import judged_parts
    from motherlode.tables.tables import Tables

    place, recipe = opened(workspace)
    tables = Tables(place / "tables")
    golden = judged_parts(place, tables)["validation"]
    golden = golden[np.random.default_rng(recipe.seed).permutation(len(golden))[:pairs]]
    with assay.ledger(place) as ledger:
        judge = endpoint(settings, Rubric.load(recipe.grader.rubric))
        texts = PairTexts(tables).pairs(golden["query_id"], golden["item_id"])
        found = look(judge, texts, golden["grade"].to_numpy(), job, ledger=ledger)
    say(str(found), as_json, found.facts())
    if not found.go:
        raise typer.Exit(1)


@app.command()
def ledger(
    export: Annotated[Path | None, typer.Option(help="Write all verdicts to this parquet file.")] = None,
    judgements: Annotated[Path | None, typer.Option(help="Write --judge's verdicts as a judgements table.")] = None,
    judge: Annotated[str | None, typer.Option(help="NAME or NAME@VERSION.")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Counts, cost, agreement between judges and drift between versions; export."""
    from motherlode.errors import InputError, MissingError
    from motherlode.grading.ledger_report import report
    from motherlode.stages import assay

    place, _ = opened(workspace)
    if not (place / assay.LEDGER).exists():
        raise MissingError(f"{place.folder} has no ledger yet: `motherlode grade` begins one.")
    with assay.ledger(place) as held:
        chosen = [one for one in held.judges() if judge in (None, one.name, str(one))]
        if judge and not chosen:
            raise InputError(
                f"The ledger holds no judge '{judge}': {', '.join(map(str, held.judges())) or 'none yet'}."
            )
        if judgements and not judge:
            raise InputError("Whose verdicts are to be the judgements? Name one with --judge.")
        wrote = {}
        if export:
            wrote[str(export)] = held.export(export, chosen[-1] if judge else None)
        if judgements:
            wrote[str(judgements)] = held.export_judgements(judgements, chosen[-1])
        found = report(held)
    if as_json:
        typer.echo(json.dumps({**found.as_dict(), "wrote": wrote}, default=str))
        return
    from rich.console import Console

    found.print(Console())
    for path, rows in wrote.items():
        typer.echo(f"Wrote {rows:,} verdicts to {path}.")


@app.command()
def audit(
    settings: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", show_default=False)] = None,
    who: WithOption = "cross-encoder",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Find labels that engagement contradicts, have a stronger judge look, queue the disputed ones for people."""
    from motherlode.audit.settings import AuditSettings
    from motherlode.recipe import read_settings
    from motherlode.stages import assay

    place, recipe = opened(workspace)
    found = assay.audit(place, recipe, who, read_settings(AuditSettings, settings or []))
    say(audit_lines(found, place / "audit"), as_json, found)


@app.command()
def choose(
    budget: Annotated[int, typer.Argument(min=1, help="Verdicts people can give.")],
    judge: Annotated[str, typer.Option(help="Whose verdicts to choose from.")] = "cross-encoder",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Queue the pairs whose human verdicts matter most: uncertainty x effect on the metric x spread."""
    from motherlode.stages import assay

    place, _ = opened(workspace)
    wrote = assay.choose(place, judge, budget)
    say(f"Wrote {wrote}. Next: `motherlode review --queue {wrote}{also(workspace)}`.", as_json, {"wrote": str(wrote)})


@app.command()
def review(
    queue: Annotated[Path | None, typer.Option(help="Pairs to review; default: the audit's, else `choose`'s.")] = None,
    name: Annotated[str | None, typer.Option(help="Your name, as the ledger will show it.")] = None,
    double: Annotated[float, typer.Option(min=0, max=1, help="Share of pairs that two people judge.")] = 0.0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8470,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Open the page on which people adjudicate; every click lands in the ledger at once."""
    from motherlode.atomic import read_json
    from motherlode.grading.rubric import Rubric
    from motherlode.review.app import serve
    from motherlode.review.queue import read_queue
    from motherlode.stages import assay
    from motherlode.tables.tables import Tables

    place, recipe = opened(workspace)
    audited = place / "audit/queue.parquet"
    path = queue or (audited if audited.exists() else place / assay.QUEUE)
    source = read_json(place / "audit/outcome.json")["source"] if path == audited else "review"
    with assay.ledger(place) as ledger:
        serve(
            Tables(place / "tables"),
            ledger,
            read_queue(path),
            Rubric.load(recipe.grader.rubric),
            name=name,
            source=source,
            double=double,
            seed=recipe.seed,
            skips=place / "review/skips.json",
            port=port,
        )


@app.command(name="assay")
def assay_page(workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False) -> None:
    """Write assay.html: graders, calibration, cascade, audit and ledger on one page."""
    from motherlode.stages import assay_page

    place, _ = opened(workspace)
    wrote = assay_page.write(place)
    say(f"Wrote {wrote}. Next: open it in a browser.", as_json, {"wrote": str(wrote)})


@app.command()
def rubric(
    out: Annotated[Path | None, typer.Argument(help="Write a copy here, to be edited.")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Print the policy that graders judge by, or write a copy for your shop to edit."""
    from motherlode.atomic import write_text
    from motherlode.errors import InputError
    from motherlode.grading.rubric import COMMERCE, Rubric

    recipe = opened(workspace)[1] if (workspace / "recipe.yaml").exists() else None
    path = Path(recipe.grader.rubric) if recipe and recipe.grader.rubric else COMMERCE
    found = Rubric.load(path)
    if out is None:
        typer.echo(found.text)
        return
    if out.exists():
        raise InputError(f"{out} is there already: choose another name.")
    write_text(out, path.read_text(encoding="utf-8"))
    typer.echo(f"Wrote {out}, version {found.version}. Next: edit it and give grader.rubric={out}.")


@app.command(name="export-finetune")
def export_finetune(
    settings: Annotated[Path, typer.Argument(help="An endpoint's settings (.yaml) with reasons: false.")],
    out: Annotated[Path, typer.Argument(help="Folder for train.jsonl and validation.jsonl.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Write the training grades as conversations that providers fine-tune chat models from."""
    from motherlode.endpoint.finetune_export import export_finetune as export
    from motherlode.grading.pairs import PairTexts
    from motherlode.grading.rubric import Rubric
    from motherlode.stages.graders import endpoint
    from motherlode.stages.learned_grader import judged_parts
    from motherlode.tables.tables import Tables

    place, recipe = opened(workspace)
    tables, policy = Tables(place / "tables"), Rubric.load(recipe.grader.rubric)
    rows = judged_parts(place, tables)["train"]
    given = endpoint(settings, policy).settings
    texts, grades = PairTexts(tables), rows["grade"].to_numpy()
    queries, items = rows["query_id"].to_list(), rows["item_id"].to_list()
    found = export(queries, items, grades, texts, policy, given, out, seed=recipe.seed)
    counts = ", ".join(f"{side} {found[side]['conversations']:,} conversations" for side in ("train", "validation"))
    say(f"Wrote {out}: {counts}.", as_json, found)


def print_grader(path: Path) -> None:
    """A grader's figures on test beside the commonest grade."""
    from motherlode.atomic import read_json

    found = read_json(path)
    for name, label in (("accuracy", "accuracy"), ("within_1", "within one"), ("macro_f1", "macro F1")):
        value = found["intervals"][name]
        typer.echo(
            f"{label:<16} {value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]   "
            f"commonest grade {found['majority'][name]:.3f}"
        )
    kappa = found["intervals"]["quadratic_kappa"]
    if kappa["value"] is not None:
        typer.echo(f"{'quadratic kappa':<16} {kappa['value']:.3f} [{kappa['low']:.3f}, {kappa['high']:.3f}]")
    typer.echo(f"{'random rejected':<16} {found['random_rejected']:.3f}   share of random items that get grade 0")
    typer.echo(f"{'test pairs':<16} {found['test']['n']:,}; calibration {found['calibration']}")


def audit_lines(found: dict[str, Any], folder: Path) -> str:
    """The audit's outcome in a few lines."""

    def rate(name: str) -> str:
        value = found[name]
        if value["rate"] is None:
            return "none yet"
        return f"{value['rate']:.1%} [{value['low']:.1%}, {value['high']:.1%}] of {value['n']:,}"

    lines = [
        f"{found['annotated']:,} labels, {found['sampled']:,} drawn, {found['looked_at']:,} with engagement enough to "
        "say something",
        f"doubted          {rate('doubted')}",
        f"judge disagrees  {rate('diff_rate')}",
        f"people side with the judge  {rate('win_rate')}",
        f"labels changed   {rate('changed_share')}",
    ]
    waiting = found["discrepancies"] - found["settled"]
    if found["stopped"]:
        lines.append(f"The judge stopped: {found['stopped']} The same command goes on.")
    if waiting:
        lines.append(f"Wrote {folder / 'queue.parquet'}: {waiting:,} pairs wait for people. Next: `motherlode review`.")
    else:
        lines.append(f"Wrote {folder / 'corrected/judgements.parquet'}, and {folder / 'outcome.json'}.")
    return "\n".join(lines)
