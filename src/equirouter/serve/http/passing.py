"""Endpoints that are passed on to an upstream as they are, and not routed.

Only to upstreams whose settings say so: they are reached with the provider's key, so whoever may
use one sees the files and batches of all. Each request counts in its key's rate, is logged, and is
charged where a model of the pool, and so a price, is known of it.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson
from aiohttp import web

from equirouter.errors import GatewayError, NotCalledError, PassedOnError, UpstreamError
from equirouter.serve.call.model_pool import Route
from equirouter.serve.call.sse import StreamReader, usage_in
from equirouter.serve.call.translation.chat_form import strings
from equirouter.serve.call.upstream import HttpAnswer, retry_after
from equirouter.serve.charging import upper_nusd
from equirouter.serve.contracts import Reservation
from equirouter.serve.http.access import authorized
from equirouter.serve.http.body import passed_headers
from equirouter.serve.http.exchange import request_id
from equirouter.serve.http.gateway import Gateway
from equirouter.serve.plan.prompt_tokens import text_tokens
from equirouter.serve.records import Attempt, AttemptOutcome, Candidate, Key, Plan, RequestRecord
from equirouter.serve.settling import Bounds, Report, charge

_STEP = r"/[A-Za-z0-9_-][A-Za-z0-9._-]*"  # never ".."
PATHS = rf"/v1/{{path:(?:completions|moderations|audio|images|files|batches)(?:{_STEP})*}}"
UPSTREAM_HEADER = "x-equirouter-upstream"
_SHOWN = ("content-disposition", "retry-after")
_MOST_READ = 1024 * 1024  # of an answer, for its usage
_JSON = "application/json"


async def passed_on(gateway: Gateway, request: web.Request) -> web.StreamResponse:
    """Any method of any of the paths."""
    key = await authorized(gateway, request)
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge:
        most = gateway.settings.limits.max_body_bytes
        raise GatewayError(413, f"the body is longer than {most} bytes") from None
    body = _object(raw) if request.content_type == _JSON and raw else {}
    return await _Passing(gateway, request, key, body, raw).answered()


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as wrong:
        raise GatewayError(400, f"the body is not JSON: {wrong}", code="invalid_json") from None
    if not isinstance(body, dict):
        raise GatewayError(400, "the body is no JSON object", code="invalid_json")
    return body


class _Passing:
    """One request on its way. route: of the model that it names, None for any other request."""

    def __init__(
        self, gateway: Gateway, request: web.Request, key: Key | None, body: dict[str, Any],
        raw: bytes,
    ) -> None:  # fmt: skip
        self._gateway, self._request, self._key = gateway, request, key
        path = request.match_info["path"]
        self._is_completion = path == "completions"
        self._route = gateway.pool.routes.get(str(body.get("model")))
        self._via = self._upstream()
        self._check_key()
        self._raw = raw
        self._output = _count(body, "max_tokens") or 0
        if self._route is not None:
            self._raw = orjson.dumps({**body, "model": self._route.upstream_model})
        self._prompt = text_tokens("".join(strings(body)))
        query = request.rel_url.raw_query_string
        self._path = f"/{path}?{query}" if query else f"/{path}"
        self._start = time.perf_counter()
        self.record = RequestRecord(
            request_id=request_id(),
            started_at=time.time(),
            endpoint="passed",
            requested_model=str(body.get("model") or path)[:512],
            stream=bool(body.get("stream")),
            key_id=None if key is None else key.id,
        )

    def _upstream(self) -> Route:
        """A route of the upstream: of the model that is named, or that the header names."""
        named = self._request.headers.get(UPSTREAM_HEADER)
        routes = [
            route
            for route in self._gateway.pool.routes.values()
            if route.upstream_settings.pass_through
        ]
        known = list(dict.fromkeys(route.upstream_name for route in routes))
        if named is None and self._route is not None:
            named = self._route.upstream_name
        if named is None and len(known) == 1:
            named = known[0]
        for route in routes:
            if route.upstream_name == named:
                return self._route if self._route in routes else route
        raise GatewayError(
            404,
            f"{self._request.path} is passed on to upstreams with pass_through = true: "
            f"{', '.join(known) or 'none'}; name one of them in the header {UPSTREAM_HEADER}, or "
            "a model of it",
            code="not_found",
        )

    def _check_key(self) -> None:
        """Refuse a key whose limits could not be kept. Raises GatewayError 400 or 403."""
        key, model = self._key, None if self._route is None else self._route.model
        if key is None:
            return
        if key.models is not None and model not in key.models:
            raise GatewayError(
                403,
                f"this key may use {', '.join(sorted(key.models))}, and the request names none",
                type_="permission_error",
                param="model",
            )
        is_bound = self._gateway.settings.money.unbounded == "refuse"
        is_priced = model is not None and self._is_completion
        if key.budget_nusd is not None and is_bound and not is_priced:
            raise GatewayError(
                400,
                f"no price bounds {self._request.path}, and the key has a budget that has to hold "
                "(money.unbounded)",
                code="no_feasible_model",
            )

    async def answered(self) -> web.StreamResponse:
        """Pass it on; the record is logged and the money settled whatever happens."""
        record, gateway = self.record, self._gateway
        try:
            gateway.admission.check_rate(self._key)
            upper, tokens = self._bound()
            ticket = await gateway.admission.admit(
                self._key, upper, tokens=tokens, request_id=record.request_id
            )
            try:
                return await self._called(upper)
            finally:
                self._settle(ticket)
        except GatewayError as error:
            record.status, record.error = error.status, error.message
            raise
        except BaseException as error:
            record.status, record.error = 500, type(error).__name__
            raise
        finally:
            record.total_ms = (time.perf_counter() - self._start) * 1000.0
            gateway.finished(record, self._request.headers)

    def _settle(self, ticket: Reservation) -> None:
        cost, tokens = self.record.cost_nusd, self.record.tokens
        if cost is None or tokens is None:
            ticket.release()
        else:
            ticket.settle(cost, tokens=tokens.input + tokens.output)

    def _bound(self) -> tuple[int, int]:
        """Nano-USD and tokens that it may come to, as far as that is known."""
        route = self._route
        if route is None:
            return 0, 0
        output = self._output or route.settings.max_output_tokens
        upper = upper_nusd(route.price, self._prompt, output)
        candidate = Candidate(route.model, upper)
        self.record.plan = Plan((candidate,), "named", prompt_tokens=self._prompt)
        return upper, self._prompt + output

    async def _called(self, upper: int) -> web.StreamResponse:
        via, request = self._via, self._request
        headers = dict(passed_headers(request.headers, "passed", via))
        headers["content-type"] = request.headers.get("Content-Type", _JSON)
        upstream = self._gateway.pool.http[via.upstream_name]
        try:
            await via.guard.enter(self._gateway.settings.retries.max_wait_seconds)
        except NotCalledError as refused:
            raise GatewayError(503, f"{refused}", type_="upstream_error") from refused
        outcome: AttemptOutcome = "ok"
        started = time.time()
        try:
            answer = await upstream.send(request.method, self._path, self._raw, headers)
            try:
                return await self._relayed(answer, upper)
            finally:
                answer.close()
                via.guard.judge(answer.status < 500)
        except UpstreamError as failed:
            outcome = failed.outcome
            via.guard.judge(False)
            raise GatewayError(502, f"no answer: {failed}", type_="upstream_error") from failed
        finally:
            via.guard.leave()
            ms = (time.time() - started) * 1000.0
            name = via.model if self._route is None else self._route.model
            self.record.attempts.append(
                Attempt(name, via.upstream_name, outcome, self.record.status or None, ms)
            )

    async def _relayed(self, answer: HttpAnswer, upper: int) -> web.StreamResponse:
        """The answer as it comes, which is read on the side for its usage."""
        self.record.status = answer.status
        if answer.status >= 400:
            raw, seconds = await answer.read(_MOST_READ), retry_after(answer.headers)
            wait = {} if seconds is None else {"Retry-After": str(max(1, round(seconds)))}
            raise PassedOnError(answer.status, raw, answer.content_type, wait)
        shown = {name: answer.headers[name] for name in _SHOWN if name in answer.headers}
        identity = {"x-equirouter-request-id": self.record.request_id}
        response = web.StreamResponse(
            status=answer.status,
            headers={**shown, **identity, "Content-Type": answer.content_type},
        )
        await response.prepare(self._request)
        reader, kept = StreamReader(most_bytes=_MOST_READ), bytearray()
        is_stream = answer.content_type.startswith("text/event-stream")
        try:
            while chunk := await answer.chunk():
                if is_stream:
                    with suppress(ValueError):
                        reader.feed(chunk)
                elif len(kept) < _MOST_READ:
                    kept += chunk
                await response.write(chunk)
            await response.write_eof()
        finally:
            self._charge(upper, reader.usage or _usage(bytes(kept)), reader.output_bytes)
        return response

    def _charge(self, upper: int, usage: Mapping[str, Any] | None, output_bytes: int) -> None:
        """Note what it is charged, where there is a price."""
        route, record = self._route, self.record
        if route is None:
            return
        record.served_model = route.model
        output = self._output or route.settings.max_output_tokens
        money = self._gateway.settings.money
        charged = charge(
            Bounds(route.price, upper, self._prompt, output, is_whole=False),
            Report(usage, lambda: -(-output_bytes // 4), is_answer=self._is_completion),
            unknown=money.charge_unknown,
            by_reported_cost=route.upstream_settings.charge_reported_cost,
        )
        record.tokens, record.charged_by = charged.tokens, charged.by
        record.cost_nusd = charged.cost_nusd


def _count(body: Mapping[str, Any], name: str) -> int | None:
    value = body.get(name)
    return value if type(value) is int and value > 0 else None


def _usage(kept: bytes) -> dict[str, Any] | None:
    with suppress(orjson.JSONDecodeError):
        document = orjson.loads(kept)
        return usage_in(document) if isinstance(document, dict) else None
    return None
