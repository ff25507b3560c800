"""The dialects beside chat completions, with all that is known of each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from equirouter.serve.call.translation.messages import request as messages
from equirouter.serve.call.translation.messages.building import MessageBuilding
from equirouter.serve.call.translation.responses import request as responses
from equirouter.serve.call.translation.responses.building import Building
from equirouter.serve.call.translation.telling import Telling
from equirouter.serve.settings import UpstreamSettings

_Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """A way to ask and to answer.

    path: where upstreams that speak it have it. as_chat: a request as a chat completion; raises
    NoChatError. left_out: names of what that leaves out. telling: an answer in the dialect.
    """

    path: str
    as_chat: Callable[[_Object], dict[str, Any]]
    left_out: Callable[[_Object], list[str]]
    telling: type[Telling]

    def is_native(self, upstream: UpstreamSettings) -> bool:
        """Whether an upstream speaks it: a setting of the same name as the path."""
        return bool(getattr(upstream, self.path.removeprefix("/")))


DIALECTS: Mapping[str, Dialect] = {
    "responses": Dialect("/responses", responses.as_chat, responses.left_out, Building),
    "messages": Dialect("/messages", messages.as_chat, messages.left_out, MessageBuilding),
}
"""By endpoint of the gateway."""


def translated(endpoint: str, upstream: UpstreamSettings) -> Dialect | None:
    """The dialect in which an upstream cannot be asked, None where it is asked as it came."""
    dialect = DIALECTS.get(endpoint)
    return None if dialect is None or dialect.is_native(upstream) else dialect
