"""The main job: fit on the training part, choose on validation, measure on the test part."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from equirouter.arrays import Float32Array, FloatArray
from equirouter.cost import CostErrors
from equirouter.data import as_outcomes
from equirouter.data.logged import is_estimated, log_note
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import Split, SplitKind, split_outcomes
from equirouter.data.table_warnings import table_warnings
from equirouter.encoders import make_encoder
from equirouter.encoders.base import Encoder
from equirouter.encoders.cache import EmbeddingCache
from equirouter.encoders.visibility import duplicate_share
from equirouter.errors import ConfigError, DataError
from equirouter.evaluation.aggregate import SeedRecords, differences
from equirouter.evaluation.decision_log import DecisionLog, decision_log
from equirouter.evaluation.facts import (
    CostModelErrors,
    DatasetFacts,
    NotMeasured,
    Protocol,
    Reference,
    VisibilityFacts,
)
from equirouter.evaluation.measured import Differences
from equirouter.evaluation.published import published_for
from equirouter.evaluation.results import ANCHORS, COMPARING, Results
from equirouter.evaluation.seed_runs import Work, Workers, one_by_one, run_anchors, run_router
from equirouter.evaluation.sweeps import N_POINTS
from equirouter.extras import versions
from equirouter.output import make_folder
from equirouter.policy import Policy, UtilityPolicy
from equirouter.progress import Progress, silent
from equirouter.registry import PLAN, POLICIES
from equirouter.routers import make_router
from equirouter.training.collapse import check_collapse_is_known, with_prices
from equirouter.training.needs import check_what_fits, reader
from equirouter.training.protocol import (
    Prepared,
    description_notes,
    embedded,
    embedded_descriptions,
    prepare,
    readable,
    reading_notes,
)

FIRST_SEED = 42  # the paper's, App. A.1; further seeds count on from it


class _SplitFacts(NamedTuple):
    """The figures of one split beside those of its routers."""

    cost_errors: CostErrors
    n_incomplete: int
    n_measured: int
    as_strong: tuple[int, ...]

    @classmethod
    def of(cls, prepared: Prepared) -> Self:
        return cls(
            prepared.cost_errors,
            prepared.n_incomplete_test,
            len(prepared.test.rows),
            tuple(prepared.as_strong.tolist()),
        )


def benchmark(
    table: object,
    encoder: Encoder | str = "lexical+minilm",
    *,
    embeddings: Float32Array | None = None,
    cache: EmbeddingCache | None = None,
    routers: Sequence[str] = ("factors", "equirouter", "mlp", "knn"),
    policy: str = "budget",
    split: SplitKind = "in-domain",
    n_seeds: int = 3,
    resamples: int = 1000,
    cost_network: bool = False,
    device: str = "auto",
    out: str | Path | None = None,
    command: Sequence[str] = (),
    on_scores: Callable[[str, int, FloatArray], object] | None = None,
    progress: Progress = silent,
    workers: Workers = one_by_one,
) -> Results:
    """Measure routers and anchors under one protocol; returns the contents of results.json.

    Intervals are of 95 %: docs/metrics.md.

    Args:
        table: Outcomes, a path, a name of `data list`, or a pandas, polars or pyarrow table.
        encoder: One, or its name.
        embeddings: (N, d) of the table's queries by encoder; made here when not given.
        cache: Where embeddings that are made here are kept.
        routers: Specs as make_router takes them.
        policy: A registered name, or "plan", which needs answers.
        split: "in-domain", or "ood": whole tasks are kept for the test part.
        n_seeds: Seeds 42, 43, ..., each with its own split and training.
        resamples: Of the test queries, for intervals; 0: none.
        cost_network: Costs by the paper's network (App. C.1), not by the linear cost model.
        device: Of networks, "auto", "cpu" or "cuda".
        out: A folder for results.json and decisions.parquet.
        command: The command line, to be written into results.json.
        on_scores: Is given every name, seed and scores (n, K) of the test part, as the policy sees
            them.
        progress: Is told what is done.
        workers: Where routers are fitted and measured; here, if not given.

    Examples:
        >>> from equirouter import benchmark
        >>> results = benchmark("simulated:n_queries=300", "static", routers=["knn"], n_seeds=1)
        >>> results["knn"].nauc.mean < results.anchors["oracle"].nauc.mean
        True
    """
    encoder = make_encoder(encoder) if isinstance(encoder, str) else encoder
    specs = list(dict.fromkeys(routers))
    outcomes = readable(encoder, as_outcomes(table), embeddings)
    check_what_fits(specs, reader(encoder, outcomes, embeddings), cost_network=cost_network)
    rule, outcomes, answers = _checked(policy, specs, outcomes)
    splits = _splits(outcomes, split, n_seeds)
    records = {name: SeedRecords() for name in (*_anchors(outcomes), *specs)}
    comparing = {name: SeedRecords() for name in COMPARING}
    facts: list[_SplitFacts] = []
    seen: list[Float32Array] = []
    ready = partial(prepare, cost_network=cost_network, device=device)

    def works() -> Iterator[Work]:
        for made, rows, texts in encoded:
            prepared = with_prices(ready(outcomes, rows, made, descriptions=texts), rule.priced_by)
            facts.append(_SplitFacts.of(prepared))
            seen[:] = [rows]
            for name in records:
                yield partial(run_router, name, prepared, rule, made, resamples, device, answers)
            if answers is not None:
                yield partial(run_anchors, prepared, answers, made, resamples)

    with _log(out, outcomes, rule) as log:
        encoded = _encoded(outcomes, encoder, splits, specs, embeddings, cache, progress)
        for ran in chain.from_iterable(workers(works())):
            (comparing | records)[ran.name].extend(ran.record)
            if log is not None:
                log.add(ran.name, ran.seed, *ran.sweep)
            if ran.scores is not None:
                done = sum(len(record.measurements) for record in records.values())
                progress("fit and measure", done, n_seeds * len(records))
                if on_scores is not None:
                    on_scores(ran.name, ran.seed, ran.scores)
        records |= {name: each for name, each in comparing.items() if each.is_of(n_seeds)}
        protocol = _protocol(outcomes, encoder, splits, policy, resamples)
        results = _results(outcomes, protocol, records, splits, facts, seen[0], tuple(command))
        if out is not None and log is not None:
            log.finish()  # all of it is on disk: neither file is replaced if the other cannot be
            results.write(Path(out) / "results.json")
    return results


def _encoded(
    outcomes: Outcomes,
    encoder: Encoder,
    splits: Sequence[Split],
    specs: Sequence[str],
    embeddings: Float32Array | None,
    cache: EmbeddingCache | None,
    progress: Progress,
) -> Iterator[tuple[Split, Float32Array, Float32Array | None]]:
    """Every split with the embeddings (N, d) of the queries and (K, d) of the descriptions."""
    again = embeddings is None and encoder.learns  # the embeddings depend on the split
    descriptions: Float32Array | None = None
    for index, split in enumerate(splits):
        if embeddings is None or (again and index):
            embeddings = embedded(encoder, outcomes, split, cache=cache, progress=progress)
        if again or not index:
            descriptions = embedded_descriptions(encoder, outcomes, specs, cache=cache)
        yield split, embeddings, descriptions


def _splits(outcomes: Outcomes, kind: SplitKind, n_seeds: int) -> list[Split]:
    if n_seeds < 1:
        raise ConfigError(f"{n_seeds} seeds: at least one is needed")
    seeds = range(FIRST_SEED, FIRST_SEED + n_seeds)
    return [split_outcomes(outcomes, kind=kind, seed=seed) for seed in seeds]


def _log(
    out: str | Path | None, outcomes: Outcomes, rule: Policy
) -> AbstractContextManager[DecisionLog | None]:
    if out is None:
        return nullcontext(None)
    return decision_log(make_folder(out) / "decisions.parquet", outcomes, rule.setting)


def _checked(
    policy: str, specs: Sequence[str], outcomes: Outcomes
) -> tuple[Policy, Outcomes, Outcomes | None]:
    """The policy and the table; what cannot be measured is said before anything is fitted.

    For plans it is the one of anchors, and the table that plans are fitted on is given as well,
    without propensities: plans compare the answers to a query, of which a log has one.
    """
    if policy == PLAN and outcomes.answers is None:
        raise DataError(
            f"{outcomes.name}: policy plan compares the answers of models, and the table has none: "
            "give it a column answer, or read them out of responses (equirouter data convert "
            "--answers-by)"
        )
    rule: Policy = UtilityPolicy() if policy == PLAN else POLICIES.load(policy)()
    for spec in specs:
        if make_router(spec).is_anchor:
            raise ConfigError(f"{spec} is an anchor: anchors are always measured, leave it out")
    check_collapse_is_known(outcomes, rule)
    if policy != PLAN:
        return rule, outcomes, None
    outcomes = replace(outcomes, propensity=None)
    return rule, outcomes, outcomes


def _anchors(outcomes: Outcomes) -> tuple[str, ...]:
    """The anchors that can be measured: a log does not tell which model was the best of a query."""
    return ANCHORS[1:] if is_estimated(outcomes) else ANCHORS


def _results(
    outcomes: Outcomes,
    protocol: Protocol,
    records: dict[str, SeedRecords],
    splits: Sequence[Split],
    facts: Sequence[_SplitFacts],
    embeddings: Float32Array,
    command: tuple[str, ...],
) -> Results:
    models = outcomes.models
    anchors = [name for name in records if name in (*ANCHORS, *COMPARING)]
    specs = [name for name in records if name not in anchors]
    figures = {name: record.router_results(models) for name, record in records.items()}
    notes = (
        *outcomes.notes,
        *log_note(outcomes),
        *table_warnings(outcomes),
        *description_notes(outcomes, specs),
    )
    notes += tuple(note for record in records.values() for note in record.notes)
    visibility = duplicate_share(embeddings, outcomes.texts, outcomes.image_paths)
    return Results(
        command=command,
        dataset=DatasetFacts.model_validate(outcomes, from_attributes=True),
        protocol=protocol,
        anchors={name: figures[name] for name in anchors},
        routers={name: figures[name] for name in specs},
        paired=_paired(records, specs),
        curves={name: record.curve(models) for name, record in records.items()},
        calibration={name: records[name].calibration() for name in specs},
        checks={name: check for name in specs if (check := records[name].check()) is not None},
        outcomes=replace(outcomes.describe(), notes=notes),
        visibility=VisibilityFacts.model_validate(visibility, from_attributes=True),
        reference=Reference(
            per_seed=tuple(models[each.as_strong[0]] for each in facts),
            as_strong=tuple(tuple(models[k] for k in each.as_strong) for each in facts),
        ),
        cost_model=_cost_model(facts, models),
        left_out=NotMeasured(
            incomplete_test_queries=facts[0].n_incomplete,
            measured_test_queries=facts[0].n_measured,
            per_seed=tuple(each.n_incomplete for each in facts),
        ),
        split_hashes={str(split.seed): split.hash for split in splits},
        versions=versions(),
        published=published_for(outcomes.name, protocol.split),
    )


def _paired(
    records: dict[str, SeedRecords], specs: Sequence[str]
) -> dict[str, dict[str, Differences]]:
    """Every router minus every other one and every anchor."""
    of = {name: record.measurements for name, record in records.items()}
    return {
        name: {other: differences(of[name], of[other]) for other in records if other != name}
        for name in specs
    }


def _protocol(
    outcomes: Outcomes, encoder: Encoder, splits: Sequence[Split], policy: str, resamples: int
) -> Protocol:
    single = np.ones((1, 1))  # whether there is a path is a property of the policy
    swept = policy == PLAN or is_estimated(outcomes)
    exact = not swept and POLICIES.load(policy)().path(single, single) is not None
    return Protocol(
        split=splits[0].kind,
        ratios=splits[0].ratios,
        seeds=tuple(split.seed for split in splits),
        policy=policy,
        budgets=N_POINTS,
        read_at="every change of a decision" if exact else "the operating points",
        encoder=encoder.name,
        window=getattr(encoder, "window", None),
        encoder_settings=encoder.settings,
        encoder_fingerprint=encoder.fingerprint,
        encoder_notes=tuple(reading_notes(encoder, outcomes)),
        nauc="paper",
        resamples=resamples,
    )


def _cost_model(facts: Sequence[_SplitFacts], models: Sequence[str]) -> CostModelErrors:
    """Errors of the predicted costs, means over the seeds; None for a model that costs nothing."""
    relative = np.mean([each.cost_errors.relative for each in facts], axis=0)
    return CostModelErrors(
        mse=float(np.mean([each.cost_errors.cells_mse for each in facts])),
        relative_error={
            model: None if np.isnan(error) else float(error)
            for model, error in zip(models, relative, strict=True)
        },
    )
