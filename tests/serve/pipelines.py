"""Small saved pipelines whose encoder can be stopped in the middle of its work."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from equirouter.arrays import Float32Array
from equirouter.evaluation.train import train
from equirouter.progress import Progress
from equirouter.serve.watch.prometheus import Metrics
from tests.toys import HashingEncoder, make_table

MODELS = ("small", "middle", "large")
LONG = " word" * 4000
"""So long that the thread decides it, however quick the encoder is."""


class GatedEncoder(HashingEncoder):
    """Remembers what it read. At a text with "stop" in it, it stops until the gate is opened.

    The content of an image counts as a word.
    """

    name = "gated"
    accepts_images = True
    gate: ClassVar[threading.Event] = threading.Event()
    has_stopped: ClassVar[threading.Event] = threading.Event()
    batches: ClassVar[list[tuple[str, ...]]] = []

    def embed(
        self, texts: tuple[str, ...], images: tuple[str | None, ...], progress: Progress
    ) -> Float32Array:
        self.batches.append(tuple(text[:40].split(" word")[0] for text in texts))
        if any("stop" in text for text in texts):
            self.has_stopped.set()
            assert self.gate.wait(30)
        words = ["" if path is None else Path(path).read_text("utf-8") for path in images]
        return super().embed(
            tuple(f"{text} {word}" for text, word in zip(texts, words, strict=True)),
            images,
            progress,
        )

    @classmethod
    @contextmanager
    def closed(cls) -> Iterator[None]:
        """Within it the gate is shut; it is opened at the end, whatever happens."""
        cls.gate.clear()
        cls.has_stopped.clear()
        cls.batches.clear()
        try:
            yield
        finally:
            cls.gate.set()


def save_pipeline(folder: Path, **options: Any) -> Path:
    """A pipeline on the models of MODELS; options of train."""
    GatedEncoder.gate.set()
    settings: dict[str, Any] = {"router": "knn:k=5", "quality": 0.2, "policy": "utility"} | options
    return train(make_table(), GatedEncoder(), **settings).save(folder)


class CountedMetrics(Metrics):
    """Remembers what was counted."""

    def __init__(self) -> None:
        super().__init__(models=(), upstreams=())
        self.batches: list[int] = []
        self.depths: list[int] = []
        self.reloads: list[bool] = []
        self.failures = 0
        self.collapses: dict[str, tuple[float, float | None, bool]] = {}

    def queued(self, depth: int) -> None:
        self.depths.append(depth)

    def batched(self, size: int) -> None:
        self.batches.append(size)

    def reloaded(self, *, taken: bool) -> None:
        self.reloads.append(taken)

    def router_failed(self) -> None:
        self.failures += 1

    def collapse(self, class_: str, *, share: float, expected: float | None, alarm: bool) -> None:
        self.collapses[class_] = (share, expected, alarm)
