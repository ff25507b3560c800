"""Who may call: answers of the gateway to keys, limits and a store that is gone."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from multidict import CIMultiDict

from equirouter.errors import GatewayError
from equirouter.serve.money.admission import KEY_SECONDS, Admission, admin_only
from equirouter.serve.money.api_keys import create_key, find_key, revoke_key
from equirouter.serve.money.store.store import Store
from equirouter.serve.records import Key
from equirouter.serve.settings import KeySettings
from tests.serve.stores import money, with_store


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def bearer(secret: str) -> CIMultiDict[str]:
    return CIMultiDict({"authorization": f"Bearer {secret}"})


async def made(store: Store, **limits: Any) -> str:
    return (await store.database.write(create_key, "test", **limits))[0]


async def refusal(coroutine: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await coroutine
    return caught.value


def test_without_keys_nobody_needs_one(store_url: str) -> None:
    async def work(store: Store) -> None:
        admission = Admission(store, KeySettings())
        assert await admission.authenticate({}) is None
        assert await admission.authenticate(bearer("sk-anything")) is None
        ticket = await admission.admit(None, 10**18, tokens=1, request_id="a")
        assert await ticket.extend(10**18)
        ticket.settle(5)

    with_store(store_url, work)


def test_as_soon_as_there_is_a_key_it_is_needed(store_url: str) -> None:
    async def work(store: Store) -> None:
        secret = await made(store)
        admission = Admission(store, KeySettings())
        for headers in ({}, bearer("sk-other"), bearer("eq-wrong"), {"Authorization": "Basic x"}):
            error = await refusal(admission.authenticate(headers))
            assert (error.status, error.code) == (401, "invalid_api_key")
            assert error.headers == {"WWW-Authenticate": "Bearer"}
        for headers in (bearer(secret), {"x-api-key": secret}, {"api-key": secret}):
            key = await admission.authenticate(headers)
            assert key is not None
            assert key.name == "test"

    with_store(store_url, work)


def test_the_secret_is_not_kept(tmp_path: Path) -> None:
    async def work(store: Store) -> str:
        return await made(store)

    secret = with_store(f"sqlite:///{tmp_path}/store.db", work)
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert secret.startswith("eq-")
    assert len(secret) == 46
    assert secret.encode() not in kept
    assert secret[:8].encode() in kept


def test_a_revoked_key_is_refused_at_once_for_calls_and_soon_for_the_rest(store_url: str) -> None:
    async def work(store: Store) -> None:
        clock = Clock()
        secret = await made(store)
        await made(store)
        admission = Admission(store, KeySettings(), clock=clock)
        key = await admission.authenticate(bearer(secret))
        assert key is not None
        await store.database.write(revoke_key, key.id)
        assert await admission.authenticate(bearer(secret)) == key
        error = await refusal(admission.admit(key, 1, tokens=1, request_id="a"))
        assert error.status == 401
        clock.now += KEY_SECONDS
        assert (await refusal(admission.authenticate(bearer(secret)))).status == 401

    with_store(store_url, work)


def test_a_budget_says_what_is_left_and_when_to_come_back(store_url: str) -> None:
    async def work(store: Store) -> None:
        admission = Admission(store, KeySettings())
        key = await admission.authenticate(
            bearer(await made(store, budget_nusd=1_000_000, period="day"))
        )
        first = await admission.admit(key, 600_000, tokens=1, request_id="a")
        waits = await refusal(admission.admit(key, 600_000, tokens=1, request_id="b"))
        assert (waits.status, waits.code) == (429, "insufficient_quota")
        assert waits.headers == {"Retry-After": "1"}  # the first may give back what it has
        assert waits.detail == {"budget_usd": 0.001, "left_usd": 0.0004, "upper_usd": 0.0006}
        first.settle(600_000)
        await store.writer.flush()
        tomorrow = await refusal(admission.admit(key, 600_000, tokens=1, request_id="c"))
        assert 1 <= int(tomorrow.headers["Retry-After"]) <= 86_400
        never = await refusal(admission.admit(key, 1_000_001, tokens=1, request_id="d"))
        assert never.headers == {}
        assert never.body() == {
            "error": {
                **never.detail,
                "message": never.message,
                "type": "insufficient_quota",
                "param": None,
                "code": "insufficient_quota",
            }
        }

    with_store(store_url, work)


def test_a_rate_says_when_to_come_back(store_url: str) -> None:
    async def work(store: Store) -> None:
        admission = Admission(store, KeySettings())
        key = await admission.authenticate(
            bearer(await made(store, requests_per_minute=1, tokens_per_minute=100))
        )
        never = await refusal(admission.admit(key, 0, tokens=101, request_id="a"))
        assert (never.status, never.type, never.headers) == (429, "tokens", {})
        await admission.admit(key, 0, tokens=100, request_id="b")
        later = await refusal(admission.admit(key, 0, tokens=1, request_id="c"))
        assert (later.type, later.code) == ("requests", "rate_limit_exceeded")
        assert 1 <= int(later.headers["Retry-After"]) <= 120

    with_store(store_url, work)


def test_a_key_without_room_in_its_rate_is_refused_before_anything_is_decided(
    store_url: str,
) -> None:
    async def work(store: Store) -> None:
        clock = Clock()
        admission = Admission(store, KeySettings(), clock=clock)
        full, other = [
            await admission.authenticate(bearer(await made(store, requests_per_minute=1)))
            for _ in range(2)
        ]
        for key in (None, full, other):
            admission.check_rate(key)
            await admission.admit(key, 0, tokens=1, request_id="a")
        admission.check_rate(full)  # nobody has said no yet
        said = await refusal(admission.admit(full, 0, tokens=1, request_id="b"))
        with pytest.raises(GatewayError) as at_once:
            admission.check_rate(full)
        assert at_once.value.body() == said.body()
        assert at_once.value.headers == said.headers
        admission.check_rate(other)
        clock.now += int(said.headers["Retry-After"])
        admission.check_rate(full)

    with_store(store_url, work)


@pytest.mark.parametrize("required", [True, False])
def test_whether_keys_are_needed_may_be_set(tmp_path: Path, required: bool) -> None:
    async def work(store: Store) -> None:
        admission = Admission(store, KeySettings(required=required))
        assert await admission.has_keys() is required
        if required:
            assert (await refusal(admission.authenticate({}))).status == 401
            assert (await refusal(admission.authenticate(bearer("eq-wrong")))).status == 401
        secret = await made(store)
        key = await admission.authenticate(bearer(secret))
        assert key is not None  # who sends one is held to it
        if not required:
            assert await admission.authenticate({}) is None
            assert await admission.authenticate(bearer("eq-wrong")) is None

    with_store(f"sqlite:///{tmp_path}/store.db", work)


def test_what_was_looked_up_is_believed_for_some_seconds_or_until_told(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        clock = Clock()
        admission = Admission(store, KeySettings(), clock=clock)
        assert await admission.authenticate({}) is None
        secret = await made(store)
        other = await made(store)
        clock.now += KEY_SECONDS - 0.01
        assert await admission.authenticate({}) is None  # "there are no keys" is believed
        clock.now += 0.01
        assert (await refusal(admission.authenticate({}))).status == 401
        for told in (False, True):
            key = await admission.authenticate(bearer(secret if told else other))
            assert key is not None
            await store.database.write(revoke_key, key.id)
            clock.now += KEY_SECONDS - 0.01
            assert await admission.authenticate(bearer(secret if told else other)) == key
            if told:
                admission.forget()
            else:
                clock.now += 0.01
                error = await refusal(admission.authenticate(bearer(other)))
                assert (error.status, error.message) == (401, "this API key is unknown or revoked")
        for sent in (CIMultiDict[str](), bearer(secret), bearer("sk-other")):  # no key is left
            assert (await refusal(admission.authenticate(sent))).status == 401

    with_store(f"sqlite:///{tmp_path}/store.db", work)


def test_a_gateway_whose_last_key_is_revoked_stays_closed(store_url: str) -> None:
    async def work(store: Store) -> str:
        secret, key = await store.database.write(create_key, "only")
        await store.database.write(revoke_key, key.id)
        return secret

    secret = with_store(store_url, work)

    async def later(store: Store) -> None:
        admission = Admission(store, KeySettings())
        for sent in (CIMultiDict[str](), bearer(secret), bearer("sk-other")):
            assert (await refusal(admission.authenticate(sent))).status == 401
        opened = Admission(store, KeySettings(required=False))  # as somebody has to say
        assert await opened.authenticate({}) is None

    with_store(store_url, later)


def test_a_store_that_comes_without_its_note_gets_one(tmp_path: Path) -> None:
    url, note = f"sqlite:///{tmp_path}/store.db", tmp_path / "store.db.had-keys"

    async def nothing(_: Store) -> None:
        pass

    with_store(url, nothing)
    assert not note.exists()
    with_store(url, made)
    note.unlink()  # as where the file alone was copied, or restored
    with_store(url, nothing)
    assert note.exists()


def test_a_store_without_its_keys_is_closed_too(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    with_store(url, made)
    for file in tmp_path.glob("store.db*"):
        if not file.name.endswith(".had-keys"):
            file.unlink()
    (tmp_path / "store.db").touch()  # as whoever restores it from the wrong place

    async def later(store: Store) -> None:
        assert (await refusal(Admission(store, KeySettings()).authenticate({}))).status == 401

    with_store(url, later)


def test_those_that_were_looked_up_do_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("equirouter.serve.money.admission._MOST_KEYS", 2)

    async def work(store: Store) -> None:
        first = await made(store)
        admission = Admission(store, KeySettings())
        key = await admission.authenticate(bearer(first))
        assert key is not None
        await store.database.write(revoke_key, key.id)
        await made(store)
        await refusal(admission.authenticate(bearer("eq-1")))
        assert await admission.authenticate(bearer(first)) == key  # two are remembered
        await refusal(admission.authenticate(bearer("eq-2")))  # the third empties the memory
        assert (await refusal(admission.authenticate(bearer(first)))).status == 401

    with_store(f"sqlite:///{tmp_path}/store.db", work)


@pytest.mark.parametrize("fail", ["closed", "open"])
def test_a_key_that_cannot_be_looked_up_again(
    fail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise OSError("the disk is gone")

    async def work(store: Store) -> None:
        clock = Clock()
        admission = Admission(store, KeySettings.model_validate({"fail": fail}), clock=clock)
        secret = await made(store)
        key = await admission.authenticate(bearer(secret))
        await refusal(admission.authenticate(bearer("eq-wrong")))
        clock.now += KEY_SECONDS
        monkeypatch.setattr("equirouter.serve.money.admission.find_key", gone)
        monkeypatch.setattr("equirouter.serve.money.admission.any_keys", gone)
        assert (await refusal(admission.authenticate({}))).status == 401  # keys stay needed
        for sent in (bearer("eq-wrong"), bearer("eq-new")):
            assert (await refusal(admission.authenticate(sent))).status == 503
        if fail == "open":
            assert await admission.authenticate(bearer(secret)) == key  # the old answer is believed
        else:
            assert (await refusal(admission.authenticate(bearer(secret)))).status == 503

    with_store(f"sqlite:///{tmp_path}/store.db", work)


def test_a_refusal_says_how_much_is_left(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        admission = Admission(store, KeySettings())
        limits = {"requests_per_minute": 2, "tokens_per_minute": 100, "budget_nusd": 1_500_000}
        key = await admission.authenticate(bearer(await made(store, **limits)))
        first = await admission.admit(key, 1_000_000, tokens=60, request_id="a")
        tokens = await refusal(admission.admit(key, 0, tokens=41, request_id="b"))
        assert tokens.message == (
            "the key may use 100 tokens per minute and has 40 left, this request is of up to 41"
        )
        never = await refusal(admission.admit(key, 0, tokens=101, request_id="c"))
        assert never.message.endswith("of up to 101: more than ever fit into a minute")
        budget = await refusal(admission.admit(key, 600_000, tokens=1, request_id="d"))
        assert budget.message == (
            "this call may cost up to 0.000600 USD, and the key's budget of 0.001500 USD has "
            "0.000500 USD left; fewer max_tokens bound the cost lower"
        )
        admission.check_rate(key)  # neither is a refusal of the number of requests
        first.settle(2_000_000)  # more than the budget
        await store.writer.flush()
        nothing = await refusal(admission.admit(key, 1, tokens=1, request_id="e"))
        assert nothing.detail["left_usd"] == 0

    with_store(f"sqlite:///{tmp_path}/store.db", work, lambda: 1_800_000_010.0)


def test_a_call_that_went_on_without_a_reservation_is_charged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("equirouter.serve.money.ledger.BUSY_SECONDS", 0.0)

    async def work(store: Store) -> None:
        admission = Admission(store, KeySettings.model_validate({"fail": "open"}))
        key = await admission.authenticate(bearer(await made(store, budget_nusd=100)))
        assert key is not None
        with Locked(tmp_path / "store.db"):
            released, settled = [
                await admission.admit(key, 10, tokens=1, request_id=name) for name in "ab"
            ]
        released.release()
        released.settle(50)
        settled.settle(8)
        settled.release()
        assert await money(store, key) == (8, 0)

    with_store(f"sqlite:///{tmp_path}/store.db", work)


def test_only_an_administrator_may_administer() -> None:
    admin_only(None)
    admin_only(Key("a", "a", is_admin=True))
    with pytest.raises(GatewayError, match="administrator") as refused:
        admin_only(Key("a", "a"))
    assert (refused.value.status, refused.value.code) == (403, "admin_key_needed")


class Locked:
    """Another process that writes to a SQLite file and does not stop."""

    def __init__(self, path: Path) -> None:
        self.other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def __enter__(self) -> None:
        self.other.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_: object) -> None:
        self.other.execute("ROLLBACK")
        self.other.close()


@pytest.mark.parametrize("fail", ["closed", "open"])
def test_a_store_that_cannot_be_asked(
    fail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("equirouter.serve.money.ledger.BUSY_SECONDS", 0.0)

    async def work(store: Store) -> None:
        admission = Admission(store, KeySettings.model_validate({"fail": fail}))
        key = await admission.authenticate(bearer(await made(store, budget_nusd=100)))
        assert key is not None
        with Locked(tmp_path / "store.db"):
            if fail == "closed":
                error = await refusal(admission.admit(key, 10, tokens=1, request_id="a"))
                assert (error.status, error.code) == (503, "store_unavailable")
                assert error.headers == {"Retry-After": "5"}
                return
            ticket = await admission.admit(key, 10, tokens=1, request_id="a")
            assert await ticket.extend(20)
            ticket.settle(7)
            ticket.settle(7)
        assert await money(store, key) == (7, 0)

    with_store(f"sqlite:///{tmp_path}/store.db", work)


def test_those_who_ask_for_one_key_at_once_ask_the_store_once(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def counted(connection: sa.Connection, hash_: str) -> tuple[str, Key] | None:
        asked.append(hash_)
        return find_key(connection, hash_)

    monkeypatch.setattr("equirouter.serve.money.admission.find_key", counted)

    async def work(store: Store) -> None:
        secret = await made(store)
        admission = Admission(store, KeySettings())
        found = await asyncio.gather(*(admission.authenticate(bearer(secret)) for _ in range(20)))
        assert len(set(found)) == 1
        assert len(asked) == 1

    with_store(store_url, work)
