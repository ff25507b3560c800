"""Should a conversation stay with its model, and what of it should be routed on?

    python benchmarks/study_sessions.py [--seeds 3] [--conversations 200]
        [--qualities 0.98 0.95] [--cached 0.1 0.5]

Conversations are made of the simulation's test queries; the gateway's own planner routes every turn
of them, with `sessions.switch_cost` and `pipeline.scope` as named. Prints Markdown: the mean
performance and cost of a turn, as shares of those of the strongest model asked in every turn, and
how often the model changes from one turn to the next. The 95 % intervals are of paired differences
from `none` and `last_user`, conversations resampled.

A conversation has 2 to 16 turns (6 on average). A turn is another query of the same task (6 of
10), of any task (2 of 10), or a follow-up (2 of 10): an utterance such as "And the next one?",
which says nothing of what is asked, and whose outcome is that of a query of the same task. Every
turn sends all that was said before. A model's provider has the longest part of the conversation in
its cache that this model was sent, from 1,024 tokens on, and charges `--cached` of the price for
it. Cached or not, an answer is as good as in the simulation: what history does to answers is not
simulated.
"""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pages import record

from equirouter.arrays import FloatArray, IntArray
from equirouter.cost.prices import estimated_tokens
from equirouter.cost.published_prices import PRICES
from equirouter.data.outcomes import Outcomes
from equirouter.data.sources.simulated import PROFILES, Simulated
from equirouter.data.split import split_outcomes
from equirouter.encoders import make_encoder
from equirouter.evaluation.train import train
from equirouter.serve.charging import model_prices
from equirouter.serve.chat import chat_request
from equirouter.serve.plan.decision_thread import DecisionThread
from equirouter.serve.plan.planner import RoutingPlanner
from equirouter.serve.records import RequestControl, RequestRecord
from equirouter.serve.settings import GatewaySettings
from equirouter.serve.watch.prometheus import Metrics

SCOPES = ("last_user", "conversation", "first_user")
RULES = ("none", "cache", "always-stay")
SAME_TASK, ANY_TASK = 0.6, 0.2  # the rest are follow-ups
MEAN_TURNS, MOST_TURNS = 6.0, 16
LEAST_CACHED_TOKENS = 1024
FOLLOW_UPS = (
    "Go on, please.",
    "And the next one?",
    "Same again for this case.",
    "Now do the other one.",
    "Thanks. One more like that.",
)
FILLER = (
    "what was said before and what it says about this case is part of every prompt that follows "
)


class NoFailures(Metrics):
    """Metrics of a planner whose router must not fail."""

    def router_failed(self) -> None:
        """Stop: the figures would be those of the rule for failures."""
        raise RuntimeError("the router failed: the figures would be those of the rule for that")


@dataclass(frozen=True)
class Turn:
    """A message, and the row of the table that says how models answer it."""

    text: str
    row: int


@dataclass(frozen=True)
class Served:
    """Of one conversation, sums over its turns. switches: to another model than the turn before."""

    performance: float
    cost_usd: float
    turns: int
    switches: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--conversations", type=int, default=200)
    parser.add_argument("--qualities", type=float, nargs="+", default=[0.98, 0.95])
    parser.add_argument("--cached", type=float, nargs="+", default=[0.1, 0.5])
    args = parser.parse_args()
    outcomes = Simulated().load()
    ways = [(scope, rule) for scope, rule in product(SCOPES, RULES) if scope != "first_user"]
    ways.append(("first_user", "none"))  # its text never changes, and so nothing to keep
    cells = list(product(args.qualities, args.cached))
    by_setting: dict[tuple[Any, ...], list[Served]] = {}
    for seed in range(42, 42 + args.seeds):
        with TemporaryDirectory() as folder:
            encoder = make_encoder("static")
            pipeline = train(outcomes, encoder, router="mlp", seed=seed)
            pipeline.save(folder)
            best = outcomes.models.index(pipeline.baseline.strongest)
            test = split_outcomes(outcomes, seed=seed).test
            talks = conversations(outcomes, test, args.conversations, np.random.default_rng(seed))
            for quality, cached in cells:
                strongest = (quality, cached, "strongest", "")
                one = [everything(outcomes, talk, best, cached) for talk in talks]
                by_setting.setdefault(strongest, []).extend(one)
                for scope, rule in ways:
                    served = asyncio.run(
                        routed(outcomes, talks, Path(folder), scope, rule, quality, cached)
                    )
                    by_setting.setdefault((quality, cached, scope, rule), []).extend(served)
    for quality, cached in cells:
        report(by_setting, ways, quality, cached)


def conversations(
    outcomes: Outcomes, test: IntArray, n: int, rng: np.random.Generator
) -> list[list[Turn]]:
    """Turns of n conversations; no two of them share a query of the test part."""
    left: dict[str, list[int]] = {}
    for row in rng.permutation(test).tolist():
        left.setdefault(outcomes.tasks[row], []).append(row)
    talks = []
    for _ in range(n):
        tasks = [task for task, rows in left.items() if len(rows) > MOST_TURNS]
        weights = np.array([len(left[task]) for task in tasks], dtype=float)
        task = tasks[rng.choice(len(tasks), p=weights / weights.sum())]
        length = min(2 + int(rng.geometric(1 / (MEAN_TURNS - 1)) - 1), MOST_TURNS)
        talk = []
        for place in range(length):
            kind = rng.random() if place else 0.0
            other = tasks[rng.integers(len(tasks))]
            if SAME_TASK <= kind < SAME_TASK + ANY_TASK and left[other]:
                task = other
            row = left[task].pop()
            is_follow_up = kind >= SAME_TASK + ANY_TASK
            follow_up = FOLLOW_UPS[rng.integers(len(FOLLOW_UPS))] if is_follow_up else None
            talk.append(Turn(follow_up or outcomes.texts[row], row))
        talks.append(talk)
    return talks


async def routed(
    outcomes: Outcomes,
    talks: Sequence[Sequence[Turn]],
    folder: Path,
    scope: str,
    rule: str,
    quality: float,
    cached: float,
) -> list[Served]:
    """Every turn of every conversation through the gateway's planner."""
    settings = GatewaySettings.model_validate(
        {
            "upstreams": {"all": {"base_url": "http://127.0.0.1:1/v1"}},
            "models": {
                name: {
                    "upstream": "all",
                    "price": {
                        "input": PRICES[name].input_usd_per_mtok,
                        "output": PRICES[name].output_usd_per_mtok,
                        "cached_input": PRICES[name].input_usd_per_mtok * cached,
                    },
                }
                for name in outcomes.models
            },
            "pipeline": {"path": folder, "scope": scope},
            "sessions": {"switch_cost": rule},
        }
    )
    metrics = NoFailures(models=(), upstreams=())
    decider = DecisionThread(settings.pipeline, list(settings.models), metrics)
    planner = RoutingPlanner(settings, model_prices(settings), lambda _: None, decider, metrics)
    served = []
    for number, talk in enumerate(talks):
        ask = Asked(planner, settings, f"{number}", quality)
        conversation = Conversation(outcomes, cached)
        for turn in talk:
            conversation.turn(turn, outcomes.models.index(await ask.model(turn, conversation)))
        served.append(conversation.served())
    await decider.close()
    return served


class Asked:
    """One conversation as the gateway sees it."""

    def __init__(
        self, planner: RoutingPlanner, settings: GatewaySettings, session: str, quality: float
    ) -> None:
        self._planner = planner
        self._settings = settings
        self._control = RequestControl(quality=quality, session=session)
        self._messages: list[dict[str, Any]] = []
        self._row_before: int | None = None

    async def model(self, turn: Turn, conversation: "Conversation") -> str:
        """The model that is called."""
        if conversation.answers:
            self._messages.append({"role": "assistant", "content": conversation.answers[-1]})
        instructions = filled(conversation.overhead(turn.row))
        self._messages += [
            {"role": "developer", "content": instructions},
            {"role": "user", "content": turn.text},
        ]
        body = {"model": "equirouter/auto", "messages": self._messages}
        chat = chat_request(body, self._settings.limits)
        plan = await self._planner.plan(chat, self._control, None)
        model = plan.candidates[0].model
        self._planner.finished(
            RequestRecord("", 0.0, "chat.completions", "", plan=plan, served_model=model)
        )
        return model


class Conversation:
    """Cost of a conversation: every turn sends all earlier messages."""

    def __init__(self, outcomes: Outcomes, cached: float) -> None:
        self._outcomes = outcomes
        self._cached = cached
        self._known: dict[int, int] = {}  # model -> tokens that its provider has in its cache
        self._tokens = 0  # said so far
        self._last: int | None = None
        self.answers: list[str] = []
        self._performance = self._cost = 0.0
        self._switches = 0

    def overhead(self, row: int) -> int:
        """Tokens of a prompt beside the query's text."""
        return PROFILES[self._outcomes.tasks[row]].overhead_tokens

    def turn(self, turn: Turn, model: int) -> None:
        """A model answers a turn."""
        outcomes, price = self._outcomes, PRICES[self._outcomes.models[model]]
        text = outcomes.texts[turn.row]
        alone = self.overhead(turn.row) + -(-len(text) // 4)
        paid = outcomes.cost_usd[turn.row, model] * 1e6 - alone * price.input_usd_per_mtok
        answer = round(paid / price.output_usd_per_mtok)
        prompt = self._tokens + self.overhead(turn.row) + estimated_tokens(turn.text)
        known = self._known.get(model, 0)
        saved = known * (1 - self._cached) if known >= LEAST_CACHED_TOKENS else 0.0
        self._cost += (
            (prompt - saved) * price.input_usd_per_mtok + answer * price.output_usd_per_mtok
        ) / 1e6
        self._performance += float(outcomes.performance[turn.row, model])
        self._switches += self._last is not None and self._last != model
        self._tokens = prompt + answer
        self._known[model] = self._tokens
        self._last = model
        # on the subject, and as long as the model's answer
        self.answers.append(((text + " ") * (answer * 4 // (len(text) + 1) + 1))[: answer * 4])

    def served(self) -> Served:
        """The sums."""
        return Served(self._performance, self._cost, len(self.answers), self._switches)


def everything(outcomes: Outcomes, talk: Sequence[Turn], model: int, cached: float) -> Served:
    """The strongest model answers every turn."""
    conversation = Conversation(outcomes, cached)
    for turn in talk:
        conversation.turn(turn, model)
    return conversation.served()


def filled(tokens: int) -> str:
    """Text of about so many tokens."""
    return (FILLER * (tokens * 4 // len(FILLER) + 1))[: tokens * 4]


def report(
    by_setting: dict[tuple[Any, ...], list[Served]],
    ways: Sequence[tuple[str, str]],
    quality: float,
    cached: float,
) -> None:
    """The rows of one quality and one price of cached input."""
    strongest = sums(by_setting[quality, cached, "strongest", ""])
    base = sums(by_setting[quality, cached, "last_user", "none"])
    n_turns = int(strongest[:, 2].sum())
    print(
        f"quality {quality}, cached input at {cached:g} of the price: "
        f"{len(strongest)} conversations, {n_turns} turns"
    )
    rows = []
    rng = np.random.default_rng(0)
    picks = rng.integers(len(base), size=(2000, len(base)))
    for scope, rule in ways:
        here = sums(by_setting[quality, cached, scope, rule])
        performance = here[:, 0].sum() / strongest[:, 0].sum()
        cost = here[:, 1].sum() / strongest[:, 1].sum()
        switches = here[:, 3].sum() / (here[:, 2] - 1).sum()
        is_base = (scope, rule) == ("last_user", "none")
        apart = "" if is_base else interval(here[:, 1], base[:, 1], strongest[:, 1], picks)
        figures = [f"{performance:.3f}", f"{cost:.3f}", f"{switches:.2f}", apart]
        rows.append([quality, f"{cached:g}", f"`{scope}`", f"`{rule}`", *figures])
    record("sessions", rows, keys=(0, 1, 2, 3))


def sums(served: Sequence[Served]) -> FloatArray:
    """(n, 4): performance, cost, turns and switches of each conversation."""
    return np.array([[s.performance, s.cost_usd, s.turns, s.switches] for s in served])


def interval(here: FloatArray, base: FloatArray, whole: FloatArray, picks: Any) -> str:  # noqa: ANN401
    """95 % of the difference of two shares of the whole."""
    apart = (here - base)[picks].sum(axis=1) / whole[picks].sum(axis=1)
    low, high = np.quantile(apart, [0.025, 0.975])
    return f"[{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
