"""Requests of the Responses API and for embeddings, read in the form of a chat."""

from collections.abc import Iterator
from typing import Any

from equirouter.errors import GatewayError
from equirouter.serve.call.model_pool import ModelPool
from equirouter.serve.charging import upper_nusd
from equirouter.serve.chat import (
    ChatRequest,
    checked_model,
    counted,
    flagged,
    named_tier,
    unpriced,
)
from equirouter.serve.plan.feasible import is_limited
from equirouter.serve.plan.prompt_tokens import strings
from equirouter.serve.records import Candidate, Key, Plan, RequestControl, nusd
from equirouter.serve.refusals import wrong_field
from equirouter.serve.settings import LimitSettings, MoneySettings

__all__ = ["embedding_plan", "embedding_request", "responses_request"]

_KEPT_ELSEWHERE = ("previous_response_id", "conversation")
_EMBEDDED = "a text, a list of texts, a list of tokens, or a list of such lists"
_PARTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}


def responses_request(body: object, limits: LimitSettings) -> ChatRequest:
    """Read the body of POST /v1/responses. Raises GatewayError 400 that names the field."""
    if not isinstance(body, dict):
        raise wrong_field(None, body, "a JSON object")
    model = checked_model(body)
    _check_state(body, model)
    kinds: set[str] = set()
    messages = _messages(body, limits, kinds)
    form = body.get("text")
    form = form.get("format") if isinstance(form, dict) else None
    if isinstance(form, dict) and form.get("type") in ("json_object", "json_schema"):
        kinds.add("json")
    if body.get("tools"):
        kinds.add("tools")
    return ChatRequest(
        body=body,
        model=model,
        messages=messages,
        endpoint="responses",
        stream=flagged(body, "stream"),
        include_usage=True,  # the last event has it always
        max_output_tokens=counted(body, "max_output_tokens"),
        needs=frozenset(kinds),
        service_tier=named_tier(body),
        kept_elsewhere=tuple(_references(body)),
        unpriced=unpriced(body),
    )


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
        for held in (item, *_lists(item.get("content")), *_lists(item.get("output"))):
            yield from (
                name
                for name in ("file_id", "file_url", "container_id")
                if isinstance(held, dict) and held.get(name) is not None
            )


def _lists(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _messages(body: dict[str, Any], limits: LimitSettings, kinds: set[str]) -> list[dict[str, Any]]:
    given = body.get("input")
    messages: list[dict[str, Any]] = []
    instructions = body.get("instructions")
    if isinstance(instructions, str) and instructions:
        messages.append({"role": "system", "content": instructions})
    if isinstance(given, str):
        return [*messages, {"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        if given is None and body.get("prompt") is not None:
            return messages  # a template that the provider keeps
        raise wrong_field("input", given, "a text, or a list of at least one item")
    if len(given) > limits.max_messages:
        raise wrong_field("input", len(given), f"at most {limits.max_messages} items")
    for number, item in enumerate(given):
        if not isinstance(item, dict):
            raise wrong_field(f"input[{number}]", item, "an object")
        message = _message(item, f"input[{number}]", kinds)
        if message is not None:
            messages.append(message)
    return messages


def _message(item: dict[str, Any], place: str, kinds: set[str]) -> dict[str, Any] | None:
    """An item as a message of a chat, None for one that says nothing."""
    kind = item.get("type", "message")
    if kind == "message":
        role = item.get("role")
        if not isinstance(role, str):
            raise wrong_field(f"{place}.role", role, "a role, such as user")
        return {"role": role, "content": _content(item.get("content"), f"{place}.content", kinds)}
    if kind == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments")}
        call = {"id": item.get("call_id"), "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    if kind == "function_call_output":
        output = item.get("output")
        content = output if isinstance(output, str) else _content(output, place, kinds)
        return {"role": "tool", "tool_call_id": item.get("call_id"), "content": content}
    is_output = isinstance(kind, str) and kind.endswith("_output")
    parts = _counted(item, kinds)
    return {"role": "tool" if is_output else "item", "content": parts} if parts else None


def _counted(document: dict[str, Any], kinds: set[str]) -> list[dict[str, Any]]:
    """Parts that are counted and not routed on: they are paid for like all others."""
    parts: list[dict[str, Any]] = []
    for name, value in document.items():
        for text in strings(value):
            if text.startswith("data:image/"):
                kinds.add("vision")
                parts.append({"type": "image_url", "image_url": {"url": text}})
            elif name in ("file_data", "encrypted_content"):
                parts.append({"type": "file", "file": {"file_data": text}})
            elif name != "type":
                parts.append({"type": "other", "other": text})
    return parts


def _content(content: object, place: str, kinds: set[str]) -> str | list[dict[str, Any]] | None:
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise wrong_field(place, content, "a text or a list of parts")
    parts: list[dict[str, Any]] = []
    for number, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str):
            raise wrong_field(f"{place}[{number}]", part, 'an object with a "type"')
        if kind in _PARTS and isinstance(part.get(_PARTS[kind]), str):
            parts.append({"type": "text", "text": part[_PARTS[kind]]})
        elif kind == "input_image":
            kinds.add("vision")
            parts.append({"type": "image_url", "image_url": {"url": part.get("image_url")}})
        elif kind == "input_audio":
            kinds.add("audio")
            parts.append({"type": "input_audio", "input_audio": part.get("input_audio")})
        else:
            parts += _counted(part, kinds)
    return parts


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
