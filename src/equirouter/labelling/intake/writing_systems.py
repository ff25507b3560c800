"""The writing system of a text: what languages a log is in, without a model that guesses."""

import unicodedata
from collections import Counter
from functools import lru_cache

_LOOKED_AT = 400
_NAMED = {"CJK": "Han", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Hangul"}


def writing_system(text: str) -> str:
    """That of most letters at the beginning of a text: "Latin", "Cyrillic", "Han", ...

    Kana make a text Japanese, whatever else is in it; "none" has no letters. English and German are
    both Latin.
    """
    counts = Counter(filter(None, map(_of_letter, text[:_LOOKED_AT])))
    if "Japanese" in counts:
        return "Japanese"
    return counts.most_common(1)[0][0] if counts else "none"


@lru_cache(maxsize=4096)
def _of_letter(letter: str) -> str | None:
    """The first word of a letter's name in Unicode, which is its writing system."""
    if not letter.isalpha():
        return None
    word = unicodedata.name(letter, "").split(" ")[0]
    return _NAMED.get(word, word.capitalize()) or None
