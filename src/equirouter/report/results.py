"""Reading results.json: what must be in it, the order of its rows and the columns of its tables."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equirouter.errors import DataError

__all__ = [
    "ANCHORS",
    "COLUMNS",
    "COST_AT_95",
    "COST_AT_98",
    "SCHEMA",
    "Column",
    "Measured",
    "Results",
    "best",
    "check_results",
    "counted_queries",
    "entries",
    "measured",
    "plain",
    "read_results",
    "strongest_model",
]

Results = Mapping[str, Any]

SCHEMA = 1
ANCHORS = ("oracle", "random", "strongest", "cheapest", "task")
_REQUIRED = {
    "dataset": ("name", "n_queries", "n_models", "models"),
    "protocol": ("split", "seeds", "policy"),
    "anchors": (),
    "routers": (),
    "curves": (),
    "outcomes": ("models", "mean_performance", "mean_cost_usd", "strongest", "cheapest"),
    "left_out": ("incomplete_test_queries",),
}


@dataclass(frozen=True)
class Measured:
    """One figure with its 95 % interval; None where the value was never reached.

    n_reached, n_seeds: a mean is over the seeds that reached the value, n_reached of n_seeds. The
    lucky ones flatter a router, so such a mean is not held against one over all seeds.
    """

    mean: float | None
    low: float | None
    high: float | None
    n_reached: int
    n_seeds: int

    @property
    def everywhere(self) -> float | None:
        """The mean where every seed reached the value, else None."""
        return self.mean if self.n_reached == self.n_seeds else None

    @property
    def count(self) -> str:
        """Text such as "(3/5)" where 3 of 5 seeds reached the value, empty if all or none did."""
        return f"({self.n_reached}/{self.n_seeds})" if 0 < self.n_reached < self.n_seeds else ""


@dataclass(frozen=True)
class Column:
    """One column of the tables.

    title: with a line break where a narrow heading may have one. path: where in an entry the
    figure is; "{strongest}" stands for the strongest model's name.
    direction: 1 higher is better, -1 lower is better, 0 neither, so that no value is marked.
    meaning: one line for a reader who does not know the metric.
    """

    title: str
    path: tuple[str, ...]
    digits: int
    direction: int
    meaning: str

    @property
    def heading(self) -> str:
        """The title with an arrow for the direction that is better."""
        return f"{self.title} {('↓', '', '↑')[self.direction + 1]}".rstrip()


COLUMNS = (
    Column(
        "nAUC",
        ("nauc",),
        4,
        1,
        "Area under the curve of mean performance against mean cost, divided by the range of "
        "costs: the average performance over all spending levels.",
    ),
    Column("P_s", ("peak_score",), 4, 1, "The best mean performance anywhere on the curve."),
    Column(
        "QNC",
        ("qnc",),
        3,
        -1,
        "Cost at which the router matches the strongest model, as a share of that model's cost; "
        "“/” where it never does.",
    ),
    Column(
        "RCI",
        ("rci",),
        3,
        -1,
        "Routing Collapse Index at the largest budget, 0 to 1: how often, and how badly, a dearer "
        "model was called although a cheaper one did as well. Always calling a cheap model also "
        "lowers it, so no value is marked of a router that does not reach 95 % of the strongest "
        "model's mean performance in every seed.",
    ),
    Column(
        "cost at\n98 %",
        ("cost_at_quality", "0.98"),
        3,
        -1,
        "Cost at which the router reaches 98 % of the strongest model's mean performance, as a "
        "share of that model's cost.",
    ),
    Column(
        "cost at\n95 %",
        ("cost_at_quality", "0.95"),
        3,
        -1,
        "The same at 95 % of the strongest model's mean performance.",
    ),
    Column(
        "strongest\ncalls",
        ("call_share", "{strongest}"),
        3,
        0,
        "Share of the queries sent to the strongest model at the largest budget. It describes a "
        "router and is neither good nor bad alone, so no value is marked.",
    ),
)

COST_AT_98, COST_AT_95 = (
    next(column for column in COLUMNS if column.path == ("cost_at_quality", quality))
    for quality in ("0.98", "0.95")
)


def read_results(path: str | Path) -> dict[str, Any]:
    """The contents of a results.json. Raises DataError when it is not one, naming path."""
    path = Path(path)
    try:
        loaded = json.loads(path.read_text("utf-8"), parse_constant=_refuse)
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: no such file; `equirouter bench --out DIR` writes DIR/results.json"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: no JSON document can be read from it: {error}") from error
    if not isinstance(loaded, dict):
        raise DataError(f"{path}: holds a JSON {type(loaded).__name__}, expected an object")
    check_results(loaded, place=str(path))
    return loaded


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON; what is not known is null")


def check_results(results: Results, *, place: str = "results") -> None:
    """Raise DataError, naming the place, for the first thing the report needs and does not find."""
    if results.get("schema") != SCHEMA:
        raise DataError(
            f"{place}: schema is {results.get('schema')!r}, expected {SCHEMA}; run "
            "`equirouter bench` again, or use the version of equirouter that wrote the file"
        )
    for section, keys in _REQUIRED.items():
        if not isinstance(results.get(section), Mapping):
            raise _missing(place, section)
        for key in keys:
            if key not in results[section]:
                raise _missing(place, f"{section}.{key}")
    for group in ("anchors", "routers"):
        for name, entry in results[group].items():
            _check_entry(results, name, entry, f"{place}: {group}.{name}")


def _check_entry(results: Results, name: str, entry: Mapping[str, Any], place: str) -> None:
    if name not in results["curves"]:
        raise _missing(place, f"curves.{name}")
    for column in COLUMNS:
        try:
            measured(entry, column, strongest_model(results))
        except (KeyError, TypeError) as error:
            raise _missing(place, ".".join(column.path)) from error


def _missing(place: str, key: str) -> DataError:
    return DataError(
        f"{place}: {key} is missing or not as expected; run `equirouter bench` again to make a "
        "complete results.json"
    )


def entries(results: Results) -> list[tuple[str, Mapping[str, Any], bool]]:
    """Every row of the tables as (name, metrics, whether it is an anchor).

    The anchors come first, in a fixed order, then the routers from the highest nAUC to the lowest;
    a tie goes by name.
    """
    anchors = results["anchors"]
    known = [name for name in ANCHORS if name in anchors]
    others = [name for name in anchors if name not in ANCHORS]

    def by_nauc(item: tuple[str, Mapping[str, Any]]) -> tuple[float, str]:
        nauc = item[1]["nauc"]["mean"]
        return (float("inf") if nauc is None else -nauc, item[0])

    routers = sorted(results["routers"].items(), key=by_nauc)
    return [(name, anchors[name], True) for name in [*known, *others]] + [
        (name, entry, False) for name, entry in routers
    ]


def measured(entry: Mapping[str, Any], column: Column, strongest: str) -> Measured:
    """The figure of one column in one row. Raises KeyError where results.json has none."""
    metric, *keys = (part.format(strongest=strongest) for part in column.path)

    def inner(value: Any) -> float | None:  # noqa: ANN401  # a number, or maps down to one
        for key in keys:
            value = None if value is None else value[key]
        return value  # type: ignore[no-any-return]

    statistics = entry[metric]
    mean, low, high = (inner(statistics[name]) for name in ("mean", "low", "high"))
    per_seed = [inner(value) for value in statistics["per_seed"]]
    n_reached = sum(value is not None for value in per_seed)
    return Measured(mean, low, high, n_reached, len(per_seed))


def best(results: Results, column: Column) -> set[str]:
    """The routers with the best value of a column; those that look equal in the table share it.

    A router that missed the value in some seed is out. So is, for RCI, one that does not reach
    95 % of the strongest model's mean performance in every seed: always calling a cheap model
    lowers RCI.
    """
    if column.direction == 0:
        return set()
    strongest = strongest_model(results)
    values = {}
    for name, entry in results["routers"].items():
        mean = measured(entry, column, strongest).everywhere
        if column.path == ("rci",) and measured(entry, COST_AT_95, strongest).everywhere is None:
            continue
        if mean is not None:
            values[name] = round(mean, column.digits) * column.direction
    return {name for name, value in values.items() if value == max(values.values())}


def strongest_model(results: Results) -> str:
    """The name of the model with the highest mean performance."""
    return str(results["outcomes"]["strongest"])


def counted_queries(results: Results) -> str:
    """How many test queries were measured and how many were left out, in words."""
    left_out = results["left_out"]
    measured_queries = left_out.get("measured_test_queries")
    count = "" if measured_queries is None else f"{measured_queries:,} test queries measured, "
    incomplete = left_out["incomplete_test_queries"]
    return f"{count}{incomplete:,} left out as incomplete"


def plain(value: object) -> str:
    """Any value of results.json in words: lists joined, long ones shortened, None as "none"."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) > 12:
            return f"{len(value)} values from {plain(value[0])} to {plain(value[-1])}"
        return ", ".join(plain(item) for item in value)
    return str(value)
