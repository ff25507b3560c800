"""The evidence behind a pipeline's promise, and when it is far less than another one's.

Read from its description: nothing here loads the weights.
"""

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from equirouter.cost.prices import Price
from equirouter.errors import UserError
from equirouter.pipeline.parts import PipelineParts, Provenance
from equirouter.pipeline.stored import StoredPolicy, described
from equirouter.pipeline.versions import PipelineVersions, current_folder
from equirouter.words import interval

FEWER = 10
"""A promise on a tenth of the queries is about three times less exact."""
LESS = 0.02
"""Shares of the strongest model's performance: what is told apart on most tables."""


@dataclass(frozen=True)
class Evidence:
    """All that is known of a pipeline before it serves.

    data, n_rows: the outcomes table. n_queries: those that its operating points were found on.
    quality, confidence: what it promises to calls that name none. expected_cost: at that operating
    point, as a share of the strongest model's, on those queries. n_tested, kept, interval, cost: on
    the test part, quality and cost as shares of the strongest model, and the 95 % interval of the
    quality; None where there is no test, as after a change of the pool.
    """

    data: str
    n_rows: int | None
    n_queries: int
    quality: float
    confidence: float
    expected_cost: float
    n_tested: int | None
    kept: float | None
    interval: tuple[float, float] | None
    cost: float | None

    @classmethod
    def of(cls, parts: PipelineParts) -> Self:
        """That of a pipeline in memory."""
        return cls._of(parts.provenance, parts)

    @classmethod
    def stored(cls, folder: Path) -> Self:
        """That of the pipeline in a folder, which is not loaded. Raises PipelineError."""
        description = described(folder)
        provenance = Provenance(description.data, description.split, description.test_metrics)
        return cls._of(provenance, description.policy)

    @classmethod
    def _of(cls, provenance: Provenance, promise: PipelineParts | StoredPolicy) -> Self:
        calibration, quality = promise.calibration, promise.quality
        point = calibration.operating_point(quality, promise.confidence)
        tested: dict[str, Any] = provenance.test_metrics.get("at_quality", {})
        interval = tested.get("interval")
        return cls(
            data=str(provenance.data.get("name", "")),
            n_rows=provenance.data.get("n_queries"),
            n_queries=calibration.n_queries,
            quality=quality,
            confidence=point.confidence,
            expected_cost=point.relative_cost,
            n_tested=tested.get("n_queries"),
            kept=tested.get("performance"),
            interval=None if interval is None else (interval[0], interval[1]),
            cost=tested.get("cost"),
        )

    def far_below(self, other: Self) -> str | None:
        """Why this is too little to take the other one's place, in words; None if it is not.

        It is where the operating points were found on less than a tenth of the queries, and where
        the quality kept on the test part is lower by more than 0.02 whatever the truth within both
        95 % intervals.
        """
        if self.n_queries * FEWER < other.n_queries:
            return (
                f"its promise rests on {self.n_queries} queries, less than a tenth of the "
                f"{other.n_queries} of the pipeline that is served"
            )
        if self.interval is None or other.interval is None:
            return None
        if self.interval[1] < other.interval[0] - LESS:
            return (
                f"on its test part it kept {_words(self)} of the strongest model's quality, and "
                f"the pipeline that is served {_words(other)} on its own"
            )
        return None


def _words(evidence: Evidence) -> str:
    low, high = evidence.interval or (None, None)
    return f"{evidence.kept:.3f} {interval(low, high)}".rstrip()


def stored_prices(folder: Path) -> dict[str, Price]:
    """The prices by which a saved pipeline predicts costs; models without one are left out.

    Raises PipelineError when the folder is not a pipeline.
    """
    models = described(current_folder(folder)).models
    return {model.name: model.price for model in models if model.price is not None}


def stored_evidence(versions: PipelineVersions, name: str) -> Evidence | str:
    """The evidence of a version, or why it cannot be read."""
    try:
        return Evidence.stored(versions.path(name))
    except UserError as error:  # one bad version must not hide the others, nor stay current
        return str(error)


@dataclass(frozen=True)
class DescribedVersion:
    """Facts about a version of a pipeline.

    current: whether it is served; canary: whether a gateway tries it beside that one. made_at,
    made_by, how: as its first event says, None where that is lost. refused: why it was, the last
    time; None where it was not. damaged: why its evidence is None, where that cannot be read.
    """

    version: str
    current: bool
    canary: bool
    made_at: datetime | None
    made_by: str | None
    how: str | None
    refused: str | None
    damaged: str | None
    evidence: Evidence | None

    def document(self) -> dict[str, Any]:
        """All of it on one level, for JSON."""
        document = {**vars(self), "made_at": self.made_at and self.made_at.isoformat()}
        del document["evidence"]
        return document | (
            dict.fromkeys(field.name for field in fields(Evidence))
            if self.evidence is None
            else asdict(self.evidence)
        )


def described_version(versions: PipelineVersions, name: str) -> DescribedVersion:
    """Facts about one version of those in a folder."""
    evidence = stored_evidence(versions, name)
    history = versions.history
    made = next((event for event in history if event.version == name), None)
    refused = [event for event in history if event.did == "refused" and event.version == name]
    return DescribedVersion(
        version=name,
        current=name == versions.current,
        canary=versions.is_tried(name),
        made_at=None if made is None else made.at,
        made_by=None if made is None else made.by,
        how=None if made is None else made.how,
        refused=refused[-1].why if refused else None,
        damaged=evidence if isinstance(evidence, str) else None,
        evidence=None if isinstance(evidence, str) else evidence,
    )


def latest_versions(folder: Path | None) -> list[DescribedVersion]:
    """The latest five versions in a folder, newest first, and the current one, if it has any.

    Raises PipelineError for a history that is damaged.
    """
    if folder is None:
        return []
    versions = PipelineVersions(folder)
    names = versions.names
    shown = set(names[-5:]) | ({versions.current} & set(names))
    return [described_version(versions, name) for name in reversed(names) if name in shown]
