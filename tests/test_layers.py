"""Which file may import which, and how long a file and a function may be: read from the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "equirouter"
LAYERS = (
    "data",
    "encoders",
    "routers",
    "cost",
    "checks",
    "policy",
    "pipeline",
    "training",
    "evaluation",
    "serve",
    "labelling",
    "testing",
    "scale",
    "report",
    "paper",
    "integrations",
    "cli",
)
# data sets that publish token counts need prices: these stand on root files and each other only
FOR_ALL = tuple(
    f"equirouter.cost.{name}" for name in ("prices", "price_table", "published_prices", "usage")
)
CANVAS = "equirouter.report.canvas"
SERVE_ROOMS = (
    "",
    "money",
    "call",
    "watch",
    "plan",
    "dashboard",
    "front",
    "http",
    "run",
)  # "": its root files
LONGEST_MODULE, LONGEST_FUNCTION, MOST_MODULES = 400, 60, 20
FILES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, module) of every import of the package, those in functions and for types too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.partition(".")[0] == "equirouter":
                yield node.lineno, name


def part(module: str) -> str:
    """What of the package a module belongs to: a folder, a root file, or "" for the package."""
    found = module.split(".")[1] if "." in module else ""
    is_part = (SOURCE / found).is_dir() or (SOURCE / f"{found}.py").is_file()
    return found if is_part else ""  # a name in equirouter/__init__.py, such as __version__


def may_import(importer: str, target: str) -> bool:
    """Whether a file of one part may import another part."""
    if importer in ("", "__main__"):
        return True  # the public names, each imported when it is used
    if target == "serve":
        return importer in ("serve", "labelling", "cli")  # what measures must not need a gateway
    if importer == "serve" and target in ("training", "evaluation"):
        return False  # what answers requests learns and measures nothing
    if target in LAYERS:
        return importer in LAYERS and LAYERS.index(target) <= LAYERS.index(importer)
    return True


@pytest.mark.parametrize("file", FILES)
def test_a_file_imports_from_its_own_folder_and_those_above(file: str) -> None:
    importer = file.split("/")[0].removesuffix(".py").replace("__init__", "")
    stands_on_nothing = file in [name.replace(".", "/") + ".py" for name in FOR_ALL]
    wrong = [
        f"line {line}: {module}"
        for line, module in imported(SOURCE / file)
        if not may_import("errors" if stands_on_nothing else importer, part(module))
        and not module.startswith(FOR_ALL)
        # results can draw themselves
        and not (file == "evaluation/results.py" and module.startswith(CANVAS))
    ]
    assert not wrong, f"{file} imports what stands below it"


def serve_room(module: str) -> str | None:
    """The room of the gateway that a module is in, "" for its root files, None outside of it."""
    parts = module.split(".")
    if parts[:2] != ["equirouter", "serve"]:
        return None
    return parts[2] if len(parts) > 2 and parts[2] in SERVE_ROOMS else ""


SERVE_FILES = [file for file in FILES if file.startswith("serve/")]


@pytest.mark.parametrize("file", SERVE_FILES)
def test_a_file_of_the_gateway_imports_from_its_own_room_and_those_above(file: str) -> None:
    room = serve_room("equirouter." + file.removesuffix(".py").replace("/", "."))
    assert room is not None
    wrong = [
        f"line {line}: {module}"
        for line, module in imported(SOURCE / file)
        if (target := serve_room(module)) is not None
        and SERVE_ROOMS.index(target) > SERVE_ROOMS.index(room)
    ]
    assert not wrong, f"{file} imports from a room that stands below it"


def import_graph() -> dict[str, set[str]]:
    """Module -> the modules that it imports, in functions and for types too.

    Without `equirouter` itself, whose public names are imported when they are used.
    """
    names = {file.removesuffix(".py").removesuffix("/__init__"): file for file in FILES}
    graph: dict[str, set[str]] = {}
    for name, file in names.items():
        if name == "__init__":
            continue
        graph[name] = set()
        for _, module in imported(SOURCE / file):
            target = module.replace(".", "/").removeprefix("equirouter/")
            while target and target not in names:
                target = target.rpartition("/")[0]
            if target and target != name:
                graph[name].add(target)
    return graph


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """The groups of modules each of which imports all others of its group, in some steps."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            new = graph[waiting.pop()] - seen
            seen |= new
            waiting += new
        return seen

    reach = {name: reached(name) for name in graph}
    groups = {
        frozenset(other for other in graph if other in reach[name] and name in reach[other])
        for name in graph
    }
    return sorted((set(group) for group in groups if group), key=min)


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert circles(import_graph()) == []


def test_a_circle_is_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}
    assert circles(graph) == [{"b", "c"}]


def test_the_rule_finds_what_it_should() -> None:
    assert may_import("evaluation", "data")
    assert may_import("cli", "pipeline")
    assert may_import("evaluation", "training")
    assert may_import("pipeline", "policy")
    assert may_import("data", "errors")
    assert not may_import("data", "encoders")
    assert not may_import("training", "evaluation")
    assert not may_import("policy", "pipeline")
    assert not may_import("pipeline", "evaluation")
    assert not may_import("errors", "data")
    assert may_import("serve", "pipeline")
    assert may_import("cli", "serve")
    assert not may_import("serve", "training")
    assert not may_import("serve", "evaluation")
    assert not may_import("report", "serve")


def test_every_folder_is_a_layer() -> None:
    folders = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name[0] != "_"}
    assert folders == set(LAYERS)


@pytest.mark.parametrize("file", FILES)
def test_files_and_functions_are_short(file: str) -> None:
    text = (SOURCE / file).read_text("utf-8")
    assert len(text.splitlines()) <= LONGEST_MODULE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            described = (ast.get_docstring(node, clean=False) or "").count("\n") + 1
            length = node.end_lineno - node.lineno + 2 - described
            assert length <= LONGEST_FUNCTION, f"{file}: {node.name} has {length} lines"


@pytest.mark.parametrize("folder", sorted({file.rpartition("/")[0] for file in FILES}))
def test_a_folder_is_not_too_full(folder: str) -> None:
    modules = [path for path in (SOURCE / folder).glob("*.py") if path.stem != "__init__"]
    assert len(modules) <= MOST_MODULES
