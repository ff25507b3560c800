"""From a spec to a router: names, presets, settings, and routers in a file."""

import re
from pathlib import Path

import pytest

from equirouter.errors import ConfigError, UnknownNameError
from equirouter.routers import make_router
from equirouter.routers.make import check_registered, registered_router, router_class
from equirouter.testing import check_router

OWN = Path(__file__).parents[2] / "examples" / "my_router.py"


def test_presets_and_settings_are_read_from_left_to_right() -> None:
    router = make_router("equirouter:paper:tie_weight=0.5:loss=mse:patience=null")
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


@pytest.mark.parametrize("spec", ["knn:k=1:k=2", "knn:k=1:index=exact:k=1", "svm:original:default"])
def test_a_setting_or_a_preset_is_given_once(spec: str) -> None:
    with pytest.raises(ConfigError, match=f"{spec}: expected one preset at most, and each setting"):
        make_router(spec)


def test_a_router_in_a_file_is_made_as_one_that_has_a_name() -> None:
    router = make_router(f"{OWN}:MyRouter:strength=3")
    assert (type(router).__name__, router.settings) == ("MyRouter", {"strength": 3})
    assert make_router(f"{OWN}:MyRouter:default").settings == {"strength": 5.0}
    assert type(router) is router_class(f"{OWN}:MyRouter")  # the file is run once
    check_router(router_class(f"{OWN}:MyRouter"))
    with pytest.raises(ConfigError, match="MyRouter: strength is 'x': expected a number, above 0"):
        make_router(f"{OWN}:MyRouter:strength=x")
    with pytest.raises(ConfigError, match="MyRouter has no preset 'strong': known: default"):
        make_router(f"{OWN}:MyRouter:strong")


def test_a_file_without_the_router_says_which_it_has(tmp_path: Path) -> None:
    form = "a router in a file is written FILE.py:CLASS"
    for spec in (f"{OWN}:Router", f"{OWN}:np", f"{OWN}:knn"):
        with pytest.raises(ConfigError, match=f"routers in it: MyRouter; {form}"):
            make_router(spec)
    with pytest.raises(ConfigError, match=f"no such file; {form}"):
        make_router(f"{tmp_path / 'none.py'}:MyRouter")
    with pytest.raises(ConfigError, match=form):
        make_router(str(OWN))
    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0\n", "utf-8")
    with pytest.raises(ConfigError, match=r"broken\.py cannot be run: ZeroDivisionError: division"):
        make_router(f"{broken}:MyRouter")
    half = tmp_path / "half.py"
    half.write_text(
        "from equirouter.routers import Router\n\n\nclass Half(Router):\n"
        "    scores_are = 'ranking'\n",
        "utf-8",
    )
    with pytest.raises(ConfigError, match=r"Half is not complete: it lacks fit, predict"):
        make_router(f"{half}:Half")


def test_a_setting_without_a_default_must_be_given(tmp_path: Path) -> None:
    own = OWN.read_text("utf-8").replace("strength: PositiveFloat = 5.0", "strength: PositiveFloat")
    file = tmp_path / "needy.py"
    file.write_text(own, "utf-8")
    assert make_router(f"{file}:MyRouter:strength=2").settings == {"strength": 2}
    with pytest.raises(ConfigError, match=r"no default for strength: write .*:strength=VALUE"):
        make_router(f"{file}:MyRouter")


def test_a_saved_router_is_looked_up_by_its_name_alone(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    file = tmp_path / "evil.py"
    file.write_text(f"open({str(ran)!r}, 'w').close()\n", "utf-8")
    for name in (f"{file}:MyRouter", f"{OWN}:MyRouter", "knn:default", "knn:k=3"):
        with pytest.raises(UnknownNameError, match=re.escape(f"no router named {name!r}")):
            registered_router(name, {})
    assert not ran.exists()
    assert registered_router("knn", {"k": 3}).settings["k"] == 3


def test_a_router_in_a_file_cannot_be_saved() -> None:
    for spec in ("knn:k=3", "equirouter:paper"):
        check_registered(spec)
    with pytest.raises(ConfigError, match=r"my_router\.py:MyRouter: .*register the class"):
        check_registered(f"{OWN}:MyRouter:strength=3")
