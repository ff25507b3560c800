"""What a request asks of the router, and what is refused."""

from typing import Any

import pytest

from equirouter.errors import GatewayError
from equirouter.serve.chat import chat_request
from equirouter.serve.http.controls import read_control
from equirouter.serve.records import RequestControl
from equirouter.serve.settings import LimitSettings


def control(
    model: str = "equirouter/auto", headers: dict[str, str] | None = None, **body: Any
) -> RequestControl:
    messages = [{"role": "user", "content": "Hi"}]
    chat = chat_request({"model": model, "messages": messages, **body}, LimitSettings())
    found = read_control(chat, headers or {})
    assert "equirouter" not in chat.body
    return found


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (control(), RequestControl()),
        (control("some-model"), RequestControl()),
        (control("equirouter/quality-0.98"), RequestControl(quality=0.98)),
        (control("equirouter/budget-0.002"), RequestControl(budget_usd=0.002)),
        (control("equirouter/budget-1e-4"), RequestControl(budget_usd=1e-4)),
        (control("equirouter/lambda-0"), RequestControl(lambda_=0.0)),
        (control(equirouter={}), RequestControl()),
        (control(equirouter={"budget_usd": 1}), RequestControl(budget_usd=1.0)),
        (
            control(equirouter={"lambda": 50, "session": "s"}),
            RequestControl(lambda_=50, session="s"),
        ),
        (
            control(equirouter={"exclude": ["a", "b"]}),
            RequestControl(exclude=frozenset({"a", "b"})),
        ),
        (control(headers={"x-equirouter-quality": "0.9"}), RequestControl(quality=0.9)),
        (control(headers={"x-equirouter-budget-usd": " 0.5"}), RequestControl(budget_usd=0.5)),
        (
            control(headers={"x-equirouter-exclude": "a, b"}),
            RequestControl(exclude=frozenset("ab")),
        ),
        (control(headers={"x-equirouter-session": "s"}), RequestControl(session="s")),
        (control(headers={"x-equirouter-cascade": "off"}), RequestControl(cascade=False)),
        (control(equirouter={"cascade": False}), RequestControl(cascade=False)),
        (
            control(
                "equirouter/quality-0.9",
                {"x-equirouter-quality": "0.90"},
                equirouter={"quality": 0.9},
            ),
            RequestControl(quality=0.9),
        ),
        (
            control("some-model", equirouter={"budget_usd": 0.1, "session": "s"}),
            RequestControl(budget_usd=0.1, session="s"),
        ),
    ],
)
def test_a_control_is_read_from_each_place(found: RequestControl, expected: RequestControl) -> None:
    assert found == expected


@pytest.mark.parametrize(
    ("model", "headers", "body", "says"),
    [
        ("equirouter/quality-2", {}, {}, "at most 1"),
        ("equirouter/quality-", {}, {}, "virtual models are"),
        ("equirouter/best", {}, {}, "virtual models are"),
        ("equirouter/budget-x", {}, {}, "virtual models are"),
        ("equirouter/budget-0", {}, {}, "above 0"),
        ("equirouter/budget-1e308", {}, {}, "at most 1e9"),
        ("equirouter/lambda-1e13", {}, {}, "to 1e12"),
        ("equirouter/budget-nan", {}, {}, "finite"),
        ("equirouter/auto", {}, {"equirouter": 7}, "an object"),
        ("equirouter/auto", {}, {"equirouter": {"speed": 1}}, "no such control"),
        ("equirouter/auto", {}, {"equirouter": {"quality": "0.9"}}, "a number"),
        ("equirouter/auto", {}, {"equirouter": {"quality": True}}, "a number"),
        ("equirouter/auto", {}, {"equirouter": {"quality": None}}, "a number"),
        ("equirouter/auto", {}, {"equirouter": {"lambda": -1}}, "from 0 to"),
        ("equirouter/auto", {}, {"equirouter": {"exclude": "a"}}, "names of models"),
        ("equirouter/auto", {}, {"equirouter": {"session": ""}}, "1 to 256 characters"),
        ("equirouter/auto", {"x-equirouter-lambda": "much"}, {}, "a number"),
        ("equirouter/auto", {}, {"equirouter": {"quality": 1, "lambda": 1}}, "exclude each other"),
        ("equirouter/quality-0.9", {}, {"equirouter": {"quality": 0.8}}, "elsewhere"),
        ("equirouter/quality-0.9", {"x-equirouter-budget-usd": "1"}, {}, "exclude each other"),
        ("some-model", {"x-equirouter-quality": "0.9"}, {}, "needs a virtual model"),
    ],
)
def test_a_wrong_control_is_refused_with_what_is_allowed(
    model: str, headers: dict[str, str], body: dict[str, Any], says: str
) -> None:
    with pytest.raises(GatewayError) as refused:
        control(model, headers, **body)
    assert says in refused.value.message
    assert refused.value.status == (404 if model in ("equirouter/best", "equirouter/") else 400)
