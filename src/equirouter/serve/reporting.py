"""The questions of the dashboard to the store: sums, times and single decisions of a period.

Times are Unix seconds, a period is since <= started_at < until. Money is in nano-USD.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from equirouter.serve.records import AttemptOutcome, RequestRecord

__all__ = [
    "Calls",
    "Logged",
    "ModelFeedback",
    "Percentiles",
    "Phase",
    "Reports",
    "Slice",
    "Totals",
]

Phase: TypeAlias = Literal["decision", "first_byte", "upstream"]
"""decision: the plan, of requests that were routed; first_byte: until the answer's first byte;
upstream: total less decision."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a period.

    errors: answered with a status of 400 or more. routed: decided by policy or session. cost_nusd:
    of all. strongest_nusd: what the strongest model would have cost, over the requests where that
    and the cost are known; compared_nusd: what those did cost. estimated: their tokens were counted
    here. fallbacks: more than one model was called.
    """

    requests: int = 0
    errors: int = 0
    routed: int = 0
    cost_nusd: int = 0
    strongest_nusd: int = 0
    compared_nusd: int = 0
    estimated: int = 0
    fallbacks: int = 0


@dataclass(frozen=True, slots=True)
class Slice:
    """Totals of one step of time. calls: answered requests per model; start: Unix seconds."""

    start: float
    totals: Totals
    calls: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds; None without requests. count: how many they are over."""

    count: int
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class Calls:
    """How many calls of an upstream for a model ended in one way."""

    upstream: str
    model: str
    outcome: AttemptOutcome
    count: int


@dataclass(frozen=True, slots=True)
class ModelFeedback:
    """Feedback on a model's answers. mean: of the scores, in [0, 1]."""

    model: str
    count: int
    mean: float


@dataclass(frozen=True, slots=True)
class Logged:
    """A request as it is in the log. number: rises with the time of writing."""

    number: int
    record: RequestRecord
    score: float | None = None
    comment: str | None = None


class Reports(Protocol):
    """The store, as the dashboard reads it."""

    async def totals(self, since: float, until: float) -> Totals:
        """Sums of a period."""
        ...

    async def slices(self, since: float, until: float, seconds: float) -> Sequence[Slice]:
        """The period in steps, oldest first, those without requests too."""
        ...

    async def latencies(self, since: float, until: float) -> Mapping[Phase, Percentiles]:
        """Of requests that were answered; a long period may be sampled."""
        ...

    async def calls(self, since: float, until: float) -> Sequence[Calls]:
        """Calls of upstreams by how they ended."""
        ...

    async def statuses(self, since: float, until: float) -> Mapping[int, int]:
        """Requests per HTTP status."""
        ...

    async def feedback(self, since: float, until: float) -> Sequence[ModelFeedback]:
        """Of requests that started in the period."""
        ...

    async def recent(
        self, limit: int, *, before: int | None = None, after: int | None = None
    ) -> Sequence[Logged]:
        """The newest requests with a number below `before` and above `after`, newest first."""
        ...

    async def one(self, request_id: str) -> Logged | None:
        """The request of that id."""
        ...
