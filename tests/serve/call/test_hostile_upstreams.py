"""Bytes of an upstream that nobody should trust: heads, compressed bodies, lengths."""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.errors import UpstreamError
from equirouter.serve.call.upstream import PIECE, Decoder, retry_after
from tests.serve import fake_upstream as fake
from tests.serve.gateways import Running, running

COMPLETION = json.dumps(fake.completion()).encode()


@asynccontextmanager
async def raw_upstream(answer: Callable[[bytes], bytes]) -> AsyncIterator[str]:
    """A provider that sends these bytes, whatever HTTP says. answer: from the request's body."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        writer.write(answer(await reader.readexactly(length)))
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


@asynccontextmanager
async def behind(answer: Callable[[bytes], bytes], **sections: Any) -> AsyncIterator[Running]:
    """A gateway whose model a is at such a provider; b answers well."""
    async with raw_upstream(answer) as url:
        upstreams = {"a": {"base_url": url, **sections.pop("upstream_a", {})}}
        async with running(upstreams=upstreams, **sections) as here:
            here.planner.order = [("a", 300), ("b", 200)]
            yield here


def with_head(*lines: bytes, status: bytes = b"200 OK") -> Callable[[bytes], bytes]:
    """A good answer, a stream where one is asked for, under these lines of a head."""

    def answer(asked: bytes) -> bytes:
        is_stream = json.loads(asked).get("stream")
        body = b"".join(fake.streamed()) if is_stream else COMPLETION
        length = b"Content-Length: %d" % len(body)
        head = b"\r\n".join((b"HTTP/1.1 " + status, *lines, length, b"Connection: close"))
        return head + b"\r\n\r\n" + body

    return answer


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "line",
    [
        b"Content-Type: text/event-stream\x01",
        b"Content-Type: application/json\x0b\x0c; charset=utf-8",
        b"Content-Type: \xff\xfe/\x80",
        b"Content-Type: \xe2\x80\xae/json",
        b"Content-Type: " + b"a/" + b"b" * 4000,
        b"Content-Type:",
        b"Content-Type: text\x7f/plain",
        b"X-Any: a\x01b",
        b"Set-Cookie: =;\x02=\x03",
        b"Retry-After: \x01",
    ],
)
def test_a_control_character_in_a_header_reaches_nobody(line: bytes, stream: bool) -> None:
    async def run() -> None:
        async with behind(with_head(line)) as here:
            response = await here.chat("equirouter/auto", stream=stream)
            assert response.status == 200
            expected = "text/event-stream" if stream else "application/json"
            assert response.headers["Content-Type"].split(";")[0] == expected
            assert all(value.isprintable() for value in response.headers.values())
            assert b"Hel" in await response.read()

    asyncio.run(run())


@pytest.mark.parametrize("line", [b"Content-Type: text/plain\x01", b"Retry-After: 1e300"])
def test_an_error_of_an_upstream_has_a_clean_head_too(line: bytes) -> None:
    async def run() -> None:
        async with behind(with_head(line, status=b"429 Slow\x01")) as here:
            response = await here.chat("a")
            assert response.status == 429
            assert len(response.headers.get("Retry-After", "")) < 10

    asyncio.run(run())


@given(st.lists(st.binary(max_size=40), max_size=4), st.binary(max_size=20), st.booleans())
def test_whatever_an_upstream_sends_the_client_gets_an_answer(
    lines: list[bytes], start: bytes, stream: bool
) -> None:
    async def run() -> None:
        head = b"HTTP/1.1 200 OK\r\n" if len(start) % 2 else start
        sent = head + b"\r\n".join(lines) + b"\r\n\r\n" + COMPLETION
        async with behind(lambda _: sent, upstream_a={"total_seconds": 5}) as here:
            response = await here.chat("equirouter/auto", stream=stream)
            assert response.status == 200

    asyncio.run(run())


def packed(coding: str, body: bytes) -> bytes:
    if coding == "gzip":
        return gzip.compress(body)
    if coding == "two gzips":
        return gzip.compress(body[:50]) + gzip.compress(body[50:])
    window = zlib.MAX_WBITS if coding == "zlib" else -zlib.MAX_WBITS
    packer = zlib.compressobj(wbits=window)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize("coding", ["gzip", "two gzips", "zlib", "deflate"])
@given(body=st.binary(max_size=3 * PIECE), size=st.integers(1, 5000))
def test_what_is_unpacked_is_what_was_packed(coding: str, body: bytes, size: int) -> None:
    decoder, given_bytes, pieces = Decoder(), packed(coding, body), []
    for start in range(0, len(given_bytes), size):
        decoder.feed(given_bytes[start : start + size])
        while piece := decoder.piece():
            assert len(piece) <= PIECE
            pieces.append(piece)
    decoder.check_end()
    assert b"".join(pieces) == body


@pytest.mark.parametrize("coding", ["gzip", "zlib", "deflate"])
def test_a_long_run_is_unpacked_in_pieces(coding: str) -> None:
    decoder, body, size = Decoder(), bytes(10 * PIECE + 77), 0
    decoder.feed(packed(coding, body))
    while piece := decoder.piece():
        assert len(piece) <= PIECE
        size += len(piece)
    decoder.check_end()
    assert size == len(body)


@pytest.mark.parametrize("damage", [lambda b: b[:-4], lambda b: b[:20] + b"\xff" * 9 + b[29:]])
def test_damaged_compression_is_a_broken_answer(damage: Callable[[bytes], bytes]) -> None:
    decoder = Decoder()
    decoder.feed(damage(gzip.compress(COMPLETION)))

    def read() -> None:
        while decoder.piece():
            pass
        decoder.check_end()

    with pytest.raises(UpstreamError, match="compressed"):
        read()


@pytest.mark.parametrize("stream", [False, True])
def test_others_are_served_while_a_bomb_is_unpacked(stream: bool) -> None:
    """40 MB in 40 kB: with all of it unpacked at once, the loop would stand still."""

    async def run() -> None:
        event = fake.event(fake.text_chunk("x" * 40_000_000)) if stream else bytes(40_000_000)
        shape = fake.raw(
            gzip.compress(event),
            headers={"Content-Encoding": "gzip", "Content-Type": "text/event-stream"},
        )
        async with running(limits={"max_answer_bytes": 32 * 1024 * 1024}) as here:
            here.planner.order = [("a", 300), ("b", 200)]
            here.upstream.answers("a-theirs", shape)
            turns = 0
            asking = asyncio.ensure_future(here.chat("equirouter/auto", stream=stream))
            while not asking.done():
                turns += 1
                await asyncio.sleep(0)
            assert (await asking).headers["x-equirouter-model"] == "b"
            assert turns > 32 * 1024 * 1024 / PIECE

    asyncio.run(run())


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "\x01"])
def test_a_coding_that_cannot_be_read_is_a_broken_answer(coding: str) -> None:
    async def run() -> None:
        line = b"Content-Encoding: " + coding.encode()
        async with behind(with_head(line)) as here:
            response = await here.chat("equirouter/auto")
            assert response.headers["x-equirouter-model"] == "b"
            assert here.record.attempts[0].outcome == "broken"

    asyncio.run(run())


@pytest.mark.parametrize("responses", [True, False])
def test_a_stream_that_is_too_long_ends_with_an_error(responses: bool) -> None:
    async def run() -> None:
        sections = {"upstream": {"responses": responses}, "limits": {"max_answer_bytes": 20_000}}
        async with running(**sections) as here:
            endless = [fake.event(fake.text_chunk("word "))] * 200
            here.upstream.answers("a-theirs", fake.stream([*endless, *fake.streamed()]))
            response = await here.chat("a", stream=True)
            sent = await response.read()
            assert len(sent) < 22_000
            assert b"more than 20000 bytes" in sent
            assert b"[DONE]" not in sent
            assert "more than 20000 bytes" in (here.record.error or "")
            kind, cost = here.admission.tickets[0].ended[0]
            assert kind == "settled"
            assert cost > 40_000  # what was said is paid for

    asyncio.run(run())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3", 3.0), ("-3", 0.0), ("1e300", 86_400.0), ("nan", None), ("inf", None), ("\x01", None)],
)
def test_a_wait_that_is_asked_for_is_finite_and_at_most_a_day(
    text: str, seconds: float | None
) -> None:
    assert retry_after({"retry-after": text}) == seconds
