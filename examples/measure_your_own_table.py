"""From scores and costs of your own to a table of routers.

Run it with `python examples/measure_your_own_table.py`. A real table has a row for each query that
you have graded; here a small one is made up.
"""

import numpy as np

from equirouter import Outcomes, benchmark, make_encoder
from equirouter.report.tables import results_markdown


def make_table(n_queries: int = 400) -> Outcomes:
    """Two models and two kinds of question; the small model cannot multiply large numbers."""
    rng = np.random.default_rng(0)
    numbers = rng.integers(2, 900, size=(n_queries, 2))
    is_hard = numbers.max(axis=1) > 600
    small = np.where(is_hard, rng.random(n_queries) < 0.2, rng.random(n_queries) < 0.95)
    large = rng.random(n_queries) < 0.97
    texts = [f"Multiply {a} by {b} (question {row})." for row, (a, b) in enumerate(numbers)]
    return Outcomes(
        query_ids=tuple(f"q{row}" for row in range(n_queries)),
        texts=tuple(texts),
        tasks=("arithmetic",) * n_queries,
        models=("small", "large"),
        performance=np.stack([small, large], axis=1).astype(float),
        cost_usd=np.tile([0.0001, 0.002], (n_queries, 1)),
        name="multiplication",
    )


def main() -> None:
    """Print the results as a Markdown table."""
    results = benchmark(
        make_table(),
        make_encoder("minilm"),
        routers=["knn:k=10", "mlp"],
        policy="utility",  # each model costs the same for every query: a budget could not tell them
        n_seeds=2,
        resamples=200,
    )
    print(results_markdown(results))


if __name__ == "__main__":
    main()
