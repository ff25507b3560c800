"""A provider that does not speak OpenAI's API, called through LiteLLM's SDK: the extra `litellm`.

What the SDK gives back is made into the bytes that an OpenAI-compatible provider would have sent,
so nothing after it knows the difference.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import orjson

from equirouter.errors import GatewayError, UpstreamError
from equirouter.extras import require
from equirouter.serve.call.upstream import NO_HEADERS
from equirouter.serve.settings import UpstreamSettings
from equirouter.serve.settling import LITELLM_COST

_FUNCTIONS = {
    "/chat/completions": "acompletion",
    "/responses": "aresponses",
    "/messages": "anthropic_messages",
    "/embeddings": "aembedding",
}
_SHARED = "model stream temperature top_p user metadata store service_tier safety_identifier"
_SHARED += " prompt_cache_key prompt_cache_retention parallel_tool_calls tools tool_choice"
_SHARED += " top_logprobs stream_options"
_OF_CHATS = "messages audio frequency_penalty function_call functions logit_bias logprobs"
_OF_CHATS += " max_completion_tokens max_tokens modalities n prediction presence_penalty"
_OF_CHATS += " reasoning_effort response_format seed stop verbosity web_search_options"
_OF_CHATS += (
    " top_k min_p repetition_penalty thinking"  # not OpenAI's, and many providers have them
)
_OF_RESPONSES = "input instructions include max_output_tokens max_tool_calls previous_response_id"
_OF_RESPONSES += " conversation prompt reasoning text truncation background"
_OF_MESSAGES = "model stream messages max_tokens system tools tool_choice thinking output_config"
_OF_MESSAGES += " metadata stop_sequences temperature top_k top_p service_tier cache_control"
_OF_MESSAGES += " context_management container output_format speed mcp_servers inference_geo"
_OF_EMBEDDINGS = "model input dimensions encoding_format user input_type"
# The SDK's functions take more than a provider's API does, by the same names: where to call, with
# which credentials, which function to run. A client must reach none of that, known today or not.
_FIELDS: dict[str, frozenset[str]] = {
    "/chat/completions": frozenset(f"{_SHARED} {_OF_CHATS}".split()),
    "/responses": frozenset(f"{_SHARED} {_OF_RESPONSES}".split()),
    "/messages": frozenset(_OF_MESSAGES.split()),
    "/embeddings": frozenset(_OF_EMBEDDINGS.split()),
}
DIALECT_PATHS = ("/responses", "/messages")
_DONE = b"data: [DONE]\n\n"


class LiteLLMUpstream:
    """A provider by LiteLLM. Raises MissingExtraError where LiteLLM is not installed."""

    def __init__(self, settings: UpstreamSettings) -> None:
        # else importing it waits for a table of prices from the net, which is not used here
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        self._sdk: Any = require(
            "litellm", extra="litellm", purpose='call upstreams of kind "litellm"'
        )
        vars(self._sdk)["suppress_debug_info"] = True  # it would print to stdout
        self._options: dict[str, Any] = {
            "api_key": settings.secret(),
            "api_base": settings.base_url or None,
            "extra_headers": dict(settings.headers) or None,
            "timeout": settings.total_seconds,
            "num_retries": 0,  # the gateway retries
            "max_retries": 0,
        }
        self._options = {k: v for k, v in self._options.items() if v is not None}

    async def post(
        self, path: str, body: bytes, headers: Mapping[str, str] = NO_HEADERS
    ) -> "LiteLLMAnswer":
        """Call the function of the SDK that stands for an endpoint."""
        call: Callable[..., Awaitable[Any]] = getattr(self._sdk, _FUNCTIONS[path])
        given = orjson.loads(body)
        foreign = sorted(given.keys() - _FIELDS[path])
        if foreign:
            return _unknown(foreign)
        request = {**given, **self._options}
        if headers:
            request["extra_headers"] = {**headers, **self._options.get("extra_headers", {})}
        try:
            answer = await call(**request)
        except Exception as error:  # the SDK's own, and those of every provider's library
            return _refusal(error, self._options.get("api_key") or "")
        if request.get("stream"):
            return LiteLLMAnswer(200, stream=_events(answer, path))
        return LiteLLMAnswer(200, body=_json(answer), headers=_cost(answer))


class LiteLLMAnswer:
    """An answer of the SDK as bytes."""

    is_over = False  # the SDK says so when it is asked

    def __init__(
        self,
        status: int,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        stream: AsyncIterator[bytes] | None = None,
    ) -> None:
        self.status = status
        self.headers: Mapping[str, str] = headers or {}
        self.content_type = "application/json" if stream is None else "text/event-stream"
        self._body = body
        self._stream = stream

    async def read(self, most_bytes: int) -> bytes:
        """The whole body, as Answer.read."""
        if len(self._body) > most_bytes:
            raise UpstreamError("broken", f"an answer of more than {most_bytes} bytes")
        return self._body

    async def chunk(self) -> bytes:
        """The next bytes, as Answer.chunk."""
        if self._stream is None:
            body, self._body = self._body, b""
            return body
        try:
            return await anext(self._stream, b"")
        except UpstreamError:
            raise
        except Exception as error:
            raise _failure(error) from error

    def close(self) -> None:
        """Give the connection back, as Answer.close."""
        stream, self._stream = self._stream, None
        if stream is not None and hasattr(stream, "aclose"):
            closing = asyncio.ensure_future(stream.aclose())
            _CLOSING.add(closing)
            closing.add_done_callback(_closed)


_CLOSING: set["asyncio.Future[None]"] = set()


def _closed(task: "asyncio.Future[None]") -> None:
    _CLOSING.discard(task)
    if not task.cancelled():
        task.exception()  # seen: a connection that cannot even be closed is gone


async def _events(chunks: Any, path: str) -> AsyncIterator[bytes]:  # noqa: ANN401  # the SDK's
    """The chunks of a stream as server-sent events."""
    try:
        async for chunk in chunks:
            if isinstance(chunk, bytes):  # of messages, which are events already
                yield chunk
                continue
            document = _json(chunk)
            if path in DIALECT_PATHS:
                named = chunk.get("type") if isinstance(chunk, dict) else chunk.type
                kind = str(getattr(named, "value", named))
                yield b"event: " + kind.encode() + b"\ndata: " + document + b"\n\n"
            else:
                yield b"data: " + document + b"\n\n"
        if path not in DIALECT_PATHS:
            yield _DONE
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()


def _cost(answer: object) -> dict[str, str]:
    """The cost of an answer by the SDK, in the header in which LiteLLM's proxy states it."""
    hidden = getattr(answer, "_hidden_params", None)
    cost = hidden.get("response_cost") if isinstance(hidden, dict) else None
    return {} if cost is None else {LITELLM_COST: str(cost)}


def _json(answer: Any) -> bytes:  # noqa: ANN401  # one of the SDK's many classes
    document = answer if isinstance(answer, dict) else answer.model_dump(mode="json")
    return orjson.dumps(document)


def _unknown(fields: list[str]) -> LiteLLMAnswer:
    """The answer to a request with fields that are not passed to the SDK."""
    shown = ", ".join(field[:40] for field in fields[:5])
    refusal = GatewayError(
        400,
        f"{shown}: this model is called through LiteLLM, which is given the fields of "
        "OpenAI's API only; leave them out",
        param=fields[0][:40],
        code="unknown_field",
    )
    return LiteLLMAnswer(400, body=orjson.dumps(refusal.body()))


def _refusal(error: Exception, secret: str) -> LiteLLMAnswer:
    """An exception as the answer that the provider gave; raises where it gave none.

    secret: what it must not say.
    """
    status = getattr(error, "status_code", None)
    response = getattr(error, "response", None)
    name = type(error).__name__
    if name in ("Timeout", "APIConnectionError") or not isinstance(status, int):
        raise _failure(error) from error
    code = getattr(error, "code", None)
    if name == "ContextWindowExceededError":
        code = "context_length_exceeded"
    message = str(error).replace(secret, "***") if secret else str(error)
    details = {"message": message, "type": name, "param": None, "code": code}
    return LiteLLMAnswer(
        status,
        body=orjson.dumps({"error": details}, default=str),
        headers=getattr(response, "headers", None),
    )


def _failure(error: Exception) -> UpstreamError:
    name = type(error).__name__
    if isinstance(error, TimeoutError) or name == "Timeout":
        return UpstreamError("timeout", f"LiteLLM: {name}")
    if name == "APIConnectionError":
        return UpstreamError("connect", f"LiteLLM: {name}")
    return UpstreamError("broken", f"LiteLLM: {name}")
