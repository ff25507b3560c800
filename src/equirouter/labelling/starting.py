"""A pipeline without any label: two cheap models that agree are believed, else the strongest."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from equirouter.answers import make_extractor
from equirouter.cost.model_price import ModelPrice
from equirouter.cost.prices import Price, costs_usd
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import Split
from equirouter.encoders import make_encoder
from equirouter.errors import ConfigError
from equirouter.labelling.pool_calls import check_models
from equirouter.pipeline.parts import Provenance
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.policy import PROBES, Certainty
from equirouter.policy.plans import Plans
from equirouter.policy.pool_plans import AgreementRule, PoolPlans
from equirouter.serve.charging import model_prices
from equirouter.serve.settings import PipelineSettings
from equirouter.serve.settings_file import read_settings
from equirouter.training.fitted import FittedStage, calibrated, fit_stage, record_of
from equirouter.training.protocol import prepare

INPUT_TOKENS, OUTPUT_TOKENS = 300.0, 300.0
"""Of the call that models are compared by where nothing is known: their prices decide."""
_QUERIES = 60
_STRONGEST, _OTHERS = 0.95, 0.5


@dataclass(frozen=True)
class Started:
    """A pipeline that learned nothing. pair: asked at once, of these families.

    strongest: asked where the pair differs; level: its public level, None where the user named it.
    call_usd: model -> cost of a call of 300 tokens in and 300 out. break_even: the share of queries
    on which the pair must agree so that money is saved.
    """

    pipeline: RoutingPipeline
    pair: tuple[str, str]
    families: tuple[str, str]
    strongest: str
    level: float | None
    call_usd: Mapping[str, float]
    break_even: float
    answers_by: str
    notes: tuple[str, ...]


def start(
    config: str | Path,
    *,
    answers_by: str,
    strongest: str | None = None,
    pair: Sequence[str] | None = None,
) -> Started:
    """Make a pipeline of a gateway's pool alone, by the agreement rule.

    config: gateway.toml. answers_by: how final answers are read out of responses, so that two can
    be compared. strongest, pair: models of the pool; else by public level, and by price and family.
    Raises ConfigError where these do not say which models to take.
    """
    extractor = make_extractor(answers_by).name
    settings = read_settings(config)
    settings = settings.model_copy(update={"pipeline": PipelineSettings()})  # there is none yet
    models = tuple(check_models(settings, None))
    if len(models) < 3:
        raise ConfigError(
            f"the pool has {len(models)} models that chat, and three are needed: two cheap ones "
            "that are compared, and the strongest"
        )
    prices = model_prices(settings)
    call_usd = {name: _call_usd(prices[name]) for name in models}
    upstream = {name: settings.models[name].upstream_model or name for name in models}
    best = _strongest(models, upstream, call_usd, strongest)
    two, notes = _pair(models, upstream, call_usd, best, pair)
    break_even = sum(call_usd[name] for name in two) / call_usd[best]
    if break_even >= 1:
        raise ConfigError(
            f"{two[0]} and {two[1]} together cost as much as {best} ({break_even:.0%} of it), so "
            "the rule cannot save money; name a cheaper pair (--pair), or another strongest model"
        )
    pipeline = _pipeline(models, prices, call_usd, best, two, extractor)
    return Started(
        pipeline,
        two,
        (family_of(upstream[two[0]]), family_of(upstream[two[1]])),
        best,
        None if strongest is not None else level_of(upstream[best]),
        call_usd,
        break_even,
        extractor,
        notes,
    )


def _call_usd(price: Price) -> float:
    return float(costs_usd(price, np.array([INPUT_TOKENS]), np.array([OUTPUT_TOKENS]))[0])


def _strongest(
    models: Sequence[str],
    upstream: Mapping[str, str],
    call_usd: Mapping[str, float],
    named: str | None,
) -> str:
    """The model named, or that of the highest public level. Raises ConfigError."""
    if named is not None:
        return _known([named], models)[0]
    levels = {name: level for name in models if (level := level_of(upstream[name])) is not None}
    best = max(levels, key=lambda name: (levels[name], call_usd[name]), default=None)
    unknown = [name for name in models if name not in levels]
    above = [name for name in unknown if best is None or call_usd[name] > call_usd[best]]
    if best is None or above:
        raise ConfigError(
            f"no public level is known of {', '.join(above)} ({measure()}), so which model is the "
            "strongest is for you to say: --strongest NAME"
        )
    same = [name for name in levels if levels[name] == levels[best] and name != best]
    if same:
        raise ConfigError(
            f"{', '.join([best, *same])} have the same public level: name the strongest "
            "(--strongest NAME)"
        )
    return best


def _pair(
    models: Sequence[str],
    upstream: Mapping[str, str],
    call_usd: Mapping[str, float],
    strongest: str,
    named: Sequence[str] | None,
) -> tuple[tuple[str, str], tuple[str, ...]]:
    """The pair named, or the cheapest of two families; in the order of the pool, and notes."""
    if named is not None:
        two = _known(named, models)
        if len(set(two)) != 2 or strongest in two:
            raise ConfigError(
                f"the pair is {', '.join(named)}: expected two different models, neither of them "
                f"the strongest, {strongest}"
            )
        pairs = [tuple(two)]
    else:
        others = [name for name in models if name != strongest]
        pairs = list(combinations(others, 2))
        pairs = [pair for pair in pairs if upstream[pair[0]] != upstream[pair[1]]] or pairs
        apart = [pair for pair in pairs if len({family_of(upstream[name]) for name in pair}) == 2]
        pairs = apart or pairs
    first, second = min(pairs, key=lambda pair: sum(call_usd[name] for name in pair))
    notes = []
    if family_of(upstream[first]) == family_of(upstream[second]):
        notes.append(
            f"{first} and {second} are of one family: relatives err alike, and their agreement is "
            "worth less; a cheap model of another family in the pool would be better"
        )
    ordered = sorted((first, second), key=models.index)
    return (ordered[0], ordered[1]), tuple(notes)


def _known(names: Sequence[str], models: Sequence[str]) -> list[str]:
    unknown = [name for name in names if name not in models]
    if unknown:
        raise ConfigError(f"{', '.join(unknown)}: not in the pool, which is {', '.join(models)}")
    return list(names)


def _pipeline(
    models: tuple[str, ...],
    prices: Mapping[str, Price],
    call_usd: Mapping[str, float],
    strongest: str,
    pair: tuple[str, str],
    extractor: str,
) -> RoutingPipeline:
    """The rule as a pipeline: every query alike, costs by price, and no promise of its own."""
    table = _nothing_known(models, call_usd, strongest)
    encoder = make_encoder("lexical")
    embeddings = encoder.encode(table.texts)
    rows = np.arange(table.n_queries)
    split = Split("in-domain", 0, (1, 1, 1), rows, rows, rows, table.query_ids)
    prepared = prepare(table, embeddings, split, device="cpu")
    fitted = fit_stage(prepared, encoder, "linear", seed=split.seed, device="cpu")
    fitted = _without_claims(fitted)
    best = models.index(strongest)
    calibration, baseline, _ = calibrated(fitted, "utility", models, best)
    first, second = map(models.index, pair)
    return RoutingPipeline(
        stage=fitted.stage,
        models=models,
        calibration=calibration,
        policy="utility",
        quality=1.0,
        provenance=Provenance(
            {
                "name": "no outcomes",
                "fingerprint": table.fingerprint,
                "n_queries": 0,
                "n_models": len(models),
                "notes": [
                    "made by equirouter start from a pool alone: the agreement rule, which has "
                    "learned nothing; scores and shares in this pipeline measure nothing"
                ],
            },
        ),
        baseline=baseline,
        prices=[ModelPrice(name, prices[name], prices[name]) for name in models],
        record=record_of(fitted, None),
        plans=PoolPlans(extractor, Plans(len(models)), AgreementRule((first, second), best)),
    )


def _nothing_known(
    models: tuple[str, ...], call_usd: Mapping[str, float], strongest: str
) -> Outcomes:
    """A table in which all queries are alike: the strongest is best, then the more expensive."""
    by_price = sorted(models, key=lambda name: (name == strongest, call_usd[name]))
    level = {name: _OTHERS * (1 + place) / len(models) for place, name in enumerate(by_price)}
    level[strongest] = _STRONGEST
    texts = tuple(f"{PROBES[row % len(PROBES)]} ({row})" for row in range(_QUERIES))
    return Outcomes(
        query_ids=tuple(map(str, range(_QUERIES))),
        texts=texts,
        tasks=("all",) * _QUERIES,
        models=models,
        performance=np.tile([level[name] for name in models], (_QUERIES, 1)),
        cost_usd=np.tile([call_usd[name] for name in models], (_QUERIES, 1)),
        name="no outcomes",
    )


def _without_claims(fitted: FittedStage) -> FittedStage:
    """The stage without what it would say of confidence, and of queries that are unusual."""
    stage = fitted.stage
    familiar = replace(stage.familiar, threshold=_FARTHEST)
    stage = replace(stage, certainty=Certainty(0.0, 0.0, 0.0, 0.0, 1.0), familiar=familiar)
    return replace(fitted, stage=stage)


_FARTHEST = 3.0
"""Vectors of length 1 are no farther apart than 2: no query is called unusual."""


_TABLE = Path(__file__).with_name("public_levels.toml")


@cache
def _table() -> Mapping[str, Any]:
    return tomllib.loads(_TABLE.read_text("utf-8"))


def measure() -> str:
    """The measure of the levels, and the day on which they were read."""
    return f"{_table()['measure']}, {_table()['as_of']}"


def family_of(model: str) -> str:
    """The family of a model by its name at the provider; of an unknown one the name itself."""
    name = _plain(model)
    for family, patterns in _table()["families"].items():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            return str(family)
    return name


def level_of(model: str) -> float | None:
    """The public level of a model by its name at the provider, None where it has none."""
    name = _plain(model)
    levels: Mapping[str, float] = _table()["levels"]
    return next((level for pattern, level in levels.items() if fnmatchcase(name, pattern)), None)


def _plain(model: str) -> str:
    return model.rpartition("/")[2].lower()
