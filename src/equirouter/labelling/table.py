"""An outcomes table out of answers and their scores."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np

from equirouter.answers import Extractor
from equirouter.arrays import FloatArray
from equirouter.checks import Response, ResponseCheck
from equirouter.data.cells import TextCells
from equirouter.data.outcomes import Outcomes
from equirouter.labelling.collection_store import KeptAnswer, KeptQuery
from equirouter.serve.records import usd_or_none

EMPTY = "empty"
"""Who scored an answer without a text, 0, and why such an answer ended."""

AskedSignal: TypeAlias = Mapping[tuple[str, str], float]
"""(query_id, model) -> from 0 to 1; what is not known is left out."""

Scores: TypeAlias = Mapping[tuple[str, str], tuple[float, str]]
"""(query_id, model) -> score, and who scored."""


def outcomes_of(
    queries: Sequence[KeptQuery],
    models: Sequence[str],
    answers: Mapping[tuple[str, str], KeptAnswer],
    scores: Scores,
    *,
    read: Extractor | None,
    checks: Mapping[str, ResponseCheck],
    asked: Mapping[str, AskedSignal],
    name: str,
) -> Outcomes:
    """The outcomes of these queries and models; a call that brought no answer is not known.

    read: the extractor of final answers, None to leave answers out. checks: signal -> who says it;
    asked: signal -> what models said.
    """
    ordered = sorted(queries, key=lambda query: query.place)
    grid = [
        [_answered(answers.get((asked_query.query_id, model))) for model in models]
        for asked_query in ordered
    ]

    def texts(of: Callable[[KeptAnswer], str | None]) -> TextCells:
        return TextCells.of(
            [[None if answer is None else of(answer) for answer in row] for row in grid]
        )

    def numbers(of: Callable[[KeptAnswer], float | None]) -> FloatArray:
        cells = [[None if answer is None else of(answer) for answer in row] for row in grid]
        return np.array(cells, dtype=np.float64).reshape(len(grid), len(models))  # None is NaN

    text_of = {query.query_id: query.query for query in ordered}

    def signal(check: ResponseCheck, answer: KeptAnswer) -> float | None:
        return check(Response(text_of[answer.query_id], answer.answer or "", answer.finish_reason))

    def known(signal_: AskedSignal, answer: KeptAnswer) -> float | None:
        return signal_.get((answer.query_id, answer.model))

    def score(answer: KeptAnswer) -> tuple[float | None, str | None]:
        return scores.get((answer.query_id, answer.model), (None, None))

    return Outcomes(
        query_ids=tuple(query.query_id for query in ordered),
        texts=tuple(query.query for query in ordered),
        tasks=tuple(query.task or "all" for query in ordered),
        models=tuple(models),
        performance=numbers(lambda asked_query: score(asked_query)[0]),
        cost_usd=numbers(lambda asked_query: usd_or_none(asked_query.cost_nusd)),
        input_tokens=numbers(lambda asked_query: asked_query.input_tokens),
        output_tokens=numbers(lambda asked_query: asked_query.output_tokens),
        answers=None if read is None else texts(lambda asked_query: read(asked_query.answer or "")),
        answers_by=None if read is None else read.name,
        finish_reasons=texts(_finish),
        signals={which: numbers(partial(signal, check)) for which, check in checks.items()}
        | {which: numbers(partial(known, values)) for which, values in asked.items()},
        scored_by=texts(lambda asked_query: score(asked_query)[1]),
        name=name,
    )


def _answered(answer: KeptAnswer | None) -> KeptAnswer | None:
    return answer if answer is not None and answer.is_answer else None


def _finish(answer: KeptAnswer) -> str | None:
    is_empty = not (answer.answer or "").strip()
    return EMPTY if is_empty and answer.finish_reason in (None, "stop") else answer.finish_reason
