"""A question to a pipeline, and its answer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from equirouter.policy.base import NO_CONTROL, Control
from equirouter.policy.constraints import Needs

if TYPE_CHECKING:
    from equirouter.arrays import BoolArray, Float32Array, IntArray
    from equirouter.pipeline.query_plan import QueryPlan

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

    def __init__(self, column: Mapping[str, int], table: "Float32Array", row: int) -> None:
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
    def row(self) -> "Float32Array":
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
    plan: "QueryPlan | None" = None
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
    chosen: "IntArray"
    predicted_cost_usd: "Float32Array"
    fits: "BoolArray"
    setting: str
    value: float
    removed: Mapping[str, str] = field(default_factory=dict)
