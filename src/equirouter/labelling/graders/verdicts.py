"""Questions to models until they say something that can be read, heard as soon as it is said."""

from collections.abc import Callable, Sequence

from equirouter.labelling.graders.base import Models

__all__ = ["TRIES", "ask_for_verdicts"]

TRIES = 3
"""How often a question is asked whose answers are nonsense."""


def ask_for_verdicts(
    models: Models,
    prompts: Sequence[tuple[str, str]],
    read: Callable[[str], float | None],
    heard: Callable[[int, float | None], None],
) -> None:
    """Ask (model, prompt), and again where read makes nothing of what was said.

    heard: called once for each prompt, with its place and what was read, None for nonsense.
    """
    waiting = list(range(len(prompts)))
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

        models.ask([prompts[place] for place in waiting], said)
        waiting = sorted(again)
        if not waiting:
            return
