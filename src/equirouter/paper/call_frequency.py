"""fig2 and figA6: which models are called how often, at the largest budget and on the way there."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

from equirouter.evaluation.results import Results
from equirouter.paper.base import Cell, Figure, Section, Table, Verdict, verdict_of
from equirouter.paper.context import Context
from equirouter.paper.router_sets import EQUIROUTER, is_equirouter, label_of
from equirouter.report.canvas import FAINT, INK, draw_svg, fitted, model_colours, width_of
from equirouter.report.figures import models_by_cost, share_axis

HALF, USED = 0.5, 0.05  # the oracle's calls: not concentrated below, not negligible above
LARGE, SMALL = 0.4, 0.1  # "roughly 50 %" less, and nothing to speak of
_N_MODELS = 12  # columns; of more models the least called are added up
_ACROSS = (4, 3, 2)  # panels, the most with room for the routers' names
_POINTS, _WIDTH, _EDGE = 7.0, 7.0, 0.1  # size of the letters; inches of a figure, and left free
_TURN = 50  # degrees of the models' names above the matrix
_LONGEST, _LONGEST_IN_KEY = 2.3, 1.65  # inches of a name; more is cut
_SWATCH = 0.13  # inches before a name of the key


def at_the_largest_budget(context: Context) -> Section:
    """fig2: the oracle's calls per model beside every router's, at the largest budget."""
    results = context.bench()
    models = models_by_cost(results)
    names = _names(results)
    shares = {name: [_share(results, name, model)[-1] for model in models] for name in names}
    verdict, finding = _oracle_finding(results)
    return Section(
        "fig2",
        "Calls per model, of the oracle and the routers (Figure 2)",
        "Even with a loose budget the oracle does not concentrate its calls on the strongest "
        "model, and the cheapest one still gets a share that is not negligible (Figure 2).",
        verdict,
        finding,
        (
            Table(
                "fig2",
                ("router", *models),
                tuple((name, *row) for name, row in shares.items()),
                "Share of the queries that each model gets at the largest budget, models from the "
                "cheapest to the most expensive; means over the seeds.",
            ),
        ),
        (_matrix(results, *_grouped(models, shares)),),
    )


def over_the_sweep(context: Context) -> Section:
    """figA6: the share of calls of every model over the sweep, a panel per router."""
    results = context.bench()
    models, names = models_by_cost(results), _names(results)
    rows: list[tuple[Cell, ...]] = [
        (name, *(fmean(_share(results, name, model)) for model in models)) for name in names
    ]
    verdict, finding = _sweep_finding(results)
    return Section(
        "figA6",
        "Calls per model over the budget sweep (Figure A6)",
        "EquiRouter calls the strongest model about half as often as other routers, and the "
        "smaller ones more (Figure A6, RouterBench).",
        verdict,
        finding,
        (
            Table(
                "figA6",
                ("router", *models),
                tuple(rows),
                "Share of the queries that each model gets, mean over the operating points of the "
                "sweep and over the seeds; models from the cheapest to the most expensive.",
            ),
        ),
        (_panels(results, models, names),),
    )


def _names(results: Results) -> list[str]:
    """The oracle, then the routers from the highest nAUC to the lowest."""
    return ["oracle", *(name for name, _, is_anchor in results.rows() if not is_anchor)]


def _share(results: Results, name: str, model: str) -> Sequence[float]:
    return results.curves[name].call_share[model]


def _oracle_finding(results: Results) -> tuple[Verdict, str]:
    strongest, cheapest = results.strongest, results.outcomes.cheapest
    top, bottom = (_share(results, "oracle", model)[-1] for model in (strongest, cheapest))
    verdict = verdict_of((top < HALF, bottom >= USED))
    others = [_share(results, name, strongest)[-1] for name in results.routers]
    return verdict, (
        "At the largest of its own budgets, which is the most expensive call, the oracle sends "
        f"{100 * top:.1f} % of the queries to {strongest}, the strongest model, "
        f"and {100 * bottom:.1f} % to {cheapest}, the cheapest one. The routers send "
        f"{100 * min(others):.1f} to {100 * max(others):.1f} % to {strongest}, "
        f"the median one {100 * median(others):.1f} %."
    )


def _sweep_finding(results: Results) -> tuple[Verdict, str]:
    strongest = results.strongest
    means = {name: fmean(_share(results, name, strongest)) for name in results.routers}
    own = [name for name in means if is_equirouter(name)]
    others = [share for name, share in means.items() if not is_equirouter(name)]
    if not own or not others:
        return "not tested", "EquiRouter and at least one other router are needed to compare them."
    name, usual = EQUIROUTER if EQUIROUTER in own else own[0], median(others)
    less = 1 - means[name] / usual if usual > 0 else 0.0
    listed = ", ".join(f"{label_of(each)} {100 * means[each]:.1f} %" for each in own)
    text = (
        f"Over the sweep {strongest} gets {100 * usual:.1f} % of the calls of a router other than "
        f"EquiRouter (median of {len(others)}), and of {listed}."
    )
    if not results.reaches(name, "0.95"):
        return "not reproduced", (
            f"{text} But {label_of(name)} stays below 95 % of the strongest model's performance, "
            "so its few calls to that model are paid for with performance."
        )
    if less >= LARGE:
        return "reproduced", f"{text} {label_of(name)} calls it {100 * less:.0f} % less often."
    verdict: Verdict = "partly reproduced" if less >= SMALL else "not reproduced"
    return verdict, f"{text} The difference of {label_of(name)} is {-100 * less:+.0f} %."


def _grouped(
    models: Sequence[str], shares: Mapping[str, Sequence[float]]
) -> tuple[list[str], dict[str, list[float]]]:
    """At most _N_MODELS columns: those that somebody calls most, the others added up."""
    if len(models) <= _N_MODELS:
        return list(models), {name: list(row) for name, row in shares.items()}
    most = [max(row[at] for row in shares.values()) for at in range(len(models))]
    ranked = sorted(range(len(models)), key=lambda at: (-most[at], at))
    kept, rest = sorted(ranked[: _N_MODELS - 1]), ranked[_N_MODELS - 1 :]
    heads = [*(models[at] for at in kept), f"{len(rest)} others"]
    grouped = {
        name: [*(row[at] for at in kept), math.fsum(row[at] for at in rest)]
        for name, row in shares.items()
    }
    return heads, grouped


def _heads(models: Sequence[str], inches: float) -> list[str]:
    """The models' names, cut where they are long; without the maker unless two then look alike."""
    names = [model.rpartition("/")[2] for model in models]
    n_alike = Counter(names)
    return [
        fitted(name if n_alike[name] == 1 else model, inches, _POINTS, is_bold=True)
        for name, model in zip(names, models, strict=True)
    ]


def _matrix(
    results: Results, models: Sequence[str], shares: Mapping[str, Sequence[float]]
) -> Figure:
    strongest = results.strongest
    title = "Calls per model at the largest budget, % of queries"
    heads = _heads(models, _LONGEST)
    labels = [fitted(label_of(name), _LONGEST, _POINTS) for name in shares]
    longest = max(width_of(head, _POINTS, is_bold=True) for head in heads)
    above = (longest + _POINTS / 72) * math.sin(math.radians(_TURN))
    size = (_WIDTH, above + 0.165 * len(shares) + 2 * _EDGE)

    def paint(figure: Any) -> None:  # noqa: ANN401  # a matplotlib object
        from matplotlib.colors import LinearSegmentedColormap

        colours = ["#F4F6F8", "#56B4E9", "#0072B2", "#00395A"]
        shades = LinearSegmentedColormap.from_list("shares", colours)
        figure.set_layout_engine("constrained", w_pad=_EDGE, h_pad=_EDGE)
        axes = figure.subplots()
        values = [[100 * share for share in row] for row in shares.values()]
        axes.imshow(values, aspect="auto", cmap=shades, vmin=0, vmax=100)
        for row, cells in enumerate(values):
            for column, value in enumerate(cells):
                text = "" if value == 0 else "<1" if value < 1 else f"{value:.0f}"
                colour = "white" if value > 40 else INK
                axes.text(column, row, text, ha="center", va="center", color=colour)
        axes.xaxis.tick_top()
        axes.tick_params(length=0, pad=2)
        look = {"color": INK, "parse_math": False}
        turned = {"rotation": _TURN, "rotation_mode": "anchor", "ha": "left", "va": "center"}
        axes.set_yticks(range(len(shares)), labels, **look)
        axes.set_xticks(range(len(models)), heads, **look, **turned)
        axes.get_yticklabels()[0].set(color=FAINT, fontstyle="italic")
        for model, label in zip(models, axes.get_xticklabels(), strict=True):
            label.set_fontweight("bold" if model == strongest else "normal")
        axes.spines[:].set_visible(False)
        axes.set_xticks([at - 0.5 for at in range(1, len(models))], minor=True)
        axes.set_yticks([at - 0.5 for at in range(1, len(shares))], minor=True)
        axes.grid(which="minor", color="white", linewidth=1.2)
        axes.tick_params(which="minor", length=0)

    return Figure(
        "fig2",
        draw_svg(paint, size, title=title, points=_POINTS),
        "A matrix of routers and models; each cell is the share of queries that the model gets.",
        f"{title}. Models from the cheapest to the most expensive, {strongest} is the strongest; "
        "the first row is the oracle. An empty cell is a model that is never called.",
    )


def _panels(results: Results, models: Sequence[str], names: Sequence[str]) -> Figure:
    x_of, x_label = share_axis(results)
    colours = model_colours(len(models))
    title = "Calls per model over the sweep, % of queries"
    heads = _heads(models, _LONGEST_IN_KEY)
    longest = max(width_of(head, _POINTS, is_bold=True) for head in heads)
    left, right = 0.44, _WIDTH - longest - _SWATCH - 2 * _EDGE
    labels = [label_of(name) for name in names]
    widest = max(width_of(label, 7.5) for label in labels) + _EDGE
    fits = [n for n in _ACROSS if (right - left) / n >= widest]
    n_across = fits[0] if fits else _ACROSS[-1]
    room = (right - left) / n_across  # inches of a panel and the gap beside it
    n_down = math.ceil(len(names) / n_across)
    size = (_WIDTH, 0.45 + 1.15 * n_down)

    def paint(figure: Any) -> None:  # noqa: ANN401  # a matplotlib object
        grid = figure.subplots(n_down, n_across, squeeze=False, sharey=True)
        figure.subplots_adjust(
            left=left / _WIDTH,
            right=right / _WIDTH,
            top=1 - 0.22 / size[1],
            bottom=0.42 / size[1],
            wspace=0.12,
            hspace=0.62,
        )
        for axes, name, label in zip(grid.flat, names, labels, strict=False):
            x = x_of(results.curves[name])
            shares = [[100 * share for share in _share(results, name, model)] for model in models]
            axes.stackplot(x, shares, colors=colours, linewidth=0)
            axes.set(xlim=(min(x), max(x)), ylim=(0, 100), yticks=(0, 50, 100))
            shown = fitted(label, room - _EDGE, 7.5)
            axes.set_title(shown, fontsize=7.5, pad=3, parse_math=False)
            axes.locator_params(axis="x", nbins=2, min_n_ticks=1)
        for axes in grid.flat[len(names) :]:
            axes.set_visible(False)
        middle = (left + right) / 2 / _WIDTH
        figure.text(middle, 0.06 / size[1], x_label, ha="center", va="bottom", color=INK)
        rows = list(zip(models, heads, colours, strict=True))
        _key(figure, right + _EDGE, rows[::-1], results.strongest)

    return Figure(
        "figA6",
        draw_svg(paint, size, title=title, points=_POINTS),
        "A panel per router: stacked areas of the share of calls that each model gets.",
        f"{title}. The cheapest model is at the bottom and dark, the most expensive on top and "
        "light; the strongest is in bold letters.",
    )


def _key(
    figure: Any,  # noqa: ANN401
    left: float,
    rows: Sequence[tuple[str, str, str]],
    strongest: str,
) -> None:
    """The models in the order in which the areas lie, the most expensive on top.

    left: inches from the figure's edge. rows: model, what is written of it, colour, from the top.
    """
    from matplotlib.patches import Rectangle

    width, height = figure.get_size_inches()
    step = min(0.15, (height - 0.6) / len(rows))
    n_apart = max(1, math.ceil(0.11 / step))  # of many models some go without a name
    for place, (model, head, colour) in enumerate(rows):
        y = 1 - (0.3 + place * step) / height
        low, place_of = y - step / 2 / height, figure.transFigure
        box = Rectangle((left / width, low), 0.1 / width, step / height, transform=place_of)
        box.set(color=colour, linewidth=0)
        figure.patches.append(box)
        if place % n_apart == 0 or model == strongest:
            weight = "bold" if model == strongest else "normal"
            x = (left + _SWATCH) / width
            text = figure.text(x, y, head, va="center", color=INK, fontweight=weight)
            text.set_parse_math(False)
