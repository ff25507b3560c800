"""Prices of models whose answers are published without costs."""

import re

import pytest

from equirouter.cost.prices import Price
from equirouter.cost.published_prices import _CLASSES, _NAMED, published_price


def test_a_name_goes_before_a_size() -> None:
    named, sized = published_price("Meta-Llama-3.1-8B-Instruct"), published_price("Llama-8B")
    assert named is not None
    assert sized is not None
    assert (named.price, sized.price) == (Price(0.18, 0.18), Price(0.2, 0.2))


@pytest.mark.parametrize(
    ("size", "usd"), [(0.5, 0.1), (4, 0.1), (4.1, 0.2), (13, 0.3), (34, 0.8), (70, 0.9), (110, 1.8)]
)
def test_a_size_is_in_the_smallest_class_that_holds_it(size: float, usd: float) -> None:
    found = published_price(f"open-model-{size}b")
    assert found is not None
    assert found.price == Price(usd, usd)


def test_nothing_is_guessed_of_a_name_without_a_size_or_beyond_all_classes() -> None:
    assert published_price("phi-2") is None
    assert published_price("open-model-405b") is None


def test_every_price_says_where_it_was_read_and_when() -> None:
    for found in (*_NAMED.values(), *(price for _, price in _CLASSES)):
        assert len(found.source) > 20
        assert re.fullmatch(r"20\d\d-[01]\d", found.as_of)
