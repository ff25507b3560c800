"""Numbers and values in words."""

import pytest

from equirouter.report.wording import plain


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "none"),
        (True, "yes"),
        (0.1, "0.1"),
        ([3, 1, 6], "3, 1, 6"),
        (list(range(100)), "100 values from 0 to 99"),
        ({"a": 1, "b": None}, "a 1, b none"),
        ("head+tail", "head+tail"),
    ],
)
def test_plain_words(value: object, expected: str) -> None:
    assert plain(value) == expected
