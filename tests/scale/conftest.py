"""A small pipeline, and files of queries for it."""

from pathlib import Path

import pytest

from equirouter.evaluation.train import train
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.policy import Control, Needs
from equirouter.scale import pieces
from equirouter.scale.asked_rows import Asking
from tests.toys import HashingEncoder, make_table


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = train(make_table(), HashingEncoder(), router="knn:k=5", quality=0.3)
    return made.save(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture
def asking(folder: Path) -> Asking:
    pipeline = RoutingPipeline.load(folder, encoder=HashingEncoder())
    return Asking(pipeline, Control(), Needs())


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven rows of parquet, and 100 bytes of JSON lines, are a piece."""
    monkeypatch.setattr(pieces, "ROWS_PER_PIECE", 7)
    monkeypatch.setattr(pieces, "BYTES_PER_PIECE", 100)
