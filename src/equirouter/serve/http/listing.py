"""The list of models, in the fields that clients of OpenAI, Anthropic and OpenRouter read.

Some clients list as Ollama does and chat as OpenAI's do: GitHub Copilot in VS Code is one. For them
there are /api/version, /api/tags and /api/show, whose fields are those of
https://github.com/ollama/ollama/blob/main/docs/api.md.
"""

from collections.abc import Iterator
from typing import Any

from aiohttp import web

from equirouter.cost.prices import Price
from equirouter.errors import GatewayError
from equirouter.serve.chat import VIRTUAL
from equirouter.serve.http.access import authorized
from equirouter.serve.http.body import json_response, read_body
from equirouter.serve.http.controls import VIRTUAL_MODELS
from equirouter.serve.http.gateway import Gateway
from equirouter.serve.records import Key

_NEVER = "1970-01-01T00:00:00Z"  # nobody knows when a model was made
_OLLAMA = "0.6.4"  # the version of Ollama whose fields these are, which Copilot asks for at least
_ARCHITECTURE = "equirouter"  # what the names of a model's own fields begin with, by Ollama
_OF_A_FILE = {  # Ollama's models are files, these are not
    "modified_at": _NEVER,
    "size": 0,
    "digest": "",
    "details": {"format": "", "family": "", "families": [], "parameter_size": ""},
}


async def models(gateway: Gateway, request: web.Request) -> web.StreamResponse:
    """GET /v1/models: the pool as far as the key may use it, and the virtual models."""
    data = list(_listed(gateway, await authorized(gateway, request)))
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
    return json_response({"object": "list", "data": data, "has_more": False, **ends})


async def model(gateway: Gateway, request: web.Request) -> web.StreamResponse:
    """GET /v1/models/NAME: one of them."""
    key = await authorized(gateway, request)
    return json_response(_one(gateway, key, request.match_info["name"]))


async def ollama_version(gateway: Gateway, request: web.Request) -> web.StreamResponse:
    """GET /api/version."""
    await authorized(gateway, request)
    return json_response({"version": _OLLAMA})


async def ollama_models(gateway: Gateway, request: web.Request) -> web.StreamResponse:
    """GET /api/tags: the same list as /v1/models."""
    key = await authorized(gateway, request)
    names = [document["id"] for document in _listed(gateway, key)]
    listed = [{"name": name, "model": name, **_OF_A_FILE} for name in names]
    return json_response({"models": listed})


async def ollama_model(gateway: Gateway, request: web.Request) -> web.StreamResponse:
    """POST /api/show: one of them. An ability that is not known counts as there: it is tried."""
    key = await authorized(gateway, request)
    body = await read_body(request, gateway.settings.limits)
    name = (body.get("model") or body.get("name")) if isinstance(body, dict) else None
    if not isinstance(name, str):
        raise GatewayError(400, "model: expected a name, as /api/tags has it", param="model")
    found = _one(gateway, key, name)
    known, context = found["abilities"], found["context_length"]
    sizes = {} if context is None else {f"{_ARCHITECTURE}.context_length": context}
    return json_response(
        {
            "modified_at": _NEVER,
            "template": "",
            "details": _OF_A_FILE["details"],
            "capabilities": [
                "completion",
                *(name for name in ("tools", "vision") if known is None or name in known),
            ],
            "model_info": {
                "general.architecture": _ARCHITECTURE,
                "general.basename": found["id"],
                **sizes,
            },
        }
    )


def _one(gateway: Gateway, key: Key | None, name: str) -> dict[str, Any]:
    for document in _listed(gateway, key):
        if document["id"] == name:
            return document
    raise GatewayError(
        404,
        f"no model {name[:200]!r} that this key may use; GET /v1/models has all",
        code="model_not_found",
        param="model",
    )


def _listed(gateway: Gateway, key: Key | None) -> Iterator[dict[str, Any]]:
    """The models that a key may use, and the virtual ones, which can what one of the pool can."""
    yield from _of_pool(gateway, None if key is None else key.models)
    if gateway.settings.pipeline.path is not None:
        known = gateway.settings.models.values()
        sizes = [one.context_tokens or 0 for one in known]
        able = [one.abilities for one in known if one.abilities is not None]
        of_any = {
            "context_length": max(sizes) or None,
            "abilities": sorted(frozenset().union(*able)) if len(able) == len(known) else None,
        }
        # some clients take what is before a slash for a provider
        for name in (*VIRTUAL_MODELS, VIRTUAL_MODELS[0].replace("/", "-")):
            yield _document(name, VIRTUAL[:-1]) | of_any


def _of_pool(gateway: Gateway, allowed: frozenset[str] | None) -> Iterator[dict[str, Any]]:
    """The models of the pool: context_length in tokens, prices in USD a token as OpenRouter's."""
    for name, route in gateway.pool.routes.items():
        if allowed is None or name in allowed:
            known = route.settings
            yield _document(name, known.upstream) | {
                "context_length": known.context_tokens,
                "max_output_tokens": known.max_output_tokens,
                "pricing": _pricing(route.price),
                "abilities": None if known.abilities is None else sorted(known.abilities),
            }


def _document(name: str, owner: str) -> dict[str, Any]:
    of_anthropic = {"type": "model", "display_name": name, "created_at": _NEVER}
    return {"id": name, "object": "model", "created": 0, "owned_by": owner, **of_anthropic}


def _pricing(price: Price) -> dict[str, str]:
    by_name = {
        "prompt": price.input_usd_per_mtok,
        "completion": price.output_usd_per_mtok,
        "input_cache_read": price.cached_input_usd_per_mtok,
        "input_cache_write": price.cache_write_usd_per_mtok,
        "internal_reasoning": price.reasoning_usd_per_mtok,
    }
    return {
        name: f"{usd / 1e6:.12f}".rstrip("0").rstrip(".")
        for name, usd in by_name.items()
        if usd is not None
    }
