"""Routes for administrators: the state of the gateway, a new pipeline, keys."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, TypeVar

from aiohttp import web

from equirouter.errors import GatewayError, UserError
from equirouter.serve.http.body import read_body
from equirouter.serve.http.endpoints import json_response
from equirouter.serve.money.keys import StoredKey, create_key, list_keys, revoke_key
from equirouter.serve.money.store.engine import Database
from equirouter.serve.records import nusd, usd
from equirouter.serve.refusals import wrong_field
from equirouter.serve.settings import LimitSettings

__all__ = ["Document", "admin_routes", "key_routes"]

Document = Mapping[str, object]
T = TypeVar("T")
_LIMITS = ("requests_per_minute", "tokens_per_minute")
_FIELDS = ("name", "is_admin", "models", "budget_usd", "period", *_LIMITS)
LONGEST_NAME = 200


def admin_routes(
    status: Callable[[], Document], reload: Callable[[], Awaitable[Document]]
) -> list[web.RouteDef]:
    """GET /admin/status, POST /admin/reload; who may ask is checked before."""

    async def get_status(_request: web.Request) -> web.StreamResponse:
        return json_response(status())

    async def post_reload(_request: web.Request) -> web.StreamResponse:
        try:
            return json_response(await reload())
        except UserError as error:
            raise GatewayError(
                409,
                f"the pipeline is refused, and the old one goes on: {error}",
                code="pipeline_refused",
            ) from error

    return [web.get("/admin/status", get_status), web.post("/admin/reload", post_reload)]


def key_routes(
    database: Database,
    models: Collection[str],
    limits: LimitSettings,
    changed: Callable[[], None],
) -> list[web.RouteDef]:
    """GET and POST /admin/keys, DELETE /admin/keys/{key}; who may ask is checked before.

    models: of the pool. changed: called when there is a key more or less.
    """

    async def get_keys(_request: web.Request) -> web.StreamResponse:
        keys = await database.read(list_keys)
        return json_response({"keys": [_stored(stored) for stored in keys]})

    async def post_key(request: web.Request) -> web.StreamResponse:
        body = await read_body(request, limits)
        name, asked = _asked(body, models)
        secret, key = await database.write(create_key, name, **asked)
        changed()
        return json_response({"key": secret, **key.described()}, status=201)

    async def delete_key(request: web.Request) -> web.StreamResponse:
        revoked = await database.write(revoke_key, request.match_info["key"])
        changed()
        return json_response(_stored(revoked))

    return [
        web.get("/admin/keys", get_keys),
        web.post("/admin/keys", post_key),
        web.delete("/admin/keys/{key}", delete_key),
    ]


def _asked(body: object, models: Collection[str]) -> tuple[str, dict[str, Any]]:
    """Name and limits of the key that is asked for."""
    if not isinstance(body, dict):
        raise wrong_field(None, body, "a JSON object")
    unknown = sorted(set(body) - set(_FIELDS))
    if unknown:
        raise wrong_field(unknown[0], body[unknown[0]], f"one of {', '.join(_FIELDS)}")
    name = body.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise wrong_field("name", name, f"a text of 1 to {LONGEST_NAME} characters")
    is_admin = body.get("is_admin", False)
    if not isinstance(is_admin, bool):
        raise wrong_field("is_admin", is_admin, "true or false")
    asked: dict[str, Any] = {"is_admin": is_admin, "models": _models(body, models)}
    if body.get("period") is not None:
        asked["period"] = body["period"]
    for limit in _LIMITS:
        value = body.get(limit)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise wrong_field(limit, value, "a whole number above 0")
        asked[limit] = value
    budget = body.get("budget_usd")
    if budget is not None:
        if isinstance(budget, bool) or not isinstance(budget, int | float) or not 0 < budget < 1e9:
            raise wrong_field("budget_usd", budget, "an amount above 0")
        asked["budget_nusd"] = nusd(budget)
    return name, asked


def _models(body: dict[str, Any], pool: Collection[str]) -> list[str] | None:
    models = body.get("models")
    if models is None:
        return None
    if not isinstance(models, list) or not all(
        isinstance(name, str) and name in pool for name in models
    ):
        raise wrong_field("models", models, f"a list of models of the pool: {', '.join(pool)}")
    return models


def _stored(stored: StoredKey) -> dict[str, Any]:
    spend = stored.spend
    return {
        **stored.key.described(),
        "shown": stored.shown,
        "created_at": stored.created_at,
        "revoked_at": stored.revoked_at,
        "spent_usd": 0.0 if spend is None else usd(spend.spent_nusd),
        "reserved_usd": 0.0 if spend is None else usd(spend.reserved_nusd),
    }
