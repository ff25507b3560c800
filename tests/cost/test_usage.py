"""The usage of a call, in the reports of three APIs."""

import math
from typing import Any

import pytest

from equirouter.cost.usage import Usage, usage_of
from equirouter.errors import ConfigError, DataError


def test_the_plain_tokens_are_what_the_parts_leave() -> None:
    usage = Usage(
        100,
        50,
        cached_input_tokens=40,
        cache_write_tokens=10,
        long_cache_write_tokens=5,
        audio_input_tokens=20,
        reasoning_tokens=30,
        audio_output_tokens=1,
    )
    assert usage.plain_input_tokens == 25  # 100 - 40 - 10 - 5 - 20
    assert usage.plain_output_tokens == 19  # 50 - 30 - 1


@pytest.mark.parametrize("wrong", [-1, math.nan, math.inf])
def test_tokens_that_make_no_sense(wrong: float) -> None:
    with pytest.raises(ConfigError, match=r"input_tokens is .*expected a number of tokens"):
        Usage(wrong, 1)
    with pytest.raises(ConfigError, match=r"reasoning_tokens is"):
        Usage(1, 1, reasoning_tokens=wrong)


def test_parts_are_no_more_than_their_total() -> None:
    with pytest.raises(ConfigError, match=r"cached_input_tokens 6 .*more than input_tokens 10"):
        Usage(10, 1, cached_input_tokens=6, cache_write_tokens=5)
    with pytest.raises(ConfigError, match=r"reasoning_tokens 2 .*more than output_tokens 1"):
        Usage(10, 1, reasoning_tokens=2)
    assert Usage(10, 1, cached_input_tokens=10, reasoning_tokens=1).plain_input_tokens == 0


def test_openai_counts_parts_within_the_totals() -> None:
    report = {
        "prompt_tokens": 2006,
        "completion_tokens": 300,
        "total_tokens": 2306,
        "prompt_tokens_details": {"cached_tokens": 1920, "cache_write_tokens": 64},
        "completion_tokens_details": {"reasoning_tokens": 192, "audio_tokens": None},
    }
    assert usage_of(report) == Usage(
        2006, 300, cached_input_tokens=1920, cache_write_tokens=64, reasoning_tokens=192
    )


@pytest.mark.parametrize(
    ("report", "output_tokens"),
    [
        # xAI's own example: 32 + 9 + 94 = 135
        ({"completion_tokens": 9, "total_tokens": 135, "details": 94}, 103),
        ({"completion_tokens": 0, "total_tokens": 92, "details": 60}, 60),  # Gemini, thoughts only
        ({"completion_tokens": 103, "total_tokens": 135, "details": 94}, 103),  # OpenAI
        ({"completion_tokens": 103, "total_tokens": None, "details": 94}, 103),
    ],
)
def test_reasoning_that_only_the_total_has(report: dict[str, Any], output_tokens: int) -> None:
    details = {"reasoning_tokens": report.pop("details")}
    usage = usage_of({"prompt_tokens": 32, **report, "completion_tokens_details": details})
    assert usage.output_tokens == output_tokens
    assert usage.reasoning_tokens == details["reasoning_tokens"]


def test_the_cache_hits_of_deepseek() -> None:
    report = {"prompt_tokens": 90, "completion_tokens": 5, "prompt_cache_hit_tokens": 64}
    assert usage_of(report) == Usage(90, 5, cached_input_tokens=64)


def test_openai_responses() -> None:
    report = {
        "input_tokens": 1000,
        "input_tokens_details": {
            "cached_tokens": 400,
            "cache_write_tokens": 300,
            "cache_write_tokens_details": {"ttl_12h_tokens": 100, "ttl_30m_tokens": 200},
        },
        "output_tokens": 70,
        "output_tokens_details": {"reasoning_tokens": 20},
        "total_tokens": 1070,
    }
    assert usage_of(report) == Usage(
        1000,
        70,
        cached_input_tokens=400,
        cache_write_tokens=200,
        long_cache_write_tokens=100,
        reasoning_tokens=20,
    )


def test_anthropic_counts_the_cache_beside_the_input() -> None:
    report = {
        "input_tokens": 21,
        "cache_read_input_tokens": 1800,
        "cache_creation_input_tokens": 248,
        "cache_creation": {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100},
        "output_tokens": 503,
    }
    assert usage_of(report) == Usage(
        2069,  # 21 + 1800 + 248
        503,
        cached_input_tokens=1800,
        cache_write_tokens=148,
        long_cache_write_tokens=100,
    )


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ({"tokens": 3}, "expected prompt_tokens"),
        ({"prompt_tokens": 3}, "completion_tokens is None"),
        ({"prompt_tokens": "3", "completion_tokens": 1}, "prompt_tokens is '3'"),
        ({"prompt_tokens": True, "completion_tokens": 1}, "prompt_tokens is True"),
        ({"prompt_tokens": -3, "completion_tokens": 1}, "prompt_tokens is -3"),
        ({"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 2}, "total_tokens 2 is less"),
        (
            {"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": 4},
            "expected an object",
        ),
        (
            {
                "prompt_tokens": 3,
                "completion_tokens": 1,
                "prompt_tokens_details": {"cached_tokens": 4},
            },
            "more than input_tokens 3",
        ),
    ],
)
def test_a_report_that_makes_no_sense(report: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        usage_of(report)


@pytest.mark.parametrize(
    "written",
    [
        {"cache_creation_input_tokens": 1000},
        {"prompt_tokens_details": {"cache_creation_tokens": 1000}},
        {
            "prompt_tokens_details": {"cached_tokens": 0, "cache_creation_tokens": 1000},
            "cache_creation_input_tokens": 1000,
            "cache_read_input_tokens": 0,
        },
    ],
)
def test_litellms_proxy_counts_what_is_written_to_a_cache_within_the_prompt(
    written: dict[str, Any],
) -> None:
    usage = usage_of({"prompt_tokens": 1200, "completion_tokens": 10, **written})
    assert usage == Usage(1200, 10, cache_write_tokens=1000)


def test_litellms_proxy_says_how_long_what_was_written_is_kept() -> None:
    details = {
        "cache_creation_tokens": 1000,
        "cache_creation_token_details": {"ephemeral_1h_input_tokens": 600},
    }
    report = {"prompt_tokens": 1500, "completion_tokens": 10, "prompt_tokens_details": details}
    assert usage_of({**report, "cache_read_input_tokens": 300}) == Usage(
        1500, 10, cached_input_tokens=300, cache_write_tokens=400, long_cache_write_tokens=600
    )
