"""How many tokens a prompt will have: an estimate that errs on the high side.

Every model has a tokenizer of its own, and most are not public. What a text costs in any of them
depends on its script and on how much of it is digits, capitals and signs, so each byte of the text
in UTF-8 weighs something by its kind: one look-up per byte, and no vocabulary. The weights were
chosen on five tokenizers (cl100k, o200k, Claude's published one, DeepSeek's, Mistral's first) and
84 languages, code, JSON, logs, numbers and base64: the figures are in docs/gateway-decisions.md.
English prose comes out 1.3 to 1.5 times too high, where a bound by bytes is 4 times too high.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from equirouter.serve.call.translation.chat_form import strings
from equirouter.serve.chat import ChatRequest

LIKELY = 0.7
"""What a tokenizer is likely to count of an estimate: that of English, code and JSON."""
PER_MESSAGE = 5
"""The tokens around a message: its role and its separators."""
PER_REQUEST = 16
"""What begins the answer, and the words that a provider puts around definitions of tools."""
AUDIO_CHARACTERS_PER_TOKEN = 128
"""Of base64: 32 tokens a second, as the most expensive provider counts, at 32 kbit/s."""
FILE_CHARACTERS_PER_TOKEN = 16
"""Of base64, for documents: a page of a scanned PDF has some 50 kB and 2,000 tokens."""

_KINDS = (
    (0x61, 0x7A, 32),  # a-z
    (0x41, 0x5A, 90),  # A-Z: base64, identifiers, shouting
    (0x30, 0x39, 100),  # 0-9: some tokenizers take each digit for itself
    (0x20, 0x20, 15),
    (0x09, 0x0D, 60),
    # first bytes of longer characters; the others, 0x80 to 0xBF, weigh nothing
    (0xC2, 0xCB, 160),  # Latin with accents
    (0xCC, 0xCF, 120),  # Greek, combining marks
    (0xD0, 0xD3, 75),  # Cyrillic
    (0xD4, 0xD5, 220),  # Armenian
    (0xD6, 0xDF, 130),  # Hebrew, Arabic and others
    (0xE0, 0xE0, 220),  # the scripts of India, Thai, Lao
    (0xE1, 0xE1, 260),  # Georgian, Ethiopic, Khmer, Burmese, Cherokee
    (0xE2, 0xE2, 120),  # quotation marks, dashes, arrows
    (0xE3, 0xE9, 140),  # Chinese, Japanese
    (0xEA, 0xED, 130),  # Korean
    (0xEE, 0xEF, 140),
    (0xF0, 0xF4, 300),  # emoji, rare characters
)
"""First byte, last byte, and hundredths of a token for each."""
_OTHER_ASCII = 65  # punctuation


def _weights() -> NDArray[np.int64]:
    weights = np.zeros(256, dtype=np.int64)
    weights[:128] = _OTHER_ASCII
    for first, last, weight in _KINDS:
        weights[first : last + 1] = weight
    return weights


_WEIGHTS = _weights()
_WEIGHT_OF_ASCII = bytes(_WEIGHTS[:128].tolist()).ljust(256, b"\0")
_FEW = 384


@dataclass(slots=True)
class PromptTokens:
    """text: of all that is written. images: how many pictures; what one is depends on the model.

    caches: whether the request asks the provider to write some of it to a cache.
    """

    text: int
    images: int = 0
    caches: bool = False

    def total(self, per_image: int) -> int:
        """With so many tokens for each image."""
        return self.text + self.images * per_image


def text_tokens(text: str) -> int:
    """About how many tokens a text has, rather too many."""
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= _FEW and data.isascii():  # a call of NumPy takes as long
        return sum(data.translate(_WEIGHT_OF_ASCII)) // 100 + 1 if data else 0
    counted = np.frombuffer(data, dtype=np.uint8)
    # bincount and not _WEIGHTS[counted].sum(): no array of 8 bytes for each byte of a long text
    return int(np.bincount(counted, minlength=256) @ _WEIGHTS) // 100 + 1


def prompt_tokens(chat: ChatRequest) -> PromptTokens:
    """Of the whole request: messages, tools, the schema of the answer, sound and pictures."""
    body = chat.body
    counted = message_tokens(chat.messages)
    defined = [
        orjson.dumps(body[name]).decode()
        for name in ("tools", "functions", "response_format", "text")
        if body.get(name)
    ]
    text = "".join(defined)
    return PromptTokens(
        counted.text + text_tokens(text) + PER_REQUEST,
        counted.images,
        counted.caches or chat.caches or _CACHES in body or _CACHES in text,
    )


def message_tokens(messages: Sequence[Mapping[str, Any]]) -> PromptTokens:
    """Of a part of a conversation."""
    texts: list[str] = []
    more = images = 0
    caches = False
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            texts.append(content)
        elif content:
            for part in content:
                kind = part["type"]
                caches = caches or _CACHES in part
                if kind == "image_url":
                    images += 1
                elif kind in _DATA:
                    more += _of_data(part, kind)
                else:
                    texts.extend(_without(part, "type"))
        if len(message) > 2:
            # calls of tools, its name, a refusal, reasoning sent back
            texts.extend(_without(message, "role", "content"))
            caches = caches or _CACHES in message
    text = text_tokens("".join(texts)) + more + PER_MESSAGE * len(messages)
    return PromptTokens(text, images, caches)


_CACHES = "cache_control"
_DATA = {
    "input_audio": ("data", AUDIO_CHARACTERS_PER_TOKEN),
    "file": ("file_data", FILE_CHARACTERS_PER_TOKEN),
}


def _of_data(part: Mapping[str, Any], kind: str) -> int:
    """Tokens of sound or of a document, by the length of its base64."""
    inner, (field, per_token) = part.get(kind), _DATA[kind]
    data = inner.get(field) if isinstance(inner, dict) else None
    return -(-len(data) // per_token) if isinstance(data, str) else 0


def _without(document: Mapping[str, Any], *names: str) -> Iterator[str]:
    """The strings of an object's other fields."""
    return strings({name: value for name, value in document.items() if name not in names})
