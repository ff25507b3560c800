"""Kinds of values in the sections of gateway.toml, the price of a model, and cascades."""

import re
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from equirouter.answers import make_extractor

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


def _beside(path: Path, info: ValidationInfo) -> Path:
    """A path relative to the folder of the file that is read."""
    return path if info.context is None else info.context / path


FilePath = Annotated[Path, AfterValidator(_beside)]

_HEADERS = "authorization proxy-authorization x-api-key api-key cookie host connection upgrade"
_NEVER = frozenset(f"{_HEADERS} expect te trailer keep-alive transfer-encoding".split())
_NAME = re.compile(r"[a-z0-9-]+")


def _passed(name: str) -> str:
    """A header that may be handed on, in lower case: no key, and none of the connection."""
    name = name.lower()
    if not _NAME.fullmatch(name) or name in _NEVER or name.startswith(("content-", "accept")):
        raise ValueError(f"{name!r} is a header that is never handed on")
    return name


PassedHeader = Annotated[str, AfterValidator(_passed)]


class SettingsSection(BaseModel):
    """A section of the settings: no other names, and each setting is described under its field."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class PriceSettings(SettingsSection):
    """USD per million tokens; what is left out costs as input or output."""

    input: Annotated[float, Field(ge=0)]
    """Tokens of the prompt."""
    output: Annotated[float, Field(ge=0)]
    """Tokens of the answer."""
    cached_input: Annotated[float, Field(ge=0)] | None = None
    """Tokens read from the provider's cache."""
    cache_write: Annotated[float, Field(ge=0)] | None = None
    """Tokens written to the provider's cache."""
    long_cache_write: Annotated[float, Field(ge=0)] | None = None
    """Tokens written to it for the longer of two times; none: as cache_write."""
    reasoning: Annotated[float, Field(ge=0)] | None = None
    """Tokens of reasoning in the answer."""
    audio_input: Annotated[float, Field(ge=0)] | None = None
    """Tokens of sound in the prompt."""
    audio_output: Annotated[float, Field(ge=0)] | None = None
    """Tokens of sound in the answer."""
    service_tiers: dict[str, "PriceSettings"] = {}
    """Prices in service tiers such as "priority", each with all of these fields but this."""

    @field_validator("service_tiers")
    @classmethod
    def _one_deep(cls, tiers: dict[str, "PriceSettings"]) -> dict[str, "PriceSettings"]:
        for name, price in tiers.items():
            if price.service_tiers:
                raise ValueError(f"the price of {name!r} has service tiers of its own")
        return tiers


def _readable(name: str) -> str:
    make_extractor(name)
    return name


class CascadeSettings(SettingsSection):
    """Whether more than one model may be asked, and how the replies are compared."""

    enabled: bool = False
    """Whether two cheap models are asked at once where the pipeline's plans expect that to pay."""
    extractor: Annotated[str, AfterValidator(_readable)] | None = None
    """What reads the final answer out of a reply: "number", "choice", "boxed", "json:/path",
    "label" or "exact"; none: what the pipeline's plans learned with."""
    max_wait_ms: Positive = 8000.0
    """How long the two and the checks of their replies may take; then one more model is asked at
    once."""
    checks: tuple[str, ...] = ()
    """Checks of replies, as NAME[:key=value ...]; run where the plans learned with them."""
    judge: str | None = None
    """A model of the pool that scores replies, where the plans learned with the signal judge and
    its call probably costs at most 5 % of one of the strongest model."""
    max_check_ms: Positive = 2000.0
    """How long a check of a reply may take; then what it says is not known."""
    audit_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the requests on which the two agree for which one more model is asked once the
    answer is sent: to see whether agreement still means what it did."""

    @property
    def all_checks(self) -> tuple[str, ...]:
        """The checks, with the judge."""
        return self.checks if self.judge is None else (*self.checks, f"judge:model={self.judge}")


_LIMITS = frozenset({"max_tokens", "max_completion_tokens", "max_output_tokens"})
_READ = frozenset({"model", "messages", "input", "stream", "stream_options", "equirouter"})
_PRICED = frozenset({"n", "service_tier", "previous_response_id", "conversation", "prompt"})


class ModelParameters(SettingsSection):
    """Changes in a request before a model gets it; what the gateway counts on is not."""

    drop: frozenset[str] = frozenset()
    """Parameters that it is not sent; dots lead into objects and lists, as in
    "messages.content.cache_control.ttl"."""
    rename: dict[str, str] = {}
    """Parameters that it knows by another name, as in { max_tokens = "max_completion_tokens" }."""
    set: dict[str, Any] = {}
    """Parameters that always have this value, whatever the client sent."""
    system_prompt: Annotated[str, Field(min_length=1, max_length=100_000)] | None = None
    """Instructions that it is always given before those of the request; with another name for the
    same upstream_model this is a model of its own."""
    known_parameters: bool = True
    """Whether the package's table of usual models adds to drop and rename, by the model's name."""

    @model_validator(mode="after")
    def _leave_what_is_counted_on(self) -> Self:
        for name in self.drop:
            if name in _READ | _LIMITS or not all(name.split(".")):
                raise ValueError(
                    f"drop: {name!r} cannot be left out: it decides what is answered "
                    "or what a call may cost"
                )
        for name in self.set:
            if name in _READ | _LIMITS | _PRICED:
                raise ValueError(
                    f"set: {name!r} cannot be set: it decides what is answered or "
                    "what a call may cost"
                )
        for old, new in self.rename.items():
            if {old, new} & _READ or (old in _LIMITS) != (new in _LIMITS) or new in _PRICED:
                raise ValueError(
                    f"rename: {old!r} cannot become {new!r}: one of them decides what "
                    "is answered or what a call may cost"
                )
        return self
