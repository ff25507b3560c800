"""One stage of a pipeline: from the text of a query to scores and predicted costs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from equirouter.pipeline.scoring import Scorer, UseOfBlock

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from equirouter.arrays import Float32Array
    from equirouter.cost import CostPredictor
    from equirouter.encoders.base import Encoder
    from equirouter.policy import Certainty, Policy
    from equirouter.routers.base import Router
    from equirouter.routers.familiar import Familiarity
    from equirouter.routers.scale import LogisticScale

__all__ = ["Stage"]


@dataclass(frozen=True, eq=False)
class Stage:
    """An encoder, and the router and cost model that were fitted on its embeddings.

    router_name: as registered. scale: makes scores into calibrated estimates of performance, for a
    policy that needs them; None where they are taken as they are. scorer: router and cost model
    made ready to run, once. certainty: how sure a choice is. familiar: which queries are unlike the
    training queries.
    """

    encoder: "Encoder"
    router: "Router"
    router_name: str
    cost_model: "CostPredictor"
    scale: "LogisticScale | None"
    scorer: Scorer
    certainty: "Certainty"
    familiar: "Familiarity"

    def encode(
        self, queries: Sequence[str], images: Sequence[str | None] | None = None
    ) -> "Float32Array":
        """(N, d): what the router reads of the queries, and of their images if it reads any."""
        return self.encoder.encode(queries, images if self.encoder.accepts_images else None)

    def numbers(
        self, embeddings: "Float32Array", policy: "Policy"
    ) -> "tuple[Float32Array, Float32Array]":
        """Scores fit for the policy, and predicted costs in USD, (N, K) each."""
        scores, costs = self.scorer(embeddings)
        return self.scaled(scores, policy), costs

    def each(self, embeddings: "Float32Array", policy: "Policy", use: UseOfBlock) -> None:
        """The same numbers block by block, however many embeddings: see Scorer.each."""

        def use_scaled(rows: slice, scores: "Float32Array", costs: "Float32Array") -> None:
            use(rows, self.scaled(scores, policy), costs)

        self.scorer.each(embeddings, use_scaled)

    def scaled(self, scores: "Float32Array", policy: "Policy") -> "Float32Array":
        """The router's scores as the policy needs them."""
        return self.estimates(scores) if policy.needs == "expected_performance" else scores

    def estimates(self, scores: "Float32Array") -> "Float32Array":
        """The router's scores as calibrated estimates of performance."""
        return scores if self.scale is None else self.scale.apply(scores).astype(np.float32)

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """All that was learned, by name."""
        parts: dict[str, Mapping[str, NDArray[Any]]] = {
            "router": self.router.state(),
            "cost": self.cost_model.state(),
            "encoder": self.encoder.state(),
            "scorer": self.scorer.state(),
            "familiar": {"centres": self.familiar.centres},
        }
        return {
            f"{part}.{name}": array
            for part, named in parts.items()
            for name, array in named.items()
        }

    def description(self) -> dict[str, Any]:
        """What it is made of, as JSON can hold it."""
        return {
            "encoder": {
                "name": self.encoder.name,
                "settings": self.encoder.settings,
                "fingerprint": self.encoder.fingerprint,
                "dimension": self.encoder.dimension,
            },
            "router": {
                "name": self.router_name,
                "settings": self.router.settings,
                "scores_are": self.router.scores_are,
            },
            "cost_model": {
                "predicts": self.cost_model.predicts,
                "settings": self.cost_model.settings,
            },
            "scale": None if self.scale is None else asdict(self.scale),
            "certainty": asdict(self.certainty),
            "familiar_within": self.familiar.threshold,
        }
