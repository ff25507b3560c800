"""Personal data replaced by what it is: <EMAIL_ADDRESS>, <PHONE_NUMBER>, <CREDIT_CARD>, ...

The recognisers are those of presidio-analyzer that need no model: patterns with checksums, and
Google's library of phone numbers. Nothing is downloaded and nothing leaves the machine. Names are
found by a spaCy model, if one is installed.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from equirouter.extras import require

_KEYS = (
    r"\bsk-[A-Za-z0-9_-]{20,}",  # OpenAI, Anthropic, OpenRouter
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",  # AWS
    r"\bgh[pousr]_[A-Za-z0-9]{36,}",  # GitHub
    r"\bgithub_pat_[A-Za-z0-9_]{40,}",
    r"\bglpat-[A-Za-z0-9_-]{20,}",  # GitLab
    r"\bxox[abposr]-[A-Za-z0-9-]{10,}",  # Slack
    r"\bAIza[0-9A-Za-z_-]{35}",  # Google
    r"\bhf_[A-Za-z0-9]{30,}",  # Hugging Face
    r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+",  # JSON web tokens
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----",
)
_NAMES = ("PERSON", "PER")
_IDENTIFIERS = ("user", "safety_identifier", "prompt_cache_key", "metadata")

_Span = tuple[int, int, str]
"""Where a piece begins and ends, and what it is."""


class Redactor:
    """Replaces e-mail addresses, phone, card and IBAN numbers, keys, and names where it can.

    replaced: how often, by kind. Raises MissingExtraError without presidio-analyzer.

    It errs on the side of replacing: a number that could be a phone number is one. Pictures and
    files are not read.
    """

    def __init__(self) -> None:
        self.replaced: Counter[str] = Counter()
        self._find = [_spans_of(recogniser) for recogniser in _recognisers()]
        self.names_by = _name_models()
        self._find += [_names_of(name) for name in self.names_by]

    def text(self, text: str) -> str:
        """A text with all that was found in it replaced."""
        spans = sorted(chain.from_iterable(find(text) for find in self._find))
        pieces, end = [], 0
        for start, stop, kind in _apart(spans):
            pieces += [text[end:start], f"<{kind}>"]
            self.replaced[kind] += 1
            end = stop
        return "".join([*pieces, text[end:]])

    def tree(self, value: Any) -> Any:  # noqa: ANN401  # whatever JSON can hold
        """A JSON value with all of its texts replaced but those that are data, such as pictures."""
        if isinstance(value, str):
            return value if value.startswith("data:") else self.text(value)
        if isinstance(value, list):
            return [self.tree(item) for item in value]
        if isinstance(value, dict):
            return {name: self.tree(item) for name, item in value.items()}
        return value

    def parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Parameters of a request without the fields that say who asked."""
        kept = {name: item for name, item in parameters.items() if name not in _IDENTIFIERS}
        return dict(self.tree(kept))

    def said(self) -> str:
        """A sentence on how much was replaced, and what was not."""
        counts = ", ".join(f"{n} {kind}" for kind, n in sorted(self.replaced.items())) or "nothing"
        names = (
            f"names by {', '.join(self.names_by)}"
            if self.names_by
            else "names are NOT replaced (no spaCy model is installed), nor is what has no form, "
            "such as addresses, nor pictures"
        )
        return f"redacted: {counts}; {names}"


def _apart(spans: list[_Span]) -> Iterator[_Span]:
    """Spans in order, of those that overlap the first with all that they cover."""
    current: _Span | None = None
    for start, stop, kind in spans:
        if current is None:
            current = (start, stop, kind)
        elif start < current[1]:
            current = (current[0], max(stop, current[1]), current[2])
        else:
            yield current
            current = (start, stop, kind)
    if current is not None:
        yield current


def _recognisers() -> list[Any]:
    presidio = require("presidio_analyzer", extra="redact", purpose="find personal data")
    known = require(
        "presidio_analyzer.predefined_recognizers", extra="redact", purpose="find personal data"
    )
    # presidio's own check of a domain asks a list on the internet for its last part
    email = presidio.PatternRecognizer(
        supported_entity="EMAIL_ADDRESS", patterns=known.EmailRecognizer.PATTERNS
    )
    patterns = [presidio.Pattern(f"key {i}", regex, 1.0) for i, regex in enumerate(_KEYS)]
    # capitals count in a key
    keys = presidio.PatternRecognizer(
        supported_entity="KEY", patterns=patterns, global_regex_flags=0
    )
    return [
        email,
        known.PhoneRecognizer(),
        known.CreditCardRecognizer(),
        known.IbanRecognizer(),
        keys,
    ]


def _spans_of(recogniser: Any) -> Callable[[str], Iterator[_Span]]:  # noqa: ANN401  # no types
    kinds = recogniser.supported_entities

    def find(text: str) -> Iterator[_Span]:
        for match in recogniser.analyze(text, kinds, None) or ():
            yield match.start, match.end, match.entity_type

    return find


def _name_models() -> list[str]:
    """The spaCy models of this machine: presidio brings spaCy, and no model."""
    spacy = require("spacy", extra="redact", purpose="find names")
    return sorted(spacy.util.get_installed_models())


def _names_of(model: str) -> Callable[[str], Iterator[_Span]]:
    pipeline = require("spacy", extra="redact", purpose="find names").load(model)

    def find(text: str) -> Iterator[_Span]:
        for entity in pipeline(text).ents:
            if entity.label_ in _NAMES:
                yield entity.start_char, entity.end_char, "PERSON"

    return find
