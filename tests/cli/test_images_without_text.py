"""A query that is only an image is left out for an encoder of text, with a note."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from equirouter.data.tables import write_table
from tests.cli.conftest import bench_arguments
from tests.cli.invoke import invoke
from tests.toys import HashingEncoder, make_table

NOTE = "1 query is an image without a text (the first is 'q7', row 7), which the encoder toy does"
TRAIN = ("--encoder", "toy", "--router", "knn:k=5", "--quality", "0.3")


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictured") / "toy.jsonl"
    plain = make_table()
    texts = (*plain.texts[:7], "", *plain.texts[8:])
    write_table(replace(plain, texts=texts, image_paths=("x.png",) * len(texts)), path)
    return path


def test_bench_leaves_it_out(pictured: Path, tmp_path: Path) -> None:
    ran = invoke(*bench_arguments(pictured, tmp_path, ("knn:k=5",)), "--json")
    assert ran.code == 0, ran.err
    assert ran.err.count(NOTE) == 1
    document = json.loads(ran.out)
    assert document["dataset"]["n_queries"] == 119
    assert any(NOTE in note for note in document["outcomes"]["notes"])


def test_train_and_diagnose_leave_it_out(pictured: Path, tmp_path: Path) -> None:
    ran = invoke("train", pictured, *TRAIN, "--out", tmp_path / "p")
    assert ran.code == 0, ran.err
    assert ran.err.count(NOTE) == 1
    data = json.loads((tmp_path / "p" / "versions/0001/pipeline.json").read_text("utf-8"))["data"]
    assert data["n_queries"] == 119
    assert any(NOTE in note for note in data["notes"])
    options = ["--pipeline", tmp_path / "p", "--resamples", 5, "--json", "--quiet"]
    ran = invoke("diagnose", pictured, *options)
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["setup"]["trained_here"] is True
    assert any(NOTE in warning for warning in found["warnings"])


def test_embeddings_that_were_given_need_no_text(pictured: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", HashingEncoder().encode(make_table().texts))
    given = ["--embeddings", tmp_path / "e.npy"]
    ran = invoke("train", pictured, *TRAIN, *given, "--out", tmp_path / "p")
    assert ran.code == 0, ran.err
    data = json.loads((tmp_path / "p" / "versions/0001/pipeline.json").read_text("utf-8"))["data"]
    assert data["n_queries"] == 120


def test_a_table_of_images_alone_is_refused(tmp_path: Path) -> None:
    plain = make_table()
    n = plain.n_queries
    images = tuple(f"{row}.png" for row in range(n))
    write_table(replace(plain, texts=("",) * n, image_paths=images), tmp_path / "t.jsonl")
    ran = invoke("train", tmp_path / "t.jsonl", *TRAIN, "--out", tmp_path / "p")
    assert ran.code == 2
    assert "120 queries are an image without a text" in ran.err
    assert "no other query is left; choose an encoder that reads images" in ran.err
