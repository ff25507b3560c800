"""Descriptions of a model: the table's words, the package's, or its name."""

import numpy as np

from equirouter.cost.published_prices import PRICES
from equirouter.data import Outcomes
from equirouter.data.sources.descriptions import DESCRIPTIONS, model_texts
from equirouter.data.sources.simulated import Simulated


def table(models: tuple[str, ...], described: tuple[str | None, ...] | None = None) -> Outcomes:
    ones = np.ones((1, len(models)))
    return Outcomes(("q",), ("x",), ("t",), models, ones, ones, model_descriptions=described)


def test_every_model_of_routerbench_and_routellm_is_described() -> None:
    routellm = {"mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"}
    assert set(DESCRIPTIONS) == set(PRICES) | routellm
    assert set(Simulated().load().models) <= set(DESCRIPTIONS)


def test_a_description_is_one_paragraph_of_some_seventy_words() -> None:
    for model, text in DESCRIPTIONS.items():
        assert "\n" not in text.strip(" "), model
        assert 40 <= len(text.split()) <= 90, model
        assert "context" in text or "accepts up to" in text, model


def test_the_table_has_the_first_word_then_the_package() -> None:
    models = ("claude-v1", "claude-v2", "mine")
    texts, notes = model_texts(table(models, ("said here", None, "my own model")))
    assert texts == ("said here", DESCRIPTIONS["claude-v2"], "my own model")
    assert notes == ()


def test_the_name_of_an_unknown_model_is_read_and_that_is_said() -> None:
    texts, notes = model_texts(table(("mine", "claude-v2", "other")))
    assert (texts[0], texts[2]) == ("mine", "other")
    assert len(notes) == 1
    assert notes[0].startswith("no description of 'mine', 'other': routers that read descriptions")
    many = model_texts(table(tuple(f"m{j}" for j in range(8))))[1][0]
    assert "'m4' and 3 more" in many
