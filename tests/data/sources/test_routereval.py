"""RouterEval's pickles, made here after their public schema."""

import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equirouter.data import load_dataset, split_outcomes, write_table
from equirouter.data.sources.routereval import RouterEval
from equirouter.errors import ConfigError, DataError

MODELS = ["meta-llama/Llama-2-7b", "mistralai/Mixtral-8x7B", "gpt2", "Qwen/Qwen-14B"]


def pool(models: Sequence[str], n: int) -> dict[str, Any]:
    """Scores: train (n, K), then one row each of val and test. The first model is always right."""
    scores = np.zeros((n, len(models)), dtype=np.float32)
    scores[:, 0] = 1
    last = np.full((1, len(models)), 0.5)
    return {
        "model": list(models),
        "data": {"train_score": scores, "val_score": last, "test_score": last.tolist()},
    }


def benchmark(models: Sequence[str], n: int = 2, size: int = 1000) -> dict[str, Any]:
    groups = {name: pool(models, n) for name in ("all_strong", "all_weak", "strong_to_weak")}
    return {
        "easy": {3: groups, 5: groups},
        "hard": {10: groups, 100: groups, size: groups},
        "split_index": {
            "train": np.zeros((1, 1, 1))
        },  # neither it nor the embeddings are looked at
        "embedding": {"train_embed": np.zeros((n, 1, 4))},
        "prompt": {
            "train_prompt": np.array([f"a prompt {i}" for i in range(n)]),  # numpy text, <U10
            "val_prompt": np.array(["of val"], dtype=object),
            "test_prompt": ["of test"],
        },
    }


def own_prompts(name: str, n: int) -> dict[str, Any]:
    """Prompts that no other benchmark has."""
    train = [f"{name} {i}" for i in range(n)]
    prompts = {
        "train_prompt": train,
        "val_prompt": [f"{name} val"],
        "test_prompt": [f"{name} test"],
    }
    return {"prompt": prompts}


def write(folder: Path, name: str, content: Any) -> Path:
    path = folder / f"{name}_router_dataset.pkl"
    path.write_bytes(pickle.dumps(content))
    return path


@pytest.fixture
def router_dataset(tmp_path: Path) -> Path:
    """Three benchmarks of the old leaderboard and one of the new."""
    folder = tmp_path / "router_dataset"
    folder.mkdir()
    write(folder, "arc", benchmark(MODELS))
    write(folder, "gsm8k", benchmark(MODELS[::-1]))
    write(folder, "mmlu", benchmark([*MODELS[:3], "other/model-1b"]))
    write(folder, "mmlu_pro", benchmark(["new/model-3b", "new/model-9b"]))
    return folder


def test_benchmarks_of_a_leaderboard_are_one_table(router_dataset: Path) -> None:
    table = load_dataset(f"routereval:path={router_dataset}")
    assert table.name == "routereval"
    # gpt2 has no size, Qwen-14B is no candidate of mmlu.
    assert table.models == tuple(MODELS[:2])
    assert table.tasks == ("arc",) * 4 + ("gsm8k",) * 4 + ("mmlu",) * 4
    assert table.query_ids[:5] == ("arc/1", "arc/2", "arc/3", "arc/4", "gsm8k/1")
    assert table.texts[:4] == ("a prompt 0", "a prompt 1", "of val", "of test")
    # gsm8k has the models in the opposite order: there Qwen-14B is the one that is right.
    assert table.performance[:4].tolist() == [[1, 0], [1, 0], [0.5, 0.5], [0.5, 0.5]]
    assert table.performance[4].tolist() == [0, 0]
    notes = " ".join(table.notes)
    assert "3 of 5 models are candidates of all benchmarks (arc 4, gsm8k 4, mmlu 4)" in notes
    assert "1 model is left out, as no size to price by is in the name: gpt2;" in notes


def test_costs_are_made_from_the_prompt_and_the_size(router_dataset: Path) -> None:
    table = RouterEval().load(router_dataset)
    # "a prompt 0" has 10 bytes: 3 tokens. 7B as Mistral 7B: 0.2 USD per million. 8x7B is 56, nearer
    # to 70 than to 34: 0.9.
    np.testing.assert_allclose(table.cost_usd[0], [0.6e-6, 2.7e-6])
    equal = RouterEval(cost="equal").load(router_dataset)
    assert equal.models == tuple(MODELS[:3])
    np.testing.assert_allclose(equal.cost_usd[0], [3e-6] * 3)
    assert "costs are made up" in equal.notes[0]


def test_benchmarks_and_groups_are_settings(router_dataset: Path) -> None:
    spec = "routereval:size=10:group=all_weak:data=mmlu_pro+arc:cost=equal"
    with pytest.raises(DataError, match=r"no model is a candidate of all .*arc 4, mmlu_pro 2"):
        load_dataset(f"{spec}:path={router_dataset}")
    table = load_dataset(f"routereval:data=new:path={router_dataset}")
    assert (table.models, set(table.tasks)) == (("new/model-3b", "new/model-9b"), {"mmlu_pro"})
    assert table.name == "routereval-new"
    table = RouterEval(data="mmlu").load(router_dataset)
    assert set(table.tasks) == {"mmlu"}
    alone = RouterEval().load(router_dataset / "mmlu_router_dataset.pkl")
    assert np.array_equal(alone.performance, table.performance)


def test_the_zip_of_the_hub_is_read_as_it_is(router_dataset: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "router_dataset.zip", "w") as archive:
        for path in router_dataset.iterdir():
            archive.write(path, f"router_dataset/{path.name}")
            archive.writestr(f"__MACOSX/router_dataset/._{path.name}", b"resource fork")
    table = RouterEval().load(tmp_path / "router_dataset.zip")
    assert table.equals(RouterEval().load(router_dataset))
    (tmp_path / "router_dataset.zip").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(DataError, match="the archive is damaged"):
        RouterEval().load(tmp_path / "router_dataset.zip")


def leaderboard(folder: Path, models: Sequence[str], subjects: dict[str, int]) -> Path:
    for name in ("leaderboard_score", "leaderboard_prompt"):
        (folder / name).mkdir(parents=True)
    scores = {
        name: {"correctness": np.eye(n, len(models), dtype=np.int8)} for name, n in subjects.items()
    }
    prompts = {name: [f"{name} {i}" for i in range(n)] for name, n in subjects.items()}
    for name, content in (
        ("leaderboard_score/old", {"data": scores, "models": list(models)}),
        ("leaderboard_score/new", {"data": {}, "models": []}),
        ("leaderboard_prompt/old_prompt", prompts),
    ):
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(content))
    return folder


def test_all_models_of_a_leaderboard(tmp_path: Path) -> None:
    models = [f"lab/model-{i}-7b" for i in range(8500)]
    subjects = {"harness_arc_challenge_25": 12, "harness_gsm8k_5": 9, "harness_winogrande_5": 4}
    copy = leaderboard(tmp_path / "data", models, subjects)
    table = load_dataset(f"routereval:size=all:path={copy}")
    assert (table.n_queries, table.n_models, table.name) == (25, 8500, "routereval-all")
    assert table.tasks.count("harness_arc_challenge_25") == 12
    assert table.texts[0] == "harness_arc_challenge_25 0"
    assert table.performance[3].nonzero()[0].tolist() == [3]
    assert {len(part) for part in (split_outcomes(table, "ood").test,)} == {12}
    with pytest.raises(DataError, match=r"0 files of leaderboard_score/ have 'x' .*new, old"):
        RouterEval(size="all", data="x").load(copy)
    with pytest.raises(ConfigError, match="size=all needs a local copy"):
        RouterEval(size="all").load()


def test_it_survives_as_an_outcomes_table(router_dataset: Path, tmp_path: Path) -> None:
    table = RouterEval().load(router_dataset)
    write_table(table, tmp_path / "t.parquet")
    assert load_dataset(tmp_path / "t.parquet").equals(table)


def test_whole_benchmarks_are_held_out(router_dataset: Path) -> None:
    for name in ("arc", "gsm8k", "mmlu"):
        write(router_dataset, name, benchmark(MODELS, n=10) | own_prompts(name, 10))
    split = split_outcomes(RouterEval().load(router_dataset), "ood")
    assert [len(part) for part in (split.train, split.validation, split.test)] == [12, 12, 12]
    write(router_dataset, "mmlu", benchmark(MODELS, n=30))
    alone = RouterEval(data="mmlu").load(router_dataset)
    with pytest.raises(DataError, match="needs at least 3 tasks, found 1: 'mmlu'"):
        split_outcomes(alone, "ood")


def test_a_pickle_is_not_run(router_dataset: Path) -> None:
    write(router_dataset, "arc", {"hard": print})
    with pytest.raises(
        DataError, match=r"arc_router_dataset\.pkl: the pickle asks for builtins.pri"
    ):
        RouterEval().load(router_dataset)
    (router_dataset / "arc_router_dataset.pkl").write_bytes(b"\x80\x04 not whole")
    with pytest.raises(DataError, match=r"arc_router_dataset\.pkl: this is not a whole pickle"):
        RouterEval().load(router_dataset)


def test_what_is_wrong_in_a_file(router_dataset: Path) -> None:
    def changed(**scores: Any) -> Any:
        content = benchmark(MODELS)
        group = content["hard"][1000]["strong_to_weak"]
        group["data"] = group["data"] | scores
        return content

    cases: list[tuple[Any, str]] = [
        ([1, 2], "no entry 'hard'; found list; asked for with size=1000, group=strong_to_weak"),
        (
            benchmark(MODELS, size=50),
            "no entry 1000; found [10, 100, 50]; asked for with size=1000",
        ),
        (
            changed(train_score=np.zeros((3, 4))),
            "train_score: the scores have shape (3, 4), expecte",
        ),
        (changed(val_score=np.array([["a"] * 4])), "val_score: a score is not a number"),
        (changed(val_score=[[1, 2], [1]]), "val_score: the rows have different lengths"),
        (benchmark([MODELS[0]] * 2), "the list of models is empty or names one twice"),
        (
            benchmark(MODELS) | {"prompt": {"train_prompt": [1]}},
            "found list, a list of texts is exp",
        ),
        (benchmark(MODELS) | {"prompt": {}}, "no entry 'train_prompt'; found []"),
        (
            benchmark(["gpt2", "bloom"]),
            "none of the 2 models has a size in its name, such as 'gpt2'",
        ),
    ]
    for content, message in cases:
        path = write(router_dataset, "arc", content)
        with pytest.raises(DataError) as caught:
            RouterEval(data="arc").load(router_dataset)
        assert message in str(caught.value)
        assert str(path) in str(caught.value) or str(router_dataset) in str(caught.value)


def test_what_is_wrong_in_a_folder_or_a_setting(router_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no benchmark 'squad'; found arc, gsm8k, mmlu, mmlu_pro"):
        RouterEval(data="arc+squad").load(router_dataset)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no benchmark 'old'; found no \.pkl files"):
        RouterEval().load(tmp_path / "empty")
    for settings, message in (
        ({"size": 7}, "size is 7: known: 3, 5, 10, 100, 1000, all"),
        ({"group": "strong"}, "group is 'strong': did you mean 'all_strong'"),
        ({"cost": "free"}, "cost is 'free': "),
    ):
        with pytest.raises(ConfigError, match=message):
            RouterEval(**settings)
