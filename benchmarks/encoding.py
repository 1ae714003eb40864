"""Texts encoded per CPU-second: the static encoder against MiniLM, real Home Depot titles, one thread, interleaved.

Target: static at least 50x.

    MOTHERLODE_DATA=... OMP_NUM_THREADS=1 python benchmarks/encoding.py
"""

import statistics
import time

import torch

from common import home_depot, training_pairs, write
from motherlode.encoders.towers import two_tower

ROUNDS, TEXTS = 5, {"static": 10_000, "minilm": 400}


def main() -> None:
    torch.set_num_threads(1)
    _, titles, _ = training_pairs(*home_depot())
    models = {name: two_tower(name, titles) for name in TEXTS}
    speeds: dict[str, list[float]] = {name: [] for name in TEXTS}
    for step in range(ROUNDS + 1):
        for name, model in models.items():
            texts = titles[step * TEXTS[name] : (step + 1) * TEXTS[name]] or titles[: TEXTS[name]]
            began = time.process_time()
            model.encode_document(texts, batch_size=32, show_progress_bar=False)
            if step:  # the first round warms up
                speeds[name].append(len(texts) / (time.process_time() - began))
    ratios = [static / minilm for static, minilm in zip(*speeds.values(), strict=True)]
    write(
        "encoding",
        {
            "texts_per_cpu_second": {name: round(statistics.median(found)) for name, found in speeds.items()},
            "ratio": {
                "median": round(statistics.median(ratios), 1),
                "min": round(min(ratios), 1),
                "max": round(max(ratios), 1),
            },
            "target": 50,
        },
    )


if __name__ == "__main__":
    main()
