"""Everything that a run leaves to look at, written or printed in one call."""

from pathlib import Path
from typing import TYPE_CHECKING

from equirouter.evaluation.results import Results
from equirouter.extras import require
from equirouter.report.figures import write_figures
from equirouter.report.headline import headline
from equirouter.report.html import write_report
from equirouter.report.tables import published_table, results_table

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["check_report_extra", "print_results", "write_all"]


def check_report_extra() -> None:
    """Raise MissingExtraError, before hours of work, when a report could not be written."""
    for module in ("plotly", "jinja2", "matplotlib"):
        require(module, extra="report", purpose="write the report")


def write_all(results: Results, folder: str | Path) -> Path:
    """Write figures/*.svg and report.html into a run's folder; returns the report's path."""
    folder = Path(folder)
    write_figures(results, folder / "figures")
    report = folder / "report.html"
    write_report(results, report)
    return report


def print_results(results: Results, console: "Console") -> None:
    """Print the table, the paper's figures beside ours where there are any, and the headline."""
    console.print(results_table(results, width=console.width))
    published = published_table(results)
    if published is not None:
        console.print(published)
    for sentence in headline(results):
        console.print(sentence, highlight=False, markup=False)
