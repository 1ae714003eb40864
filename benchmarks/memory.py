"""A million generated items through data, check, split, fit, evaluate and index: peak memory of each stage.

Every stage runs in a process of its own; the target is 4 GB for check, split and index (static encoder).

    python benchmarks/memory.py [items]
"""

import resource
import shutil
import subprocess
import sys
import time

from common import RUNS, write
from motherlode.stages.run import ORDER


def main(items: int) -> None:
    folder = RUNS / f"memory_{items}"
    shutil.rmtree(folder, ignore_errors=True)
    found = {}
    for stage in ORDER:
        began = time.monotonic()
        command = [sys.executable, __file__, "stage", stage, str(folder), str(items)]
        peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        found[stage] = {"peak_gb": round(int(peak) / 2**20, 2), "seconds": round(time.monotonic() - began, 1)}
        print(stage, found[stage], flush=True)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(folder)
    write(
        "memory",
        {
            "items": items,
            "simulated": True,
            "encoder": "static, 256",
            "stages": found,
            "disk_gb": round(size / 2**30, 2),
            "target_gb": 4,
        },
    )


def stage(name: str, folder: str, items: str) -> None:
    from motherlode.recipe import Recipe
    from motherlode.stages.run import run

    recipe = Recipe.load(overrides=["data.source=shop", f"data.items={items}", "fit.epochs=1"])
    run(recipe, folder, (name,))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    if sys.argv[1:2] == ["stage"]:
        stage(*sys.argv[2:])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
