"""Prices of the models of published outcomes: published_prices.toml, with source and date of each.

They are for data sets that publish answers and no costs. Prices of today are in price_table.toml.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from equirouter.cost.prices import Price, size_of

_FILE = Path(__file__).with_name("published_prices.toml")


@dataclass(frozen=True)
class PublishedPrice:
    """A price, where it was read, and the month of that list as YYYY-MM."""

    price: Price
    source: str
    as_of: str


def published_price(model: str) -> PublishedPrice | None:
    """The price of a model by its exact name, else by the size that its name states.

    None where there is neither, or the size is above all classes.

    >>> published_price("gpt-4o-2024-08-06").price.output_usd_per_mtok
    10.0
    >>> published_price("Yi-1.5-34B-Chat").price.input_usd_per_mtok
    0.8
    """
    named, classes = _read()
    size = size_of(model)
    if model in named or size is None:
        return named.get(model)
    return next((price for limit, price in classes if size <= limit), None)


@cache
def _read() -> tuple[dict[str, PublishedPrice], list[tuple[float, PublishedPrice]]]:
    """By name, and by the largest size of a class in 1e9 parameters, the smallest class first."""
    table = tomllib.loads(_FILE.read_text("utf-8"))
    named = {
        model: PublishedPrice(Price(*usd), each["source"], each["as_of"])
        for each in table["lists"]
        for model, usd in each["prices"].items()
    }
    sizes = table["sizes"]
    classes = [
        (float(limit), PublishedPrice(Price(usd, usd), sizes["source"], sizes["as_of"]))
        for limit, usd in sizes["up_to_billion"].items()
    ]
    return named, sorted(classes, key=lambda each: each[0])
