"""The experiments of the paper: each one table, figure and plain finding, on any data set.

    base.py       Section, Table, Figure, Value: what an experiment returns
    context.py    Context: what the experiments share, computed once and when it is asked for
    run.py        run_experiments: one section per name, and why another one could not be made
    write.py      write_paper, write_section: CSV, Markdown, SVG, paper.json and one HTML report
    formats.py    cells and tables as text
    lines.py      figures of lines; dots.py: rows of dots
    routers.py    which routers the paper has, and what figures call them
    strongest_calls.py fig1; call_frequency.py fig2, figA6; cost_needed.py fig5
    main_table.py table1, tableA1; dots.py draws them
    margins.py    fig3-margin, figA2, figA3; oracle_noise.py fig3-noise; in_sample.py figA1
    cost_model.py figA4; true_costs.py figA5; maximum_mean.py b4; complexity.py complexity

An experiment is a function from a Context to a Section, listed in `registry.EXPERIMENTS`. Nothing
here computes a metric: `evaluation` measures. What each one shows: docs/paper.md.
"""

from equirouter.paper.base import Figure, Section, Table, Value
from equirouter.paper.context import Context
from equirouter.paper.run import NotRun, Paper, run_experiments
from equirouter.paper.write import write_paper, write_section

__all__ = [
    "Context",
    "Figure",
    "NotRun",
    "Paper",
    "Section",
    "Table",
    "Value",
    "run_experiments",
    "write_paper",
    "write_section",
]
