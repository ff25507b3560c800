"""The labels of several people: merged, and how far they agree."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TypeAlias

from equirouter.labelling.collection_store import Collection

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
