"""Chat completions through a running gateway: what reaches the provider, and the client."""

import asyncio
import json
from typing import Any

import orjson
import pytest

from equirouter.errors import GatewayError
from equirouter.serve import http
from equirouter.serve.front.asked import PlainReply
from tests.serve import fake_upstream as fake
from tests.serve.gateways import Running, running


def test_a_named_model_is_called_with_the_clients_body_and_paid() -> None:
    async def run() -> None:
        async with running() as here:
            asked: dict[str, Any] = {"temperature": 0.1, "unknown": {"kept": [1, None]}}
            response = await here.chat("a", **asked)
            assert response.status == 200
            assert await response.json() == fake.completion()
            [seen] = here.upstream.seen
            assert seen.path == "/v1/chat/completions"
            assert seen.body == {
                "model": "a-theirs",
                "messages": [{"role": "user", "content": "Hi"}],
                **asked,
            }
            # 20 tokens at 1,000 nano-USD and 10 at 2,000: 40,000 nano-USD
            assert here.admission.tickets[0].ended == [("settled", 40_000)]
            assert response.headers["x-equirouter-model"] == "a"
            assert response.headers["x-equirouter-cost-usd"] == "0.00004"
            assert response.headers["x-equirouter-attempts"] == "1"
            assert response.headers["x-equirouter-request-id"] == here.record.request_id
            assert here.record.cost_nusd == 40_000
            assert here.record.status == 200
            assert here.record.served_model == "a"

    asyncio.run(run())


def test_the_answer_is_on_its_way_before_the_request_is_logged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []
    framed = PlainReply.framed

    def noted(reply: PlainReply, *, is_last: bool) -> bytes:
        order.append("answered")
        return framed(reply, is_last=is_last)

    async def run() -> None:
        async with running() as here:
            await here.chat("a")

    monkeypatch.setattr(PlainReply, "framed", noted)
    monkeypatch.setattr(http.gateway, "log_request", lambda _: order.append("logged"))

    asyncio.run(run())
    assert order == ["answered", "logged"]


def test_what_a_name_stands_twice_for_is_sent_as_it_was_checked() -> None:
    """A provider that goes by the first of two fields would answer another request."""

    async def run() -> None:
        models = {"a": {"upstream_model": None}}
        async with running(models=models) as here:
            sent = (
                b'{ "model":"large", "max_tokens":9, "max_tokens" :5,\n "x": 1.0, "model" : "a",'
                b'"messages":[{"role":"user","content":"long", "content":"\\u00fc"}]}'
            )
            assert (await here.http.post("/v1/chat/completions", data=sent)).status == 200
            raw = here.upstream.seen[0].raw
            assert orjson.loads(raw) == orjson.loads(sent)
            for name in (b"model", b"max_tokens", b"content"):
                assert raw.count(b'"' + name + b'"') == 1

    asyncio.run(run())

    asyncio.run(run())


def test_nothing_of_the_clients_headers_reaches_the_provider() -> None:
    async def run() -> None:
        async with running() as here:
            await here.chat("a", headers={"Authorization": "Bearer mine", "Cookie": "c=1"})
            headers = here.upstream.seen[0].request.headers
            assert "Authorization" not in headers
            assert "Cookie" not in headers

    asyncio.run(run())


def test_a_stream_passes_unchanged_and_its_usage_is_known() -> None:
    async def run() -> None:
        async with running() as here:
            response = await here.chat("a", stream=True, stream_options={"include_usage": True})
            assert await response.read() == b"".join(fake.streamed())
            assert response.headers["Content-Type"].startswith("text/event-stream")
            assert response.headers["x-equirouter-model"] == "a"
            assert here.record.cost_nusd == 40_000
            assert here.record.tokens is not None
            assert not here.record.tokens.estimated

    asyncio.run(run())


def test_usage_that_only_the_gateway_asked_for_is_taken_out_of_the_stream() -> None:
    async def run() -> None:
        async with running() as here:
            response = await here.chat("a", stream=True)
            assert here.upstream.seen[0].body["stream_options"] == {"include_usage": True}
            assert await response.read() == b"".join(fake.streamed(usage=None))
            assert here.record.cost_nusd == 40_000

    asyncio.run(run())


def test_a_provider_without_usage_of_streams_is_not_asked_and_the_cost_is_an_estimate() -> None:
    async def run() -> None:
        async with running(upstream={"stream_usage": False}) as here:
            await here.chat("a", stream=True)
            assert "stream_options" not in here.upstream.seen[0].body
            tokens = here.record.tokens
            assert tokens is not None
            assert tokens.estimated
            # "Hello wörld" has 12 bytes: 3 tokens of 4
            assert (tokens.input, tokens.output) == (20, 3)
            assert here.admission.tickets[0].ended == [("settled", 20 * 1000 + 3 * 2000)]

    asyncio.run(run())


def test_no_chunk_is_held_back() -> None:
    async def run() -> None:
        async with running() as here:
            go = asyncio.Event()
            pieces = fake.streamed()
            here.upstream.answers("a-theirs", fake.stream(pieces, before={1: go}))
            body = {"model": "a", "messages": [{"role": "user", "content": "x"}], "stream": True}
            async with here.http.post("/v1/chat/completions", json=body) as response:
                # the upstream sends no second chunk before the client has the first
                assert await response.content.readany() == pieces[0]
                go.set()
                rest = await response.read()
            assert rest == b"".join([*pieces[1:-2], pieces[-1]])

    asyncio.run(run())


def test_a_client_that_hangs_up_cancels_the_upstream_call() -> None:
    async def run() -> None:
        async with running() as here:
            sent = asyncio.Event()
            never = asyncio.Event()
            here.upstream.answers(
                "a-theirs", fake.stream(fake.streamed(), before={2: never}, after={1: sent})
            )
            body = {"model": "a", "messages": [{"role": "user", "content": "x"}], "stream": True}
            response = await here.http.post("/v1/chat/completions", json=body)
            await response.content.readany()
            await sent.wait()
            response.close()
            await asyncio.wait_for(here.upstream.hung_up.wait(), 10)
            while not here.log:
                await asyncio.sleep(0)
            assert here.record.status == 499
            # "Hello" was generated: 5 bytes are 2 tokens
            assert here.admission.tickets[0].ended == [("settled", 20 * 1000 + 2 * 2000)]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("rule", "least", "most", "end"),
    [
        ("estimate", 20_000, 90_000, "settled"),  # the prompt, and what a second would bring
        ("bound", 100_000, 100_000, "settled"),
        ("nothing", 0, 0, "released"),
    ],
)
def test_a_client_that_hangs_up_before_an_answer_is_charged_by_the_rule(
    rule: str, least: int, most: int, end: str
) -> None:
    async def run() -> None:
        async with running(money={"charge_unknown": rule}) as here:
            here.upstream.answers("a-theirs", fake.silent())
            waiting = asyncio.ensure_future(here.chat("a"))
            while not here.upstream.seen:
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait_for(here.upstream.hung_up.wait(), 10)
            while not here.log:
                await asyncio.sleep(0)
            [(ended, nano_usd)] = here.admission.tickets[0].ended
            assert ended == end
            assert least <= nano_usd <= most
            [attempt] = here.record.attempts
            assert (attempt.outcome, attempt.cost_nusd) == ("cancelled", nano_usd)
            assert (here.record.cost_nusd, here.record.charged_by) == (nano_usd or None, rule)

    asyncio.run(run())


def test_a_trace_that_fails_costs_no_answer() -> None:
    class Failing:
        def record(self, *_: object) -> None:
            raise RuntimeError("no spans today")

    async def run() -> None:
        async with running() as here:
            here.gateway.tracer = Failing()  # type: ignore[assignment]
            assert (await here.chat("a")).status == 200

    asyncio.run(run())


def test_a_refused_admission_calls_nobody() -> None:
    async def run() -> None:
        async with running() as here:
            here.admission.refuses = GatewayError(
                429,
                "the budget is used up",
                type_="insufficient_quota",
                headers={"Retry-After": "9"},
            )
            response = await here.chat("a")
            assert response.status == 429
            assert response.headers["Retry-After"] == "9"
            assert (await response.json())["error"]["type"] == "insufficient_quota"
            assert not here.upstream.seen

    asyncio.run(run())


def test_a_wrong_key_is_a_401() -> None:
    async def run() -> None:
        async with running() as here:
            response = await here.chat("a", headers={"Authorization": "Bearer wrong"})
            assert response.status == 401
            assert not here.upstream.seen

    asyncio.run(run())


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "not JSON"),
        (b"[]", "JSON object"),
        (b'{"model": "a"}', "messages"),
        (b'{"model": "a", "messages": []}', "messages"),
        (b'{"model": "a", "messages": [{"content": "x"}]}', "messages[0]"),
        (b'{"messages": [{"role": "user", "content": "x"}]}', "model"),
        (b'{"messages": [{"role": "user"}], "model": "' + b"a" * 1000 + b'"}', "model: found 'aa"),
        (b'{"model": "a", "messages": [{"role": "user", "content": 1}]}', "messages[0].content"),
        (b'{"model": "a", "messages": [{"role": "user", "content": ["x"]}]}', "content[0]"),
        (b'{"model": "a", "stream": "y", "messages": [{"role": "user"}]}', "stream"),
        (b'{"model": "a", "Model": "b", "messages": [{"role": "user"}]}', "Model: found 'b'"),
        (b'{"model": "a", "MAX_TOKENS": 9, "messages": [{"role": "user"}]}', "MAX_TOKENS"),
        ('{"model": "a", "ſtream": true, "messages": [{"role": "user"}]}'.encode(), "ſtream"),
        (b'{"model": "a", "n": 0, "messages": [{"role": "user"}]}', "n:"),
        (b'{"model": "a", "x": ' + b"[" * 70 + b"]" * 70 + b"}", "nested deeper than 64"),
        (b'{"model": "a", "x": ' + b"[" * 7000 + b"]" * 7000 + b"}", "not JSON"),
    ],
)
def test_a_wrong_body_is_a_400_that_names_the_field(body: bytes, says: str) -> None:
    async def run() -> None:
        async with running() as here:
            response = await here.http.post("/v1/chat/completions", data=body)
            assert response.status == 400
            assert says in (await response.json())["error"]["message"]
            assert not here.upstream.seen

    asyncio.run(run())


def test_a_body_that_is_too_long_is_a_413() -> None:
    async def run() -> None:
        async with running(limits={"max_body_bytes": 1000}) as here:
            response = await here.chat("a", padding="x" * 1000)
            assert response.status == 413
            assert (await response.json())["error"]["code"] == "body_too_large"

    asyncio.run(run())


@pytest.mark.parametrize("more", [b"1,", b"[],", b'{"a":[{}]},', b'"",'])
def test_a_body_of_very_many_values_is_a_413(more: bytes) -> None:
    async def run() -> None:
        async with running(limits={"max_json_values": 1000}) as here:
            ask = b'{"model":"a","messages":[{"role":"user","content":"Hi"}],"x":[%s1]}'
            for times, status in ((240, 200), (1000, 413)):
                data = ask % (more * times)
                response = await here.http.post("/v1/chat/completions", data=data)
                assert response.status == status
            assert (await response.json())["error"]["code"] == "too_many_values"

    asyncio.run(run())


def test_a_body_that_does_not_come_is_a_408_and_the_end_of_the_connection() -> None:
    async def run() -> None:
        async with running(limits={"body_seconds": 0.05}) as here:
            host, port = here.url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n")
            writer.write(b'Content-Length: 100\r\n\r\n{"model":')
            async with asyncio.timeout(30):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 408 ")
                assert b"connection: close" in head.lower()
                await reader.readuntil(b"body_too_slow")
                writer.write_eof()  # else what is still on its way is read for a while
                await reader.read()
            writer.close()

    asyncio.run(run())


def test_the_pools_name_is_written_into_answers_where_that_is_set() -> None:
    async def run() -> None:
        async with running(server={"answer_model": "pool"}) as here:
            response = await here.chat("a")
            assert await response.json() == {**fake.completion(), "model": "a"}
            response = await here.chat("a", stream=True)
            sent = b"".join(fake.streamed(usage=None))
            assert await response.read() == sent.replace(b"theirs-2026", b"a")

    asyncio.run(run())


def test_models_health_and_readiness() -> None:
    async def run() -> None:
        async with running() as here:
            listed = await (await here.http.get("/v1/models")).json()
            assert [one["id"] for one in listed["data"]] == ["a", "b", "c"]
            assert (await here.http.get("/healthz")).status == 200
            assert (await here.http.get("/readyz")).status == 200
            assert (await here.chat("a")).headers.get("Connection") != "close"
            here.gateway.is_draining = True
            assert (await here.chat("a")).headers["Connection"] == "close"
            assert (await here.http.get("/readyz")).status == 503

    asyncio.run(run())


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("GET", "/v1/nothing", 404, "no /v1/nothing here"),
        ("POST", "/", 405, "takes GET, not POST"),
        ("GET", "/v1/chat/completions", 405, "takes POST, not GET"),
        ("DELETE", "/v1/models", 405, "takes GET, not DELETE"),
    ],
)
def test_what_is_not_there_is_said_in_openais_form(
    method: str, path: str, status: int, says: str
) -> None:
    async def run() -> None:
        async with running() as here:
            response = await here.http.request(method, path)
            assert response.status == status
            assert says in (await response.json())["error"]["message"]
            assert response.headers.get("Allow", "") in says

    asyncio.run(run())


async def _texts(here: Running) -> tuple[str | None, str | None]:
    await here.chat("a")
    document = here.record.answer
    await here.chat("a", stream=True)
    return document, here.record.answer


def test_texts_are_kept_only_where_that_is_set() -> None:
    async def run() -> None:
        async with running() as here:
            assert await _texts(here) == (None, None)
        async with running(log={"log_texts": True}) as here:
            assert await _texts(here) == ("Hello wörld", "Hello wörld")
            assert json.loads(here.record.prompt or "") == [{"role": "user", "content": "Hi"}]

    asyncio.run(run())
