"""One router or anchor on one seed: fitted, swept and measured, apart from all others."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from time import perf_counter
from typing import NamedTuple, TypeAlias

from equirouter.arrays import FloatArray, IntArray
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import Split
from equirouter.evaluation.aggregate import SeedRecords
from equirouter.evaluation.plan_runs import PlanRun, anchor_runs, router_run
from equirouter.evaluation.reliability import reliability
from equirouter.evaluation.sweeps import N_POINTS, measure_part
from equirouter.policy import DecisionPath, Policy
from equirouter.training.fitted import fit_router
from equirouter.training.protocol import Prepared, scores_of


class Sweep(NamedTuple):
    """Choices of one router or anchor on one seed, for decisions.parquet: see DecisionLog.add."""

    rows: IntArray
    points: FloatArray
    chosen: IntArray
    spent_usd: FloatArray | None


class SeedRun(NamedTuple):
    """One router or anchor on one seed. scores: of the test part, None of what has none."""

    name: str
    seed: int
    record: SeedRecords
    sweep: Sweep
    scores: FloatArray | None


Work: TypeAlias = "partial[list[SeedRun]]"
"""Something of a run that stands by itself."""

Workers: TypeAlias = Callable[[Iterable[Work]], Iterator[list[SeedRun]]]
"""Does each of them, and gives what they return, in their order."""


def one_by_one(works: Iterable[Work]) -> Iterator[list[SeedRun]]:
    """In this process."""
    return (work() for work in works)


def run_router(
    name: str,
    prepared: Prepared,
    rule: Policy,
    split: Split,
    resamples: int,
    device: str,
    answers: Outcomes | None,
) -> list[SeedRun]:
    """One router on one seed: fit, predict, sweep, measure.

    answers: the table, where plans are to be fitted on it.
    """
    record = SeedRecords()
    fitted = fit_router(name, prepared, seed=split.seed, device=device)
    router, scale, test = fitted.router, fitted.scale, prepared.test
    record.fit_seconds.append(fitted.fit_seconds)
    start = perf_counter()
    scores = scores_of(router, test, None)
    record.predict_us.append((perf_counter() - start) / len(scores) * 1e6)
    if scale is not None:
        estimate = scale.apply(scores)
        record.calibrated.append(reliability(estimate, test.outcomes[0]))
        if router.scores_are == "expected_performance":
            record.uncalibrated.append(reliability(scores, test.outcomes[0]))
        if rule.needs == "expected_performance":
            scores = estimate
    costs = test.prices(router, rule)
    record.n_parameters.append(router.n_parameters)
    if answers is not None and scale is not None:
        run = router_run(fitted, prepared, answers, scores, seed=split.seed, n_points=N_POINTS)
        record.notes += [f"plans of {name}, seed {split.seed}: {note}" for note in run.notes]
        sweep = _measure_run(record, prepared, run, split, resamples)
    else:
        points = rule.points(scores, costs, N_POINTS)
        chosen = rule.replay(scores, costs, points, test.cost_usd)
        sweep = Sweep(test.rows, points, chosen, None)
        _measure(record, prepared, sweep, rule.path(scores, costs), split, resamples)
    return [SeedRun(name, split.seed, record, sweep, scores)]


def run_anchors(
    prepared: Prepared, answers: Outcomes, split: Split, resamples: int
) -> list[SeedRun]:
    """Runs of the anchors that plans are compared with, on one seed."""
    measured = []
    for name, run in anchor_runs(prepared, answers).items():
        record = SeedRecords()
        record.learned_nothing()
        sweep = _measure_run(record, prepared, run, split, resamples)
        measured.append(SeedRun(name, split.seed, record, sweep, None))
    return measured


def _measure_run(
    record: SeedRecords, prepared: Prepared, run: PlanRun, split: Split, resamples: int
) -> Sweep:
    """Measure what asks more than one model; all calls are paid for."""
    record.asked.append(run.figures)
    record.checks += [] if run.check is None else [run.check]
    made = run.replayed
    sweep = Sweep(prepared.test.rows, run.points, made.served, made.cost_usd)
    _measure(record, prepared, sweep, None, split, resamples)
    return sweep


def _measure(
    record: SeedRecords,
    prepared: Prepared,
    sweep: Sweep,
    path: DecisionPath | None,
    split: Split,
    resamples: int,
) -> None:
    record.measurements.append(
        measure_part(
            prepared.test,
            sweep.chosen,
            strongest=prepared.strongest,
            seed=split.seed,
            resamples=resamples,
            path=path,
            spent_usd=sweep.spent_usd,
        )
    )
    record.points.append(sweep.points)
