"""Budgets and rates as pure decisions: by hand, and as laws."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equirouter.serve.money.limits import (
    Account,
    Claim,
    RateWindow,
    Refusal,
    decide,
    first_day,
    last_day,
    roll,
)

DAY = 86_400
JULY_31 = datetime(2027, 7, 31, 23, 59, 59, tzinfo=UTC).timestamp()


def account(**values: object) -> dict[str, Account]:
    return {"k": Account("k", **values)}  # type: ignore[arg-type]


def test_first_days() -> None:
    assert first_day("day", JULY_31) == first_day("day", JULY_31 + 1) - 1
    first_of_july = datetime(2027, 7, 1, tzinfo=UTC).timestamp()
    assert first_day("month", JULY_31) == first_of_july // DAY
    assert first_day("month", JULY_31 + 1) == first_day("day", JULY_31 + 1)


def test_a_budget_is_granted_in_the_order_of_asking() -> None:
    known = account(budget_nusd=100, day=first_day("month", JULY_31), spent_nusd=30)
    asks = [Claim("k", 50), Claim("k", 30), Claim("k", 20), Claim("k", 1), Claim("other", 0)]
    assert decide(known, asks, JULY_31) == [
        None,
        Refusal("budget", 100, 20, 1.0),  # what is reserved may come back
        None,
        Refusal("budget", 100, 0, 1.0),
        Refusal("unknown"),
    ]
    assert (known["k"].reserved_nusd, known["k"].granted) == (70, 2)


@pytest.mark.parametrize("period", ["day", "month"])
def test_a_new_period_begins_with_nothing_spent_and_no_earlier_one_comes_back(period: str) -> None:
    july = first_day(period, JULY_31)  # type: ignore[arg-type]
    used_up = {"budget_nusd": 10, "period": period, "spent_nusd": 10, "day": july}
    assert decide(account(**used_up), [Claim("k", 10)], JULY_31) == [
        Refusal("budget", 10, 0, 1.0)  # at midnight
    ]
    known = account(**used_up)
    assert decide(known, [Claim("k", 10)], JULY_31 + 1) == [None]
    assert known["k"].day == first_day(period, JULY_31 + 1)  # type: ignore[arg-type]
    # The clock jumps back into July: August's account goes on.
    back = account(**used_up | {"day": known["k"].day})
    refused = decide(back, [Claim("k", 1)], JULY_31 - 5 * DAY)[0]
    assert refused is not None
    assert refused.retry_after is not None
    assert refused.retry_after > 5 * DAY
    assert back["k"].day == known["k"].day


@pytest.mark.parametrize(
    ("period", "now", "seconds"),
    [
        ("day", datetime(2027, 7, 10, 18, tzinfo=UTC), 6 * 3600),
        ("month", datetime(2027, 7, 30, 18, tzinfo=UTC), 30 * 3600),
        ("month", datetime(2027, 12, 31, 12, tzinfo=UTC), 12 * 3600),
        ("month", datetime(2028, 1, 1, tzinfo=UTC), 31 * DAY),
        ("month", datetime(2027, 7, 31, 23, 59, 59, 500_000, tzinfo=UTC), 1),  # at least a second
    ],
)
def test_who_spent_the_budget_waits_for_the_next_period(
    period: str, now: datetime, seconds: float
) -> None:
    known = account(budget_nusd=10, period=period)
    decide(known, [], now.timestamp())
    known["k"].spent_nusd = 10
    assert decide(known, [Claim("k", 10)], now.timestamp()) == [Refusal("budget", 10, 0, seconds)]
    assert decide(known, [Claim("k", 11)], now.timestamp()) == [Refusal("budget", 10, 0, None)]
    assert decide(known, [Claim("k", 0)], now.timestamp()) == [None]


def test_money_that_is_reserved_may_come_back_and_money_that_is_spent_does_not() -> None:
    now = datetime(2027, 7, 10, 18, tzinfo=UTC).timestamp()
    known = account(budget_nusd=10, period="day", day=int(now // DAY), reserved_nusd=8)
    known["k"].spent_nusd = 2
    assert decide(known, [Claim("k", 8), Claim("k", 9)], now) == [
        Refusal("budget", 10, 0, 1.0),
        Refusal("budget", 10, 0, 6 * 3600),  # 2 of 10 are spent, so 9 never fit on this day
    ]
    # Limits were lowered: nothing is left, and not even what costs nothing fits.
    known["k"].reserved_nusd = 9
    assert decide(known, [Claim("k", 0)], now) == [Refusal("budget", 10, -1, 6 * 3600)]


def test_what_is_granted_is_counted_and_what_is_refused_is_not() -> None:
    now = datetime(2027, 7, 10, tzinfo=UTC).timestamp()
    known = account(budget_nusd=100, requests_per_minute=2, tokens_per_minute=50)
    july = ("month", first_day("month", now))
    asks = [
        Claim("k", 10, 20),
        Claim("k", 101, 1),  # too expensive
        Claim("k", 5, 31),  # too many tokens
        Claim("k", 30, 30),
        Claim("k", 1, 0),  # a third request
        Claim("k", 60, 99, of=july),  # more for a running one, whose rate is counted
    ]
    reasons = [refusal and refusal.reason for refusal in decide(known, asks, now)]
    assert reasons == [None, "budget", "tokens", None, "requests", None]
    key = known["k"]
    assert (key.granted, key.added_nusd, key.reserved_nusd, key.spent_nusd) == (3, 100, 100, 0)
    assert key.window == RateWindow(int(now // 60), 2, 50)


def test_a_key_without_limits_gets_all_and_has_no_window() -> None:
    known = account()
    assert decide(known, [Claim("k", 10**15, 10**9)], JULY_31) == [None]
    assert known["k"].window is None
    assert not known["k"].is_limited
    assert account(requests_per_minute=1)["k"].is_limited
    assert account(tokens_per_minute=1)["k"].is_limited


def test_periods_that_begin_up_to_two_months_ahead_are_believed() -> None:
    assert last_day(JULY_31) == first_day("day", JULY_31) + 62
    in_july = datetime(2027, 7, 30, tzinfo=UTC).timestamp()
    assert last_day(in_july) == first_day("day", JULY_31) + 61


def test_a_window_of_up_to_an_hour_ahead_is_believed() -> None:
    now = 600.0  # minute 10
    assert roll(RateWindow(70, 5), now) == RateWindow(70, 5)
    assert roll(RateWindow(71, 5), now) == RateWindow(10, 5)
    # While the clock is behind, all 6 of the minute before count, until 12:10 only 5 of them do.
    known = account(requests_per_minute=10, window=RateWindow(12, 4, 0, 6))
    assert decide(known, [Claim("k", 0)], now) == [Refusal("requests", 10, 0, 130.0)]


def test_the_wait_is_until_what_counts_has_faded() -> None:
    # At half of minute 100, 4 of this minute and half of 8 count: 8 of 10, so 3 tokens must wait
    # until only 3 of the 8 count, at 5/8 of the minute: 7.5 seconds.
    known = account(tokens_per_minute=10, window=RateWindow(100, 0, 4, 0, 8))
    assert decide(known, [Claim("k", 0, 3)], 6030.0) == [Refusal("tokens", 10, 2, 7.5)]
    # 7 tokens must wait until 3 of the 4 are left, at a quarter of minute 101: 45 seconds.
    assert decide(known, [Claim("k", 0, 7)], 6030.0) == [Refusal("tokens", 10, 2, 45.0)]
    assert decide(known, [Claim("k", 0, 2)], 6030.0) == [None]
    # Exactly the limit may still fit; one more never does.
    assert decide(known, [Claim("k", 0, 10)], 6030.0)[0] == Refusal("tokens", 10, 0, 90.0)
    assert decide(known, [Claim("k", 0, 11)], 6030.0)[0] == Refusal("tokens", 10, 0, None)


def test_more_money_is_of_the_period_that_the_request_began_in() -> None:
    july = ("month", first_day("month", JULY_31))
    known = account(budget_nusd=10)
    assert decide(known, [Claim("k", 1, of=july)], JULY_31) == [None]
    assert decide(known, [Claim("k", 1, of=july)], JULY_31 + 1) == [Refusal("budget")]


def test_a_revoked_key_gets_nothing() -> None:
    assert decide(account(revoked=True), [Claim("k", 0)], 0.0) == [Refusal("revoked")]


def test_a_window_slides() -> None:
    full = RateWindow(minute=10, requests=60)
    assert roll(full, 10 * 60 + 59.0) == full
    assert roll(full, 9 * 60.0) == full  # the clock went back
    ahead = RateWindow(10_000, 60)
    assert roll(ahead, 10 * 60.0) == full  # the clock had been far ahead
    known = account(requests_per_minute=60, window=ahead)
    assert decide(known, [Claim("k", 0)], 10 * 60.0) == [Refusal("requests", 60, 0, 61.0)]
    assert roll(full, 11 * 60.0) == RateWindow(11, 0, 0, 60, 0)
    assert roll(full, 12 * 60.0) == RateWindow(12)
    # Half of the next minute is over: half of the 60 still count.
    known = account(requests_per_minute=60, window=RateWindow(10, requests=60))
    answers = decide(known, [Claim("k", 0)] * 31, 11 * 60 + 30.0)
    assert answers[:30] == [None] * 30
    assert answers[30] == Refusal("requests", 60, 0, 1.0)  # one of the 60 fades in a second


def test_more_tokens_than_a_minute_has_never_fit() -> None:
    known = account(tokens_per_minute=100)
    assert decide(known, [Claim("k", 0, tokens=101)], 0.0) == [Refusal("tokens", 100, 100, None)]


ASKS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 40), st.floats(0, 90)), max_size=40)


@given(ASKS, st.integers(1, 200), st.integers(1, 8), st.integers(1, 100))
def test_no_limit_is_ever_exceeded(
    asks: list[tuple[int, int, float]], budget: int, requests: int, tokens: int
) -> None:
    known = account(budget_nusd=budget, requests_per_minute=requests, tokens_per_minute=tokens)
    now, granted = 1_800_000_000.0, []
    for amount, size, pause in asks:
        now += pause
        if decide(known, [Claim("k", amount, size)], now) == [None]:
            granted.append((now, amount, size))
    assert sum(amount for _, amount, _ in granted) <= budget
    for minute in {int(at // 60) for at, _, _ in granted}:
        within = [size for at, _, size in granted if int(at // 60) == minute]
        assert len(within) <= requests
        assert sum(within) <= tokens


@settings(max_examples=300)
@given(
    st.integers(0, 50),
    st.integers(0, 50),
    st.integers(1, 50),
    st.floats(0, 59.9),
    st.sampled_from(["requests", "tokens"]),
)
def test_who_waits_as_told_is_let_in_and_not_much_sooner(
    used: int, last: int, limit: int, second: float, what: str
) -> None:
    def known() -> dict[str, Account]:
        window = RateWindow(100, used, used, last, last)
        return account(**{f"{what}_per_minute": limit, "window": window})

    now = 6000.0 + second
    refusal = decide(known(), [Claim("k", 0, 1)], now)[0]
    if refusal is None:
        return
    assert refusal.retry_after is not None
    assert decide(known(), [Claim("k", 0, 1)], now + refusal.retry_after + 1e-3) == [None]
    if refusal.retry_after > 0.1:
        assert decide(known(), [Claim("k", 0, 1)], now + refusal.retry_after - 0.1) != [None]
