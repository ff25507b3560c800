"""Data sets by name and settings: NAME[:key=value ...]."""

from pathlib import Path

import pytest

from equirouter.data import load_dataset
from equirouter.data.sources.by_name import make_dataset
from equirouter.data.sources.mixinstruct import MixInstruct
from equirouter.errors import ConfigError, UnknownNameError


def test_settings_and_the_local_copy_are_told_apart() -> None:
    made, path = make_dataset("mixinstruct:metric=rougeL:path=/data/mix:part=val")
    assert isinstance(made, MixInstruct)
    assert (made.metric, made.part, path) == ("rougeL", "val", Path("/data/mix"))
    made, path = make_dataset("routereval:size=10")
    assert (made.size, path) == (10, None)  # type: ignore[attr-defined]


def test_a_path_may_hold_colons_and_begin_at_home() -> None:
    assert make_dataset(r"mixinstruct:path=C:\data\a:b")[1] == Path(r"C:\data\a:b")
    assert make_dataset("mixinstruct:path=~/mix")[1] == Path.home() / "mix"


def test_a_setting_that_is_not_there_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(ConfigError) as caught:
        make_dataset("mixinstruct:metrics=bleurt")
    assert "mixinstruct has no setting 'metrics': did you mean 'metric'?" in str(caught.value)
    assert "known: metric, part, raw, path" in str(caught.value)
    with pytest.raises(ConfigError, match="path is empty"):
        make_dataset("mixinstruct:path=")


def test_a_name_that_is_not_there_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'mixinstruct'"):
        load_dataset("mixinstruc:metric=bleurt")


def test_every_data_set_takes_a_path(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "sample_id,prompt,eval_name,a,b,a|total_cost,b|total_cost\nq,text,t,1,0,1,2\n"
    )
    assert load_dataset(f"routerbench-0shot:path={tmp_path / 't.csv'}").name == "routerbench-0shot"
    with pytest.raises(ConfigError, match="simulated"):
        load_dataset(f"simulated:path={tmp_path}")
