"""What a caller asks of a decision: one of four controls."""

from dataclasses import dataclass

from equirouter.errors import ConfigError

__all__ = ["Control"]


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
        controls = ("budget_usd", "quality", "performance", "lambda_")
        named = [name.rstrip("_") for name in controls if getattr(self, name) is not None]
        if len(named) > 1:
            raise ConfigError(f"{' and '.join(named)} exclude each other: give one")
        if self.confidence is not None and named and named[0] in ("budget_usd", "lambda"):
            raise ConfigError(
                f"confidence says how surely a quality or a performance is kept; {named[0]} "
                "promises neither: leave one of the two out"
            )
