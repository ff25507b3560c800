"""Every example runs as its first line says."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from equirouter.routers.make import make_router, router_class
from equirouter.testing import check_router

EXAMPLES = Path(__file__).parents[1] / "examples"
PRINTS = {"measure_your_own_table.py": "nAUC", "my_router.py": "MyRouter passes"}


def test_every_example_is_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(PRINTS)


@pytest.mark.parametrize("name", PRINTS)
def test_an_example_runs_and_prints_a_result(name: str) -> None:
    path = EXAMPLES / name
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert PRINTS[name] in done.stdout


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 2
    script = tmp_path / "notebook.py"
    script.write_text("\n".join(code), "utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:FigureCanvasAgg", script.name],
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_router_of_your_own_has_at_most_40_lines() -> None:
    assert len((EXAMPLES / "my_router.py").read_text("utf-8").splitlines()) <= 40


def test_the_router_of_the_tutorial_keeps_the_contract(tmp_path: Path) -> None:
    page = (EXAMPLES.parent / "docs" / "own-router.md").read_text("utf-8")
    code = page.partition('```python\n"""RidgeRouter')[2].partition("```")[0]
    file = tmp_path / "ridge.py"
    file.write_text(f'"""RidgeRouter{code}', "utf-8")
    assert make_router(f"{file}:RidgeRouter:penalty=100").settings == {"penalty": 100}
    assert check_router(router_class(f"{file}:RidgeRouter")) > 15


def test_a_router_of_another_package_joins_by_an_entry_point(tmp_path: Path) -> None:
    """An installed package is its modules and a folder of metadata beside them."""
    shutil.copy(EXAMPLES / "my_router.py", tmp_path)
    metadata = tmp_path / "my_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    entry = "[equirouter.routers]\nmy-router = my_router:MyRouter\n"
    (metadata / "entry_points.txt").write_text(entry)
    code = (
        "from equirouter import make_router; from equirouter.registry import ROUTERS; "
        "print(ROUTERS.names()[-1], make_router('my-router:strength=3').settings)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
    )
    assert done.stdout == "my-router {'strength': 3}\n", done.stderr
