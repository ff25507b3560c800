"""Protocols of the gateway's parts: each is a constructor argument of Gateway."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from equirouter.serve.chat import ChatRequest
from equirouter.serve.records import Key, Plan, RequestControl, RequestRecord, UserFeedback

__all__ = [
    "Events",
    "FeedbackBook",
    "Gatekeeper",
    "Planner",
    "RequestLog",
    "RequestMetrics",
    "Reservation",
]


class Planner(Protocol):
    """Ranks the models that may answer a request."""

    @property
    def strongest(self) -> str | None:
        """The pipeline's strongest model, what savings are measured against; None without one."""

    async def plan(self, chat: ChatRequest, control: RequestControl, key: Key | None) -> Plan:
        """The ranked candidates. Raises GatewayError for a model that is not there or allowed."""

    def finished(self, record: RequestRecord) -> None:
        """A planned request is over: who answered counts for its session. Never blocks."""

    async def reload(self, path: Path | None = None) -> str:
        """Take another pipeline, None the one of the settings as it is now; returns its id.

        Raises UserError for one that is bad; the old one goes on.
        """


class Reservation(Protocol):
    """Money that is reserved for one request; exactly one of settle and release is called."""

    async def extend(self, nusd: int) -> bool:
        """Reserve so much in all before a more expensive model is tried; False: over budget."""

    def settle(self, cost_nusd: int, *, tokens: int | None = None) -> None:
        """The request cost so much and used so many tokens, None: not known. Never blocks."""

    def release(self) -> None:
        """The request cost nothing. Never blocks."""


class Gatekeeper(Protocol):
    """Keys, limits and budgets."""

    async def has_keys(self) -> bool:
        """Whether requests need a key; without any the gateway answers this machine only."""

    async def authenticate(self, headers: Mapping[str, str]) -> Key | None:
        """The key of a request; None where no keys are configured. Raises GatewayError 401."""

    def check_rate(self, key: Key | None) -> None:
        """Before a decision is made for a key that has no room in its rate: GatewayError 429."""

    async def admit(
        self, key: Key | None, upper_nusd: int, *, tokens: int, request_id: str
    ) -> Reservation:
        """Reserve what the call may cost at most. Raises GatewayError 429 when it is refused."""


class FeedbackBook(Protocol):
    """Feedback of users on answers."""

    async def give(self, key: Key | None, feedback: UserFeedback) -> str:
        """Keep it; returns the model that had answered. Raises GatewayError 404, 409, 503."""


class RequestLog(Protocol):
    """The decision log."""

    def log(self, record: RequestRecord) -> None:
        """Keep a finished request. Never blocks."""


class RequestMetrics(Protocol):
    """Counters and histograms."""

    def observe(self, record: RequestRecord) -> None:
        """Count a finished request. Never blocks."""

    def in_flight(self, change: int) -> None:
        """One request more (1) or fewer (-1) is being served."""

    def feedback(self, model: str, score: float) -> None:
        """Count feedback in [0, 1] on an answer of a model."""

    def render(self) -> tuple[bytes, str]:
        """The metrics as text, and its content type."""


class Events(Protocol):
    """The live feed of the dashboard."""

    def publish(self, record: RequestRecord) -> None:
        """Tell the listeners of a finished request. Never blocks."""

    async def close(self) -> None:
        """End every listener's feed: the process is going to stop."""
