"""A model's word on answers when a check asks it: a signal, kept with the grades."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from equirouter.checks import Response
from equirouter.checks.model_calls import COST, AskingCheck
from equirouter.labelling.collection_store import Collection, KeptGrade
from equirouter.labelling.graders.base import Case
from equirouter.labelling.graders.verdicts import ask_for_verdicts
from equirouter.labelling.pool_models import PoolModels
from equirouter.progress import Progress
from equirouter.serve.records import usd

AskedSignal: TypeAlias = Mapping[tuple[str, str], float]
"""(query_id, model) -> from 0 to 1; what is not known is left out."""


def asked_signal(
    name: str,
    check: AskingCheck,
    cases: Sequence[Case],
    collection: Collection,
    models: PoolModels,
    progress: Progress,
) -> dict[str, AskedSignal]:
    """Ask about every answer that has a text and is of another model, and keep what is said.

    What the collection knows of this check is not paid for again. As in the gateway, but for its
    limit of the price: here the limit of the collection holds. The signal, and what it cost: each
    answer as if it had been asked about alone.
    """
    key = _key(check)
    known = {of: grade for of, grade in collection.grades(key).items() if grade.score is not None}
    places: dict[str, list[tuple[str, str]]] = defaultdict(list)  # equal prompts are one question
    for case in cases:
        of = (case.query_id, case.model)
        is_own = models.is_same(check.model, case.model)
        if of not in known and case.answer.strip() and not is_own:
            places[check.prompt(Response(case.query, case.answer, case.finish_reason))].append(of)
    prompts = list(places)
    n_heard = 0

    def heard(place: int, value: float | None) -> None:
        nonlocal n_heard
        n_heard += 1
        progress("check", n_heard, len(prompts))
        if value is not None:
            cost_nusd, whose = models.latest_nusd, places[prompts[place]]
            kept = {of: KeptGrade(key, *of, value, cost_nusd=cost_nusd) for of in whose}
            known.update(kept)
            collection.keep_grades([*kept.values()])

    ask_for_verdicts(models, [(check.model, prompt) for prompt in prompts], check.read, heard)
    costs = {of: grade.cost_nusd for of, grade in known.items()}
    return {
        name: {of: grade.score for of, grade in known.items() if grade.score is not None},
        name + COST: {of: usd(cost) for of, cost in costs.items() if cost is not None},
    }


def _key(check: AskingCheck) -> str:
    """Equal for checks that ask the same: class, settings, and the words of the prompt."""
    names = getattr(check, "__dataclass_fields__", ())
    settings = {name: getattr(check, name) for name in names}
    words = check.prompt(Response("", ""))
    given = json.dumps(settings, sort_keys=True, default=str)
    return f"check {type(check).__name__} {given} {words}"
