"""The controls of a caller over a decision: at most one of four."""

from dataclasses import dataclass

from equirouter.errors import ConfigError

__all__ = ["NO_CONTROL", "POLICIES_ASKED_FOR", "Control"]

POLICIES_ASKED_FOR = ("budget", "utility")
"""Whose settings a call may name: budget_usd and lambda."""


@dataclass(frozen=True)
class Control:
    """At most one of the first four; without any, the quality that the pipeline was trained with.

    budget_usd: limit for one call, by predicted cost. quality: share of the strongest model's
    performance. performance: a mean performance as such. lambda_: performance that one USD must
    buy. confidence: with which the quality or the performance is promised, 0.5 to below 1; None is
    the pipeline's own. Raises ConfigError.
    """

    budget_usd: float | None = None
    quality: float | None = None
    performance: float | None = None
    lambda_: float | None = None
    confidence: float | None = None

    def __post_init__(self) -> None:
        controls = (self.budget_usd, self.quality, self.performance, self.lambda_)
        if controls.count(None) < 3:
            names = ("budget_usd", "quality", "performance", "lambda")
            named = [name for name, value in zip(names, controls, strict=True) if value is not None]
            raise ConfigError(f"{' and '.join(named)} exclude each other: give one")
        if self.confidence is not None and (controls[0] is not None or controls[3] is not None):
            raise ConfigError(
                "confidence says how surely a quality or a performance is kept, and "
                f"{'budget_usd' if self.lambda_ is None else 'lambda'} promises neither: leave one "
                "of the two out"
            )


NO_CONTROL = Control()
"""The pipeline's own quality, with its own confidence."""
