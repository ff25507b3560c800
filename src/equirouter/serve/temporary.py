"""Parts that are not there yet, in the least form that serves named models."""

from equirouter.prices import estimated_tokens
from equirouter.serve.chat import ChatRequest
from equirouter.serve.errors import GatewayError
from equirouter.serve.pool import Pool
from equirouter.serve.records import Candidate, Control, Key, Plan, RequestRecord
from equirouter.serve.usage import upper_nusd

__all__ = ["NamedPlanner"]


class NamedPlanner:
    """Sends a named model's requests there."""

    strongest: str | None = None

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def plan(self, chat: ChatRequest, control: Control, key: Key | None) -> Plan:
        """See Planner."""
        del control
        route = self._pool.routes.get(chat.model)
        if route is None:
            raise GatewayError(
                404, f"no model {chat.model!r}", code="model_not_found", param="model"
            )
        if key is not None and key.models is not None and chat.model not in key.models:
            raise GatewayError(
                403, f"this key may not use {chat.model}", type_="permission_error", param="model"
            )
        prompt = sum(estimated_tokens(str(message.get("content"))) for message in chat.messages)
        output = (chat.max_output_tokens or route.settings.max_output_tokens) * chat.n
        upper = upper_nusd(route.price, prompt, output)
        return Plan((Candidate(chat.model, upper),), "named", prompt_tokens=prompt)

    def finished(self, record: RequestRecord) -> None:
        """See Planner."""
