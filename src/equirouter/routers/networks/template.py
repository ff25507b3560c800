"""The template of the network routers: the settings of a training run, and `fit` itself."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from equirouter.arrays import Float32Array
from equirouter.errors import FitError
from equirouter.extras import require
from equirouter.registry import ROUTERS
from equirouter.routers.base import CheckedRouter, Training, Validation
from equirouter.routers.settings import Iterations

if TYPE_CHECKING:
    from torch import nn

    from equirouter.routers.fitting.loop import LossOfBatch

Rows = Sequence[NDArray[np.generic]]
Weights = dict[str, Float32Array]


def _outcomes(part: Validation) -> Rows:
    return part.embeddings, part.performance


def _as_trained(network: "nn.Module", weights: Weights) -> Weights:
    del network
    return weights


@dataclass(frozen=True)
class Task:
    """A training task: the network, its data and loss, and the weights that are kept.

    network: makes it; called once, with torch seeded. loss: of a network on a batch of rows. rows:
    the arrays of a part of the data, each with a row per query. batch_size: in place of the
    router's. validation_rows: how many rows of the validation part the loss gets at once; None: a
    batch. can_stop: whether the validation loss says when to stop. keep: from the trained network
    and its weights to `weights_`.
    """

    network: "Callable[[], nn.Module]"
    loss: "LossOfBatch"
    rows: Callable[[Validation], Rows] = _outcomes
    batch_size: int | None = None
    validation_rows: int | None = None
    can_stop: bool = True
    keep: "Callable[[Any, Weights], Weights]" = _as_trained


@dataclass(kw_only=True, eq=False)
class NetworkRouter(CheckedRouter):
    """A router whose network is trained with torch in `fit` and run in NumPy in `predict`.

    The defaults are the schedule of the paper (App. A.2) with early stopping on the validation
    part (App. A.1), the same for all; a preset of another source sets what it does otherwise.
    """

    fitted_with: ClassVar[tuple[str, ...]] = ("torch",)

    epochs: Iterations = 30
    """Passes over the training part, at most."""

    batch_size: PositiveInt = 2048
    """Queries per training step, at most: a step takes no more than a sixth of the training part
    (loop.enough_steps), so that a small table gets six steps per epoch as well."""

    learning_rate: PositiveFloat = 1e-3
    """Step size of Adam."""

    weight_decay: NonNegativeFloat = 0.0
    """L2 penalty on the weights, as Adam applies it."""

    patience: PositiveInt | None = 10
    """Stop after this many epochs without a lower validation loss and keep the best epoch's
    weights; null runs all epochs and keeps the last, and so does a fit without a validation
    part."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto is a GPU where there is one."""

    def _learn(self, training: Training) -> None:
        """Train on the known cells; the validation part stops it early if patience is set."""
        require("torch", extra="train", purpose="train a router")
        from equirouter.routers.fitting import loop

        task, validation = self._task(training), training.validation
        n_queries = len(training.outcomes.embeddings)
        batch_size = loop.enough_steps(task.batch_size or self.batch_size, n_queries)
        schedule = loop.Schedule(
            self.epochs, batch_size, self.learning_rate, self.weight_decay, self.patience
        )
        rows = task.rows(training.outcomes)
        held_out = task.rows(validation) if validation is not None and task.can_stop else None
        with loop.seeded(training.rng):
            network = self._built(task)
            loop.train(
                network,
                task.loss,
                rows,
                schedule,
                device=self.device,
                validation=held_out,
                validation_rows=task.validation_rows or batch_size,
            )
        self.weights_ = task.keep(network, loop.weights_of(network))

    def _built(self, task: Task) -> "nn.Module":
        try:
            return task.network()
        except RuntimeError as error:  # what torch raises where memory is short
            settings = ", ".join(f"{name}={value}" for name, value in self.settings.items())
            raise FitError(
                f"{ROUTERS.name_of(type(self))}: a network of {settings} does not fit into memory: "
                "choose smaller widths"
            ) from error

    @abstractmethod
    def _task(self, training: Training) -> Task:
        """The task of a training part; its rng is for what is drawn before the training."""
