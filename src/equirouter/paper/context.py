"""Shared by all experiments: made once, when the first of them asks for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from pathlib import Path

from equirouter.arrays import Float32Array, FloatArray
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import Split, SplitKind, split_outcomes
from equirouter.encoders.base import Encoder
from equirouter.encoders.cache import EmbeddingCache
from equirouter.errors import ConfigError, DataError
from equirouter.evaluation.benchmark import FIRST_SEED, benchmark
from equirouter.evaluation.results import Results
from equirouter.policy import Policy
from equirouter.progress import Progress, silent
from equirouter.registry import POLICIES
from equirouter.routers import make_router
from equirouter.routers.base import Router
from equirouter.training.fitted import fit_router
from equirouter.training.protocol import (
    Prepared,
    embedded,
    embedded_descriptions,
    prepare,
    readable,
)


@dataclass(eq=False)
class Context:
    """A data set, the protocol of a run, and what was computed under it so far.

    routers: specs as make_router takes them. policy, n_seeds, resamples, device: as benchmark
    takes them. budget_usd: what a call may cost where an experiment looks at one budget, None for
    no limit. given: embeddings (N, d) of the queries by encoder, when they were made before.
    results: those of an earlier run per kind of split, so that it is not run again. out: where
    benchmark leaves results and decisions, None for nowhere.
    """

    outcomes: Outcomes
    encoder: Encoder
    routers: tuple[str, ...]
    policy: str = "budget-grid"
    n_seeds: int = 3
    budget_usd: float | None = None
    resamples: int = 1000
    device: str = "auto"
    given: Float32Array | None = None
    cache: EmbeddingCache | None = None
    results: Mapping[SplitKind, Results] = field(default_factory=dict)
    out: Path | None = None
    progress: Progress = silent

    def __post_init__(self) -> None:
        if self.budget_usd is not None and not self.budget_usd > 0:  # also refuses NaN
            raise ConfigError(
                f"the budget is {self.budget_usd} USD: expected a number above 0, for one call"
            )
        self.outcomes = readable(self.encoder, self.outcomes, self.given)
        _ = self.rule
        for kind, results in self.results.items():
            self._check(kind, results)
        self._benches: dict[SplitKind, Results] = dict(self.results)
        self._scores: dict[tuple[str, int, SplitKind], FloatArray] = {}
        self._embeddings: tuple[str, Float32Array] | None = None
        self._prepared: tuple[str, Prepared] | None = None

    @property
    def seeds(self) -> tuple[int, ...]:
        """42, 43, ...: each makes its own split and its own training run."""
        return tuple(range(FIRST_SEED, FIRST_SEED + self.n_seeds))

    @cached_property
    def rule(self) -> Policy:
        """The policy that turns scores into choices. Raises ConfigError for one not of cost."""
        made: Policy = POLICIES.load(self.policy)()
        if made.priced_by != "cost":
            raise ConfigError(
                f"policy {self.policy} is priced by {made.priced_by}, and the experiments compare "
                "policies of cost: less-collapse shows it beside utility, whatever --policy is"
            )
        return made

    def split(self, seed: int, kind: SplitKind = "in-domain") -> Split:
        """The split of a seed. Raises DataError where the table cannot be split so."""
        return split_outcomes(self.outcomes, kind=kind, seed=seed)

    def embeddings(self, split: Split) -> Float32Array:
        """Embeddings (N, d) of all queries; an encoder that learns has learned on this split."""
        if self.given is not None:
            return self.given
        key = split.hash if self.encoder.learns else ""
        if self._embeddings is None or self._embeddings[0] != key:
            made = embedded(
                self.encoder, self.outcomes, split, cache=self.cache, progress=self.progress
            )
            self._embeddings = (key, made)
        return self._embeddings[1]

    def prepared(self, seed: int, kind: SplitKind = "in-domain") -> Prepared:
        """The parts of a split with predicted costs. Only the last one is kept: go seed by seed."""
        split = self.split(seed, kind)
        if self._prepared is None or self._prepared[0] != split.hash:
            made = prepare(
                self.outcomes,
                self.embeddings(split),
                split,
                descriptions=self._descriptions(),
                cost_network=True,
                device=self.device,
            )
            self._prepared = (split.hash, made)
        return self._prepared[1]

    def _descriptions(self) -> Float32Array | None:
        """Embeddings (K, d) of the models' descriptions, by the encoder as it is now.

        An experiment may fit other routers than `routers`, so they are made anyhow, but where the
        embeddings were given: the encoder need not be able to make any then.
        """
        asked = self.routers if self.given is not None else None
        return embedded_descriptions(self.encoder, self.outcomes, asked, cache=self.cache)

    def make_router(self, spec: str) -> Router:
        """An unfitted router that will be fitted on the run's device."""
        router = make_router(spec)
        if hasattr(router, "device"):
            router.device = self.device
        return router

    def scores(self, spec: str, seed: int, kind: SplitKind = "in-domain") -> FloatArray:
        """The scores (n, K) that the policy sees on the test part, of a router or an anchor.

        Those that `bench` computed are kept; else the router is fitted here, which gives the same.
        """
        key = (spec, seed, kind)
        if key not in self._scores:
            prepared = self.prepared(seed, kind)
            fitted = fit_router(spec, prepared, seed=seed, device=self.device)
            self._scores[key] = fitted.scores(prepared.test, self.rule)
        return self._scores[key]

    def bench(self, kind: SplitKind = "in-domain") -> Results:
        """The results of all routers and anchors: given, or measured here once."""
        if kind not in self._benches:
            own = self.encoder.learns and self.given is None  # benchmark makes one per split
            self._benches[kind] = benchmark(
                self.outcomes,
                self.encoder,
                embeddings=None if own else self.embeddings(self.split(FIRST_SEED, kind)),
                cache=self.cache,
                routers=self.routers,
                policy=self.policy,
                split=kind,
                n_seeds=self.n_seeds,
                resamples=self.resamples,
                cost_network=True,
                device=self.device,
                out=None if self.out is None else self.out / f"results-{kind}",
                on_scores=lambda spec, seed, scores: self._scores.setdefault(
                    (spec, seed, kind), scores
                ),
                progress=self.progress,
            )
        return self._benches[kind]

    def _check(self, kind: SplitKind, results: Results) -> None:
        """Raise DataError where results are of other data or of another protocol."""
        expected = {
            "dataset.fingerprint": self.outcomes.fingerprint,
            "protocol.split": kind,
            "protocol.policy": self.policy,
            "protocol.seeds": self.seeds,
            "protocol.encoder": self.encoder.name,
            "protocol.encoder_settings": self.encoder.settings,
        }
        for place, value in expected.items():
            stored = attrgetter(place)(results)
            if stored != value:
                raise DataError(
                    f"the given results have {place} {stored!r}, expected {value!r}: name the data "
                    "set, encoder, policy and seeds that they were made with"
                )
        missing = [name for name in self.routers if name not in results.routers]
        if missing:
            raise DataError(
                f"the given results have no router {missing[0]!r}: they hold "
                f"{', '.join(results.routers)}; leave --routers out to take those"
            )
