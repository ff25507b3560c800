"""Where a pipeline that was made is, and the words of `equirouter train` about it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from equirouter.cli.common import print_json, refuse, say, say_each
from equirouter.words import interval

if TYPE_CHECKING:
    from equirouter.data.outcomes import Outcomes
    from equirouter.evaluation.pipeline_metrics import (
        KeptQuality,
        PipelineMetrics,
        PlanMetrics,
        TextFree,
    )
    from equirouter.evaluation.promotion.retrain import Challenge
    from equirouter.pipeline.pipeline import RoutingPipeline


class Placed(NamedTuple):
    """Where a pipeline is that was made: a version in a folder, and whether it is current."""

    folder: Path
    version: str
    refused: str | None
    """Why it is not current; None where it is."""

    def said(self) -> str:
        """Where a pipeline is, and whether it is current, as the begin of a line."""
        current = ", which is current" if self.refused is None else ""
        return f"saved to {self.folder} as version {self.version}{current}"

    def document(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "pipeline": str(self.folder),
            "version": self.version,
            "current": self.refused is None,
            "refused": self.refused,
        }

    def refuse(self, *, as_json: bool) -> None:
        """End with the gate's exit code unless it is current; a JSON document has said why."""
        if self.refused is not None:
            why = (
                f"version {self.version} is saved and not made current: {self.refused}. "
                f"`equirouter pipeline promote {self.folder} {self.version} --force` makes it "
                "current anyway"
            )
            refuse(why, as_json=as_json)


class PipelinePlace:
    """The folder into which a pipeline is saved, over the version that was current at the start."""

    def __init__(self, folder: Path) -> None:
        from equirouter.pipeline.versions import PipelineVersions

        self.versions = PipelineVersions(folder)
        self.is_empty = self.versions.is_empty
        self._before = self.versions.current

    def save(self, pipeline: "RoutingPipeline", how: str) -> Placed:
        """Save a pipeline as a version and make it current; returns where it is.

        Raises ConfigError where another version became current since the start.
        """
        from equirouter.evaluation.promotion.gate import Verdict
        from equirouter.evaluation.promotion.retrain import Challenge

        return self.settle(Challenge(pipeline, None, Verdict(())), how)

    def settle(self, made: "Challenge", how: str, *, forced: bool = False) -> Placed:
        """As save, and current only if it passes. forced: without the gate."""
        from equirouter.evaluation.promotion.retrain import settled

        over = None if self.is_empty else self._before or self.versions.adopt()
        forced = forced and self._before is not None
        version = settled(made, self.versions, over=over, how=how, forced=forced)
        return Placed(self.versions.folder, version, made.verdict.why or None)


def _say_notes(
    pipeline: "RoutingPipeline", metrics: "PipelineMetrics", outcomes: "Outcomes", router: str
) -> None:
    """Print the notes of the training; those on the table have been printed before."""
    from equirouter.data.logged import log_note
    from equirouter.data.table_warnings import table_warnings
    from equirouter.training.protocol import description_notes

    known = {
        *outcomes.notes,
        *log_note(outcomes),
        *table_warnings(outcomes),
        *description_notes(outcomes, [router]),
    }
    notes = pipeline.provenance.data["notes"]
    say_each("note", (note for note in notes if note not in known))
    point = pipeline.operating_point()
    if point.setting == "strongest":
        best = pipeline.calibration.largest_quality(point.confidence)
        say(
            f"warning: no operating point below the cost of {pipeline.baseline.strongest} keeps "
            f"quality {pipeline.quality:g} with confidence {point.confidence:g}, so all calls that "
            f"name no target go to it; the largest quality that saves anything is {best:.3f}. A "
            "lower --quality or --confidence, or more outcomes, save more"
        )
    _say_whether_reading_pays(metrics.text_free)
    if pipeline.confidence is None and point.confidence <= 0.5:
        say(
            f"note: {pipeline.calibration.n_queries} queries promise this quality as a "
            "point estimate only, which is missed about as often as it is kept; more queries, or a "
            "lower --quality, give a promise with a confidence"
        )


def _say_whether_reading_pays(comparison: "TextFree | None") -> None:
    """Warn where a choice that reads no text is not shown to cost more."""
    if comparison is None:
        return
    difference = comparison.difference
    if difference.high is None or difference.high < 0:
        return
    spread = interval(difference.low, difference.high, "+.3f")
    say(
        f"warning: on the test part reading the queries is not shown to pay: at "
        f"{float(comparison.quality):.0%} of the strongest model's quality the router needs "
        f"{comparison.cost.router:.3f} of its cost and `{comparison.anchor}`, which reads no text, "
        f"{comparison.cost.anchor:.3f} (difference {difference.mean:+.3f} {spread}). "
        "More rows, more kinds of queries, or models that differ more in price and in what they "
        "are good at would pay; equirouter diagnose says more"
    )


def show(
    pipeline: "RoutingPipeline",
    place: Placed,
    router: str,
    *,
    as_json: bool,
    noted: "Outcomes | None",
) -> None:
    """Print what was trained, measured and saved.

    noted: the table, whose notes were said already; None to say no notes at all.
    """
    from equirouter.evaluation.pipeline_metrics import PipelineMetrics

    metrics = PipelineMetrics.model_validate(pipeline.provenance.test_metrics)
    if noted is not None:
        _say_notes(pipeline, metrics, noted, router)
    quality = pipeline.quality
    point = pipeline.operating_point()
    kept = metrics.at_quality
    if as_json:
        print_json(
            {
                **place.document(),
                "router": router,
                "policy": pipeline.policy,
                "quality": quality,
                "confidence": point.confidence,
                point.setting: point.value,
                "refit": pipeline.provenance.split["refit"],
                "validation": {
                    "n_queries": pipeline.calibration.n_queries,
                    "relative_performance": point.relative_performance,
                    "relative_cost": point.relative_cost,
                },
                "test_metrics": pipeline.provenance.test_metrics,
            }
        )
        return
    typer.echo(
        f"{place.said()}\n"
        f"quality {quality:g} of the strongest model with confidence {point.confidence:g}: "
        f"{point.setting} {point.value:.6g}, at {point.relative_cost:.1%} of its cost on "
        f"{pipeline.calibration.n_queries} queries, each as if it were new\n"
        f"test part, {kept.n_queries} queries{_worth(kept)}{_before(pipeline)}: {_kept(kept)}"
        f"nAUC {metrics.nauc.mean:.4f}, P_s {metrics.peak_score.mean:.4f}"
        f"{_rci(metrics)}"
    )
    if metrics.plans is not None:
        typer.echo(_plans(pipeline, metrics.plans))
    if noted is not None and place.refused is None:
        say(
            f'next: set pipeline.path = "{place.folder}" in gateway.toml, and start it with '
            "equirouter serve gateway.toml"
        )


_TAKEN = {"routing": "one model", "rule": "agreement rule", "learned": "learned plans"}


def _plans(pipeline: "RoutingPipeline", figures: "PlanMetrics") -> str:
    """The saving by comparing answers, out of fold, and what it came to on the test part."""
    lines = [
        f"cost on {pipeline.calibration.n_queries} queries that nothing had learned from, as a "
        "share of the strongest model's:",
        f"quality{''.join(f'{name:>16}' for name in _TAKEN.values())}   taken",
    ]
    for row in figures.out_of_fold:
        of_all = (row.routing, row.rule, row.learned)
        costs = "".join(f"{'-' if cost is None else format(cost, '.1%'):>16}" for cost in of_all)
        lines.append(f"{row.quality:7.0%}{costs}   {_TAKEN[row.taken]}")
    lines.append(
        "taken is one model, unless another gains more than a standard error over it at that price"
    )
    kept, plans = figures.at_quality, pipeline.plans
    if plans is not None and kept is not None:
        pairs = plans.learned.pairs or (() if plans.rule is None else (plans.rule.pair,))
        named = [" and ".join(pipeline.models[column] for column in pair) for pair in pairs]
        lines.append(f"asked at once: {', or '.join(named)}")
        lines.append(
            f"test part, with answers compared: {_kept(kept)}{kept.calls:.2f} calls, "
            f"{kept.escalated:.1%} escalated, {kept.wrongly_accepted:.1%} wrongly accepted"
        )
    return "\n".join(lines)


def _before(pipeline: "RoutingPipeline") -> str:
    return ", before the pipeline learned from them" if pipeline.provenance.split["refit"] else ""


def _worth(kept: "KeptQuality") -> str:
    """Of estimates from a log, as how many complete queries they tell."""
    n = kept.n_effective
    return "" if n is None else f" of a log, worth {n:.0f} complete ones"


def _rci(metrics: "PipelineMetrics") -> str:
    """The collapse, which a log does not tell."""
    rci = metrics.rci.mean
    return "" if rci is None else f", RCI {rci:.4f}"


def _kept(kept: "KeptQuality") -> str:
    """Quality and cost of the operating point on the test part."""
    if kept.performance is None or kept.cost is None:
        return ""
    spread = "" if kept.interval is None else f" {interval(*kept.interval)}"
    return f"quality {kept.performance:.3f}{spread} at {kept.cost:.1%} of its cost; "
