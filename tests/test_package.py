"""The wheel and the sdist: built, installed into a clean environment, and run there."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from equirouter import __version__
from equirouter.data.sources.archives import unpack_tar

REPOSITORY = Path(__file__).parents[1]
SOURCE = REPOSITORY / "src"


def build(folder: Path, what: str, *, into: Path) -> None:
    """What a frontend does with hatchling, without a network."""
    code = f"from hatchling import build; build.build_{what}({str(into)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, timeout=300)


def content(wheel: Path) -> dict[str, int]:
    """The files of a wheel, each with the checksum of its bytes."""
    with zipfile.ZipFile(wheel) as archive:
        return {file.filename: file.CRC for file in archive.infolist()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist, built by hatchling without a network."""
    pytest.importorskip("hatchling", reason="hatchling, which builds the package, is not installed")
    folder = tmp_path_factory.mktemp("dist")
    build(REPOSITORY, "sdist", into=folder)
    build(REPOSITORY, "wheel", into=folder)
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that has the wheel, and not the checkout.

    Its dependencies are those of this environment, put behind its own packages: nothing is
    downloaded.
    """
    folder = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    programs = Path(sysconfig.get_path("scripts", "venv", {"base": str(folder)}))
    python = programs / ("python.exe" if os.name == "nt" else "python")
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    done = subprocess.run(
        [*pip, "--no-index", "--disable-pip-version-check", str(next(built.glob("*.whl")))],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"pip cannot install into another environment here: {done.stderr[-300:]}")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return programs


def run(programs: Path, *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """The program `equirouter`, without the checkout on its path."""
    variables = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [programs / "equirouter", *arguments],
        cwd=cwd,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_the_wheel_has_every_file_of_the_package_and_no_other(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        metadata = wheel.read(f"equirouter-{__version__}.dist-info/METADATA").decode()
    listed = subprocess.run(
        [
            shutil.which("git") or "git",
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "equirouter",
        ],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a checkout of git: the list of files is not known")
    assert names == {name for name in listed.stdout.splitlines() if (SOURCE / name).is_file()}
    assert "Requires-Python: <3.15,>=3.11" in metadata
    extras = {"train", "serve", "encoders", "weights", "all", "dev", "litellm"}
    provided = {
        line.partition(": ")[2]
        for line in metadata.splitlines()
        if line.startswith("Provides-Extra: ")
    }
    assert extras <= provided


def test_every_python_that_the_package_is_for_is_tested() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    named = re.findall(r":: Python :: (3\.\d+)$", "\n".join(project["classifiers"]), re.MULTILINE)
    workflow = (REPOSITORY / ".github" / "workflows" / "test.yml").read_text("utf-8")
    (matrix,) = re.findall(r"^\s*python: \[(.+)\]$", workflow, re.MULTILINE)
    assert re.findall(r'"([^"]+)"', matrix) == named


def test_the_sdist_builds_the_wheel_and_has_what_tests_it(built: Path, tmp_path: Path) -> None:
    unpacked = unpack_tar(next(built.glob("*.tar.gz")), tmp_path / "sdist")
    source = unpacked / f"equirouter-{__version__}"
    needed = ("LICENSE", "constraints.txt", "Makefile", "deploy/Dockerfile", "tests/test_docs.py")
    assert [name for name in needed if not (source / name).is_file()] == []
    build(source, "wheel", into=tmp_path)
    assert content(next(tmp_path.glob("*.whl"))) == content(next(built.glob("*.whl")))


def test_the_program_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    ran = run(installed, "--version", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, f"equirouter {__version__}\n"), ran.stderr
    python = [str(installed / "python"), "-c", "import equirouter; print(equirouter.__file__)"]
    variables = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    where = subprocess.run(python, env=variables, capture_output=True, text=True, check=True)
    assert str(installed.parent) in where.stdout


def test_data_files_are_found_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    options = ["--encoder", "lexical", "--routers", "factors", "--seeds", "1", "--resamples", "2"]
    table = "simulated:n_queries=100"
    ran = run(installed, "bench", table, *options, "--out", "run", "--quiet", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    ran = run(installed, "serve", "--example", cwd=tmp_path)
    assert "[upstreams." in ran.stdout
    (tmp_path / "gateway.toml").write_text(ran.stdout)
    ran = run(installed, "keys", "create", "gateway.toml", "--name", "one", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr  # the migrations of the store are there


def test_files_that_repeat_the_version_have_the_one_of_the_package() -> None:
    """It is set in `__init__.py`; citations, images and the changelog cannot read it there."""
    repeated = {
        "CITATION.cff": r"(?m)^version: (.+)$",
        "CHANGELOG.md": r"(?s)\A.*?\n## \[(.+?)\]",
        "deploy/compose.yaml": r"(?m)image: equirouter-gateway:(.+)$",
        "deploy/ray/raycluster.yaml": r"(?m)image: .*/equirouter-ray:(.+)$",
        "deploy/ray/rayjob.yaml": r"(?m)image: .*/equirouter-ray:(.+)$",
    }
    for file, pattern in repeated.items():
        stated = re.findall(pattern, (REPOSITORY / file).read_text("utf-8"))
        assert set(stated) == {__version__}, file


def test_only_extras_that_there_are_are_named() -> None:
    """In messages, pages, examples and images: each is a command that somebody will type."""
    with (REPOSITORY / "pyproject.toml").open("rb") as stream:
        extras = set(tomllib.load(stream)["project"]["optional-dependencies"])
    named: dict[str, str] = {}
    for folder in ("src", "docs", "examples", "deploy", "README.md", "Makefile", "CHANGELOG.md"):
        place = REPOSITORY / folder
        for file in place.rglob("*") if place.is_dir() else [place]:
            if file.suffix in {".py", ".md", ".toml", ".yaml", ""} and file.is_file():
                text = file.read_text("utf-8", errors="ignore")
                for listed in re.findall(r"(?:equirouter|'\.)\[([a-z][a-z,-]*)\]", text):
                    named |= dict.fromkeys(listed.split(","), str(file))
                for extra in re.findall(r"extra=\"([a-z-]+)\"", text):
                    named[extra] = str(file)
    del named["forbid"]  # pydantic's
    assert {extra: place for extra, place in named.items() if extra not in extras} == {}
    assert {"train", "weights", "serve"} <= named.keys()
