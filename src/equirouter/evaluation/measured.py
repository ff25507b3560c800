"""A figure over the seeds of a run, with its interval: the leaves of results.json."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class Facts(BaseModel):
    """Fields of results.json, frozen."""

    model_config = ConfigDict(frozen=True)


class Difference(Facts):
    """A mean difference over the seeds with its 95 % interval; None without resamples."""

    mean: Number
    low: Number | None
    high: Number | None


class Differences(Facts):
    """One router minus another, on the same queries and resamples."""

    nauc: Difference
    nauc_common: Difference
    peak_score: Difference
    rci: Difference | None
    """None where one of the two asks more than one model."""
    cost_at_quality: dict[str, Difference]
    """At "0.98", "0.95" and "0.90"; empty where the strongest model costs nothing."""

    def of(self, metric: str, key: str | None) -> Difference | None:
        """That of a metric, or of one of its values; None where there is none."""
        difference: Difference | dict[str, Difference] | None = getattr(self, metric)
        return difference.get(key or "") if isinstance(difference, dict) else difference


class Measured(Facts):
    """A figure over the seeds, with its 95 % interval.

    A seed that never reached a quality has no value. The mean is then over the others, and None
    where fewer than half have a value: the mean of a few lucky seeds would flatter.
    """

    mean: Number | None
    low: Number | None
    """None without resamples, or where fewer than half of them have a value."""
    high: Number | None
    per_seed: tuple[Number | None, ...]

    @property
    def n_seeds(self) -> int:
        """Of the run."""
        return len(self.per_seed)

    @property
    def n_reached(self) -> int:
        """The seeds that have a value."""
        return sum(value is not None for value in self.per_seed)

    @property
    def everywhere(self) -> float | None:
        """The mean where every seed has a value, else None: what may be compared."""
        return self.mean if self.n_reached == self.n_seeds else None

    @property
    def count(self) -> str:
        """Text such as "(3/5)" where 3 of 5 seeds have a value; empty if all or none have."""
        return f"({self.n_reached}/{self.n_seeds})" if 0 < self.n_reached < self.n_seeds else ""

    @model_serializer(mode="wrap")
    def _with_reached(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = handler(self)
        if self.n_reached < self.n_seeds:
            document["reached"] = self.n_reached / self.n_seeds
        return document


class MeasuredByKey(RootModel[dict[str, Measured]]):
    """An estimate per quality or per model.

    `estimates[0.95]` and `estimates["0.95"]` are the same. In JSON each of mean, low, high and
    per_seed is a map.
    """

    model_config = ConfigDict(frozen=True)

    def __getitem__(self, key: str | float) -> Measured:
        return self.root[key if isinstance(key, str) else f"{key:.2f}"]

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]  # as pydantic advises
        return iter(self.root)

    def __len__(self) -> int:
        return len(self.root)

    def items(self) -> Iterator[tuple[str, Measured]]:
        """Pairs of key and estimate."""
        yield from self.root.items()

    @model_validator(mode="before")
    @classmethod
    def _by_key(cls, given: Any) -> Any:  # noqa: ANN401  # whatever stands in the file
        if not isinstance(given, Mapping) or any(isinstance(v, Measured) for v in given.values()):
            return given
        try:
            return {
                key: {part: given[part][key] for part in ("mean", "low", "high")}
                | {"per_seed": [seed[key] for seed in given["per_seed"]]}
                for key in given["mean"]
            }
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(
                "expected mean, low, high and per_seed, each with the same keys"
            ) from error

    @model_serializer(mode="plain")
    def _by_part(self) -> dict[str, Any]:
        parts = {key: estimate.model_dump(mode="json") for key, estimate in self.root.items()}
        document: dict[str, Any] = {
            part: {key: value[part] for key, value in parts.items()}
            for part in ("mean", "low", "high")
        }
        n_seeds = min((estimate.n_seeds for estimate in self.root.values()), default=0)
        document["per_seed"] = [
            {key: value["per_seed"][seed] for key, value in parts.items()}
            for seed in range(n_seeds)
        ]
        reached = {key: value["reached"] for key, value in parts.items() if "reached" in value}
        return document | ({"reached": reached} if reached else {})
