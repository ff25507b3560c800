"""A planner on a small pipeline, without a server."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equirouter.serve.charging import model_prices
from equirouter.serve.chat import chat_request
from equirouter.serve.plan.decision_thread import DecisionThread
from equirouter.serve.plan.loading import LoadedPipeline
from equirouter.serve.plan.planner import RoutingPlanner
from equirouter.serve.records import Key, Plan, RequestControl, RequestRecord
from equirouter.serve.settings import GatewaySettings
from tests.serve.pipelines import CountedMetrics

AUTO = "equirouter/auto"
# USD per million: what a call costs at most differs by ten from model to model, as in the table
PRICES = {
    "small": {"input": 0.1, "output": 0.1, "cached_input": 0.01},
    "middle": {"input": 1.0, "output": 1.0, "cached_input": 0.1},
    "large": {"input": 10.0, "output": 10.0, "cached_input": 1.0},
    "extra": {"input": 5.0, "output": 5.0},
}


def settings_of(folder: Path | None, **sections: Any) -> GatewaySettings:
    """Models small, middle and large of the pipeline, extra beside it; sections on top."""
    document: dict[str, Any] = {
        "upstreams": {"there": {"base_url": "https://there.example/v1", "responses": True}},
        "models": {
            name: {"upstream": "there", "price": price, "max_output_tokens": 1000}
            for name, price in PRICES.items()
        },
        "pipeline": {} if folder is None else {"path": folder},
    }
    for name, section in sections.items():
        known = document.get(name, {})
        for key, value in section.items():
            old = known.get(key)
            known[key] = {**old, **value} if isinstance(old, dict) else value
        document[name] = known
    return GatewaySettings.model_validate(document)


class Planned:
    """A planner and what it is connected to. down: model -> why it cannot be called."""

    def __init__(self, folder: Path | None, **sections: Any) -> None:
        self.settings = settings_of(folder, **sections)
        self.metrics = CountedMetrics()
        self.down: dict[str, str] = {}
        self.decider = (
            None
            if folder is None
            else DecisionThread(self.settings.pipeline, list(self.settings.models), self.metrics)
        )
        prices = model_prices(self.settings)
        self.planner = RoutingPlanner(
            self.settings, prices, lambda model: self.down.get(model), self.decider, self.metrics
        )

    @property
    def loaded(self) -> LoadedPipeline:
        """The pipeline that decides."""
        assert self.decider is not None
        return self.decider.loaded

    def plan(
        self,
        text: str = "easy task1 query",
        control: RequestControl = RequestControl(),  # noqa: B008  # frozen
        *,
        key: Key | None = None,
        endpoint: Any = "chat.completions",
        **body: Any,
    ) -> Plan:
        """The plan of one request."""
        document = {"model": AUTO, "messages": [{"role": "user", "content": text}], **body}
        chat = chat_request(document, self.settings.limits, endpoint)
        plan = asyncio.run(self.planner.plan(chat, control, key))
        if plan.refused is not None:
            raise plan.refused
        return plan

    def served(
        self, plan: Plan, model: str | None = None, endpoint: Any = "chat.completions"
    ) -> None:
        """The request of a plan was answered, by its first candidate unless said otherwise."""
        self.planner.finished(
            RequestRecord(
                request_id="r",
                started_at=0.0,
                endpoint=endpoint,
                requested_model=AUTO,
                plan=plan,
                served_model=model or plan.candidates[0].model,
            )
        )


def order(plan: Plan) -> list[str]:
    """The models in the order in which they are tried."""
    return [candidate.model for candidate in plan.candidates]


def uppers(plan: Plan) -> Mapping[str, int]:
    """What each candidate can cost at most, nano-USD."""
    return {candidate.model: candidate.upper_nusd for candidate in plan.candidates}
