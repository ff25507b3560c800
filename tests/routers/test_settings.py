"""Settings: the values they take, and the words for them."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pytest
from pydantic import Field, PositiveFloat

from equirouter.errors import ConfigError
from equirouter.registry import ROUTERS
from equirouter.routers import make_router
from equirouter.routers.anchors import RandomRouter
from equirouter.routers.networks.mlp import MLPRouter
from equirouter.routers.settings import Setting, settings_of

COUNT, MAYBE_COUNT = "a whole number, at least 1", "a whole number, at least 1, or null"
ITERATIONS = "a whole number, at least 1 and at most 100000"
POSITIVE, AT_LEAST_0 = "a number, above 0", "a number, at least 0"
SHARE = "a number, at least 0 and below 1"
TRUNK = "a list that is not empty, each item a whole number, at least 1"
REFUSED = [
    ("knn:k=abc", "knn: k is 'abc'", COUNT),
    ("knn:k=2.5", "knn: k is 2.5", COUNT),
    ("knn:k=3.0", "knn: k is 3.0", COUNT),
    ("knn:k=true", "knn: k is True", COUNT),
    ("knn:k=0", "knn: k is 0", COUNT),
    ("knn:k=null", "knn: k is None", COUNT),
    ("knn:k=[3]", "knn: k is [3]", COUNT),
    ("knn:index=annoy", "knn: index is 'annoy'", "auto, exact or faiss"),
    ("factors:max_factors=0", "factors: max_factors is 0", COUNT),
    ("linear:alpha=-1", "linear: alpha is -1", "a number, at least 0, or null"),
    ("linear:alpha=NaN", "linear: alpha is nan", "a number, at least 0, or null"),
    ("linear:alpha=Infinity", "linear: alpha is inf", "a number, at least 0, or null"),
    ("svm:c=x", "svm: c is 'x'", POSITIVE),
    ("svm:c=true", "svm: c is True", POSITIVE),
    ("svm:original:c=0", "svm: c is 0", POSITIVE),
    ("svm:loss=hinge", "svm: loss is 'hinge'", "squared or absolute"),
    ("svm:epsilon=-0.1", "svm: epsilon is -0.1", AT_LEAST_0),
    ("avengerspro:n_init=two", "avengerspro: n_init is 'two'", f"{ITERATIONS}, or auto"),
    ("avengerspro:n_init=100001", "avengerspro: n_init is 100001", f"{ITERATIONS}, or auto"),
    ("avengerspro:max_iter=100001", "avengerspro: max_iter is 100001", ITERATIONS),
    ("svm:max_iter=100001", "svm: max_iter is 100001", ITERATIONS),
    ("avengerspro:sharpness=-1", "avengerspro: sharpness is -1", AT_LEAST_0),
    ("mlp:hidden=abc", "mlp: hidden is 'abc'", COUNT),
    ("mlp:epochs=1e9", "mlp: epochs is 1000000000.0", ITERATIONS),
    ("mlp:epochs=1000000000", "mlp: epochs is 1000000000", ITERATIONS),
    ("equirouter:epochs=100001", "equirouter: epochs is 100001", ITERATIONS),
    (
        "knn:k=99999999999999999999",
        "knn: k is 99999999999999999999",
        "a whole number of at most 2147483647",
    ),
    (
        "equirouter:trunk=[64,2147483648]",
        "equirouter: trunk is [64, 2147483648]",
        "a whole number of at most 2147483647",
    ),
    ("mlp:learning_rate=0", "mlp: learning_rate is 0", POSITIVE),
    ("mlp:weight_decay=-1", "mlp: weight_decay is -1", AT_LEAST_0),
    ("mlp:patience=0", "mlp: patience is 0", MAYBE_COUNT),
    ("mlp:device=tpu", "mlp: device is 'tpu'", "auto, cpu or cuda"),
    ("equirouter:trunk=[]", "equirouter: trunk is []", TRUNK),
    ("equirouter:trunk=[64,0]", "equirouter: trunk is [64, 0]", TRUNK),
    ("equirouter:trunk=64", "equirouter: trunk is 64", TRUNK),
    ("equirouter:dropout=1", "equirouter: dropout is 1", SHARE),
    ("equirouter:joint_feature=1", "equirouter: joint_feature is 1", "true or false"),
    ("equirouter:tie_weight=-1", "equirouter: tie_weight is -1", AT_LEAST_0),
    ("equirouter:loss=mae", "equirouter: loss is 'mae'", "ranking, mse or mse+ranking"),
    (
        "equirouter:max_models_per_step=1",
        "equirouter: max_models_per_step is 1",
        "a whole number, at least 2",
    ),
    (
        "equirouter:first_stage=1",
        "equirouter: first_stage is 1",
        "0, or a whole number, at least 2, or null",
    ),
    ("embedllm:noise=-1", "embedllm: noise is -1", AT_LEAST_0),
    ("routerdc:temperature=0", "routerdc: temperature is 0", POSITIVE),
    ("routerdc:n_top=0", "routerdc: n_top is 0", COUNT),
    ("graphrouter:width=0", "graphrouter: width is 0", COUNT),
    ("mlp:batch_size=null", "mlp: batch_size is None", COUNT),
    ("mirt:warm_up=1", "mirt: warm_up is 1", SHARE),
    ("nirt:abilities=0", "nirt: abilities is 0", COUNT),
    ("causal:clip=0", "causal: clip is 0", "a number, above 0 and at most 1"),
]


@pytest.mark.parametrize(("spec", "place", "expected"), REFUSED, ids=[spec for spec, *_ in REFUSED])
def test_a_value_that_does_not_fit_is_refused_when_the_router_is_made(
    spec: str, place: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        make_router(spec)
    assert str(refused.value) == f"{place}: expected {expected}"


def test_a_whole_number_is_a_number_but_not_the_other_way_round() -> None:
    assert make_router("svm:c=1").settings["c"] == 1
    with pytest.raises(ConfigError, match=r"mlp: hidden is np.int64\(8\)"):  # JSON has no such type
        make_router("mlp", hidden=np.int64(8))


def test_the_class_itself_checks() -> None:
    with pytest.raises(ConfigError, match="mlp: hidden is 0"):
        MLPRouter(hidden=0)


@pytest.mark.parametrize("name", ROUTERS.names())
def test_every_setting_has_a_meaning_and_every_preset_can_be_made(name: str) -> None:
    kind = ROUTERS.load(name)
    assert [setting.name for setting in settings_of(kind) if not setting.meaning] == []
    for preset in kind.presets:
        make_router(f"{name}:{preset}")


@dataclass(kw_only=True, eq=False)
class Mine(RandomRouter):
    """With two settings of its own."""

    strength: PositiveFloat = 2.0
    """How much
    it counts."""

    words: list[str] | Literal["all"] = "all"


@dataclass(kw_only=True, eq=False)
class Another(Mine):
    """With another default, and a setting more."""

    share: Annotated[float, Field(gt=0.5, le=1)] = 1.0
    """Of all."""

    strength: PositiveFloat = 3.0


class Plain(RandomRouter):
    """Without a dataclass."""

    def __init__(self, *, depth: int = 3) -> None:
        self.depth = depth


def test_settings_have_types_in_words_defaults_and_the_docstring_under_them() -> None:
    words = Setting("words", "a list, each item a text, or all", "all", "")
    assert settings_of(Mine) == (
        Setting("strength", "a number, above 0", 2.0, "How much it counts."),
        words,
    )
    assert settings_of(Another) == (
        Setting("share", "a number, above 0.5 and at most 1", 1.0, "Of all."),
        Setting("strength", "a number, above 0", 3.0, "How much it counts."),
        words,
    )


def test_a_router_without_a_dataclass_has_annotations_and_no_checks() -> None:
    assert settings_of(Plain) == (Setting("depth", "int", 3, ""),)
    assert Plain(depth="deep").settings == {"depth": "deep"}  # type: ignore[arg-type]
    assert settings_of(RandomRouter) == ()


def test_a_type_that_cannot_be_checked_is_named() -> None:
    @dataclass(kw_only=True, eq=False)
    class Odd(RandomRouter):
        rng: np.random.Generator | None = None

    with pytest.raises(ConfigError, match="Odd has a setting of a type that cannot be checked"):
        Odd()
