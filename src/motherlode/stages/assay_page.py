"""assay.html: what is known of a workspace's graders, cascade, audit and ledger on one page."""

from pathlib import Path
from typing import Any

import numpy as np

from motherlode.atomic import read_json
from motherlode.stages.assay import LEDGER, ledger
from motherlode.stages.graders import FOLDERS
from motherlode.workspace import Workspace


def write(workspace: Workspace) -> Path:
    """Write the page from whatever is there. Raises MissingError where the workspace has no tables."""
    from motherlode.report.assay import write_assay

    return write_assay(workspace / "assay.html", facts(workspace))


def facts(workspace: Workspace) -> dict[str, Any]:
    """What `report.assay.write_assay` takes."""
    from motherlode.tables.tables import Tables

    tables = Tables(workspace / "tables")
    source = tables.source
    found: dict[str, Any] = {
        "title": f"Assay of {source.get('title', source.get('name', 'your tables'))}",
        "simulated": source.get("simulated", False),
        "graders": {},
        "baselines": {},
        "provenance": {"data": tables.fingerprint()},
    }
    for word, folder in FOLDERS.items():
        path = workspace / folder / "metrics.json"
        if path.exists():
            metrics = read_json(path)
            errors = metrics["errors"]
            found["graders"][word] = {
                "agreement": metrics["test"],
                "interval": metrics["intervals"],
                "calibration": errors["after"],
                "reliability": errors["reliability"],
            }
            found["baselines"]["commonest grade"] = metrics["majority"]
            found["provenance"][word] = f"{metrics['grader']['version']}, rubric {metrics['grader']['rubric']}"
    averages = tables.frame("judgements", ["rating"])["rating"].drop_nulls().to_numpy() + 1
    if len(averages) and _three_raters(averages):
        from motherlode.grading.rater_ceiling import rater_ceiling

        found["ceiling"] = rater_ceiling(averages)
    if (workspace / "cascade.json").exists():
        made = read_json(workspace / "cascade.json")
        found["cascade"] = {"curve": made["curve"], "chosen": made["test"]}
    if (workspace / "audit/outcome.json").exists():
        found["audit"] = read_json(workspace / "audit/outcome.json")
    if (workspace / LEDGER).exists():
        from motherlode.grading.ledger_report import report

        with ledger(workspace) as held:
            found["ledger"] = report(held).as_dict()
    return found


def _three_raters(averages: np.ndarray) -> bool:
    """Whether these look like means of three ratings on 1 to 3."""
    thirds = (averages - 1) * 3
    return bool((np.abs(thirds - np.rint(thirds)) < 0.05).mean() > 0.95)
