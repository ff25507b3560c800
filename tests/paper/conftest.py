"""A context on a small table, its benchmark run once for all tests of the experiments."""

import pytest

from equirouter.paper.context import Context
from tests.toys import HashingEncoder, make_table

ROUTERS = ("equirouter:epochs=2", "mlp:epochs=2", "knn:k=5")


@pytest.fixture(scope="package")
def context() -> Context:
    """Two seeds of three routers on 120 queries and 3 models."""
    return Context(make_table(), HashingEncoder(), ROUTERS, n_seeds=2, resamples=20)
