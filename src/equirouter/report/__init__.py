"""Results made readable: terminal and Markdown tables, SVG figures, one HTML file.

    tables.py    results_table, published_table, results_markdown; headline: the main result
    figures.py   write_figures: static SVG
    canvas.py    drawing, which letters fit, and one look for a router in every picture
    markdown.py  rows and safe text of Markdown tables
    sections.py  diagnosis_text, _markdown, _json: advice.py has the advice,
                 blocks.py makes text and Markdown of the same parts
    explorer.py  the data of the page's curves, and queries that change model
    html.py      write_report: one offline file with its charts; write_all: all files of a run

Nothing here computes a metric: `evaluation` measures, this folder shows.
"""
