"""`equirouter serve` without serving: --example, --check, and what is wrong with a file."""

import json
import sqlite3
from pathlib import Path

import pytest

from equirouter.serve.settings_file import read_settings
from tests.cli.invoke import invoke

SETTINGS = """
[server]
port = 0
[store]
url = "sqlite:///{folder}/gateway.db"
[upstreams.u]
base_url = "http://127.0.0.1:9/v1"
{upstream}
[models.m]
upstream = "u"
{model}
"""
PRICE = "price = { input = 1, output = 2 }"


def written(folder: Path, *, upstream: str = "", model: str = PRICE) -> Path:
    path = folder / "gateway.toml"
    path.write_text(SETTINGS.format(folder=folder, upstream=upstream, model=model))
    return path


def test_the_example_is_a_file_that_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(invoke("serve", "--example").out)
    assert set(read_settings(path).models) == {"gpt-4.1-mini", "my-llama"}
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    refused = invoke("serve", path, "--check")
    assert refused.code == 2
    assert "OPENAI_API_KEY is not set" in refused.err
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    ran = invoke("serve", path, "--check")
    assert (ran.code, "sk-secret" in ran.out + ran.err) == (0, False)


def test_check_says_what_would_be_served(tmp_path: Path) -> None:
    path = written(tmp_path)
    said = invoke("serve", path, "--check").out
    assert "1 model is ready" in said
    assert "only requests that name a model are served" in said
    found = json.loads(invoke("serve", path, "--check", "--json").out)
    assert found["models"]["m"] == {
        "upstream": "u",
        "input_usd_per_mtok": 1.0,
        "output_usd_per_mtok": 2.0,
    }


@pytest.mark.parametrize(
    ("upstream", "model", "says"),
    [
        ("", "", "models.m: no price is set"),
        ("speed = 1", PRICE, "upstreams.u.speed"),
        ("speeed_limit = 1", PRICE, "upstreams.u.speeed_limit: no such setting: known: base_url, "),
        ("max_concurency = 1", PRICE, "did you mean 'max_concurrency'?"),
        ("", "price = { input = 1, outputs = 2 }", "models.m.price.outputs: no such setting: did"),
        ("", PRICE + "\n[severs]", "severs: no such setting: did you mean 'server'? known: server"),
        ("", 'kind = "poem"', "models.m.kind"),
        ('api_key_env = "NOT_SET_ANYWHERE"', PRICE, "NOT_SET_ANYWHERE is not set"),
        ('api_key_file = "nowhere.key"', PRICE, "nowhere.key"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, upstream: str, model: str, says: str
) -> None:
    ran = invoke("serve", written(tmp_path, upstream=upstream, model=model), "--check")
    assert ran.code == 2
    assert says in ran.err


@pytest.mark.parametrize(
    ("grader", "says"),
    [
        ("jugde:model=m", "'jugde'"),
        ("judge", "judge has no default for model: write judge:model=VALUE"),
        ("judge:model=m+n", "n: not in the pool, whose models that chat are m"),
        ("compare:model=m:against=n", "n: not in the pool"),
        ("judge:model=m:grades_own=perhaps", "grades_own"),
        ("judge:model=m:rubric=nowhere.md", "nowhere.md: the rubric cannot be read"),
        ("exact", "it compares with right answers, which a log does not have"),
        ("feedback", "it repeats what users said, and no user sees the answer of a shadow"),
        (
            "agreement:by_answer=number",
            "it needs the answers of at least 3 models, and the pool has 1 that chat: m. judge",
        ),
    ],
)
def test_graders_of_shadow_answers_are_made_before_anything_is_served(
    tmp_path: Path, grader: str, says: str
) -> None:
    path = written(tmp_path)
    shadow = f'[shadow]\nscore = ["json", "{grader}"]\n'
    path.write_text(f"{path.read_text()}[log]\nlog_texts = true\n{shadow}")
    ran = invoke("serve", path, "--check")
    assert ran.code == 2
    assert f"{path}: shadow.score, '{grader}': " in ran.err
    assert says in ran.err
    path.write_text(path.read_text().replace(grader, "judge:model=m"))
    assert invoke("serve", path, "--check").code == 0
    path.write_text(path.read_text().replace("log_texts = true", ""))
    assert "set log.log_texts = true" in invoke("serve", path, "--check").err


def test_agreement_scores_the_shadows_of_three_models(tmp_path: Path) -> None:
    path = written(tmp_path)
    shadow = '[shadow]\nscore = ["agreement:by_answer=number"]\n[log]\nlog_texts = true\n'
    pool = "".join(f'[models.{name}]\nupstream = "u"\n{PRICE}\n' for name in "no")
    path.write_text(f"{path.read_text()}\n{shadow}{pool}")
    assert invoke("serve", path, "--check").code == 0


@pytest.mark.parametrize(
    ("upstream", "says"),
    [
        ('api_key = "sk-written-here"', "did you mean 'api_key_env'?"),
        ('base_url = "htp://me:sk-written-here@127.0.0.1/v1"', "has a password in it"),
    ],
)
def test_a_secret_that_stands_in_the_file_is_not_repeated(
    tmp_path: Path, upstream: str, says: str
) -> None:
    path = written(tmp_path, upstream=upstream)
    if "base_url" in upstream:
        path.write_text(path.read_text().replace('base_url = "http://127.0.0.1:9/v1"\n', ""))
    ran = invoke("serve", path, "--check")
    assert ran.code == 2
    assert says in ran.err
    assert "sk-written-here" not in ran.out + ran.err


def test_no_file_is_said() -> None:
    ran = invoke("serve")
    assert ran.code == 2
    assert "serve --example" in ran.err
    assert invoke("serve", "nowhere.toml").code == 2


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("version", ["0001", "0000", None])
def test_check_changes_nothing_in_the_store_and_makes_none(
    tmp_path: Path, version: str | None
) -> None:
    path = written(tmp_path)
    if version is not None:
        connection = sqlite3.connect(tmp_path / "gateway.db")
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES (?)", [version])
        connection.commit()
        connection.close()
    before = files_of(tmp_path)
    ran = invoke("serve", path, "--check")
    assert files_of(tmp_path) == before
    if version == "0000":  # as any that this version does not know
        assert (ran.code, "version 0000" in ran.err) == (2, True)
    else:
        assert ran.code == 0


def test_check_names_a_store_that_cannot_be_used(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "gateway.db").write_text("no database" * 100)
    ran = invoke("serve", path, "--check")
    assert (ran.code, "gateway.db" in ran.err, "not a database" in ran.err) == (2, True, True)
    path.write_text(path.read_text().replace("gateway.db", "nowhere/gateway.db"))
    ran = invoke("serve", path, "--check")
    assert (ran.code, "nowhere does not exist" in ran.err) == (2, True)


@pytest.mark.parametrize("command", [("serve",), ("keys", "list"), ("log", "export")])
def test_a_store_that_is_no_database_is_said_in_one_line(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    path = written(tmp_path)
    (tmp_path / "gateway.db").write_text("no database" * 100)
    out = (tmp_path / "x.csv",) if command[0] == "log" else ()
    ran = invoke(*command, path, *out)
    assert (ran.code, "not a database" in ran.err, "Traceback" in ran.err) == (2, True, False)


def test_a_file_without_a_section_that_is_needed_says_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text("")
    said = invoke("serve", tmp_path / "g.toml", "--check").err
    assert "upstreams: missing, and needed; `equirouter serve --example`" in said
