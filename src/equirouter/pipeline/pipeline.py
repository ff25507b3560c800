"""A routing pipeline: encoder, router, cost model and policy together; it decides, saves, loads."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import overload

import numpy as np

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.encoders.base import Encoder
from equirouter.errors import ConfigError
from equirouter.pipeline.decision import Ask, Choices, Decision
from equirouter.pipeline.folder import DESCRIPTION_FILE
from equirouter.pipeline.parts import PipelineParts
from equirouter.pipeline.stored import blamed_on, read_pipeline, write_pipeline
from equirouter.pipeline.versions import CURRENT_FILE, current_folder
from equirouter.pipeline.walk import Limits, Point, Walk
from equirouter.policy import (
    BudgetPolicy,
    Calibration,
    OperatingPoint,
    Paced,
    PacedStream,
    Pacer,
    Policy,
    StrongestPolicy,
    UtilityPolicy,
)
from equirouter.policy.base import NO_CONTROL, Control
from equirouter.policy.constraints import Needs, check_names, removed_by
from equirouter.registry import POLICIES

TEXTS_AT_ONCE = 8192
"""So many embeddings are in memory at once, however many texts are to be decided."""

STREAMED_AT_ONCE = 256
"""Enough to encode efficiently, few enough to see decisions flow."""


class RoutingPipeline(PipelineParts):
    """Text in, model out: see PipelineParts for what it is made of."""

    digest: str | None = None
    """SHA-256 of the files that this was loaded from; None for a pipeline that was made here."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.walk = Walk(self.stage, self.models, self._by_strength())
        self._kind: type[Policy] = POLICIES.load(self.policy)  # once: it takes 10 microseconds

    def decide(
        self,
        query: str,
        *,
        image: str | None = None,
        budget_usd: float | None = None,
        quality: float | None = None,
        performance: float | None = None,
        lambda_: float | None = None,
        confidence: float | None = None,
        needs: Needs | None = None,
    ) -> Decision:
        """Decide one query by at most one of four controls; without any, `quality` as trained.

        Args:
            query: The text.
            image: The path of its image, if it has one.
            budget_usd: Limit for the call, by predicted cost.
            quality: Share of the strongest model's mean performance, 0 to 1.
            performance: A mean performance as such.
            lambda_: Performance that one USD must buy.
            confidence: With which quality or performance is promised, 0.5 to below 1.
            needs: Constraints: models that violate one are neither chosen nor a fallback.

        Raises:
            ConfigError, DataError: See decide_many.
        """
        control = Control(budget_usd, quality, performance, lambda_, confidence)
        images = None if image is None else [image]
        return self._decided([query], images, [self._point(control)], [self._limits(needs)])[0]

    def decide_each(self, asks: Sequence[Ask]) -> list[Decision]:
        """Decide queries that differ in control and constraints, all encoded in one batch.

        A query's decision is the same, whichever others stand beside it. Where an ask `may_check`,
        and the pipeline has plans, the decision may have a plan. Errors: those of
        decide_many; ConfigError for a removed model that the pipeline does not have.
        """
        if len(asks) == 1:
            ask = asks[0]
            images = None if ask.image is None else [ask.image]
            point = self._point(ask.control, may_check=ask.may_check)
            limits = self._limits(ask.needs, ask.removed)
            return self._decided([ask.query], images, [point], [limits])
        kinds = [(ask.control, ask.may_check) for ask in asks]
        points = {kind: self._point(kind[0], may_check=kind[1]) for kind in dict.fromkeys(kinds)}
        return self._decided(
            [ask.query for ask in asks],
            [ask.image for ask in asks],
            [points[kind] for kind in kinds],
            self._limits_of(asks),
        )

    def decide_stream(self, asks: Iterable[Ask]) -> Iterator[Decision]:
        """Decide queries as they come, however many, in constant memory: see decide_each."""
        waiting = iter(asks)
        while block := list(islice(waiting, STREAMED_AT_ONCE)):
            yield from self.decide_each(block)

    def pacer(self, spend_usd: float, *, cap_usd: float = math.inf) -> Pacer:
        """A pacer for this pipeline's `pace`: a mean spend per query, and a limit on the total.

        It starts at the price at which validation queries cost that much, where the pipeline was
        calibrated along lambda. Raises ConfigError.
        """
        start = self.calibration.lambda_at(spend_usd)
        return Pacer(spend_usd, cap_usd=cap_usd, start=start)

    def pace(
        self,
        asks: Sequence[Ask],
        pacer: Pacer,
        *,
        most_usd: Sequence[Mapping[str, float] | None] | None = None,
        settled: bool = False,
    ) -> list[tuple[Decision, Paced]]:
        """Decide the next queries of a stream, in their order, by a pacer that goes on with it.

        Each decision comes with what `pacer.settle` takes once the call's cost is known. most_usd:
        what a call of each model can cost at most, per query, for the cap (see Pacer.decide); one
        that is left out may cost anything, so that a cap rules it out. settled: each call is
        settled as predicted before the next is decided, so that a cap holds nothing back for it.
        Errors: those of decide_each; ConfigError for an ask with a control.
        """
        for ask in asks:
            if ask.control != NO_CONTROL:
                raise ConfigError(f"the pacer decides by its spend, so {ask.control} has no place")
        stream = PacedStream(pacer, self._most_usd(most_usd, len(asks)), settled=settled)
        decisions = self._decided(
            [ask.query for ask in asks],
            [ask.image for ask in asks],
            [Point(stream, "spend_usd", pacer.spend_usd)] * len(asks),
            self._limits_of(asks),
        )
        reason = f"cap: {pacer.cap_usd:g} USD in all has too little left"
        capped = []
        for decision, paced in zip(decisions, stream.paced, strict=True):
            over = {self.models[column]: reason for column in np.flatnonzero(paced.over_cap)}
            capped.append((decision._replace(removed={**decision.removed, **over}), paced))
        return capped

    @overload
    def decide_many(
        self,
        queries: Sequence[str],
        *,
        images: Sequence[str | None] | None = None,
        budget_usd: float | None = None,
        quality: float | None = None,
        performance: float | None = None,
        lambda_: float | None = None,
        confidence: float | None = None,
        needs: Needs | None = None,
    ) -> list[Decision]: ...

    @overload
    def decide_many(
        self,
        *,
        embeddings: Float32Array,
        budget_usd: float | None = None,
        quality: float | None = None,
        performance: float | None = None,
        lambda_: float | None = None,
        confidence: float | None = None,
        needs: Needs | None = None,
    ) -> Choices: ...

    def decide_many(
        self,
        queries: Sequence[str] | None = None,
        *,
        images: Sequence[str | None] | None = None,
        embeddings: Float32Array | None = None,
        budget_usd: float | None = None,
        quality: float | None = None,
        performance: float | None = None,
        lambda_: float | None = None,
        confidence: float | None = None,
        needs: Needs | None = None,
    ) -> list[Decision] | Choices:
        """Decide each query under one control (see Control) and the same constraints.

        queries: texts. images: a path or None per text; beside one a text may be empty. embeddings:
        (N, d) of queries that were encoded before, by the pipeline's encoder; they may be
        memory-mapped, and any number of them is decided in blocks. Give texts or embeddings: texts
        give a list of Decision, embeddings Choices; a query's choice is the same, whichever way and
        beside whichever others it is decided.
        needs: a model that violates one, or of which `model_facts` does not say whether it does, is
        neither chosen nor a fallback, whatever the policy.
        Raises ConfigError for a control that makes no sense, for an excluded model that the
        pipeline does not have, and for images where the encoder reads none; DataError for a query
        that is empty or not valid Unicode, and for an image that cannot be read, with its path.
        """
        control = Control(budget_usd, quality, performance, lambda_, confidence)
        if (queries is None) == (embeddings is None):
            raise ConfigError("decide_many takes either queries or embeddings=")
        if embeddings is not None and images is not None:
            raise ConfigError("decide_many takes images beside queries, not beside embeddings=")
        point, limits = self._point(control), self._limits(needs)
        if embeddings is not None:
            return self.walk.choose(embeddings, point, limits)
        texts = list(queries or ())
        return self._decided(texts, images, [point] * len(texts), [limits] * len(texts))

    def _decided(
        self,
        texts: Sequence[str],
        images: Sequence[str | None] | None,
        points: Sequence[Point],
        limits: Sequence[Limits],
    ) -> list[Decision]:
        if not texts and not images:
            return []
        if images is not None or points[0].rule.in_order or len(texts) <= TEXTS_AT_ONCE:
            return self.walk.decide(self.stage.look(texts, images), points, limits)
        decisions = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            rows = slice(start, start + TEXTS_AT_ONCE)
            decisions += self.walk.decide(self.stage.look(texts[rows]), points[rows], limits[rows])
        return decisions

    def _point(self, control: Control, *, may_check: bool = False) -> Point:
        lambda_ = self.plan_lambda(control) if may_check else None
        if lambda_ is not None:
            return Point(UtilityPolicy(lambda_), UtilityPolicy.setting, lambda_, self.plans)
        policy, value = self.policy_for(control)
        return Point(policy, policy.setting, value)

    def _limits_of(self, asks: Sequence[Ask]) -> list[Limits]:
        """One per ask; asks with the same constraints share one."""
        known: dict[tuple[object, ...], Limits] = {}
        limits = []
        for ask in asks:
            key = (ask.needs, *ask.removed.items())
            if key not in known:
                known[key] = self._limits(ask.needs, ask.removed)
            limits.append(known[key])
        return limits

    def _limits(self, needs: Needs | None, removed: Mapping[str, str] | None = None) -> Limits:
        """The constraints of a query against what is known of the models."""
        if needs is None and not removed:
            return self._no_limits
        reasons = dict(removed or {})
        check_names(reasons, self.models, what="removed")
        if needs is not None:
            reasons |= removed_by(needs, self.models, self.model_facts)
        allowed = np.array([model not in reasons for model in self.models], dtype=bool)
        return Limits(reasons, allowed)

    @cached_property
    def _no_limits(self) -> Limits:
        return Limits({}, np.ones(len(self.models), dtype=bool))

    def _most_usd(
        self, most_usd: Sequence[Mapping[str, float] | None] | None, n_queries: int
    ) -> list[FloatArray | None]:
        """The most that a call of each model can cost, (K,) per query."""
        return [
            None if most is None else np.array([most.get(model, math.inf) for model in self.models])
            for most in most_usd or [None] * n_queries
        ]

    def _by_strength(self) -> IntArray | None:
        """Columns of the models, the strongest first, where far queries are to go by that."""
        if self.ood == "policy":
            return None
        order = np.argsort(-self.record.performance.mean(axis=0), kind="stable")
        first = self.models.index(self.baseline.strongest)
        return np.append(first, order[order != first])

    def policy_for(self, control: Control = NO_CONTROL) -> tuple[Policy, float]:
        """The policy that a control means, and its setting's value."""
        if control.budget_usd is not None:
            policy = BudgetPolicy(control.budget_usd, when_nothing_fits=self.when_nothing_fits)
            return policy, control.budget_usd
        if control.lambda_ is not None:
            return UtilityPolicy(control.lambda_), control.lambda_
        point = self.operating_point(control)
        if point.setting == StrongestPolicy.setting:
            return StrongestPolicy(self.models.index(self.baseline.strongest)), point.value
        return self._kind.at(point.value, self.when_nothing_fits), point.value

    def plan_lambda(self, control: Control = NO_CONTROL) -> float | None:
        """The price of the plans that a control means; None where one model is asked.

        Of a quality or a performance that of the plans' operating point, where it promises as much
        for less than the policy's own. A budget limits one call, so it has none.
        """
        plans = self.plans
        if plans is None or control.budget_usd is not None:
            return None
        if control.lambda_ is not None:
            return control.lambda_
        if plans.calibration is None:
            return 0.0  # the rule decides at any price
        usual = self.operating_point(control)
        try:
            point = self._promised(plans.calibration, control)
        except ConfigError:  # a performance that one model per query reaches, and plans do not
            return None
        return point.value if point.is_better(usual) else None

    def operating_point(self, control: Control = NO_CONTROL) -> OperatingPoint:
        """That of a quality or a performance, with the confidence that it is promised with.

        Without either, of the pipeline's quality.
        """
        return self._promised(self.calibration, control)

    def _promised(self, calibration: Calibration, control: Control) -> OperatingPoint:
        quality, performance = control.quality, control.performance
        if quality is None and performance is None:
            quality = self.quality
        confidence = self.confidence if control.confidence is None else control.confidence
        return calibration.operating_point(quality, confidence, performance=performance)

    def _try(self) -> None:
        """Decide one embedding, without the encoder, whose model may be heavy or elsewhere."""
        scorer = self.stage.scorer
        seen = self.stage.look_at(np.eye(1, scorer.width, dtype=np.float32))
        self.walk.decide(seen, [self._point(NO_CONTROL)], [self._no_limits])
        self.walk.columns(seen, self._kind())
        for at in () if self.plans is None else self.plans.at_prices or (None,):
            price = Control(lambda_=0.0 if at is None else at.price)
            self.walk.decide(seen, [self._point(price, may_check=True)], [self._no_limits])

    def save(self, folder: str | Path) -> Path:
        """Write pipeline.json and weights.safetensors into a folder, which is made if needed.

        A pipeline that is there already is replaced as a whole, when the new one is completely
        written; of two processes that save at once, one is the last. Raises OutputError, and
        ConfigError for a router with a setting that a saved pipeline cannot have, and for a folder
        with versions, to which PipelineVersions.add adds one.
        """
        if (Path(folder) / CURRENT_FILE).exists():
            raise ConfigError(
                f"{folder}: a pipeline with versions lies there, and none of them is overwritten; "
                "PipelineVersions(folder).add(pipeline, how=...) adds a version"
            )
        return write_pipeline(self, folder)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        encoder: Encoder | None = None,
        weights: str | Path | None = None,
        encoder_options: Mapping[str, object] | None = None,
    ) -> "RoutingPipeline":
        """Read what `save` wrote; the decisions are the same, bit for bit. Needs no torch.

        folder: of a pipeline, of one with versions, which means the current one, or of a version.
        encoder: to be used in place of the one that the folder names; it must have the same
        fingerprint. weights: a folder with the encoder's weights. encoder_options: other options of
        the encoder. A pipeline is data and holds none that names a host, a file or a variable: the
        encoder openai needs base_url here, sentence-transformers the model. A made-up embedding is
        decided, so that parts that do not fit together are noticed here.
        Raises PipelineError when the folder is not a pipeline, is damaged, is of another format
        than this package's, belongs to another encoder, or has settings that a pipeline cannot say;
        ConfigError for an encoder with options.
        """
        options = dict(encoder_options or {})
        if weights is not None:
            options["weights"] = Path(weights)
        if encoder is not None and options:
            raise ConfigError(
                f"an encoder is given, and options of it too ({', '.join(options)}): give either"
            )
        folder = current_folder(folder)
        parts, digest = read_pipeline(folder, encoder, options)
        with blamed_on(folder / DESCRIPTION_FILE):
            loaded = cls(**vars(parts))
            loaded._try()
        loaded.digest = digest
        return loaded
