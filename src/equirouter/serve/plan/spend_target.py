"""A mean spend per request: the price of money rises and falls with what requests have cost.

The pacer belongs to one event loop; calls end in any order and later than others begin.
"""

import numpy as np

from equirouter.pipeline.decision import Decision
from equirouter.policy.pacer import Paced, Pacer
from equirouter.serve.records import usd


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
