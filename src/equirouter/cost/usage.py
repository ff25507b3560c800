"""The tokens of a call, as providers report them. A Price and a Usage give a cost."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from equirouter.errors import ConfigError, DataError


@dataclass(frozen=True)
class Usage:
    """Tokens of one call. The two totals come first; every other number is a part of one of them.

    input_tokens: all of the prompt. Parts of it, no token in two of them: cached_input_tokens were
    read from a cache, cache_write_tokens were written to one for the provider's usual time,
    long_cache_write_tokens for its longer one, audio_input_tokens are sound.
    output_tokens: all that was generated. Parts of it: reasoning_tokens, which are not shown, and
    audio_output_tokens. This is how OpenAI counts; usage_of brings other reports to it. Expected
    tokens of a prediction need not be whole numbers.
    Raises ConfigError for a number that is negative or not finite, and for parts that are together
    more than their total.
    """

    input_tokens: float
    output_tokens: float
    cached_input_tokens: float = 0
    cache_write_tokens: float = 0
    long_cache_write_tokens: float = 0
    audio_input_tokens: float = 0
    reasoning_tokens: float = 0
    audio_output_tokens: float = 0

    def __post_init__(self) -> None:
        amounts = _AMOUNTS(self)
        if not (math.isfinite(sum(amounts)) and min(amounts) >= 0):
            for name, tokens in zip(_NAMES, amounts, strict=True):
                if not (math.isfinite(tokens) and tokens >= 0):
                    raise ConfigError(
                        f"{name} is {tokens}; expected a number of tokens, not negative"
                    )
        for total, left, parts in (
            ("input_tokens", self.plain_input_tokens, _INPUT_PARTS),
            ("output_tokens", self.plain_output_tokens, _OUTPUT_PARTS),
        ):
            if left < 0:
                named = " + ".join(f"{part} {getattr(self, part)}" for part in parts)
                raise ConfigError(
                    f"{named} is more than {total} {getattr(self, total)}, which they are part of"
                )

    @property
    def plain_input_tokens(self) -> float:
        """Tokens at the input price: text that was neither read from a cache nor written to one."""
        parts: tuple[float, ...] = _OF_INPUT(self)
        return self.input_tokens - sum(parts)

    @property
    def plain_output_tokens(self) -> float:
        """Tokens at the output price: text that is shown."""
        parts: tuple[float, ...] = _OF_OUTPUT(self)
        return self.output_tokens - sum(parts)


_INPUT_PARTS = (
    "cached_input_tokens",
    "cache_write_tokens",
    "long_cache_write_tokens",
    "audio_input_tokens",
)
_OUTPUT_PARTS = ("reasoning_tokens", "audio_output_tokens")
_NAMES = tuple(field.name for field in fields(Usage))
_AMOUNTS, _OF_INPUT, _OF_OUTPUT = (
    attrgetter(*names) for names in (_NAMES, _INPUT_PARTS, _OUTPUT_PARTS)
)


def usage_of(report: Mapping[str, Any]) -> Usage:
    """The `usage` object of an answer, whichever of three APIs it is from.

    OpenAI's chat completions (and what is compatible with them) and responses count cached tokens
    in the prompt and reasoning in the answer. Anthropic's messages count cached and written tokens
    beside input_tokens. Some compatible providers (xAI, Gemini) leave reasoning out of
    completion_tokens and only total_tokens has it: what total_tokens has beyond prompt and
    completion counts as output. DeepSeek's prompt_cache_hit_tokens are cached tokens. LiteLLM's
    proxy has Anthropic's names beside prompt_tokens, which then includes them.
    Raises DataError where numbers are missing, are no numbers, or contradict each other.
    """
    if "prompt_tokens" in report:
        return _checked(report, *_chat(report))
    if "cache_read_input_tokens" in report or "cache_creation_input_tokens" in report:
        return _checked(report, *_messages(report))
    if "input_tokens" in report:
        return _checked(report, *_responses(report))
    raise DataError(
        f"usage has {sorted(report)}: expected prompt_tokens and completion_tokens, or "
        "input_tokens and output_tokens"
    )


def _chat(report: Mapping[str, Any]) -> tuple[int, int, dict[str, int]]:
    prompt, completion = _tokens(report, "prompt_tokens"), _tokens(report, "completion_tokens")
    of_input, of_output = (
        _part(report, f"{side}_tokens_details") for side in ("prompt", "completion")
    )
    total = _tokens(report, "total_tokens", prompt + completion)
    if total < prompt + completion:
        raise DataError(
            f"usage: total_tokens {total} is less than prompt_tokens {prompt} + "
            f"completion_tokens {completion}"
        )
    written = max(
        _tokens(of_input, "cache_write_tokens", 0),
        _tokens(of_input, "cache_creation_tokens", 0),
        _tokens(report, "cache_creation_input_tokens", 0),
    )
    long = max(
        _tokens(_part(of_input, "cache_write_tokens_details"), "ttl_12h_tokens", 0),
        _tokens(_part(of_input, "cache_creation_token_details"), "ephemeral_1h_input_tokens", 0),
    )
    cached = max(
        _tokens(of_input, "cached_tokens", 0),
        _tokens(report, "prompt_cache_hit_tokens", 0),
        _tokens(report, "cache_read_input_tokens", 0),
    )
    parts = _parts(of_input, of_output, cached=cached, written=written, long=long)
    return prompt, total - prompt, parts


def _responses(report: Mapping[str, Any]) -> tuple[int, int, dict[str, int]]:
    of_input, of_output = (_part(report, f"{side}_tokens_details") for side in ("input", "output"))
    parts = _parts(
        of_input,
        of_output,
        cached=_tokens(of_input, "cached_tokens", 0),
        written=_tokens(of_input, "cache_write_tokens", 0),
        long=_tokens(_part(of_input, "cache_write_tokens_details"), "ttl_12h_tokens", 0),
    )
    return _tokens(report, "input_tokens"), _tokens(report, "output_tokens"), parts


def _parts(
    of_input: Mapping[str, Any],
    of_output: Mapping[str, Any],
    *,
    cached: int,
    written: int,
    long: int,
) -> dict[str, int]:
    """The parts of the two totals, as OpenAI's APIs detail them; long: of the written tokens."""
    return {
        "cached_input_tokens": cached,
        "cache_write_tokens": written - long,
        "long_cache_write_tokens": long,
        "audio_input_tokens": _tokens(of_input, "audio_tokens", 0),
        "reasoning_tokens": _tokens(of_output, "reasoning_tokens", 0),
        "audio_output_tokens": _tokens(of_output, "audio_tokens", 0),
    }


def _messages(report: Mapping[str, Any]) -> tuple[int, int, dict[str, int]]:
    read = _tokens(report, "cache_read_input_tokens", 0)
    written = _tokens(report, "cache_creation_input_tokens", 0)
    long = _tokens(_part(report, "cache_creation"), "ephemeral_1h_input_tokens", 0)
    parts = {
        "cached_input_tokens": read,
        "cache_write_tokens": written - long,
        "long_cache_write_tokens": long,
    }
    return (
        _tokens(report, "input_tokens") + read + written,
        _tokens(report, "output_tokens"),
        parts,
    )


def _checked(report: Mapping[str, Any], read: int, written: int, parts: dict[str, int]) -> Usage:
    try:
        return Usage(read, written, **parts)
    except ConfigError as error:
        raise DataError(f"usage {dict(report)}: {error}") from error


def _part(report: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object within the report, {} where it is absent or null, as providers have it."""
    part = report.get(name)
    if part is None:
        return {}
    if not isinstance(part, Mapping):
        raise DataError(f"usage: {name} is {part!r}, expected an object")
    return part


def _tokens(report: Mapping[str, Any], name: str, absent: int | None = None) -> int:
    """A number of tokens; absent: what a missing or null field means, None for an error."""
    tokens = report.get(name)
    if tokens is None and absent is not None:
        return absent
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0:
        raise DataError(f"usage: {name} is {tokens!r}, expected a number of tokens")
    return tokens
