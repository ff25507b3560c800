"""Help in groups, with examples, and what a shell completes."""

import re
import shlex

import pytest

from equirouter.cli import grouped_help
from equirouter.cli.app import app
from tests.cli.invoke import invoke, invoke_process

NAMES = [command.name for command in app.registered_commands]


@pytest.mark.parametrize("arguments", [[], ["bench"], ["data", "list"], ["models"]])
def test_h_is_help(arguments: list[str]) -> None:
    assert invoke(*arguments, "-h") == invoke(*arguments, "--help")
    assert invoke(*arguments, "-h").code == 0


def test_commands_stand_under_headings_with_a_summary_of_one_line() -> None:
    text = invoke("-h").out
    groups = [group.name for group in app.registered_groups]
    for summaries in grouped_help.COMMANDS.values():
        for name, summary in summaries.items():
            line = re.search(rf"^  {name} +{re.escape(summary)}$", text, flags=re.MULTILINE)
            assert (line is not None) == (name in {*NAMES, *groups})


def test_options_stand_under_headings_in_one_place_each() -> None:
    text = invoke("bench", "-h").out
    parts = dict(re.findall(r"^(\w[\w ]*):\n((?:  .*\n|\n)+)", text, flags=re.MULTILINE))
    assert "--encoder NAME" in parts["What reads the queries"]
    assert "--models" in parts["Data"]
    assert "--json" in parts["Output"]
    assert text.count("  --seeds ") == 1


@pytest.mark.parametrize("command", sorted(grouped_help.EXAMPLES))
def test_examples_name_options_that_there_are(command: str) -> None:
    for example in grouped_help.EXAMPLES[command]:
        words = shlex.split(example.partition("   ")[0])
        assert words[0] == "equirouter"
        assert words[1] in NAMES
        shown = invoke(words[1], "-h").out
        for word in words:
            assert not word.startswith("--") or word in shown


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("equirouter diag", {"diagnose"}),
        ("equirouter bench simulated-r", {"simulated-routerbench"}),
        ("equirouter bench --routers factors,kn", {"factors,knn"}),
        ("equirouter train --encoder lex", {"lexical", "lexical+minilm"}),
    ],
)
def test_a_shell_completes_commands_and_names(typed: str, offered: set[str]) -> None:
    ran = invoke_process(
        _EQUIROUTER_COMPLETE="complete_bash",
        COMP_WORDS=typed,
        COMP_CWORD=str(len(typed.split()) - 1),
    )
    assert set(ran.out.split()) == offered
