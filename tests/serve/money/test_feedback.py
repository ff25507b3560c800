"""Feedback: what may be sent, and what becomes of it."""

import sqlite3
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.errors import GatewayError
from equirouter.serve.money.feedback import Feedback, kept_share, read_feedback
from equirouter.serve.money.store.reports import ModelFeedback, StoreReports
from equirouter.serve.money.store.store import Store
from equirouter.serve.records import Key, UserFeedback
from tests.serve.stores import record, with_store


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"request_id": "a", "score": 0.25}, UserFeedback("a", 0.25)),
        ({"request_id": "a", "score": 1, "comment": "fine"}, UserFeedback("a", 1.0, "fine")),
        ({"request_id": "a", "thumbs": "up"}, UserFeedback("a", 1.0, None, "thumbs")),
        (
            {"request_id": "a", "thumbs": "down", "comment": None},
            UserFeedback("a", 0.0, None, "thumbs"),
        ),
        (
            {"request_id": "a", "edited": "so"},
            UserFeedback("a", 0.0, source="edit", edited="so"),
        ),
    ],
)
def test_what_may_be_sent(document: Any, said: UserFeedback) -> None:
    assert read_feedback(document) == said


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], None),
        ({"score": 1}, "request_id"),
        ({"request_id": 7, "score": 1}, "request_id"),
        ({"request_id": "a"}, "score"),
        ({"request_id": "a", "score": 1, "thumbs": "up"}, "score"),
        ({"request_id": "a", "score": 1.01}, "score"),
        ({"request_id": "a", "score": True}, "score"),
        ({"request_id": "a", "score": "1"}, "score"),
        ({"request_id": "a", "score": float("nan")}, "score"),
        ({"request_id": "a", "thumbs": "sideways"}, "thumbs"),
        ({"request_id": "a", "thumbs": "up", "edited": "so"}, "score"),
        ({"request_id": "a", "edited": 7}, "edited"),
        ({"request_id": "a", "edited": "x" * 100_001}, "edited"),
        ({"request_id": "a", "thumbs": ["up"]}, "thumbs"),
        ({"request_id": "a", "score": 1, "comment": "x" * 4001}, "comment"),
        ({"request_id": "a", "score": 1, "rating": 5}, "rating"),
    ],
)
def test_what_may_not_be_sent(document: Any, field: str | None) -> None:
    with pytest.raises(GatewayError) as caught:
        read_feedback(document)
    assert (caught.value.status, caught.value.param) == (400, field)


def test_the_last_word_counts(store_url: str) -> None:
    async def work(store: Store) -> None:
        given = Feedback(store)
        store.writer.log(record("a"))  # not yet written
        assert await given.give(None, UserFeedback("a", 0.0, "no\0!")) == "small"
        assert await given.give(None, UserFeedback("a", 0.75)) == "small"
        store.writer.log(record("b", served_model="large"))
        await given.give(None, UserFeedback("b", 1.0))
        found = StoreReports(store.database)
        start = record().started_at
        assert await found.feedback(start - 1, start + 1) == [
            ModelFeedback("large", 1, 1.0),
            ModelFeedback("small", 1, 0.75),
        ]
        logged = await found.one("a")
        assert logged is not None
        assert (logged.score, logged.comment) == (0.75, None)

    with_store(store_url, work)


def test_an_edit_is_worth_the_words_that_it_left(store_url: str) -> None:
    async def work(store: Store) -> None:
        given, found = Feedback(store), StoreReports(store.database)
        store.writer.log(record("a", answer="it is in the old town"))
        store.writer.log(record("b"))  # logged without its text

        async def score(edited: str) -> float | None:
            await given.give(None, UserFeedback("a", 0.0, source="edit", edited=edited))
            logged = await found.one("a")
            assert logged is not None
            return logged.score

        assert await score("it is in the new town") == pytest.approx(5 / 6)  # 2 * 5 / (6 + 6)
        assert await score("it  is in the old town") == 1.0
        assert await score("") == 0.0
        with pytest.raises(GatewayError) as caught:
            await given.give(None, UserFeedback("b", 0.0, source="edit", edited="x"))
        assert (caught.value.status, caught.value.code) == (409, "no_text")

    with_store(store_url, work)


@given(*[st.lists(st.sampled_from("abc"), max_size=12)] * 2)
def test_the_share_that_an_edit_kept(before: list[str], after: list[str]) -> None:
    longest = [[0] * (len(after) + 1) for _ in range(len(before) + 1)]  # of the first i and j words
    for i, j in product(range(1, len(before) + 1), range(1, len(after) + 1)):
        together = longest[i - 1][j - 1] + (before[i - 1] == after[j - 1])
        longest[i][j] = max(together, longest[i - 1][j], longest[i][j - 1])
    n_words = len(before) + len(after)
    assert kept_share(before, after) == (2 * longest[-1][-1] / n_words if n_words else 1.0)


def test_nobody_waits_for_the_store_while_an_edit_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[float] = []

    def compare(before: list[str], after: list[str]) -> float:
        with closing(sqlite3.connect(tmp_path / "x.db", timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")  # raises where a transaction holds the lock
        compared.append(kept_share(before, after))
        return compared[-1]

    async def work(store: Store) -> None:
        store.writer.log(record("a", answer="one two"))
        monkeypatch.setattr("equirouter.serve.money.feedback.kept_share", compare)
        edit = UserFeedback("a", 0.0, source="edit", edited="one three")
        await Feedback(store).give(None, edit)
        assert compared == [0.5]

    with_store(f"sqlite:///{tmp_path}/x.db", work)


def test_feedback_is_on_ones_own_answered_requests(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("equirouter.serve.money.feedback._WAITS", (0.0, 0.0))

    async def work(store: Store) -> None:
        given = Feedback(store)
        store.writer.log(record("hers", key_id="key_her"))
        store.writer.log(record("nobody", key_id="key_her", served_model=None, status=502))
        her, him = Key("key_her", "she"), Key("key_him", "he")
        admin = Key("key_admin", "admin", is_admin=True)
        for key, request_id, status in (
            (him, "hers", 404),
            (her, "none", 404),
            (her, "nobody", 409),
        ):
            with pytest.raises(GatewayError) as caught:
                await given.give(key, UserFeedback(request_id, 1.0))
            assert caught.value.status == status
        assert await given.give(her, UserFeedback("hers", 1.0)) == "small"
        assert await given.give(admin, UserFeedback("hers", 0.0)) == "small"

    with_store(store_url, work)
