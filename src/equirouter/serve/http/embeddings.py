"""A request for embeddings: it names its model, so there is nothing to decide."""

from typing import Any

from equirouter.errors import GatewayError
from equirouter.serve.call.model_pool import ModelPool
from equirouter.serve.charging import upper_nusd
from equirouter.serve.chat import ChatRequest, checked_model
from equirouter.serve.records import Candidate, Key, Plan, RequestControl, nusd
from equirouter.serve.refusals import wrong_field

__all__ = ["embedding_plan", "embedding_request"]

_EXPECTED = "a text, a list of texts, a list of tokens, or a list of such lists"


def embedding_request(body: object) -> ChatRequest:
    """Read the body of POST /v1/embeddings. Raises GatewayError 400 that names the field."""
    if not isinstance(body, dict):
        raise wrong_field(None, body, "a JSON object")
    _most_tokens(body.get("input"))
    return ChatRequest(body, checked_model(body), [], endpoint="embeddings")


def embedding_plan(
    chat: ChatRequest, control: RequestControl, key: Key | None, pool: ModelPool
) -> Plan:
    """The one model that is named, and what the call can cost at most.

    Raises GatewayError 404 for a model that makes no embeddings, 403 for one that the key may not
    use, 400 where the budget is too small.
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
    upper = upper_nusd(route.price, tokens, 0)
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
        raise wrong_field("input", given, _EXPECTED)
    if all(isinstance(item, str) for item in given):
        return sum(len(item.encode("utf-8", "surrogatepass")) + 2 for item in given)
    if all(_is_token(item) for item in given):
        return len(given)
    if all(isinstance(item, list) and all(_is_token(token) for token in item) for item in given):
        return sum(len(item) for item in given)
    raise wrong_field("input", given, _EXPECTED)


def _is_token(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
