"""Upstreams of kind "litellm": what the SDK is asked, and what becomes of what it gives back.

The SDK is played by a module of the same form, as its exact versions of other packages do not go
together with this project's; the last tests run where the real one is installed.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import pytest

from equirouter.errors import MissingExtraError
from equirouter.serve.call.litellm_sdk import LiteLLMUpstream
from equirouter.serve.settings import UpstreamSettings
from tests.serve import fake_upstream as fake
from tests.serve.gateways import Running, running

UPSTREAMS = {
    "a": {
        "kind": "litellm",
        "api_key_env": "LITELLM_TEST_KEY",
        "base_url": "",
        "first_byte_seconds": 5,
        "headers": {"x-team": "t"},
    }
}
MODELS = {"a": {"upstream_model": "anthropic/theirs"}}


class Given:
    """As the SDK's pydantic models."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.type = document.get("type")

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        assert mode == "json"
        return self.document


class Stream:
    """As the SDK's streams: chunks, then perhaps an error."""

    def __init__(self, chunks: list[dict[str, Any]], error: Exception | None = None) -> None:
        self.chunks = chunks
        self.error = error
        self.was_closed = False

    async def __aiter__(self) -> AsyncIterator[Given]:
        for chunk in self.chunks:
            yield Given(chunk)
        if self.error is not None:
            raise self.error

    async def aclose(self) -> None:
        self.was_closed = True


class RefusalError(Exception):
    """As the SDK's errors with a status."""

    def __init__(self, status_code: int, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"no: {status_code}")
        self.status_code = status_code
        self.response = type("Response", (), {"headers": headers or {}})()


class ContextWindowExceededError(RefusalError):
    pass


class APIConnectionError(Exception):
    status_code = 500


class Timeout(Exception):  # noqa: N818  # the SDK's name
    status_code = 408


class Sdk(ModuleType):
    """The SDK; gives what it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__("litellm")
        self.gives: list[object] = []
        self.asked: list[dict[str, Any]] = []

    async def acompletion(self, **request: Any) -> object:
        self.asked.append(request)
        given = self.gives.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    aresponses = aembedding = anthropic_messages = acompletion


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> Sdk:
    module = Sdk()
    monkeypatch.setitem(sys.modules, "litellm", module)
    monkeypatch.setenv("LITELLM_TEST_KEY", "sk-theirs")
    return module


def with_sdk(**sections: Any) -> Any:
    return running(upstreams=UPSTREAMS, models=MODELS, **sections)


def test_a_completion(sdk: Sdk) -> None:
    async def run() -> None:
        async with with_sdk() as here:
            sdk.gives = [Given(fake.completion())]
            response = await here.chat("a", temperature=0.5, top_k=7)
            assert await response.json() == fake.completion()
            assert sdk.asked == [
                {
                    "model": "anthropic/theirs",
                    "messages": [{"role": "user", "content": "Hi"}],
                    "temperature": 0.5,
                    "top_k": 7,
                    "api_key": "sk-theirs",
                    "extra_headers": {"x-team": "t"},
                    "timeout": 600.0,
                    "num_retries": 0,
                    "max_retries": 0,
                }
            ]
            assert here.record.cost_nusd == 40_000

    asyncio.run(run())


@pytest.mark.parametrize("path", ["chat/completions", "responses"])
@pytest.mark.parametrize(
    "field",
    ["api_base", "base_url", "api_key", "fallbacks", "extra_body", "vertex_credentials", "new"],
)
def test_a_client_does_not_reach_the_sdks_own_arguments(sdk: Sdk, path: str, field: str) -> None:
    async def run() -> None:
        async with with_sdk() as here:
            said: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "input": "Hi"}
            del said["input" if path == "chat/completions" else "messages"]
            body = {"model": "a", field: "http://elsewhere", **said}
            response = await here.http.post(f"/v1/{path}", json=body)
            assert response.status == 400
            assert field in (await response.json())["error"]["message"]
            assert sdk.asked == []
            assert here.admission.tickets[0].ended == [("released", 0)]

    asyncio.run(run())


def test_a_stream(sdk: Sdk) -> None:
    async def run() -> None:
        async with with_sdk() as here:
            given = Stream(
                [
                    *map(fake.text_chunk, fake.WORDS),
                    fake.text_chunk("", "stop"),
                    fake.chunk(usage=fake.USAGE),
                ]
            )
            sdk.gives = [given]
            sent = await (await here.chat("a", stream=True)).read()
            assert sent.count(b"data: ") == 5  # three words, the end, and [DONE]
            assert sent.endswith(b"data: [DONE]\n\n")
            assert sdk.asked[0]["stream_options"] == {"include_usage": True}
            assert here.record.cost_nusd == 40_000
            assert given.was_closed

    asyncio.run(run())


@pytest.mark.parametrize(
    ("error", "outcome", "status"),
    [
        (RefusalError(429, {"Retry-After": "60"}), "status", 429),
        (RefusalError(500), "status", 500),
        (ContextWindowExceededError(400), "status", 400),
        (APIConnectionError("no"), "connect", None),
        (Timeout("no"), "timeout", None),
        (ValueError("of a provider's library"), "broken", None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_goes_to_the_next_model(
    sdk: Sdk, error: Exception, outcome: str, status: int | None, stream: bool
) -> None:
    async def run() -> None:
        async with with_sdk() as here:
            here.planner.order = [("a", 300), ("b", 200)]
            sdk.gives = [error]
            response = await here.chat("equirouter/auto", stream=stream)
            assert response.headers["x-equirouter-model"] == "b"
            failed = here.record.attempts[0]
            assert (failed.outcome, failed.status) == (outcome, status)

    asyncio.run(run())


def test_what_the_client_did_wrong_is_passed_on(sdk: Sdk) -> None:
    async def run() -> None:
        async with with_sdk() as here:
            said = RefusalError(400)
            said.args = ("no: 400 for sk-theirs",)
            sdk.gives = [said]
            response = await here.chat("a")
            assert response.status == 400
            assert (await response.json())["error"]["message"] == "no: 400 for ***"

    asyncio.run(run())


def test_a_stream_that_breaks_ends_with_an_error(sdk: Sdk) -> None:
    async def run() -> None:
        async with with_sdk() as here:
            sdk.gives = [Stream([fake.text_chunk("Hel")], APIConnectionError("no"))]
            sent = await (await here.chat("a", stream=True)).read()
            assert b"[DONE]" not in sent
            assert b"broke off" in sent

    asyncio.run(run())


async def _respond(here: Running, **body: Any) -> bytes:
    content = {"model": "a", "input": "Hi", **body}
    response = await here.http.post("/v1/responses", json=content)
    return await response.read()


def test_responses_and_embeddings(sdk: Sdk) -> None:
    async def run() -> None:
        events: list[dict[str, Any]] = [
            {"type": "response.output_text.delta", "delta": "Hi"},
            {"type": "response.completed", "response": fake.response()},
        ]
        async with with_sdk() as here:
            sdk.gives = [Given(fake.response()), Stream(events)]
            assert b"resp_1" in await _respond(here)
            sent = await _respond(here, stream=True)
            assert sent.startswith(b"event: response.output_text.delta\ndata: {")
            assert here.record.error is None
            assert b"[DONE]" not in sent
        models = {"a": {"upstream_model": "cohere/theirs", "kind": "embedding"}}
        async with running(upstreams=UPSTREAMS, models=models) as here:
            sdk.gives = [Given(fake.EMBEDDING)]
            body = {"model": "a", "input": "x"}
            response = await here.http.post("/v1/embeddings", json=body)
            assert await response.json() == fake.EMBEDDING

    asyncio.run(run())


def test_messages(sdk: Sdk) -> None:
    class Bytes(Stream):
        async def __aiter__(self) -> AsyncIterator[Any]:
            for event in fake.streamed_message():
                yield event

    async def run() -> None:
        async with with_sdk(upstream={"messages": True}) as here:
            sdk.gives = [fake.message(), Bytes([])]
            body: dict[str, Any] = {"model": "a", "max_tokens": 9, "messages": [], "top_k": 5}
            body["messages"].append({"role": "user", "content": "Hi"})
            headers = {"anthropic-beta": "b"}
            async with here.http.post("/v1/messages", json=body, headers=headers) as response:
                assert await response.json() == fake.message()
            assert here.record.cost_nusd == 40_000
            body["stream"] = True
            async with here.http.post("/v1/messages", json=body, headers=headers) as response:
                assert await response.read() == b"".join(fake.streamed_message())
            assert here.record.error is None
            assert sdk.asked[0]["extra_headers"] == {
                "x-team": "t",
                "anthropic-beta": "b",
                "anthropic-version": "2023-06-01",
            }
            async with here.http.post("/v1/messages/count_tokens", json=body) as response:
                assert response.headers["x-equirouter-estimated"] == "true"

    asyncio.run(run())


def test_responses_by_chat_completions(sdk: Sdk) -> None:
    async def run() -> None:
        async with with_sdk(upstream={"responses": False}) as here:
            chunks = [*map(fake.text_chunk, fake.WORDS), fake.text_chunk("", "stop")]
            sdk.gives = [Given(fake.completion()), Stream([*chunks, fake.chunk(usage=fake.USAGE)])]
            assert b'"text":"Hello w' in await _respond(here)
            sent = await _respond(here, stream=True)
            assert sent.count(b"event: response.output_text.delta") == 3
            assert sent.count(b"event: response.completed") == 1
            assert all("input" not in asked for asked in sdk.asked)
            assert here.record.cost_nusd == 40_000
            assert here.record.error is None

    asyncio.run(run())


def test_without_the_package_the_command_to_install_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'equirouter\[litellm\]'"):
        LiteLLMUpstream(UpstreamSettings(kind="litellm"))


needs_sdk = pytest.mark.skipif(find_spec("litellm") is None, reason="litellm is not installed")
REAL = {"a": {"kind": "litellm", "api_key_env": "LITELLM_TEST_KEY"}}


def with_real_sdk(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("LITELLM_TEST_KEY", "sk-theirs")
    return running(upstreams=REAL, models={"a": {"upstream_model": "openai/theirs"}})


@needs_sdk
@pytest.mark.filterwarnings("ignore")
def test_the_real_sdk_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with with_real_sdk(monkeypatch) as here:
            whole = await (await here.chat("a", seed=7)).json()
            assert whole["choices"][0]["message"]["content"] == "Hello wörld"
            assert here.record.cost_nusd == 40_000
            sent = await (await here.chat("a", stream=True)).read()
            assert sent.endswith(b"data: [DONE]\n\n")
            assert here.record.error is None
            assert here.record.cost_nusd == 40_000
            first = here.upstream.seen[0]
            assert first.request.headers["Authorization"] == "Bearer sk-theirs"
            assert (first.body["seed"], first.body["model"]) == (7, "theirs")

    asyncio.run(run())


@needs_sdk
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_through_the_real_sdk_goes_to_the_next_model(
    monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    async def run() -> None:
        async with with_real_sdk(monkeypatch) as here:
            here.planner.order = [("a", 300), ("b", 200)]
            here.upstream.answers("theirs", fake.error(429))
            response = await here.chat("equirouter/auto", stream=stream)
            assert response.headers["x-equirouter-model"] == "b"
            assert here.record.attempts[0].status == 429

    asyncio.run(run())


@needs_sdk
@pytest.mark.filterwarnings("ignore")
def test_messages_through_the_real_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_TEST_KEY", "sk-theirs")

    async def run() -> None:
        upstream = {**REAL["a"], "messages": True}
        models = {"a": {"upstream_model": "anthropic/theirs"}}
        async with running(upstreams={"a": upstream}, models=models) as here:
            messages = [{"role": "user", "content": "Hi"}]
            body = {"model": "a", "max_tokens": 9, "messages": messages}
            async with here.http.post("/v1/messages", json=body) as response:
                whole = await response.json()
            assert whole["content"][0]["text"] == "Hello wörld"
            assert here.record.cost_nusd == 40_000
            async with here.http.post("/v1/messages", json={**body, "stream": True}) as response:
                sent = await response.read()
            assert sent.count(b"event: message_stop") == 1
            assert here.record.error is None
            assert here.record.cost_nusd == 40_000
            assert all(seen.path.endswith("/messages") for seen in here.upstream.seen)

    asyncio.run(run())
