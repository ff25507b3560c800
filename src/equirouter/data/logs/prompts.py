"""Tables and JSON lines with a column of prompts, and folders of text files."""

from collections.abc import Iterator, Mapping
from typing import Any

from equirouter.data.logs.base import LeftOut, LoggedRequest, LogReader, without_text
from equirouter.data.logs.fields import first, named, number, share, unix_seconds, whole
from equirouter.data.logs.provider_answers import reply_of
from equirouter.data.logs.sources import TEXT_FILE

_PROMPT = ("prompt", "query", "question", "instruction", "input", "text", "user_prompt", "request")
_ANSWER = ("response", "answer", "completion", "output", "reply", "model_response")


class PromptColumn(LogReader):
    """A row per request, with the text in prompt, query, question, instruction, input or text.

    Also read: system; response (answer, completion, output); model (model_name); task (category,
    eval_name); cost_usd (cost); input_tokens, output_tokens; latency_seconds; feedback (score,
    rating) from 0 to 1; timestamp (created). Instruction and input together are joined.
    """

    title = "a table (CSV, TSV, JSON lines, parquet) with a column prompt, query, question or text"
    keeps_texts = "fill the column of prompts"

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """By a column of texts."""
        row = _lowered(record)
        return any(isinstance(row.get(name), str) for name in _PROMPT)

    def read(self, record: Mapping[str, Any]) -> Iterator[LoggedRequest | LeftOut]:
        """The one request of a row."""
        row = _lowered(record)
        prompt = named(row, *_PROMPT)
        if prompt is None or not prompt.strip():
            yield without_text
            return
        if prompt == row.get("instruction") and named(row, "input"):
            prompt = f"{prompt}\n\n{row['input']}"
        system = named(row, "system", "system_prompt")
        instructions = [] if system is None else [{"role": "system", "content": system}]
        answer = first(
            {name: row.get(name) for name in _ANSWER if row.get(name) != prompt}, *_ANSWER
        )
        reply = reply_of(answer)
        yield LoggedRequest(
            messages=[*instructions, {"role": "user", "content": prompt}],
            task=named(row, "task", "category", "eval_name"),
            asked_at=unix_seconds(first(row, "timestamp", "created", "created_at", "time")),
            model=named(row, "model", "model_name") or reply.get("model"),
            answer=reply.get("answer"),
            finish_reason=named(row, "finish_reason") or reply.get("finish_reason"),
            input_tokens=whole(row, "input_tokens", "prompt_tokens"),
            output_tokens=whole(row, "output_tokens", "completion_tokens"),
            cost_usd=number(row, "cost_usd", "cost"),
            latency_seconds=number(row, "latency_seconds"),
            feedback=share(first(row, "feedback", "score", "rating")),
        )


def _lowered(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name.strip().casefold().replace(" ", "_"): value for name, value in record.items()}


class TextFiles(LogReader):
    """A .txt or .md file per query; its folder is the task."""

    title = "a folder of text files (.txt, .md), a query each"
    keeps_texts = "fill the files"

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """By what the reader of files calls its text."""
        return TEXT_FILE in record

    def read(self, record: Mapping[str, Any]) -> Iterator[LoggedRequest | LeftOut]:
        """The query that a file is."""
        text = str(record[TEXT_FILE])
        if not text.strip():
            yield without_text
            return
        yield LoggedRequest(
            messages=[{"role": "user", "content": text.strip()}], task=named(record, "task")
        )
