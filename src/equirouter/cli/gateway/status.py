"""`equirouter status`: how the loop stands, from the store and the pipeline's folder."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from equirouter.cli.common import JsonOption, QuietOption, print_json
from equirouter.cli.gateway.keys import ConfigArgument, with_store
from equirouter.words import in_columns, number_of

if TYPE_CHECKING:
    from equirouter.serve.money.store.learned import Learning
    from equirouter.serve.run.canary import CanaryState
    from equirouter.serve.run.status import AskedToLearn, LoopStatus, PipelineStatus


def status(
    config: ConfigArgument,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show how the loop stands: version, canary, alarms, what learning cost, and money.

    It reads the store and the pipeline's folder, so no gateway needs to run. Days are in
    UTC.
    """
    from equirouter.serve.run.status import status_of

    report = with_store(
        config,
        lambda connection, settings: status_of(connection, settings, time.time()),
        writes=False,
    )
    if as_json:
        print_json(report.document())
    elif not quiet:
        typer.echo("\n".join(_lines(report)))


def _lines(report: "LoopStatus") -> list[str]:
    lines = _pipeline(report.pipeline) + _canary(report.canary) + _alarms(report)
    lines += _entry("explore", _asked(report.explore)) + _entry("shadow", _asked(report.shadow))
    lines += _learned(report.learned)
    for name, money in report.money.items():
        lines += _entry(
            name,
            f"{money.cost_usd:.4f} USD, {money.saved_usd:.4f} saved, "
            f"{number_of(money.requests, 'request')}, {number_of(money.errors, 'error')}",
        )
    retrain = report.retrain
    if retrain is not None:
        last = "never" if retrain.last_at is None else _at(retrain.last_at)
        lines += _entry("retrain", f"every {retrain.every}, last {last}")
    return lines


def _pipeline(pipeline: "PipelineStatus | None") -> list[str]:
    if pipeline is None:
        return _entry("pipeline", "none: requests name their model")
    since = "" if pipeline.since is None else f" since {_at(pipeline.since)}"
    lines = _entry("pipeline", pipeline.path)
    if pipeline.current is None:
        return lines + _entry("version", f"none, the folder holds one pipeline ({pipeline.id})")
    lines += _entry("version", f"{pipeline.current}{since}, of {pipeline.versions} ({pipeline.id})")
    last = pipeline.last
    if last is not None:
        why = f": {last.why}" if last.why else ""
        when = _at(last.at.timestamp())
        lines += _entry("last", f"{last.version} {last.did}, {last.how}, {when}{why}")
    return lines


def _canary(canary: "CanaryState | None") -> list[str]:
    if canary is None:
        return _entry("canary", "none")
    if canary.evidence is None or canary.since is None:
        return _entry("canary", f"{canary.version} {canary.state}")
    why = f": {canary.why}" if canary.why else ""
    share = f"{canary.share:.0%} beside {canary.over} since {_at(canary.since)}"
    lines = _entry("canary", f"{canary.version} {canary.state}, {share}{why}")
    for name, measured in canary.evidence.items():
        old, new = measured.mean
        if old is not None and new is not None:
            lines += _entry(
                "",
                f"{name:8} {_mean(name, new)} of {measured.n[1]}, {_mean(name, old)} of "
                f"{measured.n[0]}; worse {measured.worse:.0%}, not worse "
                f"{measured.not_worse:.0%} shown",
            )
    return lines


def _mean(measure: str, mean: float) -> str:
    if measure == "feedback":  # kept as what is missing to a score of 1
        return f"{1 - mean:.3f}"
    return f"{mean:.2%}" if measure == "errors" else f"{mean:.3f}"


def _alarms(report: "LoopStatus") -> list[str]:
    from equirouter.serve.watch.drift import KINDS

    if not report.alarms:
        return _entry("alarms", f"none of {report.watched}")
    lines = _entry("alarms", f"{len(report.alarms)} of {report.watched} are on")
    for alarm in report.alarms:
        about = f", {alarm.about}" if alarm.about else ""
        expected = "nothing" if alarm.expected is None else f"{alarm.expected:.1%}"
        lines += _entry(
            "",
            f"{alarm.kind}{about}, {KINDS[alarm.kind]}: {alarm.value:.1%} over the last "
            f"{alarm.n}, {expected} expected",
        )
    return lines


def _asked(answers: "AskedToLearn") -> str:
    if not answers.share and not answers.requests:
        return "off"
    limit = answers.limit_usd_per_day
    of = "" if limit is None else f" of {limit:g}"
    today = f"{answers.cost_usd:.4f}{of} USD today, {number_of(answers.requests, 'request')}"
    return f"{answers.share:.1%} of requests, {today}"


def _learned(learning: "Learning") -> list[str]:
    """The lines on exploration and shadow answers, none where there were no answers."""
    from equirouter.serve.records import usd

    if not learning.models:
        return []
    scored = number_of(learning.queries, "query", "queries")
    complete = f"{scored} scored by graders, {learning.complete} for every model, in 30 days"
    lines = _entry("learned", complete)
    for model in learning.models:
        text = f"{model.model}: {number_of(model.explored + model.shadow, 'answer')} for "
        text += f"{usd(model.cost_nusd):.4f} USD, {model.rated} rated"
        if model.mean is not None:
            known = model.predicted
            predicted = "nothing" if known is None else f"{known:.3f}"
            text += f", {model.mean:.3f} on average, {predicted} predicted"
        lines += _entry("", text)
    return lines


def _entry(title: str, text: str) -> list[str]:
    return [in_columns(title, text, 9)]


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
