"""What is loaded when: starting the command line must not wait for what a command may need."""

import subprocess
import sys

import pytest

# Typer asks pydantic whether a default fits its option, as soon as a command with options is named.
NEVER = {
    "torch",
    "onnxruntime",
    "sklearn",
    "pandas",
    "matplotlib",
    "jinja2",
    "tokenizers",
}
HEAVY = NEVER | {"numpy", "pyarrow", "pydantic", "rich", "safetensors", "huggingface_hub"}

DECIDE = "train('simulated:n_queries=80', 'lexical', quality=0.3, resamples=0).decide('a query')"
HELP = "from equirouter.cli.app import run; assert run({arguments!r}) == 0"
CASES = {
    "import equirouter": HEAVY,
    "import equirouter; dir(equirouter)": HEAVY,
    "import equirouter.cli": HEAVY,
    "import equirouter.cli.app": HEAVY,
    "import equirouter.registry": HEAVY,
    "import equirouter.encoders, equirouter.routers, equirouter.policy, equirouter.cost": NEVER,
    "import equirouter.encoders.static": NEVER | {"equirouter.encoders.minilm"},
    "import equirouter.encoders.minilm": NEVER | {"urllib.request"},
    "import equirouter.pipeline.scorer, equirouter.onnxgraph": NEVER | {"onnx"},
    "import equirouter.data": NEVER | {"pyarrow"},
    "import equirouter.testing": NEVER | {"onnx", "pytest"},
    "import equirouter.report, equirouter.evaluation.benchmark, equirouter.pipeline.stored": NEVER,
    "import equirouter.paper": NEVER,
    f"from equirouter import train; {DECIDE}": NEVER | {"onnx"},  # lexical needs no runtime
    HELP.format(arguments=["--help"]): HEAVY,
    **{
        HELP.format(arguments=[command, "--help"]): HEAVY - {"pydantic"}
        for command in ("bench", "train", "route", "report", "paper", "data")
    },
    HELP.format(arguments=["--version"]): HEAVY,
    HELP.format(arguments=["data", "list"]): NEVER,
}


@pytest.mark.parametrize("statement", CASES)
def test_nothing_is_loaded_before_it_is_needed(statement: str) -> None:
    unwanted = sorted(CASES[statement])
    code = f"{statement}\nimport sys\nprint(sorted(set({unwanted}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
