"""The tables of the study of samplers: every arm of a data set against the bar, curves, and rates of false negatives."""

from typing import Any

from common import result

STUDIES = {
    "beauty": "Amazon Beauty, each user's last item, the user tower sees the mean of 20",
    "instruments": "Amazon Musical Instruments, each user's last item, the user tower sees the mean of 20",
    "beauty_recent": "Amazon Beauty, the user tower sees 200 items, the k-th last weighs 1 / k",
    "instruments_recent": "Amazon Musical Instruments, the user tower sees 200 items, the k-th last weighs 1 / k",
    "ml1m": "MovieLens-1M, ten items a user, the user tower sees the mean of 200, two epochs",
    "ml100k": "MovieLens-100K, each user's last item",
    "retail": "UCI Online Retail, cut in time, the user tower sees the mean of 200",
    "retail_last": "UCI Online Retail, each user's last item, the user tower sees 200 items, the k-th last weighs 1 / k",
    "shop": "the generated shop (simulated)",
}
BAR = "against in-batch + logQ"
FIGURES = ("recall@50", "recall@200", "ndcg@50")
BEST = "the best of semantic parts against the best of the rest"


def recommend() -> str:
    text = "".join(_study(name, title) for name, title in STUDIES.items())
    text += "".join(_curves(name) for name in STUDIES) + _rates() + _speed()
    return f"\n# Recommending\n{text}" if text else ""


def _study(name: str, title: str) -> str:
    if (found := result(f"recommend_{name}")) is None:
        return ""
    lines = [
        f"\n## Samplers: {title}\n",
        f"`{found['command']}` after `recommend_study.py {name}`; {found['users']:,} users asked, "
        f"{found['training events']:,} training events, the whole catalogue ranked, history left out. Every arm's "
        "temperature is the best of its trials on validation (seed 0). Brackets: 95 %, bootstrap over users of their "
        "means over the seeds that both arms have.\n",
        "| arm (seeds) | tau | recall@50 | recall@200 | NDCG@50 | tail recall@200 | recall@50 over the bar | "
        "recall@200 over the bar | CPU-s | encoded |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for arm, row in sorted(found["arms"].items(), key=lambda one: -one[1]["test"]["recall@200"]):
        test, over = row["test"], row.get(BAR)
        gains = [over[key] if over else "the bar" for key in ("recall@50", "recall@200")]
        spent = [
            "" if row["cpu_seconds"] is None else f"{row['cpu_seconds']:.0f}",
            "" if row["encoded_items"] is None else f"{row['encoded_items'] / 1e6:.1f} M",
        ]
        cells = ["" if test[key] is None else f"{test[key]:.4f}" for key in (*FIGURES, "recall@200/tail")]
        tau = f"{row['temperature']:g}" if any("temperature" in one for one in row["tried"]) else ""
        seeds = len(row["seeds"].split())
        lines.append(f"| {arm} ({seeds}) | {tau} | " + " | ".join([*cells, *gains, *spent]) + " |")
    if best := found.get(BEST):
        lines.append(
            f"\nOf the arms made of semantic parts validation likes *{best['semantic']}* best, of the others "
            f"*{best['other']}*. The first over the second: recall@50 {best['gain']['recall@50']}, recall@200 "
            f"{best['gain']['recall@200']}, NDCG@50 {best['gain']['ndcg@50']}; recall@200 seed by seed, in %: "
            f"{best['recall@200, each seed']}."
        )
    return "\n".join(lines) + "\n"


def _curves(name: str) -> str:
    if (found := result(f"recommend_curves_{name}")) is None:
        return ""
    lines = [
        f"\n## Curves: {STUDIES[name].partition(', the user tower')[0]}\n",
        f"`recommend_curves.py {name} curve={','.join(found['curves'])}`: the recipe as told with one thing changed, or what the point says; temperature "
        f"{found['temperature']:g} (`window` of long histories: 0.1), no trials. `encoded` leaves out what a sampler scores only to choose.\n",
        "| curve | point (seeds) | recall@50 | recall@200 | NDCG@50 | tail recall@200 | steps | CPU-s | encoded |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for curve, points in found["curves"].items():
        for label, one in points.items():
            cells = [f"{one[key]:.4f}" for key in (*FIGURES, "recall@200/tail")]
            spent = [f"{one['steps']:.0f}", f"{one['cpu_seconds']:.0f}", f"{one['encoded_items'] / 1e6:.1f} M"]
            lines.append(f"| {curve} | {label} ({one['seeds']}) | " + " | ".join([*cells, *spent]) + " |")
    return "\n".join(lines) + "\n" + _catalogues(found["curves"].get("catalogue", {}))


def _catalogues(points: dict[str, Any]) -> str:
    """What arms gain over the two bars of the same shop."""
    bars = ("in-batch + logQ", "10 uniform")
    heads = [f"{key} over {bar}" for bar in bars for key in FIGURES[:2]]
    lines = ["\n| point | " + " | ".join(heads) + " |", "|" + "---|" * (1 + len(heads))]
    for label, one in points.items():
        gains = [one["over"].get(bar, {}).get(key, "") for bar in bars for key in FIGURES[:2]]
        lines.append(f"| {label} | " + " | ".join(gains) + " |")
    return "\n".join(lines) + "\n" if points else ""


def _rates() -> str:
    rows = []
    for name in STUDIES:
        if (found := result(f"recommend_rates_{name}")) is None:
            continue
        even = found["tiers"]["uniform"]["false"]
        for tier, one in found["tiers"].items():
            against: dict[str, Any] = found["against DNS"].get(tier, {})
            ratio = f"{against['ratio']:.2f}" if against.get("within_the_curve") else ""
            rows.append(
                f"| {name} | {tier} | {one['draws']:,} | {one['false']:.3%} | {one['false'] / even:.1f} | "
                f"{one['hardness']:.3f} | {ratio} |"
            )
    if not rows:
        return ""
    return (
        "\n## False negatives, tier by tier\n\n`recommend_rates.py`: draws that are held-out positives of the same user, under a "
        "trained two-tower; hardness is the share of uniform items that the user scores below the negative.\n\n"
        "| data | tier | draws | false | times uniform | hardness | over DNS of the same hardness |\n|---|---|---|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def _speed() -> str:
    text = ""
    if found := result("recommend_speed"):
        step = found["step"]
        text += (
            f"\n## Speed of training\n\n`{found['command']}`: {found['items']:,} items, {found['batch']:,} examples a step, one "
            f"thread, in turns. Of a step with {step['negatives']}, sampling takes {step['sampling_share']:.0%} and interpolation "
            f"{step['interpolation_share']:.0%}.\n\n| training | examples a CPU-second |\n|---|---|\n"
        )
        text += "".join(f"| {name} | {rate:,} |\n" for name, rate in found["examples_a_cpu_second"].items())
        times = ", ".join(f"{name} {ratio:g}" for name, ratio in found["times_torch_rechub"].items())
        size = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in found["bytes_an_item"].items())
        million = found["million"]
        text += (
            f"\nTimes torch-rechub's YoutubeDNN at 100 negatives: {times}. Times the best plain torch: "
            + ", ".join(f"{name} {ratio:g}" for name, ratio in found["times_plain_torch"].items())
            + f". Bytes an item: {size}. With 1,000,000 items: {million['examples_a_cpu_second']:,} examples a CPU-second, "
            f"{million['largest_resident_mb']:,} MB.\n"
        )
    if found := result("codebooks"):
        errors = {name: sum(one["primary"] for one in rounds) / len(rounds) for name, rounds in found["error"].items()}
        text += (
            f"\nCodebooks (`{found['command']}`), {found['items']:,} items, {found['views']} views of {found['width']} dimensions, "
            f"{found['primary']} and {found['secondary']} codes: {found['times_faiss']:g} times the CPU time of two bare faiss "
            f"k-means (target {found['target']:g}); squared distance to the primary centre {errors['motherlode']:.4f} against "
            f"{errors['faiss']:.4f}.\n"
        )
    return text
