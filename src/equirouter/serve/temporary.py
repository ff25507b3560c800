"""Parts that are not there yet, in the least form that serves named models."""

from collections.abc import Mapping

from equirouter.prices import estimated_tokens
from equirouter.serve.chat import ChatRequest
from equirouter.serve.errors import GatewayError
from equirouter.serve.pool import Pool
from equirouter.serve.records import Candidate, Control, Key, Plan, RequestRecord
from equirouter.serve.usage import upper_nusd

__all__ = ["NamedPlanner", "NoAdmission", "Nothing"]


class NamedPlanner:
    """Sends a named model's requests there."""

    strongest: str | None = None

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def plan(self, chat: ChatRequest, control: Control, key: Key | None) -> Plan:
        """See Planner."""
        del control, key
        route = self._pool.routes.get(chat.model)
        if route is None:
            raise GatewayError(
                404, f"no model {chat.model!r}", code="model_not_found", param="model"
            )
        prompt = sum(estimated_tokens(str(message.get("content"))) for message in chat.messages)
        output = (chat.max_output_tokens or route.settings.max_output_tokens) * chat.n
        upper = upper_nusd(route.price, prompt, output)
        return Plan((Candidate(chat.model, upper),), "named", prompt_tokens=prompt)

    def finished(self, record: RequestRecord) -> None:
        """See Planner."""


class _Ticket:
    async def extend(self, nusd: int) -> bool:
        return nusd >= 0

    def settle(self, cost_nusd: int, *, tokens: int | None = None) -> None:
        pass

    def release(self) -> None:
        pass


class NoAdmission:
    """Lets everybody in."""

    async def has_keys(self) -> bool:
        """See Admission."""
        return False

    async def authenticate(self, headers: Mapping[str, str]) -> Key | None:
        """See Admission."""
        del headers
        return None

    async def admit(
        self, key: Key | None, upper_nusd: int, *, tokens: int, request_id: str
    ) -> _Ticket:
        """See Admission."""
        del key, upper_nusd, tokens, request_id
        return _Ticket()


class Nothing:
    """Keeps and tells nothing."""

    def log(self, record: RequestRecord) -> None:
        """See RequestLog."""

    def publish(self, record: RequestRecord) -> None:
        """See Events."""
