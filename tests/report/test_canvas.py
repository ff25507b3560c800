"""Text that must fit: widths, and what is left of a text that is too long."""

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equirouter.registry import ROUTERS
from equirouter.report.canvas import colour_of, dash_of, fitted, model_colours, spread, width_of


def test_wide_letters_are_wider_and_size_scales() -> None:
    assert width_of("mmm", 7) > 2 * width_of("iii", 7)
    assert width_of("gpt-4", 14) == pytest.approx(2 * width_of("gpt-4", 7), rel=0.02)
    assert width_of("gpt-4", 7, is_bold=True) > width_of("gpt-4", 7)


@settings(max_examples=25)
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


ANCHORS = ("oracle", "random", "strongest", "cheapest", "task", "mixture")


@pytest.mark.parametrize("name", [*ROUTERS.names(), "another", "", "π"])
def test_every_name_has_a_colour_and_a_dash(name: str) -> None:
    assert re.fullmatch("#[0-9A-F]{6}", colour_of(name))
    assert colour_of(name) == colour_of(name)
    assert dash_of(name) in {"solid", "dash", "dot", "dashdot"}


def test_no_two_known_names_look_the_same() -> None:
    looks = [(colour_of(name), dash_of(name)) for name in ROUTERS.names()]
    assert len(set(looks)) == len(looks)


def test_a_variant_is_a_shade_of_its_router_with_another_dash() -> None:
    names = [f"knn:k={k}" for k in range(1, 40)]
    # #009E73 itself, 35 % darker and 35 % lighter: 0x9E = 158 -> 103 and 192; 0x73 = 115 -> 75, 164
    assert {colour_of(name) for name in names} == {"#009E73", "#00674B", "#59C0A4"}
    assert {dash_of(name) for name in names} == {"dash", "dot", "dashdot"}


def test_anchors_are_grey_and_routers_are_not() -> None:
    for name in ROUTERS.names():
        colour = colour_of(name)
        is_grey = colour[1:3] == colour[3:5] == colour[5:7]
        assert is_grey == (name in ANCHORS)


def test_models_get_one_colour_each_from_dark_to_light() -> None:
    colours = model_colours(11)
    lightness = [sum(int(colour[i : i + 2], 16) for i in (1, 3, 5)) for colour in colours]
    assert len(set(colours)) == 11
    assert lightness == sorted(lightness)
    assert len(model_colours(1)) == 1


def test_labels_that_touch_are_moved_evenly() -> None:
    # both want 1.0 and must be 0.5 apart: each moves by half of that
    assert spread([1.0, 1.0, 5.0], 0.5, 0.0, 10.0) == [0.75, 1.25, 5.0]


def test_labels_stay_inside() -> None:
    # 10 is the top: the two below it make room
    assert spread([10.0, 10.0, 10.0], 1.0, 0.0, 10.0) == [8.0, 9.0, 10.0]


@given(
    st.lists(st.floats(0.0, 1.0), max_size=12),
    st.floats(0.001, 0.08),
)
def test_labels_keep_apart_inside_and_in_order(positions: list[float], gap: float) -> None:
    placed = spread(positions, gap, 0.0, 1.0)
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    ordered = [placed[index] for index in order]
    assert all(right - left >= gap - 1e-9 for left, right in pairwise(ordered))
    assert all(-1e-9 <= place <= 1.0 + 1e-9 for place in placed)
