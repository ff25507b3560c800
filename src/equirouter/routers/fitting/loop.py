"""The one training loop: minibatches, Adam, early stopping on the validation part."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from equirouter.arrays import Float32Array
from equirouter.errors import ConfigError, FitError

VALIDATION_SEED = 0  # any fixed number
STEPS_PER_EPOCH = 6  # at least, by enough_steps

LossOfBatch = Callable[[nn.Module, Sequence[Tensor]], Tensor]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: epochs, batch_size in queries, Adam's learning_rate, weight_decay.

    patience: stop after so many epochs without a better validation loss, and keep the best epoch's
    weights; None runs all epochs and keeps the last.
    """

    epochs: int = 30
    batch_size: int = 2048
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    patience: int | None = None


@contextmanager
def seeded(rng: np.random.Generator) -> Iterator[None]:
    """Seed torch from a NumPy generator inside a `with`, and leave torch's own state as it was."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(int(rng.integers(2**62)))
        yield


def enough_steps(batch_size: int, n_queries: int) -> int:
    """A batch of at most a sixth of the queries, so that every epoch has six steps or more.

    The paper's 10,950 training queries of RouterBench make six batches of 2048, 180 steps in 30
    epochs. Where a batch takes in the whole training part there are 30 steps, after which networks
    that know a model by its description do not tell the models apart yet.
    """
    return min(batch_size, max(1, -(-n_queries // STEPS_PER_EPOCH)))


def pick_device(device: str) -> torch.device:
    """cpu, cuda or auto (cuda where there is one). Raises ConfigError for what is not there."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device 'cuda': no usable GPU here; use --device cpu or auto")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def train(
    network: nn.Module,
    loss_of: LossOfBatch,
    arrays: Sequence[NDArray[np.generic]],
    schedule: Schedule,
    *,
    device: str,
    validation: Sequence[NDArray[np.generic]] | None = None,
    validation_rows: int | None = None,
) -> nn.Module:
    """Minimise loss_of(network, batch) over the rows of arrays; call it inside `seeded`.

    arrays, validation: arrays with the same first axis, given to loss_of as float32 tensors.
    validation_rows: how many rows of validation loss_of gets at once; None: all of them.
    Returns the network with the weights of the best validation epoch (the last one without
    validation or patience). Raises FitError when the loss is no longer finite.
    """
    place = pick_device(device)
    network.to(place)
    rows = _tensors(arrays, place)
    stops = validation is not None and schedule.patience is not None
    held_out = _tensors(validation, place) if validation is not None and stops else None
    optimiser = torch.optim.Adam(
        network.parameters(),
        lr=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        fused=True,  # one pass over the weights: a fifth of the time of the plain loop
    )
    best_loss, best_weights, stale = np.inf, None, 0
    for epoch in range(schedule.epochs):
        _one_epoch(network, loss_of, rows, schedule.batch_size, optimiser, epoch)
        if held_out is None or schedule.patience is None:
            continue
        loss = _validation_loss(network, loss_of, held_out, validation_rows)
        if loss < best_loss:
            best_loss, best_weights, stale = loss, copy.deepcopy(network.state_dict()), 0
        else:
            stale += 1
            if stale >= schedule.patience:
                break
    if best_weights is not None:
        network.load_state_dict(best_weights)
    return network.eval()


def _tensors(arrays: Sequence[NDArray[np.generic]], place: torch.device) -> list[Tensor]:
    return [torch.from_numpy(np.asarray(array, dtype=np.float32)).to(place) for array in arrays]


def _validation_loss(
    network: nn.Module, loss_of: LossOfBatch, rows: Sequence[Tensor], block: int | None
) -> float:
    """The mean over blocks, each with the weight of its rows.

    A loss that samples models draws the same ones in every epoch, so that epochs compare, and
    draws none of the training's random numbers.
    """
    n = len(rows[0])
    block = block or max(n, 1)
    network.eval()
    total = 0.0
    with torch.no_grad(), torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(VALIDATION_SEED)
        for start in range(0, n, block):
            part = [array[start : start + block] for array in rows]
            total += float(loss_of(network, part)) * len(part[0])
    return total / max(n, 1)


def _one_epoch(
    network: nn.Module,
    loss_of: LossOfBatch,
    rows: Sequence[Tensor],
    batch_size: int,
    optimiser: torch.optim.Optimizer,
    epoch: int,
) -> None:
    network.train()
    order = torch.randperm(len(rows[0]))  # on the CPU: the same order on every device
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size].to(rows[0].device)
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of(network, [array[batch] for array in rows])
        if not torch.isfinite(loss):
            raise FitError(
                f"the training loss is {loss.item()} in epoch {epoch + 1}; "
                "use a lower learning_rate"
            )
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()


def weights_of(network: nn.Module) -> dict[str, Float32Array]:
    """The learned arrays by name, float32, on the CPU."""
    return {
        name: np.ascontiguousarray(tensor.detach().cpu().numpy(), dtype=np.float32)
        for name, tensor in network.state_dict().items()
    }
