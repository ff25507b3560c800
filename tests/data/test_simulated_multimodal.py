"""The embedded data set with pictures: what its documentation promises, on few of its queries."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from equirouter.data import split_outcomes
from equirouter.data.outcomes import Outcomes
from equirouter.data.simulated_multimodal import TASKS, SimulatedMultimodal
from equirouter.errors import ConfigError


@pytest.fixture(scope="module")
def table() -> Outcomes:
    return SimulatedMultimodal(400).load()


def contrast(path: str) -> float:
    with Image.open(path) as picture:
        return float(np.asarray(picture.convert("L"), dtype=np.float64).std())


def test_every_query_has_a_text_and_a_picture(table: Outcomes) -> None:
    assert table.n_queries == 400
    assert set(table.tasks) == set(TASKS)
    assert table.is_complete.all()
    assert table.images is not None
    sizes = set()
    for path in table.images[:20]:
        with Image.open(str(path)) as picture:
            sizes.add((picture.size, picture.mode))
    assert sizes == {((224, 224), "RGB")}
    assert all(Path(str(path)).is_file() for path in table.images)
    assert not any("{" in text for text in table.texts)


def test_ties_are_many_and_the_oracle_seldom_takes_the_strongest(table: Outcomes) -> None:
    described = table.describe()
    assert described.tie_rate >= 0.9
    assert described.oracle_call_share[table.strongest] < 0.1
    assert described.strongest == "wren-large"


def test_a_seed_is_the_same_table_and_the_same_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = SimulatedMultimodal(60, seed=5).load()
    assert not small.equals(SimulatedMultimodal(60, seed=6).load())
    monkeypatch.setenv("EQUIROUTER_CACHE_DIR", str(tmp_path))
    again = SimulatedMultimodal(60, seed=5).load()
    assert again.equals(small)  # wherever the pictures lie
    assert again.images != small.images
    for one, other in zip(again.images or (), small.images or (), strict=True):
        assert Path(str(one)).read_bytes() == Path(str(other)).read_bytes()
    assert not list(tmp_path.rglob("drawing-*"))  # nothing half drawn is left


def test_the_picture_says_what_the_text_does_not(table: Outcomes) -> None:
    # a faint picture is answered less often; texts are drawn beside it, blindly
    seen = np.array([contrast(str(path)) for path in table.images or ()])
    right = table.performance.mean(axis=1)
    found = []
    for task in TASKS:
        rows = np.array(table.tasks) == task
        found.append(float(np.corrcoef(seen[rows], right[rows])[0, 1]))
    assert min(found) > 0
    assert np.mean(found) > 0.1  # of 80 queries each: chance alone gives 0.0 +- 0.05


def test_whole_tasks_can_be_held_out(table: Outcomes) -> None:
    split = split_outcomes(table, kind="ood")
    parts = [{table.tasks[row] for row in rows} for rows in (split.train, split.test)]
    assert not parts[0] & parts[1]


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="n_queries is 49"):
        SimulatedMultimodal(49)
    with pytest.raises(ConfigError, match="seed is -1"):
        SimulatedMultimodal(seed=-1)
    with pytest.raises(ConfigError, match="reads no file"):
        SimulatedMultimodal().load(Path("x"))
