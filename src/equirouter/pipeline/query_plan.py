"""One query of which more than one model is asked: whom at first, and what then."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from equirouter.errors import ConfigError
from equirouter.policy.plan import Action, PlanPolicy, State, Stop
from equirouter.policy.replies import Reply

if TYPE_CHECKING:
    from equirouter.arrays import BoolArray, FloatArray
    from equirouter.policy.agreement import AgreementRule


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
    rule: "PlanPolicy | AgreementRule"
    action: Action
    scores: "FloatArray"
    costs: "FloatArray"
    feasible: "BoolArray"

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
