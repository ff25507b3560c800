"""Every promised name is there, and every folder says what is in it."""

import ast
from collections import defaultdict
from importlib import import_module
from pathlib import Path

import pytest

import equirouter

SOURCE = Path(equirouter.__file__).parent
FOLDERS = sorted(path.parent for path in SOURCE.rglob("__init__.py") if path.parent != SOURCE)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_promised_name_exists(folder: Path) -> None:
    package = import_module(".".join(("equirouter", *folder.relative_to(SOURCE).parts)))
    promised = getattr(package, "__all__", [])
    assert len(set(promised)) == len(promised)
    missing = [name for name in promised if not hasattr(package, name)]
    assert not missing


def test_no_two_classes_have_one_name() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in SOURCE.rglob("*.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path.relative_to(SOURCE).as_posix())
    assert not {name: files for name, files in places.items() if len(files) > 1}


def test_no_module_takes_a_private_name_of_another() -> None:
    taken = [
        f"{path.relative_to(SOURCE)}: {alias.name} of {node.module}"
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.endswith("__")
    ]
    assert not taken, "a leading underscore says that a name is its module's own"


def test_the_public_names_resolve_and_are_the_whole_of_dir() -> None:
    assert dir(equirouter) == sorted(equirouter.__all__)
    for name in equirouter.__all__:
        assert getattr(equirouter, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = equirouter.Nothing


def test_type_checkers_see_the_same_public_names() -> None:
    tree = ast.parse(Path(equirouter.__file__).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == equirouter._PUBLIC


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_folder_names_its_modules(folder: Path) -> None:
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))) or ""
    assert text.strip()
    modules = [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
    unnamed = [
        module
        for module in modules
        if f"{module}.py" not in text and f"{module.partition('_')[0]}_*.py" not in text
    ]
    assert not unnamed, f"the docstring of {folder.name}/__init__.py is its table of contents"
