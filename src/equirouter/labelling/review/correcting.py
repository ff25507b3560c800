"""Labels of people, how far they agree, and scores of a grader corrected by them.

The grader's scores are first made to fit the labels by a straight line. A model's mean is then the
mean of its corrected scores over all queries, plus the mean error on the labelled ones, each
weighted by one over the chance that it was labelled: without bias however bad the grader is, and
narrow where it is good. Source: Angelopoulos et al. 2023, prediction-powered inference, with
weights as in Zrnic and Candes 2024.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import atanh, sqrt, tanh
from pathlib import Path
from typing import TypeAlias

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.errors import DataError
from equirouter.labelling.bias import Interval
from equirouter.labelling.collection_store import Collection
from equirouter.labelling.table import Scores

FEWEST = 10
"""Labelled queries below which nothing is corrected."""
_OF_TWO_SIDES = 1.96


@dataclass(frozen=True)
class Corrected:
    """scores: of all answers, those of people where they scored.

    means: model -> its mean over queries like these. labels: model -> the same from its labels
    alone, for comparison. correlation: of the grader's scores with the labels, None where either
    does not vary. n_queries: labelled; n_labels: answers.
    """

    scores: dict[tuple[str, str], tuple[float, str]]
    means: dict[str, Interval]
    correlation: Interval | None
    n_queries: int
    n_labels: int


def corrected(
    scores: Scores, labels: Mapping[tuple[str, str], float], chances: Mapping[str, float]
) -> Corrected:
    """Correct scores by labels. chances: query_id -> the probability that it was labelled.

    Labels of other queries take the place of scores, and correct nothing else. Raises DataError
    for fewer than FEWEST labelled queries that have scores.
    """
    sample = [key for key in labels if key[0] in chances and key in scores]
    n_queries = len({query for query, _ in sample})
    if n_queries < FEWEST:
        raise DataError(
            f"{n_queries} labelled queries have scores to correct, at least {FEWEST} are needed: "
            "label more (equirouter review), in the order in which they are shown"
        )
    given = np.array([scores[key][0] for key in sample])
    by_people = np.array([labels[key] for key in sample])
    weight = np.array([1 / chances[query] for query, _ in sample])
    slope, level = _line(given, by_people, weight)
    fitted = {key: (level + slope * score, by) for key, (score, by) in scores.items()}
    means, shifts = {}, {}
    for model in dict.fromkeys(model for _, model in scores):
        means[model], shifts[model] = _mean(model, fitted, labels, chances)
    shrunk = _shrunk(shifts)
    new = {
        key: (float(np.clip(value + shrunk[key[1]], 0.0, 1.0)), f"{by}+labels")
        for key, (value, by) in fitted.items()
    }
    new |= {key: (label, "person") for key, label in labels.items()}
    return Corrected(new, means, _correlation(given, by_people), n_queries, len(sample))


def _line(given: FloatArray, by_people: FloatArray, weight: FloatArray) -> tuple[float, float]:
    """Slope and level of the line through weighted labels; flat where the scores do not vary."""
    total = weight.sum()
    mean_given, mean_said = (weight @ given) / total, (weight @ by_people) / total
    spread = float(weight @ (given - mean_given) ** 2)
    slope = (
        float(weight @ ((given - mean_given) * (by_people - mean_said))) / spread if spread else 0.0
    )
    return slope, float(mean_said - slope * mean_given)


def _mean(
    model: str,
    fitted: Scores,
    labels: Mapping[tuple[str, str], float],
    chances: Mapping[str, float],
) -> tuple[Interval, tuple[float, float]]:
    """A model's mean, and the shift of its scores with the variance of that."""
    values = np.array([value for (_, other), (value, _) in fitted.items() if other == model])
    n = len(values)
    rows = [key for key in labels if key[1] == model and key[0] in chances and key in fitted]
    errors = np.array([labels[key] - fitted[key][0] for key in rows])
    chance = np.array([chances[key[0]] for key in rows])
    if not len(rows):
        return Interval(float(values.mean()), 0.0, 1.0, 0), (0.0, np.inf)
    # weights that add up to one: less noise than dividing by n, and as good in large samples
    shares = (1 / chance) / (1 / chance).sum()
    shift = float(shares @ errors)
    variance = float((shares**2) @ (errors - shift) ** 2) * len(rows) / max(len(rows) - 1, 1)
    of_queries = float(values.var()) + float(shares @ (errors - shift) ** 2)
    mean = float(values.mean()) + shift
    half = _OF_TWO_SIDES * sqrt(variance + of_queries / n)
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half), len(rows)), (
        shift,
        variance,
    )


def _shrunk(shifts: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Shifts of the models, each drawn towards 0 by as much as it may be chance."""
    known = [(shift, variance) for shift, variance in shifts.values() if np.isfinite(variance)]
    between = max(0.0, float(np.mean([shift**2 - variance for shift, variance in known])))
    return {
        model: shift * between / (between + variance) if between and np.isfinite(variance) else 0.0
        for model, (shift, variance) in shifts.items()
    }


def _correlation(given: FloatArray, by_people: FloatArray) -> Interval | None:
    if len(given) < 5 or not given.std() or not by_people.std():
        return None
    correlation = float(np.corrcoef(given, by_people)[0, 1])
    half = _OF_TWO_SIDES / sqrt(len(given) - 3)
    middle = atanh(float(np.clip(correlation, -0.999999, 0.999999)))
    return Interval(correlation, tanh(middle - half), tanh(middle + half), len(given))


Label: TypeAlias = tuple[str, str, str, float]
"""(person, query_id, model, score)."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of two people on the answers that both scored.

    equal: share of equal scores. difference: mean of how far they are apart. kappa: agreement
    beyond chance, Cohen 1960; None where both always say the same one thing.
    """

    one: str
    other: str
    n: int
    equal: float
    difference: float
    kappa: float | None


def merged(labels: Iterable[Label]) -> dict[tuple[str, str], float]:
    """(query_id, model) -> the mean of what people said."""
    scores_of: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _, query_id, model, score in labels:
        scores_of[query_id, model].append(score)
    return {key: sum(scores) / len(scores) for key, scores in scores_of.items()}


def agreements(labels: Sequence[Label]) -> list[Agreement]:
    """Of each two people who scored the same answers."""
    by: dict[str, dict[tuple[str, str], float]] = defaultdict(dict)
    for person, query_id, model, score in labels:
        by[person][query_id, model] = score
    agreements_ = []
    for one, other in combinations(sorted(by), 2):
        both = sorted(by[one].keys() & by[other].keys())
        if both:
            pairs = [(by[one][key], by[other][key]) for key in both]
            agreements_.append(_agreement(one, other, pairs))
    return agreements_


def _agreement(one: str, other: str, pairs: Sequence[tuple[float, float]]) -> Agreement:
    n = len(pairs)
    equal = sum(a == b for a, b in pairs) / n
    scores = {score for pair in pairs for score in pair}
    by_chance = sum(
        sum(a == score for a, _ in pairs) * sum(b == score for _, b in pairs) for score in scores
    ) / (n * n)
    kappa = None if by_chance == 1 else (equal - by_chance) / (1 - by_chance)
    return Agreement(one, other, n, equal, sum(abs(a - b) for a, b in pairs) / n, kappa)


def take_labels(collection: Collection, other: str | Path) -> int:
    """Take the labels out of another copy of the folder; returns how many were new or changed."""
    known = {label[:3]: label[3] for label in collection.labels()}
    with Collection.open(other) as copy:
        new = [label for label in copy.labels() if known.get(label[:3]) != label[3]]
    for label in new:
        collection.label(*label)
    return len(new)
