"""Who answers when the first one does not: fallbacks, retries, time-outs, circuits."""

import asyncio
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.errors import UpstreamError
from equirouter.serve.call.attempts import pause_seconds
from equirouter.serve.settings import RetrySettings
from tests.serve import fake_upstream as fake
from tests.serve.gateways import Running, running

AUTO = "equirouter/auto"


def ranked(here: Running, *uppers: int, names: str = "abc") -> None:
    """The planner ranks a, b, c, each with its upper bound in nano-USD."""
    here.planner.order = list(zip(names, uppers, strict=False))


DROPPED = fake.dropped()


async def shown(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The error object of an answer."""
    found: dict[str, Any] = (await response.json())["error"]
    return found


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("shape", "outcome", "status"),
    [
        (fake.error(500), "status", 500),
        (fake.error(429), "status", 429),
        (fake.error(401), "status", 401),
        (fake.error(404), "status", 404),
        *((fake.error(status), "status", status) for status in (405, 406, 409, 410, 411, 413)),
        *((fake.error(status), "status", status) for status in (414, 415, 416, 417, 451)),
        (fake.error(400, code="context_length_exceeded"), "status", 400),
        (DROPPED, "broken", None),
        (fake.raw(b"{]", headers={"Content-Type": "application/json"}), "broken", None),
        (fake.raw(b"<p>Soon</p>", headers={"Content-Type": "text/html"}), "broken", None),
        (fake.document({"error": {"message": "quota"}}), "broken", None),
        (fake.raw(b"", status=302, headers={"Location": "/v1/elsewhere"}), "status", 502),
    ],
)
def test_a_failure_goes_to_the_next_model(
    shape: fake.Shape, outcome: str, status: int | None, stream: bool
) -> None:
    async def run() -> None:
        async with running() as here:
            ranked(here, 300, 200, 100)
            here.upstream.answers("a-theirs", shape)
            response = await here.chat(AUTO, stream=stream)
            assert response.status == 200
            assert response.headers["x-equirouter-model"] == "b"
            assert response.headers["x-equirouter-attempts"] == "2"
            assert response.headers["x-equirouter-failed"] == f"a: {status or outcome}"
            assert here.upstream.models == ["a-theirs", "b-theirs"]
            first, second = here.record.attempts
            assert (first.outcome, first.status) == (outcome, status)
            assert (second.model, second.outcome) == ("b", "ok")
            assert here.record.served_model == "b"
            # the provider may charge for the answer that broke off; an error costs nothing
            first_nusd = 300 if shape is DROPPED else 0
            assert first.cost_nusd == (first_nusd or None)
            assert here.admission.tickets[0].ended == [("settled", first_nusd + 40_000)]

    asyncio.run(run())


@pytest.mark.parametrize(
    "first",
    [
        b'data: {"error": {"message": "overloaded"}}\n\n',
        b'event: error\ndata: {"type": "error", "message": "overloaded"}\n\n',
        b"",
    ],
)
def test_a_stream_that_begins_with_an_error_goes_to_the_next_model(first: bytes) -> None:
    async def run() -> None:
        async with running() as here:
            ranked(here, 300, 200)
            here.upstream.answers("a-theirs", fake.stream([first] if first else []))
            response = await here.chat(AUTO, stream=True)
            assert await response.read() == b"".join(fake.streamed(usage=None))
            assert here.upstream.models == ["a-theirs", "b-theirs"]

    asyncio.run(run())


def test_nobody_listens_at_the_first_upstream() -> None:
    async def run() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        dead = {"a": {"base_url": f"http://127.0.0.1:{port}/v1"}}
        async with running(upstreams=dead) as here:
            ranked(here, 300, 200)
            response = await here.chat(AUTO)
            assert response.headers["x-equirouter-model"] == "b"
            assert here.record.attempts[0].outcome == "connect"

    asyncio.run(run())


def test_a_redirect_is_not_followed() -> None:
    async def run() -> None:
        async with fake.fake_upstream() as elsewhere, running() as here:
            ranked(here, 300, 200)
            to = {"Location": f"{elsewhere.url}/chat/completions"}
            here.upstream.answers("a-theirs", fake.document({}, status=307, headers=to))
            response = await here.chat(AUTO)
            assert response.headers["x-equirouter-model"] == "b"
            assert here.record.attempts[0].status == 502
            assert not elsewhere.seen  # neither the request nor the key went there

    asyncio.run(run())


def test_a_name_that_cannot_be_resolved_is_a_failure_like_others() -> None:
    async def run() -> None:
        nowhere = {"a": {"base_url": "http://nowhere.invalid/v1"}}
        async with running(upstreams=nowhere) as here:
            ranked(here, 300, 200)
            response = await here.chat(AUTO)
            assert response.headers["x-equirouter-model"] == "b"
            assert here.record.attempts[0].outcome == "connect"

    asyncio.run(run())


def test_no_first_byte_in_time_goes_to_the_next_model() -> None:
    async def run() -> None:
        slow = {"a": {"first_byte_seconds": 0.2}}
        async with running(upstreams=slow) as here:
            ranked(here, 300, 200)
            here.upstream.answers("a-theirs", fake.silent())
            response = await here.chat(AUTO, stream=True)
            assert response.headers["x-equirouter-model"] == "b"
            assert here.record.attempts[0].outcome == "timeout"
            await asyncio.wait_for(here.upstream.hung_up.wait(), 10)

    asyncio.run(run())


def test_a_head_without_a_body_is_no_first_byte() -> None:
    async def run() -> None:
        slow = {"a": {"first_byte_seconds": 0.02}}
        async with running(upstreams=slow) as here:
            ranked(here, 300, 200)
            never = fake.stream(fake.streamed(), before={0: asyncio.Event()})
            here.upstream.answers("a-theirs", never)
            response = await here.chat(AUTO, stream=True)
            assert response.headers["x-equirouter-model"] == "b"

    asyncio.run(run())


def test_a_call_that_takes_too_long_in_all_is_a_504_where_nobody_else_is() -> None:
    async def run() -> None:
        async with running(upstream={"total_seconds": 0.2}) as here:
            here.upstream.answers("a-theirs", fake.silent())
            response = await here.chat("a")
            assert response.status == 504
            assert (await shown(response))["code"] == "upstream_timeout"
            assert len(here.upstream.seen) == 1  # the client waited once for all of that time
            # the prompt of 20 tokens at 1,000 nano-USD, and what 0.2 s may have generated
            [(end, nano_usd)] = here.admission.tickets[0].ended
            assert end == "settled"
            assert 40_000 <= nano_usd <= 200_000
            assert here.record.cost_nusd == here.record.attempts[0].cost_nusd == nano_usd
            assert here.record.charged_by == "estimate"

    asyncio.run(run())


def test_a_more_expensive_fallback_needs_more_money() -> None:
    async def run() -> None:
        async with running() as here:
            here.admission.most = 250
            ranked(here, 100, 300, 200)
            here.upstream.answers("a-theirs", fake.error(500))
            response = await here.chat(AUTO)
            # b could cost more than is left of the budget, c could not
            assert response.headers["x-equirouter-model"] == "c"
            assert here.upstream.models == ["a-theirs", "c-theirs"]
            assert here.admission.tickets[0].reserved == 200
            assert [one.outcome for one in here.record.attempts] == ["status", "refused", "ok"]

    asyncio.run(run())


def test_a_cheaper_fallback_needs_no_more_money() -> None:
    async def run() -> None:
        async with running() as here:
            here.admission.most = 0
            ranked(here, 300, 200)
            here.upstream.answers("a-theirs", fake.error(500))
            assert (await here.chat(AUTO)).headers["x-equirouter-model"] == "b"
            assert here.admission.tickets[0].reserved == 300

    asyncio.run(run())


def test_no_more_calls_than_max_attempts() -> None:
    async def run() -> None:
        async with running(retries={"max_attempts": 2}) as here:
            ranked(here, 300, 200, 100)
            for model in ("a-theirs", "b-theirs"):
                here.upstream.answers(model, fake.error(500))
            response = await here.chat(AUTO)
            assert response.status == 502
            assert here.upstream.models == ["a-theirs", "b-theirs"]
            assert (await shown(response))["attempts"] == [
                {"model": "a", "outcome": "status", "status": 500},
                {"model": "b", "outcome": "status", "status": 500},
            ]
            assert here.admission.tickets[0].ended == [("released", 0)]

    asyncio.run(run())


@pytest.mark.parametrize("status", [400, 422])
def test_what_the_client_did_wrong_is_passed_on_and_tried_nowhere_else(status: int) -> None:
    async def run() -> None:
        async with running() as here:
            ranked(here, 300, 200)
            here.upstream.answers("a-theirs", fake.error(status))
            response = await here.chat(AUTO)
            assert response.status == status
            assert (await shown(response))["message"] == f"no: {status}"
            assert response.headers["x-equirouter-request-id"] == here.record.request_id
            assert here.upstream.models == ["a-theirs"]

    asyncio.run(run())


def test_a_body_that_the_only_model_finds_too_long_is_a_413_in_its_words() -> None:
    async def run() -> None:
        async with running() as here:
            here.upstream.answers("a-theirs", fake.error(413))
            response = await here.chat("a")
            assert response.status == 413
            assert (await shown(response))["message"] == "no: 413"

    asyncio.run(run())


def test_the_last_model_is_tried_again() -> None:
    async def run() -> None:
        async with running() as here:
            here.upstream.answers("a-theirs", fake.error(503), fake.ok())
            response = await here.chat("a")
            assert response.status == 200
            assert response.headers["x-equirouter-attempts"] == "2"
            assert here.upstream.models == ["a-theirs", "a-theirs"]

    asyncio.run(run())


def test_a_short_retry_after_is_waited_for() -> None:
    async def run() -> None:
        async with running() as here:
            here.upstream.answers("a-theirs", fake.error(429, retry_after="0.04"), fake.ok())
            assert (await here.chat("a")).status == 200
            assert here.upstream.models == ["a-theirs", "a-theirs"]

    asyncio.run(run())


@given(
    backoff=st.floats(0.001, 10),
    most=st.floats(0.001, 100),
    same=st.integers(1, 12),
    asked=st.none() | st.floats(0, 1000),
)
def test_a_pause_is_what_was_asked_for_or_doubles_with_jitter(
    backoff: float, most: float, same: int, asked: float | None
) -> None:
    retries = RetrySettings(backoff_seconds=backoff, max_wait_seconds=most)
    pause = pause_seconds(
        UpstreamError("status", "", status=503, retry_seconds=asked), same, retries
    )
    doubled = min(backoff * 2 ** (same - 1), most)
    if asked is None:
        assert pause is not None
        assert doubled / 2 <= pause <= doubled
    elif asked > most:
        assert pause is None
    else:
        assert pause is not None
        assert asked < pause <= asked + doubled / 4


@pytest.mark.parametrize("wait", ["60", "Wed, 21 Oct 2065 07:28:00 GMT"])
def test_a_long_retry_after_is_the_clients_to_wait(wait: str) -> None:
    async def run() -> None:
        async with running() as here:
            here.upstream.answers("a-theirs", fake.error(429, retry_after=wait))
            response = await here.chat("a")
            assert response.status == 429
            assert (await shown(response))["message"] == "no: 429"
            assert int(response.headers["Retry-After"]) >= 60
            assert len(here.upstream.seen) == 1

    asyncio.run(run())


def test_a_key_that_the_provider_refuses_is_not_tried_twice() -> None:
    async def run() -> None:
        async with running() as here:
            here.upstream.answers("a-theirs", fake.error(401))
            response = await here.chat("a")
            assert len(here.upstream.seen) == 1
            # 401 would say that the client's key is wrong
            assert response.status == 502

    asyncio.run(run())


def test_a_compressed_answer_is_passed_on_readable() -> None:
    async def run() -> None:
        async with running() as here:
            here.upstream.answers("a-theirs", fake.zipped(fake.completion()))
            response = await here.chat("a")
            assert await response.json() == fake.completion()
            assert here.upstream.seen[0].request.headers["Accept-Encoding"] == "identity"

    asyncio.run(run())


@pytest.mark.parametrize("shape", [fake.document, fake.zipped])
def test_an_answer_that_is_too_long_is_a_failure(shape: Any) -> None:
    async def run() -> None:
        async with running(limits={"max_answer_bytes": 2000}) as here:
            here.upstream.answers("a-theirs", shape(fake.completion("x" * 5000)))
            response = await here.chat("a")
            assert response.status == 502
            assert re.search("more than 2000 bytes|of 5[0-9]{3} bytes", await response.text())

    asyncio.run(run())


def test_an_open_circuit_is_not_called_and_closes_after_a_probe() -> None:
    async def run() -> None:
        careful = {"a": {"breaker_failures": 2, "breaker_seconds": 0.03}}
        async with running(upstreams=careful, retries={"same_model": 1}) as here:
            here.upstream.answers("a-theirs", fake.error(500), fake.error(500), fake.ok())
            for _ in range(2):
                assert (await here.chat("a")).status == 502
            response = await here.chat("a")
            assert response.status == 503
            assert int(response.headers["Retry-After"]) >= 1
            assert len(here.upstream.seen) == 2
            assert here.gateway.pool.available("a") is not None
            assert here.gateway.pool.available("b") is None
            while here.gateway.pool.available("a") is not None:
                await asyncio.sleep(0.005)
            assert (await here.chat("a")).status == 200
            assert here.gateway.pool.guards["a"].state == "closed"

    asyncio.run(run())


def test_a_full_upstream_is_passed_over() -> None:
    async def run() -> None:
        async with running(upstreams={"a": {"max_concurrency": 1}}) as here:
            ranked(here, 300, 200)
            go = asyncio.Event()
            here.upstream.answers("a-theirs", fake.silent(go))
            first = asyncio.ensure_future(here.chat(AUTO))
            while not here.upstream.seen:
                await asyncio.sleep(0)
            second = await here.chat(AUTO)
            assert second.headers["x-equirouter-model"] == "b"
            assert second.headers["x-equirouter-attempts"] == "1"  # a was not called
            go.set()
            assert (await first).headers["x-equirouter-model"] == "a"

    asyncio.run(run())


def test_a_full_upstream_without_another_is_waited_for() -> None:
    async def run() -> None:
        full = {"a": {"max_concurrency": 1}}
        async with running(upstreams=full, retries={"max_wait_seconds": 10}) as here:
            go = asyncio.Event()
            here.upstream.answers("a-theirs", fake.silent(go))
            both = [asyncio.ensure_future(here.chat("a")) for _ in range(2)]
            while not here.upstream.seen:
                await asyncio.sleep(0)
            go.set()
            assert [(await one).status for one in both] == [200, 200]

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_that_repeats_its_key_does_not_give_it_away(
    monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    async def run() -> None:
        monkeypatch.setenv("THEIR_KEY", "sk-theirs-and-secret")
        async with running(upstream={"api_key_env": "THEIR_KEY"}) as here:
            said = {"error": {"message": "odd: Authorization: Bearer sk-theirs-and-secret"}}
            here.upstream.answers("a-theirs", fake.document(said, status=400))
            response = await here.chat("a", stream=stream)
            assert response.status == 400
            assert await response.json() == {"error": {"message": "odd: Authorization: Bearer ***"}}

    asyncio.run(run())


def test_each_upstream_is_sent_its_own_key_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        upstreams = {}
        for name in ("a", "b"):
            monkeypatch.setenv(f"KEY_OF_{name}", f"sk-of-{name}")
            upstreams[name] = {"api_key_env": f"KEY_OF_{name}"}
        async with running(upstreams=upstreams) as here:
            here.planner.order = [("a", 10), ("b", 10), ("c", 10)]
            here.upstream.answers("a-theirs", fake.document({}, status=500))
            here.upstream.answers("b-theirs", fake.document({}, status=500))
            headers = {"Authorization": "Bearer eq-of-the-client", "x-api-key": "eq-other"}
            assert (await here.chat(AUTO, headers=headers)).status == 200
            sent = [str(call.request.headers) for call in here.upstream.seen]
            keys = [re.findall(r"(?:sk|eq)-o\w+(?:-\w+)*", one) for one in sent]
            assert keys == [["sk-of-a"], ["sk-of-b"], []]

    asyncio.run(run())


def test_where_an_upstream_is_stays_in_the_log() -> None:
    async def run() -> None:
        async with running(upstreams={"a": {"base_url": "http://127.0.0.1:9/v1"}}) as here:
            response = await here.chat("a")
            assert response.status == 502
            assert "a: cannot be reached" in (await response.json())["error"]["message"]
            assert "127.0.0.1" not in await response.text()
            assert "127.0.0.1:9" in (here.record.attempts[-1].error or "")

    asyncio.run(run())


def test_an_upstream_is_not_shut_out_because_the_gateway_has_no_file_handle_left() -> None:
    async def run() -> None:
        async with running(upstream={"breaker_failures": 1}) as here:
            go = asyncio.Event()
            here.upstream.answers("c-theirs", fake.silent(go))
            # one connection of the client for each request that follows
            await asyncio.gather(here.http.get("/healthz"), here.http.get("/healthz"))
            busy = asyncio.ensure_future(here.chat("c"))
            while not here.upstream.seen:
                await asyncio.sleep(0.001)
            with no_more_files():
                response = await here.chat("a")
            assert response.status == 503
            assert "no file handle left" in (await response.json())["error"]["message"]
            assert response.headers["Retry-After"] == "1"
            go.set()
            assert (await busy).status == 200
            assert (await here.chat("a")).status == 200

    asyncio.run(run())


@contextmanager
def no_more_files() -> Iterator[None]:
    """This process can open nothing."""
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 10, hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(taken[0]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for number in taken:
            os.close(number)
