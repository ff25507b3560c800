"""The contract of a check of responses, on responses of every kind."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from equirouter.checks.base import Response, ResponseCheck
from equirouter.checks.model_calls import AskingCheck
from equirouter.testing.expect import expect

RESPONSES = (
    Response("What is 2 + 2?", "4"),
    Response("What is 2 + 2?", "The answer is 4.", "stop", (-0.1, -0.2, 0.0)),
    Response("As JSON, please.", '```json\n{"answer": [1, 2]}\n```', "stop"),
    Response("A query", '{"cut": ', "length", (-3.0,)),
    Response("A query", "", "content_filter"),
    Response("", "   \n"),
    Response("日本語", "é\u2028\x00\ud7ff 🙂" * 200, None, ()),
)
ANSWERS = ("7", "10", "0", "", "I would say 7 or 8.", "11", "-1", "7.5", "日本語", "9" * 5000)


def check_response_check(make: Callable[[], ResponseCheck | AskingCheck]) -> None:
    """Raise AssertionError where a check breaks its contract.

    make: makes it. It gives numbers from 0 to 1 or None, the same for the same response, from
    several threads, and leaves the response as it is. One that asks a model makes a prompt of every
    response, and reads any answer.
    """
    check = make()
    if isinstance(check, AskingCheck):
        _asks(check)
        return
    seen = [replace(response) for response in RESPONSES]
    values = [check(response) for response in seen]
    for response, value in zip(seen, values, strict=True):
        _in_range(value, f"{response.text!r:.40}")
    expect(seen == list(RESPONSES), "the check changed a response")
    with ThreadPoolExecutor(4) as pool:
        expect(list(pool.map(check, seen)) == values, "in several threads it says otherwise")


def _asks(check: AskingCheck) -> None:
    expect(isinstance(check.model, str), f"model is {check.model!r}: expected a name")
    for response in RESPONSES:
        prompt = check.prompt(response)
        expect(response.text in prompt, "the prompt lacks the response")
        expect(prompt == check.prompt(response), "the prompt differs from one time to the next")
    for answer in ANSWERS:
        _in_range(check.read(answer), f"the answer {answer!r:.40}")


def _in_range(value: float | None, of: str) -> None:
    in_range = value is None or 0.0 <= value <= 1.0
    expect(in_range, f"{of}: found {value!r}, expected a float from 0 to 1, or None")
