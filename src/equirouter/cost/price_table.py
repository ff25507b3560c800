"""Tables of prices: the one that the package ships, and those of a user's own."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from equirouter.cost.prices import Price, ServiceTier, Tier
from equirouter.errors import ConfigError

_SHIPPED = Path(__file__).with_name("price_table.toml")
_TIERS, _LIMIT, _SERVICE = "tiers", "above_input_tokens", "service_tiers"
_AMOUNTS = tuple(field.name for field in fields(Price) if field.name not in (_TIERS, _SERVICE))
_NEEDED = ("input_usd_per_mtok", "output_usd_per_mtok")


@dataclass(frozen=True)
class PriceTable:
    """Prices by the exact name of a model.

    as_of: the day of which they are, as YYYY-MM-DD, None if the table does not say. source: where
    they are from. place: the file, for messages.
    """

    prices: Mapping[str, Price]
    as_of: str | None
    source: str | None
    place: str

    def get(self, model: str) -> Price | None:
        """The price of a model, None if it is not in the table: nothing is guessed from a name."""
        return self.prices.get(model)

    def price(self, model: str) -> Price:
        """The price of a model. Raises ConfigError with the names that come close."""
        price = self.prices.get(model)
        if price is None:
            close = get_close_matches(model, self.prices, n=3)
            hint = f"; close are {', '.join(close)}" if close else ""
            raise ConfigError(
                f"{self.place}: no price of {model!r} among {len(self.prices)} models{hint}. "
                f"State its price, or add it to a table of your own, in the form of {_SHIPPED}"
            )
        return price


@cache
def shipped_prices() -> PriceTable:
    """Prices of public models on the day `as_of`, at their makers' standard rates."""
    return read_price_table(_SHIPPED)


def read_price_table(path: str | Path) -> PriceTable:
    """Read a table of prices: TOML or JSON, in the form of price_table.toml beside this file.

    Raises ConfigError that names the file, the model and the field.
    """
    path = Path(path)
    table = _parsed(path)
    place = str(path)
    unknown = sorted(set(table) - {"as_of", "source", "models"})
    if unknown:
        raise ConfigError(f"{place}: {unknown[0]!r} is not known; expected as_of, source, models")
    models = table.get("models")
    if not isinstance(models, dict) or not models:
        raise ConfigError(f"{place}: no models; expected a table 'models' of at least one model")
    prices = {
        name: price_from(price, f"{place}: models.{json.dumps(name)}")
        for name, price in models.items()
    }
    return PriceTable(
        MappingProxyType(prices), _as_of(place, table.get("as_of")), _source(place, table), place
    )


def price_to(price: Price) -> dict[str, Any]:
    """The fields that price_from takes, those that say something, as JSON can hold them."""
    document: dict[str, Any] = {
        name: getattr(price, name) for name in _AMOUNTS if getattr(price, name) is not None
    }
    if price.tiers:
        document[_TIERS] = [
            {_LIMIT: tier.above_input_tokens, **price_to(tier.price)} for tier in price.tiers
        ]
    if price.service_tiers:
        document[_SERVICE] = {tier.name: price_to(tier.price) for tier in price.service_tiers}
    return document


def price_from(
    given: object, place: str, known: tuple[str, ...] = (*_AMOUNTS, _TIERS, _SERVICE)
) -> Price:
    """A price from the fields that a file has of it; place: where, for messages.

    known: the fields that there may be. Raises ConfigError for a field that is not known, missing
    or no number.
    """
    if not isinstance(given, Mapping):
        raise ConfigError(f"{place}: found {given!r}; expected a table with {', '.join(_NEEDED)}")
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ConfigError(f"{place}: {unknown[0]!r} is not known; expected {', '.join(known)}")
    missing = [name for name in _NEEDED if name not in given]
    if missing:
        raise ConfigError(f"{place}: {missing[0]} is missing")
    tiers = given.get(_TIERS, [])
    if not isinstance(tiers, list):
        raise ConfigError(f"{place}: {_TIERS} is {tiers!r}; expected a list of tables")
    service = given.get(_SERVICE, {})
    if not isinstance(service, Mapping):
        raise ConfigError(f"{place}: {_SERVICE} is {service!r}; expected a table of prices by name")
    amounts = {name: _amount(given[name], f"{place}: {name}") for name in _AMOUNTS if name in given}
    try:
        return Price(
            **amounts,
            tiers=tuple(
                _tier(tier, f"{place}: {_TIERS}[{number}]") for number, tier in enumerate(tiers)
            ),
            service_tiers=tuple(
                ServiceTier(
                    name, price_from(price, f"{place}: {_SERVICE}.{name}", (*_AMOUNTS, _TIERS))
                )
                for name, price in service.items()
            ),
        )
    except ConfigError as error:
        if str(error).startswith(place):
            raise
        raise ConfigError(f"{place}: {error}") from error


def _tier(given: object, place: str) -> Tier:
    if not isinstance(given, Mapping) or _LIMIT not in given:
        raise ConfigError(f"{place}: found {given!r}; expected a table with {_LIMIT} and prices")
    limit = given[_LIMIT]
    if isinstance(limit, bool) or not isinstance(limit, int) or limit <= 0:
        raise ConfigError(f"{place}: {_LIMIT} is {limit!r}; expected a number of tokens above 0")
    return Tier(limit, price_from({k: v for k, v in given.items() if k != _LIMIT}, place, _AMOUNTS))


def _amount(value: object, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{place} is {value!r}; expected USD per million tokens, a number")
    return float(value)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not valid UTF-8") from error
    parse = {".toml": tomllib.loads, ".json": json.loads}.get(path.suffix.lower())
    if parse is None:
        raise ConfigError(f"{path}: the suffix is {path.suffix!r}; expected .toml or .json")
    try:
        table = parse(text)
    except ValueError as error:  # of TOML and of JSON; both say the line
        raise ConfigError(f"{path}: {error}") from error
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: found a {type(table).__name__}; expected a table of prices")
    return table


def _as_of(place: str, given: object) -> str | None:
    if given is None:
        return None
    text = given.isoformat() if isinstance(given, date) else given
    try:
        return date.fromisoformat(str(text)).isoformat()
    except ValueError as error:
        raise ConfigError(f"{place}: as_of is {given!r}; expected a day, YYYY-MM-DD") from error


def _source(place: str, table: dict[str, Any]) -> str | None:
    source = table.get("source")
    if source is not None and not isinstance(source, str):
        raise ConfigError(f"{place}: source is {source!r}; expected a text")
    return source
