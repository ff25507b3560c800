"""ShareGPT: conversations of a person and an assistant."""

from collections.abc import Iterator, Mapping
from typing import Any

from equirouter.data.logs.base import LeftOut, LoggedRequest, LogReader, without_text
from equirouter.data.logs.chat import split_answer
from equirouter.data.logs.fields import first, named, parsed
from equirouter.errors import FieldError

_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}
_ROLES |= {"chatgpt": "assistant", "bing": "assistant", "bard": "assistant", "system": "system"}


class ShareGPT(LogReader):
    """Objects with `conversations`: turns `from` human or gpt, with a `value`; perhaps `system`.

    A conversation is one request: its last turn of the person, with all before it. Nobody publishes
    a specification: these are the files of FastChat and LLaMA-Factory, as of 2026-11.
    """

    title = 'ShareGPT conversations: {"conversations": [{"from": "human", "value": ...}]}'
    keeps_texts = "each object needs its conversations"

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """By its turns."""
        return bool(_turns(record))

    def read(self, record: Mapping[str, Any]) -> Iterator[LoggedRequest | LeftOut]:
        """The last request of a conversation."""
        instructions = named(record, "system")
        messages = [{"role": "system", "content": instructions}] if instructions else []
        for turn in _turns(record):
            who = str(first(turn, "from", "role"))
            if who not in _ROLES:
                raise FieldError(f"a turn is from {who!r}, expected one of {', '.join(_ROLES)}")
            messages.append({"role": _ROLES[who], "content": str(first(turn, "value") or "")})
        messages, answer = split_answer(messages)
        if not messages:
            yield without_text
            return
        yield LoggedRequest(
            messages=messages,
            answer=answer,
            model=named(record, "model"),
            task=named(record, "task"),
        )


def _turns(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    turns = parsed(record.get("conversations") or record.get("conversation"))
    if not isinstance(turns, list):
        return []
    return [
        turn for turn in turns if isinstance(turn, Mapping) and ("from" in turn or "value" in turn)
    ]
