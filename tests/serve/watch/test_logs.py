"""The log: a line for what went wrong, as JSON, and never a text or a secret."""

import ast
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import equirouter
from equirouter.serve.watch.logs import LOGGER, log_request, set_up_logging
from equirouter.serve.watch_settings import LogSettings
from tests.serve.records_made import made_record

PROVIDER_KEY = "0123456789abcdef-of-a-provider"


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, own = list(root.handlers), root.level, LOGGER.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    LOGGER.setLevel(own)


def listening(level: str = "info", form: str = "json") -> io.StringIO:
    stream = io.StringIO()
    settings = LogSettings.model_validate({"level": level, "format": form})
    set_up_logging(settings, secrets=[PROVIDER_KEY, ""], stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_failed_request_is_a_warning_with_its_attempts() -> None:
    stream = listening()
    log_request(made_record(served=None))
    (line,) = lines(stream)
    assert line["level"] == "warning"
    assert line["message"] == "chat.completions answered by nobody with 504"
    assert line["request_id"] == "req-1"
    assert line["decision_ms"] == 0.6
    attempts = line["attempts"]
    assert isinstance(attempts, list)
    assert [attempt["outcome"] for attempt in attempts] == ["status", "timeout"]


def test_a_fallback_is_an_info_and_a_plain_answer_is_not_logged() -> None:
    stream = listening()
    record = made_record()
    log_request(record)
    assert [line["level"] for line in lines(stream)] == ["info"]
    del record.attempts[0]
    log_request(record)
    assert len(lines(stream)) == 1
    stream = listening("debug")
    log_request(record)
    assert [line["level"] for line in lines(stream)] == ["debug"]


def test_a_budget_that_was_exceeded_is_an_info_with_the_amount() -> None:
    stream = listening()
    record = made_record()
    del record.attempts[0]
    record.over_budget_nusd = 30_000
    log_request(record)
    (line,) = lines(stream)
    assert (line["level"], line["over_budget_usd"]) == ("info", 0.00003)


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_text_and_no_secret_is_in_the_log(form: str) -> None:
    stream = listening("debug", form)
    record = made_record()
    record.error = f"the upstream said {PROVIDER_KEY}"
    log_request(record)
    LOGGER.error("sent Authorization: Bearer abcdefgh12345678 to it")
    LOGGER.error("postgresql://gateway:hunter22@db/equirouter is gone, key sk-live-12345678")
    LOGGER.error("and eq-live-12345678")
    try:
        raise ValueError(f"refused {PROVIDER_KEY}")
    except ValueError:
        LOGGER.exception("failed with %s", PROVIDER_KEY)
    said = stream.getvalue()
    assert "ValueError" in said
    assert "req-1" in said
    for secret in ("private", PROVIDER_KEY, "abcdefgh12345678", "hunter22", "sk-live", "eq-live"):
        assert secret not in said


def test_what_a_client_sent_cannot_begin_a_line() -> None:
    stream = listening("debug", "text")
    record = made_record()
    record.requested_model = "equirouter/auto\n2026-01-01 error   forged"
    log_request(record)
    assert len(stream.getvalue().splitlines()) == 1


def test_no_line_of_the_log_is_made_of_reprs() -> None:
    """`<Upstream object at 0x7f...>` and `ConnectionError('...')` are for programmers."""
    source = Path(equirouter.__file__).parent
    made = {
        f"{path.name}:{call.lineno}"
        for path in source.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in {"debug", "info", "warning", "error", "exception", "critical"}
        for part in ast.walk(call)
        if (isinstance(part, ast.Constant) and "%r" in str(part.value))
        or (isinstance(part, ast.FormattedValue) and part.conversion == ord("r"))
    }
    assert made == set()


def test_libraries_speak_only_of_what_may_be_wrong() -> None:
    stream = listening("debug")
    logging.getLogger("aiohttp.access").info("GET / of somebody")
    logging.getLogger("aiohttp.server").warning("slow")
    assert [line["logger"] for line in lines(stream)] == ["aiohttp.server"]
