"""Signals of users about an answer, read from the log: asked again, another model, stopped it.

None of it says for sure that an answer was bad, and each is a column of its own.
"""

from collections.abc import Mapping
from typing import Any

HUNG_UP = 499
"""The status of a request whose client did not wait for all of its answer."""
SOON_US = 600 * 1_000_000
"""Who asks the same later than ten minutes after, asks for another reason."""


class UserSignals:
    """Reads the requests of clients, oldest first; `values` is then what they did.

    values: (text, model) -> the name of a signal -> 0 or 1 per answer. "user.again": the same text
    was asked again within ten minutes, with the same key and session. "user.switched": of a model
    by its name, which was another one. "user.stopped": a stream was cut by the client.
    """

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], dict[str, list[float]]] = {}
        self._last: dict[tuple[str, str | None, str], tuple[int, str, dict[str, list[float]], int]]
        self._last = {}

    def read(self, row: Mapping[str, Any], text: str) -> None:
        """A request of the log that a model answered."""
        model, at_us = row["served_model"], row["at_us"]
        own = self.values.setdefault((text, model), {})
        if row["stream"]:
            own.setdefault("user.stopped", []).append(float(row["status"] == HUNG_UP))
        if row["key_id"] is None and row["session"] is None:
            return  # whoever asks next may be anybody
        who = (row["key_id"] or "", row["session"], text)
        before = self._last.get(who)
        if before is not None and at_us - before[0] <= SOON_US:
            _, first, signals, place = before
            signals["user.again"][place] = 1.0
            if row["decided_by"] == "named" and model != first:
                signals["user.switched"][place] = 1.0
        for name in ("user.again", "user.switched"):
            own.setdefault(name, []).append(0.0)
        self._last[who] = (at_us, model, own, len(own["user.again"]) - 1)
