"""The first journey in a few minutes: tables in, a trained retriever, the proof, an index, three answers, a report."""

import sys
from pathlib import Path

import motherlode
from motherlode.datasets import info
from motherlode.datasets.source import default_root

WORKSPACE = Path("runs/demo")
QUESTIONS = {
    "esci": ["wireless gaming mouse", "gluten free snacks", "running shoes for women"],
    "shop": ["red ceramic mug", "couch", "cordles drill"],
}


def main() -> None:
    real = any((default_root() / layout).is_dir() for layout in info("esci").layouts)
    source = "esci" if real else "shop"
    what = {
        "esci": "ESCI (Amazon Shopping Queries, real grades)",
        "shop": "the generated shop (simulated: MOTHERLODE_DATA holds no ESCI)",
    }
    print(f"motherlode demo on {what[source]}", flush=True)
    recipe = motherlode.Recipe.load(overrides=[f"data.source={source}"])
    made = motherlode.run(recipe, WORKSPACE, tell=lambda stage, state, s: print(f"  {stage:<9} {state} {s:.0f} s"))

    from motherlode.cli import print_metrics

    print_metrics(made / "evaluate/metrics.json")
    index = motherlode.Index.open(made / "index")
    for question in QUESTIONS[source]:
        print(f"\n{question}")
        for hit in index.search(question, k=3):
            print(f"  {hit.rank}. {hit.title[:100]}")
    print(f"\nThe report: {made / 'report.html'}")


if __name__ == "__main__":
    sys.exit(main())
