"""Protocols of the gateway's parts: each is a constructor argument of Gateway."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from equirouter.serve.chat import ChatRequest
from equirouter.serve.records import Key, Plan, RequestControl, RequestRecord


class Planner(Protocol):
    """Ranks the models that may answer a request."""

    @property
    def strongest(self) -> str | None:
        """The pipeline's strongest model, what savings are measured against; None without one."""

    async def plan(self, chat: ChatRequest, control: RequestControl, key: Key | None) -> Plan:
        """The ranked candidates. Raises GatewayError for a model that is not there or allowed."""

    def finished(self, record: RequestRecord) -> None:
        """A planned request is over: who answered counts for its session. Never blocks."""

    async def reload(self, path: Path | None = None, *, force: bool = False) -> str:
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


class Outlet(Protocol):
    """An answer in pieces to a client; its head goes out with the first piece.

    Both raise ConnectionResetError where the client has hung up, and wait where it does not read.
    """

    async def write(self, data: bytes) -> None:
        """Send a piece."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the last piece, and the end."""
