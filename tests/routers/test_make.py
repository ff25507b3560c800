"""What a user types for a router."""

import pytest

from equirouter.errors import ConfigError, UnknownNameError
from equirouter.routers import make_router


def test_presets_and_settings_are_read_from_left_to_right() -> None:
    router = make_router("equirouter:paper:tie_weight=0.5:loss=mse")
    assert router.settings["tie_weight"] == 0.5
    assert router.settings["loss"] == "mse"
    assert router.settings["patience"] is None


def test_keyword_arguments_count_more_than_the_spec() -> None:
    assert make_router("knn:k=7", k=3).settings["k"] == 3


def test_the_paper_preset_is_eq_8_with_the_schedule_of_the_appendix() -> None:
    settings = make_router("equirouter:paper").settings
    assert (settings["loss"], settings["tie_weight"]) == ("ranking", 1.0)
    assert (settings["epochs"], settings["batch_size"], settings["learning_rate"]) == (
        30,
        2048,
        1e-3,
    )


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'equirouter'"):
        make_router("equiruoter")


def test_an_unknown_preset_or_setting_lists_the_known() -> None:
    with pytest.raises(ConfigError, match="no preset 'papr': known: default, paper"):
        make_router("equirouter:papr")
    with pytest.raises(ConfigError, match="knn has no setting 'neighbours': known: k, index"):
        make_router("knn:neighbours=3")
