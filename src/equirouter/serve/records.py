"""The records that the parts of the gateway hand to each other.

Money is an integer number of nano-USD (1e-9 USD): a token at 0.2 USD per million is 200 of them, so
sums are exact. USD as a float is for predictions and for people. What is made anew for each request
is not frozen: a frozen dataclass takes five times as long to make.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from equirouter.errors import GatewayError

if TYPE_CHECKING:
    from equirouter.pipeline.decision import QueryPlan
    from equirouter.policy.pacer import Paced

NUSD_PER_USD = 1_000_000_000
_ROUNDING_NUSD = 0.0005

Endpoint: TypeAlias = Literal[
    "chat.completions", "responses", "messages", "embeddings", "route", "passed", "unknown"
]
"""unknown: of a request whose worker died."""
DecidedBy: TypeAlias = Literal[
    "named", "policy", "session", "cascade", "explore", "shadow", "router_failure", "unreadable"
]
CallRole: TypeAlias = Literal["first", "escalation", "audit", "check"]
"""In a cascade: one of the two that were asked at once, the one after them, one that is asked when
the answer is served, to see whether it was right to stop, or a judge of a reply."""
AttemptOutcome: TypeAlias = Literal[
    "ok", "status", "connect", "timeout", "broken", "refused", "cancelled"
]
RemovalKind: TypeAlias = Literal[
    "key",
    "request",
    "model",
    "region",
    "abilities",
    "context",
    "upstream",
    "unavailable",
    "unbounded",
    "budget",
]
WhyNext: TypeAlias = Literal["agree", "disagree", "no answer", "failed", "late"]
"""Of two models that were asked at once: both gave the same final answer, or each another; one gave
none; one failed; or time was over."""
ChargedBy: TypeAlias = Literal[
    "usage", "reported", "implausible", "estimate", "bound", "nothing", "full"
]
"""By the provider's usage; by the cost that it reported; by an estimate in place of a usage that is
not plausible; by money.charge_unknown, where nobody saw a usage."""


def nusd(amount_usd: float) -> int:
    """Nano-USD of an amount in USD, rounded up: what is reserved is never too little.

    Less than half a thousandth of one is a rounding error of the amount.
    """
    amount = amount_usd * NUSD_PER_USD
    whole = math.floor(amount)
    return whole if amount - whole < _ROUNDING_NUSD else whole + 1


def usd(amount_nusd: int) -> float:
    """USD of an amount in nano-USD."""
    return amount_nusd / NUSD_PER_USD


def usd_or_none(amount_nusd: int | None) -> float | None:
    """USD of an amount in nano-USD that may not be known."""
    return None if amount_nusd is None else usd(amount_nusd)


@dataclass(slots=True)
class RequestControl:
    """The wishes of a request to the router: at most one of the first three, else the default.

    budget_usd: most that this call may cost. quality: share of the strongest model's performance.
    lambda_: performance that one USD must buy. exclude: models of the pool that must not be used.
    session: requests of one session stay with a model where that pays. cascade: whether more than
    one model may be asked. explore: whether another model than the best may be, to learn of it.
    """

    budget_usd: float | None = None
    quality: float | None = None
    lambda_: float | None = None
    exclude: frozenset[str] = frozenset()
    session: str | None = None
    cascade: bool = True
    explore: bool = True


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the gateway and its limits.

    models: names of the pool that the key may use, None for all. budget_nusd: per `period`, None
    for no limit.
    """

    id: str
    name: str
    is_admin: bool = False
    models: frozenset[str] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    budget_nusd: int | None = None
    period: Literal["day", "month"] = "month"

    def described(self) -> dict[str, Any]:
        """All of it as JSON can hold it, the budget in USD."""
        document = asdict(self)
        document["models"] = None if self.models is None else sorted(self.models)
        budget = document.pop("budget_nusd")
        return {**document, "budget_usd": None if budget is None else usd(budget)}


@dataclass(slots=True)
class Candidate:
    """A model that may answer, in the order in which it would be tried.

    upper_nusd: most that the call can cost: all prompt tokens and all tokens that the answer may
    have, at the model's prices. answer_tokens: the limit of one answer that is sent with the call,
    None where the request sets one, or where the model's context is what limits it.
    """

    model: str
    upper_nusd: int
    answer_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Removal:
    """Why a model may not answer a request. kind: which constraint; text: the reason in words."""

    kind: RemovalKind
    text: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models that are asked at once, the first round of a cascade.

    expected_cost_usd: of all calls. p_escalate: how likely one more model is asked, None where that
    is not known. learned: whether learned plans decide; else the agreement rule. extractor: the
    name of what reads final answers out of the replies.
    """

    models: tuple[str, str]
    expected_cost_usd: float
    p_escalate: float | None
    learned: bool
    extractor: str


@dataclass(slots=True)
class Plan:
    """The models that may answer a request, best first, and why; removed has those that may not.

    setting, value: the operating point ("budget_usd", 0.002), None for a named model. removed:
    model -> why it may not answer. prompt_tokens: counted here, an estimate of what the
    provider will count. confidence: probability that the first candidate is within 0.02 of the
    best, None where it is not known. far: whether the query is unlike all that the router was
    trained on, None where that is not known. fits: whether the first candidate is within the budget
    that was asked for. class_: the budget class that the collapse alarm counts it in, None where it
    is not counted; expected_share: how probable calibration holds it that the strongest model is
    chosen here. session: under which the conversation is remembered, a keyed hash. spend_usd: the
    mean spend that set the lambda, None where it was not set so; paced: what that is told of. pair:
    the two models to be asked at once, None where the first candidate is asked alone; cascade: what
    follows their replies. chances: model -> with what probability it was to come first, of a
    request that could be explored; of any other the first candidate's was 1. pipeline, version:
    which decided, by its content and by its name. unit: the conversation, or the request alone,
    that a canary counts, None while there is none. script: that the query is written in. shadow_of:
    the request that is answered once more, None for a client's. refused: what the client gets in
    place of an answer, where the router could not choose.
    """

    candidates: tuple[Candidate, ...]
    decided_by: DecidedBy
    setting: str | None = None
    value: float | None = None
    removed: Mapping[str, Removal] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    predicted_costs_usd: Mapping[str, float] = field(default_factory=dict)
    prompt_tokens: int = 0
    max_output_tokens: int = 0
    confidence: float | None = None
    far: bool | None = None
    decision_ms: float = 0.0
    pipeline: str | None = None
    fits: bool = True
    class_: str | None = None
    expected_share: float | None = None
    session: str | None = None
    spend_usd: float | None = None
    pair: Pair | None = None
    chances: Mapping[str, float] = field(default_factory=dict)
    version: str | None = None
    unit: int | None = None
    shadow_of: str | None = None
    script: str | None = None
    refused: GatewayError | None = field(default=None, compare=False)  # not logged
    paced: "Paced | None" = field(default=None, compare=False)  # not logged
    cascade: "QueryPlan | None" = field(default=None, compare=False)  # not logged

    @property
    def first_nusd(self) -> int:
        """The most that the calls can cost which are made at once; there is a candidate."""
        if self.pair is None:
            return self.candidates[0].upper_nusd
        return sum(
            candidate.upper_nusd
            for candidate in self.candidates
            if candidate.model in self.pair.models
        )


@dataclass(slots=True)
class Attempt:
    """One call of an upstream. status: HTTP's, None where there was no answer.

    ms: until it failed or its answer began. error: the gateway's own words, nothing that the
    upstream said. started_at: Unix seconds, None where it is not known. cost_nusd: what is charged
    for this call, None for one that the provider does not charge for. role: in a cascade. The
    tokens: as charged. answer_id: equal for equal final answers to this request, 0 for none, None
    where it was not read. answer: the final answer, only with log_texts. signals: what checks said
    of the reply, None where none did.
    """

    model: str
    upstream: str
    outcome: AttemptOutcome
    status: int | None
    ms: float
    error: str | None = None
    started_at: float | None = None
    cost_nusd: int | None = None
    role: CallRole | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    answer_id: int | None = None
    answer: str | None = None
    signals: Mapping[str, float] | None = None


@dataclass(slots=True)
class Tokens:
    """Tokens that a provider counted.

    input includes cached_input, cache_write, long_cache_write and audio_input; output includes
    reasoning and audio_output. estimated: they were counted here.
    """

    input: int
    output: int
    cached_input: int = 0
    cache_write: int = 0
    long_cache_write: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    estimated: bool = False

    def __add__(self, other: "Tokens") -> "Tokens":
        """Those of two calls; estimated where either is."""
        counts: dict[str, int] = {
            field.name: getattr(self, field.name) + getattr(other, field.name)
            for field in fields(self)
            if field.name != "estimated"
        }
        return Tokens(**counts, estimated=self.estimated or other.estimated)


@dataclass(frozen=True, slots=True)
class Cascaded:
    """How a request went of which two models were asked at once.

    pair: those. ended: an answer of the pair was served; or one more model was asked, and the best
    supported answer was served; or the best of the pair was, as one more could not be asked or
    failed. blocked: that model, and what was in its way. support: the expected performance of what
    was served, None where nothing was learned of it. wait_ms: until the pair had replied.
    """

    pair: tuple[str, str]
    why: WhyNext
    ended: Literal["accepted", "escalated", "kept"]
    wait_ms: float
    support: float | None = None
    blocked: str | None = None


@dataclass(slots=True)
class RequestRecord:
    """All that is known of a request: filled in on its way, logged once when it is over.

    started_at: Unix seconds. requested_model: as the client named it. served_model: who answered,
    None if nobody did. tokens, cost_nusd: of all calls, those of a cascade and those that failed
    too; None where nothing was used. charged_by: how that of the answer was found. reported_nusd:
    what the provider says that the answer cost. service_tier: which the call was charged in, None
    for the standard one. over_budget_nusd: by how much the cost exceeds the budget of the request,
    None where it does not or has none. strongest_nusd: what the tokens of the answer would have
    cost with the pipeline's strongest model. cascade: None where one model was asked. prompt,
    answer: only with log_texts.
    """

    request_id: str
    started_at: float
    endpoint: Endpoint
    requested_model: str
    stream: bool = False
    key_id: str | None = None
    session: str | None = None
    plan: Plan | None = None
    attempts: list[Attempt] = field(default_factory=list)
    served_model: str | None = None
    tokens: Tokens | None = None
    cost_nusd: int | None = None
    charged_by: ChargedBy | None = None
    reported_nusd: int | None = None
    service_tier: str | None = None
    over_budget_nusd: int | None = None
    strongest_nusd: int | None = None
    first_byte_ms: float | None = None
    total_ms: float = 0.0
    status: int = 0
    error: str | None = None
    cascade: Cascaded | None = None
    prompt: str | None = None
    answer: str | None = None

    def call_of(self, model: str) -> Attempt:
        """The latest call of a model that was asked for an answer. Raises LookupError for none."""
        for attempt in reversed(self.attempts):
            if attempt.model == model and attempt.role != "check":
                return attempt
        raise LookupError(f"{model} was not called")

    @property
    def is_fallback(self) -> bool:
        """Whether a model was called as another one had failed. Those of a cascade are planned."""
        if len(self.attempts) < 2:
            return False
        planned = ("first", "audit", "check")
        tried = {attempt.model for attempt in self.attempts if attempt.role not in planned}
        return len(tried) > 1


@dataclass(frozen=True, slots=True)
class UserFeedback:
    """A user's opinion of one answer. score: from 0, useless, to 1.

    source: how it was given. edited: the answer as the user made it; its likeness to the one that
    was given, as far as words go, is then the score.
    """

    request_id: str
    score: float
    comment: str | None = None
    source: Literal["score", "thumbs", "edit"] = "score"
    edited: str | None = None
