"""The paper's own figures, so that they can stand beside measured ones.

Source: Guannan Lai and Han-Jia Ye, "When Routing Collapses: On the Degenerate Convergence of LLM
Routers" (arXiv preprint), Table 1 (in-domain split) and Table A1 (out-of-domain split). The
numbers are in published.csv.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from equirouter.data.split import SplitKind

PAPER = (
    'Lai and Ye, "When Routing Collapses: On the Degenerate Convergence of LLM Routers" '
    "(arXiv preprint)"
)


@dataclass(frozen=True)
class PublishedRow:
    """One router on one benchmark, as printed.

    nauc, peak_score: higher is better. qnc: cost at the
    strongest model's performance, as a share of its cost, None for "/" (never reached); rci, in
    [0, 1]: lower is better for both.
    """

    nauc: float
    qnc: float | None
    peak_score: float
    rci: float


@dataclass(frozen=True)
class Published:
    """One benchmark's half of a table.

    source: paper, table and benchmark, in words. rows: the name the router has (or would have) in
    equirouter -> its figures, in the paper's order.
    """

    source: str
    rows: dict[str, PublishedRow]


def published_for(dataset_name: str, split: SplitKind = "in-domain") -> Published | None:
    """The paper's figures for a data set, or None if it was not measured there.

    dataset_name: a name that starts with "routerbench" or "mmr-bench", in any case, with or without
    hyphens. The figures are for the whole benchmark: beside a part of it they give the direction,
    not the level.
    """
    for benchmark, title in (("routerbench", "RouterBench"), ("mmrbench", "MMR-Bench")):
        if dataset_name.lower().replace("-", "").startswith(benchmark):
            table = "Table 1" if split == "in-domain" else "Table A1"
            return Published(f"{PAPER}, {table}, {title}", _rows(benchmark, split))
    return None


def _rows(benchmark: str, split: SplitKind) -> dict[str, PublishedRow]:
    text = Path(__file__).with_name("published.csv").read_text("utf-8")
    return {
        row["router"]: PublishedRow(
            nauc=float(row["nauc"]),
            qnc=float(row["qnc"]) if row["qnc"] else None,
            peak_score=float(row["peak_score"]),
            rci=float(row["rci"]),
        )
        for row in csv.DictReader(text.splitlines())
        if (row["benchmark"], row["split"]) == (benchmark, split)
    }
