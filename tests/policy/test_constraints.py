"""Constraints by hand: who is removed, with which words, and what was not known."""

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.errors import ConfigError
from equirouter.policy import ABILITIES, ModelFacts, Needs, removed_by

MODELS = ("small", "large", "unknown")
FACTS = {
    "small": ModelFacts(4096, frozenset({"json"}), frozenset({"EU"})),
    "large": ModelFacts(128_000, frozenset({"json", "tools", "vision"}), frozenset({"us", "eu"})),
}


@pytest.mark.parametrize(
    ("needs", "removed"),
    [
        (Needs(), {}),
        (Needs(exclude=frozenset({"large"})), {"large": "excluded by name"}),
        (Needs(context_tokens=4096), {}),
        (Needs(context_tokens=4097), {"small": "context_tokens: 4097 needed, 4096 at most"}),
        (Needs(abilities=frozenset({"json"})), {}),
        (
            Needs(abilities=frozenset({"vision", "tools"})),
            {"small": "abilities: no tools, no vision"},
        ),
        # what may also be processed in the US is not only in the EU
        (Needs(regions=frozenset({"eu"})), {"large": "regions: us, allowed eu"}),
        (Needs(regions=frozenset({"Us", "eu"})), {}),
        (
            Needs(regions=frozenset()),
            {"small": "regions: eu, allowed none", "large": "regions: eu, us, allowed none"},
        ),
        (
            Needs(exclude=frozenset({"small", "large"}), context_tokens=5000),
            {
                "small": "excluded by name; context_tokens: 5000 needed, 4096 at most",
                "large": "excluded by name",
            },
        ),
    ],
)
def test_who_is_removed_and_why(needs: Needs, removed: dict[str, str]) -> None:
    assert removed_by(needs, MODELS[:2], FACTS) == removed  # of these all is known


@pytest.mark.parametrize(
    ("needs", "fact"),
    [
        (Needs(context_tokens=1), "context_tokens"),
        (Needs(abilities=frozenset({"json"})), "abilities"),
        (Needs(regions=frozenset({"eu"})), "regions"),
    ],
)
def test_a_constraint_that_cannot_be_checked_is_not_met(needs: Needs, fact: str) -> None:
    reason = f"{fact}: not known, state it in model_facts (--model-facts FILE)"
    assert removed_by(needs, MODELS, {}) == dict.fromkeys(MODELS, reason)
    others = {"context_tokens": 5, "abilities": ABILITIES, "regions": {"eu"}}
    del others[fact]
    partly = {"unknown": ModelFacts(**others)}  # type: ignore[arg-type]
    assert removed_by(needs, ["unknown"], partly) == {"unknown": reason}
    assert removed_by(Needs(exclude=frozenset({"small"})), MODELS, {}).keys() == {"small"}


def test_all_that_is_not_known_is_said_at_once() -> None:
    needs = Needs(context_tokens=1, abilities=frozenset(ABILITIES), regions=frozenset({"eu"}))
    reason = removed_by(needs, ["unknown"], FACTS)["unknown"]
    assert [part.split(":")[0] for part in reason.split("; ")] == [
        *("context_tokens", "abilities", "regions")
    ]


ALL_NEEDS = st.builds(
    Needs,
    exclude=st.frozensets(st.sampled_from(MODELS)),
    context_tokens=st.none() | st.integers(1, 10_000),
    abilities=st.frozensets(st.sampled_from(ABILITIES)),
    regions=st.none() | st.frozensets(st.sampled_from(["eu", "us"])),
)


@given(first=ALL_NEEDS, second=ALL_NEEDS)
def test_needs_together_remove_whom_either_removes(first: Needs, second: Needs) -> None:
    either = removed_by(first, MODELS, FACTS).keys() | removed_by(second, MODELS, FACTS).keys()
    both = first.joined(second)
    assert both == second.joined(first)
    # two lists of regions may leave a model no place that each would have left it
    assert either <= removed_by(both, MODELS, FACTS).keys()
    if first.regions is None or second.regions is None:
        assert either == removed_by(both, MODELS, FACTS).keys()


def test_an_unknown_name_is_refused_with_the_near_ones() -> None:
    with pytest.raises(ConfigError, match="no model named 'larg'; did you mean 'large'"):
        removed_by(Needs(exclude=frozenset({"larg"})), MODELS, FACTS)
    with pytest.raises(ConfigError, match="'qqq'; the models are small, large, unknown"):
        removed_by(Needs(exclude=frozenset({"qqq"})), MODELS, FACTS)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"context_tokens": 0}, "context_tokens is 0"),
    ({"context_tokens": True}, "context_tokens is True"),
    ({"context_tokens": 4096.0}, "context_tokens is 4096.0"),
    ({"abilities": {"legs"}}, "'legs' is none; expected vision, tools, json"),
    ({"abilities": "json"}, "expected a set of names"),
    ({"regions": {""}}, "'' is not a name"),
    ({"regions": [3]}, "3 is not a name"),
]


@pytest.mark.parametrize("kind", [ModelFacts, Needs])
@pytest.mark.parametrize(("fields", "words"), WRONG)
def test_what_makes_no_sense_is_refused(kind: Any, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        kind(**fields)


def test_a_model_is_somewhere() -> None:
    with pytest.raises(ConfigError, match="regions is empty"):
        ModelFacts(regions=frozenset())


def test_the_same_needs_are_equal_however_they_are_given() -> None:
    assert Needs(abilities={"tools"}, regions={" EU "}) == Needs(  # type: ignore[arg-type]
        abilities=frozenset({"tools"}), regions=frozenset({"eu"})
    )


def test_two_controls_exclude_each_other() -> None:
    from equirouter.policy import Control

    for first, second in combinations(("budget_usd", "quality", "performance", "lambda_"), 2):
        with pytest.raises(ConfigError, match="exclude each other: give one"):
            Control(**{first: 0.5, second: 0.5})
    for alone in ("budget_usd", "lambda_"):
        with pytest.raises(ConfigError, match="promises neither"):
            Control(**{alone: 0.5, "confidence": 0.9})
    assert Control(confidence=0.9, performance=0.5) != Control(performance=0.5)
