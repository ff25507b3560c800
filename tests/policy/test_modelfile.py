"""Facts about models from TOML and JSON, and what is wrong with a file in words."""

from pathlib import Path

import pytest

from equirouter.errors import ConfigError, DataError
from equirouter.policy import ModelFacts, read_model_facts

MODELS = ("gpt-4.1", "small")
EXPECTED = {
    "gpt-4.1": ModelFacts(1_000_000, frozenset({"tools", "vision"}), frozenset({"us"})),
    "small": ModelFacts(abilities=frozenset()),
}
TOML = """
["gpt-4.1"]
context_tokens = 1_000_000
abilities = ["tools", "vision"]
regions = ["US"]
[small]
abilities = []
"""
JSON = """{
    "gpt-4.1": {"context_tokens": 1000000, "abilities": ["tools", "vision"], "regions": ["us"]},
    "small": {"abilities": [], "context_tokens": null}
}"""


def read(tmp_path: Path, text: str, name: str = "models.toml") -> dict[str, ModelFacts]:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return read_model_facts(path, MODELS)


def test_both_forms_say_the_same(tmp_path: Path) -> None:
    assert read(tmp_path, TOML) == EXPECTED
    assert read(tmp_path, JSON, "models.json") == EXPECTED


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[gpt-4-1]\n", "no model named 'gpt-4-1'; did you mean 'gpt-4.1'"),
        ("[small]\ncontext = 3\n", "small: no field 'context'; expected context_tokens, abil"),
        ("small = 3\n", "small: expected a table of context_tokens, abilities, regions, found 3"),
        ('[small]\nregions = "eu"\n', "small: regions is 'eu'; expected a list of names"),
        ("[small]\nregions = []\n", "small: regions is empty"),
        ("[small]\ncontext_tokens = -1\n", "small: context_tokens is -1"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words) as raised:
        read(tmp_path, text)
    assert "models.toml" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("[small", "m.toml", "not TOML"),
        ("{", "m.json", "not JSON"),
        ("[]", "m.json", "expected a table per model, found list"),
    ],
)
def test_a_file_of_another_kind_is_refused(
    text: str, name: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=words):
        read(tmp_path, text, name)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_model_facts(tmp_path / "none.toml", MODELS)
