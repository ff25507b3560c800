"""The facts in results.json that stand beside the measured figures."""

from typing import Any, Literal

from equirouter.data.split import SplitKind
from equirouter.evaluation.measured import Facts, Number


class DatasetFacts(Facts):
    """The table that was measured on."""

    name: str
    n_queries: int
    n_models: int
    models: tuple[str, ...]
    fingerprint: str


class Protocol(Facts):
    """How it was measured."""

    split: SplitKind
    ratios: tuple[int | float, ...]
    """Of the training, validation and test part."""
    seeds: tuple[int, ...]
    policy: str
    budgets: int
    """Number of operating points of curves, of `rci_mean` and of decisions.parquet."""
    read_at: Literal["every change of a decision", "the operating points"]
    """Where the other metrics of every router and anchor are read."""
    encoder: str
    window: str | None
    encoder_settings: dict[str, Any]
    encoder_fingerprint: str
    encoder_notes: tuple[str, ...]
    nauc: Literal["paper"]
    resamples: int

    @property
    def is_by_budget(self) -> bool:
        """Whether an operating point is a budget for one call."""
        return self.policy in ("budget", "budget-grid")


class Reference(Facts):
    """The model that qualities are shares of: the strongest on training and validation part."""

    per_seed: tuple[str, ...]
    as_strong: tuple[tuple[str, ...], ...]
    """Per seed that model and those that equal it there within noise (paired, 95 %)."""


class VisibilityFacts(Facts):
    """How many queries look like another one to the encoder."""

    share: Number
    n_duplicates: int
    warning: str | None


class CostModelErrors(Facts):
    """Errors of the predicted costs on the test part."""

    mse: Number
    """USD squared."""
    relative_error: dict[str, Number | None]
    """Model -> mean absolute error as a share of its mean cost; None where calls are free."""


class NotMeasured(Facts):
    """Test queries that lack an outcome and are not measured."""

    incomplete_test_queries: int
    """Of the first seed."""
    measured_test_queries: int
    per_seed: tuple[int, ...]
