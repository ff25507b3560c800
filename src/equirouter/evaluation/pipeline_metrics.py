"""The metrics that `train` keeps with a pipeline: fields, and how they stand in pipeline.json."""

from pydantic import SerializerFunctionWrapHandler, model_serializer

from equirouter.evaluation.measured import Difference, Facts, Number
from equirouter.evaluation.metrics import RouterMetrics


class KeptQuality(Facts):
    """Choices on the test part; performance and cost as shares of always the strongest model.

    performance, cost: None where that model scores nothing, or costs nothing.
    """

    n_queries: int
    n_effective: Number | None = None
    """Of a log: as many complete queries tell as much; not written where there is none."""
    performance: Number | None
    interval: tuple[Number, Number] | None
    """Of the performance, 95 %; None where it cannot be told from this part."""
    cost: Number | None

    @model_serializer(mode="wrap")
    def _without_log(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        document: dict[str, object] = handler(self)
        if self.n_effective is None:
            del document["n_effective"]
        return document


class KeptByPlans(KeptQuality):
    """Quality where answers are compared; calls to wrongly_accepted: see figures_of."""

    calls: Number
    rounds: Number
    escalated: Number
    wrongly_accepted: Number


class CostsAt(Facts):
    """Least costs that keep a quality, as shares of the strongest model's; None where none does.

    routing: one model per query; rule: the agreement rule; learned: learned plans. taken: which of
    the three `train` would take.
    """

    quality: Number
    routing: Number | None
    rule: Number | None
    learned: Number | None
    taken: str


class PlanMetrics(Facts):
    """Plans and their rivals on queries that nothing had learned from, and on the test part."""

    out_of_fold: tuple[CostsAt, ...]
    at_quality: KeptByPlans | None


class BothCosts(Facts):
    """Costs of a router and of an anchor at one quality, as shares of the strongest model's."""

    router: Number
    anchor: Number


class TextFree(Facts):
    """A router held against the anchor without text that needs least for a quality."""

    anchor: str
    quality: str
    cost: BothCosts
    difference: Difference
    """The router's cost minus the anchor's: negative where reading pays."""


class PipelineMetrics(RouterMetrics):
    """All metrics on the test part, of the pipeline before it learned from that part too."""

    at_quality: KeptQuality
    """At the pipeline's own operating point."""
    text_free: TextFree | None
    as_strong: tuple[str, ...]
    """The strongest model and those that equal it within noise."""
    plans: PlanMetrics | None = None
    """None where the table has no answers."""
