"""`equirouter status`: how the loop stands, from the store and the pipeline's folder."""

import time
from datetime import UTC, datetime
from typing import Any

import typer

from equirouter.cli.common import JsonOption, QuietOption, print_json
from equirouter.cli.gateway.keys import ConfigArgument, with_store
from equirouter.words import number_of

__all__ = ["status"]

_WIDTH = 80
_TITLE = 11


def status(
    config: ConfigArgument,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show how the loop stands: version, canary, alarms, what learning cost, and money.

    Read from the store and the pipeline's folder, so no gateway needs to run. Days are in UTC.
    """
    from equirouter.serve.run.status import status_of

    found = with_store(
        config,
        lambda connection, settings: status_of(connection, settings, time.time()),
        writes=False,
    )
    if as_json:
        print_json(found)
    elif not quiet:
        typer.echo("\n".join(_lines(found)))


def _lines(found: dict[str, Any]) -> list[str]:
    lines = _pipeline(found["pipeline"]) + _canary(found["canary"]) + _alarms(found)
    for name in ("explore", "shadow"):
        lines += _entry(name, _learning(found[name]))
    for name, money in found["money"].items():
        lines += _entry(
            name,
            f"{money['cost_usd']:.4f} USD, {money['saved_usd']:.4f} saved, "
            f"{number_of(money['requests'], 'request')}, {number_of(money['errors'], 'error')}",
        )
    retrain = found["retrain"]
    if retrain is not None:
        last = "never" if retrain["last_at"] is None else _at(retrain["last_at"])
        lines += _entry("retrain", f"every {retrain['every']}, last {last}")
    return lines


def _pipeline(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return _entry("pipeline", "none: requests name their model")
    since = "" if found["since"] is None else f" since {_at(found['since'])}"
    lines = _entry("pipeline", found["path"])
    if found["current"] is None:
        return lines + _entry("version", f"none, the folder holds one pipeline ({found['id']})")
    lines += _entry("version", f"{found['current']}{since}, of {found['versions']} ({found['id']})")
    last = found["last"]
    if last is not None:
        when = datetime.fromisoformat(last["at"]).timestamp()
        why = f": {last['why']}" if last["why"] else ""
        lines += _entry("last", f"{last['version']} {last['did']}, {last['how']}, {_at(when)}{why}")
    return lines


def _canary(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return _entry("canary", "none")
    if "over" not in found:
        return _entry("canary", f"{found['version']} {found['state']}")
    why = f": {found['why']}" if found["why"] else ""
    share = f"{found['share']:.0%} beside {found['over']} since {_at(found['since'])}"
    lines = _entry("canary", f"{found['version']} {found['state']}, {share}{why}")
    for name, one in found["evidence"].items():
        if min(one["n"]):
            old, new = (_mean(name, mean) for mean in one["mean"])
            lines += _entry(
                "",
                f"{name:8} {new} of {one['n'][1]}, {old} of {one['n'][0]}; "
                f"worse {one['worse']:.0%}, not worse {one['not_worse']:.0%} shown",
            )
    return lines


def _mean(measure: str, mean: float) -> str:
    if measure == "feedback":  # kept as what is missing to a score of 1
        return f"{1 - mean:.3f}"
    return f"{mean:.2%}" if measure == "errors" else f"{mean:.3f}"


def _alarms(found: dict[str, Any]) -> list[str]:
    from equirouter.serve.watch.drift import KINDS

    if not found["alarms"]:
        return _entry("alarms", f"none of {found['watched']}")
    lines = _entry("alarms", f"{len(found['alarms'])} of {found['watched']} are on")
    for alarm in found["alarms"]:
        about = f", {alarm['about']}" if alarm["about"] else ""
        expected = "nothing" if alarm["expected"] is None else f"{alarm['expected']:.1%}"
        lines += _entry(
            "",
            f"{alarm['kind']}{about}, {KINDS[alarm['kind']]}: {alarm['value']:.1%} over the last "
            f"{alarm['n']}, {expected} expected",
        )
    return lines


def _learning(found: dict[str, Any]) -> str:
    if not found["share"] and not found["requests"]:
        return "off"
    limit = found["limit_usd_per_day"]
    of = "" if limit is None else f" of {limit:g}"
    today = f"{found['cost_usd']:.4f}{of} USD today, {number_of(found['requests'], 'request')}"
    return f"{found['share']:.1%} of requests, {today}"


def _entry(title: str, text: str) -> list[str]:
    """A title and its text, in lines of 80 columns."""
    from textwrap import wrap

    indent = " " * _TITLE
    return wrap(
        text,
        _WIDTH,
        initial_indent=title.ljust(_TITLE),
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
