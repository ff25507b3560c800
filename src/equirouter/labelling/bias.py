"""How a judge errs: with the length of an answer, and with the order in which two are shown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log2, sqrt

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.labelling.graders.base import Case, Grade
from equirouter.labelling.graders.compare import order_verdicts

_OF_TWO_SIDES = 1.96


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its interval of 95 %, over n of something."""

    mean: float
    low: float
    high: float
    n: int


def length_slope(cases: Sequence[Case], scores: Sequence[float | None]) -> Interval | None:
    """How much a score rises when an answer is twice as long, among answers to one query.

    Longer answers may be better: where scores are known, pass the errors of the judge in their
    place. The interval is over queries (one cluster each). None where lengths do not differ.
    """
    rows: dict[str, list[tuple[float, float]]] = {}
    for case, score in zip(cases, scores, strict=True):
        if score is not None and case.answer:
            rows.setdefault(case.query_id, []).append((log2(len(case.answer)), score))
    centred = [_centred(np.array(pairs)) for pairs in rows.values() if len(pairs) > 1]
    if len(centred) < 2:
        return None
    total = sum(float((pairs[:, 0] ** 2).sum()) for pairs in centred)
    if total == 0:
        return None
    slope = sum(float((pairs[:, 0] * pairs[:, 1]).sum()) for pairs in centred) / total
    spread = sqrt(sum(float((p[:, 0] * (p[:, 1] - slope * p[:, 0])).sum()) ** 2 for p in centred))
    half = _OF_TWO_SIDES * spread / total
    return Interval(slope, slope - half, slope + half, len(centred))


def order_bias(grades: Iterable[Grade]) -> tuple[Interval, float] | None:
    """How often the answer that was shown first won, and the share of pairs judged alike twice.

    One half is fair. None where nothing was compared.
    """
    pairs = [verdicts for grade in grades if (verdicts := order_verdicts(grade.note)) is not None]
    if not pairs:
        return None
    first = np.array([(forward + other) / 2 for forward, other in pairs])
    half = _OF_TWO_SIDES * float(first.std(ddof=1)) / sqrt(len(pairs)) if len(pairs) > 1 else 0.5
    mean = float(first.mean())
    same = sum(forward == 1.0 - other for forward, other in pairs) / len(pairs)
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half), len(pairs)), same


def _centred(pairs: FloatArray) -> FloatArray:
    return np.asarray(pairs - pairs.mean(axis=0))
