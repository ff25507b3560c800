"""The models that may answer a request at all, and what a call can cost at most."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from equirouter.cost.prices import Price
from equirouter.errors import NoChatError
from equirouter.policy import ModelFacts
from equirouter.serve.call.parameters import fitting
from equirouter.serve.call.translation import as_chat
from equirouter.serve.charging import max_rates
from equirouter.serve.chat import ChatRequest
from equirouter.serve.plan.prompt_tokens import LIKELY, PromptTokens
from equirouter.serve.records import Key, Removal, RequestControl, nusd
from equirouter.serve.settings import GatewaySettings

__all__ = ["Bound", "Feasible"]


@dataclass(frozen=True, slots=True)
class Bound:
    """The most that a call of one model may have and cost: tokens of both kinds, nano-USD."""

    prompt: int
    output: int
    nusd: int


@dataclass(frozen=True, slots=True)
class _Model:
    """rates: by whether the prompt is written to a cache, and whether there is sound.

    context: in tokens. context, abilities: None if not known. lacks: abilities that it
    is known not to have. always: why it never answers a chat.
    """

    rates: Mapping[tuple[bool, bool], Sequence[tuple[int, float, float]]]
    most_output: int
    per_image: int
    context: int | None
    abilities: frozenset[str] | None
    lacks: frozenset[str]
    always: Removal | None


class Feasible:
    """Checks the models of the pool against what a request needs and what its key may do.

    available: None if a model can be called now, else why not. What is not known of a model never
    rules it out.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        prices: Mapping[str, Price],
        available: Callable[[str], str | None],
    ) -> None:
        self._settings = settings
        self._prices = prices
        self._available = available
        self._models: dict[str, _Model] = {}
        self._translated = [  # a request of the Responses API goes there as a chat completion
            name
            for name, model in settings.models.items()
            if not settings.upstreams[model.upstream].responses
        ]
        self._fixed = lru_cache(maxsize=512)(self._uncached)
        self.learn({})

    def learn(self, facts: Mapping[str, ModelFacts]) -> None:
        """Take what a pipeline knows of models; what the settings say counts before it."""
        self._models = {name: self._model(name, facts.get(name)) for name in self._settings.models}
        self._fixed.cache_clear()

    def bounds(
        self, models: Iterable[str], chat: ChatRequest, tokens: PromptTokens
    ) -> dict[str, Bound]:
        """The most that a call of each can cost: all tokens of the prompt and of all answers.

        An answer has what the request allows it, else what the model can give, or has room for.
        """
        asked, n, text, images = chat.max_output_tokens, chat.n, tokens.text, tokens.images
        kind = (tokens.caches, "audio" in chat.needs)
        bounds = {}
        for model in models:
            known = self._models[model]
            prompt = text + images * known.per_image
            output = asked or known.most_output
            if asked is None and known.context is not None:
                output = max(1, min(output, known.context - int(prompt * LIKELY)))
            rates = known.rates[kind]
            row = rates[0]
            for later in rates[1:]:
                if prompt >= later[0]:
                    row = later
            cost_usd = (prompt * row[1] + output * n * row[2]) / 1e6
            bounds[model] = Bound(prompt, output * n, nusd(cost_usd))
        return bounds

    def removed(
        self,
        models: Iterable[str],
        bounds: Mapping[str, Bound],
        chat: ChatRequest,
        control: RequestControl,
        key: Key | None,
    ) -> dict[str, Removal]:
        """The models that may not answer, each with the reason; the budget is looked at last."""
        allowed = None if key is None else key.models
        fixed = self._fixed(chat.needs, allowed, control.exclude)
        if chat.endpoint == "responses" and self._translated:
            fixed = self._beyond_chat(chat) | fixed
        limit = None if control.budget_usd is None else nusd(control.budget_usd)
        removed = {}
        for model in models:
            bound = bounds[model]
            removal = (
                fixed.get(model)
                or self._too_long(model, bound, chat)
                or self._unavailable(model)
                or _too_expensive(bound, limit)
            )
            if removal is not None:
                removed[model] = removal
        return removed

    def _unavailable(self, model: str) -> Removal | None:
        reason = self._available(model)
        return None if reason is None else Removal("unavailable", f"unavailable: {reason}")

    def _too_long(self, model: str, bound: Bound, chat: ChatRequest) -> Removal | None:
        context = self._models[model].context
        if context is None:
            return None
        # a prompt that is not surely too long is for the provider to judge
        needed = int(bound.prompt * LIKELY) + (chat.max_output_tokens or 1)
        if needed <= context:
            return None
        return Removal("context", f"context: some {needed} tokens needed, {context} at most")

    def _beyond_chat(self, chat: ChatRequest) -> dict[str, Removal]:
        """The models that this cannot be translated for, where it is more than a chat can say."""
        try:
            as_chat(chat.body)
        except NoChatError as error:
            removal = Removal("upstream", f"its upstream has no /v1/responses, and {error}")
            return dict.fromkeys(self._translated, removal)
        return {}

    def _uncached(
        self,
        needs: frozenset[str],
        allowed: frozenset[str] | None,
        exclude: frozenset[str],
    ) -> dict[str, Removal]:
        """Reasons that depend on no more than these, which are the same in many requests."""
        removed = {}
        for name, model in self._models.items():
            known = model.abilities
            missing = needs & model.lacks if known is None else needs - known
            if allowed is not None and name not in allowed:
                removed[name] = Removal("key", "the key may not use it")
            elif name in exclude:
                removed[name] = Removal("request", "excluded by the request")
            elif model.always is not None:
                removed[name] = model.always
            elif missing:
                lacking = ", no ".join(sorted(missing))
                removed[name] = Removal("abilities", f"abilities: no {lacking}")
        return removed

    def _model(self, name: str, facts: ModelFacts | None) -> _Model:
        settings = self._settings.models[name]
        upstream = self._settings.upstreams[settings.upstream]
        facts = facts or ModelFacts()
        given, regions = settings.abilities, self._settings.limits.regions
        always = None
        if settings.kind == "embedding":
            always = Removal("model", "it makes embeddings")
        elif regions is not None and upstream.region not in regions:
            allowed = ", ".join(sorted(regions)) or "none"
            always = Removal("region", f"region: {upstream.region}, allowed {allowed}")
        price = self._prices[name]
        return _Model(
            rates={
                (caches, audio): max_rates(price, caches=caches, audio=audio)
                for caches in (False, True)
                for audio in (False, True)
            },
            most_output=settings.max_output_tokens,
            per_image=settings.image_tokens,
            context=settings.context_tokens or facts.context_tokens,
            abilities=facts.abilities if given is None else given,
            lacks=fitting(name, self._settings).lacks,
            always=always,
        )


def _too_expensive(bound: Bound, limit: int | None) -> Removal | None:
    if limit is None or bound.nusd <= limit:
        return None
    return Removal(
        "budget",
        f"budget: it may cost up to {bound.nusd / 1e9:g} USD ({bound.prompt} tokens of prompt "
        f"and {bound.output} of answer), {limit / 1e9:g} allowed",
    )
