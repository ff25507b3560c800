"""Tables and JSON lines with a column of prompts, and folders of text files."""

from equirouter.data.logs.base import Fields, LeftOut, LoggedRequest, LogReader, without_text
from equirouter.data.logs.bodies import reply_of
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

    def recognises(self, record: Fields) -> bool:
        """By a column of texts."""
        row = _lowered(record)
        return any(isinstance(row.get(name), str) for name in _PROMPT)

    def read(self, record: Fields) -> LoggedRequest | LeftOut:
        """The one request of a row."""
        row = _lowered(record)
        prompt = row.named(*_PROMPT)
        if prompt is None or not prompt.strip():
            return without_text
        if prompt == row.get("instruction") and row.named("input"):
            prompt = f"{prompt}\n\n{row['input']}"
        system = row.named("system", "system_prompt")
        instructions = [] if system is None else [{"role": "system", "content": system}]
        others = Fields({name: value for name, value in row.items() if value != prompt})
        reply = reply_of(others.first(*_ANSWER))
        return LoggedRequest(
            messages=[*instructions, {"role": "user", "content": prompt}],
            task=row.named("task", "category", "eval_name"),
            asked_at=row.time("timestamp", "created", "created_at", "time"),
            model=row.named("model", "model_name") or reply.get("model"),
            answer=reply.get("answer"),
            finish_reason=row.named("finish_reason") or reply.get("finish_reason"),
            input_tokens=row.whole("input_tokens", "prompt_tokens"),
            output_tokens=row.whole("output_tokens", "completion_tokens"),
            cost_usd=row.number("cost_usd", "cost"),
            latency_seconds=row.number("latency_seconds"),
            feedback=row.share("feedback", "score", "rating"),
        )


def _lowered(record: Fields) -> Fields:
    return Fields(
        {name.strip().casefold().replace(" ", "_"): value for name, value in record.items()}
    )


class TextFiles(LogReader):
    """A .txt or .md file per query; its folder is the task."""

    title = "a folder of text files (.txt, .md), a query each"
    keeps_texts = "fill the files"

    def recognises(self, record: Fields) -> bool:
        """By what the reader of files calls its text."""
        return TEXT_FILE in record

    def read(self, record: Fields) -> LoggedRequest | LeftOut:
        """The query that a file is."""
        text = str(record[TEXT_FILE])
        if not text.strip():
            return without_text
        return LoggedRequest(
            messages=[{"role": "user", "content": text.strip()}], task=record.named("task")
        )
