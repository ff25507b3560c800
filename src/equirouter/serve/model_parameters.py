"""Settings of a model that say which parameters of a request it takes, and under which names."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_LIMITS = frozenset({"max_tokens", "max_completion_tokens", "max_output_tokens"})
_READ = frozenset({"model", "messages", "input", "stream", "stream_options", "equirouter"})
_PRICED = frozenset({"n", "service_tier", "previous_response_id", "conversation", "prompt"})


class ModelParameters(BaseModel):
    """Changes in a request before a model gets it; what the gateway counts on is not."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

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
