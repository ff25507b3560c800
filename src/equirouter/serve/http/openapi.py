"""The gateway's OpenAPI document: GET /openapi.json.

Bodies of OpenAI's API are described as far as the gateway reads them; all other fields are passed
on, or are a reason against a model, so they are allowed and not listed.
"""

from collections.abc import Sequence
from typing import Any, get_args

from equirouter import __version__
from equirouter.serve.chat import MOST_CHOICES
from equirouter.serve.http.controls import CONTROL_HEADERS, LONGEST_SESSION
from equirouter.serve.records import DecidedBy

__all__ = ["openapi_document"]

Schema = dict[str, Any]

_ERRORS = {
    "400": "What the request says makes no sense, or no model may answer it.",
    "401": "The key is missing, unknown or revoked.",
    "403": "The key may not do this.",
    "404": "There is no such thing.",
    "408": "The body took too long to arrive.",
    "409": "That does not go together with the state of things.",
    "413": "The body is too long.",
    "415": "The body is compressed.",
    "429": "A limit of the key, or of the provider, is reached.",
    "500": "The gateway failed.",
    "502": "No upstream answered.",
    "503": "The gateway cannot serve this now.",
    "504": "The upstream took too long.",
}
_OF_UPSTREAMS = {
    "default": "Another error of the upstream, as it was.",
    "402": "The budget allows no other model.",
}
_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_CONTROLS: dict[str, Schema] = {
    "budget_usd": {"type": "number", "exclusiveMinimum": 0, "maximum": 1e9},
    "quality": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    "lambda": {"type": "number", "minimum": 0, "maximum": 1e12},
}
_HEADERS: dict[str, Schema] = {
    **_CONTROLS,
    "exclude": {"type": "string", "description": "Names of models with commas between them."},
    "session": {"type": "string", "minLength": 1, "maxLength": LONGEST_SESSION},
}
_COUNT: Schema = {"type": "integer", "minimum": 1, "maximum": 2**31}


def openapi_document(models: Sequence[str]) -> Schema:
    """The document, as JSON can hold it. models: names that a request may have as its model."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "EquiRouter gateway",
            "version": __version__,
            "description": "An OpenAI-compatible endpoint that routes each request to a model.",
        },
        "security": [{"key": []}, {}],
        "paths": {**_inference(), **_others(), **_admin()},
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {**_requests(models), **_small_requests(), **_answers()},
        },
    }


def _inference() -> Schema:
    """The paths that call, or choose, a model."""
    stream: Schema = {"text/event-stream": {"schema": {"type": "object"}}}  # an event each
    return {
        "/v1/chat/completions": _post(
            "Answer a chat, whole or as a stream", "ChatRequest", "Answer", _OF_UPSTREAMS, stream
        ),
        "/v1/responses": _post(
            "Answer a request of the Responses API",
            "ResponsesRequest",
            "Answer",
            _OF_UPSTREAMS,
            stream,
        ),
        "/v1/embeddings": _post("Embed texts", "EmbeddingsRequest", "Answer", _OF_UPSTREAMS),
        "/v1/route": _post("Decide on a chat, and call nobody", "ChatRequest", "Route"),
    }


def _others() -> Schema:
    return {
        "/v1/feedback": _post("Say how good an answer was", "Feedback", "FeedbackTaken"),
        "/v1/models": {"get": _get("The models of the pool and the virtual ones", "Models")},
        "/healthz": {"get": _get("Whether the process answers", "Status", "200")},
        "/readyz": {"get": _get("Whether new requests are welcome", "Status", "200", "503")},
        "/openapi.json": {"get": _get("This document", "Anything", "200")},
    }


def _admin() -> Schema:
    named = {"name": "key", "in": "path", "required": True, "schema": _TEXT}
    create = _post("Make a key: the one time that it is shown", "NewKey", "Anything", ok="201")
    return {
        "/admin/status": {"get": _get("The state of this worker", "Anything")},
        "/admin/reload": {
            "post": {
                "summary": "Take a new pipeline after a self-test, or go on with the old one",
                "responses": _responses("Anything", ("400", "401", "403", "409", "500")),
            }
        },
        "/admin/keys": {"get": _get("All keys, with what each spent", "Anything"), **create},
        "/admin/keys/{key}": {
            "delete": {
                "summary": "Revoke a key, by its id or its name",
                "parameters": [named],
                "responses": _responses("Anything", ("400", "401", "403", "404", "500", "503")),
            }
        },
    }


def _post(
    summary: str,
    request: str,
    answer: str,
    more: Schema | None = None,
    also: Schema | None = None,
    ok: str = "200",
) -> Schema:
    """A path with a JSON body. more: further statuses. also: other forms of the answer."""
    responses = _responses(answer, tuple(_ERRORS), ok, also)
    for status, says in (more or {}).items():
        responses[status] = _error(says)
    operation: Schema = {
        "summary": summary,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref(request)}},
        },
        "responses": responses,
    }
    if request in ("ChatRequest", "ResponsesRequest", "EmbeddingsRequest"):
        operation["parameters"] = [
            {"name": header, "in": "header", "required": False, "schema": _HEADERS[name]}
            for header, name in CONTROL_HEADERS.items()
        ]
    return {"post": operation}


def _get(summary: str, answer: str, *statuses: str) -> Schema:
    responses = _responses(answer, statuses[1:] or ("400", "401", "403", "500", "503"))
    if answer == "Status" and "503" in responses:
        responses["503"] = {**responses["200"], "description": "It is going to stop."}
    return {"summary": summary, "responses": responses}


def _responses(
    answer: str, errors: tuple[str, ...], ok: str = "200", also: Schema | None = None
) -> Schema:
    content = {"application/json": {"schema": _ref(answer)}, **(also or {})}
    return {
        ok: {"description": "Done.", "content": content},
        **{status: _error(_ERRORS[status]) for status in errors},
    }


def _error(says: str) -> Schema:
    return {"description": says, "content": {"application/json": {"schema": _ref("Error")}}}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: tuple[str, ...], *, closed: bool = False, **fields: Schema) -> Schema:
    schema: Schema = {"type": "object", "required": list(required), "properties": fields}
    return {**schema, "additionalProperties": False} if closed else schema


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _requests(models: Sequence[str]) -> Schema:
    model = {"type": "string", "minLength": 1, "examples": list(models)}
    part = _object(("type",), type=_TEXT)
    content = {"anyOf": [_TEXT, {"type": "array", "items": part}, {"type": "null"}]}
    message = _object(("role",), role=_TEXT, content=content)
    item = {"type": "object", "properties": {"role": _TEXT, "type": _TEXT}}
    token = {"type": "integer", "minimum": 0}
    tokens = {"type": "array", "items": token, "minItems": 1}
    flag = _or_null({"type": "boolean"})
    return {
        "ChatRequest": _object(
            ("model", "messages"),
            model=model,
            messages={"type": "array", "minItems": 1, "items": message},
            stream=flag,
            stream_options=_or_null({"type": "object"}),
            n=_or_null({**_COUNT, "maximum": MOST_CHOICES}),
            max_tokens=_or_null(_COUNT),
            max_completion_tokens=_or_null(_COUNT),
            equirouter=_ref("Control"),
        ),
        "ResponsesRequest": _object(
            ("model", "input"),
            model=model,
            input={"anyOf": [_TEXT, {"type": "array", "minItems": 1, "items": item}]},
            instructions=_or_null(_TEXT),
            stream=flag,
            max_output_tokens=_or_null(_COUNT),
            equirouter=_ref("Control"),
        ),
        "EmbeddingsRequest": _object(
            ("model", "input"),
            model=model,
            input={
                "anyOf": [
                    {"type": "string", "minLength": 1},
                    {"type": "array", "minItems": 1, "items": _TEXT},
                    tokens,
                    {"type": "array", "minItems": 1, "items": tokens},
                ]
            },
        ),
    }


def _small_requests() -> Schema:
    """Those that call no model."""
    return {
        "Control": _object(
            (),
            closed=True,
            **_CONTROLS,
            exclude={"type": "array", "items": _TEXT},
            session={"type": "string", "minLength": 1, "maxLength": LONGEST_SESSION},
        ),
        "Feedback": _object(
            ("request_id",),
            closed=True,
            request_id={"type": "string", "minLength": 1},
            score={"type": "number", "minimum": 0, "maximum": 1},
            thumbs={"enum": ["up", "down"]},
            comment=_or_null({"type": "string", "maxLength": 4000}),
        ),
        "NewKey": _object(
            ("name",),
            closed=True,
            name={"type": "string", "minLength": 1, "maxLength": 200},
            is_admin={"type": "boolean"},
            models=_or_null({"type": "array", "items": _TEXT}),
            budget_usd=_or_null({"type": "number", "exclusiveMinimum": 0}),
            period={"enum": ["day", "month", None]},
            requests_per_minute=_or_null(_COUNT),
            tokens_per_minute=_or_null(_COUNT),
        ),
    }


def _answers() -> Schema:
    candidate = _object(
        ("model", "upper_cost_usd"),
        model=_TEXT,
        score=_or_null(_NUMBER),
        predicted_cost_usd=_or_null(_NUMBER),
        upper_cost_usd=_NUMBER,
    )
    model = _object(("id", "object"), id=_TEXT, object={"const": "model"}, owned_by=_TEXT)
    return {
        "Anything": {"type": "object"},
        "Answer": {
            "type": "object",
            "description": "The upstream's answer, as it was. A response is made from a chat "
            "completion where the upstream has no responses.",
        },
        "Route": _object(
            ("model", "decided_by", "ranking", "removed"),
            model=_or_null(_TEXT),
            decided_by={"enum": [*get_args(DecidedBy)]},
            ranking={"type": "array", "items": candidate},
            removed={"type": "object", "additionalProperties": _TEXT},
            confidence=_or_null(_NUMBER),
            far=_or_null({"type": "boolean"}),
        ),
        "FeedbackTaken": _object(
            ("request_id", "model", "score"), request_id=_TEXT, model=_TEXT, score=_NUMBER
        ),
        "Models": _object(
            ("object", "data"), object={"const": "list"}, data={"type": "array", "items": model}
        ),
        "Status": _object(("status",), status=_TEXT),
        "Error": _object(
            ("error",),
            error=_object(
                ("message", "type"),
                message=_TEXT,
                type=_or_null(_TEXT),
                param=_or_null(_TEXT),
                code={},
            ),
        ),
    }
