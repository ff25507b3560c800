"""Which queries people are shown: those on which graders and answers differ come first, by chance.

Each query has a weight w and a key -log(u) / w, with u from a hash of its id; the smallest keys are
shown first. Given the smallest key that is not shown, t, a query was shown with the probability
1 - exp(-w t), whatever became of the others: so means over what was labelled can be made means over
all. Source: Cohen and Kaplan 2007, bottom-k sketches.
"""

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from equirouter.labelling.collection_store import Collection, KeptAnswer

_LEAST = 0.1
MOST_ANSWERS = 6
"""Answers to one query that are shown; of more a random choice."""
_WEIGHTS, _SKIPPED = "review weights", "review skipped"


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer as people see it: a text, and the models that gave it, which they do not see."""

    text: str
    models: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """The order of the queries.

    weights: query_id -> w. shown: query_id -> answers, shuffled; shares: of its answers, how many
    those are.
    """

    weights: Mapping[str, float]
    shown: Mapping[str, tuple[Shown, ...]]
    shares: Mapping[str, float]
    skipped: frozenset[str]

    @property
    def order(self) -> list[str]:
        """The query_ids as they are shown, without those that were skipped."""
        left = (name for name in self.weights if name not in self.skipped)
        return sorted(left, key=lambda name: key_of(name, self.weights[name]))

    def chances(self, done: frozenset[str]) -> dict[str, float]:
        """The probability that an answer was labelled, of each query of the sample.

        done: the queries that are labelled; the sample are those before the first that is not.
        """
        sampled: list[str] = []
        limit = math.inf
        for name in self.order:
            if name not in done:
                limit = key_of(name, self.weights[name])
                break
            sampled.append(name)
        return {name: chance(self.weights[name], limit) * self.shares[name] for name in sampled}


def choose(collection: Collection) -> Choice:
    """The order of a collection; the weights are fixed when it is first asked for."""
    by_query: dict[str, list[KeptAnswer]] = defaultdict(list)
    for answer in collection.answers():
        if answer.is_answer and (answer.answer or "").strip():
            by_query[answer.query_id].append(answer)
    kept = json.loads(collection.about(_WEIGHTS) or "{}")
    if not set(by_query) <= kept.keys():  # the first time, or more queries have come
        kept = _weights(collection, by_query) | kept
        collection.note(_WEIGHTS, json.dumps(kept))
    shown = {name: _shown(name, answers) for name, answers in by_query.items()}
    skipped = frozenset(json.loads(collection.about(_SKIPPED) or "[]"))
    shares = {
        name: len(texts) / len({(answer.answer or "").strip() for answer in by_query[name]})
        for name, texts in shown.items()
    }
    return Choice({name: kept[name] for name in by_query}, shown, shares, skipped)


def skip(collection: Collection, query_id: str) -> None:
    """Show a query no more: it is left out of all means."""
    skipped = set(json.loads(collection.about(_SKIPPED) or "[]"))
    collection.note(_SKIPPED, json.dumps(sorted(skipped | {query_id})))


def key_of(query_id: str, weight: float) -> float:
    """The key of a query, of an exponential distribution with that rate; the same each time."""
    number = int.from_bytes(hashlib.sha256(f"review {query_id}".encode()).digest()[:8], "big")
    return -math.log((number + 1) / (2**64 + 1)) / weight


def chance(weight: float, limit: float) -> float:
    """The probability that a query of that weight has a key below the limit."""
    return -math.expm1(-weight * limit) if math.isfinite(limit) else 1.0


def _weights(
    collection: Collection, by_query: Mapping[str, Sequence[KeptAnswer]]
) -> dict[str, float]:
    """From _LEAST, where all agree, to 1."""
    scores: dict[tuple[str, str], list[float]] = defaultdict(list)
    for grade in collection.all_grades():
        if grade.score is not None:
            scores[grade.query_id, grade.model].append(grade.score)
    return {
        name: _LEAST + (1 - _LEAST) * _disagreement(answers, scores)
        for name, answers in by_query.items()
    }


def _disagreement(
    answers: Sequence[KeptAnswer], known_scores: Mapping[tuple[str, str], Sequence[float]]
) -> float:
    """From 0 to 1: of graders on an answer, and of a grader with itself; else of the answers."""
    parts = []
    for answer in answers:
        scores = known_scores.get((answer.query_id, answer.model), ())
        if scores:
            mean = sum(scores) / len(scores)
            parts.append(max(4 * mean * (1 - mean), max(scores) - min(scores)))
    if parts:
        return sum(parts) / len(parts)
    texts = [" ".join((answer.answer or "").split()).casefold() for answer in answers]
    return 1 - max(texts.count(text) for text in texts) / len(texts)


def _shown(query_id: str, answers: Sequence[KeptAnswer]) -> tuple[Shown, ...]:
    """The different texts, in an order that depends on no model; at most MOST_ANSWERS."""
    models: dict[str, list[str]] = defaultdict(list)
    for answer in answers:
        models[(answer.answer or "").strip()].append(answer.model)

    def place(text: str) -> bytes:
        return hashlib.sha256(f"{query_id} {text}".encode()).digest()

    order = sorted(models, key=place)[:MOST_ANSWERS]
    return tuple(Shown(text, tuple(models[text])) for text in order)
