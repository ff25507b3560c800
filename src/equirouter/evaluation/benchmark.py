"""The main job: fit on the training part, choose on validation, measure on the test part."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np

from equirouter.arrays import Float32Array, FloatArray
from equirouter.cost import CostError
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import Split, split_outcomes
from equirouter.encoders.base import Encoder
from equirouter.encoders.cache import EmbeddingCache
from equirouter.encoders.visibility import duplicate_share
from equirouter.errors import ConfigError
from equirouter.evaluation.aggregate import (
    curve_entry,
    metric_entries,
    paired_entries,
    spread_entry,
)
from equirouter.evaluation.curve import Measurement, measure
from equirouter.evaluation.decisions import DecisionLog, decision_log
from equirouter.evaluation.published import published_for
from equirouter.evaluation.reliability import Reliability, reliability, reliability_entry
from equirouter.extras import require, versions
from equirouter.output import atomic_write, make_folder
from equirouter.policy import Policy
from equirouter.progress import Progress, silent
from equirouter.registry import POLICIES
from equirouter.routers import make_router
from equirouter.training.described import description_notes, embedded_descriptions
from equirouter.training.protocol import (
    Prepared,
    calibration_for,
    embedded,
    fit_timed,
    prepare,
    reading_notes,
    scores_of,
    stream,
)

__all__ = ["ANCHORS", "FIRST_SEED", "run_benchmark"]

ANCHORS = ("oracle", "random", "strongest", "cheapest", "task")
FIRST_SEED = 42  # the paper's, App. A.1; further seeds count on from it
N_POINTS = 100


@dataclass
class _Record:
    """What one router did, seed by seed."""

    measurements: list[Measurement] = field(default_factory=list)
    points: list[FloatArray] = field(default_factory=list)
    fit_seconds: list[float] = field(default_factory=list)
    predict_us: list[float] = field(default_factory=list)
    n_parameters: list[float] = field(default_factory=list)
    calibrated: list[Reliability] = field(default_factory=list)
    as_they_are: list[Reliability] = field(default_factory=list)


@dataclass(frozen=True)
class _Facts:
    """What is reported of one split beside the routers."""

    n_incomplete: int
    n_measured: int
    cost_error: CostError

    @classmethod
    def of(cls, prepared: Prepared) -> "_Facts":
        return cls(prepared.n_incomplete_test, len(prepared.test.rows), prepared.cost_error)


def run_benchmark(
    outcomes: Outcomes,
    encoder: Encoder,
    *,
    embeddings: Float32Array | None = None,
    cache: EmbeddingCache | None = None,
    routers: Sequence[str] = ("factors", "equirouter", "mlp", "knn"),
    policy: str = "budget",
    split: Literal["in-domain", "ood"] = "in-domain",
    n_seeds: int = 3,
    resamples: int = 1000,
    device: str = "auto",
    out: str | Path | None = None,
    command: Sequence[str] = (),
    on_scores: Callable[[str, int, FloatArray], object] | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure routers and anchors under one protocol; returns what results.json holds.

    embeddings: (N, d) of the table's queries by encoder; made here, through cache, when not given.
    routers: specs as make_router takes them. n_seeds: seeds 42, 43, ...; each makes its own split
    and its own training run. out: a folder for results.json and decisions.parquet. on_scores: is
    given every router's and anchor's name, seed and scores (n, K) on the test part, as the policy
    sees them. Intervals are 95 % from `resamples` paired resamples of the test queries per seed,
    pooled over the seeds (docs/metrics.md).
    """
    require("torch", extra="train", purpose="fit routers and cost models")
    specs = list(dict.fromkeys(routers))
    rule = _checked(policy, specs)
    splits = _splits(outcomes, split, n_seeds)
    folder = None if out is None else make_folder(out)
    again = embeddings is None and encoder.learns  # what it learns depends on the split
    if embeddings is None:
        embeddings = embedded(encoder, outcomes, splits[0], cache=cache, progress=progress)
    descriptions = embedded_descriptions(encoder, outcomes, specs, cache=cache)
    records = {name: _Record() for name in (*ANCHORS, *specs)}
    with _log(folder, outcomes, rule) as log:
        facts = []
        for index, made in enumerate(splits):
            if again and index:
                embeddings = embedded(encoder, outcomes, made, cache=cache, progress=progress)
                descriptions = embedded_descriptions(encoder, outcomes, specs, cache=cache)
            prepared = prepare(outcomes, embeddings, made, descriptions=descriptions, device=device)
            facts.append(_Facts.of(prepared))
            for step, (name, record) in enumerate(records.items()):
                progress("fit and measure", index * len(records) + step, n_seeds * len(records))
                scores = _run(name, record, prepared, rule, made, resamples, device, log)
                if on_scores is not None:
                    on_scores(name, made.seed, scores)
        progress("fit and measure", n_seeds * len(records), n_seeds * len(records))
        results = _results(outcomes, encoder, records, specs, splits, policy, embeddings, facts)
        results["protocol"]["resamples"] = resamples
        results["command"] = list(command)
        results["outcomes"]["notes"] = [*outcomes.notes, *description_notes(outcomes, specs)]
        _write(results, folder, log)
    return results


def _splits(outcomes: Outcomes, kind: Literal["in-domain", "ood"], n_seeds: int) -> list[Split]:
    if n_seeds < 1:
        raise ConfigError(f"{n_seeds} seeds: at least one is needed")
    seeds = range(FIRST_SEED, FIRST_SEED + n_seeds)
    return [split_outcomes(outcomes, kind=kind, seed=seed) for seed in seeds]


def _write(results: dict[str, Any], folder: Path | None, log: DecisionLog | None) -> None:
    if folder is None or log is None:
        return
    log.finish()  # all of it is on disk: neither file is replaced if the other cannot be
    with atomic_write(folder / "results.json") as stream_:
        stream_.write(json.dumps(results, indent=1, allow_nan=False) + "\n")


def _log(
    folder: Path | None, outcomes: Outcomes, rule: Policy
) -> AbstractContextManager[DecisionLog | None]:
    if folder is None:
        return nullcontext(None)
    return decision_log(folder / "decisions.parquet", outcomes, rule.setting)


def _checked(policy: str, specs: Sequence[str]) -> Policy:
    """The policy; what cannot be measured is said before anything is fitted."""
    rule: Policy = POLICIES.load(policy)()
    for spec in specs:
        if make_router(spec).is_anchor:
            raise ConfigError(f"{spec} is an anchor: anchors are always measured, leave it out")
    return rule


def _run(
    name: str,
    record: _Record,
    prepared: Prepared,
    rule: Policy,
    split: Split,
    resamples: int,
    device: str,
    log: DecisionLog | None,
) -> FloatArray:
    """One router on one seed: fit, predict, sweep, measure; returns the scores of the test part."""
    router = make_router(name)
    if hasattr(router, "device"):
        router.device = device
    test = prepared.test
    record.fit_seconds.append(fit_timed(router, prepared, name=name, seed=split.seed))
    scale = calibration_for(router, prepared.validation)
    start = perf_counter()
    scores = scores_of(router, test, None)
    record.predict_us.append((perf_counter() - start) / len(scores) * 1e6)
    if scale is not None:
        estimate = scale.apply(scores)
        record.calibrated.append(reliability(estimate, test.performance))
        if router.scores_are == "expected_performance":
            record.as_they_are.append(reliability(scores, test.performance))
        if rule.needs == "expected_performance":
            scores = estimate
    costs = test.costs(router)
    points = rule.points(scores, costs, N_POINTS)
    chosen = rule.replay(scores, costs, points, test.cost_usd)
    rng = stream(split.seed, "bootstrap")  # the same resamples for every router: paired
    record.measurements.append(
        measure(
            chosen,
            test.performance,
            test.cost_usd,
            path=rule.path(scores, costs),
            resamples=resamples,
            rng=rng,
        )
    )
    record.points.append(points)
    record.n_parameters.append(router.n_parameters)
    if log is not None:
        log.add(name, split.seed, test.rows, points, chosen)
    return scores


def _results(
    outcomes: Outcomes,
    encoder: Encoder,
    records: dict[str, _Record],
    specs: Sequence[str],
    splits: Sequence[Split],
    policy: str,
    embeddings: Float32Array,
    facts: Sequence[_Facts],
) -> dict[str, Any]:
    visibility = duplicate_share(embeddings, outcomes.texts, outcomes.image_paths)
    entries = {name: _metrics(record, outcomes) for name, record in records.items()}
    reference = records["task"].measurements
    return {
        "schema": 1,
        "dataset": {
            "name": outcomes.name,
            "n_queries": outcomes.n_queries,
            "n_models": outcomes.n_models,
            "models": list(outcomes.models),
            "fingerprint": outcomes.fingerprint,
        },
        "protocol": {
            "split": splits[0].kind,
            "ratios": list(splits[0].ratios),
            "seeds": [split.seed for split in splits],
            "policy": policy,
            "budgets": N_POINTS,
            "encoder": encoder.name,
            "window": getattr(encoder, "window", None),
            "encoder_settings": encoder.settings,
            "encoder_fingerprint": encoder.fingerprint,
            "encoder_notes": list(reading_notes(encoder, outcomes)),
            "nauc": "paper",
        },
        "anchors": {name: entries[name] for name in ANCHORS},
        "routers": {name: entries[name] for name in specs},
        "paired": {name: paired_entries(records[name].measurements, reference) for name in specs},
        "curves": {
            name: curve_entry(record.measurements, record.points, outcomes.models)
            for name, record in records.items()
        },
        "calibration": {name: _calibration(records[name]) for name in specs},
        "outcomes": asdict(outcomes.describe()),
        "visibility": {
            name: getattr(visibility, name) for name in ("share", "n_duplicates", "warning")
        },
        "cost_model": _cost_model(facts, outcomes.models),
        "left_out": {
            "incomplete_test_queries": facts[0].n_incomplete,
            "measured_test_queries": facts[0].n_measured,
            "per_seed": [fact.n_incomplete for fact in facts],
        },
        "split_hashes": {str(split.seed): split.hash for split in splits},
        "versions": versions(),
        "published": _published(outcomes.name, splits[0].kind),
    }


def _calibration(record: _Record) -> dict[str, Any]:
    return reliability_entry(record.calibrated, record.as_they_are or None)


def _cost_model(facts: Sequence[_Facts], models: Sequence[str]) -> dict[str, Any]:
    """Errors of the predicted costs, means over the seeds; null for a model that costs nothing."""
    relative = np.mean([fact.cost_error.relative for fact in facts], axis=0)
    return {
        "mse": float(np.mean([fact.cost_error.mse for fact in facts])),
        "relative_error": {
            model: None if np.isnan(error) else float(error)
            for model, error in zip(models, relative, strict=True)
        },
    }


def _published(name: str, split: Literal["in-domain", "ood"]) -> dict[str, Any] | None:
    found = published_for(name, split)
    if found is None:
        return None
    return {
        "source": found.source,
        "rows": {router: row.metrics() for router, row in found.rows.items()},
    }


def _metrics(record: _Record, outcomes: Outcomes) -> dict[str, Any]:
    return metric_entries(record.measurements, outcomes.models) | {
        "fit_seconds": spread_entry(record.fit_seconds),
        "predict_us_per_query": spread_entry(record.predict_us),
        "n_parameters": spread_entry(record.n_parameters),
    }
