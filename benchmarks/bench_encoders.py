"""Encoders beside sentence-transformers on the same weights: time, rate, start and memory.

    python benchmarks/bench_encoders.py DATASET [--prompts 200] [--rounds 5] [--skip-fresh]

Two tables. The first is of one process, and all of a round is measured before the next begins, so
that other work on the machine falls on everybody: medians for one text of 20 and of 256 tokens on
one thread, and the rate on prompts of DATASET on two threads, once on the last 1,000 characters
of each, so that all windows differ (`rate`), and once as they are (`rate as is`): few-shot prompts
that begin alike have equal windows, which `minilm` encodes once.
sentence-transformers runs with one thread where one thread is asked for, else at its defaults
(batches of 32) on two; everybody reads the first 256 tokens. Behind each figure its ratio to
sentence-transformers. `processor s` is the processor time of the run behind `rate`, of all threads:
on a busy machine it says more than the rate.

The second is of fresh processes: seconds from start to the first embedding of 20 tokens (what is
made once is in the cache), the most memory it took, and what it holds then and after 256 tokens.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from pages import record
from safetensors.numpy import load_file, save_file

from equirouter.encoders.minilm import MiniLMEncoder
from equirouter.encoders.minilm.weights import find_weights

PEER = "sentence-transformers"
OURS = ("fp32", "int8")
TEXTS = {n: " ".join(["house"] * (n - 2)) for n in (20, 256)}
REPEATS = {20: 15, 256: 3}
BATCH_THREADS = 2
LAST_CHARACTERS = 1000
"""Some 240 tokens: few-shot prompts begin alike, and differ where they end."""

Measured = dict[tuple[str, str], list[float]]


def peer() -> Any:  # noqa: ANN401  # a SentenceTransformer, whose package has no types
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(find_weights().model.parent), device="cpu")
    model.max_seq_length = 256
    return model


def ours(precision: str, threads: int, state: dict[str, Any]) -> MiniLMEncoder:
    encoder = MiniLMEncoder(window="head", precision=precision, threads=threads)
    return encoder.restore(state) if encoder.learns else encoder


def prompts(dataset: str, n: int) -> tuple[list[str], list[str], list[str]]:
    """Texts for calibration; n other ones as they are; the ends of these, which all differ."""
    from equirouter.data import load_dataset

    texts = list(dict.fromkeys(load_dataset(dataset).texts))
    mixed = [texts[i] for i in np.random.default_rng(0).permutation(len(texts))]
    as_is = mixed[-n:]
    return mixed[: len(mixed) // 4], as_is, [text[-LAST_CHARACTERS:] for text in as_is]


def time_singles(encoders: dict[str, Callable[[list[str]], Any]], measured: Measured) -> None:
    for n, text in TEXTS.items():
        for name, encode in encoders.items():
            encode([text])
            for _ in range(REPEATS[n]):
                start = time.perf_counter()
                encode([text])
                measured[name, f"{n} tokens, ms"].append(1e3 * (time.perf_counter() - start))


def time_batches(
    encoders: dict[str, Callable[[list[str]], Any]],
    batches: dict[str, list[str]],
    measured: Measured,
) -> None:
    for column, texts in batches.items():
        for name, encode in encoders.items():
            start = time.perf_counter()
            encode(texts)
            measured[name, column].append(len(texts) / (time.perf_counter() - start))


def one_process(dataset: str, n_prompts: int, rounds: int, state_file: Path) -> None:
    import torch

    calibration, as_is, different = prompts(dataset, n_prompts)
    batches = {"texts/s, all different": different, "texts/s, as they are": as_is}
    fitted = MiniLMEncoder(window="head", precision="int8").fit(calibration)
    state = fitted.state()
    save_file(state, state_file)
    model = peer()
    names = [PEER, *(f"minilm {precision}" for precision in OURS)]
    columns = [*(f"{n} tokens, ms" for n in TEXTS), *batches]
    measured: Measured = {(name, column): [] for name in names for column in columns}
    single = {f"minilm {p}": ours(p, 1, state).encode for p in OURS}
    many = {f"minilm {p}": ours(p, BATCH_THREADS, state).encode for p in OURS}
    for texts in (*batches.values(), [TEXTS[256]]):
        model.encode(texts[:32])
        for encode in (*single.values(), *many.values()):
            encode(texts[:4])
    for _ in range(rounds):
        torch.set_num_threads(1)
        time_singles({PEER: model.encode, **single}, measured)
        torch.set_num_threads(BATCH_THREADS)
        time_batches({PEER: model.encode, **many}, batches, measured)
    show({key: median(values) for key, values in measured.items()}, names, columns)
    rows = [many[f"minilm {precision}"](different) for precision in OURS]
    cosine = (rows[0] * rows[1]).sum(axis=1)
    lengths = [len(fitted._windows(text)[0]) + 2 for text in different]
    print(
        f"\n{len(different)} prompts, tokens of the window (least, quartiles, most): "
        f"{np.percentile(lengths, [0, 25, 50, 75, 100]).astype(int).tolist()}; cosine of int8 to "
        f"fp32: least {cosine.min():.4f}, 5 % {np.percentile(cosine, 5):.4f}, "
        f"median {np.median(cosine):.4f}\n"
    )


def show(
    medians: dict[tuple[str, str], float], names: Sequence[str], columns: Sequence[str]
) -> None:
    rows = []
    for name in names:
        cells = []
        for column in columns:
            value, base = medians[name, column], medians[PEER, column]
            ratio = value / base if column.startswith("texts/s") else base / value
            cells.append(f"{value:.1f}" + ("" if name == PEER else f" ({ratio:.1f}x)"))
        rows.append([name.replace("minilm ", "minilm, "), *cells])
    record("speed-encoders", rows)


def fresh(kind: str, state_file: Path, runs: int) -> None:
    """One row of the second table: medians over fresh processes."""
    rounds = []
    for _ in range(runs + 1):
        command = [sys.executable, __file__, "child", kind, str(state_file)]
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            lines = iter(process.stdout or [])
            next(lines)
            ready = time.perf_counter() - start
            rounds.append((ready, *json.loads(next(lines))))
    cells = [median(values) for values in zip(*rounds[1:], strict=True)]  # the first fills caches
    print(
        f"| {kind} | {cells[0]:.2f} | "
        + " | ".join(f"{kib / 1024:.0f}" for kib in cells[1:])
        + " |"
    )


def child(kind: str, state_file: Path) -> None:
    if kind == PEER:
        encode = peer().encode
    else:
        state = load_file(state_file) if kind == "minilm int8" else {}
        encode = ours(kind.removeprefix("minilm "), 1, state).encode
    encode([TEXTS[20]])
    print("ready", flush=True)
    short = memory("VmRSS")
    encode([TEXTS[256]])
    print(json.dumps([memory("VmHWM"), short, memory("VmRSS")]))


def memory(field: str) -> int:
    """KiB, of this process."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--skip-fresh", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        state_file = Path(folder) / "state.safetensors"
        one_process(options.dataset, options.prompts, options.rounds, state_file)
        if not options.skip_fresh:
            print("| fresh process | ready, s | most, MiB | after 20, MiB | after 256, MiB |")
            print("|---|---|---|---|---|")
            for kind in (PEER, *(f"minilm {precision}" for precision in OURS)):
                fresh(kind, state_file, options.rounds)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
