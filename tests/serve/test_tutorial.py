"""docs/gateway.md: its first part as it is written, and every command in the gateway's pages."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer.main

from equirouter.cli.app import app

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "examples" / "gateway"
DOCS = REPOSITORY / "docs"
PAGES = [page for page in (REPOSITORY / "README.md", *DOCS.rglob("*.md")) if page.name != "cli.md"]
COMMAND = re.compile(r"(?<![/\w-])equirouter ((?:[a-z][\w-]*|--)[^\n`;#\\]*)")


def written() -> list[str]:
    found = set()
    for page in PAGES:
        text = page.read_text("utf-8")
        blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
        spans = re.findall(r"`(equirouter [^`]+)`", text)
        for one in (*blocks, *spans):
            found |= {match.strip() for match in COMMAND.findall(one)}
    return sorted(found)


@pytest.mark.parametrize("line", written())
def test_commands_in_the_pages_exist(line: str) -> None:
    command = typer.main.get_command(app)
    words = line.split()
    while (
        words and words[0][0] != "-" and (commands := getattr(command, "commands", None))
    ):  # a group has them
        name = words.pop(0)
        assert name in commands, line
        command = commands[name]
    known = {"--help"} | {option for one in command.params for option in one.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, line


def test_there_are_commands_to_check() -> None:
    assert len(written()) > 12


@contextmanager
def running(*command: str, says: str) -> Iterator[str]:
    """A program in the background; gives what it says after some words in its first lines."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if says in line:
                    yield line.partition(says)[2].split()[0]
                    break
            else:
                pytest.fail(f"{command} ended with {process.wait()}")
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()


def test_the_first_part_works_as_it_is_written(tmp_path: Path) -> None:
    train = ("train", "simulated", "--encoder", "static", "--quality", "0.95", "--quiet", "--out")
    subprocess.run(
        [sys.executable, "-m", "equirouter", *train, str(tmp_path / "demo-pipeline")], check=True
    )
    provider = str(EXAMPLES / "pretend_provider.py")
    with running(provider, "--port", "0", says="pretending on ") as upstream:
        text = (EXAMPLES / "gateway.toml").read_text("utf-8")
        text = text.replace("port = 8080", "port = 0").replace("http://127.0.0.1:9100/v1", upstream)
        (tmp_path / "gateway.toml").write_text(text, "utf-8")
        serve = ("-m", "equirouter", "serve", str(tmp_path / "gateway.toml"))
        with running(*serve, says="serving on ") as gateway:
            send = [str(EXAMPLES / "send_traffic.py"), "--gateway", gateway, "--n", "40"]
            done = subprocess.run(
                [sys.executable, *send], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            answered = [line.split() for line in done.stdout.splitlines() if line[:5].strip()]
            assert sum(int(count) for count, _ in answered) == 40
            while len(_get(f"{gateway}/admin/decisions?limit=50")["decisions"]) < 40:
                pass  # the log is written a tenth of a second later
            found = _get(f"{gateway}/admin/summary?period=1h")
    assert found["totals"]["requests"] == found["totals"]["routed"] == 40
    assert found["totals"]["errors"] == 0
    assert found["totals"]["saved_usd"] > 0
    assert sum(one["count"] for one in found["feedback"]) == 8
    assert found["strongest"] == "gpt-4-1106-preview"
    assert {one["class"] for one in found["collapse"]} == {
        "auto",
        "budget up to 0.002",
        "quality 0.9",
    }


def _get(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url) as answer:  # noqa: S310
        document = json.load(answer)
    assert isinstance(document, dict)
    return document
