"""Every format: a sample of it is recognised by its content, and read as it was meant.

The samples were written for these tests; what they say is in the fields that the documentation of
each product names.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.conversation import read_scope
from equirouter.data.logs.base import Fields, LeftOut, LoggedRequest, Record, Wrong
from equirouter.data.logs.recognise import format_of, known_formats
from equirouter.data.logs.sources import files_of, records_of
from equirouter.labelling.intake.alike import key_of, last_turn

SAMPLES = Path(__file__).parent / "samples"
SUM = {"role": "user", "content": "What is 2 + 3?"}
FAUST = {"role": "user", "content": "Who wrote Faust?"}
BRIEF = {"role": "system", "content": "Be brief."}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
NOON = 1764000000.0


def read(*names: str) -> list[LoggedRequest | LeftOut]:
    """What is in samples, which must all be of one format and without a mistake."""
    files = files_of(SAMPLES / name for name in names)
    [name] = {format_of(file) for file in files}
    records = [record for file in files for record in records_of(file)]
    whole = [record for record in records if isinstance(record, Record)]
    found = list(known_formats()[name].found(whole))
    assert len(whole) == len(records)
    assert not any(isinstance(one, Wrong) for one in found)
    return [one for one in found if not isinstance(one, Wrong)]


def asked(messages: list[dict[str, Any]], **known: Any) -> LoggedRequest:
    return LoggedRequest(messages=messages, **known)


BY_FORMAT: dict[str, list[str]] = {
    "chat": ["chat.jsonl"],
    "openai-batch": ["openai-batch-input.jsonl", "openai-batch-output.jsonl"],
    "stored-completions": ["stored-completions.json"],
    "litellm": ["litellm.jsonl"],
    "langfuse": ["langfuse.jsonl", "langfuse.csv"],
    "helicone": ["helicone.jsonl"],
    "otel": ["otel.jsonl", "otel-events.jsonl"],
    "gateway": ["gateway.jsonl", "gateway.csv"],
    "sharegpt": ["sharegpt.jsonl"],
    "prompts": ["prompts.csv"],
    "text-files": ["text-files/sums/one.txt"],
}


def test_every_format_is_recognised_by_its_content() -> None:
    assert set(BY_FORMAT) == set(known_formats())
    for name, files in BY_FORMAT.items():
        for file in files:
            assert format_of(SAMPLES / file) == name


def test_chat() -> None:
    first, second = read("chat.jsonl")
    assert first == asked(
        [BRIEF, SUM],
        parameters={"tools": [TOOL]},
        task="sums",
        asked_at=NOON,
        model="small",
        answer="5",
        finish_reason="stop",
        input_tokens=12,
        output_tokens=3,
        cost_usd=0.001,
        latency_seconds=0.25,
        feedback=1.0,
    )
    assert second == asked([FAUST], answer="Goethe.")  # the last message was the answer


def test_openai_batch_input_and_output_belong_together_by_custom_id() -> None:
    looked = asked(
        [BRIEF, {"role": "user", "content": [{"type": "text", "text": "Look."}, PICTURE]}],
        parameters={"max_completion_tokens": 9},
        model="large",
        answer="A cat.",
        finish_reason="stop",
        input_tokens=20,
        output_tokens=4,
    )
    summed = asked(
        [SUM],
        parameters={"max_tokens": 5},
        model="small",
        answer="5",
        finish_reason="stop",
        input_tokens=12,
        output_tokens=3,
    )
    left = LeftOut("calls of /v1/embeddings")
    assert read("openai-batch-input.jsonl", "openai-batch-output.jsonl") == [looked, summed, left]
    # in whatever order the files come
    assert read("openai-batch-output.jsonl", "openai-batch-input.jsonl") == [summed, left, looked]
    alone = read("openai-batch-input.jsonl")
    assert [one.answer for one in alone if isinstance(one, LoggedRequest)] == [None, None]
    assert read("openai-batch-output.jsonl") == 3 * [LeftOut("without the text that was asked")]


def test_stored_completions() -> None:
    with_text, without = read("stored-completions.json")
    assert with_text == asked(
        [{"role": "user", "content": "What is 2 + 3?", "name": None}],
        parameters={"tools": [TOOL], "temperature": 0.0, "metadata": {"task": "sums"}},
        task="sums",
        asked_at=NOON,
        model="small-2",
        answer="5",
        finish_reason="stop",
        input_tokens=12,
        output_tokens=3,
    )
    assert without == LeftOut("without the text that was asked")


def test_litellm_spend_logs_and_callbacks() -> None:
    spend, callback, embedding, silent = read("litellm.jsonl")
    assert spend == asked(
        [SUM],
        parameters={"temperature": 0},
        asked_at=NOON,
        model="small",
        answer="5",
        finish_reason="stop",
        input_tokens=12,
        output_tokens=3,
        cost_usd=0.002,
        latency_seconds=1.5,
    )
    assert callback == asked(
        [FAUST],
        parameters={"tools": [TOOL]},
        asked_at=NOON + 2,
        model="large",
        input_tokens=0,
        output_tokens=0,
        cost_usd=0.0,
        latency_seconds=1.0,
    )
    assert embedding == LeftOut("calls of type aembedding")
    assert silent == LeftOut("without the text that was asked")


LANGFUSE: dict[str, Any] = {
    "task": "sums",
    "asked_at": NOON,
    "model": "small",
    "answer": "5",
    "input_tokens": 12,
    "output_tokens": 3,
    "cost_usd": 0.001,
    "latency_seconds": 0.5,
}


def test_langfuse_observations_in_both_spellings() -> None:
    # of the JSON lines 8 tokens of the prompt and 4 cached ones, 1 of the answer and 2 of reasoning
    generation, span, masked = read("langfuse.jsonl")
    parameters = {"temperature": 0, "tools": [TOOL]}
    assert generation == asked([BRIEF, SUM], parameters=parameters, feedback=1.0, **LANGFUSE)
    assert span == LeftOut("observations of type SPAN")
    assert masked == LeftOut("without the text that was asked")
    assert read("langfuse.csv") == [asked([SUM], feedback=1.0, **LANGFUSE)]


def test_helicone_with_bodies_of_two_providers() -> None:
    openai, anthropic, embedding = read("helicone.jsonl")
    assert openai == asked(
        [SUM],
        parameters={"max_tokens": 5},
        task="sums",
        asked_at=NOON,
        model="small-2",
        answer="5",
        finish_reason="stop",
        input_tokens=12,
        output_tokens=3,
        cost_usd=0.001,
        latency_seconds=0.5,
        feedback=0.0,
    )
    call = {"name": "weather", "arguments": '{"city": "Rome"}'}
    assert anthropic == asked(
        [
            BRIEF,
            {"role": "user", "content": "Weather in Rome?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "u1", "type": "function", "function": call}],
            },
            {"role": "tool", "tool_call_id": "u1", "content": "sun"},
        ],
        parameters={"max_tokens": 9, "tools": [TOOL]},
        asked_at=NOON + 1,
        model="claude",
        answer="Sunny.",
        finish_reason="end_turn",
        input_tokens=40,  # Anthropic counts what was cached beside the input
        output_tokens=2,
        latency_seconds=0.9,
    )
    assert embedding == LeftOut("calls of embeddings")


def test_opentelemetry_spans_of_the_convention_and_of_openllmetry() -> None:
    other, span, embedding, printed = read("otel.jsonl")
    assert other == LeftOut("spans that are no calls of a model")
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}
    assert span == asked(
        [
            BRIEF,
            SUM,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "5"},
        ],
        parameters={"max_tokens": 5},
        asked_at=NOON,
        model="small-2",
        answer="5",
        finish_reason="stop",
        input_tokens=12,
        output_tokens=3,
        latency_seconds=0.5,
    )
    assert embedding == LeftOut("spans of embeddings")
    assert printed == asked(
        [BRIEF, FAUST],
        asked_at=NOON,
        model="large",
        answer="Goethe.",
        finish_reason="stop",
        input_tokens=9,
        output_tokens=2,
        latency_seconds=1.0,
    )


def test_opentelemetry_events_and_parts_that_are_no_text() -> None:
    summed, heard, watched = read("otel-events.jsonl")
    known: dict[str, Any] = {"asked_at": NOON, "model": "small", "answer": "5"}
    known |= {"finish_reason": "stop", "input_tokens": 12, "output_tokens": 3}
    assert summed == asked([SUM], **known)
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ]
    assert heard == asked([{"role": "user", "content": parts}], **known)
    assert watched == LeftOut("with a part of kind video, which no chat completion has")


def test_the_gateways_own_log_and_its_table() -> None:
    known: dict[str, Any] = {"model": "small", "cost_usd": 0.001, "feedback": 1.0}
    line, embedding = read("gateway.jsonl")
    assert line == asked(
        [BRIEF, SUM],
        asked_at=NOON + 0.5,
        answer="5",
        input_tokens=12,
        output_tokens=3,
        latency_seconds=0.5,
        **known,
    )
    assert embedding == LeftOut("calls of embeddings")
    row, never = read("gateway.csv")
    assert row == asked([SUM], task="all", **known)
    assert never == LeftOut("pairs of query and model that were never asked")


def test_sharegpt_is_its_last_question() -> None:
    hello = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]
    of_turns = asked([BRIEF, *hello, SUM], answer="5")
    assert read("sharegpt.jsonl") == [of_turns, asked([BRIEF, SUM])]


def test_a_column_of_prompts() -> None:
    lines = {"role": "user", "content": "What is\n2 + 3?"}
    assert read("prompts.csv") == [
        asked([lines], task="sums", model="small", answer="5", cost_usd=0.001),
        asked([FAUST]),
    ]


def test_an_instruction_and_its_input_are_one_prompt() -> None:
    rows = [
        {"instruction": "Add.", "input": "2 and 3", "output": "5"},
        {"instruction": "Add.", "input": "", "output": "0"},
        {"prompt": "Add: 2 and 3", "input": "of the form", "output": "5"},
    ]
    read_ = [[known_formats()["prompts"].read(Fields(row))] for row in rows]
    texts = ["Add.\n\n2 and 3", "Add.", "Add: 2 and 3"]
    for requests, text, row in zip(read_, texts, rows, strict=True):
        assert requests == [asked([{"role": "user", "content": text}], answer=row["output"])]


def test_a_folder_of_text_files() -> None:
    german = {"role": "user", "content": "Wer schrieb Faust?"}
    assert read("text-files") == [asked([SUM], task="sums"), asked([german], task="sums")]


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to all values within a JSON value."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    for name, item in value.items() if isinstance(value, dict) else ():
        yield (*place, name)
        yield from places(item, (*place, name))


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


@pytest.mark.parametrize("name", [name for name in BY_FORMAT if name != "text-files"])
@given(data=st.data())
def test_damage_at_any_depth_is_a_wrong_record(name: str, data: st.DataObject) -> None:
    """Whatever stands in the place of a value, a request is read that the next steps can read."""
    samples = [record for file in BY_FORMAT[name] for record in records_of(SAMPLES / file)]
    whole = [record for record in samples if isinstance(record, Record)]
    content = copy.deepcopy(dict(data.draw(st.sampled_from(whole)).content))
    *way, last = data.draw(st.sampled_from(list(places(content))))
    value: Any = content
    for step in way:
        value = value[step]
    value[last] = data.draw(ODD)
    record = Record("here", Fields(content))
    known_formats()[name].recognises(record.content)
    for found in known_formats()[name].found([record]):
        if isinstance(found, LoggedRequest):
            for scope in ("last_user", "first_user", "conversation"):
                read_scope(found.messages, scope)
            key_of(found.messages)
            last_turn(found.messages)
        elif isinstance(found, Wrong):
            assert found.why.startswith("here: ")
