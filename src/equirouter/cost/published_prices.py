"""Prices of the models of published outcomes: published_prices.toml, with source and date of each.

PRICES is what RouterBench charged, FLAGSHIP_PRICES what LLMRouterBench paid; open models that
neither names are priced by their size: price_of_size. published_price is for data sets that publish
answers and no costs. A table of outcomes carries its own costs, and these are used only where costs
have to be worked out from tokens. Prices of today are in price_table.toml.
"""

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from equirouter.cost.prices import Price
from equirouter.errors import ConfigError

_TABLE = tomllib.loads(Path(__file__).with_name("published_prices.toml").read_text("utf-8"))


def _prices(source: str) -> Mapping[str, Price]:
    known = _TABLE[source]["prices"].items()
    return MappingProxyType({model: Price(*usd) for model, usd in known})


PRICES = _prices("routerbench")
FLAGSHIP_PRICES = _prices("llmrouterbench")
"""The 13 models of LLMRouterBench that it paid for, under the names of its files."""


@dataclass(frozen=True)
class PublishedPrice:
    """A price, where it was read, and the month of that list as YYYY-MM."""

    price: Price
    source: str
    as_of: str


_NAMED = {
    model: PublishedPrice(Price(*usd), each["source"], each["as_of"])
    for each in _TABLE["lists"]
    for model, usd in each["prices"].items()
}
_SIZES = _TABLE["sizes"]
_CLASSES = sorted(
    (float(limit), PublishedPrice(Price(usd, usd), _SIZES["source"], _SIZES["as_of"]))
    for limit, usd in _SIZES["up_to_billion"].items()
)
"""By the largest size of a class in 1e9 parameters, the smallest class first."""


def published_price(model: str) -> PublishedPrice | None:
    """The price of a model by its exact name, else by the size that its name states.

    None where there is neither, or the size is above all classes.

    >>> published_price("gpt-4o-2024-08-06").price.output_usd_per_mtok
    10.0
    >>> published_price("Yi-1.5-34B-Chat").price.input_usd_per_mtok
    0.8
    """
    size = size_of(model)
    if model in _NAMED or size is None:
        return _NAMED.get(model)
    return next((price for limit, price in _CLASSES if size <= limit), None)


def price_of(model: str) -> Price | None:
    """The price of a model by its exact name, None if neither benchmark has it."""
    return PRICES.get(model) or FLAGSHIP_PRICES.get(model)


def price_of_size(size: float) -> Price:
    """The price at RouterBench of the open model nearest in size, by ratio: an estimate.

    size: in 1e9 parameters. Up to about 9.5 it is the price of Mistral 7B, to 21 of WizardLM 13B,
    to 49 of Yi 34B, above of Llama 2 70B: too little for models that are much larger.
    Raises ConfigError for a size that is not above 0.
    """
    if not (math.isfinite(size) and size > 0):
        raise ConfigError(f"size is {size}; expected 1e9 parameters, above 0")
    named: dict[str, float] = _TABLE["routerbench"]["billion"]
    return PRICES[min(named, key=lambda model: abs(math.log(named[model] / size)))]


def size_of(model: str) -> float | None:
    """1e9 parameters of a model as its name says, None if the name does not.

    "Llama-3.1-8B-Instruct" is 8, "Mixtral-8x7B" 56 (8 times 7: the shared weights are counted 8
    times), "pythia-410m" 0.41; of two sizes in a name the last counts. Some names that say nothing
    are known.
    """
    known: float | None = _TABLE["unsaid_billion"].get(model.rpartition("/")[2].lower())
    if known is not None:
        return known
    sizes = re.findall(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", model.lower())
    if not sizes:
        return None
    times, number, unit = sizes[-1]
    size = float(number) * int(times or 1) / (1 if unit == "b" else 1000)
    return size or None
