"""The training loop: which rows it takes, when it stops, and what it does with random numbers."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from equirouter.routers.fitting.loop import Schedule, seeded, train, weights_of


class Recorder:
    """A loss that notes the rows it was given, and one random number of torch per call."""

    def __init__(self) -> None:
        self.training: list[tuple[list[float], float]] = []
        self.validation: list[tuple[list[float], float]] = []

    def __call__(self, network: nn.Module, batch: Sequence[Tensor]) -> Tensor:
        rows = self.training if network.training else self.validation
        rows.append((batch[0][:, 0].tolist(), float(torch.rand(1))))
        loss: Tensor = (network(batch[0]) - batch[1]).square().mean()
        return loss


def run(
    *, epochs: int = 3, validation_rows: int | None = None, validated: bool = True, seed: int = 0
) -> tuple[Recorder, dict[str, np.ndarray]]:
    x = np.arange(10.0)[:, None]
    held_out = (100 + np.arange(5.0)[:, None], np.ones((5, 1))) if validated else None
    recorder = Recorder()
    with seeded(np.random.default_rng(seed)):
        network = train(
            nn.Linear(1, 1),
            recorder,
            (x, 2 * x),
            Schedule(epochs=epochs, batch_size=4, learning_rate=0.01, patience=epochs),
            device="cpu",
            validation=held_out,
            validation_rows=validation_rows,
        )
    return recorder, weights_of(network)


def test_every_epoch_takes_every_row_once_in_an_order_of_its_own() -> None:
    recorder, _ = run()
    batches = [rows for rows, _ in recorder.training]
    assert [len(rows) for rows in batches] == [4, 4, 2] * 3
    epochs = [[row for batch in batches[at : at + 3] for row in batch] for at in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_validation_comes_in_blocks_of_rows() -> None:
    recorder, _ = run(validation_rows=2)
    epoch = [[100.0, 101.0], [102.0, 103.0], [104.0]]
    assert [rows for rows, _ in recorder.validation] == epoch * 3
    whole, _ = run()
    assert [len(rows) for rows, _ in whole.validation] == [5] * 3


def test_the_validation_loss_is_the_mean_over_rows_whatever_the_blocks() -> None:
    # epochs 1 and 2, each a block of four rows and one of one row
    by_block = [1.0, 1.0, 0.25, 3.0]

    def loss_of(network: nn.Module, batch: Sequence[Tensor]) -> Tensor:
        if network.training:
            return torch.as_tensor(network(batch[0]).mean())
        return torch.tensor(next(left))

    kept = []
    for epochs in (1, 2):
        left = iter(by_block)
        with seeded(np.random.default_rng(0)):
            network = train(
                nn.Linear(1, 1),
                loss_of,
                (np.ones((4, 1)),),
                Schedule(epochs=epochs, batch_size=4, learning_rate=0.1, patience=2),
                device="cpu",
                validation=(np.ones((5, 1)),),
                validation_rows=4,
            )
        kept.append(weights_of(network)["bias"].item())
    # (4 x 0.25 + 3) / 5 = 0.8 is below 1.0, so the second epoch's weights are kept; the plain mean
    # of its blocks is 1.6
    assert kept[1] == pytest.approx(kept[0] - 0.1, abs=1e-3)


def test_validation_draws_the_same_numbers_every_epoch_and_none_of_the_training() -> None:
    recorder, _ = run(validation_rows=2)
    drawn = [number for _, number in recorder.validation]
    assert drawn[:3] == drawn[3:6] == drawn[6:]
    assert len(set(drawn[:3])) == 3
    alone, _ = run(validated=False)
    assert alone.training == recorder.training
    assert len({number for _, number in alone.training}) == 9


def test_the_same_seed_gives_the_same_weights_bit_for_bit() -> None:
    _, first = run(seed=4)
    _, second = run(seed=4)
    _, other = run(seed=5)
    assert first["weight"].tobytes() == second["weight"].tobytes()
    assert first["weight"].tobytes() != other["weight"].tobytes()


def test_weight_decay_pulls_the_weights_to_0() -> None:
    weights = {}
    for decay in (0.0, 10.0):
        with seeded(np.random.default_rng(0)):
            network = train(
                nn.Linear(1, 1),
                lambda net, batch: (net(batch[0]) - 1).square().mean(),
                (np.ones((8, 1)),),
                Schedule(epochs=300, batch_size=8, learning_rate=0.05, weight_decay=decay),
                device="cpu",
            )
        found = weights_of(network)
        weights[decay] = found["weight"].item() + found["bias"].item()
    assert weights[0.0] == pytest.approx(1.0, abs=0.01)
    # minimum of (w + b - 1)^2 + 5 (w^2 + b^2): w = b = 2 / (2 * 2 + 10), so w + b = 2 / 7
    assert weights[10.0] == pytest.approx(2 / 7, abs=0.01)
