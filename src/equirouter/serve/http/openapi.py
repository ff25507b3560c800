"""The gateway's OpenAPI document: GET /openapi.json.

Bodies of OpenAI's API are described as far as the gateway reads them; all other fields are passed
on, or are a reason against a model, so they are allowed and not listed.
"""

from collections.abc import Sequence
from typing import Any, get_args

from equirouter import __version__
from equirouter.serve.chat import MOST_CHOICES
from equirouter.serve.http.admin import NewKey
from equirouter.serve.http.controls import CONTROL_HEADERS, LONGEST_SESSION
from equirouter.serve.records import DecidedBy

Schema = dict[str, Any]

# method, path, summary, schema of the request's body, schema of the answer
_OPERATIONS = (
    ("post", "/v1/chat/completions", "Answer a chat", "ChatRequest", "Answer"),
    ("post", "/v1/responses", "Answer by the Responses API", "ResponsesRequest", "Answer"),
    ("post", "/v1/messages", "Answer by the Messages API", "MessagesRequest", "Answer"),
    ("post", "/v1/messages/count_tokens", "Count tokens", "MessagesRequest", "Anything"),
    ("post", "/v1/embeddings", "Embed texts", "EmbeddingsRequest", "Answer"),
    (
        "post",
        "/v1/route",
        "Choose a model for a chat request without calling it",
        "ChatRequest",
        "Route",
    ),
    ("post", "/v1/feedback", "Say how good an answer was", "Feedback", "FeedbackTaken"),
    ("get", "/v1/models", "The models of the pool and the virtual ones", None, "Models"),
    ("get", "/v1/models/{name}", "One of them", None, "Model"),
    ("get", "/healthz", "Whether the process answers", None, "Status"),
    ("get", "/readyz", "Whether new requests are accepted", None, "Status"),
    ("get", "/openapi.json", "This document", None, "Anything"),
    ("get", "/admin/status", "The state of this worker", None, "Anything"),
    ("post", "/admin/reload", "Take a new pipeline after a self-test", None, "Anything"),
    ("get", "/admin/keys", "All keys, with what each spent", None, "Anything"),
    ("post", "/admin/keys", "Make a key; it is shown only once", "NewKey", "Anything"),
    ("delete", "/admin/keys/{key}", "Revoke a key, by its id or its name", None, "Anything"),
)
_TEXT: Schema = {"type": "string"}
_ROLE: Schema = {"enum": ["user", "assistant", "system"]}
_SHORT_TEXT: Schema = {"type": "string", "minLength": 1}
_SESSION: Schema = {**_SHORT_TEXT, "maxLength": LONGEST_SESSION}
_NUMBER: Schema = {"type": "number"}
_FLAG: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer", "minimum": 1, "maximum": 2**31}
_CONTROLS: dict[str, Schema] = {
    "budget_usd": {"type": "number", "exclusiveMinimum": 0, "maximum": 1e9},
    "quality": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    "lambda": {"type": "number", "minimum": 0, "maximum": 1e12},
}
_HEADERS: dict[str, Schema] = {
    **_CONTROLS,
    "exclude": {"type": "string", "description": "Names of models with commas between them."},
    "session": _SESSION,
    "cascade": {"enum": ["on", "off"]},
    "explore": {"enum": ["on", "off"]},
}


def openapi_document(models: Sequence[str]) -> Schema:
    """The document, as JSON can hold it. models: names that a request may have as its model."""
    paths: dict[str, Schema] = {}
    for method, path, summary, request, answer in _OPERATIONS:
        paths.setdefault(path, {})[method] = _operation(path, summary, request, answer)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "EquiRouter gateway",
            "version": __version__,
            "description": "An OpenAI-compatible endpoint that routes each request to a model.",
        },
        "security": [{"key": []}, {}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {**_requests(models), **_answers()},
        },
    }


def _operation(path: str, summary: str, request: str | None, answer: str) -> Schema:
    ok = _response("Done.", answer)
    if path in ("/v1/chat/completions", "/v1/responses", "/v1/messages"):
        ok["content"]["text/event-stream"] = {"schema": {"type": "object"}}  # an event each
    responses = {
        "201" if request == "NewKey" else "200": ok,
        "4XX": _response("The request is refused, by the gateway or by the provider.", "Error"),
        "5XX": _response("Nobody could answer.", "Error"),
    }
    if path == "/readyz":
        responses["503"] = _response("It is stopping.", answer)
    operation: Schema = {"summary": summary, "responses": responses}
    if request is not None:
        operation["requestBody"] = {"required": True, "content": _json(request)}
    if request in ("ChatRequest", "ResponsesRequest", "MessagesRequest", "EmbeddingsRequest"):
        operation["parameters"] = [
            {"name": header, "in": "header", "required": False, "schema": _HEADERS[name]}
            for header, name in CONTROL_HEADERS.items()
        ]
    if path.endswith("}"):
        name = path.rpartition("{")[2].removesuffix("}")
        operation["parameters"] = [{"name": name, "in": "path", "required": True, "schema": _TEXT}]
    return operation


def _response(description: str, schema: str) -> Schema:
    return {"description": description, "content": _json(schema)}


def _json(schema: str) -> Schema:
    return {"application/json": {"schema": _ref(schema)}}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: str, *, closed: bool = False, **fields: Schema) -> Schema:
    """required: names with spaces between them. closed: no other fields are allowed."""
    schema: Schema = {"type": "object", "required": required.split(), "properties": fields}
    return {**schema, "additionalProperties": False} if closed else schema


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(items: Schema, **limits: int) -> Schema:
    return {"type": "array", "items": items, **limits}


def _requests(models: Sequence[str]) -> Schema:
    model = {**_SHORT_TEXT, "examples": list(models)}
    content = {"anyOf": [_TEXT, _list(_object("type", type=_TEXT)), {"type": "null"}]}
    item = _object("", role=_TEXT, type=_TEXT)
    tokens = _list({"type": "integer", "minimum": 0}, minItems=1)
    texts_or_tokens = [_SHORT_TEXT, _list(_TEXT, minItems=1), tokens, _list(tokens, minItems=1)]
    return {
        "ChatRequest": _object(
            "model messages",
            model=model,
            messages=_list(_object("role", role=_TEXT, content=content), minItems=1),
            stream=_or_null(_FLAG),
            stream_options=_or_null({"type": "object"}),
            n=_or_null({**_COUNT, "maximum": MOST_CHOICES}),
            max_tokens=_or_null(_COUNT),
            max_completion_tokens=_or_null(_COUNT),
            equirouter=_ref("Control"),
        ),
        "ResponsesRequest": _object(
            "model input",
            model=model,
            input={"anyOf": [_TEXT, _list(item, minItems=1)]},
            instructions=_or_null(_TEXT),
            stream=_or_null(_FLAG),
            max_output_tokens=_or_null(_COUNT),
            equirouter=_ref("Control"),
        ),
        "MessagesRequest": _object(
            "model messages",
            model=model,
            messages=_list(_object("role content", role=_ROLE, content=content), minItems=1),
            system={"anyOf": [_TEXT, _list(_object("type", type=_TEXT))]},
            stream=_or_null(_FLAG),
            max_tokens=_or_null(_COUNT),
            metadata=_or_null({"type": "object"}),
            equirouter=_ref("Control"),
        ),
        "EmbeddingsRequest": _object("model input", model=model, input={"anyOf": texts_or_tokens}),
        "Control": _object(
            "",
            closed=True,
            **_CONTROLS,
            exclude=_list(_TEXT),
            session=_SESSION,
            cascade=_FLAG,
            explore=_FLAG,
        ),
        "Feedback": _object(
            "request_id",
            closed=True,
            request_id=_SHORT_TEXT,
            score={"type": "number", "minimum": 0, "maximum": 1},
            thumbs={"enum": ["up", "down"]},
            edited={"type": "string", "maxLength": 100000},
            comment=_or_null({"type": "string", "maxLength": 4000}),
        ),
        "NewKey": NewKey.model_json_schema(),
    }


def _answers() -> Schema:
    candidate = _object(
        "model upper_cost_usd",
        model=_TEXT,
        score=_or_null(_NUMBER),
        predicted_cost_usd=_or_null(_NUMBER),
        upper_cost_usd=_NUMBER,
    )
    model = _object("id object", id=_TEXT, object={"const": "model"}, owned_by=_TEXT)
    error = _object(
        "message type", message=_TEXT, type=_or_null(_TEXT), param=_or_null(_TEXT), code={}
    )
    return {
        "Anything": {"type": "object"},
        "Answer": {
            "type": "object",
            "description": "The upstream's answer, as it was. A response is made from a chat "
            "completion where the upstream has no responses.",
        },
        "Route": _object(
            "model decided_by ranking removed",
            model=_or_null(_TEXT),
            decided_by={"enum": [*get_args(DecidedBy)]},
            ranking=_list(candidate),
            removed={"type": "object", "additionalProperties": _TEXT},
            confidence=_or_null(_NUMBER),
            far=_or_null(_FLAG),
            cascade=_or_null(
                _object(
                    "models expected_cost_usd p_escalate",
                    models=_list(_TEXT),
                    expected_cost_usd=_NUMBER,
                    p_escalate=_or_null(_NUMBER),
                )
            ),
        ),
        "FeedbackTaken": _object(
            "request_id model score", request_id=_TEXT, model=_TEXT, score=_NUMBER
        ),
        "Models": _object("object data", object={"const": "list"}, data=_list(_ref("Model"))),
        "Model": model,
        "Status": _object("status", status=_TEXT),
        "Error": _object("error", error=error),
    }
