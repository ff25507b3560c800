"""A log in figures: counted while it is read, said as a document or as lines."""

import unicodedata
from array import array
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np

from equirouter.data.logs.base import LoggedRequest
from equirouter.labelling.intake.alike import ALIKE, said_rule
from equirouter.words import number_of

_SHOWN = 12
_QUANTILES = {"p10": 0.1, "median": 0.5, "p90": 0.9, "longest": 1.0}


@dataclass(slots=True)
class LogSummary:
    """Counts of requests; of a whole log, whatever is drawn from it.

    n_same_words, n_alike: requests that were folded into a query before them, for the same words or
    for a text that is alike. left_out: why -> how many records. characters: lengths of the
    texts that are routed on.
    """

    n_files: Counter[str] = field(default_factory=Counter)
    n_requests: int = 0
    n_queries: int = 0
    n_same_words: int = 0
    n_alike: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)
    writing: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    cost_usd: Counter[str] = field(default_factory=Counter)
    characters: "array[int]" = field(default_factory=lambda: array("q"))
    input_tokens: int = 0
    output_tokens: int = 0
    n_tokens: int = 0
    n_costs: int = 0
    n_answered: int = 0
    n_feedback: int = 0
    feedback: float = 0.0
    first_at: float | None = None
    last_at: float | None = None

    def add(self, request: LoggedRequest, text: str) -> None:
        """Count a request; text: what is routed on."""
        self.n_requests += 1
        self.characters.append(len(text))
        self.writing[writing_system(text)] += 1
        self.tasks[request.task or "all"] += 1
        self.models[request.model or "not known"] += 1
        self.n_answered += request.answer is not None
        if request.input_tokens is not None and request.output_tokens is not None:
            self.n_tokens += 1
            self.input_tokens += request.input_tokens
            self.output_tokens += request.output_tokens
        if request.cost_usd is not None:
            self.n_costs += 1
            self.cost_usd[request.model or "not known"] += request.cost_usd  # type: ignore[assignment]
        if request.feedback is not None:
            self.n_feedback += 1
            self.feedback += request.feedback
        if request.asked_at is not None:
            self.first_at = min(request.asked_at, self.first_at or request.asked_at)
            self.last_at = max(request.asked_at, self.last_at or request.asked_at)

    def document(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        return {
            "files": dict(self.n_files),
            "n_requests": self.n_requests,
            "n_queries": self.n_queries,
            "folded": {
                "same_words": self.n_same_words,
                "alike": self.n_alike,
                "alike_from": ALIKE,
            },
            "left_out": dict(self.left_out),
            "tasks": dict(self.tasks.most_common()),
            "writing_systems": dict(self.writing.most_common()),
            "models": {
                model: {"n_requests": n, "cost_usd": self.cost_usd.get(model)}
                for model, n in self.models.most_common()
            },
            "characters": self._lengths(),
            "input_tokens": self.input_tokens if self.n_tokens else None,
            "output_tokens": self.output_tokens if self.n_tokens else None,
            "cost_usd": sum(self.cost_usd.values()) if self.n_costs else None,
            "n_with_tokens": self.n_tokens,
            "n_with_cost": self.n_costs,
            "n_answered": self.n_answered,
            "n_with_feedback": self.n_feedback,
            "mean_feedback": self.feedback / self.n_feedback if self.n_feedback else None,
            "first_at": self.first_at,
            "last_at": self.last_at,
        }

    def lines(self) -> list[str]:
        """All of it for people."""
        formats = ", ".join(f"{number_of(n, 'file')} ({name})" for name, n in self.n_files.items())
        lengths = ", ".join(f"{name} {value}" for name, value in self._lengths().items())
        return [
            f"read {formats}: {number_of(self.n_requests, 'request')}",
            f"{number_of(self.n_queries, 'query', 'queries')}; folded into them: "
            f"{self.n_same_words} with the same words, {self.n_alike} with a similar last turn",
            *([f"alike are texts that share {said_rule()}"] if self.n_alike else []),
            *(f"left out, {why}: {n}" for why, n in self.left_out.most_common()),
            *([f"asked: {_day(self.first_at)} to {_day(self.last_at)}"] if self.first_at else []),
            f"length of the texts in characters: {lengths}",
            f"written in: {self._counted(self.writing)}",
            f"tasks: {self._counted(self.tasks)}",
            f"models: {self._counted(self.models)}",
            f"answered: {self.n_answered}; with feedback: {self.n_feedback}"
            + (f" (mean {self.feedback / self.n_feedback:.2f})" if self.n_feedback else ""),
            *self._money(),
        ]

    def _money(self) -> list[str]:
        known = []
        if self.n_tokens:
            known.append(
                f"tokens: {self.input_tokens} in, {self.output_tokens} out, of "
                f"{number_of(self.n_tokens, 'request')}"
            )
        if self.n_costs:
            total = sum(self.cost_usd.values())
            known.append(f"cost: {total:.6g} USD, of {number_of(self.n_costs, 'request')}")
        return known

    def _lengths(self) -> dict[str, int]:
        if not self.characters:
            return {}
        lengths = np.frombuffer(self.characters, dtype=np.int64)
        return {name: int(np.quantile(lengths, share)) for name, share in _QUANTILES.items()}

    def _counted(self, counts: "Counter[str]") -> str:
        shown = [f"{name} {n}" for name, n in counts.most_common(_SHOWN)]
        more = len(counts) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "")


def _day(moment: float | None) -> str:
    return "" if moment is None else datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M")


_LOOKED_AT = 400
_NAMED = {"CJK": "Han", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Hangul"}


def writing_system(text: str) -> str:
    """That of most letters at the beginning of a text: "Latin", "Cyrillic", "Han", ...

    Kana make a text Japanese, whatever else is in it; "none" has no letters. English and German are
    both Latin.
    """
    counts = Counter(filter(None, map(_of_letter, text[:_LOOKED_AT])))
    if "Japanese" in counts:
        return "Japanese"
    return counts.most_common(1)[0][0] if counts else "none"


@lru_cache(maxsize=4096)
def _of_letter(letter: str) -> str | None:
    """The first word of a letter's name in Unicode, which is its writing system."""
    if not letter.isalpha():
        return None
    word = unicodedata.name(letter, "").split(" ")[0]
    return _NAMED.get(word, word.capitalize()) or None
