"""A routing plug-in for LiteLLM, its SDK and its proxy: a pipeline narrows a group of models.

LiteLLM asks the plug-ins of its `Router` before it chooses a deployment; what they leave in
`candidate_models` is what it chooses from. Nothing of LiteLLM is imported here.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from equirouter.conversation import Scope, read_scope
from equirouter.errors import ConfigError
from equirouter.pipeline import RoutingPipeline
from equirouter.pipeline.decision import Ask
from equirouter.policy.base import NO_CONTROL, Control

_SIGNAL = "equirouter"
_NOT_HERE = "no candidate of this request"
_CONTROLS = frozenset({"budget_usd", "quality", "performance", "lambda", "confidence"})


class _Context(Protocol):
    """As LiteLLM's RoutingContext."""

    candidate_models: list[str]
    metadata: dict[str, Any]
    signals: dict[str, Any]

    @property
    def structured_messages(self) -> list[dict[str, Any]]:
        """The conversation in the form of chat completions."""


C = TypeVar("C", bound=_Context)


class _RequestError(ConfigError):
    """A control that makes no sense: LiteLLM's proxy answers with this status, not with 500."""

    status_code = 400
    type = "invalid_request_error"


class EquiRouterPlugin:
    """Leaves the best `keep` candidates by a pipeline, which decides each request anew.

    names: from LiteLLM's names ("azure/deployment-7") to the pipeline's; without one, the same name
    is meant, or the most of it that follows a slash and is known ("openai/gpt-4.1-mini"). keep: how
    many candidates LiteLLM may choose from; with more than one it chooses by its own strategy, and
    a deployment that is down leaves another. control: what decides where a request's metadata has
    no {"equirouter": {"quality": 0.98}} or the like. scope: what of a conversation is routed on.

    A group none of whose models the pipeline knows, and a request without a text, are left as they
    are; of any other group, models that it does not know are left out. So are those that cannot
    answer under the control, and LiteLLM refuses a request for which none is left.
    """

    def __init__(
        self,
        pipeline: RoutingPipeline,
        *,
        names: Mapping[str, str] | None = None,
        keep: int = 1,
        control: Control = NO_CONTROL,
        scope: Scope = "last_user",
    ) -> None:
        """Raise ConfigError for a name that the pipeline does not have, and keep below 1."""
        unknown = sorted(set((names or {}).values()) - set(pipeline.models))
        if unknown:
            raise ConfigError(
                f"names: the pipeline has no {', '.join(unknown)}; its models are "
                f"{', '.join(pipeline.models)}"
            )
        if keep < 1:
            raise ConfigError(f"keep is {keep}; expected at least 1")
        self._pipeline = pipeline
        self._names = dict(names or {})
        self._keep = keep
        self._control = control
        self._scope: Scope = scope

    @classmethod
    def load(cls, folder: str | Path, **options: Any) -> "EquiRouterPlugin":  # noqa: ANN401
        """A plug-in with the pipeline in a folder, ready to decide; options: of the class.

        Raises PipelineError, ConfigError for a control that makes no sense, and what the encoder
        raises that lacks something: now, and not at the first request.
        """
        plugin = cls(RoutingPipeline.load(folder), **options)
        plugin._pipeline.decide_each([Ask("Is everything here?", control=plugin._control)])
        return plugin

    async def run(self, context: C) -> C:
        """Narrow the candidates; what was decided is in signals["equirouter"].

        Raises ConfigError for a control in the metadata that makes no sense.
        """
        known = self._known(context.candidate_models)
        text = read_scope(context.structured_messages, self._scope).text
        if not known or not text:
            return context
        removed = dict.fromkeys(set(self._pipeline.models) - set(known.values()), _NOT_HERE)
        try:
            ask = Ask(text, control=self._asked(context.metadata), removed=removed)
            (decision,) = await asyncio.to_thread(self._pipeline.decide_each, [ask])
        except ConfigError as error:
            raise _RequestError(str(error)) from error
        ranking = [] if decision.model is None else [decision.model, *decision.fallbacks]
        kept = ranking[: self._keep]
        context.candidate_models = [candidate for candidate, name in known.items() if name in kept]
        context.signals[_SIGNAL] = {
            "model": decision.model,
            "ranking": ranking,
            "predicted_cost_usd": decision.predicted_cost_usd,
            "setting": decision.setting,
            "value": decision.value,
            "confidence": decision.confidence,
        }
        return context

    def _known(self, candidates: list[str]) -> dict[str, str]:
        """The pipeline's names of the candidates that it knows."""
        models = set(self._pipeline.models)
        known = {}
        for given in candidates:
            parts = given.split("/")
            endings = ("/".join(parts[first:]) for first in range(len(parts)))
            name = self._names.get(given) or next((one for one in endings if one in models), None)
            if name is not None:
                known[given] = name
        return known

    def _asked(self, metadata: Mapping[str, Any]) -> Control:
        given = metadata.get(_SIGNAL)
        if given is None:
            return self._control
        if not isinstance(given, Mapping) or not given.keys() <= _CONTROLS:
            raise ConfigError(
                f"metadata.{_SIGNAL} is {given!r}; expected an object with one of "
                f"{', '.join(sorted(_CONTROLS))}"
            )
        fields = dict(given)
        if "lambda" in fields:
            fields["lambda_"] = fields.pop("lambda")
        return Control(**fields)
