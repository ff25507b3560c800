"""`keys`: make, list, revoke, spend."""

import asyncio
import json
from pathlib import Path

import pytest

from equirouter.serve.money.api_keys import hash_of
from equirouter.serve.money.store.store import Store
from equirouter.serve.settings_file import read_settings
from tests.cli.invoke import invoke
from tests.serve.stores import ask


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(
        '[upstreams.a]\nbase_url = "http://127.0.0.1:1/v1"\n'
        '[models.small]\nupstream = "a"\n[models.large]\nupstream = "a"\n'
    )
    return path


def test_a_key_is_printed_once_and_kept_as_a_hash(config: Path) -> None:
    made = invoke("keys", "create", config, "--name", "ada", "--budget-usd", "2.5",
                  "--period", "day", "--models", "small, large", "--requests-per-minute", "60",
                  "--tokens-per-minute", "9000", "--admin")  # fmt: skip
    assert made.code == 0, made.err
    secret = made.out.strip()
    assert "cannot be shown again" in made.err
    (listed,) = json.loads(invoke("keys", "list", config, "--json").out)
    assert listed["begins_with"] == secret[:8]
    assert (listed["budget_usd"], listed["period"], listed["is_admin"]) == (2.5, "day", True)
    assert listed["models"] == ["large", "small"]
    stored = (config.parent / "equirouter-gateway.db").read_bytes()
    assert hash_of(secret).encode() in stored
    assert secret.encode() not in stored
    line = invoke("keys", "list", config).out
    assert "ada  0.000000 of 2.5 USD this day  60 requests/min  9000 tokens/min" in line
    assert secret not in line


def test_a_revoked_key_is_said_to_be(config: Path) -> None:
    made = json.loads(invoke("keys", "create", config, "--name", "ada", "--json").out)
    assert made["key"].startswith("eq-")
    ran = invoke("keys", "revoke", config, "ada")
    assert ran.out == f"{made['id']} (ada) is revoked\n"
    assert "revoked 20" in invoke("keys", "list", config).out
    again = invoke("keys", "revoke", config, "ada")
    assert again.code == 2
    assert "or it is revoked" in again.err


def test_the_first_key_says_that_others_are_refused_now(config: Path) -> None:
    said = "all clients without a key are refused"
    assert said in invoke("keys", "create", config, "--name", "ada", "--json").err
    assert said not in invoke("keys", "create", config, "--name", "bob").err
    assert "no key is left" not in invoke("keys", "revoke", config, "ada").err
    assert "every request is refused" in invoke("keys", "revoke", config, "bob").err
    assert said not in invoke("keys", "create", config, "--name", "eve").err  # it was closed


def test_what_a_key_spent(config: Path) -> None:
    made = json.loads(invoke("keys", "create", config, "--name", "ada", "--json").out)
    assert invoke("keys", "show-spend", config, "ada") == (0, "", "")

    async def spend() -> None:
        from equirouter.serve.records import Key

        store = await Store.open(read_settings(config).store)
        first, _ = await ask(store, Key(made["id"], "ada"), 2, 1_000_000_000)
        first.settle(500_000_000)
        await store.close()

    asyncio.run(spend())
    (spent,) = json.loads(invoke("keys", "show-spend", config, made["id"], "--json").out)
    assert (spent["period"], spent["spent_usd"], spent["reserved_usd"]) == ("month", 0.5, 1.0)
    assert "0.500000 USD spent" in invoke("keys", "show-spend", config, "ada").out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--models", "huge"], "huge: not in the pool, which is small, large"),
        (["--budget-usd", "0"], "--budget-usd: 0: expected an amount above 0"),
        (["--requests-per-minute", "-1"], "requests_per_minute is -1"),
        (["--budget-usd", "nan"], "nan: expected an amount"),
    ],
)
def test_limits_that_make_no_sense(config: Path, arguments: list[str], says: str) -> None:
    ran = invoke("keys", "create", config, "--name", "ada", *arguments)
    assert ran.code == 2, ran.err
    assert says in ran.err


def test_names_that_are_not_there_or_not_one(config: Path) -> None:
    assert "no key has the id" in invoke("keys", "show-spend", config, "bob").err
    for _ in range(2):
        invoke("keys", "create", config, "--name", "twin", "--quiet")
    assert "2 keys have the name 'twin'" in invoke("keys", "revoke", config, "twin").err
    assert invoke("keys", "list", config.with_name("none.toml")).code == 2


def test_without_keys_the_list_says_what_that_means(config: Path) -> None:
    ran = invoke("keys", "list", config)
    assert (ran.code, ran.out) == (0, "")
    assert "its own machine only" in ran.err
    config.write_text(config.read_text() + "[keys]\nrequired = true\n")
    assert "every request is refused" in invoke("keys", "list", config).err
