"""The simulated data set with pictures: 3,000 made-up questions about pictures drawn here."""

from pathlib import Path
from typing import Any

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.cost.prices import Price
from equirouter.data.outcomes import Outcomes
from equirouter.data.sources.simulated import Simulated, answer_costs, drawn_outcomes
from equirouter.data.sources.simulated_texts import standardised
from equirouter.extras import Need, require
from equirouter.output import atomic_write, cache_dir, make_folder
from equirouter.progress import Progress

VERSION = 3  # raised by every change of the pictures
SIZE = 224  # pixels of each side
HIDDEN = 0.3  # share of a difficulty's variance that neither the text nor the picture shows
IMAGE_TOKENS = 260  # charged for a picture, beside the text

TASKS = ("counting", "charts", "locating")
OUTPUT_TOKENS = (60, 110, 90)  # median of an answer, per task
# per task from one look to many steps
_QUESTIONS = (
    "How many shapes are there? | How many {colour} shapes are there? | How many more {colour} "
    "shapes than the {k} largest? | If each {colour} shape and all near it go, how many stay?",
    "Which bar is the highest? | What is the value of bar {k}? | How many bars are above the "
    "mean of all? | Fit a line to the {colour} bars by least squares: what is it {k} bars on?",
    "Is there a {colour} shape on the board? | What is right of shape {k}? | Which column holds "
    "the most {colour} ones? | Which does a rook on the {colour} one reach in {k} moves?",
)
_COLOURS = ("red", "green", "blue", "purple", "brown", "black")
# maker -> shares of the variance of difficulty that lie in the text and in the picture, and how
# much amount, faintness and clutter of the picture weigh: who sees well thinks less well
_MAKERS = {
    "wren": (0.05, 0.65, (0.3, 1.0, 0.1)),
    "finch": (0.65, 0.05, (1.0, 0.3, 0.3)),
    "heron": (0.65, 0.05, (0.0, 1.0, 1.0)),
    "crane": (0.35, 0.35, (1.0, 0.8, 0.6)),
}
# model -> accuracy per task in the order of TASKS, price, and a factor on the length of answers
_POOL = {
    "wren-nano": ((0.42, 0.40, 0.46), Price(0.05, 0.4), 0.9),
    "finch-7b": ((0.46, 0.42, 0.50), Price(0.1, 0.1), 1.2),
    "wren-mini": ((0.56, 0.56, 0.60), Price(0.25, 2.0), 1.0),
    "finch-72b": ((0.62, 0.65, 0.67), Price(0.6, 0.6), 1.3),
    "heron-flash": ((0.66, 0.68, 0.70), Price(0.3, 2.5), 1.1),
    "crane-medium": ((0.71, 0.75, 0.76), Price(3.0, 15.0), 1.0),
    "heron-pro": ((0.77, 0.80, 0.80), Price(1.25, 10.0), 1.8),
    "wren-large": ((0.80, 0.83, 0.82), Price(1.25, 10.0), 2.4),
}


class SimulatedMultimodal(Simulated):
    """Questions about pictures in three tasks; n_queries: 50 or more.

    The text does not say how hard the picture is to see, and both decide which models are right.
    All is made up: docs/simulated-data.md. `load` draws the pictures into the cache folder, and
    raises MissingExtraError without Pillow, OutputError when that folder cannot be written.
    """

    name = "simulated-multimodal"
    description = "made-up questions of 3 tasks about drawn pictures, 8 made-up models"
    fewest = 50
    needs = (Need("PIL", "encoders", "draw the pictures of the simulation"),)

    def __init__(self, n_queries: int = 3000, seed: int = 0) -> None:
        super().__init__(n_queries, seed)

    def factors(self) -> FloatArray:
        """Difficulty factors of the queries, (N, 4): the truth behind the outcomes.

        Columns: steps that the question asks for, 0 to 3, and of the picture amount, faintness and
        clutter, 0 to 1. No router may read them.
        """
        rng = np.random.default_rng(self.seed)
        asked = rng.integers(0, 4, self.n_queries)
        return np.column_stack([asked, rng.uniform(0, 1, (self.n_queries, 3))])

    def _made(self, progress: Progress) -> Outcomes:
        rng = np.random.default_rng([self.seed, 1])
        factors = self.factors()
        tasks = [TASKS[row % len(TASKS)] for row in range(self.n_queries)]
        texts = [
            _QUESTIONS[row % len(TASKS)]
            .split(" | ")[int(asked)]
            .format(colour=rng.choice(_COLOURS), k=rng.integers(2, 10))
            for row, asked in enumerate(factors[:, 0])
        ]
        performance = np.empty((self.n_queries, len(_POOL)))
        cost_usd = np.empty_like(performance)
        for number, median in enumerate(OUTPUT_TOKENS):
            rows = np.arange(number, self.n_queries, len(TASKS))
            hidden = np.sqrt(HIDDEN) * rng.standard_normal(len(rows))
            asked, scenes = standardised(factors[rows, 0]), factors[rows, 1:]
            tokens = IMAGE_TOKENS + np.array([-(-len(texts[row]) // 4) for row in rows])
            for column, (model, (accuracy, price, length)) in enumerate(_POOL.items()):
                in_text, in_picture, weights = _MAKERS[model.partition("-")[0]]
                sight = standardised(scenes @ np.array(weights))
                hard = np.sqrt(in_text) * asked + np.sqrt(in_picture) * sight + hidden
                performance[rows, column] = drawn_outcomes(accuracy[number], hard, rng)
                cost_usd[rows, column] = answer_costs(price, tokens, median * length, hard, rng)
        return Outcomes(
            query_ids=tuple(f"{self.name}.{row}" for row in range(self.n_queries)),
            texts=tuple(texts),
            tasks=tuple(tasks),
            models=tuple(_POOL),
            performance=performance,
            cost_usd=cost_usd,
            image_paths=tuple(f"{row}.png" for row in range(self.n_queries)),
            image_root=self._pictures(tasks, factors[:, 1:], progress),
            name=self.name,
            notes=("simulated: models, texts, pictures and outcomes are made up",),
        )

    def _pictures(self, tasks: list[str], scenes: FloatArray, progress: Progress) -> Path:
        """The folder of the pictures; those that are not there yet are drawn."""
        folder = cache_dir() / self.name / f"v{VERSION}-{self.n_queries}-{self.seed}"
        make_folder(folder)
        for row, (task, scene) in enumerate(zip(tasks, scenes, strict=True)):
            if not (folder / f"{row}.png").exists():
                picture = _draw(task, scene, np.random.default_rng([self.seed, row]))
                with atomic_write(folder / f"{row}.png", "wb") as stream:
                    picture.save(stream, "PNG")
            progress("draw", row + 1, len(tasks))
        return folder


def _draw(task: str, scene: FloatArray, rng: np.random.Generator) -> Any:  # noqa: ANN401
    """A Pillow image of so much amount, faintness and clutter, each from 0 (easy) to 1."""
    amount, faintness, clutter = scene.tolist()
    paper = rng.integers(214, 251, 3)
    image, drawing = (
        require(name, extra="encoders", purpose="draw the pictures of the simulation")
        for name in ("PIL.Image", "PIL.ImageDraw")
    )
    canvas = image.new("RGB", (SIZE, SIZE), tuple(paper.tolist()))
    pen = drawing.Draw(canvas)

    def ink() -> tuple[int, ...]:
        share = 0.05 + 0.8 * faintness  # of paper in it
        dark = 20 + 130 * (rng.random(3) < 0.3)
        return tuple(np.rint(share * paper + (1 - share) * dark).astype(int).tolist())

    _subject(task, pen, ink, amount, rng)
    for ends in rng.uniform(0, SIZE, (round(14 * clutter), 4)).tolist():
        pen.line(ends, fill=ink(), width=1)
    for x, y in rng.uniform(0, SIZE, (round(160 * clutter), 2)).tolist():
        pen.rectangle((x, y, x + 1, y + 1), fill=ink())
    return canvas


def _subject(task: str, pen: Any, ink: Any, amount: float, rng: np.random.Generator) -> None:  # noqa: ANN401
    """4 to 20 bars, or 3 to 40 shapes, which stand in the cells of a board for "locating"."""
    if task == "charts":
        width = 200 / round(4 * 5**amount)
        for left in np.arange(12, 212 - width / 2, width).tolist():
            pen.rectangle((left, rng.uniform(45, 185), left + 0.7 * width, 202), fill=ink())
        return
    n_shapes = round(3 * (40 / 3) ** amount)
    radius = 30 / n_shapes**0.35
    places = rng.uniform(18, 206, (n_shapes, 2))
    if task == "locating":
        places = 2.5 * radius * (places // (2.5 * radius) + 0.5)
    for x, y in places.tolist():
        pen.regular_polygon((x, y, radius), int(rng.integers(3, 8)), fill=ink())
