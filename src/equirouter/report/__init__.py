"""Results made readable: terminal and Markdown tables, SVG figures, one HTML file.

    tables.py    results_table, published_table, results_markdown
    headline.py  the two sentences above everything else
    figures.py   write_figures: static SVG, drawn on canvas.py; letters.py: what text fits
    markdown.py  rows and safe text of Markdown tables
    sections.py  diagnosis_text, _markdown, _json: advice.py has the advice,
                 blocks.py makes text and Markdown of the same parts; wording.py words numbers
    html.py      write_report: one offline file; charts.py: its series and pictures
    write.py     write_all, print_results: all of it in one call
    style.py     colour_of, dash_of: the same look for a router in every picture

Nothing here computes a metric: `evaluation` measures, this folder shows.
"""

from equirouter.report.figures import write_figures
from equirouter.report.headline import headline
from equirouter.report.html import write_report
from equirouter.report.sections import diagnosis_json, diagnosis_markdown, diagnosis_text
from equirouter.report.style import colour_of, dash_of
from equirouter.report.tables import published_table, results_markdown, results_table
from equirouter.report.write import check_report_extra, print_results, write_all

__all__ = [
    "check_report_extra",
    "colour_of",
    "dash_of",
    "diagnosis_json",
    "diagnosis_markdown",
    "diagnosis_text",
    "headline",
    "print_results",
    "published_table",
    "results_markdown",
    "results_table",
    "write_all",
    "write_figures",
    "write_report",
]
