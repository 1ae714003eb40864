"""The audit of labels from end to end: sample, doubt, judge again, let people decide, correct."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Any

import polars as pl

from motherlode.atomic import fingerprint, read_json, replacing, sweep, write_json
from motherlode.audit.disagreements import doubts, sampled
from motherlode.audit.outcome import outcome
from motherlode.audit.planted import planted
from motherlode.audit.rejudge import Adjudicator, adjudicate, decisions, discrepancies, rejudge
from motherlode.audit.settings import AuditSettings
from motherlode.errors import MissingError
from motherlode.grading.grader import Grader
from motherlode.grading.ledger import Ledger
from motherlode.grading.pairs import PairTexts
from motherlode.progress import bar
from motherlode.tables.tables import Tables, TableWriter

STAGES = ("sample", "disagreements")
VERDICT = ("verdict", "verdict_source", "reason", "certainty")  # what the judge adds to a disagreement


def run_audit(
    tables: Tables,
    ledger: Ledger,
    judge: Grader,
    settings: AuditSettings,
    folder: Path | str,
    *,
    probabilities: pl.DataFrame | None = None,
    adjudicator: Adjudicator | None = None,
) -> dict[str, Any]:
    """Audit the judgements of `tables`, as far as it can go; run it again after people have worked.

    Writes into `folder`: sample.parquet (the random sample), disagreements.parquet (what of it is doubted, with the
    judge's verdict), queue.parquet (what people are to decide), corrected/judgements.parquet (all judgements, those
    that people changed with their grade and source "audited"; the tables stay as they are) and outcome.json, whose
    content is returned: the numbers of `outcome.outcome`, `run` (the audit's id), `source` ("audit:RUN", what
    verdicts carry in the ledger), `model` (what the engagement model found), and for a generated shop `planted` and
    its `curve` (`planted.planted`). The first two are kept for the
    same tables, settings, judge and probabilities and made anew for others; the judge is asked for what the ledger
    lacks. `probabilities` is as in `disagreements.doubts`; an `adjudicator` decides at once in people's place.
    Raises MissingError where the tables lack judgements or what the signal needs.
    """
    if not tables.has("judgements"):
        raise MissingError(f"{tables.folder} holds no judgements.parquet: there are no labels to audit.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    run, model = _doubted(tables, judge, settings, folder, probabilities)
    source = f"audit:{run}"
    texts = PairTexts(tables)
    sample = pl.read_parquet(folder / "sample.parquet")
    doubted = pl.read_parquet(folder / "disagreements.parquet").drop(VERDICT, strict=False)
    rejudged, report = rejudge(doubted, texts, judge, ledger, source)
    _write(rejudged, folder / "disagreements.parquet")
    queue = discrepancies(rejudged)
    _write(queue, folder / "queue.parquet")
    if adjudicator is not None:
        adjudicate(queue, texts, adjudicator, ledger, source, settings.seed)
    decided = decisions(queue, ledger)
    _correct(tables, decided, folder / "corrected", judge.judge.rubric)
    known = planted(tables, settings, sample, rejudged, decided)
    found = {
        "run": run,
        "source": source,
        "settings": settings.model_dump(mode="json"),
        "judge": str(judge.judge),
        "rubric": judge.judge.rubric,
        "stopped": report.stopped,
        **outcome(tables.count("judgements"), sample, rejudged, decided, settings.looks),
        "model": model,
        "planted": known,
        "curve": {"simulated shop": known["curve"]} if known else {},
    }
    write_json(folder / "outcome.json", found)
    return found


def _doubted(
    tables: Tables, judge: Grader, settings: AuditSettings, folder: Path, probabilities: pl.DataFrame | None
) -> tuple[str, dict[str, Any]]:
    """Make sample and disagreements where they are not there yet for this run; its id and the fitted numbers."""
    told = None if probabilities is None else blake2b(probabilities.write_ipc(None).getvalue()).hexdigest()
    key = fingerprint(tables.fingerprint(), settings.model_dump(mode="json"), vars(judge.judge), told)
    record = folder / "audit.json"
    if record.exists():
        found = read_json(record)
        if found["run"] == key and all((folder / f"{stage}.parquet").exists() for stage in STAGES):
            return key, found["model"]
    record.unlink(missing_ok=True)
    looked = doubts(tables, settings, probabilities)
    frame = looked.frame
    sample = frame.filter(pl.Series(sampled(frame["query_id"], frame["item_id"], settings.share, settings.seed)))
    _write(sample, folder / "sample.parquet")
    doubted = sample.filter(pl.col("kind").is_not_null()).sort("doubt", "query_id", "item_id", descending=True)
    _write(doubted, folder / "disagreements.parquet")
    write_json(record, {"run": key, "model": looked.facts()})
    return key, looked.facts()


def _correct(tables: Tables, decided: pl.DataFrame, folder: Path, rubric: str) -> None:
    """Write all judgements with the grades that people changed."""
    changed = decided.filter(pl.col("decided") != pl.col("label")).select("query_id", "item_id", "decided", "decider")
    corrected = pl.col("decided").is_not_null()
    columns = {
        "grade": pl.coalesce("decided", "grade"),
        "source": pl.when(corrected).then(pl.lit("audited")).otherwise("source"),
        "grader": pl.coalesce("decider", "grader"),
        "rubric": pl.when(corrected).then(pl.lit(rubric)).otherwise("rubric"),
        # what was said about the old grade does not hold for the new one
        "confidence": pl.when(corrected).then(None).otherwise("confidence"),
        "rating": pl.when(corrected).then(None).otherwise("rating"),
        "time": pl.when(corrected).then(None).otherwise("time"),
    }
    folder.mkdir(exist_ok=True)
    with (
        TableWriter(folder, "judgements") as writer,
        bar("corrected judgements", tables.count("judgements"), "rows") as advance,
    ):
        for batch in tables.batches("judgements"):
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            frame = frame.join(changed, on=["query_id", "item_id"], how="left", maintain_order="left")
            known = {name: value for name, value in columns.items() if name in frame.columns}
            writer.write(frame.with_columns(**known).drop("decided", "decider").to_arrow())
            advance(batch.num_rows)


def _write(frame: pl.DataFrame, path: Path) -> None:
    with replacing(path) as temporary:
        frame.write_parquet(temporary)
