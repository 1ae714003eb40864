"""Print benchmarks/README.md's tables from the results: what the page shows is what the commands wrote.

python benchmarks/table.py
"""

from common import HERE, result
from table_assay import assay
from table_recommend import recommend
from table_refine import refine
from table_search import search
from table_semantic import semantic
from table_sparse import sparse
from table_stage_1 import stage_1

HEAD = (HERE / "README.md").read_text(encoding="utf-8").partition("\n## ")[0]


def change(found: dict[str, float]) -> str:
    return f"{found['relative']:+.1%} [{found['relative_low']:+.1%}, {found['relative_high']:+.1%}]"


def home_depot(preset: str) -> str:
    found = result(f"home_depot_{preset}")
    if found is None:
        return ""
    lines = [
        f"\n## Home Depot, preset `{preset}`\n",
        f"`{found['command']}`; {found['queries']:,} test queries never seen in training, {found['items']:,} titles, "
        f"gains 1 / 0.5 / 0, seed {found['seed']}, split `{found['split']}`; "
        f"training took {found['fit_seconds'] / 60:.0f} minutes. Brackets: 95 % paired bootstrap over queries.\n",
        "| system | NDCG@10 | recall@100 |\n|---|---|---|",
        *(f"| {name} | {v['ndcg@10']:.3f} | {v['recall@100']:.3f} |" for name, v in found["systems"].items()),
        "\n| compared | NDCG@10 | recall@100 |\n|---|---|---|",
        *(f"| {name} | {change(v['ndcg@10'])} | {change(v['recall@100'])} |" for name, v in found["against"].items()),
    ]
    return "\n".join(lines) + "\n"


def esci() -> str:
    rows = []
    for name, title in (
        ("alone", "ESCI's own grades alone"),
        ("transfer", "Home Depot alone"),
        ("half", "Home Depot alone, averaged with the untouched weights"),
        ("after_home_depot", "Home Depot, then ESCI"),
        ("after_half", "Home Depot averaged with the untouched weights, then ESCI"),
    ):
        if (found := result(f"esci_{name}")) is None:
            continue
        delta, auc = found["ndcg@10 vs untouched minilm"], found["auc_2_0 gain"]
        rows.append(
            f"| {title} | {found['ndcg@10']['untouched minilm']:.3f} | {found['ndcg@10'][found['system']]:.3f} | "
            f"{change(delta)} | {found['auc_2_0']['untouched minilm']:.3f} | {found['auc_2_0'][found['system']]:.3f} | "
            f"{auc['delta']:+.3f} [{auc['low']:+.3f}, {auc['high']:+.3f}] | "
            + " | ".join(
                f"{found['ndcg@10'][name]:.3f}" if name in found["ndcg@10"] else ""
                for name in ("bm25", "trained + bm25")
            )
            + " |"
        )
    if not rows:
        return ""
    return (
        "\n## ESCI, five folds over 150 queries\n\n`python benchmarks/esci.py alone`, `transfer FOLDER`, `half FOLDER`, `after FOLDER`; MiniLM fine-tuned, "
        "6,764 products, gains 1 / 0.5 / 0, test folds pooled; AUC of grade 2 against 0 within a fold, mean of the folds.\n\n"
        "| trained on | untouched NDCG@10 | trained | change | untouched AUC | trained | change | BM25 NDCG@10 "
        "| trained + BM25 |\n|---|---|---|---|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def speed() -> str:
    lines = ["\n## Speed and memory\n\n| what | ours | rival | ratio | target |\n|---|---|---|---|---|"]
    if found := result("throughput"):
        theirs, ours = found["pairs_per_cpu_second"].values()
        ratio = f"{found['ratio']['median']:.2f} ({found['ratio']['min']:.2f} .. {found['ratio']['max']:.2f})"
        lines.append(
            f"| training MiniLM, graded pairs per CPU-second (`throughput.py`; rival: sentence-transformers' Trainer, MNRL) "
            f"| {ours} | {theirs} | {ratio} | {found['target']} |"
        )
    if found := result("encoding"):
        static, minilm = found["texts_per_cpu_second"].values()
        ratio = f"{found['ratio']['median']:.0f} ({found['ratio']['min']:.0f} .. {found['ratio']['max']:.0f})"
        lines.append(
            f"| encoding titles, texts per CPU-second (`encoding.py`; static, rival: MiniLM) "
            f"| {static:,} | {minilm:,} | {ratio} | {found['target']} |"
        )
    if found := result("trainer_overhead"):
        bare, ours, theirs = found["cpu_ms_a_step"].values()
        lines.append(
            f"| a step of the static encoder, CPU-ms (`trainer_overhead.py`; rival: transformers.Trainer; bare torch {bare}) "
            f"| {ours} | {theirs} | {theirs / ours:.2f} | |"
        )
    table = "\n".join(lines) + "\n"
    if found := result("memory"):
        stages = found["stages"]
        table += (
            f"\n{found['items']:,} generated items (simulated), static encoder (`memory.py`), target below "
            f"{found['target_gb']} GB:\n\n| stage | peak GB | seconds |\n|---|---|---|\n"
            + "\n".join(f"| {name} | {value['peak_gb']} | {value['seconds']} |" for name, value in stages.items())
            + "\n"
        )
    return table


def unrelated() -> str:
    if (found := result("unrelated")) is None:
        return ""
    rows = [
        f"| {name} | {value['mean']:.4f} | {', '.join(f'{seed:.4f}' for seed in value['seeds'])} |"
        for name, value in found["validation_ndcg@10"].items()
    ]
    return (
        "\n## Unrelated items as grade 0\n\n`python benchmarks/unrelated.py`; Home Depot validation queries, static encoder, "
        "their judged items and 5,000 others.\n\n| setting | validation NDCG@10, mean | seeds |\n|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def main() -> None:
    tables = (
        home_depot("tiny")
        + home_depot("small")
        + esci()
        + search()
        + sparse()
        + assay()
        + refine()
        + stage_1()
        + semantic()
        + speed()
    )
    tables += unrelated() + recommend()
    lexical = "\n## The lexical leg\n\n`python benchmarks/lexical_engines.py`: the table is in [docs/search.md](../docs/search.md).\n"
    (HERE / "README.md").write_text(HEAD.rstrip() + "\n" + tables + lexical, encoding="utf-8")


if __name__ == "__main__":
    main()
