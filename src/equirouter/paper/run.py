"""Experiments by name: what came out, and what could not be made of this data set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from equirouter.errors import DataError
from equirouter.paper.base import Section
from equirouter.paper.context import Context
from equirouter.registry import EXPERIMENTS

__all__ = ["NotRun", "Paper", "experiments", "run_experiments"]

Experiment: TypeAlias = Callable[[Context], Section]


@dataclass(frozen=True)
class NotRun:
    """An experiment that this data set cannot give, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Paper:
    """The sections in the order they were asked for, and the experiments that have none."""

    sections: tuple[Section, ...]
    not_run: tuple[NotRun, ...]


def experiments(names: Sequence[str]) -> dict[str, Experiment]:
    """The experiments of these names, each once; "all" stands for every one.

    Raises UnknownNameError with the nearest name.
    """
    chosen: dict[str, Experiment] = {}
    for name in names:
        chosen |= EXPERIMENTS.load_all() if name == "all" else {name: EXPERIMENTS.load(name)}
    return chosen


def run_experiments(
    names: Sequence[str], context: Context, *, on_section: Callable[[Section], None] | None = None
) -> Paper:
    """Run experiments one after the other on one context.

    on_section: is given each section as soon as it is there. An experiment that raises DataError,
    because the table lacks what it needs, is listed with the reason and the others go on; if it is
    the only one, the error is raised.
    """
    wanted = experiments(names)
    sections: list[Section] = []
    not_run: list[NotRun] = []
    for name, experiment in wanted.items():
        context.progress("experiments", len(sections) + len(not_run), len(wanted))
        try:
            section = experiment(context)
        except DataError as error:
            if len(wanted) == 1:
                raise
            not_run.append(NotRun(name, str(error)))
            continue
        if on_section is not None:
            on_section(section)
        sections.append(section)
    context.progress("experiments", len(wanted), len(wanted))
    return Paper(tuple(sections), tuple(not_run))
