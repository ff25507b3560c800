"""`routers`: list, show."""

import json
from pathlib import Path

import pytest

from equirouter.registry import ROUTERS
from tests.cli.invoke import invoke

OWN = Path(__file__).parents[2] / "examples" / "my_router.py"


def test_list_has_every_router_and_its_presets() -> None:
    shown = invoke("routers", "list").out
    listed = [line.split()[0] for line in shown.splitlines() if line[:1].strip()]
    assert listed == [*ROUTERS.names(), "Settings"]
    assert "presets: paper, original, paper-without-joint-feature" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    documents = json.loads(invoke("routers", "list", "--json").out)
    assert [document["name"] for document in documents] == ROUTERS.names()
    assert all(document["description"] for document in documents)


def test_show_has_presets_and_settings_with_type_default_and_meaning() -> None:
    shown = invoke("routers", "show", "svm").out
    assert "  original: loss=absolute, epsilon=0.0, c=1.0\n" in shown
    setting = (
        "  c: a number, above 0; default 0.01\n    Weight of the errors against the L2 penalty"
    )
    assert setting in shown
    assert "absolute errors, epsilon 0, c 1." in shown  # of the docstring
    assert max(map(len, invoke("routers", "show", "equirouter").out.splitlines())) <= 100


def test_show_is_one_document_of_json() -> None:
    document = json.loads(invoke("routers", "show", "knn", "--json").out)
    assert document["presets"] == {"default": {}}
    assert document["settings"][0] == {
        "name": "k",
        "type": "a whole number, at least 1",
        "default": 50,
        "meaning": "Number of neighbours; fewer training queries than this are all neighbours.",
    }


def test_a_router_in_a_file_is_shown(tmp_path: Path) -> None:
    shown = invoke("routers", "show", f"{OWN}:MyRouter").out
    assert "  strength: a number, above 0; default 5.0\n    How much" in shown
    needy = tmp_path / "needy.py"
    init = "    def __init__(self, *, depth: int):\n        self.depth = depth\n"
    text = OWN.read_text("utf-8").partition("if __name__")[0]
    needy.write_text(f"{text}\nclass Needy(MyRouter):\n    '''Needs depth.'''\n\n{init}", "utf-8")
    assert "  depth: int; must be given\n" in invoke("routers", "show", f"{needy}:Needy").out
    document = json.loads(invoke("routers", "show", f"{needy}:Needy", "--json").out)
    assert document["settings"] == [{"name": "depth", "type": "int", "meaning": ""}]


@pytest.mark.parametrize(
    ("name", "words"), [("kn", "did you mean 'knn'?"), ("no.py:Router", "no such file")]
)
def test_an_unknown_router_is_refused(name: str, words: str) -> None:
    ran = invoke("routers", "show", name)
    assert ran.code == 2
    assert words in ran.err
