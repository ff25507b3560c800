"""The checks of replies that the settings name, made once for all requests.

Those that ask no model run on threads of their own, so that none holds up other requests.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from equirouter.checks import Response, ResponseCheck
from equirouter.checks.check_spec import signal_checks
from equirouter.checks.model_calls import AskingCheck, may_ask
from equirouter.errors import ConfigError
from equirouter.serve.call.attempts import Call
from equirouter.serve.call.model_pool import ModelPool, Route
from equirouter.serve.call.quirks import answer_limit, chat_body
from equirouter.serve.charging import cost_nusd
from equirouter.serve.chat import ChatRequest, chat_request
from equirouter.serve.http.body import outgoing
from equirouter.serve.plan.feasible import Feasible
from equirouter.serve.plan.prompt_tokens import LIKELY, prompt_tokens
from equirouter.serve.records import RequestControl, Tokens, usd
from equirouter.serve.settings import GatewaySettings
from equirouter.serve.settling import Bounds, unseen_nusd

_LOG = logging.getLogger("equirouter.serve")

_SAID_TOKENS = 8
"""Of the answer of a model that is asked for one number."""


@dataclass(frozen=True, slots=True)
class CheckCall:
    """A call that a check makes. expected_usd: what it likely costs; bounds: at most."""

    route: Route
    call: Call
    bounds: Bounds
    expected_usd: float


class ReplyChecks:
    """The checks of `cascade.checks` and `cascade.judge`, by the names of their signals.

    Raises ConfigError and UnknownNameError for one that cannot be made, or that asks a model which
    is not in the pool.
    """

    def __init__(self, settings: GatewaySettings, pool: ModelPool) -> None:
        self._settings, self._pool = settings, pool
        self._checks = signal_checks(settings.cascade.all_checks)
        self.seconds = settings.cascade.max_check_ms / 1000.0
        """Longest time of a check."""
        self._threads = ThreadPoolExecutor(thread_name_prefix="equirouter-check")
        prices = {name: route.price for name, route in pool.routes.items()}
        self._feasible = Feasible(settings, prices, pool.available)
        for name, check in self._checks.items():
            if isinstance(check, AskingCheck):
                _must_chat(name, check.model, settings)

    def __contains__(self, name: str) -> bool:
        return name in self._checks

    def __getitem__(self, name: str) -> ResponseCheck | AskingCheck:
        return self._checks[name]

    @property
    def names(self) -> tuple[str, ...]:
        """The signals that they give."""
        return tuple(self._checks)

    def too_expensive(self, strongest: str) -> tuple[str, ...]:
        """The signals of judges that are never asked: reading alone costs more than they may.

        Their call is held against one of the strongest model, which writes about as much as they
        read.
        """
        prices = {name: route.price for name, route in self._pool.routes.items()}
        highest = max(prices[strongest].input_usd_per_mtok, prices[strongest].output_usd_per_mtok)
        return tuple(
            name
            for name, check in self._checks.items()
            if isinstance(check, AskingCheck)
            and not may_ask(prices[check.model].input_usd_per_mtok, highest)
        )

    def close(self) -> None:
        """Begin no further check."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def run(self, name: str, check: ResponseCheck, response: Response) -> float | None:
        """The signal of a check, None where it fails or takes longer than max_check_ms."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.seconds):
                return await loop.run_in_executor(self._threads, check, response)
        except TimeoutError:
            _LOG.debug("the check %s took longer than %g s", name, self.seconds)
        except Exception as error:  # of whatever package it is, the request goes on
            _LOG.warning("the check %s failed: %s: %s", name, type(error).__name__, error)
        return None

    def question(self, check: AskingCheck, response: Response, replied: str) -> CheckCall | None:
        """The call that a check of a model's response makes.

        None where there is no text, where it is of the same model, or that model cannot be asked.
        """
        model, routes = check.model, self._pool.routes
        if not response.text.strip() or _is_same(routes[model], routes[replied]):
            return None
        messages = [{"role": "user", "content": check.prompt(response)}]
        chat = chat_request({"model": model, "messages": messages}, self._settings.limits)
        bounds = self._feasible.bounds((model,), chat, prompt_tokens(chat))
        if self._feasible.removed((model,), bounds, chat, RequestControl(), None):
            return None
        bound, route = bounds[model], routes[model]
        known = Bounds(route.price, bound.nusd, bound.prompt, bound.output)
        likely = Tokens(int(bound.prompt * LIKELY), _SAID_TOKENS)
        call = self._call(chat, route, known, bound.answer)
        return CheckCall(route, call, known, usd(cost_nusd(route.price, likely)))

    def _call(self, chat: ChatRequest, route: Route, bounds: Bounds, limit: int | None) -> Call:
        unknown = self._settings.money.charge_unknown
        return Call(
            "/chat/completions",
            lambda _: _body(chat, route, limit),
            stream=False,
            most_bytes=self._settings.limits.max_answer_bytes,
            names_parameter=lambda _model, _failed: False,  # no other model is asked
            unseen_nusd=lambda _model, seconds: unseen_nusd(bounds, seconds, unknown),
        )


def _body(chat: ChatRequest, route: Route, limit: int | None) -> bytes:
    body = chat.body
    if limit is not None:
        body = {**body, answer_limit("chat.completions", route.upstream_settings): limit}
    fitted, _ = route.fitting.applied(chat_body(body, route.upstream_settings))
    return outgoing(fitted, route.upstream_model)


def _is_same(first: Route, other: Route) -> bool:
    names = [(route.upstream_name, route.upstream_model) for route in (first, other)]
    return names[0] == names[1]


def _must_chat(name: str, model: str, settings: GatewaySettings) -> None:
    pool = [known for known, given in settings.models.items() if given.kind == "chat"]
    if model not in pool:
        raise ConfigError(
            f"cascade: the check {name} asks {model!r}, and the models that chat are "
            f"{', '.join(pool)}"
        )
