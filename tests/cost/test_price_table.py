"""Tables of prices: the shipped one and a user's own."""

import json
from pathlib import Path

import pytest

from equirouter.cost.price_table import (
    price_from,
    price_to,
    read_price_table,
    shipped_prices,
)
from equirouter.cost.prices import Price, ServiceTier, Tier, cost_usd
from equirouter.cost.usage import Usage
from equirouter.errors import ConfigError

OWN = """
as_of = 2026-01-31
source = "our contract"

[models.small]
input_usd_per_mtok = 1
output_usd_per_mtok = 2.5
cached_input_usd_per_mtok = 0.0

[models."org/large"]
input_usd_per_mtok = 3.0
output_usd_per_mtok = 15.0

[[models."org/large".tiers]]
above_input_tokens = 200000
input_usd_per_mtok = 6.0
output_usd_per_mtok = 22.5

[models."org/large".service_tiers]
flex = { input_usd_per_mtok = 1.5, output_usd_per_mtok = 7.5 }
"""
SMALL = Price(1.0, 2.5, cached_input_usd_per_mtok=0.0)
LARGE = Price(
    3.0,
    15.0,
    tiers=(Tier(200_000, Price(6.0, 22.5)),),
    service_tiers=(ServiceTier("flex", Price(1.5, 7.5)),),
)


def written(folder: Path, text: str, name: str = "prices.toml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_the_shipped_table_is_dated_and_has_a_source() -> None:
    table = shipped_prices()
    assert table.as_of is not None
    assert table.source is not None
    assert len(table.prices) >= 100
    assert all(price.input_usd_per_mtok > 0 for price in table.prices.values())
    # the answer is never cheaper than the prompt, a cached token never more expensive than others
    for model, price in table.prices.items():
        assert price.output_usd_per_mtok >= price.input_usd_per_mtok, model
        assert (price.cached_input_usd_per_mtok or 0) <= price.input_usd_per_mtok, model


def test_some_shipped_prices_by_hand() -> None:
    table = shipped_prices()
    # Claude Haiku 5.5: above 100,000 tokens five times as much for the whole call
    haiku = table.price("claude-haiku-5-5")
    assert cost_usd(haiku, Usage(100_000, 1000)) == pytest.approx(0.0105)  # 0.01 + 0.0005
    assert cost_usd(haiku, Usage(100_001, 1000)) == pytest.approx(0.0525005)
    # GPT-6 Sol: input 2, cached 0.2, cache write 2.5, output 10
    usage = Usage(10_000, 500, cached_input_tokens=8000, cache_write_tokens=1000)
    # 1000 x 2 + 8000 x 0.2 + 1000 x 2.5 + 500 x 10
    assert cost_usd(table.price("gpt-6-sol"), usage) == pytest.approx(0.0111)
    # GPT-5: priority twice, flex half the standard price
    usage = Usage(1000, 100, cached_input_tokens=400)
    for service, usd in (("priority", 0.0036), ("default", 0.0018), ("flex", 0.0009)):
        price = table.price("gpt-5").served(service)
        assert price is not None
        assert cost_usd(price, usage) == pytest.approx(usd)
    # GPT Audio 1.5: 32 for sound heard, 64 for sound said
    usage = Usage(1000, 100, audio_input_tokens=900, audio_output_tokens=80)
    # 100 x 2.5 + 900 x 32 + 20 x 10 + 80 x 64
    assert cost_usd(table.price("gpt-audio-1.5"), usage) == pytest.approx(0.03437)


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    table = read_price_table(written(tmp_path, OWN))
    assert table.prices == {"small": SMALL, "org/large": LARGE}
    assert (table.as_of, table.source) == ("2026-01-31", "our contract")
    assert table.get("large") is None
    with pytest.raises(ConfigError, match=r"no price of 'smal' among 2 models; close are small"):
        table.price("smal")
    with pytest.raises(TypeError):
        table.prices["free"] = SMALL  # type: ignore[index]


def test_the_same_table_as_json(tmp_path: Path) -> None:
    models = {"small": price_to(SMALL), "org/large": price_to(LARGE)}
    path = written(tmp_path, json.dumps({"models": models}), "prices.json")
    table = read_price_table(path)
    assert table.prices == read_price_table(written(tmp_path, OWN)).prices
    assert (table.as_of, table.source) == (None, None)


def test_a_price_as_fields_and_back() -> None:
    for price in (SMALL, LARGE, *shipped_prices().prices.values()):
        assert price_from(json.loads(json.dumps(price_to(price))), "here") == price
    assert price_to(SMALL) == {
        "input_usd_per_mtok": 1.0,
        "output_usd_per_mtok": 2.5,
        "cached_input_usd_per_mtok": 0.0,
    }


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("input_usd_per_mtok = 1\n", "", r'models\."small": input_usd_per_mtok is missing'),
        ("mtok = 1\n", 'mtok = "1"\n', r'models\."small": input_usd_per_mtok is \'1\'; expected'),
        ("mtok = 1\n", "mtok = true\n", r"input_usd_per_mtok is True; expected"),
        ("mtok = 1\n", "mtok = -1\n", r'models\."small": input_usd_per_mtok is -1'),
        ("mtok = 1\n", "mtok = nan\n", r'models\."small": input_usd_per_mtok is nan'),
        ("cached_input", "cache_read", r"'cache_read_usd_per_mtok' is not known; expected input_"),
        ("200000", "0", r'"org/large": tiers\[0\]: above_input_tokens is 0'),
        ("= 22.5", "= -22.5", r'"org/large": tiers\[0\]: output_usd_per_mtok is -22.5'),
        ("output_usd_per_mtok = 22.5", "", r"tiers\[0\]: output_usd_per_mtok is missing"),
        ("above_input_tokens = 200000", "", r"tiers\[0\]: found .*expected a table with above_"),
        (
            "output_usd_per_mtok = 7.5",
            "tiers = 1",
            r"service_tiers\.flex: output_usd_per_mtok is mi",
        ),
        ("2026-01-31", '"January"', "as_of is 'January'; expected a day"),
        ('"our contract"', "3", "source is 3; expected a text"),
        ("as_of", "asof", "'asof' is not known; expected as_of"),
        ("[models.small]", "[models.small", r"line 5"),
    ],
)
def test_a_wrong_table_is_refused_with_the_place(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    assert before in OWN
    path = written(tmp_path, OWN.replace(before, after, 1))
    with pytest.raises(ConfigError, match=message) as caught:
        read_price_table(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("prices.yaml", "", "the suffix is '.yaml'; expected .toml or .json"),
        ("prices.json", "[]", "found a list"),
        ("prices.json", "{", "line 1"),
        ("prices.json", "{}", "no models"),
        ("prices.json", '{"models": {"a": 3}}', 'models."a": found 3'),
        ("prices.json", '{"models": {"a": {"tiers": 3}}}', "input_usd_per_mtok is missing"),
    ],
)
def test_what_is_no_table(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_price_table(written(tmp_path, text, name))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read"):
        read_price_table(tmp_path / "none.toml")
