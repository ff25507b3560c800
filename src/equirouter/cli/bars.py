"""Progress bars on stderr."""

import sys
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

SHOW_AFTER_SECONDS = 2.0


class Bars:
    """One bar per stage, drawn only once the stage has lasted; rich is imported only then.

    A context manager: its end leaves the bars as they stand. quiet: draw none.
    """

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.started: dict[str, float] = {}
        self.tasks: dict[str, TaskID] = {}
        self.bar: Bar | None = None
        self.remark = ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Move the bar of a stage on."""
        if self.quiet:
            return
        begun = self.started.setdefault(stage, time.monotonic())
        if stage not in self.tasks:
            if time.monotonic() - begun < SHOW_AFTER_SECONDS or done >= total:
                return
            if self.bar is None:
                self.bar = _make_bar()
                self.bar.start()
            self.tasks[stage] = self.bar.add_task(stage, total=total, remark=self.remark)
        if self.bar is not None:
            task = self.tasks[stage]
            self.bar.update(task, completed=done, total=total, remark=self.remark)

    def spent(self, amount_usd: float) -> None:
        """Put an amount behind the bar that moves next."""
        self.remark = f"{amount_usd:.4f} USD"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()


def _make_bar() -> "Bar":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        """Steps per second."""

        def render(self, task: Any) -> Text:  # noqa: ANN401
            return Text(f"{task.speed:.1f}/s" if task.speed else "")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TextColumn("elapsed"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}"),
        console=Console(file=sys.stderr),
    )
