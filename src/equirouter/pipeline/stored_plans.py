"""The saved form of a pipeline's plans: what pipeline.json says of them, and their arrays."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat

from equirouter.arrays import FloatArray
from equirouter.errors import PipelineError
from equirouter.policy import Calibration
from equirouter.policy.plans import Check, Columns, Gains, Plans
from equirouter.policy.pool_plans import AgreementRule, AtPrice, PoolPlans


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Rule(_Part):
    pair: tuple[str, str]
    otherwise: str
    escalates: float = Field(ge=0, le=1)


class _Learned(_Part):
    members: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    lowest: float
    highest: float
    signals: tuple[str, ...]
    check_usd: dict[str, NonNegativeFloat] = Field(default_factory=dict)
    notes: tuple[str, ...]


class StoredPlans(_Part):
    """Plans in pipeline.json. Models are named, and stand in the pipeline's order."""

    extractor: str | None
    rule: _Rule | None
    learned: _Learned
    at_prices: tuple[AtPrice, ...]
    calibration: Calibration | None

    @classmethod
    def of(cls, plans: PoolPlans, models: Sequence[str]) -> Self:
        """As they are written."""
        rule, learned = plans.rule, plans.learned

        def pair(columns: Columns) -> tuple[str, str]:
            return models[columns[0]], models[columns[1]]

        return cls(
            extractor=plans.extractor,
            rule=None
            if rule is None
            else _Rule(
                pair=pair(rule.pair), otherwise=models[rule.otherwise], escalates=rule.escalates
            ),
            learned=_Learned(
                members=tuple(models[column] for column in learned.members),
                pairs=tuple(map(pair, learned.pairs)),
                lowest=learned.lowest,
                highest=learned.highest,
                signals=learned.signals,
                check_usd={}
                if learned.check_usd is None
                else dict(zip(models, learned.check_usd.tolist(), strict=True)),
                notes=learned.notes,
            ),
            at_prices=plans.at_prices,
            calibration=plans.calibration,
        )

    def plans(self, arrays: Mapping[str, Any], models: Sequence[str]) -> PoolPlans:
        """As they were saved. Raises PipelineError for models or arrays that do not fit."""
        rule = self.rule
        return PoolPlans(
            extractor=self.extractor,
            learned=_learned(self.learned, arrays, models),
            rule=None
            if rule is None
            else AgreementRule(
                _columns(rule.pair, models),
                _columns((rule.otherwise,), models)[0],
                rule.escalates,
            ),
            at_prices=self.at_prices,
            calibration=self.calibration,
        )


def arrays_of_plans(plans: PoolPlans | None) -> dict[str, FloatArray]:
    """Learned arrays by name: none where nothing was."""
    if plans is None or plans.learned.gains is None:
        return {}
    gains = plans.learned.gains
    arrays = {"lambdas": gains.lambdas, "coef": gains.coef, "level": gains.level}
    for name, check in _named(plans.learned):
        arrays |= {f"{name}.{part}": getattr(check, part) for part in _CHECK_PARTS}
    return arrays


_CHECK_PARTS = ("centre", "spread", "weights")


def _named(plans: Plans) -> Iterator[tuple[str, Check]]:
    for columns, check in plans.checks.items():
        yield _check_name(columns), check
    for (pair, column), check in plans.more.items():
        yield _more_name(pair, column), check


def _check_name(columns: Columns) -> str:
    return f"check.{'-'.join(map(str, columns))}"


def _more_name(pair: Columns, column: int) -> str:
    return f"more.{'-'.join(map(str, pair))}.{column}"


def _columns(names: Sequence[str], models: Sequence[str]) -> Columns:
    """Raises PipelineError for an unknown or repeated name, or another order."""
    columns = tuple(models.index(name) for name in names if name in models)
    if len(columns) != len(names) or list(columns) != sorted(set(columns)):
        raise PipelineError(
            f"plans: {', '.join(names)}: expected different models of the pipeline, in its order"
        )
    return columns


def _learned(stored: _Learned, arrays: Mapping[str, Any], models: Sequence[str]) -> Plans:
    members = _columns(stored.members, models)
    pairs = tuple(_columns(pair, models) for pair in stored.pairs)
    bare = Plans(
        len(models),
        members,
        pairs,
        lowest=stored.lowest,
        highest=stored.highest,
        signals=stored.signals,
        check_usd=_check_usd(stored.check_usd, models),
        notes=stored.notes,
    )
    reader = _Reader(arrays, bare)
    plans = reader.plans() if pairs else bare
    unread = sorted(set(arrays) - reader.read)
    if unread:
        raise PipelineError(f"plans: arrays that no plan has: {', '.join(unread[:3])}")
    return plans


def _check_usd(stored: Mapping[str, float], models: Sequence[str]) -> FloatArray | None:
    if stored and set(stored) != set(models):
        raise PipelineError(f"plans.check_usd: expected {', '.join(models)}, found {[*stored]}")
    return np.array([stored[model] for model in models]) if stored else None


class _Reader:
    """Takes arrays by name, each checked against the shape that these plans have for it."""

    def __init__(self, arrays: Mapping[str, Any], bare: Plans) -> None:
        self.arrays, self.bare = arrays, bare
        self.read = set[str]()

    def plans(self) -> Plans:
        bare = self.bare
        if any(len(pair) != 2 or not set(pair) <= set(bare.members) for pair in bare.pairs):
            raise PipelineError("plans: a pair is two of the members")
        checks, more = dict[Columns, Check](), dict[tuple[Columns, int], Check]()
        for pair in bare.pairs:
            self._check_of(pair, checks)
            for column in bare.members:
                if column not in pair:
                    self._check_of(tuple(sorted((*pair, column))), checks)
                    name, width = _more_name(pair, column), bare.more_width
                    more[pair, column] = self._check(name, width, 1)
        return replace(bare, checks=checks, more=more, gains=self._gains())

    def _check_of(self, columns: Columns, into: dict[Columns, Check]) -> None:
        if columns not in into:
            width = self.bare.check_width(len(columns))
            into[columns] = self._check(_check_name(columns), width, len(columns))

    def _gains(self) -> Gains:
        lambdas = self._array("lambdas", (None,))
        if not len(lambdas) or (np.diff(lambdas) >= 0).any() or lambdas[-1] < 0:
            raise PipelineError("plans.lambdas: expected falling prices of 0 or more")
        shape = (3, len(self.bare.pairs), len(lambdas))
        coef = self._array("coef", (*shape, 2 * len(self.bare.members)))
        return Gains(lambdas, coef, self._array("level", shape))

    def _check(self, name: str, n_features: int, n_targets: int) -> Check:
        shapes = ((n_features,), (n_features,), (n_features + 1, n_targets))
        return Check(
            *(
                self._array(f"{name}.{part}", shape)
                for part, shape in zip(_CHECK_PARTS, shapes, strict=True)
            )
        )

    def _array(self, name: str, shape: tuple[int | None, ...]) -> FloatArray:
        array = self.arrays.get(name)
        if (
            array is None
            or array.dtype != np.float64
            or len(array.shape) != len(shape)
            or any(want not in (None, size) for want, size in zip(shape, array.shape, strict=True))
            or not np.isfinite(array).all()
        ):
            what = "none" if array is None else f"{array.dtype} {array.shape}"
            raise PipelineError(f"plans.{name}: expected finite float64 of {shape}, found {what}")
        self.read.add(name)
        return np.asarray(array)
