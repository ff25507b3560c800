"""Splits: every row once, the ratios, the seed, whole tasks, and what cannot be split."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equirouter.data import Outcomes, read_table, split_outcomes
from equirouter.data.split import Split, SplitKind
from equirouter.errors import ConfigError, DataError

NAN = float("nan")
KINDS: tuple[SplitKind, ...] = ("in-domain", "ood")


def table(
    tasks: list[str], n_models: int = 2, n_missing: int = 0, texts: list[str] | None = None
) -> Outcomes:
    n = len(tasks)
    performance = np.ones((n, n_models))
    performance[:n_missing, 0] = NAN
    return Outcomes(
        query_ids=tuple(f"q{i}" for i in range(n)),
        texts=tuple(texts or (f"text {i}" for i in range(n))),
        tasks=tuple(tasks),
        models=tuple(f"m{j}" for j in range(n_models)),
        performance=performance,
        cost_usd=np.ones((n, n_models)),
    )


RATIO = st.floats(0.001, 1000)


@given(
    tasks=st.lists(st.sampled_from("abcdefgh"), min_size=20, max_size=120),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32),
    ratios=st.tuples(RATIO, RATIO, RATIO),
)
@settings(max_examples=100)
def test_every_row_is_in_one_part_and_no_part_is_empty(
    tasks: list[str], kind: SplitKind, seed: int, ratios: tuple[float, float, float]
) -> None:
    if kind == "ood" and len(set(tasks)) < 3:
        tasks = ["x", "y", "z", *tasks]
    split = split_outcomes(table(tasks), kind, seed, ratios)
    parts = (split.train, split.validation, split.test)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(tasks)))
    assert all(len(part) > 0 for part in parts)
    assert all(part.dtype == np.int64 and (np.diff(part) > 0).all() for part in parts)
    if kind == "ood":
        tasks_of_parts = [{tasks[row] for row in part} for part in parts]
        assert sum(map(len, tasks_of_parts)) == len(set(tasks))


def test_three_to_one_to_six() -> None:
    split = split_outcomes(table(["t"] * 1000))
    assert (len(split.train), len(split.validation), len(split.test)) == (300, 100, 600)
    assert (split.kind, split.seed, split.ratios) == ("in-domain", 42, (3, 1, 6))


def test_sizes_that_do_not_divide_are_rounded() -> None:
    # 25 * 0.3 = 7.5 -> 8 (to even), 25 * 0.4 = 10: 8, 2 and 15.
    split = split_outcomes(table(["t"] * 25))
    assert (len(split.train), len(split.validation), len(split.test)) == (8, 2, 15)


def test_the_split_is_shuffled() -> None:
    split = split_outcomes(table(["t"] * 1000))
    assert abs(float(split.train.mean()) - 499.5) < 60  # a standard error is about 14


def test_the_same_seed_gives_the_same_split() -> None:
    outcomes = table(list("abcdefgh") * 10)
    for kind in KINDS:
        one, other = (split_outcomes(outcomes, kind, 7) for _ in range(2))
        assert one.hash == other.hash
        assert np.array_equal(one.test, other.test)


def test_another_seed_gives_another_split() -> None:
    outcomes = table([f"t{i % 60}" for i in range(600)])
    for kind in KINDS:
        hashes = {split_outcomes(outcomes, kind, seed).hash for seed in range(5)}
        assert len(hashes) == 5


def test_the_hash_is_of_kind_seed_ratios_and_queries() -> None:
    outcomes = table(["a", "b", "c"] * 10)
    split = split_outcomes(outcomes)
    assert len(split.hash) == 64
    parts = [
        ", ".join(f'"q{row}"' for row in part)
        for part in (split.train, split.validation, split.test)
    ]
    content = f'["in-domain", 42, [3.0, 1.0, 6.0], [{parts[0]}], [{parts[1]}], [{parts[2]}]]'
    assert split.hash == hashlib.sha256(content.encode()).hexdigest()
    renamed = Outcomes(
        query_ids=("new", *outcomes.query_ids[1:]),
        texts=outcomes.texts,
        tasks=outcomes.tasks,
        models=outcomes.models,
        performance=outcomes.performance,
        cost_usd=outcomes.cost_usd,
    )
    assert split_outcomes(renamed).hash != split.hash
    assert split_outcomes(outcomes, ratios=(3.01, 1, 6)).hash != split.hash


def test_whole_tasks_come_near_to_the_ratios() -> None:
    sizes = {"a": 100, "b": 200, "c": 300, "d": 400}
    tasks = [name for name, size in sizes.items() for _ in range(size)]
    # 1000 queries: c has 300, a has 100, b and d have 600 together, whatever the seed.
    for seed in range(10):
        split = split_outcomes(table(tasks), "ood", seed)
        assert (len(split.train), len(split.validation), len(split.test)) == (300, 100, 600)


def test_many_tasks_come_within_two_percent_of_the_ratios() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(5, 60, 57)
    tasks = [f"t{i}" for i, size in enumerate(sizes) for _ in range(size)]
    split = split_outcomes(table(tasks), "ood", seed=1)
    for part, share in ((split.train, 0.3), (split.validation, 0.1), (split.test, 0.6)):
        assert abs(len(part) / len(tasks) - share) < 0.02


def test_the_parts_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        split_outcomes(table(["t"] * 30)).train[0] = 5


def test_incomplete_rows_are_split_too() -> None:
    split = split_outcomes(table(["t"] * 40, n_missing=20))
    assert len(split.train) + len(split.validation) + len(split.test) == 40


def test_what_cannot_be_split() -> None:
    with pytest.raises(DataError, match="routing needs at least two models"):
        split_outcomes(table(["t"] * 30, n_models=1))
    with pytest.raises(DataError, match="19 of 19 queries"):
        split_outcomes(table(["t"] * 19))
    with pytest.raises(DataError, match="19 of 39 queries"):
        split_outcomes(table(["t"] * 39, n_missing=20))
    with pytest.raises(DataError, match=r"at least 3 tasks, found 2: 'a', 'b'"):
        split_outcomes(table(["a", "b"] * 20), "ood")


def test_settings_that_make_no_sense() -> None:
    good = table(["t"] * 30)
    with pytest.raises(ConfigError, match="'random'"):
        split_outcomes(good, "random")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="seed is -1"):
        split_outcomes(good, seed=-1)
    for ratios in ((3.0, 0.0, 6.0), (3.0, NAN, 6.0), (3.0, -1.0, 6.0), (float("inf"), 1.0, 6.0)):
        with pytest.raises(ConfigError, match="three positive numbers"):
            split_outcomes(good, ratios=ratios)


def test_the_slice_splits_both_ways(shared_data: Path) -> None:
    outcomes = read_table(shared_data / "routerbench_slice.parquet")
    split = split_outcomes(outcomes)
    # 2225 * 0.3 = 667.5 -> 668, 2225 * 0.4 = 890.
    assert (len(split.train), len(split.validation), len(split.test)) == (668, 222, 1335)
    by_task = split_outcomes(outcomes, "ood")
    assert len(by_task.validation) == 299  # MBPP, the smallest of its three tasks


def parts_of_texts(outcomes: Outcomes, split: Split) -> dict[str, set[int]]:
    """In which parts the queries of each text are; case and white space do not count."""
    found: dict[str, set[int]] = {}
    for part, rows in enumerate((split.train, split.validation, split.test)):
        for row in rows:
            found.setdefault(" ".join(outcomes.texts[row].lower().split()), set()).add(part)
    return found


@given(
    numbers=st.lists(st.integers(0, 40), min_size=20, max_size=120),
    seed=st.integers(0, 99),
    ratios=st.tuples(RATIO, RATIO, RATIO),
)
@settings(max_examples=100)
def test_equal_texts_are_in_one_part_and_no_part_is_empty(
    numbers: list[int], seed: int, ratios: tuple[float, float, float]
) -> None:
    numbers = [100, 101, 102, *numbers]
    texts = [("text  %d " if i % 2 else "Text %d") % number for i, number in enumerate(numbers)]
    outcomes = table(["t"] * len(texts), texts=texts)
    split = split_outcomes(outcomes, seed=seed, ratios=ratios)
    parts = (split.train, split.validation, split.test)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(texts)))
    assert all(len(part) > 0 for part in parts)
    assert all(len(found) == 1 for found in parts_of_texts(outcomes, split).values())


def test_a_part_has_its_share_of_all_and_of_the_repeated_texts() -> None:
    # 600 single texts and 100 that occur four times: 300, 100 and 600 of 1000 exactly, and of the
    # 400 repeated ones 120, 40 and 240 but for one text.
    texts = [f"single {i}" for i in range(600)] + [f"repeated {i % 100}" for i in range(400)]
    split = split_outcomes(table(["t"] * 1000, texts=texts))
    parts = (split.train, split.validation, split.test)
    assert [len(part) for part in parts] == [300, 100, 600]
    for part, expected in zip(parts, (120, 40, 240), strict=True):
        assert abs(int((part >= 600).sum()) - expected) <= 4


def test_one_text_may_be_most_of_the_table() -> None:
    split = split_outcomes(table(["t"] * 100, texts=["hello"] * 97 + ["a", "b", "c"]))
    parts = (split.train, split.validation, split.test)
    assert [len(part) for part in parts] == [2, 1, 97]


def test_few_repeated_texts_change_few_queries_of_a_split() -> None:
    texts = [f"text {i}" for i in range(1000)]
    before = split_outcomes(table(["t"] * 1000, texts=texts))
    texts[7] = texts[8]
    after = split_outcomes(table(["t"] * 1000, texts=texts))
    assert len(set(before.test) ^ set(after.test)) <= 6


def test_equal_texts_with_two_images_are_two_queries() -> None:
    outcomes = replace(
        table(["t"] * 40, texts=["Which is larger?"] * 40),
        image_paths=tuple(f"{i}.png" for i in range(40)),
    )
    split = split_outcomes(outcomes)
    assert [len(p) for p in (split.train, split.validation, split.test)] == [12, 4, 24]


def test_fewer_than_three_texts_cannot_be_split() -> None:
    with pytest.raises(DataError, match="its 40 queries have 2 texts between them"):
        split_outcomes(table(["t"] * 40, texts=["yes", "no"] * 20))


def test_a_query_that_several_tasks_have_goes_with_the_first_of_them() -> None:
    tasks = [f"t{i % 6}" for i in range(120)]
    texts = [f"text {i}" for i in range(120)]
    texts[1] = texts[2] = "TEXT  0"  # the first query of t0 is in t1 and t2 too
    outcomes = table(tasks, texts=texts)
    for seed in range(10):
        split = split_outcomes(outcomes, "ood", seed)
        parts = [set(part.tolist()) for part in (split.train, split.validation, split.test)]
        (shared,) = [part for part in parts if 0 in part]
        assert {0, 1, 2, *range(6, 120, 6)} <= shared
        for task in range(1, 6):  # all else of a task is in one part
            rows = {row for row in range(task, 120, 6) if row not in (1, 2)}
            assert any(rows <= part for part in parts)


def test_tasks_of_the_same_queries_cannot_be_held_out() -> None:
    texts = [f"text {i // 3}" for i in range(60)]
    with pytest.raises(DataError, match="its 3 tasks have so many queries in common"):
        split_outcomes(table(["a", "b", "c"] * 20, texts=texts), "ood")


def test_a_table_of_equal_texts(shared_cases: Path) -> None:
    # 120 random texts five times each: what a router learns of a text says nothing of the others.
    outcomes = read_table(shared_cases / "equal_texts.csv")
    assert outcomes.describe().n_equal == 600
    split = split_outcomes(outcomes)
    assert {len(found) for found in parts_of_texts(outcomes, split).values()} == {1}
    assert [len(p) for p in (split.train, split.validation, split.test)] == [180, 60, 360]
