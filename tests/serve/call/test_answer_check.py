"""An answer under status 200, and what only looks like one."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.errors import UpstreamError
from equirouter.serve.call.answer_check import Opening
from tests.serve import fake_upstream as fake
from tests.serve.gateways import running

AUTO = "equirouter/auto"
ERROR: dict[str, Any] = {"error": {"message": "provider down", "code": 502}}
NO_COMPLETIONS: list[Any] = [
    {},
    [],
    {"choices": []},
    {"choices": None},
    {"choices": [{}]},
    {"choices": [{"message": None, "finish_reason": "stop"}]},
    {"choices": [{"message": {"role": "assistant", "content": None}, "finish_reason": None}]},
    {"choices": [{"message": {"role": "assistant", "content": ""}, "finish_reason": "error"}]},
    {"choices": [{"error": {"message": "cut off"}, "message": {"content": "He"}}]},
    {"html-message": "Network connection lost."},
    {"object": "chat.completion", "usage": fake.USAGE},
    {"error": {"message": "quota exceeded", "type": "insufficient_quota"}},
    {"type": "error", "message": "overloaded"},
    {"message": "Hi", "status": "success"},
]
NO_RESPONSES: list[Any] = [
    {},
    {"output": []},
    {"object": "response", "status": "completed", "output": []},
    {**fake.response(), "status": "failed", "output": [], "error": {"code": "server_error"}},
    fake.completion(),
]
NO_EMBEDDINGS: list[Any] = [{}, {"data": []}, {"data": [{"index": 0}]}, {"data": {"embedding": 1}}]


def event(document: Any) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


@pytest.mark.parametrize("responses", [True, False])
@pytest.mark.parametrize(
    ("path", "document"),
    [
        *(("/v1/chat/completions", document) for document in NO_COMPLETIONS),
        *(("/v1/responses", document) for document in NO_RESPONSES),
    ],
)
def test_a_200_without_an_answer_goes_to_the_next_model(
    path: str, document: Any, responses: bool
) -> None:
    async def run() -> None:
        async with running(upstream={"responses": responses}) as here:
            here.planner.order = [("a", 300), ("b", 200)]
            is_answer = document == fake.completion() and not responses
            here.upstream.answers("a-theirs", fake.document(document))
            body = {"model": AUTO, "messages": [{"role": "user", "content": "Hi"}], "input": "Hi"}
            if path == "/v1/responses":
                del body["messages"]
            response = await here.http.post(path, json=body)
            assert response.status == 200
            assert response.headers["x-equirouter-model"] == ("a" if is_answer else "b")
            if not is_answer:
                assert here.record.attempts[0].outcome == "broken"

    asyncio.run(run())


@pytest.mark.parametrize("document", NO_COMPLETIONS)
def test_a_200_without_an_answer_is_not_charged_and_opens_the_circuit(document: Any) -> None:
    async def run() -> None:
        careful = {"a": {"breaker_failures": 2}}
        async with running(upstreams=careful) as here:
            here.upstream.answers("a-theirs", fake.document(document))
            response = await here.chat("a")
            assert response.status == 502
            assert here.upstream.models == ["a-theirs", "a-theirs"]  # tried again
            assert here.admission.tickets[0].ended == [("released", 0)]
            assert here.gateway.pool.guards["a"].state == "open"

    asyncio.run(run())


@pytest.mark.parametrize("document", NO_EMBEDDINGS)
def test_embeddings_that_are_none_are_no_answer(document: Any) -> None:
    async def run() -> None:
        async with running(models={"a": {"kind": "embedding"}}) as here:
            here.upstream.answers("a-theirs", fake.document(document))
            response = await here.http.post("/v1/embeddings", json={"model": "a", "input": "Hi"})
            assert response.status == 502
            assert here.record.attempts[0].outcome == "broken"

    asyncio.run(run())


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": None, "refusal": "I will not"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]},
    ],
)
def test_an_answer_without_a_text_is_one(message: dict[str, Any]) -> None:
    async def run() -> None:
        async with running() as here:
            document = fake.completion(usage=fake.USAGE)
            document["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
            here.upstream.answers("a-theirs", fake.document(document))
            response = await here.chat("a")
            assert response.status == 200
            assert await response.json() == document

    asyncio.run(run())


def role(text: str | None = "") -> bytes:
    return event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": text}}]})


BEFORE_AN_ANSWER = [
    [b": PROCESSING\n\n"],
    [b": OPENROUTER PROCESSING\n\n"] * 20,
    [role()],
    [role(None)],
    [event({"choices": [], "prompt_filter_results": []})],
    [event({"choices": [{"index": 0, "delta": {}, "finish_reason": None}]})],
    [b"event: ping\ndata: {}\n\n", b"id: 7\nretry: 100\n\n"],
    [b": PROCESSING\n\n", event({"choices": []}), role()],
]
BEFORE_A_RESPONSE = [
    [event({"type": kind, "response": {"status": "in_progress"}})]
    for kind in ("response.created", "response.queued", "response.in_progress")
]
FAILED = event({"type": "response.failed", "response": {"error": {"message": "down"}}})


@pytest.mark.parametrize("size", [1, 7, None])
@pytest.mark.parametrize("before", BEFORE_AN_ANSWER)
def test_an_error_after_what_carries_no_content_goes_to_the_next_model(
    before: list[bytes], size: int | None
) -> None:
    """However the bytes are cut."""

    async def run() -> None:
        async with running() as here:
            here.planner.order = [("a", 300), ("b", 200)]
            said = b"".join((*before, event(ERROR)))
            cut = size or len(said)
            pieces = [said[start : start + cut] for start in range(0, len(said), cut)]
            here.upstream.answers("a-theirs", fake.stream(pieces))
            response = await here.chat(AUTO, stream=True)
            assert response.headers["x-equirouter-model"] == "b"
            assert await response.read() == b"".join(fake.streamed(usage=None))
            assert here.record.attempts[0].outcome == "broken"

    asyncio.run(run())


@pytest.mark.parametrize("end", [event(ERROR), FAILED, b"", b"data: [DONE]\n\n"])
@pytest.mark.parametrize("before", BEFORE_A_RESPONSE)
def test_a_response_that_fails_before_it_says_anything_goes_to_the_next_model(
    before: list[bytes], end: bytes
) -> None:
    async def run() -> None:
        async with running() as here:
            here.planner.order = [("a", 300), ("b", 200)]
            here.upstream.answers("a-theirs", fake.stream([*before, end]))
            body = {"model": AUTO, "input": "Hi", "stream": True}
            response = await here.http.post("/v1/responses", json=body)
            assert response.headers["x-equirouter-model"] == "b"
            assert await response.read() == b"".join(fake.streamed_response())

    asyncio.run(run())


@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize("before", BEFORE_AN_ANSWER)
def test_a_translated_stream_falls_back_as_late(before: list[bytes], cut: bool) -> None:
    async def run() -> None:
        async with running(upstream={"responses": False}) as here:
            here.planner.order = [("a", 300), ("b", 200)]
            pieces = [*before] if cut else [*before, event(ERROR)]
            here.upstream.answers("a-theirs", fake.stream(pieces, cut=cut))
            body = {"model": AUTO, "input": "Hi", "stream": True}
            response = await here.http.post("/v1/responses", json=body)
            assert response.headers["x-equirouter-model"] == "b"
            assert b"response.completed" in await response.read()

    asyncio.run(run())


@pytest.mark.parametrize("before", BEFORE_AN_ANSWER)
def test_what_came_before_the_answer_reaches_the_client(before: list[bytes]) -> None:
    async def run() -> None:
        async with running() as here:
            pieces = [*before, *fake.streamed()]
            here.upstream.answers("a-theirs", fake.stream(pieces))
            options = {"include_usage": True}
            response = await here.chat("a", stream=True, stream_options=options)
            assert await response.read() == b"".join(pieces)

    asyncio.run(run())


def test_comments_alone_are_no_first_byte() -> None:
    async def run() -> None:
        async with running(upstreams={"a": {"first_byte_seconds": 0.05}}) as here:
            here.planner.order = [("a", 300), ("b", 200)]
            pieces = [b": PROCESSING\n\n", role(), b""]
            never = fake.stream(pieces, before={2: asyncio.Event()})
            here.upstream.answers("a-theirs", never)
            response = await here.chat(AUTO, stream=True)
            assert response.headers["x-equirouter-model"] == "b"
            assert here.record.attempts[0].outcome == "timeout"

    asyncio.run(run())


def test_what_comes_before_an_answer_is_bounded() -> None:
    async def run() -> None:
        async with running(limits={"max_answer_bytes": 2000}) as here:
            here.planner.order = [("a", 300), ("b", 200)]
            here.upstream.answers("a-theirs", fake.stream([b": PROCESSING\n\n"] * 300))
            response = await here.chat(AUTO, stream=True)
            assert response.headers["x-equirouter-model"] == "b"
            assert "before the answer began" in (here.record.attempts[0].error or "")

    asyncio.run(run())


@given(
    st.lists(st.sampled_from([b": x\n\n", role(), event({"choices": []}), b"data: {}\r\n\r\n"])),
    st.booleans(),
    st.integers(1, 40),
)
def test_how_a_beginning_is_cut_changes_nothing(
    before: list[bytes], is_error: bool, size: int
) -> None:
    said = b"".join((*before, event(ERROR if is_error else fake.text_chunk("Hi"))))
    opening = Opening("/chat/completions", 10_000)
    try:
        begun = [
            opening.has_begun(said[start : start + size]) for start in range(0, len(said), size)
        ]
    except UpstreamError:
        assert is_error
    else:
        assert begun == [False] * (len(begun) - 1) + [True]
        assert opening.all() == said
