"""Every benchmark in turn, the quick ones first; each writes its result under benchmarks/results.

Hours on a laptop: run them one by one for a single figure.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
COMMANDS = (
    ["trainer_overhead.py"],
    ["encoding.py"],
    ["throughput.py"],
    ["lexical_engines.py"],
    ["unrelated.py"],
    ["memory.py"],
    ["home_depot.py", "tiny"],
    ["home_depot.py", "small"],
    ["esci.py", "alone"],
    ["esci.py", "transfer", "benchmarks/runs/home_depot_small/fit/best"],
    ["esci.py", "after", "benchmarks/runs/home_depot_small/fit/best"],
    ["audit.py"],
    ["ledger.py"],
    ["spelling.py"],
    ["graders.py", "home_depot"],
    ["graders.py", "esci"],
    ["cascade.py", "grader.precision=bf16"],
    ["graders.py", "stacked", "home_depot", "grader.precision=bf16"],
    ["light_llm.py"],
    ["blends.py", "home_depot"],
    ["blends.py", "esci"],
    ["search_speed.py", "50000", "1000000"],
    ["ann_recall.py"],
    ["codebooks.py"],
    ["sparse.py", "shop", "ablation"],
    ["sparse.py", "home_depot", "blend"],
    ["http_overhead.py", "runs/demo"],
    ["page_latency.py", "runs/demo"],
    ["serve_load.py", "runs/demo", "minutes=30"],
    ["mine_and_refine/run.py", "shop", "every"],
    ["mine_and_refine/summary.py", "shop"],
    ["mine_and_refine/run.py", "home_depot_static", "every"],
    ["mine_and_refine/summary.py", "home_depot_static"],
    ["mine_and_refine/run.py", "esci_static", "headline", "seeds=0"],
    ["mine_and_refine/summary.py", "esci_static"],
    ["mine_and_refine/run.py", "home_depot_minilm", "default", "seeds=0", "factors=0.3", "fit.precision=bf16"],
    ["mine_and_refine/summary.py", "home_depot_minilm"],
    ["mine_and_refine/budget.py", "home_depot_static", "seeds=0"],
    ["mine_and_refine/miners.py", "shop"],
    ["mine_and_refine/miners.py", "home_depot_static", "seeds=0"],
    ["mine_and_refine/semantic.py"],
    ["mine_and_refine/towers.py", "shop"],
    ["mine_and_refine/synthetic.py", "shop"],
    ["mine_and_refine/spelling.py"],
    ["mine_and_refine/round_speed.py"],
    ["recommend_speed.py"],
    ["recommend_study.py", "beauty"],
    ["recommend_summary.py", "beauty"],
    ["recommend_study.py", "instruments"],
    ["recommend_summary.py", "instruments"],
    ["recommend_study.py", "ml1m"],
    ["recommend_summary.py", "ml1m"],
    ["recommend_study.py", "retail"],
    ["recommend_summary.py", "retail"],
    ["recommend_curves.py", "instruments", "curve=sizes,parts,strength,negatives,budget"],
    ["recommend_rates.py", "instruments", "temperature=0.2", "views=behaviour+codes"],
    ["table.py"],
)

for command in COMMANDS:
    print("==", " ".join(command), flush=True)
    subprocess.run([sys.executable, str(HERE / command[0]), *command[1:]], check=True, cwd=HERE.parent)
