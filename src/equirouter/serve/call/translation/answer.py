"""A whole chat completion as a response, and its usage."""

import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from equirouter.serve.call.translation.building import Building
from equirouter.serve.charging import reported

__all__ = ["as_response", "begun", "response_usage"]


def as_response(
    request: Mapping[str, Any], completion: Mapping[str, Any], *, model: str, number: str = ""
) -> dict[str, Any]:
    """The response that a chat completion comes to.

    request: of the Responses API. model: its name where the completion says none. number: of the
    response, a new one where none is given. Raises ValueError for a completion without an answer.
    """
    choices = completion.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise ValueError("no choice with a message")
    answer = begun(request, completion, model, number)
    answer.add(message)
    answer.close(choice.get("finish_reason"))
    return answer.response(answer.status, usage=response_usage(completion.get("usage")))


def begun(
    request: Mapping[str, Any], document: Mapping[str, Any], model: str, number: str = ""
) -> Building:
    """An answer that begins with that completion, or that chunk of one."""
    named, created = document.get("model"), document.get("created")
    return Building(
        request,
        number=number or uuid4().hex,
        model=named if isinstance(named, str) and named else model,
        created_at=created if type(created) is int and created > 0 else int(time.time()),
    )


def response_usage(report: object) -> dict[str, Any] | None:
    """The usage of a chat completion as a response has it, None where it cannot be counted with.

    What it costs is the same by either.
    """
    tokens = reported(report)
    if tokens is None:
        return None
    of_input = {"cached_tokens": tokens.cached_input, "cache_write_tokens": tokens.cache_write}
    of_output = {"reasoning_tokens": tokens.reasoning}
    if tokens.audio_input:
        of_input["audio_tokens"] = tokens.audio_input
    if tokens.audio_output:
        of_output["audio_tokens"] = tokens.audio_output
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": of_input,
        "output_tokens": tokens.output,
        "output_tokens_details": of_output,
        "total_tokens": tokens.input + tokens.output,
    }
