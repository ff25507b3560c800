"""A running gateway for tests, with a fake provider behind it and parts that only remember."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from equirouter.errors import GatewayError
from equirouter.pipeline.decision import QueryPlan
from equirouter.serve.call.client.pool import HttpClient
from equirouter.serve.call.model_pool import ModelPool
from equirouter.serve.chat import ChatRequest
from equirouter.serve.http.gateway import Gateway
from equirouter.serve.http.reply_checks import ReplyChecks
from equirouter.serve.money.day_limit import DayLimit
from equirouter.serve.money.feedback import Feedback
from equirouter.serve.plan.cascades import with_pair
from equirouter.serve.plan.explore import Explorer, Shadows
from equirouter.serve.records import (
    Candidate,
    Key,
    Plan,
    Removal,
    RequestControl,
    RequestRecord,
    UserFeedback,
)
from equirouter.serve.run.server import make_runner
from equirouter.serve.settings import GatewaySettings
from equirouter.serve.watch.events import Hub
from equirouter.serve.watch.prometheus import Metrics
from tests.serve.fake_upstream import FakeUpstream, fake_upstream
from tests.serve.reports_made import MadeReports
from tests.serve.tills import MemoryTill

PRICE = {"input": 1.0, "output": 2.0}  # USD per million: 1,000 and 2,000 nano-USD a token


class RankedPlanner:
    """Ranks the models as it is told; a named model goes to itself."""

    strongest: str | None = None

    def __init__(self, pool: ModelPool) -> None:
        self.pool = pool
        self.order: list[tuple[str, int]] = []
        self.removed: dict[str, Removal] = {}
        self.answers: dict[str, int] = {}  # model -> limit of an answer that is sent
        self.asked: list[tuple[ChatRequest, RequestControl, Key | None]] = []
        self.over: list[RequestRecord] = []
        self.cascade: QueryPlan | None = None  # of which models first, and then
        self.extractor = "number@1"

    async def plan(self, chat: ChatRequest, control: RequestControl, key: Key | None) -> Plan:
        self.asked.append((chat, control, key))
        if not chat.is_virtual:
            if chat.model not in self.pool.routes:
                raise GatewayError(404, f"no model {chat.model}", code="model_not_found")
            limit = self.answers.get(chat.model)
            candidate = Candidate(chat.model, 100_000, limit)
            return Plan((candidate,), "named", prompt_tokens=20)
        plan = Plan(
            tuple(Candidate(name, upper, self.answers.get(name)) for name, upper in self.order),
            "policy",
            setting="budget_usd",
            value=control.budget_usd,
            removed=self.removed,
            scores={name: 0.5 for name, _ in self.order},
            predicted_costs_usd={name: 0.0001 for name, _ in self.order},
            prompt_tokens=20,
            max_output_tokens=100,
        )
        if self.cascade is None:
            return plan
        return with_pair(plan, chat, self.cascade, last=None, rule="none", extractor=self.extractor)

    def finished(self, record: RequestRecord) -> None:
        self.over.append(record)

    async def reload(self, path: Path | None = None, *, force: bool = False) -> str:  # noqa: ARG002
        return str(path)


@dataclass
class PaidTicket:
    """Remembers what was reserved and how it ended."""

    reserved: int
    most: int | None = None
    ended: list[tuple[str, int]] = field(default_factory=list)
    tokens: int | None = None

    async def extend(self, nusd: int) -> bool:
        if self.most is not None and nusd > self.most:
            return False
        self.reserved = nusd
        return True

    def settle(self, cost_nusd: int, *, tokens: int | None = None) -> None:
        self.tokens = tokens
        self.ended.append(("settled", cost_nusd))

    def release(self) -> None:
        self.ended.append(("released", 0))


class OpenAdmission:
    """Lets everybody in, and remembers the tickets. most: what a ticket can be extended to."""

    def __init__(self) -> None:
        self.tickets: list[PaidTicket] = []
        self.most: int | None = None
        self.refuses: GatewayError | None = None
        self.key: Key | None = None

    async def has_keys(self) -> bool:
        return self.key is not None

    async def authenticate(self, headers: Mapping[str, str]) -> Key | None:
        if headers.get("Authorization") == "Bearer wrong":
            raise GatewayError(401, "no such key", code="invalid_api_key")
        return self.key

    def check_rate(self, key: Key | None) -> None:
        pass

    async def admit(
        self, key: Key | None, upper_nusd: int, *, tokens: int, request_id: str
    ) -> PaidTicket:
        del key, tokens, request_id
        if self.refuses is not None:
            raise self.refuses
        self.tickets.append(PaidTicket(upper_nusd, self.most))
        return self.tickets[-1]


class Thanks(Feedback):
    """Takes feedback on anything."""

    def __init__(self) -> None:
        pass

    async def give(self, key: Key | None, feedback: UserFeedback) -> str:
        del key, feedback
        return "a"


@dataclass
class Running:
    """A gateway under test. http: a client whose paths are the gateway's."""

    url: str
    upstream: FakeUpstream
    gateway: Gateway
    planner: RankedPlanner
    admission: OpenAdmission
    log: list[RequestRecord]
    http: aiohttp.ClientSession

    @property
    def record(self) -> RequestRecord:
        """Of the last request that is over."""
        return self.log[-1]

    async def chat(
        self, model: str = "a", *, headers: Mapping[str, str] | None = None, **body: Any
    ) -> aiohttp.ClientResponse:
        """POST a chat completion."""
        content = {"model": model, "messages": [{"role": "user", "content": "Hi"}], **body}
        response = await self.http.post("/v1/chat/completions", json=content, headers=headers)
        await response.read()
        return response


def settings_for(url: str, **sections: Any) -> GatewaySettings:
    """Models a, b and c behind upstreams of the same names; sections of gateway.toml on top."""
    upstream = {"base_url": url, "responses": True, **sections.pop("upstream", {})}
    names = ("a", "b", "c")
    document: dict[str, Any] = {
        "upstreams": {name: dict(upstream) for name in names},
        "models": {
            name: {"upstream": name, "upstream_model": f"{name}-theirs", "price": PRICE}
            for name in names
        },
        "server": {"shutdown_seconds": 0.1},
        "retries": {"backoff_seconds": 0.001, "max_wait_seconds": 0.05},
    }
    return GatewaySettings.model_validate(_merged(document, sections))


def _merged(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    inner = {
        name: _merged(base[name], change)
        for name, change in changes.items()
        if isinstance(change, dict) and isinstance(base.get(name), dict)
    }
    return {**base, **changes, **inner}


@asynccontextmanager
async def running(**sections: Any) -> AsyncIterator[Running]:
    """A gateway and its provider, both on free ports of 127.0.0.1.

    Where it explores, every request is sent elsewhere that may be.
    """
    async with fake_upstream() as upstream, HttpClient() as client:
        settings = settings_for(upstream.url, **sections)
        pool = ModelPool(settings, client)
        planner, admission = RankedPlanner(pool), OpenAdmission()
        log: list[RequestRecord] = []
        shadow = DayLimit(settings.shadow.limit_usd_per_day, MemoryTill())
        shadow.has_room(2**62)  # asks for all that there is
        await shadow.refill()
        gateway = Gateway(
            settings,
            pool=pool,
            checks=ReplyChecks(settings, pool),
            planner=planner,
            admission=admission,
            log=log.append,
            feedback=Thanks(),
            metrics=Metrics(models=settings.models, upstreams=settings.upstreams),
            events=Hub(MadeReports([])),
            explorer=Explorer(settings.explore, DayLimit(None, MemoryTill()), draw=lambda: 0.0)
            if settings.explore.share
            else None,
            shadows=Shadows(settings.shadow, shadow) if settings.shadow.share else None,
        )
        runner = make_runner(gateway)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            async with aiohttp.ClientSession(url) as http:
                yield Running(url, upstream, gateway, planner, admission, log, http)
        finally:
            await runner.cleanup()
