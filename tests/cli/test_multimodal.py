"""Queries with images through the commands: bench, train and route."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equirouter.data.tables import read_table, write_table
from tests.cli.invoke import invoke
from tests.encoders.tiny_models import tiny_clip, write_picture
from tests.toys import make_table

pytestmark = [
    pytest.mark.skipif(
        find_spec("sentence_transformers") is None,
        reason="sentence-transformers is not installed (extra vision)",
    ),
    pytest.mark.filterwarnings("ignore"),  # of torch and transformers, not of ours
]


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each query has one of three pictures beside the table's file."""
    folder = tmp_path_factory.mktemp("multimodal")
    for seed in range(3):
        write_picture(folder / f"{seed}.png", seed)
    plain = make_table()
    paths = tuple(f"{row % 3}.png" for row in range(plain.n_queries))
    write_table(replace(plain, image_paths=paths), folder / "toy.jsonl")
    return folder / "toy.jsonl"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tiny_clip(tmp_path_factory.mktemp("models") / "clip")
    return ["--encoder", "vision", "--encoder-option", "device=cpu", "--weights", folder]


def bench(pictured: Path, folder: Path, *options: object) -> tuple[dict[str, Any], str]:
    fast = ["--routers", "linear", "--seeds", 1, "--resamples", 5, "--json", "--out", folder]
    ran = invoke("bench", pictured, *options, *fast)
    assert ran.code == 0, ran.err
    return json.loads(ran.out), ran.err


def test_bench_reads_both_or_either(pictured: Path, encoder: list[Any], tmp_path: Path) -> None:
    both, messages = bench(pictured, tmp_path, *encoder)
    assert both["protocol"]["encoder_settings"]["parts"] == "text+image"
    assert both["protocol"]["encoder_notes"] == []
    assert "note: 120" not in messages
    alone, _ = bench(pictured, tmp_path, *encoder, "--encoder-option", "parts=image")
    assert alone["protocol"]["encoder_settings"]["parts"] == "image"
    assert "have an image" in alone["visibility"]["warning"]  # three pictures for 120 queries
    text, messages = bench(pictured, tmp_path, "--encoder", "toy")
    note = "120 of 120 queries have an image, which the encoder toy does not read"
    assert note in messages
    assert note in text["protocol"]["encoder_notes"][0]


def test_a_pipeline_decides_on_the_image(
    pictured: Path, encoder: list[Any], tmp_path: Path
) -> None:
    options = ["--router", "linear", "--quality", "0.3", "--out", tmp_path]
    ran = invoke("train", pictured, *encoder, *options)
    assert ran.code == 0, ran.err
    image, weights = str(pictured.parent / "0.png"), encoder[-2:]
    lines = [{"query": "cat", "image": image}, {"query": "", "image": image}, {"query": "cat"}]
    stdin = "".join(json.dumps(line) + "\n" for line in lines).encode()
    ran = invoke("route", tmp_path, "-", *weights, stdin=stdin)
    assert ran.code == 0, ran.err
    decisions = [json.loads(line) for line in ran.out.splitlines()]
    scores = np.array([list(decision["scores"].values()) for decision in decisions])
    assert len(np.unique(scores, axis=0)) == 3
    alone = invoke("route", tmp_path, "cat", "--image", image, *weights, "--json")
    assert json.loads(alone.out)["scores"] == pytest.approx(decisions[0]["scores"])
    gone = invoke("route", tmp_path, "cat", "--image", "gone.png", *weights)
    assert (gone.code, "image gone.png: " in gone.err) == (2, True)
    number = invoke("route", tmp_path, "-", *weights, stdin=b'{"query": "a", "image": 3}\n')
    assert (number.code, "line 1: image is 3" in number.err) == (2, True)
    stream = invoke("route", tmp_path, "-", "--image", image, *weights)
    assert stream.code == 2


def test_a_pipeline_of_text_refuses_an_image(pictured: Path, pipeline: Path) -> None:
    ran = invoke("route", pipeline, "easy query", "--image", pictured.parent / "0.png")
    assert ran.code == 2
    assert "encoder toy reads text only" in ran.err


def test_a_pipeline_of_text_is_diagnosed_on_a_table_with_images(
    pictured: Path, pipeline: Path
) -> None:
    table = read_table(pictured)
    alike = pictured.parent / "alike.jsonl"  # one text, three pictures
    write_table(replace(table, texts=("what is it?",) * table.n_queries), alike)
    options = ["--pipeline", pipeline, "--resamples", 0, "--quiet", "--json"]
    ran = invoke("diagnose", alike, *options)
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["visibility"]["share"] == 1.0
