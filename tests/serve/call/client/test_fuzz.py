"""Answers at random, as hypothesis draws them; `fuzz.py` plays on for as long as told."""

import asyncio
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serve.call.client.fuzz import check_calls, check_cuts

_SAME_LOOP = [HealthCheck.function_scoped_fixture]  # of one test, all examples have one


@given(st.randoms(use_true_random=False))
@settings(max_examples=500, deadline=None, suppress_health_check=_SAME_LOOP)
def test_the_same_comes_of_an_answer_however_it_is_cut(rng: Random) -> None:
    check_cuts(rng)


@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None, suppress_health_check=_SAME_LOOP)
def test_every_call_ends_and_no_byte_reaches_another_one(seed: int) -> None:
    """From a seed: what is drawn while calls run at once has no order that could be replayed."""
    asyncio.run(check_calls(Random(seed)))
