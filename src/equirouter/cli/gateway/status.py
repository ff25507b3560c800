"""`equirouter status`: how the loop stands, from the store and the pipeline's folder."""

import time
from datetime import UTC, datetime
from typing import Any

import typer

from equirouter.cli.common import JsonOption, QuietOption, print_json
from equirouter.cli.gateway.keys import ConfigArgument, with_store
from equirouter.words import in_columns, number_of


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
        print_json(report)
    elif not quiet:
        typer.echo("\n".join(_lines(report)))


def _lines(report: dict[str, Any]) -> list[str]:
    lines = _pipeline(report["pipeline"]) + _canary(report["canary"]) + _alarms(report)
    for name in ("explore", "shadow"):
        lines += _entry(name, _learning(report[name]))
    lines += _learned(report["learned"])
    for name, money in report["money"].items():
        lines += _entry(
            name,
            f"{money['cost_usd']:.4f} USD, {money['saved_usd']:.4f} saved, "
            f"{number_of(money['requests'], 'request')}, {number_of(money['errors'], 'error')}",
        )
    retrain = report["retrain"]
    if retrain is not None:
        last = "never" if retrain["last_at"] is None else _at(retrain["last_at"])
        lines += _entry("retrain", f"every {retrain['every']}, last {last}")
    return lines


def _pipeline(document: dict[str, Any] | None) -> list[str]:
    if document is None:
        return _entry("pipeline", "none: requests name their model")
    since = "" if document["since"] is None else f" since {_at(document['since'])}"
    lines = _entry("pipeline", document["path"])
    if document["current"] is None:
        return lines + _entry("version", f"none, the folder holds one pipeline ({document['id']})")
    lines += _entry(
        "version", f"{document['current']}{since}, of {document['versions']} ({document['id']})"
    )
    last = document["last"]
    if last is not None:
        when = datetime.fromisoformat(last["at"]).timestamp()
        why = f": {last['why']}" if last["why"] else ""
        lines += _entry("last", f"{last['version']} {last['did']}, {last['how']}, {_at(when)}{why}")
    return lines


def _canary(document: dict[str, Any] | None) -> list[str]:
    if document is None:
        return _entry("canary", "none")
    if "over" not in document:
        return _entry("canary", f"{document['version']} {document['state']}")
    why = f": {document['why']}" if document["why"] else ""
    share = f"{document['share']:.0%} beside {document['over']} since {_at(document['since'])}"
    lines = _entry("canary", f"{document['version']} {document['state']}, {share}{why}")
    for name, measured in document["evidence"].items():
        if min(measured["n"]):
            old, new = (_mean(name, mean) for mean in measured["mean"])
            lines += _entry(
                "",
                f"{name:8} {new} of {measured['n'][1]}, {old} of {measured['n'][0]}; "
                f"worse {measured['worse']:.0%}, not worse {measured['not_worse']:.0%} shown",
            )
    return lines


def _mean(measure: str, mean: float) -> str:
    if measure == "feedback":  # kept as what is missing to a score of 1
        return f"{1 - mean:.3f}"
    return f"{mean:.2%}" if measure == "errors" else f"{mean:.3f}"


def _alarms(report: dict[str, Any]) -> list[str]:
    from equirouter.serve.watch.drift import KINDS

    if not report["alarms"]:
        return _entry("alarms", f"none of {report['watched']}")
    lines = _entry("alarms", f"{len(report['alarms'])} of {report['watched']} are on")
    for alarm in report["alarms"]:
        about = f", {alarm['about']}" if alarm["about"] else ""
        expected = "nothing" if alarm["expected"] is None else f"{alarm['expected']:.1%}"
        lines += _entry(
            "",
            f"{alarm['kind']}{about}, {KINDS[alarm['kind']]}: {alarm['value']:.1%} over the last "
            f"{alarm['n']}, {expected} expected",
        )
    return lines


def _learning(report: dict[str, Any]) -> str:
    if not report["share"] and not report["requests"]:
        return "off"
    limit = report["limit_usd_per_day"]
    of = "" if limit is None else f" of {limit:g}"
    today = f"{report['cost_usd']:.4f}{of} USD today, {number_of(report['requests'], 'request')}"
    return f"{report['share']:.1%} of requests, {today}"


def _learned(document: dict[str, Any]) -> list[str]:
    """The lines on exploration and shadow answers, none where there were no answers."""
    if not document["models"]:
        return []
    scored = number_of(document["queries"], "query", "queries")
    complete = f"{scored} scored by graders, {document['complete']} for every model, in 30 days"
    lines = _entry("learned", complete)
    for one in document["models"]:
        text = f"{one['model']}: {number_of(one['explored'] + one['shadow'], 'answer')} for "
        text += f"{one['cost_usd']:.4f} USD, {one['rated']} rated"
        if one["mean"] is not None:
            known = one["predicted"]
            predicted = "nothing" if known is None else f"{known:.3f}"
            text += f", {one['mean']:.3f} on average, {predicted} predicted"
        lines += _entry("", text)
    return lines


def _entry(title: str, text: str) -> list[str]:
    return [in_columns(title, text, 9)]


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
