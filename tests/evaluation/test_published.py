import pytest

from equirouter.data.split import SplitKind
from equirouter.evaluation.published import published_for
from equirouter.registry import ROUTERS


def test_table_1_stands_beside_routerbench() -> None:
    published = published_for("routerbench-5shot")
    assert published is not None
    assert "Table 1" in published.source
    assert "When Routing Collapses" in published.source
    row = published.rows["equirouter"]
    assert (row.nauc, row.qnc, row.peak_score, row.rci) == (0.7712, 0.7731, 0.8041, 0.6911)
    assert published.rows["embedllm"].qnc is None  # printed as "/"
    assert len(published.rows) == 11  # nine routers and two ablations


def test_the_out_of_domain_table_has_its_own_figures() -> None:
    published = published_for("routerbench-5shot", "ood")
    assert published is not None
    assert "Table A1" in published.source
    assert published.rows["equirouter"].qnc == 0.9568
    assert len(published.rows) == 9


def test_other_data_sets_have_no_published_figures() -> None:
    assert published_for("simulated") is None
    assert published_for("my-routerbench") is None


@pytest.mark.parametrize("dataset", ["routerbench-5shot", "RouterBench", "mmrbench"])
@pytest.mark.parametrize("split", ["in-domain", "ood"])
def test_equirouter_leads_in_nauc_and_rci_in_every_table(dataset: str, split: SplitKind) -> None:
    """What the paper says of its tables; a slip in typing them in would show here."""
    published = published_for(dataset, split)
    assert published is not None
    rows = published.rows
    assert max(rows, key=lambda name: rows[name].nauc) == "equirouter"
    assert min(rows, key=lambda name: rows[name].rci) == "equirouter"
    reached = {name: row.qnc for name, row in rows.items() if row.qnc is not None}
    assert min(reached, key=lambda name: reached[name]) == "equirouter"


@pytest.mark.parametrize(
    ("dataset", "split", "nauc", "qnc", "peak_score", "rci"),
    [
        ("routerbench", "in-domain", 8.2335, 7.5314, 8.8405, 8.3856),
        ("routerbench", "ood", 6.6862, 5.9456, 7.2795, 6.5746),
        ("mmrbench", "in-domain", 7.5794, 8.8153, 8.151, 8.2276),
        ("mmrbench", "ood", 5.7718, 0.9847, 6.3383, 7.038),
    ],
)
def test_the_columns_add_up_to_those_of_the_paper(
    dataset: str, split: SplitKind, nauc: float, qnc: float, peak_score: float, rci: float
) -> None:
    published = published_for(dataset, split)
    assert published is not None
    rows = published.rows.values()
    assert sum(row.nauc for row in rows) == pytest.approx(nauc)
    assert sum(row.qnc or 0.0 for row in rows) == pytest.approx(qnc)
    assert sum(row.peak_score for row in rows) == pytest.approx(peak_score)
    assert sum(row.rci for row in rows) == pytest.approx(rci)


def test_routers_of_this_package_carry_its_names() -> None:
    published = published_for("routerbench")
    assert published is not None
    assert {"knn", "mlp", "equirouter"} <= set(published.rows) & set(ROUTERS.names())
