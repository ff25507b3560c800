"""Requests of Anthropic's Messages API, read in the form of a chat, and their tokens counted."""

from typing import Any

from aiohttp import web

from equirouter.errors import GatewayError, NotCalledError, PassedOnError, UpstreamError
from equirouter.serve.call.model_pool import Route
from equirouter.serve.call.translation.messages.request import read_conversation
from equirouter.serve.call.translation.messages.tools import is_run_by_the_client
from equirouter.serve.chat import ChatRequest, checked_model, counted, flagged, named_tier, unpriced
from equirouter.serve.http.body import json_response, outgoing
from equirouter.serve.http.gateway import Gateway
from equirouter.serve.http.headers import passed_headers
from equirouter.serve.plan.prompt_tokens import prompt_tokens
from equirouter.serve.records import Plan
from equirouter.serve.refusals import wrong_field, wrong_form
from equirouter.serve.settings import LimitSettings

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
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise wrong_field("messages", messages, "a list of at least one message")
    if len(messages) > limits.max_messages:
        raise wrong_field("messages", len(messages), f"at most {limits.max_messages} of them")
    try:
        conversation = read_conversation(body)
    except ValueError as wrong:
        raise wrong_form(str(wrong), "Anthropic's Messages API") from None
    tools = body.get("tools")
    listed = tools if isinstance(tools, list) else []
    run_there = [tool for tool in listed if not is_run_by_the_client(tool)]
    config = body.get("output_config")
    if body.get("output_format") or (isinstance(config, dict) and config.get("format")):
        conversation.needs.add("json")
    if tools:
        conversation.needs.add("tools")
    return ChatRequest(
        body=body,
        model=model,
        messages=conversation.messages,
        endpoint="messages",
        stream=flagged(body, "stream"),
        include_usage=True,  # its events have it always
        max_output_tokens=counted(body, "max_tokens"),
        needs=frozenset(conversation.needs),
        service_tier=named_tier(body),
        kept_elsewhere=(
            *conversation.kept_elsewhere,
            *(("container",) if body.get("container") else ()),
        ),
        unpriced=unpriced({**body, "tools": run_there}),
        caches=_has_caches(body),
    )


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
