"""Questions to models until they say something that can be read, heard as soon as it is said."""

from collections import Counter
from collections.abc import Callable, Sequence

from equirouter.labelling.graders.base import Models

TRIES = 3
"""How often a question is asked whose answers are nonsense."""
_TRIAL = 10
"""Questions to each model before the others: where none is answered, nobody pays for the rest."""
NOT_ASKED = f"not asked, as the judge's first {_TRIAL} questions brought none"


def ask_for_verdicts(
    models: Models,
    prompts: Sequence[tuple[str, str]],
    read: Callable[[str], float | None],
    heard: Callable[[int, float | None], None],
) -> frozenset[str]:
    """Ask (model, prompt), and again where read makes nothing of what was said.

    heard: called once for each prompt that was asked, with its place and what was read, None for
    nonsense. The models that said nothing but nonsense at first, and were not asked the rest.
    """
    first, rest = _trial(prompts)
    answered: set[str] = set()
    asked: set[str] = set()  # none where models only count

    def told(place: int, value: float | None) -> None:
        asked.add(prompts[place][0])
        if value is not None:
            answered.add(prompts[place][0])
        heard(place, value)

    _rounds(models, prompts, first, read, told)
    useless = frozenset(prompts[place][0] for place in rest) & asked - answered
    left = [place for place in rest if prompts[place][0] not in useless]
    _rounds(models, prompts, left, read, heard)
    return useless


def _trial(prompts: Sequence[tuple[str, str]]) -> tuple[list[int], list[int]]:
    """The places of the first prompts of each model, and the others."""
    first: list[int] = []
    rest: list[int] = []
    seen: Counter[str] = Counter()
    for place, (model, _) in enumerate(prompts):
        (first if seen[model] < _TRIAL else rest).append(place)
        seen[model] += 1
    return first, rest


def _rounds(
    models: Models,
    prompts: Sequence[tuple[str, str]],
    waiting: list[int],
    read: Callable[[str], float | None],
    heard: Callable[[int, float | None], None],
) -> None:
    for left in reversed(range(TRIES)):
        again: list[int] = []

        def said(
            place: int,
            text: str | None,
            *,
            asked: Sequence[int] = waiting,
            left: int = left,
            again: list[int] = again,
        ) -> None:
            value = None if text is None else read(text)
            if value is None and left:
                again.append(asked[place])
            else:
                heard(asked[place], value)

        if not waiting:
            return
        models.ask([prompts[place] for place in waiting], said)
        waiting = sorted(again)
