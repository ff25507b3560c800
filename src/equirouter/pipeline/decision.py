"""A question to a pipeline, and its answer: a model, or a plan by which more than one is asked."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from equirouter.arrays import BoolArray, Float32Array, FloatArray, IntArray
from equirouter.errors import ConfigError
from equirouter.policy.base import NO_CONTROL, Control
from equirouter.policy.constraints import Needs
from equirouter.policy.plan import Action, PlanPolicy, State, Stop
from equirouter.policy.pool_plans import AgreementRule
from equirouter.policy.replies import Reply


class Serve(NamedTuple):
    """Serve this model's answer.

    support: its expected performance; None where nothing was learned of it.
    """

    model: str
    support: float | None


class AskModel(NamedTuple):
    """Ask this model as well."""

    model: str


@dataclass(frozen=True, eq=False)
class QueryPlan:
    """Two models to be asked at once, and what is done with their replies.

    models: all names, in the order of the columns. scores, costs (K,): estimates of performance and
    predicted costs. feasible (K,): False where a model may not be asked.
    """

    models: tuple[str, ...]
    rule: PlanPolicy | AgreementRule
    action: Action
    scores: FloatArray
    costs: FloatArray
    feasible: BoolArray

    @property
    def first(self) -> tuple[str, ...]:
        """The models to ask at once."""
        return tuple(self.models[column] for column in self.action.columns)

    @property
    def expected_cost_usd(self) -> float:
        """Of all calls, by predicted costs."""
        return self.action.expected_cost_usd

    @property
    def p_escalate(self) -> float:
        """How likely one more model is asked; 1 where that is not known."""
        return self.action.p_escalate

    @property
    def learned(self) -> bool:
        """Whether learned plans decide; else the agreement rule."""
        return isinstance(self.rule, PlanPolicy)

    @property
    def signals(self) -> tuple[str, ...]:
        """The names of the signals of replies that count in what is done with them."""
        return self.rule.plans.signals if isinstance(self.rule, PlanPolicy) else ()

    @property
    def last(self) -> tuple[str, ...]:
        """The models one of which may be asked after the first two."""
        columns = set(self.rule.others(self.action.columns)) - set(self.action.columns)
        return tuple(self.models[column] for column in sorted(columns) if self.feasible[column])

    def then(
        self,
        asked: Sequence[str],
        replies: Mapping[str, Reply],
        *,
        without: Collection[str] = (),
    ) -> Serve | AskModel:
        """Serve an answer, or ask one more model, once a round is over.

        asked: every model that was asked, in order. replies: of those that replied; one that
        failed or took too long has none. without: models that may not be asked any more, because
        they are down or money is short.
        Raises ConfigError where nobody replied and no model is left to ask.
        """
        column = {model: column for column, model in enumerate(self.models)}
        unknown = [model for model in (*asked, *replies, *without) if model not in column]
        if unknown or not set(replies) <= set(asked):
            raise ConfigError(f"replies of {[*replies]}, but asked were {[*asked]}")
        feasible = self.feasible.copy()
        feasible[[column[model] for model in without]] = False
        step = self.rule.then(
            State(
                tuple(column[model] for model in asked),
                {column[model]: reply for model, reply in replies.items()},
                self.scores,
                self.costs,
                feasible,
            )
        )
        if isinstance(step, Stop):
            return Serve(self.models[step.column], step.support if self.learned else None)
        return AskModel(self.models[step.column])


OutOfDomain = Literal["policy", "strongest"]
"""How a query far from the training queries is decided: by the policy as ever, or by the mean
performance of the models, the strongest first, within the limits of the policy."""


@dataclass(slots=True)
class Ask:
    """One query, and how it is to be decided.

    image: the path of one; beside it the query may be empty. needs: constraints that the pipeline
    checks, None for none. removed: models that the caller rules out for reasons of its own, each
    with the reason in words, such as an upstream that is down. may_check: whether more than one
    model may be asked where the pipeline's plans expect that to pay.
    """

    query: str
    image: str | None = None
    control: Control = NO_CONTROL
    needs: Needs | None = None
    removed: Mapping[str, str] = field(default_factory=dict)
    may_check: bool = False


class ByModel(Mapping[str, float]):
    """One number per model, read like a dict: a view of a row, which is made when it is asked for.

    column: by the name of a model, its column in table (N, K).
    """

    __slots__ = ("_column", "_row", "_table")

    def __init__(self, column: Mapping[str, int], table: Float32Array, row: int) -> None:
        self._column = column
        self._table = table
        self._row = row

    def __getitem__(self, model: str) -> float:
        return float(self._table[self._row, self._column[model]])

    def __iter__(self) -> Iterator[str]:
        return iter(self._column)

    def __len__(self) -> int:
        return len(self._column)

    def __repr__(self) -> str:
        return repr(self.as_dict())

    @property
    def row(self) -> Float32Array:
        """The numbers (K,), in the order of the models."""
        row: Float32Array = self._table[self._row]
        return row

    def as_dict(self) -> dict[str, float]:
        """The numbers, copied."""
        return dict(zip(self._column, self.row.tolist(), strict=True))


class Decision(NamedTuple):
    """Which model answers a query, and why."""

    model: str | None
    """None when constraints removed all of them, or nothing fits and that is refused."""
    predicted_cost_usd: float | None
    """Of a call of the model."""
    setting: str
    """The name of the operating point, such as budget_usd."""
    value: float
    """The operating point."""
    fits: bool
    """Whether the predicted cost is within the budget."""
    fallbacks: tuple[str, ...]
    """Models to try next, in order, all within the budget."""
    scores: Mapping[str, float]
    """By model, as the policy used them."""
    predicted_costs_usd: Mapping[str, float]
    """By model."""
    confidence: float | None
    """The probability that no model's answer would be better by more than 0.02 (Certainty)."""
    far: bool
    """Whether the query is unlike all that the router was trained on (Familiarity)."""
    removed: Mapping[str, str] = {}  # a NamedTuple takes no default factory
    """Models that a constraint ruled out, each with the reason; they are no fallbacks. A model of
    which is not known whether it meets a constraint is one of them."""
    plan: QueryPlan | None = None
    """Of a query of which more than one model is to be asked; `model` is then the one that would
    be asked alone."""


@dataclass(frozen=True, eq=False)
class Choices:
    """Decisions on many embeddings, as arrays.

    chosen (N,): columns of models, -1 where nothing fits and that is refused, or constraints
    removed all models. predicted_cost_usd (N,): of the chosen model, NaN where there is none. fits
    (N,): whether it is within the budget. removed: as in Decision, for all of them.
    """

    models: tuple[str, ...]
    chosen: IntArray
    predicted_cost_usd: Float32Array
    fits: BoolArray
    setting: str
    value: float
    removed: Mapping[str, str] = field(default_factory=dict)
