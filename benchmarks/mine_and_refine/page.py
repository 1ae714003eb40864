"""A page of pictures from a study's result: what every arm gains over "train on", arena by arena.

python benchmarks/mine_and_refine/page.py STUDY   (after summary.py STUDY; writes runs/mine_and_refine/STUDY.html)
"""

import sys

from material import FOLDER

from common import result
from motherlode.report.layout import grid, section
from motherlode.report.markup import join
from motherlode.report.pictures import forest
from motherlode.report.shell import write_page

SHOWN = {"ndcg@10": "NDCG@10", "recall@100": "recall@100", "auc_2_0": "AUC 2 v 0", "auc_2_1": "AUC 2 v 1"}


def main(study: str) -> None:
    found = result(f"mine_and_refine_{study}")
    if found is None:
        sys.exit(f"There is no result of {study}: run summary.py {study} first.")
    sections = []
    for arena, rows in found["arenas"].items():
        panels = []
        for figure, name in SHOWN.items():
            gains = [
                (arm, len(row["seeds"]), row["against train on"][figure])
                for arm, row in rows.items()
                if "against train on" in row
            ]
            gains.sort(key=lambda one: -one[2]["delta"])
            panels.append(forest(f"{name}: gain over training on", gains))
        sections.append(section(f"Arena: {arena}", "95 % intervals over queries, all seeds together.", grid(panels)))
    path = write_page(FOLDER / f"{study}.html", f"Mine and refine: {study}", join(*sections), simulated=study == "shop")
    print(path)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
