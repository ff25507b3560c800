"""Whether reading pays: texts that say which model is right, and texts that do not."""

import numpy as np
import pytest

from equirouter import train
from equirouter.data.outcomes import Outcomes
from equirouter.encoders.lexical import LexicalEncoder

N = 600


ENGLISH = ("add two numbers", "prove a theorem")
OTHERS = {
    "Chinese": ("把两个数字相加", "证明一个定理"),
    "Thai": ("บวกเลขสองจำนวน", "พิสูจน์ทฤษฎีบท"),
    "code": ("for i in range(n): print(i)", "SELECT name FROM users WHERE id = ?"),
}


def table(kinds: tuple[str, str] = ENGLISH, *, told: bool) -> Outcomes:
    """Two models; the cheap one is right on half of the queries, which the text tells or not."""
    rng = np.random.default_rng(0)
    easy = rng.random(N) < 0.5
    words = np.where(easy if told else rng.random(N) < 0.5, *kinds)
    return Outcomes(
        query_ids=tuple(str(row) for row in range(N)),
        texts=tuple(f"{word} {row}" for row, word in enumerate(words.tolist())),
        tasks=("all",) * N,
        models=("cheap", "expensive"),
        performance=np.stack([easy, rng.random(N) < 0.95], axis=1).astype(np.float64),
        cost_usd=np.tile([0.001, 0.01], (N, 1)) * rng.uniform(0.9, 1.1, (N, 2)),
    )


@pytest.mark.parametrize("told", [True, False])
def test_reading_pays_where_the_text_tells_which_model_is_right(told: bool) -> None:
    made = train(table(told=told), LexicalEncoder(dimension=256), resamples=200, refit=False)
    found = made.provenance.test_metrics["text_free"]
    assert found["quality"] == "0.98"
    assert found["cost"]["router"] - found["cost"]["anchor"] == pytest.approx(
        found["difference"]["mean"]
    )
    if told:  # half of the queries are the cheap model's: about 0.55 of the cost; else nearly all
        assert found["cost"]["router"] < 0.65
        assert found["difference"]["high"] < -0.2
    else:
        assert found["difference"]["high"] > 0
        assert abs(found["difference"]["mean"]) < 0.1


@pytest.mark.parametrize("kinds", OTHERS.values(), ids=OTHERS)
def test_reading_pays_in_any_language_and_in_code(kinds: tuple[str, str]) -> None:
    made = train(table(kinds, told=True), LexicalEncoder(), resamples=200, refit=False)
    found = made.provenance.test_metrics["text_free"]
    assert found["cost"]["router"] < 0.65
    assert found["difference"]["high"] < -0.2
