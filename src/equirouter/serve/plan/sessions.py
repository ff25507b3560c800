"""From a decision to candidates; conversations stay with a model where a switch does not pay.

A provider keeps the beginning of a conversation in a cache and charges less for what it reads
there. Another model has to read all of it anew. What that costs is held against what the router
expects of the switch. Nothing of a conversation is kept but a keyed hash.
"""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from equirouter.cost.prices import Price
from equirouter.pipeline.decision import ByModel, Decision
from equirouter.serve.chat import ChatRequest
from equirouter.serve.plan.feasible import Bound
from equirouter.serve.plan.loading import LoadedPipeline
from equirouter.serve.plan.prompt_tokens import message_tokens
from equirouter.serve.records import Candidate, DecidedBy, Key, Plan, Removal, RequestControl
from equirouter.serve.settings import SessionSettings
from equirouter.serve.watch.collapse_alarm import collapse_class


@dataclass(slots=True)
class _Session:
    model: str
    until: float  # of the clock


class Sessions:
    """Which model answered a conversation last, for at most max_sessions conversations.

    secret: of the hashes; None draws one, so that they mean nothing outside this process. clock:
    seconds that only go forward.
    """

    def __init__(
        self,
        settings: SessionSettings,
        *,
        secret: bytes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._secret = secrets.token_bytes(32) if secret is None else secret
        self._clock = clock
        self._kept: dict[str, _Session] = {}  # least recently used first

    def __len__(self) -> int:
        return len(self._kept)

    def id_of(
        self, messages: Sequence[Mapping[str, Any]], control: RequestControl, key: Key | None
    ) -> str | None:
        """Under what a conversation is remembered, None if it is not.

        The session that the request names, else its messages up to the first of a user; in both
        cases only for requests of the same key.
        """
        if not self._settings.enabled:
            return None
        digest = session_digest(messages, control, key, self._secret, detect=self._settings.detect)
        return None if digest is None else digest.hex()

    def model(self, id_: str | None) -> str | None:
        """The model that answered last, None if that is not known or too long ago."""
        session = None if id_ is None else self._kept.get(id_)
        return session.model if session is not None and self._clock() < session.until else None

    def note(self, id_: str, model: str) -> None:
        """A model has answered."""
        now = self._clock()
        self._kept.pop(id_, None)
        self._kept[id_] = _Session(model, now + self._settings.ttl_seconds)
        # all live equally long, so the oldest are the first to die
        while len(self._kept) > self._settings.max_sessions or self._oldest().until <= now:
            del self._kept[next(iter(self._kept))]

    def _oldest(self) -> _Session:
        return next(iter(self._kept.values()))


def session_digest(
    messages: Sequence[Mapping[str, Any]],
    control: RequestControl,
    key: Key | None,
    secret: bytes,
    *,
    detect: bool,
) -> bytes | None:
    """A keyed hash of a conversation, 16 bytes; None for a request that is of none.

    detect: whether one that names no session is known by its first messages.
    """
    if control.session is not None:
        content = b"s" + control.session.encode("utf-8", "surrogatepass")
    elif detect:
        content = b"m" + _beginning(messages)
    else:
        return None
    digest = blake2b(key=secret, digest_size=16)
    digest.update(b"" if key is None else key.id.encode())
    digest.update(b"\0" + content)
    return digest.digest()


def _beginning(messages: Sequence[Mapping[str, Any]]) -> bytes:
    first = []
    for message in messages:
        first.append(message)
        if message.get("role") == "user":
            break
    return orjson.dumps(first, option=orjson.OPT_SORT_KEYS)


def is_tool_loop(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a model waits for tools that it called: what they say is for it alone."""
    return bool(messages) and is_of_tools(messages[-1])


def is_of_tools(message: Mapping[str, Any]) -> bool:
    """Whether a message calls tools, or has what they say."""
    return message.get("role") in ("tool", "function") or bool(message.get("tool_calls"))


def history(messages: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The messages up to the last answer: what a provider may have in its cache."""
    for place in range(len(messages) - 1, -1, -1):
        if messages[place].get("role") == "assistant":
            return messages[: place + 1]
    return ()


def switch_cost_usd(known_tokens: int, old: Price, new: Price) -> float:
    """The cost of a switch in USD: the history read anew by one model, not from the other's cache.

    known_tokens: of the history. 0 or more: a model that reads it anew for less costs nothing to
    switch to. Where a provider has no cached price, its cache saves nothing.
    """
    old, new = old.at(known_tokens), new.at(known_tokens)
    cached = old.cached_input_usd_per_mtok
    kept = old.input_usd_per_mtok if cached is None else cached
    return known_tokens * max(new.input_usd_per_mtok - kept, 0.0) / 1e6


def stays(decision: Decision, last: str, switch_usd: Callable[[str], float], rule: str) -> bool:
    """Whether a conversation stays with the model that answered last, which is not the best now.

    last: among the models that may answer, within every limit. switch_usd: what a switch to a model
    costs. rule: as SessionSettings.switch_cost. With "cache", a switch must bring more utility
    (performance less lambda times cost) than it costs at that lambda. A budget says nothing of what
    performance is worth, so under a budget nothing is switched while the last model is within it.
    """
    best = decision.model
    if best is None or best == last or rule == "none":
        return False
    if rule == "always-stay" or decision.setting != "lambda":
        return True
    scores, costs = decision.scores, decision.predicted_costs_usd
    gain = scores[best] - scores[last] - decision.value * (costs[best] - costs[last])
    return gain <= decision.value * switch_usd(best)


@dataclass(slots=True)
class Circumstances:
    """A request beside the decision on it: what its call can cost at most, who may not answer.

    fits: whether a model is within the budget of the request. session: under which the conversation
    is remembered.
    """

    chat: ChatRequest
    control: RequestControl
    bounds: Mapping[str, Bound]
    removed: Mapping[str, Removal]
    fits: bool
    session: str | None


def ranked_plan(
    request: Circumstances,
    decision: Decision,
    loaded: LoadedPipeline,
    *,
    last: str | None,
    prices: Mapping[str, Price],
    rule: str,
    script: str | None = None,
) -> Plan:
    """The plan that a decision makes.

    last: who answered the conversation before, None if that is not known. rule: as
    SessionSettings.switch_cost. A model that waits for its tools is never replaced while it may
    answer.
    """
    ranked = [] if decision.model is None else [decision.model, *decision.fallbacks]
    scores, costs = _as_dict(decision.scores), _as_dict(decision.predicted_costs_usd)
    decided_by: DecidedBy = "policy"
    if last in ranked[1:] and _stays(request.chat, decision, last, prices, rule):
        ranked.remove(last)
        ranked.insert(0, last)
        decided_by = "session"
    bounds = [request.bounds[name] for name in ranked]
    first = bounds[0] if ranked else Bound(0, 0, 0)
    is_choice = bool(ranked) and decided_by == "policy" and request.fits
    return Plan(
        tuple(
            Candidate(name, bound.nusd, bound.answer)
            for name, bound in zip(ranked, bounds, strict=True)
        ),
        decided_by,
        setting=decision.setting,
        value=decision.value,
        removed=_removed(request, decision, ranked),
        scores=scores,
        predicted_costs_usd=costs,
        prompt_tokens=first.prompt,
        max_output_tokens=first.output,
        # of the model that was decided for, not of the session's
        confidence=decision.confidence if decided_by == "policy" else None,
        far=decision.far,
        pipeline=loaded.id,
        version=loaded.version,
        script=script,
        fits=request.fits,
        class_=collapse_class(request.control) if is_choice else None,
        # calibration saw choices between all models
        expected_share=None
        if request.removed or not is_choice
        else loaded.expected_share(decision.setting, decision.value),
        session=request.session,
    )


def _as_dict(by_model: Mapping[str, float]) -> Mapping[str, float]:
    """The numbers of a decision, which are read many times: from an array each would be slow."""
    return by_model.as_dict() if isinstance(by_model, ByModel) else by_model


def _stays(
    chat: ChatRequest, decision: Decision, last: str, prices: Mapping[str, Price], rule: str
) -> bool:
    if is_tool_loop(chat.messages):
        return True

    def switch_usd(new: str) -> float:
        known = message_tokens(history(chat.messages)).text
        return switch_cost_usd(known, prices[last], prices[new])

    return stays(decision, last, switch_usd, rule)


def _removed(
    request: Circumstances, decision: Decision, ranked: list[str]
) -> Mapping[str, Removal]:
    """Those that constraints removed, and those that the policy left out for what they may cost."""
    if len(ranked) + len(request.removed) == len(decision.scores):
        return request.removed
    return {**request.removed} | {
        name: Removal(
            "budget",
            f"budget: it is expected to cost {cost:g} USD, and {decision.setting} is "
            f"{decision.value:g}",
        )
        for name, cost in decision.predicted_costs_usd.items()
        if name not in request.removed and name not in ranked
    }
