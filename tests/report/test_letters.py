"""Text that must fit: widths, and what is left of a text that is too long."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equirouter.report.letters import fitted, width_of


def test_wide_letters_are_wider_and_size_scales() -> None:
    assert width_of("mmm", 7) > 2 * width_of("iii", 7)
    assert width_of("gpt-4", 14) == pytest.approx(2 * width_of("gpt-4", 7), rel=0.02)
    assert width_of("gpt-4", 7, is_bold=True) > width_of("gpt-4", 7)


@settings(max_examples=25, deadline=None)
@given(st.text("abcm-.$1W", min_size=1, max_size=60), st.floats(0.3, 3.0))
def test_what_is_left_fits_and_has_both_ends(text: str, inches: float) -> None:
    left = fitted(text, inches, 7.0)
    assert width_of(left, 7.0) <= inches
    if left != text:
        assert width_of(text, 7.0) > inches
        head, tail = left.split("…")
        assert text.startswith(head)
        assert text.endswith(tail)
        assert 0 <= len(head) - len(tail) <= 1
