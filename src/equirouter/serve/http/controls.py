"""The wishes of a request to the router: by virtual model, in its body, or by headers."""

import math
from collections.abc import Mapping
from typing import Any

from equirouter.errors import GatewayError
from equirouter.serve.chat import VIRTUAL, ChatRequest
from equirouter.serve.records import RequestControl
from equirouter.serve.refusals import wrong_field

VIRTUAL_MODELS = (
    "equirouter/auto",
    "equirouter/quality-0.98",
    "equirouter/budget-0.002",
    "equirouter/lambda-100",
)
"""The virtual models; of the last three any number may be named."""

CONTROL_HEADERS = {
    "x-equirouter-budget-usd": "budget_usd",
    "x-equirouter-quality": "quality",
    "x-equirouter-lambda": "lambda",
    "x-equirouter-exclude": "exclude",
    "x-equirouter-session": "session",
    "x-equirouter-cascade": "cascade",
    "x-equirouter-explore": "explore",
}
_MOST = {"budget_usd": 1e9, "quality": 1.0, "lambda": 1e12}  # beyond any sense, within any type
_NAMED = {"budget": "budget_usd", "quality": "quality", "lambda": "lambda"}
_ALLOWED = (
    "allowed are budget_usd (USD, above 0, at most 1e9), quality (above 0, at most 1) and lambda "
    "(from 0 to 1e12), at most one of them; exclude (names of models), session (a text), "
    "cascade and explore (true or false; in the header on or off)"
)
_SWITCHES = {
    "cascade": "whether more than one model may be asked",
    "explore": "whether another model than the best may be asked, to learn of it",
}
_SWITCH = {"on": True, "off": False}
_NO_CONTROL = RequestControl()
LONGEST_SESSION = 256


def read_control(chat: ChatRequest, headers: Mapping[str, str]) -> RequestControl:
    """The control of a request; takes `equirouter` out of its body.

    Raises GatewayError 400 for one that is wrong or contradicts another, with what is allowed.
    """
    controls: dict[str, Any] = {}
    if chat.is_virtual and chat.model != VIRTUAL_MODELS[0]:
        _add(controls, *_of_name(chat.model), place=f"model {chat.model!r}")
    given = chat.body.pop("equirouter", None)
    if given is not None:
        if not isinstance(given, dict):
            raise _wrong("equirouter", given, "an object")
        for name, value in given.items():
            _add(controls, name, _checked(name, value, f"equirouter.{name}"), place="equirouter")
    for header, name in CONTROL_HEADERS.items():
        text = headers.get(header)
        if text is not None:
            _add(controls, name, _checked(name, _of_text(name, text, header), header), place=header)
    if not controls:
        return _NO_CONTROL
    points = [name for name in _MOST if name in controls]
    if len(points) > 1:
        raise GatewayError(400, f"{' and '.join(points)} exclude each other: {_ALLOWED}")
    if not chat.is_virtual and points and points[0] != "budget_usd":
        raise GatewayError(
            400,
            f"{points[0]} needs a virtual model, such as equirouter/auto; {chat.model!r} names "
            "one model, so only budget_usd, exclude and session apply",
            param=points[0],
        )
    return RequestControl(
        budget_usd=controls.get("budget_usd"),
        quality=controls.get("quality"),
        lambda_=controls.get("lambda"),
        exclude=controls.get("exclude", frozenset()),
        session=controls.get("session"),
        cascade=controls.get("cascade", True),
        explore=controls.get("explore", True),
    )


def _of_name(model: str) -> tuple[str, object]:
    """The control that a virtual model's name states: equirouter/budget-0.002."""
    kind, _, text = model.removeprefix(VIRTUAL).partition("-")
    if kind in _NAMED and text:
        try:
            return _NAMED[kind], _checked(_NAMED[kind], float(text), f"model {model!r}")
        except ValueError:
            pass
    is_control = kind in _NAMED  # a control that is wrong, and no model that is unknown
    raise GatewayError(
        400 if is_control else 404,
        f"model {model!r}: the virtual models are {', '.join(VIRTUAL_MODELS)}, with any number",
        code=None if is_control else "model_not_found",
        param="model",
    )


def _of_text(name: str, text: str, header: str) -> object:
    if name == "exclude":
        return [model.strip() for model in text.split(",") if model.strip()]
    if name == "session":
        return text
    if name in _SWITCHES:
        return _SWITCH.get(text, text)
    try:
        return float(text)
    except ValueError:
        raise _wrong(header, text, "a number") from None


def _checked(name: str, value: object, place: str) -> float | str | frozenset[str]:
    if name in _MOST:
        return _number(name, value, place)
    if name == "exclude":
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise _wrong(place, value, "a list of names of models")
        return frozenset(value)
    if name == "session":
        if not isinstance(value, str) or not 0 < len(value) <= LONGEST_SESSION:
            raise _wrong(place, value, f"a text of 1 to {LONGEST_SESSION} characters")
        return value
    if name in _SWITCHES:
        if not isinstance(value, bool):
            raise _wrong(place, value, _SWITCHES[name])
        return value
    raise _wrong(place, value, "no such control")


def _number(name: str, value: object, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(place, value, "a number")
    number = float(value)
    if not math.isfinite(number):
        raise _wrong(place, value, "a finite number")
    if not 0 <= number <= _MOST[name] or (number == 0 and name != "lambda"):
        raise _wrong(place, value, "a number in the range of this control")
    return number


def _add(controls: dict[str, Any], name: str, value: object, *, place: str) -> None:
    """Add a control; the same one twice must say the same."""
    if name in controls and controls[name] != value:
        raise GatewayError(
            400,
            f"{place}: {name} is {value!r} here and {controls[name]!r} elsewhere in the request",
            param=name,
        )
    controls[name] = value


def _wrong(place: str, value: object, expected: str) -> GatewayError:
    return wrong_field(place, value, f"{expected}: {_ALLOWED}")
