"""Data of the page's charts and its explorer: curves, models, and queries that change model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from equirouter.evaluation.results import Results
from equirouter.registry import PLAN
from equirouter.report.canvas import colour_of, dash_of, model_colours
from equirouter.report.figures import models_by_cost, share_axis

MOST_SAMPLES = 40
LONGEST_TEXT = 240  # characters of a query that the page shows


class Samples(NamedTuple):
    """Test queries of the first seed, evenly spread, and who answers them.

    queries: ids. chosen: router -> per query its runs [first point, model], in the order of the
    points. texts: of the queries, empty where nobody asked for them.
    """

    queries: tuple[str, ...]
    chosen: Mapping[str, list[list[tuple[int, str]]]]
    texts: tuple[str, ...] = ()


def read_samples(
    path: Path, results: Results, texts: Mapping[str, str] | None = None
) -> Samples | None:
    """Queries of decisions.parquet; None where there is no such file.

    texts: by query id, to be shown on the page; None shows ids alone.
    """
    if not path.is_file():
        return None
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    seed = results.protocol.seeds[0]
    columns = ["router", "point", "query_id", "chosen_model"]
    first = [("seed", "=", seed), ("point", "=", 0)]
    known = sorted(set(pq.read_table(path, columns=["query_id"], filters=first)[0].to_pylist()))
    step = -(-len(known) // MOST_SAMPLES)
    queries = tuple(known[::step])
    wanted = (pc.field("seed") == seed) & pc.field("query_id").isin(list(queries))
    rows = pq.read_table(path, columns=columns, filters=wanted)
    place = {query: index for index, query in enumerate(queries)}
    chosen: dict[str, list[list[tuple[int, str]]]] = {}
    for name, point, query, model in sorted(
        zip(*(rows[c].to_pylist() for c in columns), strict=True)
    ):
        runs = chosen.setdefault(name, [[] for _ in queries])[place[query]]
        if not runs or runs[-1][1] != model:
            runs.append((point, model))
    shown = tuple(_cut(texts.get(query, "")) for query in queries) if texts else ()
    return Samples(queries, chosen, shown)


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


def page_data(results: Results, samples: Samples | None = None) -> dict[str, Any]:
    """The data of the page's scripts.

    "series": per router and anchor its curve and look; "models": names and colours from the
    cheapest to the most expensive, as areas and bars are laid; "strongest": its place there, and
    "always" what always calling it gives; "setting", "shareLabel": names of axes.
    """
    models = models_by_cost(results)
    x_of, label = share_axis(results)
    series = []
    for name, _, is_anchor in results.rows():
        curve = results.curves[name]
        series.append(
            {
                "name": name,
                "anchor": is_anchor,
                "colour": colour_of(name),
                "dash": dash_of(name),
                "point": _short(curve.point),
                "cost": _short(curve.cost_usd),
                "performance": _short(curve.performance),
                "x": _short(x_of(curve)),
                "shares": [_short(curve.call_share[model]) for model in models],
            }
        )
    return {
        "series": series,
        "models": [
            {"name": model, "colour": colour}
            for model, colour in zip(models, model_colours(len(models)), strict=True)
        ],
        "strongest": models.index(results.strongest),
        "always": always(results),
        "setting": setting_of(results),
        "shareLabel": label,
        "samples": _sampled(samples, models),
    }


def setting_of(results: Results) -> str:
    """Setting that the operating points are of, with the unit."""
    if results.protocol.is_by_budget:
        return "budget, USD per query"
    policy = results.protocol.policy
    names = {"utility": "lambda", PLAN: "lambda", "less-collapse": "price of collapse"}
    return names.get(policy, policy)


def always(results: Results) -> dict[str, float]:
    """Mean performance and cost in USD of always calling the strongest model.

    Those of a curve's point at which nobody else is called, so on the test part; where there is
    none, of the whole table.
    """
    strongest = results.strongest
    for curve in results.curves.values():
        for place, share in enumerate(curve.call_share[strongest]):
            if share >= 1 - 1e-9:
                return {"performance": curve.performance[place], "cost": curve.cost_usd[place]}
    place = results.outcomes.models.index(strongest)
    return {
        "performance": results.outcomes.mean_performance[place],
        "cost": results.outcomes.mean_cost_usd[place],
    }


def _sampled(samples: Samples | None, models: Sequence[str]) -> dict[str, Any] | None:
    """The samples with models by their places."""
    if samples is None:
        return None
    place = {model: index for index, model in enumerate(models)}
    chosen = {
        name: [[[point, place[model]] for point, model in runs] for runs in rows]
        for name, rows in samples.chosen.items()
    }
    return {"queries": samples.queries, "texts": samples.texts, "chosen": chosen}


def _short(values: Sequence[float]) -> list[float]:
    """Six digits: more cannot be seen and would double the size of the page."""
    return [float(f"{value:.6g}") for value in values]
