"""What a call is charged: by its usage, by the provider's figure, or where nobody saw either."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.cost.prices import Price, ServiceTier
from equirouter.serve.charging import upper_nusd
from equirouter.serve.records import Tokens
from equirouter.serve.settling import (
    Bounds,
    Report,
    charge,
    cost_in_tier,
    reported_nusd,
    unseen_nusd,
)

Rule = Literal["estimate", "bound", "nothing"]
# 1,000 nano-USD a token of the prompt, 2,000 one of the answer; twice and half of it in tiers
TIERS = (ServiceTier("priority", Price(2.0, 4.0)), ServiceTier("flex", Price(0.5, 1.0)))
PRICE = Price(1.0, 2.0, service_tiers=TIERS)
BOUNDS = Bounds(PRICE, upper_nusd=9_000_000, prompt_tokens=1000, output_tokens=4000)


def usage(prompt: int, completion: int | None) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion}


def charged(
    report: object,
    bounds: Bounds = BOUNDS,
    *,
    said: int = 100,
    cost: int | None = None,
    tier: object = None,
    unknown: Rule = "estimate",
    by_reported_cost: bool = False,
) -> tuple[int, str]:
    """Nano-USD, and how they were found. said: tokens of the answer's text."""
    found = charge(
        bounds,
        Report(report, lambda: said, cost, tier),
        unknown=unknown,
        by_reported_cost=by_reported_cost,
    )
    return found.cost_nusd, found.by


def test_a_plausible_usage_is_charged_even_above_the_bound() -> None:
    assert charged(usage(1000, 50)) == (1_100_000, "usage")
    # a prompt that was counted too low, and reasoning beside the limit of the answer
    assert charged(usage(9000, 20_000)) == (49_000_000, "usage")


@pytest.mark.parametrize(
    "report",
    [
        usage(1000, 999_999_999),
        usage(999_999_999, 10),
        usage(10**15, 10),
        usage(1000, None),
        usage(1000, 0),  # 100 tokens of text were there
        usage(0, 50),
        usage(-5, 50),
        {"prompt_tokens": "1000", "completion_tokens": 5},
        {"total_tokens": 50},
    ],
)
def test_a_report_that_cannot_be_true_is_replaced_by_the_estimate(report: dict[str, Any]) -> None:
    assert charged(report) == (1000 * 1000 + 100 * 2000, "implausible")
    assert charged(report, unknown="nothing") == (1_200_000, "implausible")
    # and that is never more than what was reserved
    assert charged(report, replace(BOUNDS, upper_nusd=700_000)) == (700_000, "implausible")


@given(prompt=st.integers(1, 10**12), completion=st.integers(1, 10**12))
def test_no_report_charges_much_more_than_what_the_call_could_have(
    prompt: int, completion: int
) -> None:
    bounds = replace(BOUNDS, upper_nusd=upper_nusd(PRICE, 1000, 4000))
    cost, _ = charged(usage(prompt, completion), bounds)
    assert cost <= 10 * bounds.upper_nusd


def test_an_answer_of_calls_alone_needs_no_tokens_of_text() -> None:
    assert charged(usage(1000, 0), said=0) == (1_000_000, "usage")


def test_a_prompt_of_which_the_provider_has_a_part_may_be_as_long_as_a_context() -> None:
    part = replace(BOUNDS, is_whole=False)
    assert charged(usage(200_000, 50), part) == (200_100_000, "usage")
    assert charged(usage(200_000, 50)) == (1_200_000, "implausible")


def test_embeddings_have_no_answer() -> None:
    for report in ({"total_tokens": 1000}, {"prompt_tokens": 1000, "total_tokens": 1000}):
        found = charge(
            BOUNDS,
            Report(report, lambda: 0, is_answer=False),
            unknown="estimate",
            by_reported_cost=False,
        )
        assert (found.cost_nusd, found.by) == (1_000_000, "usage")


@pytest.mark.parametrize(
    ("unknown", "nano_usd"), [("estimate", 1_200_000), ("bound", 9_000_000), ("nothing", 0)]
)
@pytest.mark.parametrize("report", [None, {}, "none"])
def test_a_call_whose_usage_nobody_saw_is_charged_by_the_rule(
    report: object, unknown: Rule, nano_usd: int
) -> None:
    assert charged(report, unknown=unknown) == (nano_usd, unknown)


def test_an_answer_beyond_its_limit_is_estimated_at_most_at_the_bound() -> None:
    # the upstream ignored max_tokens and reports nothing: 1,000,000 + 20,000 * 2000 by its text
    assert charged(None, said=20_000) == (9_000_000, "estimate")
    assert charged(None, said=4000) == (9_000_000, "estimate")
    assert charged(None, said=3999) == (8_998_000, "estimate")


def test_a_call_without_an_answer_is_charged_by_the_time_it_ran() -> None:
    # the prompt, and 50 tokens a second, up to the longest answer and the bound
    assert unseen_nusd(BOUNDS, 0.0, "estimate") == 1000 * 1000
    assert unseen_nusd(BOUNDS, 10.0, "estimate") == 1000 * 1000 + 500 * 2000
    assert unseen_nusd(replace(BOUNDS, answers=2), 10.0, "estimate") == 1_000_000 + 1000 * 2000
    assert unseen_nusd(BOUNDS, 1e6, "estimate") == 1000 * 1000 + 4000 * 2000
    assert unseen_nusd(replace(BOUNDS, upper_nusd=7), 10.0, "estimate") == 7
    assert unseen_nusd(BOUNDS, 10.0, "bound") == 9_000_000
    assert unseen_nusd(BOUNDS, 10.0, "nothing") == 0
    assert unseen_nusd(replace(BOUNDS, service_tier="flex"), 10.0, "estimate") == 1_000_000


@pytest.mark.parametrize(
    ("asked", "answered", "nano_usd"),
    [
        (None, None, 1_100_000),
        ("auto", None, 1_100_000),
        ("priority", None, 2_200_000),
        ("flex", None, 550_000),
        ("priority", "default", 1_100_000),  # it was served as any other call
        (None, "priority", 2_200_000),  # as a project's settings may say
        ("ultrafast", None, 2_200_000),  # not known: the highest that is
        ("ultrafast", "flex", 550_000),
        ("flex", 7, 550_000),  # no name of a tier
    ],
)
def test_a_call_is_charged_in_the_tier_in_which_it_was_served(
    asked: str | None, answered: object, nano_usd: int
) -> None:
    bounds = replace(BOUNDS, service_tier=asked)
    assert charged(usage(1000, 50), bounds, tier=answered) == (nano_usd, "usage")


def test_a_tier_that_no_price_is_known_of_costs_the_highest() -> None:
    assert cost_in_tier(Price(1.0, 2.0), Tokens(1000, 50), "priority") == 1_100_000
    expensive_prompts = replace(PRICE, service_tiers=(*TIERS, ServiceTier("odd", Price(9.0, 0.0))))
    assert cost_in_tier(expensive_prompts, Tokens(1000, 50), "unknown") == 9_000_000
    assert cost_in_tier(expensive_prompts, Tokens(10, 5000), "unknown") == 20_020_000


def test_the_providers_own_figure_is_charged_where_that_is_set() -> None:
    assert charged(usage(1000, 50), cost=1_234_000) == (1_100_000, "usage")
    trusted = charged(usage(1000, 50), cost=1_234_000, by_reported_cost=True)
    assert trusted == (1_234_000, "reported")
    assert charged(None, cost=1_234_000, by_reported_cost=True) == (1_234_000, "reported")
    assert charged(usage(1000, 50), cost=0, by_reported_cost=True) == (0, "reported")
    assert charged(usage(1000, 50), by_reported_cost=True) == (1_100_000, "usage")
    # a figure out of all proportion is not believed: the tokens are charged
    assert charged(usage(1000, 50), cost=10**12, by_reported_cost=True) == (1_100_000, "usage")


@pytest.mark.parametrize(
    ("report", "headers", "nano_usd"),
    [
        ({"cost": 0.0123}, {}, 12_300_000),
        ({"cost": 0}, {}, 0),
        ({"cost": {"total_cost": 0.006}}, {}, 6_000_000),  # Perplexity
        # with a key of one's own at the provider behind OpenRouter: its fee, and what that key pays
        (
            {"cost": 0.001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.02}},
            {},
            21_000_000,
        ),
        ({"cost": 0.001, "cost_details": {"upstream_inference_cost": 0.02}}, {}, 1_000_000),
        ({"cost": 0.001, "is_byok": True}, {}, None),
        ({}, {"x-litellm-response-cost": "0.002"}, 2_000_000),
        (None, {"x-litellm-response-cost": "2e-06"}, 2000),
        ({"cost": 0.001}, {"x-litellm-response-cost": "0.002"}, 1_000_000),
        (None, {"x-litellm-response-cost": "None"}, None),
        (None, {"x-litellm-response-cost": "nan"}, None),
        ({"cost": -1}, {}, None),
        ({"cost": True}, {}, None),
        ({"cost": "0.1"}, {}, None),
        ({"cost": float("inf")}, {}, None),
        ({"cost": 1e7}, {}, None),
        (None, {}, None),
    ],
)
def test_what_a_provider_says_that_an_answer_cost(
    report: object, headers: Mapping[str, str], nano_usd: int | None
) -> None:
    assert reported_nusd(report, headers) == nano_usd
