"""The tables of assaying: graders, cascade, jobs, ledger, audit."""

from typing import Any

from common import result

FIGURES = {
    "accuracy": "accuracy",
    "within_1": "within one",
    "macro_f1": "macro F1",
    "quadratic_kappa": "quadratic kappa",
}
SYSTEMS = {
    "majority": "commonest grade",
    "thresholds": "thresholds on BM25 + MiniLM cosine",
    "predicted": "cross-encoder",
}


def assay() -> str:
    return graders() + stacked() + light_llm() + cascade() + jobs() + audit()


def graders() -> str:
    text = ""
    for name, title in (
        ("grader_home_depot", "Home Depot"),
        ("grader_home_depot_further", "Home Depot, trained further with random items as grade 0"),
        ("grader_esci", "ESCI, from MiniLM"),
        ("grader_esci_after_home_depot", "ESCI, from the Home Depot grader"),
    ):
        if (found := result(name)) is None:
            continue
        lines = [
            f"\n## Grader: {title}\n",
            f"`{found['command']}`; {found['pairs']:,} pairs of {found['queries']:,} queries never seen in training; brackets: "
            f"95 %, bootstrap over queries; calibration error {found['calibration error']:.3f}; confusion (truth in rows) "
            f"{found['confusion, truth in rows']}.\n",
            "| system | " + " | ".join(FIGURES.values()) + " |\n|---|" + "---|" * len(FIGURES),
            *(f"| {SYSTEMS[system]} | {_cells(found['systems'][system])} |" for system in SYSTEMS),
            f"| gain over thresholds | {_cells(found['gain over thresholds'], '+')} |",
        ]
        if ceiling := found.get("ceiling"):
            lines.append(
                "\nWhat three fresh raters reach against the averages of three (the averages do not settle it: two readings, "
                "and the least and greatest that fit the data):\n\n| | Dirichlet | one quality | least .. greatest |\n|---|---|---|---|"
            )
            for key, label in (
                ("panel_accuracy", "panel, accuracy"),
                ("panel_within_1", "panel, within one"),
                ("panel_quadratic_kappa", "panel, quadratic kappa"),
                ("oracle_accuracy", "best any grader can do, accuracy"),
            ):
                readings = [ceiling["readings"][reading][key] for reading in ("dirichlet", "one_quality")]
                low, high = ceiling["bounds"][key]
                lines.append(f"| {label} | {readings[0]:.3f} | {readings[1]:.3f} | {low:.2f} .. {high:.2f} |")
        text += "\n".join(lines) + "\n"
    return text


def light_llm() -> str:
    if (found := result("light_llm")) is None:
        return ""
    rows = []
    for name, value in found["systems"].items():
        rows.append(f"| {name} | {_cells(value)} |")
    return (
        f"\n## Grader: a light LLM\n\n`{found['command']}`; SmolLM2-135M on Home Depot, {found['settings']['train']:,} training and {found['settings']['test']:,} test pairs.\n\n"
        "| system | "
        + " | ".join(FIGURES.values())
        + " |\n|---|"
        + "---|" * len(FIGURES)
        + "\n"
        + "\n".join(rows)
        + "\n"
    )


def stacked() -> str:
    text = ""
    for name, title in (("grader_stacked_home_depot", "Home Depot"), ("grader_stacked_esci", "ESCI")):
        if (found := result(name)) is None:
            continue
        lines = [
            f"\n## Grader from cheap signals, and stacked on the cross-encoder: {title}\n",
            f"`{found['command']}`; {found['pairs']:,} pairs of {found['queries']:,} queries never seen in training; brackets: "
            "95 %, bootstrap over queries.\n",
            "| system | " + " | ".join(FIGURES.values()) + " |\n|---|" + "---|" * len(FIGURES),
            *(f"| {system} | {_cells(value)} |" for system, value in found["systems"].items()),
            *(
                f"| gain of {system} over the cross-encoder | {_cells(value, '+')} |"
                for system, value in found["gain over the cross-encoder"].items()
            ),
        ]
        text += "\n".join(lines) + "\n"
    return text


def cascade() -> str:
    if (found := result("cascade")) is None or "cascades, tuned on validation, on test" not in found:
        return ""
    lines = [
        f"\n## Cascade\n\n`{found['command']}`; Home Depot, {found['test pairs']:,} test pairs, thresholds from "
        f"{found['validation pairs']:,} validation pairs. Costs are CPU seconds; the last column is over queries, 95 %.\n",
        "| what | agreement | cost of six layers | |\n|---|---|---|---|",
        *(
            f"| {name} alone | {one['agreement']:.3f} | {one['relative_cost']:.1%} | |"
            for name, one in found["alone on test"].items()
        ),
        "\n| cascade | agreement | cost of the larger | minus the larger's agreement |\n|---|---|---|---|",
    ]
    for name, choices in found["cascades, tuned on validation, on test"].items():
        for choice, value in choices.items():
            if choice == "curve on validation":
                continue
            gain = value["agreement minus the larger's"]
            lines.append(
                f"| {name}: {choice} | {value['agreement']:.3f} | {value['relative_cost']:.0%} | "
                f"{gain['value']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}] |"
            )
    return "\n".join(lines) + "\n"


def jobs() -> str:
    text = ""
    if found := result("million_pairs"):
        sizes = found["resident MB, first to last of the second run"]
        text += (
            f"\n## A million pairs\n\n`{found['command']}`; a cross-encoder of {found['layers']} layer(s), killed at "
            f"{found['verdicts when killed']:,} verdicts and started again: {found['verdicts at the end']:,} verdicts on "
            f"{found['distinct pairs']:,} distinct pairs. Peak {found['peak resident MB']:,} MB; over the second run "
            f"{sizes[0]:,} to {sizes[-1]:,} MB. The job runs at "
            f"{found[KEY]:.1%} of the bare model's throughput "
            f"({found['pairs per cpu second, whole job']:,} against {found['pairs per cpu second, bare model']:,} pairs per "
            "CPU-second).\n"
        )
    if found := result("ledger"):
        looked = found["look_up_of_10000"]
        text += (
            f"\n## The ledger at {found['verdicts']:,} verdicts (simulated)\n\n`{found['command']}`; recording "
            f"{found['recording']['first_version']['per_second']:,} a second, {found['bytes_each']} bytes each, export in "
            f"{found['export']['seconds']:.0f} s, report in {found['report']['seconds']:.0f} s. Looking up 10,000 pairs, median (99th "
            "percentile) in ms:\n\n| pairs | warm | cold |\n|---|---|---|\n"
        )
        for name, value in looked.items():
            cells = (f"{value[state]['p50_ms']:.0f} ({value[state]['p99_ms']:.0f})" for state in ("warm", "cold"))
            text += f"| {name.replace('_', ' ')} | {' | '.join(cells)} |\n"
    return text


KEY = "throughput of the job over the bare model's"


def audit() -> str:
    if (found := result("audit")) is None:
        return ""
    lines = [
        f"\n## Audit by engagement (simulated)\n\n`{found['command']}`; the generated shop, 8 % planted label errors, three "
        "seeds, mean [least, greatest]. Engagement can reveal an error where the label is 0 and the truth is not, or the label "
        "2 and the truth 0, on a pair looked at five times or more. Targets: recall 0.60 at precision 0.70.\n",
        "| signal | precision | recall of those | recall of all planted |\n|---|---|---|---|",
    ]
    for name, value in found["signals"].items():
        cells = (_range(value[key]) for key in ("precision", "recall, main", "recall_all"))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cells(values: dict[str, Any], sign: str = "") -> str:
    cells = []
    for key in FIGURES:
        value = values.get(key)
        if value is None or value.get("value") is None:
            cells.append("-")
        else:
            cells.append(f"{value['value']:{sign}.3f} [{value['low']:{sign}.3f}, {value['high']:{sign}.3f}]")
    return " | ".join(cells)


def _range(value: dict[str, float]) -> str:
    return f"{value['mean']:.3f} [{value['min']:.3f}, {value['max']:.3f}]"
