"""Which default decides best? The search behind benchmarks/decisions.md, on validation data alone.

    python benchmarks/study_search.py DATASET [...] [--seeds 5] [--only NAME ...]
        [--out runs/search]

Of each split only the training and the validation part are read (40 % of the table). Their roles
rotate over four folds: three fit, the fourth is calibrated by cross-fitting in five parts, as
`train` calibrates, and measured under the utility policy, all folds together. The criterion, fixed
beforehand, is the mean over data sets and over 98, 95 and 90 % of the strongest model's quality of
the cost needed there, as a share of the strongest's; never reached counts as 1. Behind ± the
standard error over seeds; "difference" is from the first candidate, seed by seed. Scores are kept
in --out, and a run that was interrupted goes on from there. Prints Markdown.
"""

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.optimize import minimize  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression

from equirouter.arrays import BoolArray, FloatArray, IntArray
from equirouter.cost import CostModel
from equirouter.data import load_dataset
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import split_outcomes
from equirouter.encoders import EmbeddingCache, make_encoder
from equirouter.encoders.cache import encode_cached
from equirouter.evaluation.curve import measure
from equirouter.evaluation.protocol import stream
from equirouter.policy import UtilityPolicy
from equirouter.routers import Validation, make_router, scale
from equirouter.routers.scale import fit_scale

FOLDS, PARTS = 4, 5
WIDTH = 768  # of minilm's two windows
LEVELS = ("0.98", "0.95", "0.90")
Fit = Callable[[FloatArray, FloatArray, FloatArray, FloatArray, int], FloatArray]
"""Embeddings (n, d), performance and cost (n, K), new embeddings (m, d), seed -> scores (m, K)."""


@dataclass(frozen=True)
class Candidate:
    """reads: feature sets joined by "&". members: candidates whose scores are averaged instead.

    prior: queries that the pooled curve counts for in the calibration; None: scores as they are.
    """

    reads: str = "head+tail"
    fit: Fit | None = None
    members: tuple[str, ...] = ()
    prior: float | None = scale.PRIOR_QUERIES
    centred: bool = False


def by_router(spec: str, times: int = 1) -> Fit:
    """A registered router; a fifth of its training queries stops it early, or chooses for it."""

    def fit(x: FloatArray, a: FloatArray, c: FloatArray, new: FloatArray, seed: int) -> FloatArray:
        found = []
        for number in range(times):
            rng = np.random.default_rng([seed, number])
            router = make_router(spec)
            stop = rng.random(len(x)) < 0.2
            stops = spec.startswith("linear") or getattr(router, "patience", None) is not None
            keep = ~stop if stops else np.ones(len(x), dtype=bool)
            q = x.astype(np.float32)
            router.fit(
                q[keep],
                a[keep],
                c[keep],
                validation=Validation(q[stop], a[stop], c[stop]),
                rng=rng,
            )
            found.append(router.predict(new.astype(np.float32)).astype(np.float64))
        return np.asarray(np.mean(found, axis=0))

    return fit


def ridge(penalty: float, of_deviations: float | None = None) -> Fit:
    """Ridge with fixed penalties; of_deviations: for what a model has beyond the query's mean."""

    def fit(x: FloatArray, a: FloatArray, c: FloatArray, new: FloatArray, seed: int) -> FloatArray:
        del c, seed
        x, a = complete(x, a)
        centre = x.mean(axis=0)
        gram = (x - centre).T @ (x - centre)
        shared = np.repeat(a.mean(axis=1, keepdims=True), a.shape[1], axis=1)
        parts = [(a, penalty)] if of_deviations is None else [(shared, penalty)]
        if of_deviations is not None:
            parts.append((a - shared, of_deviations))
        out = np.zeros((len(new), a.shape[1]))
        for target, alpha in parts:
            moment = (x - centre).T @ (target - target.mean(axis=0))
            weights = np.linalg.solve(gram + alpha * np.eye(len(gram)), moment)
            out += (new - centre) @ weights + target.mean(axis=0)
        return out

    return fit


def logistic(penalty: float) -> Fit:
    """Logistic regression per model on outcomes in [0, 1]."""

    def fit(x: FloatArray, a: FloatArray, c: FloatArray, new: FloatArray, seed: int) -> FloatArray:
        del c, seed
        x, a = complete(x, a)
        centre, (d, k) = x.mean(axis=0), (x.shape[1], a.shape[1])
        q = x - centre

        def loss(values: FloatArray) -> tuple[float, FloatArray]:
            weights, level = values[: d * k].reshape(d, k), values[d * k :]
            z = q @ weights + level
            gap = 1 / (1 + np.exp(-z)) - a
            value = (np.logaddexp(0, z) - a * z).sum() + penalty / 2 * (weights**2).sum()
            slope = q.T @ gap + penalty * weights
            return float(value), np.concatenate([slope.ravel(), gap.sum(axis=0)])

        found = minimize(loss, np.zeros(d * k + k), jac=True, method="L-BFGS-B").x
        z = (new - centre) @ found[: d * k].reshape(d, k) + found[d * k :]
        return np.asarray(1 / (1 + np.exp(-z)))

    return fit


def kernel(n_landmarks: int) -> Fit:
    """`factors` on a Gaussian kernel (width 1) at some training queries (Nystroem)."""

    def fit(x: FloatArray, a: FloatArray, c: FloatArray, new: FloatArray, seed: int) -> FloatArray:
        rng = np.random.default_rng(seed)
        at = x[rng.permutation(len(x))[:n_landmarks]]

        def seen(q: FloatArray) -> FloatArray:
            gap = (q**2).sum(axis=1)[:, None] + (at**2).sum(axis=1) - 2 * q @ at.T
            return np.asarray(np.exp(-np.maximum(gap, 0)))

        values, vectors = np.linalg.eigh(seen(at))
        kept = values > 1e-6 * values[-1]
        to = vectors[:, kept] / np.sqrt(values[kept])
        return by_router("factors")(seen(x) @ to, a, c, seen(new) @ to, seed)

    return fit


def unrotated() -> Fit:
    """`factors` whose components are the models themselves: nothing is shared between models."""

    def fit(x: FloatArray, a: FloatArray, c: FloatArray, new: FloatArray, seed: int) -> FloatArray:
        columns = [
            by_router("factors")(x, a[:, [j]], c[:, [j]], new, seed) for j in range(a.shape[1])
        ]
        return np.hstack(columns)

    return fit


def with_tasks(weight: float) -> Fit:
    """`factors` on the embedding beside the probability of each task, which training rows name.

    x: a column per task, then the embedding, as "task&head+tail" is read. The tasks of new queries
    are not looked at: their probabilities come from a logistic regression on the embedding.
    """

    def fit(x: FloatArray, a: FloatArray, c: FloatArray, new: FloatArray, seed: int) -> FloatArray:
        told = (x[:, :-WIDTH] > 0).argmax(axis=1)
        x, new = x[:, -WIDTH:] * np.sqrt(2), new[:, -WIDTH:] * np.sqrt(2)
        guess = LogisticRegression(C=30.0, max_iter=300).fit(x, told)
        seen, asked = (np.hstack([q, weight * guess.predict_proba(q)]) for q in (x, new))
        return by_router("factors")(seen, a, c, asked, seed)

    return fit


def complete(x: FloatArray, a: FloatArray) -> tuple[FloatArray, FloatArray]:
    whole = np.isfinite(a).all(axis=1)
    return x[whole], a[whole]


FACTORS = by_router("factors")
CANDIDATES: dict[str, Candidate] = {
    "factors": Candidate(fit=FACTORS),
    "`task` (anchor)": Candidate("task", ridge(0.1)),
    "`knn`": Candidate(fit=by_router("knn")),
    "`mlp`": Candidate(fit=by_router("mlp")),
    "`linear`": Candidate(fit=by_router("linear")),
    "`embedllm`": Candidate(fit=by_router("embedllm")),
    "`causal` (expected regret)": Candidate(fit=by_router("causal"), centred=True),
    "`equirouter` (ranking)": Candidate(fit=by_router("equirouter"), centred=True),
    "`equirouter:loss=mse`": Candidate(fit=by_router("equirouter:loss=mse")),
    "`equirouter:loss=ranking+mse`": Candidate(fit=by_router("equirouter:loss=ranking+mse")),
    "three `equirouter:loss=mse` averaged": Candidate(fit=by_router("equirouter:loss=mse", 3)),
    "factors, window head": Candidate("head", FACTORS),
    "factors, window tail": Candidate("tail", FACTORS),
    "factors, static": Candidate("static", FACTORS),
    "factors, static and head+tail": Candidate("static&head+tail", FACTORS),
    "factors, head+tail and features": Candidate("head+tail&features", FACTORS),
    "factors, all three": Candidate("static&head+tail&features", FACTORS),
    "factors, tasks": Candidate("task&head+tail", with_tasks(1)),
    "factors, tasks doubled": Candidate("task&head+tail", with_tasks(2)),
    "factors, models apart": Candidate(fit=unrotated()),
    "factors, Gaussian kernel, 512": Candidate(fit=kernel(512)),
    "ridge per model, 3": Candidate(fit=ridge(3)),
    "ridge per model, 30": Candidate(fit=ridge(30)),
    "ridge 10, deviations 100": Candidate(fit=ridge(10, 100)),
    "logistic per model, 3": Candidate(fit=logistic(3)),
    "logistic per model, 10": Candidate(fit=logistic(10)),
    "factors and `knn` averaged": Candidate(members=("factors", "`knn`")),
    "factors and `mlp` averaged": Candidate(members=("factors", "`mlp`")),
    "factors, not calibrated": Candidate(members=("factors",), prior=None),
    "factors, calibration prior 50": Candidate(members=("factors",), prior=50),
    "factors, calibration prior 200": Candidate(members=("factors",), prior=200),
    "factors, calibration prior 1000": Candidate(members=("factors",), prior=1000),
    "factors and features, not calibrated": Candidate(
        members=("factors, head+tail and features",), prior=None
    ),
    "factors, tasks doubled, not calibrated": Candidate(
        members=("factors, tasks doubled",), prior=None
    ),
    "kernel, not calibrated": Candidate(members=("factors, Gaussian kernel, 512",), prior=None),
}


def text_features(texts: Sequence[str]) -> FloatArray:
    """(N, 10): length, digits, code, language, choices, questions, arithmetic; each of variance 1.

    Scaled so that a row's length is near 1, as an embedding's is.
    """
    rows = []
    for text in texts:
        n, words = max(len(text), 1), max(len(text.split()), 1)
        rows.append(
            [
                np.log(n),
                np.log(words),
                sum(map(str.isdigit, text)) / n,
                len(re.findall(r"[{}\[\]()=<>;_]", text)) / n,
                sum(ord(sign) > 127 for sign in text) / n,
                text.count("\n") / n,
                len(re.findall(r"(?m)^\s*\(?[A-J][.):]", text)),
                text.count("?") / words,
                float(bool(re.search(r"def |```|import ", text))),
                len(re.findall(r"[-+*/^%$]", text)) / n,
            ]
        )
    found = np.array(rows)
    spread = np.maximum(found.std(axis=0), 1e-9)
    return np.asarray(np.clip((found - found.mean(axis=0)) / spread, -3, 3) / found.shape[1] ** 0.5)


@dataclass(frozen=True)
class Source:
    """A data set and what is read of its queries."""

    outcomes: Outcomes
    out: Path

    def features(self, reads: str) -> FloatArray:
        if "&" in reads:
            parts = [self.features(part) for part in reads.split("&")]
            return np.asarray(np.hstack(parts) / np.sqrt(len(parts)))
        texts = self.outcomes.texts
        if reads == "features":
            return text_features(texts)
        if reads == "task":  # a column per task
            return np.asarray(
                np.array(self.outcomes.tasks)[:, None] == sorted(set(self.outcomes.tasks)), float
            )
        if reads == "static":
            return self._encoded("static")
        both = self._encoded("minilm")
        half = both.shape[1] // 2
        windows = {"head": slice(0, half), "tail": slice(half, None)}
        return np.asarray(both[:, windows[reads]] * np.sqrt(2) if reads in windows else both)

    def _encoded(self, name: str) -> FloatArray:
        encoder = make_encoder(name)
        found = encode_cached(encoder, self.outcomes.texts, None, cache=EmbeddingCache())
        return found.astype(np.float64)

    def folds(self, seed: int) -> tuple[IntArray, IntArray]:
        """Rows of the two parts and the fold of each; fold 0 is the validation part."""
        split = split_outcomes(self.outcomes, seed=seed)
        rows = np.sort(np.concatenate([split.train, split.validation]))
        held = np.isin(rows, split.validation)
        fold = np.zeros(len(rows), dtype=np.int64)
        dealt = np.random.default_rng([seed, 7]).permutation(int((~held).sum()))
        fold[~held] = 1 + dealt % (FOLDS - 1)
        return rows, fold

    def scores(self, name: str, seed: int) -> FloatArray:
        """Scores (n, K) of the two parts, each query's by a router that did not see it."""
        one = CANDIDATES[name]
        if one.fit is None:
            return np.asarray(np.mean([self.scores(each, seed) for each in one.members], axis=0))
        return self._kept(name, seed, one.reads, one.fit)

    def costs(self, seed: int) -> FloatArray:
        """Predicted costs (n, K) of the two parts, the same for every candidate."""

        def fit(
            x: FloatArray, a: FloatArray, c: FloatArray, new: FloatArray, number: int
        ) -> FloatArray:
            del a, number
            model = CostModel(device="cpu")
            model.fit(x.astype(np.float32), c, rng=stream(seed, "cost"))
            return np.asarray(model.predict(new.astype(np.float32)))

        return self._kept("cost", seed, "head+tail", fit)

    def _kept(self, name: str, seed: int, reads: str, fit: Fit) -> FloatArray:
        plain = re.sub(r"[^a-z0-9=]+", "-", name.lower())
        file = self.out / f"{self.outcomes.name}-{seed}-{plain}.npy"
        if file.exists():
            return np.asarray(np.load(file))
        rows, fold = self.folds(seed)
        x = self.features(reads)[rows]
        a, c = self.outcomes.performance[rows], self.outcomes.cost_usd[rows]
        found = np.empty(a.shape)
        for k in range(FOLDS):
            out = fold == k
            found[out] = fit(x[~out], a[~out], c[~out], x[out], seed * 10 + k)
        np.save(file, found)
        return found

    def figures(self, name: str, seed: int) -> list[float]:
        """Cost at LEVELS, and the squared error of the calibrated estimates."""
        one, (rows, fold) = CANDIDATES[name], self.folds(seed)
        scores, costs = self.scores(name, seed), self.costs(seed)
        keep = self.outcomes.is_complete[rows]
        a, c = self.outcomes.performance[rows], self.outcomes.cost_usd[rows]
        for k in range(FOLDS):
            held = keep & (fold == k)
            scores[held] = calibrated(scores[held], a[held], one, seed)
        q, predicted, a, c = scores[keep], costs[keep], a[keep], c[keep]
        rule = UtilityPolicy()
        chosen = rule.sweep(q, predicted, rule.points(q, predicted, 20))
        point = measure(chosen, a, c, path=rule.path(q, predicted), resamples=0).point
        reached = point["cost_at_quality"]
        if not isinstance(reached, dict):
            raise AssertionError("a map from quality to cost")
        needed = [1.0 if reached[level] is None else float(reached[level] or 0) for level in LEVELS]
        return [*needed, float(((q - a) ** 2).mean())]


def calibrated(scores: FloatArray, a: FloatArray, one: Candidate, seed: int) -> FloatArray:
    if one.prior is None:
        return scores
    scale.PRIOR_QUERIES = one.prior
    part = np.random.default_rng([seed, 3]).permutation(len(scores)) % PARTS
    found = np.empty_like(scores)
    for number in range(PARTS):
        out: BoolArray = part == number
        found[out] = fit_scale(scores[~out], a[~out], centred=one.centred).apply(scores[out])
    return found


@lru_cache
def source(dataset: str, out: Path) -> Source:
    return Source(load_dataset(dataset), out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=list(CANDIDATES))
    parser.add_argument("--out", type=Path, default=Path("runs/search"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    seeds = range(42, 42 + args.seeds)
    names = [source(dataset, args.out).outcomes.name for dataset in args.datasets]
    print(f"| candidate | criterion | difference | {' | '.join(names)} |")
    print(f"|---|---|---|{'---|' * len(names)}", flush=True)
    first = None
    for name in args.only:
        found = np.array(
            [
                [source(dataset, args.out).figures(name, seed) for seed in seeds]
                for dataset in args.datasets
            ]
        )  # (data sets, seeds, figures)
        criterion = found[:, :, :3].mean(axis=(0, 2))  # (seeds,)
        first = criterion if first is None else first
        cells = [" / ".join(f"{v:.3f}" for v in one.mean(axis=0)) for one in found]
        gap = "–" if first is criterion else _spread(criterion - first, "+")
        print(f"| {name} | {_spread(criterion)} | {gap} | {' | '.join(cells)} |", flush=True)


def _spread(values: FloatArray, sign: str = "") -> str:
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{values.mean():{sign}.4f} ± {error:.4f}"


if __name__ == "__main__":
    main()
