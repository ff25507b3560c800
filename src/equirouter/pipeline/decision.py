"""A question to a pipeline, and its answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from equirouter.policy.constraints import Needs
from equirouter.policy.control import NO_CONTROL, Control

if TYPE_CHECKING:
    from equirouter.arrays import BoolArray, Float32Array, IntArray

__all__ = ["Ask", "Choices", "Decision", "OutOfDomain"]

OutOfDomain = Literal["policy", "strongest"]
"""What decides a query that is far from the training queries: the policy as ever, or the mean
performance of the models, the strongest first, within the limits of the policy."""


@dataclass(frozen=True)
class Ask:
    """One query, and how it is to be decided.

    image: the path of one; beside it the query may be empty. needs: constraints that the pipeline
    checks, None for none. removed: models that the caller rules out for reasons of its own, each
    with the reason in words, such as an upstream that is down.
    """

    query: str
    image: str | None = None
    control: Control = NO_CONTROL
    needs: Needs | None = None
    removed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """Which model answers a query, and why.

    model: None when constraints removed all of them, or when_nothing_fits is "refuse" and nothing
    fits. fallbacks: what to try next, in order, all within the budget. setting, value: the
    operating point, for example budget_usd 0.002. fits: whether the model's predicted cost is
    within the budget. removed: the models that a constraint ruled out, each with the reason;
    neither model nor fallbacks are among them. not_checked: the others of which something is not
    known that a constraint asks for, each with what. confidence: the probability that no model's
    answer would have been better by more than 0.02 (Certainty), None without a model. far: whether
    the query is unlike all that the router was trained on (Familiarity); what follows from that is
    the pipeline's `ood`.
    """

    model: str | None
    predicted_cost_usd: float | None
    setting: str
    value: float
    fits: bool
    fallbacks: tuple[str, ...]
    scores: dict[str, float]
    predicted_costs_usd: dict[str, float]
    confidence: float | None
    far: bool
    removed: dict[str, str] = field(default_factory=dict)
    not_checked: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Choices:
    """Decisions on many embeddings, as arrays.

    chosen (N,): columns of models, -1 where nothing fits and that is refused, or constraints
    removed all models. predicted_cost_usd (N,): of the chosen model, NaN where there is none. fits
    (N,): whether it is within the budget. removed, not_checked: as in Decision, for all of them.
    """

    models: tuple[str, ...]
    chosen: "IntArray"
    predicted_cost_usd: "Float32Array"
    fits: "BoolArray"
    setting: str
    value: float
    removed: dict[str, str] = field(default_factory=dict)
    not_checked: dict[str, str] = field(default_factory=dict)
