"""The models that may answer a request at all, and what a call can cost at most."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from equirouter.cost.prices import Price
from equirouter.errors import NoChatError
from equirouter.policy import ModelFacts
from equirouter.serve.call.parameters import fitting
from equirouter.serve.call.translation import DIALECTS
from equirouter.serve.charging import max_rates, prices_in
from equirouter.serve.chat import ChatRequest
from equirouter.serve.plan.prompt_tokens import LIKELY, PER_MESSAGE, PromptTokens, text_tokens
from equirouter.serve.records import Key, Removal, RequestControl, nusd
from equirouter.serve.settings import GatewaySettings, MoneySettings


def is_limited(settings: MoneySettings, control: RequestControl, key: Key | None) -> bool:
    """Whether a budget, of the request or of its key, relies on the bound of a call."""
    has_budget = control.budget_usd is not None or (key is not None and key.budget_nusd is not None)
    return has_budget and settings.unbounded == "refuse"


@dataclass(slots=True)
class Bound:
    """The most that a call of one model may have and cost: tokens of both kinds, nano-USD.

    answer: the limit of one answer that goes with the call, None as in Candidate.
    """

    prompt: int
    output: int
    nusd: int
    answer: int | None = None


_Rates: TypeAlias = Sequence[tuple[int, float, float]]
_UNKNOWN_TIER = ""


@dataclass(frozen=True, slots=True)
class _Model:
    """rates: at each price, by service tier, use of a cache and whether there is sound.

    instructions: tokens of its own system prompt. context: in tokens. context, abilities: None if
    not known. lacks: abilities that it is known not to have. has_tiers: whether it is sent the
    service tier of a request. always: why it never answers a chat.
    """

    price: Price
    rates: Mapping[tuple[str | None, bool, bool], Sequence[_Rates]]
    most_output: int
    instructions: int
    per_image: int
    context: int | None
    abilities: frozenset[str] | None
    lacks: frozenset[str]
    has_tiers: bool
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
        self._translated = {  # such requests go to these as chat completions
            endpoint: frozenset(
                name
                for name, model in settings.models.items()
                if not dialect.is_native(settings.upstreams[model.upstream])
            )
            for endpoint, dialect in DIALECTS.items()
        }
        self._fixed = lru_cache(maxsize=512)(self._uncached)
        self.learn({})

    def learn(self, facts: Mapping[str, ModelFacts]) -> None:
        """Take what a pipeline knows of models; what the settings say counts before it."""
        self._models = {name: self._model(name, facts.get(name)) for name in self._settings.models}
        self._fixed.cache_clear()

    def bounds(
        self,
        models: Iterable[str],
        chat: ChatRequest,
        tokens: PromptTokens,
        *,
        is_limited: bool = False,
    ) -> dict[str, Bound]:
        """The most that a call of each can cost: all tokens of the prompt and of all answers.

        An answer has what the request allows it, else what the model can give, or has room for.
        is_limited: a budget relies on the bound, so a prompt of which the provider has a part is
        taken to fill the context.
        """
        asked, n, text, images = chat.max_output_tokens, chat.n, tokens.text, tokens.images
        fills = is_limited and bool(chat.kept_elsewhere)
        has_audio = "audio" in chat.needs
        standard = (None, tokens.caches, has_audio)
        bounds = {}
        for model in models:
            known = self._models[model]
            prompt = text + known.instructions + images * known.per_image
            if fills and known.context is not None:
                prompt = max(prompt, known.context)
            output, answer = asked or known.most_output, None
            if asked is None:
                room = output if known.context is None else known.context - int(prompt * LIKELY)
                # a limit above the room is refused by some providers, one below it cuts answers
                answer = output if room >= output else None
                output = max(1, min(output, room))
            if chat.service_tier is None:
                rates = known.rates[standard]
            else:
                rates = known.rates[_tier(known, chat), tokens.caches, has_audio]
            output *= n
            bounds[model] = Bound(prompt, output, _most_nusd(rates, prompt, output), answer)
        return bounds

    def removed(
        self,
        models: Sequence[str],
        bounds: Mapping[str, Bound],
        chat: ChatRequest,
        control: RequestControl,
        key: Key | None,
        *,
        is_limited: bool = False,
    ) -> dict[str, Removal]:
        """The models that may not answer, each with the reason; the budget is looked at last.

        is_limited: as for bounds; a call without a known bound is then none that may be made.
        """
        allowed = None if key is None else key.models
        fixed = self._fixed(chat.needs, allowed, control.exclude)
        translated = self._translated.get(chat.endpoint)
        if translated:
            fixed = self._beyond_chat(chat, translated) | fixed
        limit = None if control.budget_usd is None else nusd(control.budget_usd)
        is_plain = chat.service_tier is None and not (chat.unpriced or chat.kept_elsewhere)
        removed = {}
        for model in models:
            bound = bounds[model]
            removal = (
                fixed.get(model)
                or self._too_long(model, bound, chat)
                or self._unavailable(model)
                or (self._unbounded(model, chat) if is_limited and not is_plain else None)
                or (None if limit is None else _too_expensive(bound, limit))
            )
            if removal is not None:
                removed[model] = removal
        if translated and len(removed) < len(bounds):
            left = [model for model in models if model not in removed]
            removed |= self._losing(chat, left, translated)
        return removed

    def _unavailable(self, model: str) -> Removal | None:
        reason = self._available(model)
        return None if reason is None else Removal("unavailable", f"unavailable: {reason}")

    def _unbounded(self, model: str, chat: ChatRequest) -> Removal | None:
        """Why the most that a call costs is not known, None where it is."""
        known, tier = self._models[model], chat.service_tier
        if _tier(known, chat) == _UNKNOWN_TIER:
            why = f"no price is known of the service tier {tier!r}"
        elif chat.unpriced and model not in self._translated.get(chat.endpoint, ()):
            why = f"{', '.join(chat.unpriced)} may cost more than the tokens that were counted"
        elif chat.kept_elsewhere and known.context is None:
            why = (
                f"{', '.join(chat.kept_elsewhere)} is a part of the prompt that only the provider "
                f"has, and models.{model}.context_tokens, which bounds it, is not set"
            )
        else:
            return None
        return Removal("unbounded", f"unbounded: {why}, and a budget has to hold (money.unbounded)")

    def _too_long(self, model: str, bound: Bound, chat: ChatRequest) -> Removal | None:
        context = self._models[model].context
        if context is None:
            return None
        # a prompt that is not surely too long is for the provider to judge
        needed = int(bound.prompt * LIKELY) + (chat.max_output_tokens or 1)
        if needed <= context:
            return None
        return Removal("context", f"context: some {needed} tokens needed, {context} at most")

    def _beyond_chat(self, chat: ChatRequest, translated: Iterable[str]) -> dict[str, Removal]:
        """The models that this cannot be translated for, where it is more than a chat can say."""
        try:
            DIALECTS[chat.endpoint].as_chat(chat.body)
        except NoChatError as error:
            removal = Removal("upstream", f"its upstream has no /v1/{chat.endpoint}, and {error}")
            return dict.fromkeys(translated, removal)
        return {}

    def _losing(
        self, chat: ChatRequest, models: Sequence[str], translated: Collection[str]
    ) -> dict[str, Removal]:
        """The models that would not get a tool of the request, where others do."""
        losing = [model for model in models if model in translated]
        if not losing or len(losing) == len(models):
            return {}
        left_out = DIALECTS[chat.endpoint].left_out(chat.body)
        tools = [name for name in left_out if name.startswith("tools.")]
        if not tools:
            return {}
        without = f"its upstream has no /v1/{chat.endpoint}, and is not sent {', '.join(tools)}"
        return dict.fromkeys(losing, Removal("upstream", without))

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
        price, fitted = self._prices[name], fitting(name, self._settings)
        own = fitted.system_prompt
        return _Model(
            price=price,
            rates={
                (tier, caches, audio): [
                    max_rates(applied, caches=caches, audio=audio)
                    for applied in prices_in(price, tier)
                ]
                for tier in (None, _UNKNOWN_TIER, *(known.name for known in price.service_tiers))
                for caches in (False, True)
                for audio in (False, True)
            },
            most_output=settings.max_output_tokens,
            instructions=0 if own is None else text_tokens(own) + PER_MESSAGE,
            per_image=settings.image_tokens,
            context=settings.context_tokens or facts.context_tokens,
            abilities=facts.abilities if given is None else given,
            lacks=fitted.lacks,
            has_tiers="service_tier" not in fitted.drop,
            always=always,
        )


def _tier(model: _Model, chat: ChatRequest) -> str | None:
    """The service tier as `_Model.rates` has it."""
    if chat.service_tier is None:
        return None
    tier = chat.service_tier if model.has_tiers else None
    served = model.price.served(tier)
    if served is model.price:
        return None
    return _UNKNOWN_TIER if served is None else tier


def _most_nusd(rates: Iterable[_Rates], prompt: int, output: int) -> int:
    """The most that so many tokens cost in one of several tiers."""
    most = 0.0
    for of_tier in rates:
        reached = of_tier[0]
        for row in of_tier:
            if prompt >= row[0]:
                reached = row
        cost = prompt * reached[1] + output * reached[2]
        if cost > most:
            most = cost
    return nusd(most / 1e6)


def _too_expensive(bound: Bound, limit: int) -> Removal | None:
    if bound.nusd <= limit:
        return None
    return Removal(
        "budget",
        f"budget: it may cost up to {bound.nusd / 1e9:g} USD ({bound.prompt} tokens of prompt "
        f"and {bound.output} of answer), {limit / 1e9:g} allowed",
    )
