"""Quality of a model that joins from few labels.

    python benchmarks/study_new_models.py DATASET [--routers factors equirouter ...] [--seeds 5]
        [--encoder minilm] [--labels 50 100 200 500]

Leave one model out: a pipeline is trained without it (evaluation.train.train) and takes it in
again from labelled queries of the training part (evaluation.joining.with_model). On the test part
that is held against the pipeline without the model, against the model added with nothing but its
mean performance and cost, and against training all of it with every label. Prints Markdown.

Seeds 11, 12, ...: of splits, trainings and draws of labels. What the method is was chosen on seeds
1, 2 and 3 of the RouterBench slice; nothing is chosen from these figures.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pages import record

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.data import Outcomes, load_dataset
from equirouter.data.split import Split, split_outcomes
from equirouter.encoders import EmbeddingCache, Encoder, make_encoder
from equirouter.encoders.cache import encode_cached
from equirouter.errors import DataError
from equirouter.evaluation.curve import measure
from equirouter.evaluation.train import train
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.policy import UtilityPolicy
from equirouter.progress import Progress
from equirouter.training.joining import with_model

FIRST_SEED = 11
EASY = 0.3  # a quality that every pipeline reaches: joining must not refuse
NEVER = -1e3
ROUTERS = ["factors", "equirouter", "mlp", "linear", "knn"]

Numbers = dict[str, float | None]
Key = tuple[str, str, int, str]
"""Router, arm, seed, model."""


class Known(Encoder):
    """Embeddings that were made before, by text."""

    name = "known"

    def __init__(self, texts: Sequence[str], embeddings: Float32Array) -> None:
        self.rows = dict(zip(texts, embeddings, strict=True))
        self.width = int(embeddings.shape[1])

    @property
    def settings(self) -> dict[str, object]:
        return {}

    @property
    def dimension(self) -> int:
        return self.width

    @property
    def fingerprint(self) -> str:
        return "known"

    def embed(
        self,
        texts: tuple[str, ...],
        images: tuple[str | None, ...],  # noqa: ARG002  # all None
        progress: Progress,
    ) -> Float32Array:
        try:
            rows = np.stack([self.rows[text] for text in texts])
        except KeyError as error:
            raise DataError(f"no embedding of {error}") from error
        progress("encode", len(texts), len(texts))
        return rows


@dataclass
class Case:
    """One split of a table, and its embeddings."""

    table: Outcomes
    embeddings: Float32Array
    encoder: Known
    split: Split

    def fit(self, router: str, models: Sequence[str]) -> RoutingPipeline:
        return train(
            self.table.with_models(models),
            self.encoder,
            router=router,
            quality=EASY,
            seed=self.split.seed,
            embeddings=self.embeddings,
            resamples=0,
        )

    @property
    def test(self) -> IntArray:
        return self.split.test[self.table.is_complete[self.split.test]]

    @property
    def labels(self) -> IntArray:
        return self.split.train[self.table.is_complete[self.split.train]]


def estimated(pipeline: RoutingPipeline, case: Case) -> tuple[FloatArray, FloatArray]:
    """Estimated performance and predicted cost (N, K) of the test part, in the table's columns."""
    stage, x = pipeline.stage, case.embeddings[case.test]
    scores = stage.router.predict(x).astype(np.float64)
    estimates = scores if stage.scale is None else stage.scale.apply(scores)
    costs = stage.cost_model.predict(x)
    shape = (len(x), case.table.n_models)
    whole, whole_costs = np.full(shape, NEVER), np.full(shape, 1.0)
    columns = [case.table.models.index(model) for model in pipeline.models]
    whole[:, columns], whole_costs[:, columns] = estimates, costs
    return whole, whole_costs


def judged(estimates: FloatArray, costs: FloatArray, case: Case, column: int) -> Numbers:
    """Quality of the estimates on the test part."""
    performance, cost_usd = case.table.performance[case.test], case.table.cost_usd[case.test]
    rule = UtilityPolicy()
    points = rule.points(estimates, costs, 100)
    chosen = rule.sweep(estimates, costs, points)
    path = rule.path(estimates, costs)
    nauc = measure(chosen, performance, cost_usd, path=path, resamples=0).point["nauc"]
    spread = cost_usd[:, column].var()
    return {
        "nauc": nauc if isinstance(nauc, float) else None,
        "error": float(((estimates[:, column] - performance[:, column]) ** 2).mean()),
        "cost_error": float(((costs[:, column] - cost_usd[:, column]) ** 2).mean() / spread),
    }


def kept(pipeline: RoutingPipeline, case: Case, quality: float) -> float | None:
    """The share of the strongest model's performance that a promised quality got."""
    try:
        choices = pipeline.decide_many(embeddings=case.embeddings[case.test], quality=quality)
    except ValueError:
        return None
    performance = case.table.performance[case.test]
    columns = np.array([case.table.models.index(model) for model in pipeline.models])
    got = performance[np.arange(len(performance)), columns[choices.chosen]].mean()
    return float(got / performance.mean(axis=0).max())


def left_out(case: Case, router: str, labels: Sequence[int]) -> Iterator[tuple[str, str, Numbers]]:
    """Model, arm and its numbers, for every model left out and every arm."""
    whole = case.fit(router, case.table.models)
    full = estimated(whole, case)
    for column, model in enumerate(case.table.models):
        base = case.fit(router, [other for other in case.table.models if other != model])
        estimates, costs = estimated(base, case)
        yield model, "without", judged(estimates, costs, case, column)
        rng = np.random.default_rng([case.split.seed, column])
        order = rng.permutation(case.labels)
        for n in labels:
            rows = order[:n]
            mean, mean_costs = estimates.copy(), costs.copy()
            mean[:, column] = case.table.performance[rows, column].mean()
            mean_costs[:, column] = case.table.cost_usd[rows, column].mean()
            yield model, f"mean {n}", judged(mean, mean_costs, case, column)
            joined = with_model(base, case.table.take(rows), model).pipeline
            numbers = judged(*estimated(joined, case), case, column)
            numbers["kept"] = kept(joined, case, 0.95)
            yield model, f"joined {n}", numbers
        numbers = judged(*full, case, column)
        numbers["kept"] = kept(whole, case, 0.95)
        yield model, "full", numbers


def interval(values: FloatArray, digits: int = 3) -> str:
    """Mean and a 95 % t interval over seeds."""
    from scipy.stats import t  # type: ignore[import-untyped]

    mean, n = float(values.mean()), len(values)
    if n < 2:
        return f"{mean:.{digits}f}"
    half = float(t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


class Found:
    """Numbers by router, arm, seed and model."""

    def __init__(self, seeds: range) -> None:
        self.seeds = seeds
        self.numbers: dict[Key, list[Numbers]] = defaultdict(list)

    def of(self, router: str, arm: str, what: str, model: str | None = None) -> FloatArray:
        """(seeds,): means over the models left out, or of one of them."""
        return np.array([self._mean(router, arm, seed, what, model) for seed in self.seeds])

    def _mean(self, router: str, arm: str, seed: int, what: str, model: str | None) -> float:
        values = [
            numbers[what]
            for (one, other, third, of), all_of in self.numbers.items()
            if (one, other, third) == (router, arm, seed) and model in (None, of)
            for numbers in all_of
        ]
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else float("nan")

    def share(self, router: str, arm: str, what: str, start: str) -> FloatArray:
        """(seeds,): how far an arm comes from a start to training all of it again."""
        first, last = self.of(router, start, what), self.of(router, "full", what)
        return np.asarray((self.of(router, arm, what) - first) / (last - first))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--routers", nargs="+", default=ROUTERS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--labels", type=int, nargs="+", default=[50, 100, 200, 500])
    args = parser.parse_args()
    table = load_dataset(args.dataset)
    embeddings = encode_cached(make_encoder(args.encoder), table.texts, cache=EmbeddingCache())
    encoder, seeds = Known(table.texts, embeddings), range(FIRST_SEED, FIRST_SEED + args.seeds)
    joins = Found(seeds)
    for seed in seeds:
        case = Case(table, embeddings, encoder, split_outcomes(table, seed=seed))
        for router in args.routers:
            for model, arm, numbers in left_out(case, router, args.labels):
                joins.numbers[router, arm, seed, model].append(numbers)
    sizes = f"{len(case.labels)} queries train, {len(case.test)} test, {len(seeds)} seeds"
    print(f"## {table.name}: {table.n_models} models, {sizes}\n")
    show_joins(joins, args.routers, args.labels, table)


def header(names: Sequence[str]) -> None:
    print(f"| {' | '.join(names)} |")
    print("|---" * len(names) + "|")


def show_joins(
    results: Found, routers: Sequence[str], labels: Sequence[int], table: Outcomes
) -> None:
    most = f"mean {labels[-1]}"
    joined = [f"joined {n}" for n in labels]
    rows = []
    for router in routers:
        for what, start in (("nauc", "without"), ("error", most)):
            cells = [interval(results.share(router, arm, what, start)) for arm in (most, *joined)]
            name = "nAUC" if what == "nauc" else "error"
            split = [part for cell in cells for part in (*cell.split(" ± "), "")[:2]]
            rows.append([table.name, router, name, *split])
    record("new-models", rows, keys=(0, 1, 2))
    for title, what, digits, arms in (
        ("nAUC along lambda", "nauc", 4, ["without", *(f"mean {n}" for n in labels), *joined]),
        ("Error of the estimated performance (mean squared)", "error", 4, [most, *joined]),
        (
            "Error of the predicted cost, as a share of its variance",
            "cost_error",
            3,
            [most, *joined],
        ),
    ):
        print(f"\n### {title}, mean over the models left out\n")
        header(["router", *arms, "full"])
        for router in routers:
            means = [np.mean(results.of(router, arm, what)) for arm in (*arms, "full")]
            print(f"| `{router}` | {' | '.join(f'{mean:.{digits}f}' for mean in means)} |")
    print(f"\n### nAUC along lambda by the model left out, `{routers[0]}`\n")
    arms = ["without", most, *joined, "full"]
    header(["model", *arms])
    for model in table.models:
        means = [np.mean(results.of(routers[0], arm, "nauc", model)) for arm in arms]
        print(f"| {model} | {' | '.join(f'{mean:.4f}' for mean in means)} |")
    print("\n### Quality 0.95 promised: the share that the test part got\n")
    header(["router", *joined, "full"])
    for router in routers:
        cells = [interval(results.of(router, arm, "kept")) for arm in (*joined, "full")]
        print(f"| `{router}` | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
