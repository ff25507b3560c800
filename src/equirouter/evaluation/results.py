"""results.json, the product of `bench`: its fields, written and read here and nowhere else."""

import html
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError, model_validator

from equirouter.data.description import Description
from equirouter.errors import DataError, UnknownNameError
from equirouter.evaluation.facts import (
    CostModelErrors,
    DatasetFacts,
    NotMeasured,
    Protocol,
    Reference,
    VisibilityFacts,
)
from equirouter.evaluation.measured import Differences, Facts, Measured, MeasuredByKey, Number
from equirouter.evaluation.metrics import COLUMNS, Column, RouterMetrics
from equirouter.evaluation.metrics.curves import QUALITY_LEVELS, ROUNDING
from equirouter.evaluation.published import Published
from equirouter.extras import require
from equirouter.output import atomic_write
from equirouter.words import aligned, number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from equirouter.report.canvas import Line

SCHEMA = 1
ANCHORS = ("oracle", "random", "strongest", "cheapest", "task", "mixture")
COMPARING = ("agree", "oracle-check")
"""Anchors that ask more than one model; under the policy `plan`, where a pair is cheap enough."""
TEXT_FREE = {
    "task": "which knows a query's task",
    "strongest": "which has the models' means and the predicted costs",
    "mixture": "which takes one of two models by chance",
    "cheapest": "which takes the cheapest models first",
    "random": "which ranks models by chance",
}
"""Anchors that read no text of a query, and what they do."""
MOST_LINES = 15
"""Of a printed Results."""


class RouterResults(RouterMetrics):
    """Everything that was measured of one router or anchor."""

    fit_seconds: Measured
    predict_us_per_query: Measured
    n_parameters: Measured


class MeanCurve(Facts):
    """The performance-cost curve of a router: T operating points, means over the seeds."""

    point: tuple[Number, ...]
    """Budget in USD per query, or the value of the policy's setting."""
    performance: tuple[Number, ...]
    cost_usd: tuple[Number, ...]
    rci: tuple[Number, ...] | None
    """None where more than one model is asked, and from a log."""
    call_share: dict[str, tuple[Number, ...]]
    """Model -> share of the queries."""
    calls: tuple[Number, ...] | None = None
    """Mean number of calls per query, of plans; None, as all below, where it is one."""
    rounds: tuple[Number, ...] | None = None
    """Mean number of rounds, which wait for each other."""
    escalated: tuple[Number, ...] | None = None
    """Share of the queries of which a third model is asked."""
    wrongly_accepted: tuple[Number, ...] | None = None
    """Share answered by one of the first two although the reference model's answer is better."""
    output_tokens_p50: tuple[Number, ...] | None = None
    """Median of the tokens that are written one after the other; None where not known."""
    output_tokens_p95: tuple[Number, ...] | None = None
    """Their 95th percentile."""


class CheckResults(Facts):
    """AUC of whether the better supported of two cheap answers is right, on the test part.

    AUCs: 0.5 knows nothing, 1 all; null where there is no check, or nothing to tell apart. beyond:
    among queries that the router scores alike.
    """

    pairs: tuple[tuple[str, str], ...]
    """Per seed."""
    router_auc: Measured
    agreement_auc: Measured
    agreement_beyond: Measured
    check_auc: Measured
    check_beyond: Measured


class CalibrationResults(Facts):
    """How well a router's estimates of performance are calibrated on the test part."""

    calibration_error: Measured
    squared_error: Measured
    uncalibrated_error: Measured | None
    """None for a router whose scores only rank."""
    predicted: tuple[Number, ...]
    """The reliability curve: mean estimate per bin."""
    observed: tuple[Number, ...]
    """Mean performance per bin."""


class Results(Facts):
    """The product of a benchmark, as `benchmark` returns it and results.json holds it.

    `results["knn"].cost_at_quality[0.95].mean` is a figure of a router,
    `results.anchors["task"].nauc.per_seed` one of an anchor. docs/files.md has all fields.
    """

    schema_: Literal[1] = Field(default=1, alias="schema")
    command: tuple[str, ...]
    dataset: DatasetFacts
    protocol: Protocol
    anchors: dict[str, RouterResults]
    routers: dict[str, RouterResults]
    paired: dict[str, dict[str, Differences]]
    """Router -> another router or an anchor -> the first minus the other."""
    curves: dict[str, MeanCurve]
    """Of routers and anchors."""
    calibration: dict[str, CalibrationResults]
    """Of routers."""
    checks: dict[str, CheckResults] = Field(default_factory=dict)
    """Of routers whose plans compare answers."""
    outcomes: Description
    reference: Reference
    visibility: VisibilityFacts
    cost_model: CostModelErrors
    left_out: NotMeasured
    split_hashes: dict[str, str]
    """Seed -> hash of the split."""
    versions: dict[str, str]
    published: Published | None
    """The paper's figures for this data set."""

    @model_validator(mode="after")
    def _is_complete(self) -> "Results":
        sections: dict[str, Mapping[str, object]]
        sections = {"curves": self.curves, "calibration": self.calibration, "paired": self.paired}
        keys = (set(QUALITY_LEVELS), set(self.outcomes.models))
        for name, router, is_anchor in self.rows():
            for section, known in sections.items():
                if name not in known and not (is_anchor and section != "curves"):
                    raise ValueError(f"{section}.{name} is missing")
            for other, _, _ in () if is_anchor else self.rows():
                if other != name and other not in self.paired[name]:
                    raise ValueError(f"paired.{name}.{other} is missing")
            for metric, figure in router:
                if isinstance(figure, MeasuredByKey) and set(figure) not in keys:
                    raise ValueError(
                        f"{name}.{metric} is of {', '.join(figure)}: expected every quality, or "
                        "every model"
                    )
        return self

    def __getitem__(self, name: str) -> RouterResults:
        """All figures of a router or an anchor. Raises UnknownNameError."""
        for group in (self.routers, self.anchors):
            if name in group:
                return group[name]
        known = ", ".join((*self.routers, *self.anchors))
        raise UnknownNameError(f"no router or anchor {name!r} in these results; known: {known}")

    @property
    def strongest(self) -> str:
        """The reference model, of most seeds where they differ."""
        names = self.reference.per_seed
        return max(names, key=names.count)

    def rows(self) -> list[tuple[str, RouterResults, bool]]:
        """Every row of a table as (name, figures, whether it is an anchor).

        The anchors come first, in a fixed order, then the routers from the highest nAUC to the
        lowest; a tie goes by name.
        """
        known = [name for name in (*ANCHORS, *COMPARING) if name in self.anchors]
        others = [name for name in self.anchors if name not in known]

        def by_nauc(item: tuple[str, RouterResults]) -> tuple[float, str]:
            nauc = item[1].nauc.mean
            return (float("inf") if nauc is None else -nauc, item[0])

        routers = sorted(self.routers.items(), key=by_nauc)
        return [(name, self.anchors[name], True) for name in [*known, *others]] + [
            (name, router, False) for name, router in routers
        ]

    def best_text_free(self, quality: str) -> str | None:
        """The anchor that has a quality at the lowest mean cost of those that read no text.

        Chosen by the measured figures, which favours the anchors. None where there is none, or the
        strongest model costs nothing.
        """
        costs = {
            name: cost
            for name in TEXT_FREE
            if name in self.anchors
            and (cost := self.anchors[name].cost_at_quality[quality].everywhere) is not None
        }
        return min(costs, key=costs.__getitem__) if costs else None

    def best(self, column: Column) -> set[str]:
        """The routers with the best value of a column; those that look equal in a table share it.

        A router that missed the value in some seed is out, and so is one that does not reach the
        column's least quality in every seed: always calling a cheap model lowers RCI.
        """
        if column.direction == 0:
            return set()
        values = {
            name: round(value, column.digits) * column.direction
            for name in self.routers
            if (value := self[name].measured(column).everywhere) is not None
            and self.counts(name, column)
        }
        return {name for name, value in values.items() if value == max(values.values())}

    def counts(self, name: str, column: Column) -> bool:
        """Whether a router reaches the column's least quality, if it has one, in every seed."""
        return column.least_quality is None or self.reaches(name, column.least_quality)

    def reaches(self, name: str, quality: str) -> bool:
        """Whether a router's own curve reaches a quality in every seed.

        Without always calling the reference model, which is an operating point of every router.
        """
        level = QUALITY_LEVELS[quality]
        peaks = self[name].peak_quality.per_seed
        return all(peak is not None and peak >= level - ROUNDING for peak in peaks)

    def to_json(self) -> dict[str, Any]:
        """The document of results.json, as JSON can hold it."""
        return self.model_dump(mode="json", by_alias=True)

    def write(self, path: str | Path) -> None:
        """Write results.json. Raises OutputError."""
        with atomic_write(path) as stream:
            stream.write(json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n")

    def to_frame(self) -> "pd.DataFrame":
        """One row per router or anchor, metric and key: mean, low, high and per_seed.

        key: the quality or the model of a metric that has several values, else "". Raises
        MissingExtraError without pandas.
        """
        pandas = require("pandas", extra="train", purpose="make a data frame")
        records = [
            {"router": name, "is_anchor": is_anchor, "metric": metric, "key": key}
            | {part: getattr(figure, part) for part in ("mean", "low", "high", "per_seed")}
            for name, router, is_anchor in self.rows()
            for metric in type(router).model_fields
            for key, figure in _figures(getattr(router, metric))
        ]
        return pandas.DataFrame.from_records(records)

    def plot(self) -> "Figure":
        """Mean performance against mean cost of every router and anchor, as a matplotlib figure.

        Raises MissingExtraError without matplotlib.
        """
        from equirouter.report.canvas import (
            COST_LABEL,
            FIGURE_SIZE,
            PERFORMANCE_TITLE,
            draw_figure,
            line_painter,
        )

        paint = line_painter(self.performance_lines(), PERFORMANCE_TITLE, COST_LABEL)
        figure: Figure = draw_figure(paint, FIGURE_SIZE)
        return figure

    def performance_lines(self) -> "list[Line]":
        """Mean performance against mean cost in USD of every router and anchor, over the sweep."""
        from equirouter.report.canvas import Line

        return [
            Line(name, self.curves[name].cost_usd, self.curves[name].performance, is_anchor)
            for name, _, is_anchor in self.rows()
        ]

    def __repr__(self) -> str:
        lines = aligned(self._cells())
        if len(lines) > MOST_LINES - 1:
            left = len(lines) - (MOST_LINES - 2)
            lines = [*lines[: MOST_LINES - 2], f"and {left} more: see to_frame()"]
        return "\n".join([self._title(), *lines])

    __str__ = __repr__

    def _repr_html_(self) -> str:
        head, *rows = ([html.escape(cell) for cell in row] for row in self._cells())
        heads = "".join(f"<th>{cell}</th>" for cell in head)
        body = "".join(
            f"<tr><th>{row[0]}</th>{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>"
            for row in rows
        )
        title = html.escape(self._title())
        return f"<p>{title}</p><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"

    def _title(self) -> str:
        protocol, dataset = self.protocol, self.dataset
        return (
            f"Results on {dataset.name}: {dataset.n_queries:,} queries, {dataset.n_models} models, "
            f"{protocol.split} split, {len(protocol.seeds)} seeds, policy {protocol.policy}"
        )

    def _cells(self) -> list[list[str]]:
        """The means as text, the heads first."""
        heads = ["", *(column.title.replace("\n", " ") for column in COLUMNS)]
        rows = [
            [name, *(number(row.measured(column).mean, column.digits) for column in COLUMNS)]
            for name, row, _ in self.rows()
        ]
        return [heads, *rows]


def _figures(figure: Measured | MeasuredByKey) -> Iterator[tuple[str, Measured]]:
    if isinstance(figure, MeasuredByKey):
        yield from figure.items()
    else:
        yield "", figure


def read_results(path: str | Path) -> Results:
    """The contents of a results.json.

    Raises DataError for a file that cannot be read, that is no results.json, or that another
    version wrote: it names the file, the place in it and what was expected there.
    """
    path = Path(path)
    try:
        document = json.loads(path.read_text("utf-8"), parse_constant=_refuse)
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: no such file; `equirouter bench --out DIR` writes DIR/results.json"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: no JSON document can be read from it: {error}") from error
    if not isinstance(document, dict):
        raise DataError(f"{path}: holds a JSON {type(document).__name__}, expected an object")
    if document.get("schema") != SCHEMA:
        raise DataError(
            f"{path}: schema is {document.get('schema')!r}, expected {SCHEMA}; run "
            "`equirouter bench` again, or use the version of equirouter that wrote the file"
        )
    try:
        return Results.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        problem = str(first["msg"]).removeprefix("Value error, ")
        raise DataError(
            f"{path}: {f'{place}: ' if place else ''}{problem}; run `equirouter bench` again to "
            "make a complete results.json"
        ) from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON; what is not known is null")
