"""Training-set evaluation: fit and measure on the same queries (paper, App. B.1)."""

import numpy as np

from equirouter.arrays import Float32Array
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import Split
from equirouter.training.protocol import Prepared, prepare

__all__ = ["prepare_in_sample"]


def prepare_in_sample(
    outcomes: Outcomes,
    embeddings: Float32Array,
    *,
    descriptions: Float32Array | None = None,
    seed: int = 42,
    device: str = "auto",
) -> Prepared:
    """A table made ready so that training, validation and test part are all of its queries.

    embeddings: (N, d) of all queries. descriptions: as in prepare. Whatever is fitted on it is
    measured on what it saw, the cost model too: no difference between training and test can explain
    what it then does. Queries with a missing outcome train with the cells they have and are not
    measured. Errors: those of prepare.
    """
    rows = np.arange(outcomes.n_queries, dtype=np.int64)
    same = Split("in-domain", seed, (1, 1, 1), rows, rows, rows, outcomes.query_ids)
    return prepare(outcomes, embeddings, same, descriptions=descriptions, device=device)
