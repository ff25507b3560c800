"""The data of the dashboard: from the store, and the state of this process."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from equirouter.errors import GatewayError, PipelineError
from equirouter.pipeline.evidence import DescribedVersion
from equirouter.serve.dashboard.documents import Document, totals_document
from equirouter.serve.learning_settings import ExploreSettings, ShadowSettings
from equirouter.serve.money.store.learned import Learning
from equirouter.serve.money.store.reports import StoreReports
from equirouter.serve.records import usd
from equirouter.serve.watch.collapse_alarm import AgreementState, CollapseState
from equirouter.serve.watch.drift import KINDS, Alarm
from equirouter.serve.watch.events import Hub
from equirouter.serve.watch_settings import CollapseSettings

PERIODS: Mapping[str, tuple[int, int]] = {
    "1h": (3600, 60),
    "24h": (24 * 3600, 1800),
    "7d": (7 * 24 * 3600, 3 * 3600),
    "30d": (30 * 24 * 3600, 12 * 3600),
}
"""Name -> length and step in seconds; between 48 and 60 steps."""


async def _nothing(_since: float, _until: float) -> Learning:
    return Learning()


@dataclass(frozen=True)
class View:
    """models: the pool, cheapest first. strongest: of the pipeline that decides now.

    collapse: class -> state, as this process sees it, by collapse_settings. alarms: classes for
    which any worker's alarm is on; it may read files, and is called in a thread. agreement: of two
    models that are asked at once, as this process sees it. watched: all alarms. versions: the
    latest ones of the pipeline, called in a thread. canary: how it stands. learned: what
    learning brought in a period. breakers:
    upstream -> "closed", "half-open" or "open". status: further facts on this process, such as
    version and pipeline, by name.
    """

    reports: StoreReports
    hub: Hub
    models: Sequence[str]
    strongest: Callable[[], str | None] = lambda: None
    collapse: Callable[[], Mapping[str, CollapseState]] = dict
    alarms: Callable[[], frozenset[str]] = frozenset
    collapse_settings: CollapseSettings = field(default_factory=CollapseSettings)
    agreement: Callable[[], AgreementState] = AgreementState
    watched: Callable[[], Sequence[Alarm]] = tuple
    versions: Callable[[], Sequence[DescribedVersion]] = tuple
    canary: Callable[[], Document | None] = lambda: None
    learned: Callable[[float, float], Awaitable[Learning]] = _nothing
    explore: ExploreSettings = field(default_factory=ExploreSettings)
    shadow: ShadowSettings = field(default_factory=ShadowSettings)
    breakers: Callable[[], Mapping[str, str]] = dict
    status: Callable[[], Mapping[str, object]] = dict
    clock: Callable[[], float] = time.time
    keep_seconds: float = 1.0
    _kept: dict[str, tuple[float, Document]] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)


async def summary(view: View, period: str) -> Document:
    """All that the page shows above the table. Raises GatewayError for a period that is not known.

    It is made once for all who ask within keep_seconds: many open pages are no load on the store.
    """
    if period not in PERIODS:
        raise GatewayError(
            400, f"period is {period!r}: expected one of {', '.join(PERIODS)}", param="period"
        )
    async with view._lock:
        now = view.clock()
        made, document = view._kept.get(period, (-1.0, {}))
        if not 0 <= now - made < view.keep_seconds:
            document = await _summary(view, period, now)
            view._kept[period] = now, document
        return document


async def _summary(view: View, period: str, now: float) -> Document:
    length, step = PERIODS[period]
    until = (now // step + 1) * step  # whole steps, so that a bar keeps its requests as time goes
    since = until - length
    slices = await view.reports.slices(since, until, step)
    gone = {model for part in slices for model in part.calls} - set(view.models)
    return {
        "now": now,
        "period": period,
        "since": since,
        "until": until,
        "step": step,
        "models": [
            {"name": model, "colour": colour} for model, colour in colours_of(view.models).items()
        ]
        + [{"name": model, "colour": OTHER} for model in sorted(gone)],
        "strongest": view.strongest(),
        "slices": [
            {"start": part.start, "calls": dict(part.calls), **totals_document(part.totals)}
            for part in slices
        ],
        "status": dict(view.status()),
        **{name: await panel(view, since, until) for name, panel in PANELS.items()},
    }


async def _totals(view: View, since: float, until: float) -> Document:
    return totals_document(await view.reports.totals(since, until))


async def _latency(view: View, since: float, until: float) -> Document:
    latencies = await view.reports.latencies(since, until)
    return {phase: asdict(percentiles) for phase, percentiles in latencies.items()}


async def _statuses(view: View, since: float, until: float) -> Document:
    statuses = await view.reports.statuses(since, until)
    return {str(status): count for status, count in sorted(statuses.items())}


async def _feedback(view: View, since: float, until: float) -> list[Document]:
    return [asdict(model) for model in await view.reports.feedback(since, until)]


async def _collapses(view: View, _since: float, _until: float) -> list[Document]:
    alarms = await asyncio.to_thread(view.alarms)
    states = view.collapse()
    elsewhere = CollapseState(0, 0.0, None)  # only other workers saw the class
    return [
        _collapse(view, name, states.get(name, elsewhere), is_alarm=name in alarms)
        for name in sorted({*states, *alarms})
    ]


def _collapse(view: View, class_: str, state: CollapseState, *, is_alarm: bool) -> Document:
    """limit: the share above which evidence for the alarm is gathered."""
    expected, tolerance = state.expected, view.collapse_settings.tolerance
    return {
        "class": class_,
        "requests": state.decisions,
        "share": state.share if state.decisions else None,
        "expected": expected,
        "limit": None if expected is None else min(expected + tolerance, 1.0),
        "evidence": state.evidence,
        "is_enough": state.decisions >= view.collapse_settings.minimum,
        "alarm": is_alarm or state.is_alarm,
    }


async def _cascades(view: View, since: float, until: float) -> Document:
    cascades = await view.reports.cascades(since, until)
    document = {"ended": dict(cascades.ended), **totals_document(cascades.totals)}
    return document | {"agreement": asdict(view.agreement())}


async def _drift(view: View, _since: float, _until: float) -> list[Document]:
    return [{**asdict(alarm), "what": KINDS[alarm.kind]} for alarm in view.watched()]


async def _versions(view: View, _since: float, _until: float) -> Document:
    try:
        versions = await asyncio.to_thread(view.versions)
        return {"versions": [version.document() for version in versions], "why": None}
    except PipelineError as error:  # no reason to show nothing at all
        return {"versions": [], "why": str(error)}


async def _canary(view: View, _since: float, _until: float) -> Document | None:
    return view.canary()


async def _learning(view: View, since: float, until: float) -> Document:
    """today_usd: since the day began in UTC, over all workers."""
    today = (await view.learned(view.clock() // 86_400 * 86_400, until)).models
    explored = sum(model.explored_nusd for model in today)
    shadow = sum(model.shadow_nusd for model in today)
    learned = await view.learned(since, until)
    return {
        "explore": _spending(view.explore, explored),
        "shadow": _spending(view.shadow, shadow),
        **learned.document(),
    }


def _spending(settings: ExploreSettings | ShadowSettings, nusd: int) -> Document:
    limit = settings.limit_usd_per_day
    return {"share": settings.share, "limit_usd_per_day": limit, "today_usd": usd(nusd)}


async def _upstreams(view: View, since: float, until: float) -> list[Document]:
    calls, states = await view.reports.calls(since, until), view.breakers()
    return [
        {"name": name, "state": states.get(name), "outcomes": dict(calls.get(name, {}))}
        for name in sorted({*states, *calls})
    ]


PANELS: Mapping[str, Callable[[View, float, float], Awaitable[object]]] = {
    "totals": _totals,
    "latency": _latency,
    "collapse": _collapses,
    "cascades": _cascades,
    "versions": _versions,
    "canary": _canary,
    "learning": _learning,
    "drift": _drift,
    "upstreams": _upstreams,
    "statuses": _statuses,
    "feedback": _feedback,
}
"""Name in the summary -> its data for a period; static/panels.js draws it."""


# cividis from dark to light, cut at both ends: neither may vanish in a light or a dark page. The
# ramp of equirouter.report.canvas, which a gateway need not have.
_RAMP = ((0x2B, 0x46, 0x7C), (0x7C, 0x7B, 0x78), (0xE8, 0xD2, 0x55))
OTHER = "#909090"
"""Models that are in the log and no longer in the pool."""


def colours_of(models: Sequence[str]) -> dict[str, str]:
    """Model -> #RRGGBB; models: the cheapest first, which is dark, to the most expensive, light."""
    colours = {}
    for index, model in enumerate(models):
        place = 2.0 * index / max(len(models) - 1, 1)
        left = min(int(place), 1)
        channels = (
            round(a + (place - left) * (b - a))
            for a, b in zip(_RAMP[left], _RAMP[left + 1], strict=True)
        )
        colours[model] = "#" + "".join(f"{channel:02X}" for channel in channels)
    return colours
