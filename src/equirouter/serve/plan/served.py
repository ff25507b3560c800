"""A pipeline that decides, with its models, a canary beside it, and the price of a mean spend.

The pacer belongs to one event loop; calls end in any order and later than others begin.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from secrets import randbits
from typing import Any

import numpy as np

from equirouter.errors import GatewayError
from equirouter.pipeline.decision import Decision
from equirouter.policy import BudgetPolicy, Control, UtilityPolicy
from equirouter.policy.pacer import Paced, Pacer
from equirouter.serve.chat import ChatRequest
from equirouter.serve.plan.cascades import may_cascade
from equirouter.serve.plan.feasible import Bound, Feasible
from equirouter.serve.plan.loading import LoadedPipeline
from equirouter.serve.plan.sessions import session_digest
from equirouter.serve.records import Key, Plan, Removal, RequestControl, usd
from equirouter.serve.setting_types import CascadeSettings

_UNIT_BITS = 63  # a whole number of the database


class ServedPipeline:
    """A pipeline and the models of it that are served. feasible: its own, no other learns from it.

    pool: names of the models that the gateway has.
    """

    def __init__(
        self, loaded: LoadedPipeline, feasible: Feasible, pool: Mapping[str, object]
    ) -> None:
        self.loaded, self.feasible = loaded, feasible
        feasible.learn(loaded.pipeline.model_facts)
        names = loaded.pipeline.models
        self.models = tuple(name for name in names if name in pool)
        self.not_served = {
            name: Removal("model", "not in the pool") for name in names if name not in pool
        }
        self._point = lru_cache(maxsize=512)(self._uncached_point)

    def spare_cheapest(self, removed: dict[str, Removal], bounds: Mapping[str, Bound]) -> bool:
        """Where only the budget is in the way, let the cheapest model answer if the rule says so.

        Takes it out of removed; returns whether there is one.
        """
        if self.loaded.pipeline.when_nothing_fits == "refuse":
            return False
        over = [name for name, removal in removed.items() if removal.kind == "budget"]
        if not over:
            return False
        del removed[min(over, key=lambda name: bounds[name].nusd)]
        return True

    def extractor(
        self, settings: CascadeSettings, chat: ChatRequest, control: RequestControl
    ) -> str | None:
        """The reader of the final answers of several models, None where one is asked."""
        plans = self.loaded.pipeline.plans
        if not settings.enabled or not control.cascade or plans is None:
            return None
        extractor = settings.extractor or plans.extractor
        return extractor if extractor and may_cascade(chat, extractor) else None

    def asked(
        self, control: RequestControl, pace: Pacer | None, *, may_check: bool
    ) -> tuple[Control, bool]:
        """The control as the pipeline understands it, a quality already at its operating point.

        pace: the spend target of a request that sets no operating point. The second: whether that
        is one of plans, at which more than one model may be asked. Raises ConfigError where the
        pipeline cannot follow it.
        """
        if pace is not None:
            return Control(lambda_=pace.lambda_), may_check
        return self._point(control.budget_usd, control.quality, control.lambda_, may_check)

    def _uncached_point(
        self,
        budget_usd: float | None,
        quality: float | None,
        lambda_: float | None,
        may_check: bool,
    ) -> tuple[Control, bool]:
        """As asked, of what is the same in many requests."""
        asked = Control(budget_usd, quality, None, lambda_)
        price = self.loaded.pipeline.plan_lambda(asked) if may_check else None
        if price is not None:
            return Control(lambda_=price), True
        policy, value = self.loaded.pipeline.policy_for(asked)
        if isinstance(policy, BudgetPolicy):
            return Control(budget_usd=policy.budget_usd), False
        return (Control(lambda_=value) if type(policy) is UtilityPolicy else asked), False

    def nobody(self, removed: Mapping[str, Removal], refused: GatewayError | None = None) -> Plan:
        """The plan where no model may answer.

        refused: what the client gets, None where removed says why.
        """
        return Plan(
            (),
            "policy",
            removed=removed,
            pipeline=self.loaded.id,
            version=self.loaded.version,
            refused=refused,
        )


@dataclass(frozen=True, slots=True)
class Canary:
    """A version that a share of all conversations goes to.

    salt: of the hash that says which; the same in all workers and after a restart, so that a
    conversation stays where it is. detect: as SessionSettings.
    """

    served: ServedPipeline
    share: float
    salt: bytes
    detect: bool

    def unit(
        self, messages: Sequence[Mapping[str, Any]], control: RequestControl, key: Key | None
    ) -> int:
        """The number of a conversation, or of a request that is of none; uniform."""
        digest = session_digest(messages, control, key, self.salt, detect=self.detect)
        if digest is None:
            return randbits(_UNIT_BITS)
        return int.from_bytes(digest[:8]) >> 64 - _UNIT_BITS

    def takes(self, unit: int) -> bool:
        """Whether a unit goes to the canary."""
        return unit < self.share * 2.0**_UNIT_BITS


def pacing_document(pacer: Pacer) -> dict[str, float | int | None]:
    """How the stream goes, as JSON can hold it; mean_usd: None before the first request.

    What is not answered yet counts as predicted.
    """
    state = pacer.state
    return {
        "spend_usd": pacer.spend_usd,
        "mean_usd": state.spent_usd / state.n_queries if state.n_queries else None,
        "requests": state.n_queries,
        "lambda": pacer.lambda_,
    }


def paced_decision(pacer: Pacer, decision: Decision, *, is_call: bool) -> tuple[Decision, Paced]:
    """A decision again at the price of this moment, and what `request_over` takes.

    is_call: False for a question alone: nothing is counted, nothing is to be settled. Other
    requests may have moved the price since the decision was asked for; its confidence is of the
    model that it chose, so that of another model is not known.
    """
    models = tuple(decision.scores)
    paced = pacer.decide(
        np.array(list(decision.scores.values())),
        np.array(list(decision.predicted_costs_usd.values())),
        np.array([name not in decision.removed for name in models]),
        counts=is_call,
    )
    ranked = [models[column] for column in paced.columns.tolist() if column >= 0]
    first = ranked[0] if ranked else None
    chosen = decision._replace(
        model=first,
        fallbacks=tuple(ranked[1:]),
        predicted_cost_usd=None if first is None else decision.predicted_costs_usd[first],
        value=paced.lambda_,
        confidence=decision.confidence if first == decision.model else None,
    )
    return chosen, paced


def request_over(pacer: Pacer, paced: Paced, cost_nusd: int | None) -> None:
    """A request that was counted is over. cost_nusd: None where nobody answered.

    Such a one is not of the stream: a client whose requests are all refused, or fail, would
    else save money for the others to spend.
    """
    if cost_nusd is None:
        pacer.forget(paced)
    else:
        pacer.settle(paced, usd(cost_nusd))
