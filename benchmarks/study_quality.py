"""Does a quality target hold on queries that calibration did not see?

    python benchmarks/study_quality.py DATASET [...] [--routers factors mlp knn] [--seeds 5]
        [--qualities 0.95 0.98] [--confidences default 0.5 0.8 0.9]

Pipelines from evaluation.train.train, one per router and seed; the operating point that
validation gives for a quality and a confidence is applied to the test part. Prints Markdown: of the
pipelines that promise the quality, how many kept it there, the lowest share of the strongest
model's performance, and the mean cost as a share of its cost. A pipeline that cannot promise it
refuses. Nothing is chosen from these figures.
"""

import argparse
from itertools import product

import numpy as np

from equirouter.data import load_dataset
from equirouter.data.split import split_outcomes
from equirouter.encoders import EmbeddingCache, make_encoder
from equirouter.encoders.cache import encode_cached
from equirouter.errors import UserError
from equirouter.evaluation.train import train

EASY = 0.5  # a quality that every pipeline reaches: fitting must not refuse


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--routers", nargs="+", default=["factors", "mlp", "knn"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--qualities", type=float, nargs="+", default=[0.95, 0.98])
    parser.add_argument(
        "--confidences", type=confidence_of, nargs="+", default=[None, 0.5, 0.8, 0.9]
    )
    args = parser.parse_args()
    print("| data | quality | confidence | promised | kept | lowest | mean cost |")
    print("|---|---|---|---|---|---|---|")
    for name in args.datasets:
        cells = list(product(args.qualities, args.confidences))
        results = measured(name, args.routers, args.seeds, cells)
        n = len(args.routers) * args.seeds
        for (quality, confidence), shares in zip(cells, results, strict=True):
            kept = sum(share >= quality for share, _ in shares)
            least, cost = (
                (f"{min(s for s, _ in shares):.3f}", f"{np.mean([c for _, c in shares]):.2f}")
                if shares
                else ("", "")
            )
            counts = f"{len(shares)} of {n} | {kept} of {len(shares)}"
            named = "default" if confidence is None else confidence
            print(f"| {name} | {quality} | {named} | {counts} | {least} | {cost} |", flush=True)


def confidence_of(text: str) -> float | None:
    """None, as sure as can be up to 0.8, for the word default."""
    return None if text == "default" else float(text)


def measured(
    name: str, routers: list[str], n_seeds: int, cells: list[tuple[float, float | None]]
) -> list[list[tuple[float, float]]]:
    """Per quality and confidence, (share of performance, share of cost) of what promised it."""
    outcomes = load_dataset(name)
    encoder = make_encoder("minilm")
    embeddings = encode_cached(encoder, outcomes.texts, cache=EmbeddingCache())
    results: list[list[tuple[float, float]]] = [[] for _ in cells]
    for router, seed in product(routers, range(42, 42 + n_seeds)):
        pipeline = train(
            outcomes, encoder, router=router, quality=EASY, seed=seed, embeddings=embeddings
        )
        test = split_outcomes(outcomes, seed=seed).test
        test = test[outcomes.is_complete[test]]
        performance, cost_usd = outcomes.performance[test], outcomes.cost_usd[test]
        means = performance.mean(axis=0), cost_usd.mean(axis=0)
        strongest = int(means[0].argmax())
        rows = np.arange(len(test))
        for place, (quality, confidence) in enumerate(cells):
            pipeline.confidence = confidence
            try:
                choices = pipeline.decide_many(embeddings=embeddings[test], quality=quality)
            except UserError:
                continue
            got = performance[rows, choices.chosen].mean() / means[0][strongest]
            results[place].append(
                (got, cost_usd[rows, choices.chosen].mean() / means[1][strongest])
            )
    return results


if __name__ == "__main__":
    main()
