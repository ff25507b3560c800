"""The models of the pool as graders ask them: paid from the collection's purse."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean, stdev

from equirouter.labelling.collection_store import Collection
from equirouter.labelling.estimate import (
    MEASURED,
    OF_TWO_SIDES,
    CostEstimate,
    Lengths,
    ModelEstimate,
    estimated,
)
from equirouter.labelling.graders.verdicts import TRIES
from equirouter.labelling.pool_calls import (
    Asker,
    GivenUp,
    Question,
    check_models,
    open_asker,
)
from equirouter.labelling.purse import CollectionPurse
from equirouter.serve.charging import model_prices
from equirouter.serve.records import usd
from equirouter.serve.settings import GatewaySettings

_PURPOSE = "grade"
_AS_ASKED = (80.0, 0.4, 4.0, "prompt")
"""Tokens of a verdict: a sentence or two and a line, in other words as few or as many."""


class PoolModels:
    """Asks models for graders. stopped: why some were not asked, None where all were.

    given_up: model -> why it is asked no more: its calls fail, one after the other.
    latest_nusd: what the question came to whose answer was heard last. limit_nusd: of the whole
    collection, None for no limit. spending: hears of the USD that the collection has cost.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        collection: Collection,
        *,
        limit_nusd: int | None,
        concurrency: int,
        spending: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._settings, self._collection = settings, collection
        self._limit, self._concurrency = limit_nusd, concurrency
        self._spending = spending
        self._pool = check_models(settings, None)
        self.stopped: str | None = None
        self.given_up = GivenUp()
        self.latest_nusd = 0

    def trouble(self) -> list[str]:
        """Why some were not asked: stopped and given_up as sentences."""
        reasons = [f"{model} was given up: {why}" for model, why in self.given_up.items()]
        return reasons if self.stopped is None else [self.stopped, *reasons]

    def is_same(self, one: str, other: str) -> bool:
        """As Models.is_same; a name that is not in the pool is only itself."""
        known = self._settings.models
        if one == other or not (one in known and other in known):
            return one == other
        return (known[one].upstream, known[one].upstream_model or one) == (
            known[other].upstream,
            known[other].upstream_model or other,
        )

    def price_order(self) -> list[str]:
        """As Models.price_order."""
        prices = model_prices(self._settings)
        return sorted(
            self._pool,
            key=lambda name: -(prices[name].input_usd_per_mtok + prices[name].output_usd_per_mtok),
        )

    def ask(
        self, prompts: Sequence[tuple[str, str]], heard: Callable[[int, str | None], None]
    ) -> None:
        """As Models.ask. Raises ConfigError for a model that is not in the pool."""
        check_models(self._settings, list(dict.fromkeys(model for model, _ in prompts)) or None)
        asyncio.run(self._all(prompts, heard))

    async def _all(
        self, prompts: Sequence[tuple[str, str]], heard: Callable[[int, str | None], None]
    ) -> None:
        purse = CollectionPurse(self._collection, self._limit)
        places = iter(range(len(prompts)))

        async def worker(asker: Asker) -> None:
            for place in places:
                heard(place, await self._one(asker, purse, *prompts[place]))

        async with open_asker(
            self._settings, concurrency=self._concurrency, is_limited=self._limit is not None
        ) as asker:
            await asyncio.gather(*(worker(asker) for _ in range(self._concurrency)))

    async def _one(
        self, asker: Asker, purse: CollectionPurse, model: str, prompt: str
    ) -> str | None:
        if self.stopped is not None or model in self.given_up:
            return None
        question = _question(asker, model, prompt)
        if question.impossible is not None:
            return None
        ticket = await purse.ticket(_PURPOSE, model, question.bound.nusd)
        if ticket is None:
            self.stopped = purse.short(model, question.bound.nusd)
            return None
        reply = await asker.ask(question, ticket)
        ticket.end(reply.cost_nusd)
        self.latest_nusd = reply.cost_nusd  # no other is heard in between
        self._spending(usd(purse.spent_nusd))
        self.given_up.count(reply)
        return reply.text if reply.error is None else None


class CountedModels(PoolModels):
    """Counts what graders would ask, and asks nobody: no key is needed."""

    def __init__(self, settings: GatewaySettings, collection: Collection) -> None:
        super().__init__(settings, collection, limit_nusd=None, concurrency=1)
        self._prompts: dict[str, list[str]] = {}

    def ask(
        self,
        prompts: Sequence[tuple[str, str]],
        heard: Callable[[int, str | None], None],  # noqa: ARG002  # there is nothing to hear
    ) -> None:
        """Count (model, prompt). Raises ConfigError for a model that is not in the pool."""
        check_models(self._settings, list(dict.fromkeys(model for model, _ in prompts)) or None)
        for model, prompt in prompts:
            self._prompts.setdefault(model, []).append(prompt)

    def estimate(self) -> CostEstimate:
        """The cost of all questions, and the most that it can be with all asked again."""
        return asyncio.run(self._estimate())

    async def _estimate(self) -> CostEstimate:
        async with open_asker(self._settings, concurrency=1, is_limited=False, asks=False) as asker:
            rows = [self._row(asker, model, prompts) for model, prompts in self._prompts.items()]
        return CostEstimate(tuple(rows), 0, usd(self._collection.spent_nusd()))

    def _row(self, asker: Asker, model: str, prompts: Sequence[str]) -> ModelEstimate:
        questions = {
            str(place): _question(asker, model, prompt) for place, prompt in enumerate(prompts)
        }
        row = estimated(asker, model, questions, Lengths(otherwise=_AS_ASKED))
        row = replace(row, most_usd=row.most_usd * TRIES)
        costs = self._collection.costs_nusd(_PURPOSE, model)
        if len(costs) < MEASURED or not row.calls:
            return row
        n, mean = row.calls, fmean(costs)
        half = OF_TWO_SIDES * stdev(costs) * (n + n * n / len(costs)) ** 0.5  # of the sum of n more
        return replace(
            row,
            usd=n * mean / 1e9,
            low_usd=max(0.0, n * mean - half) / 1e9,
            high_usd=(n * mean + half) / 1e9,
            by="grades",
        )


def _question(asker: Asker, model: str, prompt: str) -> Question:
    body = {"messages": [{"role": "user", "content": prompt}]}
    return asker.question(model, body, f"a question to {model}")
