"""The log as an outcomes table: which requests are in it, and what each cell holds."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from equirouter.errors import DataError
from equirouter.serve.money.feedback import Feedback
from equirouter.serve.money.log_export import Exported, export_log
from equirouter.serve.money.rating_shares import most_that_counts
from equirouter.serve.money.request_lines import request_lines
from equirouter.serve.money.store.schema import grades
from equirouter.serve.money.store.store import Store
from equirouter.serve.records import (
    Attempt,
    CallRole,
    Candidate,
    Plan,
    RequestRecord,
    Tokens,
    UserFeedback,
)
from tests.serve.stores import record, with_store

START = 1_800_000_000.25  # of every record that is made without another time


def asked(
    name: str, text: str | None, model: str | None = "small", **changes: Any
) -> RequestRecord:
    """A request of one message, answered by a model."""
    prompt = None if text is None else json.dumps([{"role": "user", "content": text}])
    decided_by = changes.pop("decided_by", None)
    made = record(name, prompt=prompt, served_model=model, **changes)
    if decided_by is not None and made.plan is not None:
        made.plan = replace(made.plan, decided_by=decided_by)
    return made


async def exported(
    store: Store, requests: Sequence[tuple[RequestRecord, float | None]], **options: Any
) -> Exported:
    for request, _ in requests:
        store.writer.log(request)
    await store.writer.flush()
    for request, score in requests:
        if score is not None:
            await Feedback(store).give(None, UserFeedback(request.request_id, score))
    return await store.database.read(export_log, **options)


def test_each_cell_is_the_mean_of_its_requests(store_url: str) -> None:
    requests = [
        (asked("1", "a", cost_nusd=100, tokens=Tokens(10, 1)), 0.0),
        (asked("2", "a", cost_nusd=400, tokens=Tokens(20, 4)), 1.0),
        (asked("3", "a", "large", cost_nusd=None, tokens=None), 0.5),
        (asked("4", "b", cost_nusd=7), 0.25),
        (asked("5", "b"), None),  # nobody gave feedback
        (asked("6", None), 1.0),  # logged without its text
        (asked("7", "c", None, status=502), None),  # nobody answered
        (asked("8", "d", status=400), None),
        (asked("9", "e", endpoint="embeddings"), None),
        (asked("10", "b", "large", cost_nusd=9), 1.0),
    ]

    async def work(store: Store) -> None:
        found = await exported(store, requests)
        table = found.table
        assert (table.texts, table.models) == (("a", "b"), ("large", "small"))
        nan = np.nan
        np.testing.assert_array_equal(table.performance, [[0.5, 0.5], [1.0, 0.25]])
        np.testing.assert_allclose(table.cost_usd, [[nan, 250e-9], [9e-9, 7e-9]])
        assert table.tokens is not None
        np.testing.assert_array_equal(table.tokens[0], [[nan, 15.0], [20.0, 20.0]])
        np.testing.assert_array_equal(table.tokens[1], [[nan, 2.5], [30.0, 30.0]])
        assert (found.used, found.rated, found.unrated) == (5, 6, 1)
        assert (found.without_text, found.complete) == (1, 1)
        again = await store.database.read(export_log, unrated=True)
        assert (again.used, again.rated, again.unrated) == (6, 6, 1)
        np.testing.assert_allclose(again.table.cost_usd[1], [9e-9, (7e-9 + 250e-9) / 2])
        np.testing.assert_array_equal(again.table.performance, table.performance)

    with_store(store_url, work)


def test_a_cell_has_the_cost_of_its_own_models_answers(store_url: str) -> None:
    failed = Attempt("large", "here", "timeout", None, 5.0, cost_nusd=60)
    answered = Attempt("small", "here", "ok", 200, 5.0)
    requests = [
        (asked("1", "a", cost_nusd=100, charged_by="usage", attempts=[failed, answered]), 1.0),
        (asked("2", "b", cost_nusd=900, charged_by="bound"), 1.0),
        (asked("3", "c", cost_nusd=0, charged_by="nothing"), 1.0),
        (asked("4", "d", cost_nusd=7, charged_by="estimate"), 1.0),
    ]

    async def work(store: Store) -> None:
        table = (await exported(store, requests)).table
        nan = np.nan
        np.testing.assert_allclose(table.cost_usd, [[40e-9], [nan], [nan], [7e-9]])

    with_store(store_url, work)


def test_a_cascade_has_the_answers_of_several_models_to_one_query(store_url: str) -> None:
    def call(model: str, role: CallRole, nusd: int, answer: int, text: str | None) -> Attempt:
        return Attempt(
            *(model, "here", "ok", 200, 5.0), cost_nusd=nusd, role=role,
            input_tokens=20, output_tokens=nusd // 10, answer_id=answer, answer=text,
        )  # fmt: skip

    agree = [call("small", "first", 10, 1, "7"), call("other", "first", 20, 1, "7")]
    audited = [*agree, call("large", "audit", 300, 2, "8")]
    differ = [call("small", "first", 30, 1, "5"), call("other", "first", 20, 2, "6")]
    third = [*differ, call("large", "escalation", 300, 2, "6")]
    silent = [call("small", "first", 10, 0, ""), call("other", "first", 20, 0, "")]
    late = Attempt("other", "here", "cancelled", None, 5.0, cost_nusd=9, role="first")
    requests = [
        (asked("1", "a", cost_nusd=330, attempts=audited), 1.0),
        (asked("2", "b", "large", cost_nusd=350, attempts=third), 0.5),
        (asked("3", "c", cost_nusd=30, attempts=silent), 0.0),
        (asked("4", "d", cost_nusd=19, attempts=[silent[0], late]), 0.25),
    ]

    async def work(store: Store) -> None:
        table = (await exported(store, requests)).table
        nan = np.nan
        assert table.models == ("large", "other", "small")
        # feedback on the answer that was served holds for equal ones; no answer equals none
        np.testing.assert_array_equal(
            table.performance,
            [[nan, 1.0, 1.0], [0.5, 0.5, nan], [nan, nan, 0.0], [nan, nan, 0.25]],
        )
        np.testing.assert_allclose(
            np.asarray(table.cost_usd) * 1e9,
            [[300.0, 20.0, 10.0], [300.0, 20.0, 30.0], [nan, 20.0, 10.0], [nan, nan, 10.0]],
        )
        assert table.answers is not None
        assert table.answers.to_lists() == [
            ["8", "7", "7"],
            ["6", "6", "5"],
            [None, "", ""],
            [None, None, ""],
        ]
        assert table.tokens is not None
        np.testing.assert_array_equal(table.tokens[1][0], [30.0, 2.0, 1.0])

        lines = await store.database.read(lambda connection: list(request_lines(connection)))
        assert [(one["served_model"], round(one["cost_usd"] * 1e9)) for one in lines] == [
            ("small", 10), ("large", 300), ("small", 10), ("small", 10),
        ]  # fmt: skip
        assert [round(one["request_cost_usd"] * 1e9) for one in lines] == [330, 350, 30, 19]
        assert [(one["input_tokens"], one["output_tokens"]) for one in lines[:2]] == [
            (20, 1), (20, 30),
        ]  # fmt: skip

    with_store(store_url, work)


def test_a_period_holds_its_first_instant_and_not_its_last(store_url: str) -> None:
    requests = [(asked(str(i), str(i), started_at=START + i), 1.0) for i in range(4)]

    async def work(store: Store) -> None:
        found = await exported(store, requests, since=START + 1, until=START + 3)
        assert found.table.texts == ("1", "2")

    with_store(store_url, work)


def test_a_long_log_is_read_page_by_page(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("equirouter.serve.money.log_export._PAGE", 3)
    requests = [(asked(str(i), str(i)), None if i else 1.0) for i in range(9)]

    async def work(store: Store) -> None:
        found = await exported(store, requests, unrated=True)
        assert found.table.texts == tuple("012345678")
        assert (found.used, found.complete) == (9, 1)

    with_store(f"sqlite:///{tmp_path}/x.db", work)


@pytest.mark.parametrize(
    ("requests", "options", "says"),
    [
        ([], {}, "no request was answered in that time"),
        ([], {"unrated": True}, "no request was answered in that time"),
        ([(asked("1", "a"), None)], {}, "none of the 1 answered requests has feedback"),
        ([(asked("1", None), None)], {"unrated": True}, "none of the 1 requests has the text"),
        ([(asked("1", None), 1.0), (asked("2", "a"), None)], {}, "none of the 1 requests has the"),
    ],
)
def test_nothing_to_export(
    tmp_path: Any,
    requests: Sequence[tuple[RequestRecord, float | None]],
    options: dict[str, bool],
    says: str,
) -> None:
    async def work(store: Store) -> None:
        with pytest.raises(DataError, match=says):
            await exported(store, requests, **options)

    with_store(f"sqlite:///{tmp_path}/x.db", work)


def test_a_propensity_is_the_chance_that_an_outcome_is_known(store_url: str) -> None:
    def drawn(name: str, text: str, first: str, served: str, large: float) -> RequestRecord:
        others = {"large", "small"} - {first}
        models = (first, *others)
        plan = Plan(
            tuple(Candidate(model, 1) for model in models),
            "policy",
            chances={"small": 1 - large, "large": large},
        )
        return asked(name, text, served, plan=plan)

    requests = [
        (drawn("1", "once", "small", "small", 0.1), 1.0),
        (drawn("2", "twice", "small", "small", 0.1), 1.0),
        (drawn("3", "twice", "large", "large", 0.3), 0.0),
        (drawn("4", "failed", "large", "small", 0.1), 1.0),  # large was called, and failed
        (asked("5", "named", "large"), 1.0),
        (drawn("6", "named again", "small", "small", 0.2), 1.0),
        (asked("7", "named again", "large"), 1.0),
        (drawn("8", "shadowed", "small", "small", 0.4), 1.0),
        (asked("9", "shadowed", "large", plan=Plan((Candidate("large", 1),), "shadow")), 1.0),
        (asked("10", "shadowed", "large", plan=Plan((Candidate("large", 1),), "shadow")), None),
    ]

    async def work(store: Store) -> None:
        found = await exported(store, requests)
        assert (found.unrated, found.explored) == (0, 5)
        table = found.table
        assert table.models == ("large", "small")
        nan = np.nan
        expected = [
            [0.1, 0.9],
            [1 - 0.9 * 0.7, 1 - 0.1 * 0.3],
            [0.1, nan],
            [nan, nan],  # no request could have gone elsewhere
            [1.0, 0.8],
            [nan, 0.6],
        ]
        np.testing.assert_allclose(table.propensity, expected)  # type: ignore[arg-type]

    with_store(store_url, work)


def test_what_users_said_and_did_are_columns_of_their_own(store_url: str) -> None:
    mine = {"key_id": "key_1"}
    requests = [
        (asked("1", "a", **mine), 0.5),
        (asked("2", "a", started_at=START + 60, **mine), None),  # again, within ten minutes
        (asked("3", "b", stream=True, **mine), 1.0),
        (asked("4", "b", stream=True, status=499, started_at=START + 601, **mine), None),
        (asked("5", "b", "large", decided_by="named", started_at=START + 602, **mine), 0.0),
        (asked("6", "c"), 1.0),  # whoever asked this may be anybody
        (asked("7", "c"), 1.0),
    ]

    async def work(store: Store) -> None:
        for name, thumb in (("1", 1.0), ("3", 0.0)):
            store.writer.log(next(one for one, _ in requests if one.request_id == name))
            await Feedback(store).give(None, UserFeedback(name, thumb, source="thumbs"))
        told = [(one, score) for one, score in requests if one.request_id not in "13"]
        table = (await exported(store, told)).table
        nan = np.nan
        assert (table.texts, table.models) == (("a", "b", "c"), ("large", "small"))
        np.testing.assert_array_equal(table.performance, [[nan, 1], [0, 0], [nan, 1]])
        found = {name: column.tolist() for name, column in table.signals.items()}
        np.testing.assert_equal(
            found,
            {
                # of two requests for a one was repeated; of b the first was, after 601 s, too late
                "user.again": [[nan, 0.5], [0, 0.5], [nan, nan]],
                "user.switched": [[nan, 0], [0, 0.5], [nan, nan]],
                "user.stopped": [[nan, nan], [nan, 0.5], [nan, nan]],
                "user.score": [[nan, nan], [0, nan], [nan, 1]],
                "user.thumbs": [[nan, 1], [nan, 0], [nan, nan]],
            },
        )
        assert table.scored_by is None

    with_store(store_url, work)


def test_grades_count_before_what_users_say(store_url: str) -> None:
    requests = [
        (asked("1", "a"), 0.0),
        (asked("2", "a", "large", decided_by="shadow"), None),
        (asked("3", "b"), 1.0),
    ]

    async def work(store: Store) -> None:
        await exported(store, requests)

        def grade(connection: sa.Connection) -> None:
            for name, score in (("1", 0.25), ("2", 0.75)):
                row = {"request_id": name, "at_us": 0, "claimed_at_us": 0, "by": "judge:x"}
                connection.execute(sa.insert(grades).values(row | {"score": score}))

        await store.database.write(grade)
        found = await store.database.read(export_log)
        table = found.table
        np.testing.assert_array_equal(table.performance, [[0.75, 0.25], [np.nan, 1]])
        assert table.scored_by is not None
        assert table.scored_by.to_lists() == [["judge:x", "judge:x"], [None, "users"]]
        assert table.signals["user.score"].tolist()[0][1] == 0.0
        assert (found.rated, found.complete) == (3, 1)

    with_store(store_url, work)


def test_a_key_has_one_voice_on_an_answer(store_url: str) -> None:
    requests = [(asked(f"a{n}", "a", key_id="loud"), 0.0) for n in range(8)]
    requests += [(asked("b", "a", key_id="calm"), 1.0), (asked("c", "a"), 1.0)]

    async def work(store: Store) -> None:
        table = (await exported(store, requests)).table
        np.testing.assert_allclose(table.performance, [[2 / 3]])

    with_store(store_url, work)


def test_a_key_that_sends_most_ratings_does_not_have_most_of_the_say(store_url: str) -> None:
    """Ten keys say 1 of six texts each, and one key 0 of 300 others, before them and after."""
    lies = [(asked(f"lie{n}", f"lie {n}", key_id="malicious"), 0.0) for n in range(300)]
    said = [(asked(f"r{n}", f"text {n}", key_id=f"k{n % 10}"), 1.0) for n in range(60)]

    async def work(store: Store) -> None:
        everything = await exported(store, [*lies[:150], *said, *lies[150:]])
        assert (everything.rated, everything.capped) == (360, ())
        assert everything.table.performance.mean() == pytest.approx(60 / 360)
        found = await store.database.read(export_log, key_share=0.25)
        assert [(k.name, k.given, k.counted) for k in found.capped] == [
            ("key 'malicious'", 300, 20)
        ]
        assert (found.rated, found.unrated) == (80, 280)
        assert found.table.performance.mean() == 0.75  # 60 of 80
        assert found.table.texts[-20:] == tuple(f"lie {n}" for n in range(280, 300))

    with_store(store_url, work)


def test_ratings_of_one_key_or_of_none_all_count(store_url: str) -> None:
    requests = [(asked(f"r{n}", f"text {n}"), 1.0) for n in range(30)]

    async def work(store: Store) -> None:
        found = await exported(store, requests, key_share=0.25)
        assert (found.rated, found.capped) == (30, ())
        found = await exported(store, [(asked("k", "k", key_id="k"), 0.0)], key_share=0.25)
        assert [(key.name, key.counted) for key in found.capped] == [("no key", 1)]

    with_store(store_url, work)


@pytest.mark.parametrize(
    ("others", "share", "most"),
    [
        ([30], 0.25, 30),  # as many as the other key
        ([20] * 20, 0.25, 133),  # a third of 400
        ([1, 1, 1], 0.25, 1),
        ([100, 4, 2], 0.1, 11),  # a ninth of 106
    ],
)
def test_how_many_ratings_of_a_key_count(others: list[int], share: float, most: int) -> None:
    assert most_that_counts(others, share) == most
