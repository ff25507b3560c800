"""The experiments of the paper: each one table, figure and plain finding, on any data set.

    base.py       Section, Table, Figure, Value: what an experiment returns; figures of lines
    context.py    Context: what the experiments share, computed once and when it is asked for
    report_all.py run_experiments: one section per name, and why another one could not be made;
                  write_paper, write_section: CSV, Markdown, SVG, paper.json and one HTML report
    router_sets.py  which routers the paper has, and what figures call them
    main_table.py table1, tableA1; strongest_calls.py fig1, figA1; call_frequency.py fig2, figA6
    margins.py    fig3-margin, figA2, figA3; oracle_noise.py fig3-noise, b4; cost_needed.py fig5
    cost_model.py figA4, figA5; complexity.py complexity; less_collapse.py less-collapse

An experiment is a function from a Context to a Section, listed in `registry.EXPERIMENTS`. Nothing
here computes a metric: `evaluation` measures. What each one shows: docs/paper.md.
"""
