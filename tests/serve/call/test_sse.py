"""A stream of events on its way through: the bytes stay, however they were cut up."""

import tracemalloc
from collections.abc import Sequence
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.serve.call.sse import StreamReader, error_event
from tests.serve.fake_upstream import USAGE, chunk, event, streamed, text_chunk

ENDS = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r"}


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Bytes cut up at places."""
    at = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(at)]


def passed(reader: StreamReader, pieces: Sequence[bytes]) -> bytes:
    return b"".join([*(reader.feed(piece) for piece in pieces), reader.rest()])


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@given(places=st.lists(st.integers(0, 2000), max_size=40))
def test_a_stream_passes_unchanged_and_is_understood_however_it_is_cut(
    end: bytes, places: list[int]
) -> None:
    whole = b"".join(streamed()).replace(b"\n", end)
    reader = StreamReader()
    assert passed(reader, cut(whole, places)) == whole
    assert reader.usage == USAGE
    assert reader.is_complete
    assert reader.error is None
    assert reader.output_bytes == len("Hello wörld".encode())


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@given(places=st.lists(st.integers(0, 2000), max_size=40))
def test_only_the_usage_event_is_taken_out_however_it_is_cut(end: bytes, places: list[int]) -> None:
    reader = StreamReader(drop_usage=True)
    sent = passed(reader, cut(b"".join(streamed()).replace(b"\n", end), places))
    assert sent == b"".join(streamed(usage=None)).replace(b"\n", end)
    assert reader.usage == USAGE


@given(data=st.binary(max_size=300), places=st.lists(st.integers(0, 300), max_size=10))
def test_any_bytes_pass_unchanged(data: bytes, places: list[int]) -> None:
    assert passed(StreamReader(), cut(data, places)) == data


def test_usage_beside_a_choice_stays_in_the_stream() -> None:
    # Mistral and Groq report usage on the last chunk with a choice
    last = event({**text_chunk("x", "stop"), "usage": USAGE})
    reader = StreamReader(drop_usage=True)
    assert reader.feed(last) == last
    assert reader.usage == USAGE


def test_text_that_looks_like_a_signal_is_text() -> None:
    said = 'data: [DONE] "usage": {"prompt_tokens": 1}\n\n"error": {"finish_reason": "'
    sent = event(text_chunk(said))
    reader = StreamReader(drop_usage=True)
    assert passed(reader, [sent]) == sent
    assert not reader.is_complete
    assert reader.usage is None
    assert reader.error is None


def test_the_model_is_renamed_and_nothing_else() -> None:
    sent = event(text_chunk('"model": "theirs-2026"')) + event(chunk(choices=[]))
    reader = StreamReader(model="a\\b")
    assert reader.feed(sent) == sent.replace(b'"model": "theirs-2026"', b'"model": "a\\\\b"')


def test_the_text_of_an_answer_is_collected_where_asked() -> None:
    reader = StreamReader(keep_text=True)
    passed(reader, streamed())
    assert "".join(reader.text) == "Hello wörld"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"error": {"message": "no"}}, {"message": "no"}),
        ({"error": "no"}, "no"),
        ({"type": "error", "message": "no", "code": "x"}, {"message": "no", "code": "x"}),
        (
            {"type": "response.failed", "response": {"error": {"message": "no"}}},
            {"message": "no"},
        ),
        ({"error": None, "choices": []}, None),
        ({"choices": [{"error": {"message": "within"}}]}, {"message": "within"}),
    ],
)
def test_an_error_of_the_upstream_is_seen(said: object, error: object) -> None:
    reader = StreamReader("responses")
    assert reader.feed(event(said)) == event(said)
    assert reader.error == error


def test_a_response_is_read() -> None:
    usage = {"input_tokens": 20, "output_tokens": 10, "total_tokens": 30}
    pieces = [
        event({"type": "response.created", "response": {"usage": None}}),
        event({"type": "response.output_text.delta", "delta": "Hello"}),
        event({"type": "response.output_text.done", "text": "Hello"}),
        event({"type": "response.completed", "response": {"usage": usage}}),
    ]
    reader = StreamReader("responses", keep_text=True)
    assert passed(reader, pieces) == b"".join(pieces)
    assert (reader.usage, reader.is_complete, reader.output_bytes) == (usage, True, 5)
    assert reader.text == ["Hello"]


def test_an_error_event_is_one_event() -> None:
    sent = error_event({"error": {"message": "a\n\nb"}})
    assert sent.count(b"\n\n") == 1
    assert orjson.loads(sent.removeprefix(b"data: ")) == {"error": {"message": "a\n\nb"}}


@pytest.mark.parametrize("said", [b"a", b"\\n"])
def test_a_long_event_takes_no_more_memory_than_itself(said: bytes) -> None:
    text = said * (1_000_000 // len(said))
    event = b'data: {"model": "x", "choices": [{"delta": {"content": "' + text + b'"}}]}\n\n'
    reader = StreamReader(model="y")
    tracemalloc.start()
    try:
        assert reader.feed(event) == event.replace(b'"x"', b'"y"')
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert reader.output_bytes == 1_000_000
