"""One split made ready: embeddings, outcomes and predicted costs of the three parts.

Every router of a run gets the same parts and the same predicted costs, so that a difference between
two routers is a difference in scores.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.cost import CostErrors, CostPredictor
from equirouter.cost.fit import FittedCosts, first_of_each, fit_costs
from equirouter.cost.predictor import cost_errors
from equirouter.data.logged import effective_size
from equirouter.data.outcomes import Outcomes
from equirouter.data.sources.descriptions import model_texts
from equirouter.data.split import Split
from equirouter.data.strength import as_strong
from equirouter.encoders.base import Encoder
from equirouter.encoders.cache import EmbeddingCache, encode_cached, encode_table
from equirouter.encoders.visibility import unread_warning
from equirouter.errors import ConfigError, DataError
from equirouter.policy.base import Policy
from equirouter.policy.collapse_score import collapse_table
from equirouter.processes import WithoutCached
from equirouter.progress import Progress, silent
from equirouter.routers import make_router
from equirouter.routers.anchors import MixtureRouter
from equirouter.routers.base import DescriptionRouter, Router
from equirouter.routers.scale import LogisticScale
from equirouter.training.off_policy import measured_outcomes
from equirouter.words import number_of

NOISE_WIDTH = 4  # 4 x 24 random bits: no two queries share them


@dataclass(frozen=True, eq=False)
class Part:
    """Queries of a table, by their rows, and what is known of them: mostly a part of a split.

    embeddings (n, d), tasks (n, n_tasks) one-hot, noise (n, NOISE_WIDTH) random, performance,
    cost_usd (n, K) with NaN where not known: what means are taken over (see off_policy.py).
    predicted_amounts (n, A): by the cost model, of which prices make predicted_cost_usd (n, K).
    log: see Measured. predicted_collapse (n, K): see with_prices; None where nobody asked for it.
    """

    rows: IntArray
    embeddings: Float32Array
    tasks: Float32Array
    noise: Float32Array
    performance: FloatArray
    cost_usd: FloatArray
    predicted_amounts: FloatArray
    predicted_cost_usd: FloatArray
    log: FloatArray | None = None
    predicted_collapse: FloatArray | None = None

    @property
    def outcomes(self) -> tuple[FloatArray, FloatArray]:
        """Performance and cost_usd (n, K) to learn from, NaN where not known."""
        if self.log is None:
            return self.performance, self.cost_usd
        return self.log[:, 0], self.log[:, 1]

    @property
    def weight(self) -> FloatArray | None:
        """(n, K): how much a known outcome stands for, 0 for others; None where all are known."""
        return None if self.log is None else self.log[:, 2]

    def effective(self, chosen: IntArray | int) -> float:
        """As many queries of equal weight tell as much of these choices (n,), or of one model."""
        if self.weight is None:
            return float(len(self.rows))
        return effective_size(self.weight[np.arange(len(self.rows)), chosen])

    def inputs(self, router: Router) -> Float32Array:
        """The part of the data that this router reads."""
        if router.reads == "tasks":
            return self.tasks
        if router.reads == "noise":
            return self.noise
        if router.reads == "outcomes":
            return self.performance.astype(np.float32)
        return self.embeddings

    def prices(self, router: Router, rule: Policy) -> FloatArray:
        """Costs or collapse scores (n, K) that this router decides by, see Policy.priced_by.

        Predictions; of the oracle the truth; of mixture mean costs under any policy. Raises
        ConfigError for collapse scores that were not predicted (with_prices).
        """
        if isinstance(router, MixtureRouter):
            return router.costs(self.noise)
        if rule.priced_by == "cost":
            return self.cost_usd if router.reads == "outcomes" else self.predicted_cost_usd
        if router.reads == "outcomes":
            return collapse_table(self.performance, self.cost_usd)
        if self.predicted_collapse is None:
            raise ConfigError(
                f"{type(rule).__name__} needs predicted collapse scores: with_prices makes them"
            )
        return self.predicted_collapse

    def take(self, rows: IntArray | slice) -> "Part":
        """These of its queries, by their places in it; a slice of them is a view."""
        arrays = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(self, **{name: a[rows] for name, a in arrays.items() if a is not None})


@dataclass(frozen=True, eq=False)
class Prepared(WithoutCached):
    """A split of a table, ready for routers; measured parts hold rows of Outcomes.is_measured only.

    both: the training queries, n_train of them, and behind them the validation part. as_strong:
    columns of the strongest model on training and validation part, and of those that equal it
    within noise there. descriptions: embeddings (K, d) of what the models are, where a router reads
    them. collapse: what predicts collapse scores, see with_prices.
    """

    both: Part
    n_train: int
    test: Part
    costs: FittedCosts
    cost_errors: CostErrors
    n_incomplete_test: int
    as_strong: IntArray
    descriptions: Float32Array | None = None
    collapse: Router | None = None

    @cached_property
    def train(self) -> Part:
        """The training part."""
        return self.both.take(slice(self.n_train))

    @cached_property
    def validation(self) -> Part:
        """The validation part."""
        return self.both.take(slice(self.n_train, None))

    @cached_property
    def learnable(self) -> Part:
        """The queries of training and validation part, each once."""
        return self.both.take(first_of_each(self.both.rows))

    @property
    def strongest(self) -> int:
        """The column that qualities are measured against: no test query has a say in it."""
        return int(self.as_strong[0])

    @property
    def cost_model(self) -> CostPredictor:
        """The cost model that predicted the costs of all parts."""
        return self.costs.model


def prepare(
    outcomes: Outcomes,
    embeddings: Float32Array,
    split: Split,
    *,
    descriptions: Float32Array | None = None,
    cost_network: bool = False,
    device: str = "auto",
) -> Prepared:
    """Fit the cost model on training and validation part and predict every part's costs.

    embeddings: (N, d) of all queries of the table. descriptions: (K, d) of the models, for routers
    that read them. cost_network, device: see fit_costs. Costs of training and
    validation queries are predicted without those queries, where the cost model can. Queries that
    are not measured train with the cells they have; they are left out of validation and test, and
    those of the test part are counted.
    Embeddings may be a memory-mapped file: each part is a copy of its rows, all of them together
    one copy of the file, and nothing else is held of it.
    """
    if len(embeddings) != outcomes.n_queries:
        raise DataError(f"{len(embeddings)} embeddings for {outcomes.n_queries} queries")
    validation = _measured(outcomes, split.validation, "validation")
    test = _measured(outcomes, split.test, "test")
    counted = measured_outcomes(outcomes, embeddings, split.seed)
    tasks = _one_hot(outcomes.tasks)
    noise = stream(split.seed, "noise").random((outcomes.n_queries, NOISE_WIDTH), dtype=np.float32)
    both, n_train = np.concatenate([split.train, validation]), len(split.train)
    seen = [embeddings[rows] for rows in (both, test)]  # the one copy made here
    del embeddings  # nobody else may have them: this is where training takes the most memory
    costs, amounts = fit_costs(
        outcomes,
        seen[0],
        both,
        n_train,
        network=cost_network,
        device=device,
        rng=stream(split.seed, "cost"),
    )
    learned, measured = (
        Part(
            rows,
            part,
            tasks[rows],
            noise[rows],
            counted.performance[rows],
            counted.cost_usd[rows],
            predicted,
            np.asarray(costs.model.usd(predicted), dtype=np.float64),
            None if counted.log is None else counted.log[rows],
        )
        for rows, part, predicted in zip(
            (both, test), seen, (amounts, costs.model.amounts(seen[1])), strict=True
        )
    )
    error = cost_errors(measured.predicted_cost_usd, measured.outcomes[1])
    n_incomplete = len(split.test) - len(test)
    known = split.learnable
    best = as_strong(counted.performance[known], counted.cost_usd[known])
    return Prepared(learned, n_train, measured, costs, error, n_incomplete, best, descriptions)


def _measured(outcomes: Outcomes, rows: IntArray, part: str) -> IntArray:
    """Those of a part's rows that count in means."""
    measured = rows[outcomes.is_measured[rows]]
    if len(measured) == 0:
        raise DataError(f"{outcomes.name}: no complete query in the {part} part")
    return measured


def readable(
    encoder: Encoder, outcomes: Outcomes, embeddings: Float32Array | None = None
) -> Outcomes:
    """The queries that an encoder can read: one of text leaves out those that are only an image.

    A note says how many. embeddings: (N, d), where they are there already: all queries are kept.
    Raises DataError where none is left.
    """
    blank = _without_text(outcomes)
    if embeddings is not None or encoder.accepts_images or not blank:
        return outcomes
    count = number_of(len(blank), "query is", "queries are")
    first = f"the first is {outcomes.query_ids[blank[0]]!r}, row {blank[0]}"
    what = (
        f"{count} an image without a text ({first}), which the encoder {encoder.name} does not read"
    )
    if len(blank) == outcomes.n_queries:
        raise DataError(
            f"{outcomes.name}: {what}, and no other query is left; choose an encoder that reads "
            "images, such as vision"
        )
    rows = np.setdiff1d(np.arange(outcomes.n_queries), blank)
    note = f"{what}: left out (--encoder vision reads both)"
    return replace(outcomes.take(rows), notes=(*outcomes.notes, note))


def _without_text(outcomes: Outcomes) -> list[int]:
    return [row for row, text in enumerate(outcomes.texts) if not text or text.isspace()]


def embedded(
    encoder: Encoder,
    outcomes: Outcomes,
    split: Split,
    *,
    cache: EmbeddingCache | None,
    progress: Progress = silent,
) -> Float32Array:
    """Embeddings (N, d) of all queries by an encoder that has learned from the training part.

    Of a table with images, an encoder of text reads the texts alone (see reading_notes), and every
    query must have one: readable leaves out the others. Errors: those of encode_table.
    """
    if encoder.learns:
        without = set(_without_text(outcomes))
        encoder.fit([outcomes.texts[row] for row in split.train.tolist() if row not in without])
    return encode_table(encoder, outcomes, cache=cache, progress=progress)


def reading_notes(encoder: Encoder, outcomes: Outcomes) -> tuple[str, ...]:
    """Caveats about figures made with this encoder on this table."""
    unread = unread_warning(encoder, outcomes.texts, outcomes.query_ids)
    if outcomes.image_paths is None or encoder.accepts_images:
        return (*encoder.notes, *unread)
    n_images = sum(path is not None for path in outcomes.image_paths)
    return (
        *encoder.notes,
        *unread,
        f"{n_images} of {outcomes.n_queries} queries have an image, which the encoder "
        f"{encoder.name} does not read: this is the text alone (--encoder vision reads both)",
    )


def scores_of(router: Router, part: Part, scale: LogisticScale | None) -> FloatArray:
    """The scores (n, K) that the policy sees."""
    scores = router.predict(part.inputs(router)).astype(np.float64)
    return scores if scale is None else scale.apply(scores)


def stream(seed: int, name: str) -> np.random.Generator:
    """The random numbers of one part of a run: they do not depend on what else runs."""
    if seed < 0:
        raise ConfigError(f"the seed is {seed}: expected 0 or more")
    return np.random.default_rng([seed, zlib.crc32(name.encode("utf-8"))])


def _one_hot(tasks: Sequence[str]) -> Float32Array:
    number = {task: column for column, task in enumerate(sorted(set(tasks)))}
    hot = np.zeros((len(tasks), len(number)), dtype=np.float32)
    hot[np.arange(len(tasks)), [number[task] for task in tasks]] = 1.0
    return hot


def description_notes(outcomes: Outcomes, routers: Sequence[str]) -> tuple[str, ...]:
    """Caveats about the model descriptions that these routers (specs) will read.

    Empty when none of them reads any, or every model is described.
    """
    return model_texts(outcomes)[1] if _read(routers) else ()


def embedded_descriptions(
    encoder: Encoder,
    outcomes: Outcomes,
    routers: Sequence[str] | None,
    *,
    cache: EmbeddingCache | None = None,
) -> Float32Array | None:
    """Embeddings (K, d) of the models' descriptions; None when none of these routers reads them.

    encoder: that of the queries; one that learns has learned from the training part before.
    routers: specs; None for any router.
    """
    if routers is not None and not _read(routers):
        return None
    return encode_cached(encoder, model_texts(outcomes)[0], cache=cache)


def _read(routers: Sequence[str]) -> bool:
    return any(isinstance(make_router(spec), DescriptionRouter) for spec in routers)


def prepare_in_sample(
    outcomes: Outcomes,
    embeddings: Float32Array,
    *,
    descriptions: Float32Array | None = None,
    seed: int = 42,
    device: str = "auto",
) -> Prepared:
    """A table made ready so that training, validation and test part are all of its queries.

    embeddings: (N, d) of all queries. descriptions: as in prepare. Whatever is fitted on it is
    measured on what it saw, the cost model too: no difference between training and test can explain
    what it then does. Queries with a missing outcome train with the cells they have and are not
    measured. Errors: those of prepare.
    """
    rows = np.arange(outcomes.n_queries, dtype=np.int64)
    same = Split("in-domain", seed, (1, 1, 1), rows, rows, rows, outcomes.query_ids)
    return prepare(outcomes, embeddings, same, descriptions=descriptions, device=device)
