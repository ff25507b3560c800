"""The documentation agrees with the program: help texts, links, and examples that run."""

import ast
import csv
import re
import runpy
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
from typer.testing import CliRunner

from equirouter.cli.app import app
from equirouter.cli.reference import reference, settings_reference

REPOSITORY = Path(__file__).parents[1]
SCRIPT = runpy.run_path(str(REPOSITORY / "benchmarks" / "pages.py"))
chosen, filled, DOCS = SCRIPT["chosen"], SCRIPT["filled"], SCRIPT["DOCS"]
PAGES = [
    page
    for page in (
        *sorted(REPOSITORY.glob("*.md")),
        *sorted((REPOSITORY / "docs").rglob("*.md")),
    )
    if page.exists()
]
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+)(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#+\s+(.+?)\s*$", re.MULTILINE)
HOME = re.compile(r"https://github\.com/equirouter/equirouter/(?:blob|tree|raw)/main/")
"""Files of the project that are not pages of the site are linked by their address."""
COMPLETE = re.compile(r"<!-- complete example -->\n```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
"""A block under this comment, which readers do not see, is run as a file of its own."""


GENERATED = {"commands.md": reference, "settings.md": settings_reference}
"""Files that `make docs` writes into build/, and pages include."""
INCLUDE = re.compile(r"^{% include-markdown \"\.\./build/(.+)\" %}$", re.MULTILINE)


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


@cache
def text_of(page: Path) -> str:
    """A page as the site has it, with what is made from the code."""
    return INCLUDE.sub(lambda found: GENERATED[found[1]](), page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = HEADING.findall(FENCE.sub("", text_of(page)))
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


def test_options_of_every_command_are_named_once_on_the_command_line_page() -> None:
    page = text_of(REPOSITORY / "docs" / "cli.md")
    assert page.count("No progress and no remarks") == 0
    assert page.count("One JSON document on stdout") == page.count("`--quiet`") - 1 == 0
    assert not re.search(r"^(Options|Output):\n\n", page, re.MULTILINE)


def test_every_option_of_a_command_is_named_in_its_section() -> None:
    introduction, *sections = re.split(r"^## `equirouter ?", reference(), flags=re.MULTILINE)
    seen = set()
    for section in sections:
        command, _, body = section.partition("`")
        shown = CliRunner().invoke(app, [*command.split(), "--help"], prog_name="equirouter").output
        options = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", shown, re.MULTILINE))
        own = options - {"--json", "--quiet", "--help"}
        assert {name for name in own if not re.search(rf"{name}(?![\w-])", body)} == set(), command
        seen |= own
    assert len(seen) > 80
    for name in seen & set(re.findall(r"^- `(--[\w-]+)", introduction, re.MULTILINE)):
        assert not re.search(rf"^  {name} ", "".join(sections), re.MULTILINE), name


def test_tables_of_results_are_what_their_data_say() -> None:
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "pages.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_tables_of_results_name_each_column_once_and_are_shown_or_linked() -> None:
    pages = "".join(page.read_text("utf-8") for page in PAGES)
    for path in (REPOSITORY / "docs" / "benchmarks" / "data").glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        assert len(set(header)) == len(header), path
        assert {len(row) for row in rows} == {len(header)}, path
        shown = re.findall(rf"<!-- table: {path.stem}(?:;.*)? -->", pages)
        assert len(shown) == 1 or f"data/{path.name})" in pages, path


def test_a_page_chooses_columns_and_rows_of_a_table() -> None:
    table = [
        ["router", "98 %", "± 98 %", "90 %"],
        ["knn", "0.8", "0.1", "0.5"],
        ["mlp", "", "", ""],
    ]
    assert chosen(table, "") == table
    choice = "; columns: 98 %|router; rows: router = knn"
    assert chosen(table, choice) == [["98 %", "± 98 %", "router"], ["0.8", "0.1", "knn"]]
    for wrong in ("; columns: 99 %", "; rows: router = svm"):
        with pytest.raises(ValueError, match="correct the comment"):
            chosen(table, wrong)


def test_a_part_of_a_table_comes_with_a_link_to_the_whole() -> None:
    shown = filled("<!-- table: evidence-cost; columns: router -->\n<!-- end of table -->", DOCS)
    assert "](benchmarks/data/evidence-cost.csv)" in shown
    assert filled(shown, DOCS) == shown
    whole = filled("<!-- table: evidence-cost -->\n<!-- end of table -->", DOCS)
    assert "](" not in whole


def test_the_readme_has_the_figures_of_the_page_of_evidence() -> None:
    """On ZeroEval: the default, `task`, and the best of the paper's eight; 33 % is 0.326."""
    data = REPOSITORY / "docs" / "benchmarks" / "data" / "evidence-cost.csv"
    with data.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["table"] == "zeroeval"]
    ours = {row["router"]: row for row in rows if row["protocol"] == "default"}
    theirs = [
        row
        for row in rows
        if row["protocol"] == "paper" and not row["router"].startswith("equirouter")
    ]
    assert len(theirs) == 8
    readme = (REPOSITORY / "README.md").read_text("utf-8")
    cell = r"\**(\d+) % ± (\d+)\** \|"
    shown = [tuple(map(int, row)) for row in re.findall(f"{cell} {cell}", readme)]
    assert len(shown) == 3
    for at, quality in enumerate(("98 %", "95 %")):
        best = min(theirs, key=lambda row: float(row[quality]))
        for found, row in zip(shown, (ours["factors"], ours["task"], best), strict=True):
            exact = [100 * float(row[name]) for name in (quality, f"± {quality}")]
            assert found[2 * at : 2 * at + 2] == pytest.approx(exact, abs=0.51), row


MOST_WORDS = {"a page": 1200, "README.md": 500, "all pages": 35_000}
"""As `wc -w` counts them: tables, code and comments too."""


def words(text: str) -> int:
    """What is read: the bars of tables are no words."""
    return sum(bool(re.search(r"\w", word)) for word in text.split())


def test_pages_are_short() -> None:
    counted = {name_of(page): len(page.read_text("utf-8").split()) for page in PAGES}
    most = {name: MOST_WORDS.get(name, MOST_WORDS["a page"]) for name in counted}
    long = {name: n for name, n in counted.items() if n > most[name]}
    assert not long, f"cut them, or split them: at most {MOST_WORDS['a page']} words a page"
    assert sum(counted.values()) <= MOST_WORDS["all pages"]
    read = sum(words(FENCE.sub("", text_of(page))) for page in PAGES)
    assert read <= MOST_WORDS["all pages"], "with what the site adds from the code, without code"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_rows_of_a_table_have_a_cell_for_every_column(page: Path) -> None:
    for block in re.split(r"\n\s*\n", FENCE.sub("", text_of(page))):
        lines = [line for line in block.splitlines() if not line.startswith("<!--")]
        if len(lines) > 1 and re.fullmatch(r"\|[-:| ]+\|", lines[1]):
            cells = [len(re.findall(r"(?<!\\)\|", line)) for line in lines]
            assert set(cells) == {cells[0]}, lines[0]


def sentences(text: str) -> list[str]:
    """Of paragraphs and items of lists: no code, no tables, no formulas."""
    prose = re.sub(r"^(\||#|    |<!--|:::).*$", "", FENCE.sub("", text), flags=re.MULTILINE)
    prose = re.sub(r"\]\([^)]*\)", "]", prose)
    prose = re.sub(r"`[^`]*`", "CODE", prose)
    blocks = re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", prose)
    return [part for block in blocks for part in re.split(r"(?<=[.!?:;])\s+", block)]


def test_sentences_can_be_read_by_the_tired() -> None:
    long = [
        f"{name_of(page)}: {' '.join(sentence.split())}"
        for page in PAGES
        for sentence in sentences(page.read_text("utf-8"))
        if words(sentence) > 36
    ]
    assert long == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_resolves(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", text_of(page))):
        ours = HOME.match(link)
        if re.match(r"[a-z]+:", link) and not ours:
            continue
        file, _, anchor = unquote(link[ours.end() :] if ours else link).partition("#")
        start = REPOSITORY if ours else page.parent
        target = (start / file).resolve() if file else page
        assert target.exists(), f"{name_of(page)} links to {link}"
        assert target.is_relative_to(REPOSITORY), f"{name_of(page)} links out of the project"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{name_of(page)} links to {link}"


EXAMPLES = [
    pytest.param(code, id=f"{name_of(page)}-{number}")
    for page in PAGES
    for number, code in enumerate(COMPLETE.findall(page.read_text("utf-8")), start=1)
]


@pytest.mark.skipif(not EXAMPLES, reason="no page has a complete example")
@pytest.mark.parametrize("code", EXAMPLES)
def test_complete_examples_run(code: str, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(code, "utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_no_message_cites_a_page_that_the_package_does_not_have() -> None:
    cited = []
    for path in sorted((REPOSITORY / "src").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        nodes = list(ast.walk(tree))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        cited += [
            f"{path.name}:{node.lineno}: {node.value}"
            for node in nodes
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings
            and re.search(r"docs/[\w-]+\.md", node.value)
        ]
    assert cited == []


def test_the_site_builds_without_a_broken_link_or_anchor(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "docs", tmp_path / "docs")
    shutil.copy(REPOSITORY / "zensical.toml", tmp_path)
    (tmp_path / "src").symlink_to(REPOSITORY / "src")
    (tmp_path / "build").mkdir()
    for name, made in GENERATED.items():
        (tmp_path / "build" / name).write_text(made(), "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "index.html").exists()
    for name, has in (("cli", "--exclude-models"), ("gateway-settings", "shutdown_seconds")):
        assert has in (tmp_path / "site" / name / "index.html").read_text("utf-8")


def test_every_page_is_in_the_sites_navigation() -> None:
    text = (REPOSITORY / "zensical.toml").read_text("utf-8")
    docs = REPOSITORY / "docs"
    missing = [
        name
        for page in docs.rglob("*.md")
        if f'"{(name := page.relative_to(docs).as_posix())}"' not in text
    ]
    assert missing == []
