"""The fields of a Diagnosis: plain figures, ready to be printed or written as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from equirouter.encoders.visibility import Visibility
from equirouter.evaluation.diagnosis.per_task import TaskCollapse
from equirouter.evaluation.diagnosis.ties import ModelNeed

Interval: TypeAlias = tuple[float, float] | None


@dataclass(frozen=True)
class Setup:
    """The table, encoder and split that were used, so that a diagnosis can be repeated.

    name, fingerprint: of the data set. encoder: name; window None where the encoder has none.
    test_queries: measured ones, with every outcome known. standard_error: of the
    strongest model's mean performance on them. pipeline: where it was loaded from, and
    trained_here whether this is the table that it was trained on (None without a pipeline).
    """

    versions: Mapping[str, str]
    name: str
    fingerprint: str
    n_queries: int
    n_complete: int
    n_models: int
    n_tasks: int
    encoder: str
    window: str | None
    encoder_fingerprint: str
    split: str
    seed: int
    split_hash: str
    train_queries: int
    validation_queries: int
    test_queries: int
    standard_error: float
    pipeline: str | None
    trained_here: bool | None


@dataclass(frozen=True)
class ModelFinding:
    """A model over the complete queries; cost_error: relative, on the test part, None if free."""

    name: str
    performance: float
    cost_usd: float
    oracle_share: float
    cost_error: float | None


@dataclass(frozen=True)
class NoiseFinding:
    """The oracle with noise of one sigma on its labels, means over draws."""

    sigma: float
    strongest_share: float
    performance: float
    rci: float


@dataclass(frozen=True)
class RouterFinding:
    """A router (or anchor, or the pipeline) on the test part.

    strongest_share, rci: at the largest budget. share_at: budget in USD -> share of the strongest.
    half_from_usd, ninety_from_usd: the budget from which on at least 50 % and 90 % of the calls go
    to the strongest model, None for never. budget_cost_at_98, utility_cost_at_98: cost at 98 % of
    the strongest model's performance as a share of its cost, by policy, None where that is free.
    nauc_minus_task: 95 % interval of the difference from the `task` anchor in nAUC under budgets.
    cost_minus_text_free: "0.98", "0.95", "0.90" -> that of the cost at this quality by lambda, from
    the best anchor without text (Diagnosis.text_free). None where there is no interval.
    """

    name: str
    nauc: float
    peak_score: float
    rci: float
    strongest_share: float
    share_at: Mapping[float, float]
    half_from_usd: float | None
    ninety_from_usd: float | None
    budget_cost_at_98: float | None
    utility_cost_at_98: float | None
    nauc_minus_task: Interval
    cost_minus_text_free: Mapping[str, Interval]


@dataclass(frozen=True)
class TrainedHere:
    """A router fitted on everything and measured on the same (App. B.1), beside the test part.

    *_share: calls to the strongest model at the largest budget.
    """

    name: str
    in_sample_share: float
    held_out_share: float
    in_sample_nauc: float
    held_out_nauc: float


@dataclass(frozen=True)
class OwnDecisions:
    """A pipeline's decisions under its stored quality target.

    setting, value: the operating point. performance, rci: means over the queries it decided, None
    when there are none. relative_*: as shares of always calling the strongest model, None where
    that scores or costs nothing. refused: queries for which nothing fitted.
    """

    router: str
    quality: float
    setting: str
    value: float
    performance: float | None
    relative_performance: float | None
    relative_cost: float | None
    rci: float | None
    call_share: Mapping[str, float]
    refused: int


@dataclass(frozen=True)
class TableFinding:
    """Facts of the outcomes alone, over the complete queries.

    margins: threshold -> share of queries whose margin (Eq. 4) is at most that; at 0 it is the tie
    rate. all_alike: share of queries on which every model scores the same. need: of the strongest
    model. oracle_*: Eq. 3 without a budget; its cost as a share of the strongest model's, None
    where that is free; and its performance if the strongest model were not there.
    """

    strongest: str
    cheapest: str
    margins: Mapping[float, float]
    all_alike: float
    need: ModelNeed
    oracle_performance: float
    oracle_relative_cost: float | None
    oracle_without_strongest: float


@dataclass(frozen=True)
class PairFinding:
    """Two models whose answers could be compared, on queries that the router had not learned from.

    family: of both, where their names have one; such models share their errors. relative_cost: of
    both calls, as a share of the strongest model's; None where that is free. agreed: share of the
    queries. *_agreed: mean performance there, of the better of the two and of the strongest model.
    *_auc: of the better one's answer being right, by the router's score, by the agreement, and by
    the agreement among queries that the router scores alike: 0.5 knows nothing. None where there is
    nothing to tell apart.
    """

    models: tuple[str, str]
    family: str | None
    relative_cost: float | None
    agreed: float
    performance_agreed: float | None
    strongest_agreed: float | None
    router_auc: float | None
    agreement_auc: float | None
    beyond_router_auc: float | None


@dataclass(frozen=True)
class CostsSaved:
    """CostsAt, and what is saved over routing: its 95 % interval, decided price by price."""

    quality: float
    routing: float | None
    rule: float | None
    learned: float | None
    taken: str
    saved: Interval


@dataclass(frozen=True)
class CheckFinding:
    """Whether comparing answers would pay, on n_queries that nothing had learned from.

    pairs: those that are cheap enough. notes: why there is no plan, or what holds back.
    """

    n_queries: int
    pairs: tuple[PairFinding, ...]
    costs: tuple[CostsSaved, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Diagnosis:
    """Everything that `equirouter diagnose` found.

    warnings: what looks wrong in the table, and what the encoder does not read of it.
    visibility: of all queries of the table. routers: measured ones, the pipeline among them;
    anchors: oracle, task, strongest, mixture, random. text_free: quality -> the anchor that needs
    the least for it by lambda, of those that read no text. own: None without a pipeline. check:
    None without answers. tasks: at the largest budget of the router named in tasks_of, or at the
    pipeline's own operating point.
    """

    setup: Setup
    warnings: tuple[str, ...]
    table: TableFinding
    models: tuple[ModelFinding, ...]
    visibility: Visibility
    noise: tuple[NoiseFinding, ...]
    routers: tuple[RouterFinding, ...]
    anchors: tuple[RouterFinding, ...]
    text_free: Mapping[str, str]
    in_sample: tuple[TrainedHere, ...]
    own: OwnDecisions | None
    check: CheckFinding | None
    tasks_of: str
    tasks: tuple[TaskCollapse, ...]
