"""The embedded data set: every property that its documentation promises."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from equirouter.arrays import FloatArray
from equirouter.cost.published_prices import PRICES
from equirouter.data.outcomes import Outcomes
from equirouter.data.sources.simulated import ACCURACY, PROFILES, Simulated, SimulatedRouterBench
from equirouter.data.sources.simulated_texts import FAMILIES, Family, make_texts
from equirouter.errors import ConfigError
from equirouter.registry import DATASETS

GPT_4 = "gpt-4-1106-preview"
MISTRAL_7B = "mistralai/mistral-7b-chat"


@pytest.fixture(scope="module")
def table() -> Outcomes:
    return Simulated().load()


def in_task(table: Outcomes, task: str) -> Outcomes:
    return table.take(np.array(table.tasks) == task)


def test_sizes_and_completeness(table: Outcomes) -> None:
    assert table.n_queries == 6200
    assert table.n_models == 11
    assert set(table.models) == set(PRICES)
    assert set(table.tasks) == set(FAMILIES)
    assert len(FAMILIES) == 8
    assert table.is_complete.all()
    assert min(table.describe().task_sizes.values()) >= 300


def test_the_shares_of_the_families_add_up() -> None:
    assert sum(profile.share for profile in PROFILES.values()) == pytest.approx(1.0)


def test_every_text_is_different_and_short_enough_for_an_encoder(table: Outcomes) -> None:
    assert len(set(table.texts)) == table.n_queries
    n_words = np.array([len(text.split()) for text in table.texts])
    assert n_words.min() >= 5
    assert n_words.max() < 150
    assert not any("{" in text or "}" in text for text in table.texts)  # all gaps are filled


def test_the_families_are_mixed(table: Outcomes) -> None:
    assert set(table.tasks[:200]) == set(FAMILIES)


def test_strongest_and_cheapest_are_those_of_routerbench(table: Outcomes) -> None:
    described = table.describe()
    assert described.strongest == GPT_4
    assert described.cheapest == MISTRAL_7B


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_ties_and_the_oracle(seed: int) -> None:
    described = Simulated(seed=seed).load().describe()
    assert described.oracle_call_share is not None
    share = dict(zip(described.models, described.oracle_call_share, strict=True))
    assert 0.93 <= (described.tie_rate or 0) <= 0.97
    assert 0.0 < share[GPT_4] < 0.20
    assert share[MISTRAL_7B] > 0.20
    # the oracle is better than the strongest model and far cheaper
    assert (described.oracle_performance or 0) > 0.9
    gpt_4 = described.models.index(GPT_4)
    assert (described.oracle_cost_usd or 1) < 0.2 * described.mean_cost_usd[gpt_4]


@pytest.mark.parametrize("seed", [0, 7])
def test_means_per_task_agree_with_the_published_ones(seed: int) -> None:
    table = Simulated(seed=seed).load()
    for task in FAMILIES:
        means = in_task(table, task).performance.mean(axis=0)
        expected = [ACCURACY[model][task] for model in table.models]
        np.testing.assert_allclose(means, expected, atol=0.02, err_msg=task)


def test_published_figures_spot_check() -> None:
    # RouterBench, 5-shot: GPT-4 on MMLU and ARC, Claude v2 on HellaSwag, Mistral on GSM8K
    assert ACCURACY[GPT_4]["knowledge"] == 0.828
    assert ACCURACY[GPT_4]["science"] == 0.921
    assert ACCURACY["claude-v2"]["continuation"] == 0.421
    assert ACCURACY[MISTRAL_7B]["arithmetic"] == 0.409
    # made up as the mean: (.828 + .971 + .682 + .923 + .858 + .654 + .921) / 7 = 5.837 / 7
    assert ACCURACY[GPT_4]["reading"] == pytest.approx(0.834)


def test_outcomes_are_right_or_wrong_and_tenths_where_judged(table: Outcomes) -> None:
    for task in FAMILIES:
        values = set(np.unique(in_task(table, task).performance).tolist())
        if task == "chat":
            assert values <= {tenth / 10 for tenth in range(11)}
            assert len(values) > 5
        else:
            assert values == {0.0, 1.0}


def test_models_fail_on_the_same_queries(table: Outcomes) -> None:
    for task in FAMILIES:
        correlation = np.asarray(np.corrcoef(in_task(table, task).performance.T))
        off_diagonal = correlation[~np.eye(11, dtype=bool)]
        assert off_diagonal.mean() > 0.1, task


def test_costs_differ_per_query_and_lie_between_sensible_bounds(table: Outcomes) -> None:
    gpt_4 = table.cost_usd[:, table.models.index(GPT_4)]
    mistral = table.cost_usd[:, table.models.index(MISTRAL_7B)]
    for task in FAMILIES:
        assert np.std(np.log(in_task(table, task).cost_usd[:, 0])) > 0.01, task
    assert (table.cost_usd > 0).all()
    assert gpt_4.max() < 0.2  # USD
    assert 20 < gpt_4.mean() / mistral.mean() < 150


def test_a_cost_can_be_worked_out_from_the_text(table: Outcomes) -> None:
    # input: ceil(characters / 4) + overhead of the family; what is left is whole answer tokens
    row = table.tasks.index("knowledge")
    column = table.models.index(GPT_4)
    given = -(-len(table.texts[row]) // 4) + PROFILES["knowledge"].overhead_tokens
    tokens_out = (table.cost_usd[row, column] - given * 10 / 1e6) / (30 / 1e6)
    assert tokens_out == pytest.approx(round(tokens_out), abs=1e-6)
    assert 1 <= round(tokens_out) < 100


def _n_sentences(text: str) -> float:
    return len(re.findall(r"[.?!](?:\s|$)", text))


def _largest_number(text: str) -> float:
    return float(np.log10(max(int(number) for number in re.findall(r"\d+", text) or ["1"])))


def _longest_word(text: str) -> float:
    return max(len(word) for word in re.findall(r"[a-z]+", text))


VISIBLE: list[tuple[str, Callable[[str], float]]] = [
    *((task, _n_sentences) for task in FAMILIES),  # further sentences
    ("arithmetic", _largest_number),
    ("knowledge", _longest_word),  # rarity of words
    ("reading", _longest_word),
    ("chat", _longest_word),
]


@pytest.mark.parametrize(("task", "feature"), VISIBLE)
def test_a_query_is_harder_with_what_a_reader_sees(
    table: Outcomes, task: str, feature: Callable[[str], float]
) -> None:
    part = in_task(table, task)
    visible = np.array([feature(text) for text in part.texts])
    correlation = np.corrcoef(visible, part.performance.mean(axis=1))[0, 1]
    # the standard error of a correlation is about 1 / sqrt(372) = 0.05 on the smallest family
    assert correlation < -0.1


def _word_counts(texts: tuple[str, ...]) -> FloatArray:
    """(N, 256) hashed words with a stable hash, and the length: all that a plain reader needs."""
    counts = np.zeros((len(texts), 256))
    for row, text in enumerate(texts):
        for word in re.findall(r"[a-z]+|\d", text.lower()):
            counts[row, sum(ord(c) * 31**i for i, c in enumerate(word)) % 255] += 1
        counts[row, 255] = len(text) / 50
    return np.log1p(counts)


def _auc(right: FloatArray, score: FloatArray) -> float:
    """Chance that a right answer has a higher score than a wrong one."""
    above = score[right == 1][:, None] - score[right == 0][None, :]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def test_reading_the_text_beats_knowing_the_task(table: Outcomes) -> None:
    train = np.arange(table.n_queries) < 3000
    aucs, errors_task, errors_text = [], [], []
    for task in FAMILIES:
        rows = np.array(table.tasks) == task
        words = _word_counts(table.take(rows).texts)
        performance = table.performance[rows]
        fit, held = train[rows], ~train[rows]
        words = words - words[fit].mean(axis=0)
        mean = performance[fit].mean(axis=0)
        gram = words[fit].T @ words[fit] + 100.0 * np.eye(words.shape[1])
        weights = np.linalg.solve(gram, words[fit].T @ (performance[fit] - mean))
        predicted = mean + words[held] @ weights  # ridge regression, one per model
        errors_task.append(((performance[held] - mean) ** 2).sum())
        errors_text.append(((performance[held] - predicted) ** 2).sum())
        if task != "chat":
            aucs += [_auc(performance[held][:, k], predicted[:, k]) for k in range(11)]
    # a real gain, and not a trivial one: the task alone has 0.5
    assert 0.62 < np.mean(aucs) < 0.80
    assert sum(errors_text) < 0.97 * sum(errors_task)


def test_the_same_seed_gives_the_same_table_and_another_one_does_not(table: Outcomes) -> None:
    assert Simulated(seed=0).load().equals(table)
    other = Simulated(seed=1).load()
    assert other.fingerprint != table.fingerprint
    assert len(set(other.texts) & set(table.texts)) < 0.1 * table.n_queries


def test_the_table_is_the_one_that_published_results_name(table: Outcomes) -> None:
    # whoever changes texts or figures changes this on purpose, and says so in the changelog
    assert table.fingerprint == "915b006d6563e68cd414dd669f774213321120754eb7f6a098a9897e265cfdca"


@pytest.mark.parametrize("n_queries", [80, 81, 500])
def test_small_tables(n_queries: int) -> None:
    table = Simulated(n_queries=n_queries).load()
    assert table.n_queries == n_queries
    assert set(table.tasks) == set(FAMILIES)


def test_the_mix_of_routerbench_has_families_where_the_strongest_is_not_the_best() -> None:
    table = DATASETS.load("simulated-routerbench")().load()
    tasks = np.array(table.tasks)
    # 10,042 of 34,778 queries of RouterBench's seven benchmarks are HellaSwag's, 80 MT-Bench's
    assert (tasks == "continuation").sum() == round(6200 * 10_042 / 34_778)
    assert (tasks == "chat").sum() == pytest.approx(6200 * 80 / 34_778, abs=1)
    best = {
        task: table.models[table.performance[tasks == task].mean(axis=0).argmax()]
        for task in set(table.tasks)
    }
    strongest = table.models[table.strongest]
    others = {task for task, model in best.items() if model != strongest}
    assert strongest == "gpt-4-1106-preview"
    assert others == {"continuation", "arithmetic"}
    assert len(set(SimulatedRouterBench(n_queries=500).load().tasks)) == 7


def test_the_registry_knows_it() -> None:
    made = DATASETS.load("simulated")()
    assert isinstance(made, Simulated)
    assert made.name == "simulated"
    assert made.description


def test_progress_goes_from_nothing_to_all() -> None:
    calls: list[tuple[str, int, int]] = []
    Simulated(n_queries=80).load(progress=lambda *step: calls.append(step))
    assert calls == [("simulate", done, 8) for done in range(9)]


def test_bad_input() -> None:
    with pytest.raises(ConfigError, match=r"n_queries is 79; .* needs 80 or more"):
        Simulated(n_queries=79)
    with pytest.raises(ConfigError, match="seed is -1; expected 0"):
        Simulated(seed=-1)
    with pytest.raises(ConfigError, match=r"reads no file, but the path here\.csv was given"):
        Simulated().load(Path("here.csv"))


def test_more_texts_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    coin = Family("Heads {a}?", "or, 1", "or, 1", "or, 1", "Or not?", most_further=0)
    monkeypatch.setitem(FAMILIES, "coin", coin)
    texts, difficulty = make_texts("coin", 2, np.random.default_rng(0))
    assert sorted(texts) == ["Heads 1? Or not?", "Heads or? Or not?"]
    assert difficulty.std() == pytest.approx(1.0) or not difficulty.any()
    with pytest.raises(ConfigError, match=r"no more than about 2 different texts .* 3 were asked"):
        make_texts("coin", 3, np.random.default_rng(0))
