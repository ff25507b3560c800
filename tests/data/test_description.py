"""The short forms of a table."""

import numpy as np

from equirouter.data import Outcomes


def table(n_queries: int = 2, n_models: int = 2, **changes: object) -> Outcomes:
    fields: dict[str, object] = {
        "query_ids": [f"q{i}" for i in range(n_queries)],
        "texts": ["a long text " * 100] * n_queries,
        "tasks": [f"task {i % 9}" for i in range(n_queries)],
        "models": [f"model {k}" for k in range(n_models)],
        "performance": np.tile(np.linspace(0, 1, n_models), (n_queries, 1)),
        "cost_usd": np.full((n_queries, n_models), 0.25),
    }
    return Outcomes(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_small_table_in_whole() -> None:
    performance = np.array([[1.0, 0.5], [0.0, np.nan]])
    shown = repr(table(performance=performance, tasks=("sums", "sums"), name="toy", notes=("why",)))
    assert shown.splitlines() == [
        "Outcomes 'toy': 2 queries, 2 models, 1 task",
        "  model    performance    cost_usd",
        "  model 0       1.0000    0.250000",  # means are over the complete row
        "  model 1       0.5000    0.250000",
        "  tasks: sums 2",
        "  not known: 1 of performance, 0 of cost_usd",
        "  note: why",
    ]


def test_a_large_table_has_15_short_lines() -> None:
    performance = np.tile(np.linspace(0, 1, 30), (1200, 1))
    performance[0, 0] = np.nan
    large = table(
        1200,
        30,
        performance=performance,
        models=[f"{k} " + "m\n" * 99 for k in range(30)],
        name="n\n" * 200,
        notes=("a note\nof two lines " * 50,) * 9,
    )
    lines = repr(large).splitlines()
    assert len(lines) == 15
    assert max(map(len, lines)) <= 140
    assert "1,200 queries, 30 models, 9 tasks" in lines[0]
    assert lines[2].startswith("  29 m m")  # the strongest first
    assert lines[10] == "  and 22 more models"
    assert lines[11].endswith(" and 4 more")
    assert lines[12] == "  not known: 1 of performance, 0 of cost_usd"
    assert len(large) == 1200


def test_html_escapes_what_others_wrote() -> None:
    evil = "<script>alert('&')</script>"
    html = table(models=("m", evil), tasks=(evil, "t"), name=evil, notes=(evil,))._repr_html_()
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 4
    assert "<td>1.0000</td><td>0.250000</td>" in html
