"""Requests of the other APIs, read in the form of a chat: responses, messages, embeddings."""

from collections.abc import Iterator
from typing import Any, Literal

from aiohttp import web

from equirouter.errors import GatewayError, NotCalledError, PassedOnError, UpstreamError
from equirouter.serve.call.model_pool import ModelPool, Route
from equirouter.serve.call.sse import list_or_empty
from equirouter.serve.call.translation import DIALECTS
from equirouter.serve.call.translation.chat_form import Conversation
from equirouter.serve.call.translation.messages.tools import is_run_by_the_client
from equirouter.serve.charging import upper_nusd
from equirouter.serve.chat import (
    ChatRequest,
    checked_model,
    counted,
    flagged,
    listed_messages,
    named_tier,
    unpriced,
)
from equirouter.serve.http.body import json_response, outgoing, passed_headers
from equirouter.serve.http.gateway import Gateway
from equirouter.serve.plan.feasible import is_limited
from equirouter.serve.plan.prompt_tokens import prompt_tokens
from equirouter.serve.records import Candidate, Key, Plan, RequestControl, nusd
from equirouter.serve.refusals import wrong_field, wrong_form
from equirouter.serve.settings import LimitSettings, MoneySettings

_LIMITS = {"responses": "max_output_tokens", "messages": "max_tokens"}
_KEPT_ELSEWHERE = ("previous_response_id", "conversation")
_EMBEDDED = "a text, a list of texts, a list of tokens, or a list of such lists"


def responses_request(body: object, limits: LimitSettings) -> ChatRequest:
    """Read the body of POST /v1/responses. Raises GatewayError 400 that names the field."""
    if not isinstance(body, dict):
        raise wrong_field(None, body, "a JSON object")
    model = checked_model(body)
    _check_state(body, model)
    conversation = _conversation(body, limits)
    form = body.get("text")
    form = form.get("format") if isinstance(form, dict) else None
    if isinstance(form, dict) and form.get("type") in ("json_object", "json_schema"):
        conversation.needs.add("json")
    conversation.kept_elsewhere = list(_references(body))
    return _chat(body, model, "responses", conversation)


def _chat(
    body: dict[str, Any],
    model: str,
    endpoint: Literal["responses", "messages"],
    conversation: Conversation,
    tools: list[Any] | None = None,
) -> ChatRequest:
    """The request in the form of a chat. tools: those that may cost more, None for all."""
    if body.get("tools"):
        conversation.needs.add("tools")
    return ChatRequest(
        body=body,
        model=model,
        messages=conversation.messages,
        endpoint=endpoint,
        stream=flagged(body, "stream"),
        include_usage=True,  # the events of both always have it
        max_output_tokens=counted(body, _LIMITS[endpoint]),
        needs=frozenset(conversation.needs),
        service_tier=named_tier(body),
        kept_elsewhere=tuple(conversation.kept_elsewhere),
        unpriced=unpriced(body if tools is None else {**body, "tools": tools}),
        caches=endpoint == "messages" and _has_caches(body),
    )


def _read(body: dict[str, Any], endpoint: str, api: str) -> Conversation:
    try:
        return DIALECTS[endpoint].read(body)
    except ValueError as wrong:
        raise wrong_form(str(wrong), api) from None


def _conversation(body: dict[str, Any], limits: LimitSettings) -> Conversation:
    """The conversation, as far as the request has it."""
    given = body.get("input")
    if given is None and body.get("prompt") is not None:
        body = {**body, "input": []}  # a template that the provider keeps
    elif isinstance(given, list) and len(given) > limits.max_messages:
        raise wrong_field("input", len(given), f"at most {limits.max_messages} items")
    elif not isinstance(given, str) and not (isinstance(given, list) and given):
        raise wrong_field("input", given, "a text, or a list of at least one item")
    return _read(body, "responses", "the Responses API")


def _check_state(body: dict[str, Any], model: str) -> None:
    """Refuse what only the provider that keeps a conversation could answer."""
    if flagged(body, "background"):
        raise GatewayError(
            400, "background: the gateway passes answers on and keeps none", param="background"
        )
    kept = [name for name in _KEPT_ELSEWHERE if body.get(name) is not None]
    if kept and model.startswith("equirouter/"):
        raise GatewayError(
            400,
            f"{kept[0]} is kept by the provider that answered before, and {model} may choose "
            "another one: name that model, or send the conversation as input",
            param=kept[0],
        )


def _references(body: dict[str, Any]) -> Iterator[str]:
    """The fields that stand for a part of the prompt which only the provider has."""
    for name in (*_KEPT_ELSEWHERE, "prompt"):
        if body.get(name) is not None:
            yield name
    items = body.get("input")
    for item in items if isinstance(items, list) else ():
        if item.get("type") == "item_reference":
            yield "item_reference"
        for held in (item, *list_or_empty(item.get("content")), *list_or_empty(item.get("output"))):
            yield from (
                name
                for name in ("file_id", "file_url", "container_id")
                if isinstance(held, dict) and held.get(name) is not None
            )


def embedding_request(body: object) -> ChatRequest:
    """Read the body of POST /v1/embeddings. Raises GatewayError 400 that names the field."""
    if not isinstance(body, dict):
        raise wrong_field(None, body, "a JSON object")
    _most_tokens(body.get("input"))
    tier = named_tier(body)
    return ChatRequest(body, checked_model(body), [], endpoint="embeddings", service_tier=tier)


def embedding_plan(
    chat: ChatRequest,
    control: RequestControl,
    key: Key | None,
    pool: ModelPool,
    money: MoneySettings,
) -> Plan:
    """The one model that is named, and what the call can cost at most.

    Raises GatewayError 404 for a model that makes no embeddings, 403 for one that the key may not
    use, 400 where the budget is too small, or cannot hold as the service tier has no price.
    """
    route = pool.routes.get(chat.model)
    if route is None or route.settings.kind != "embedding":
        known = [
            other.model for other in pool.routes.values() if other.settings.kind == "embedding"
        ]
        raise GatewayError(
            404,
            f"model {chat.model!r} makes no embeddings here; those that do: "
            f"{', '.join(known) or 'none'}",
            code="model_not_found",
            param="model",
        )
    if key is not None and key.models is not None and chat.model not in key.models:
        raise GatewayError(
            403, f"this key may not use {chat.model}", type_="permission_error", param="model"
        )
    regions, region = pool.regions, route.upstream_settings.region
    if regions is not None and region not in regions:
        raise GatewayError(
            400,
            f"{chat.model}: region {region}, allowed {', '.join(sorted(regions)) or 'none'}",
            code="no_feasible_model",
            param="model",
        )
    tokens = _most_tokens(chat.body.get("input"))
    if route.price.served(chat.service_tier) is None and is_limited(money, control, key):
        raise GatewayError(
            400,
            f"no price is known of the service tier {chat.service_tier!r} of {chat.model}, and a "
            "budget has to hold (money.unbounded)",
            code="no_feasible_model",
            param="service_tier",
        )
    upper = upper_nusd(route.price, tokens, 0, chat.service_tier)
    if control.budget_usd is not None and upper > nusd(control.budget_usd):
        raise GatewayError(
            400,
            f"this call may cost {upper / 1e9:.9f} USD, more than budget_usd {control.budget_usd}",
            code="budget_too_small",
            param="budget_usd",
        )
    return Plan((Candidate(chat.model, upper),), "named", prompt_tokens=tokens)


def _most_tokens(given: Any) -> int:  # noqa: ANN401  # any JSON
    """No tokenizer makes more tokens of a text than it has bytes, and one or two at its ends."""
    if isinstance(given, str) and given:
        return len(given.encode("utf-8", "surrogatepass")) + 2
    if not isinstance(given, list) or not given:
        raise wrong_field("input", given, _EMBEDDED)
    if all(isinstance(item, str) for item in given):
        return sum(len(item.encode("utf-8", "surrogatepass")) + 2 for item in given)
    if all(_is_token(item) for item in given):
        return len(given)
    if all(isinstance(item, list) and all(_is_token(token) for token in item) for item in given):
        return sum(len(item) for item in given)
    raise wrong_field("input", given, _EMBEDDED)


def _is_token(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_COUNT_PATH = "/messages/count_tokens"
_LONGEST_COUNT = 1024 * 1024


def messages_request(body: object, limits: LimitSettings) -> ChatRequest:
    """Read the body of POST /v1/messages. Raises GatewayError 400 that names the field.

    Takes `equirouter` out of its metadata: the controls of a request, and a model that is asked for
    in place of the one that is named.
    """
    if not isinstance(body, dict):
        raise wrong_field(None, body, "a JSON object")
    _take_controls(body)
    model = checked_model(body)
    listed_messages(body, limits)
    conversation = _read(body, "messages", "Anthropic's Messages API")
    config = body.get("output_config")
    if body.get("output_format") or (isinstance(config, dict) and config.get("format")):
        conversation.needs.add("json")
    if body.get("container"):
        conversation.kept_elsewhere.append("container")
    tools = body.get("tools")
    listed = tools if isinstance(tools, list) else []
    run_there = [tool for tool in listed if not is_run_by_the_client(tool)]
    return _chat(body, model, "messages", conversation, run_there)


def _take_controls(body: dict[str, Any]) -> None:
    metadata = body.get("metadata")
    given = metadata.get("equirouter") if isinstance(metadata, dict) else None
    if given is None or not isinstance(metadata, dict):
        return
    if not isinstance(given, dict):
        raise wrong_field("metadata.equirouter", given, "an object")
    if "equirouter" in body:
        raise GatewayError(400, "equirouter is in the body and in its metadata: send it once")
    controls = {name: value for name, value in given.items() if name != "model"}
    if "model" in given:
        body["model"] = given["model"]
    if controls:
        body["equirouter"] = controls
    body["metadata"] = {name: value for name, value in metadata.items() if name != "equirouter"}
    if not body["metadata"]:
        del body["metadata"]


def _has_caches(value: object) -> bool:
    """Whether anything in a request is to be written to a cache."""
    if isinstance(value, dict):
        return value.get("cache_control") is not None or any(map(_has_caches, value.values()))
    return isinstance(value, list) and any(map(_has_caches, value))


async def counted_tokens(
    gateway: Gateway, request: web.Request, chat: ChatRequest, plan: Plan
) -> web.Response:
    """How many tokens a prompt has: by the provider of the model that would be asked, else about.

    The estimate is that which bounds are made of, and is rather too high. Raises GatewayError.
    """
    first = plan.candidates[0].model if plan.candidates else chat.model
    route = gateway.pool.routes.get(first)
    is_counted = route is not None and route.upstream_settings.messages
    if route is not None and is_counted and route.upstream_settings.kind == "openai":
        return await _asked(gateway, request, chat, route)
    per_image = 0 if route is None else route.settings.image_tokens
    response = json_response({"input_tokens": prompt_tokens(chat).total(per_image)})
    response.headers["x-equirouter-estimated"] = "true"
    return response


async def _asked(
    gateway: Gateway, request: web.Request, chat: ChatRequest, route: Route
) -> web.Response:
    body, _ = route.fitting.applied(chat.body, is_message=True)
    headers = passed_headers(request.headers, chat.endpoint, route)
    try:
        await route.guard.enter(gateway.settings.retries.max_wait_seconds)
    except NotCalledError as refused:
        raise GatewayError(503, f"{route.model}: {refused}", type_="upstream_error") from refused
    try:
        answer = await route.upstream.post(
            _COUNT_PATH, outgoing(body, route.upstream_model), headers
        )
        try:
            raw = await answer.read(_LONGEST_COUNT)
        finally:
            answer.close()
    except UpstreamError as failed:
        raise GatewayError(
            502, f"{route.model}: no count of tokens came", type_="upstream_error"
        ) from failed
    finally:
        route.guard.leave()
    if answer.status != 200:
        status = answer.status if 400 <= answer.status < 500 else 502
        raise PassedOnError(status, raw, answer.content_type, {})
    return web.Response(body=raw, content_type="application/json")
