"""Routes for administrators: the state of the gateway, a new pipeline, keys."""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Annotated, Any, Literal, TypeAlias

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from equirouter.errors import GatewayError, UserError
from equirouter.serve.http.body import json_response, read_body
from equirouter.serve.money.admission import Admission
from equirouter.serve.money.api_keys import FIRST_KEY, StoredKey, create_key, list_keys, revoke_key
from equirouter.serve.money.store.engine import Database
from equirouter.serve.records import nusd, usd
from equirouter.serve.refusals import wrong_field
from equirouter.serve.settings import LimitSettings

_LOG = logging.getLogger("equirouter.serve")

Document = Mapping[str, object]
_Limit: TypeAlias = Annotated[
    Annotated[int, Field(gt=0, lt=2**62)] | None, Field(description="a whole number above 0")
]


def admin_routes(
    status: Callable[[], Document], reload: Callable[[bool], Awaitable[Document]]
) -> list[web.RouteDef]:
    """GET /admin/status, POST /admin/reload; who may ask is checked before.

    reload: takes whether to force it.
    """

    async def get_status(_request: web.Request) -> web.StreamResponse:
        return json_response(status())

    async def post_reload(request: web.Request) -> web.StreamResponse:
        try:
            return json_response(await reload(request.query.get("force") == "true"))
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
    admission: Admission,
) -> list[web.RouteDef]:
    """GET and POST /admin/keys, DELETE /admin/keys/{key}; who may ask is checked before.

    models: of the pool. admission: told when there is a key more or less.
    """

    async def get_keys(_request: web.Request) -> web.StreamResponse:
        keys = await database.read(list_keys)
        return json_response({"keys": [_stored(stored) for stored in keys]})

    async def post_key(request: web.Request) -> web.StreamResponse:
        body = await read_body(request, limits)
        name, asked = _asked(body, models)
        was_open = not await admission.has_keys()
        secret, key = await database.write(create_key, name, **asked)
        admission.forget()
        document = {"key": secret, **key.described()}
        if was_open and await admission.has_keys():
            _LOG.warning(FIRST_KEY)
            document["notice"] = FIRST_KEY
        return json_response(document, status=201)

    async def delete_key(request: web.Request) -> web.StreamResponse:
        revoked = await database.write(revoke_key, request.match_info["key"])
        admission.forget()
        return json_response(_stored(revoked))

    return [
        web.get("/admin/keys", get_keys),
        web.post("/admin/keys", post_key),
        web.delete("/admin/keys/{key}", delete_key),
    ]


class NewKey(BaseModel):
    """The body of POST /admin/keys; each description says what is expected."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1, max_length=200, description="a text of 1 to 200 characters")
    is_admin: bool = Field(False, description="true or false")
    models: list[str] | None = Field(None, description="a list of models of the pool")
    budget_usd: Annotated[float, Field(gt=0, lt=1e9)] | None = Field(
        None, description="an amount above 0"
    )
    period: Literal["day", "month"] | None = Field(None, description="day or month")
    requests_per_minute: _Limit = None
    tokens_per_minute: _Limit = None


def _asked(body: object, pool: Collection[str]) -> tuple[str, dict[str, Any]]:
    """Name and limits of the key that is asked for. Raises GatewayError 400 for a wrong field."""
    if not isinstance(body, dict):
        raise wrong_field(None, body, "a JSON object")
    expected = {name: field.description for name, field in NewKey.model_fields.items()}
    expected["models"] = f"a list of models of the pool: {', '.join(pool)}"
    try:
        asked = NewKey.model_validate(body).model_dump(exclude_none=True)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        known = f"one of {', '.join(expected)}"
        raise wrong_field(name, body.get(name), expected.get(name) or known) from None
    if not set(asked.get("models", ())) <= set(pool):
        raise wrong_field("models", body["models"], str(expected["models"]))
    if "budget_usd" in asked:
        asked["budget_nusd"] = nusd(asked.pop("budget_usd"))
    return asked.pop("name"), asked


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
