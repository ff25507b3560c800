"""fig2 and figA6: the verdicts on made results, and names that stay inside the figures."""

import re
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from equirouter.evaluation.facts import Reference
from equirouter.evaluation.measured import Measured
from equirouter.evaluation.results import MeanCurve, Results, RouterResults
from equirouter.paper import call_frequency
from equirouter.paper.base import Section
from equirouter.paper.call_frequency import (
    _oracle_finding,
    _sweep_finding,
    at_the_largest_budget,
    over_the_sweep,
)
from equirouter.paper.context import Context
from tests.toys import HashingEncoder, make_table

LONG = (
    "mistralai/mistral-7b-chat",
    "someone/base-8B-preference-optimised-and-merged-several-times-v0.2-2024-06",
    "one/chat",
    "other/chat",
    "the-costliest-model-of-them-all-with-thinking-and-tools-2024-11-20-preview",
)


def curves(**shares: tuple[float, ...]) -> dict[str, MeanCurve]:
    """Calls of large over the sweep; small gets the others."""
    return {
        name.replace("_", ":"): MeanCurve.model_construct(
            call_share={"large": large, "small": tuple(1 - share for share in large)}
        )
        for name, large in shares.items()
    }


def made(swept: dict[str, MeanCurve], peak: float = 0.97) -> Results:
    """Results of one seed in which every router reaches the same share of the strongest's score."""
    quality = Measured(mean=peak, low=peak, high=peak, per_seed=(peak,))
    router = RouterResults.model_construct(peak_quality=quality)
    return Results.model_construct(
        anchors={},
        outcomes=SimpleNamespace(cheapest="small"),
        reference=Reference(per_seed=("large",), as_strong=(("large",),)),
        curves=swept,
        routers={name: router for name in swept if name != "oracle"},
    )


@pytest.mark.parametrize(
    ("oracle", "verdict"),
    [
        (0.2, "reproduced"),  # 20 % to large, 80 % to small
        (0.6, "partly reproduced"),  # small is called often, but large more often than that
        (0.97, "not reproduced"),  # nearly all to large, 3 % to small
    ],
)
def test_fig2_asks_whether_the_oracle_spreads_its_calls(oracle: float, verdict: str) -> None:
    results = made(curves(oracle=(0.0, oracle), knn=(0.0, 0.9), mlp=(0.0, 0.7)))
    found, text = _oracle_finding(results)
    assert found == verdict
    assert f"sends {100 * oracle:.1f} % of the queries to large" in text
    assert "The routers send 70.0 to 90.0 % to large, the median one 80.0 %" in text


@pytest.mark.parametrize(
    ("own", "verdict", "words"),
    [
        (0.3, "reproduced", "calls it 50 % less often"),  # others: 0.6 in the middle
        (0.5, "partly reproduced", "is -17 %"),
        (0.58, "not reproduced", "is -3 %"),
        (0.9, "not reproduced", "is +50 %"),
    ],
)
def test_figa6_holds_the_mean_over_the_sweep_against_the_median(
    own: float, verdict: str, words: str
) -> None:
    # means over the two places of the sweep: knn 0.6, mlp 0.7, linear 0.5, so the median is 0.6
    others = {"knn": (0.4, 0.8), "mlp": (0.6, 0.8), "linear": (0.0, 1.0)}
    results = made(curves(equirouter_original=(own - 0.1, own + 0.1), **others))
    found, text = _sweep_finding(results)
    assert (found, words in text) == (verdict, True), text
    assert "large gets 60.0 % of the calls of a router other than EquiRouter (median of 3)" in text


def test_figa6_few_calls_below_the_quality_are_not_a_success() -> None:
    results = made(curves(equirouter=(0.0, 0.1), knn=(0.5, 0.9)), peak=0.9)
    found, text = _sweep_finding(results)
    assert found == "not reproduced"
    assert "stays below 95 %" in text


def test_figa6_reads_the_papers_settings_where_they_were_measured() -> None:
    both = curves(equirouter=(0.9, 0.9), equirouter_original=(0.1, 0.1), knn=(0.8, 0.8))
    assert _sweep_finding(made(both))[0] == "reproduced"


@pytest.mark.parametrize("names", [("knn", "mlp"), ("equirouter",)])
def test_figa6_without_two_sides_nothing_is_claimed(names: tuple[str, ...]) -> None:
    results = made(curves(**dict.fromkeys(names, (0.2, 0.4))))
    assert _sweep_finding(results)[0] == "not tested"


@pytest.fixture(scope="module")
def long_named() -> Context:
    """A benchmark with long names of models, and of a router."""
    table, rng = make_table(), np.random.default_rng(0)
    named = replace(
        table,
        models=LONG,
        performance=(rng.random((table.n_queries, len(LONG))) < 0.6).astype(np.float64),
        cost_usd=rng.uniform(1e-4, 1e-3, (table.n_queries, len(LONG))),
    )
    return Context(
        named,
        HashingEncoder(),
        ("linear", "mlp:epochs=1:hidden=64:weight_decay=0.001:batch_size=64"),
        n_seeds=1,
    )


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures, as matplotlib has them after drawing."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figures: list[Any] = []

    def draw(paint: Callable[[Any], None], size: tuple[float, float], **_: object) -> bytes:
        import matplotlib as mpl

        with mpl.rc_context({"font.size": 7.0, "font.family": "DejaVu Sans"}):
            figure = Figure(figsize=size)
            FigureCanvasAgg(figure)
            paint(figure)
            figure.draw_without_rendering()
        figures.append(figure)
        return b"<svg/>"

    monkeypatch.setattr(call_frequency, "draw_svg", draw)
    return figures


@pytest.mark.parametrize("experiment", [at_the_largest_budget, over_the_sweep])
def test_no_name_leaves_the_figure(
    experiment: Callable[[Context], Section], long_named: Context, drawn: list[Any]
) -> None:
    from matplotlib.text import Text

    experiment(long_named)
    (figure,) = drawn
    edge = figure.bbox
    named = re.compile("[a-z]")  # not the numbers at the axes, some of which are not drawn
    texts = [text for text in figure.findobj(Text) if named.search(text.get_text())]
    for text in texts:
        box = text.get_window_extent()
        inside = (box.x0 >= edge.x0, box.x1 <= edge.x1, box.y0 >= edge.y0, box.y1 <= edge.y1)
        assert all(inside), (text.get_text(), box)
    written = {text.get_text() for text in texts}
    assert {"mistral-7b-chat", "one/chat", "other/chat"} <= written  # "chat" would be either
    cut = next(text for text in written if "…" in text and text.startswith("base"))
    assert cut.endswith("2024-06")
