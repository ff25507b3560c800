"""A pipeline for service: read from its folder, tried out, measured, and followed."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from equirouter.errors import PipelineError, UserError
from equirouter.pipeline import RoutingPipeline
from equirouter.pipeline.evidence import Evidence
from equirouter.pipeline.stored import blamed_on
from equirouter.pipeline.versions import CURRENT_FILE, MOVES, PipelineVersions, current_version
from equirouter.policy import PROBES
from equirouter.serve.settings import PipelineSettings

if TYPE_CHECKING:
    from equirouter.arrays import Float32Array


_LOG = logging.getLogger("equirouter.serve")

QUICK_SECONDS = 0.0005
"""A decision that takes less is made on the event loop: see decision_thread.py."""
LONE_SECONDS = 0.002
"""The same where no other request is under way."""
_TRIED_CHARACTERS = (256, 512, 1024, 2048, 4096, 8192, 16384)
_TIMES = 5

SAME = 0.001
"""Shares of the range of scores that a query may differ by, alone and among others."""
AS_WHEN_MADE = 0.05
"""The same against the probes: another processor may round otherwise."""


@dataclass(frozen=True, eq=False)
class LoadedPipeline:
    """A pipeline that was tried out. id: of its content. version: where it has versions.

    is_vouched: whether the gate passed that version, or somebody forced it.
    strongest: of the models that are served. is_whole: whether all its models are served.
    quick_characters: queries of at most so many are decided within QUICK_SECONDS; 0 if even short
    ones are not. lone_characters: the same within LONE_SECONDS. decision_ms: of a short query,
    alone.
    """

    pipeline: RoutingPipeline
    path: Path
    version: str | None
    is_vouched: bool
    id: str
    strongest: str
    is_whole: bool
    quick_characters: int
    lone_characters: int
    decision_ms: float

    def expected_share(self, setting: str, value: float) -> float | None:
        """How often calibration saw the strongest model chosen there, None if that is not known."""
        return self.pipeline.baseline.expected_share(setting, value) if self.is_whole else None


def check_evidence(new: LoadedPipeline, old: LoadedPipeline) -> None:
    """Raise PipelineError where a pipeline rests on far less than the one that decides now.

    Evidence.far_below says when. A version that passed the gate, or was forced, needs none.
    """
    if new.is_vouched:
        return
    why = Evidence.of(new.pipeline).far_below(Evidence.of(old.pipeline))
    if why is not None:
        raise PipelineError(
            f"{new.path}: {why}; `equirouter pipeline promote --force`, or POST "
            "/admin/reload?force=true, takes it anyway"
        )


def load_pipeline(settings: PipelineSettings, path: Path, served: Iterable[str]) -> LoadedPipeline:
    """Read a pipeline, try it out and measure it. served: the models of the pool.

    Raises PipelineError for a folder that is no pipeline, for a model of it that the pool does not
    have and the settings do not ignore, and for one that fails its self-test.
    """
    pool = set(served)
    version, is_vouched = current_version(path)
    pipeline = RoutingPipeline.load(
        path, weights=settings.weights, encoder_options=settings.encoder_options
    )
    missing = [name for name in pipeline.models if name not in pool]
    unknown = [name for name in missing if name not in settings.ignored_models]
    if unknown:
        raise PipelineError(
            f"{path}: it chooses between models that the gateway does not have: "
            f"{', '.join(unknown)}. Add them as [models.NAME], or name them in "
            "pipeline.ignored_models if they are not to be called"
        )
    models = [name for name in pipeline.models if name in pool]
    if not models:
        raise PipelineError(f"{path}: none of its models is served, all are ignored")
    if settings.when_nothing_fits is not None:
        pipeline.when_nothing_fits = settings.when_nothing_fits
    if settings.threads is not None and hasattr(pipeline.stage.encoder, "threads"):
        pipeline.stage.encoder.threads = settings.threads
    with blamed_on(path):
        scores = try_out(pipeline, path)
        quick, lone, decision_ms = _measured(pipeline)
    return LoadedPipeline(
        pipeline=pipeline,
        path=path,
        version=version,
        is_vouched=is_vouched,
        id=str(pipeline.digest)[:12],
        strongest=_strongest(pipeline, models, scores, path),
        is_whole=len(models) == len(pipeline.models),
        quick_characters=quick,
        lone_characters=lone,
        decision_ms=decision_ms,
    )


def try_out(pipeline: RoutingPipeline, path: Path) -> "Float32Array":
    """The self-test; returns the scores (P, K) of the probes.

    Scores and costs are finite, no cost is negative, a query has the same scores alone and among
    others and, where the folder holds probes, those that it had when the pipeline was made. The
    default operating point exists. Raises PipelineError.
    """
    tried = pipeline.stage.look(PROBES)
    scores, costs = tried.scores, tried.costs
    shape = (len(PROBES), len(pipeline.models))
    if scores.shape != shape or costs.shape != shape:
        raise PipelineError(
            f"{path}: self-test: {scores.shape} scores and {costs.shape} costs, {shape} expected"
        )
    if not (np.isfinite(scores).all() and np.isfinite(costs).all() and (costs >= 0).all()):
        raise PipelineError(
            f"{path}: self-test: scores or predicted costs that are not finite, or costs below 0"
        )
    alone = [pipeline.stage.look([query]).scores for query in PROBES]
    _compare(scores, np.concatenate(alone), SAME, f"{path}: self-test: scores alone and in a batch")
    probes = pipeline.baseline.probes
    if probes:
        now = pipeline.stage.look([probe.query for probe in probes])
        scores_then = np.array([probe.scores for probe in probes])
        costs_then = np.array([probe.predicted_cost_usd for probe in probes])
        what = f"{path}: self-test: of the stored probes, "
        _compare(scores_then, now.scores, AS_WHEN_MADE, f"{what}scores now and when it was made")
        what += "predicted costs now and when it was made"
        _compare(costs_then, now.costs, AS_WHEN_MADE, what)
    pipeline.decide_many(list(PROBES))  # at the default operating point
    return scores


def _compare(
    expected: "np.ndarray[tuple[int, ...], np.dtype[np.floating]]",
    actual: "np.ndarray[tuple[int, ...], np.dtype[np.floating]]",
    share: float,
    what: str,
) -> None:
    if expected.shape != actual.shape:
        raise PipelineError(f"{what} have the shapes {expected.shape} and {actual.shape}")
    allowed = share * float(np.ptp(expected)) + 1e-6 * float(np.abs(expected).max())
    apart = float(np.abs(expected - actual).max())
    if not apart <= allowed:
        raise PipelineError(f"{what} differ by {apart:g}; {allowed:g} is allowed")


def _measured(pipeline: RoutingPipeline) -> tuple[int, int, float]:
    """How long a query may be to be decided in either time, and milliseconds for a short one."""
    quick, lone, short_ms = 0, 0, 0.0
    for characters in _TRIED_CHARACTERS:
        query = (" ".join(PROBES) * (characters // 256 + 1))[:characters]
        seconds = min(_seconds(pipeline, query) for _ in range(_TIMES))
        short_ms = short_ms or seconds * 1000
        if seconds <= QUICK_SECONDS:
            quick = characters
        if seconds > max(LONE_SECONDS, QUICK_SECONDS):
            break
        lone = characters
    return quick, lone, short_ms


def _seconds(pipeline: RoutingPipeline, query: str) -> float:
    start = time.perf_counter()
    pipeline.decide(query)
    return time.perf_counter() - start


def _strongest(
    pipeline: RoutingPipeline, served: list[str], scores: "Float32Array", path: Path
) -> str:
    """The strongest model that is served."""
    strongest = pipeline.baseline.strongest
    if strongest in served:
        return strongest
    mean = scores.mean(axis=0)
    best = max(served, key=lambda name: float(mean[pipeline.models.index(name)]))
    _LOG.warning(
        "%s: its strongest model, %s, is not served; %s has the highest mean score on the probes "
        "and is taken for it",
        path,
        strongest,
        best,
    )
    return best


LOOK_SECONDS = 2.0


async def follow(
    folder: Path, reload: Callable[[], Awaitable[object]], *, seconds: float = LOOK_SECONDS
) -> None:
    """Reload whenever another version of the pipeline in a folder is made current; without end.

    What is refused is not tried again until the pointer changes once more. A folder without
    versions has no pointer: nothing happens then.
    """
    seen, moved = await asyncio.to_thread(_mark, folder), await asyncio.to_thread(_moves, folder)
    while True:
        await asyncio.sleep(seconds)
        mark = await asyncio.to_thread(_mark, folder)
        if mark == seen:
            continue
        try:
            before, moved = moved, await asyncio.to_thread(_moves, folder)
            seen = mark
            if moved == before:  # something was noted, and the same version is current
                continue
            await reload()
        except UserError:  # the decider has said what is wrong with it
            continue
        except Exception:
            _LOG.exception("the pipeline in %s cannot be reloaded; the old one goes on", folder)


def _moves(folder: Path) -> int:
    """How often a version was made current. Raises PipelineError for a file that is damaged."""
    return sum(event.did in MOVES for event in PipelineVersions(folder).history)


def _mark(folder: Path) -> tuple[int, int] | None:
    """Numbers that change when the pointer is replaced; None where there is none."""
    try:
        status = (folder / CURRENT_FILE).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
