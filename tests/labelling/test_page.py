"""docs/collect.md: every command of it, against a pretend provider."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.labelling.pretend import Body, provider

PAGE = (Path(__file__).parents[2] / "docs" / "collect.md").read_text("utf-8")
N = 150


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def answer(body: Body) -> Any:
    text = body["messages"][-1]["content"]
    if text.startswith("You grade"):
        return f"Score: {len(text) % 11}"
    number = int(re.findall(r"\d+", text)[0])
    model = {"gpt-4o-mini": 2, "gpt-4.1-mini": 3}.get(body["model"], 7)
    return f"It is {2 * number if number % 7 < model else 'unknown'}"


def opened_and_closed(line: str, folder: Path) -> str:
    """The command's first line, and then Ctrl-C."""
    with subprocess.Popen(
        [sys.executable, "-m", *shlex.split(line)],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert first.startswith("open http://127.0.0.1:")
    return first


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("page")
    toml = re.findall(r"^```toml\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)[0]
    texts = [f"What is twice {number}?" for number in range(N)]
    rows = [f"{text},{2 * number}" for number, text in enumerate(texts)]
    asked = [{"messages": [{"role": "user", "content": text}]} for text in texts]
    log = "".join(json.dumps(one) + "\n" for one in asked)
    (folder / "requests.jsonl").write_text(log, "utf-8")
    (folder / "references.csv").write_text("\n".join(["query,reference", *rows]) + "\n", "utf-8")
    said = {}
    with provider(answer) as made:
        settings = toml.replace("https://api.openai.com/v1", made.url)
        (folder / "gateway.toml").write_text(settings, "utf-8")
        for line in commands():
            if line.startswith("equirouter review"):
                said[line] = opened_and_closed(line, folder)
                continue
            done = subprocess.run(
                [sys.executable, "-m", *shlex.split(line, comments=True)],
                cwd=folder,
                env={**os.environ, "OPENAI_API_KEY": "pretend"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            said[line] = done.stdout
    return said


def test_every_command_of_the_page_runs(outputs: Any) -> None:
    assert len(outputs) >= 6
    assert all(line.startswith("equirouter ") for line in outputs)


def test_they_say_what_the_page_says(outputs: Any) -> None:
    collected, scored = list(outputs.values())[2:4]
    assert f"{4 * N} new answers, 0 failed, 0 missing" in collected
    assert f"{N} complete; scored by number ({4 * N})" in scored


def test_the_page_is_short() -> None:
    assert len(PAGE.split()) <= 600
