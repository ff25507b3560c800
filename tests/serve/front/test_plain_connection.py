"""Bytes on a connection: what is plain is answered here, all else just as aiohttp's server does."""

import asyncio
import contextlib
from itertools import pairwise

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equirouter.serve.front import plain_connection
from equirouter.serve.front.asked import Answer, PlainReply, PlainRequest, open_stream
from equirouter.serve.front.plain_connection import MOST_BYTES
from tests.serve.front.fronts import LAST, LIMITS, PATH, Told, Wire, answers, next_answer, served


def request(
    *fields: str,
    body: bytes = b"{}",
    line: str = f"POST {PATH} HTTP/1.1",
    length: str | None = "",
    end: str = "\r\n",
) -> bytes:
    """A request. length: in place of the right one; None: none."""
    own = ["Host: x"]
    if length is not None:
        own.append(f"Content-Length: {length or len(body)}")
    lines = [line, *own, *fields]
    return "".join(f"{text}{end}" for text in [*lines, ""]).encode("latin-1") + body


PLAIN = {
    "the least": request(),
    "a body": request(body=b'{"model": "auto"}'),
    "an empty body": request(body=b"", length="0"),
    "many fields": request(*(f"X-Field-{n}: {n}" for n in range(60))),
    "names in capitals": request("X-ASKED: 1"),
    "blanks before a value": request("X-Asked: \t  1"),
    "no blank before a value": request("X-Asked:1"),
    "blanks in a value": request("X-Asked: a b\tc"),
    "colons in a value": request("X-Asked: http://a:1/"),
    "quotes": request('X-Asked: "a", b;q=0.5'),
    "signs in a name": request("X-!#$%&'*+.^_`|~: 1"),
    "a key": request("Authorization: Bearer eq-abc"),
    "keep-alive": request("Connection: keep-alive"),
    "keep-alive in capitals": request("Connection: Keep-Alive"),
    "zeros before the length": request(length="0002"),
    "a body like a request": request(body=request()),
    "bytes that are no text": request(body=bytes(range(256))),
    "the longest head": request("X-Long: " + "a" * (LIMITS.max_header_bytes - 150)),
}
CHUNKED = "Transfer-Encoding: chunked"
BEHIND = {
    "GET": b"GET /v1/chat/completions HTTP/1.1\r\nHost: x\r\n\r\n",
    "another path": request(line="POST /v1/other HTTP/1.1"),
    "a query": request(line=f"POST {PATH}?a=1 HTTP/1.1"),
    "an absolute address": request(line=f"POST http://x{PATH} HTTP/1.1"),
    "a path with an escape": request(line="POST /v1/chat%2Fcompletions HTTP/1.1"),
    "a slash at the end": request(line=f"POST {PATH}/ HTTP/1.1"),
    "a slash too many": request(line=f"POST /{PATH} HTTP/1.1"),
    "dots": request(line="POST /v1/../v1/chat/completions HTTP/1.1"),
    "HTTP/1.0": request(line=f"POST {PATH} HTTP/1.0"),
    "HTTP/1.0 that is kept": request("Connection: keep-alive", line=f"POST {PATH} HTTP/1.0"),
    "HTTP/2.0": request(line=f"POST {PATH} HTTP/2.0"),
    "HTTP/1.2": request(line=f"POST {PATH} HTTP/1.2"),
    "no version": request(line=f"POST {PATH}"),
    "two blanks in the line": request(line=f"POST  {PATH} HTTP/1.1"),
    "a tab in the line": request(line=f"POST\t{PATH} HTTP/1.1"),
    "small letters": request(line=f"post {PATH} HTTP/1.1"),
    "an unknown method": request(line=f"SHOUT {PATH} HTTP/1.1"),
    "an empty line before": b"\r\n" + request(),
    "bare line ends": request(end="\n"),
    "bare carriage returns": request(end="\r"),
    "a bare line end in one field": request("X-Asked: 1\nX-Other: 2"),
    "a bare return in a value": request("X-Asked: 1\r2"),
    "no host": request().replace(b"Host: x\r\n", b""),
    "two hosts": request("Host: y"),
    "two lengths": request("Content-Length: 2"),
    "two lengths that differ": request("Content-Length: 3"),
    "two lengths in one": request(length="2, 2"),
    "a length with a sign": request(length="+2"),
    "a length below zero": request(length="-2"),
    "a length in hexadecimal": request(length="0x2"),
    "a length with a blank": request(length="2 2"),
    "a length of no number": request(length="two"),
    "an endless length": request(length="9" * 30),
    "a longer body than may be": request(body=bytes(LIMITS.max_body_bytes + 1)),
    "no length": request(length=None, body=b""),
    "chunks": request(CHUNKED, length=None, body=b"2\r\n{}\r\n0\r\n\r\n"),
    "chunks and a length": request(CHUNKED, body=b"2\r\n{}\r\n0\r\n\r\n"),
    "chunks of no size": request(CHUNKED, length=None, body=b"x\r\n{}\r\n0\r\n\r\n"),
    "chunks with more behind": request(CHUNKED, length=None, body=b"2\r\n{}\r\n0\r\nA: 1\r\n\r\n"),
    "chunks, twice": request(CHUNKED, CHUNKED, length=None, body=b"2\r\n{}\r\n0\r\n\r\n"),
    "chunks of identity": request("Transfer-Encoding: identity", length=None, body=b""),
    "gzip and chunks": request("Transfer-Encoding: gzip, chunked", length=None, body=b"0\r\n\r\n"),
    "a compressed body": request("Content-Encoding: gzip"),
    "a wish to be told": request("Expect: 100-continue"),
    "an unknown wish": request("Expect: 200-ok"),
    "an end": request("Connection: close"),
    "a websocket": request("Connection: Upgrade", "Upgrade: websocket"),
    "a page": request("Origin: http://elsewhere"),
    "a field on two lines": request("X-Asked: 1\r\n 2"),
    "a field on two lines by a tab": request("X-Asked: 1\r\n\t2"),
    "a first field on two lines": request().replace(b"Host: x\r\n", b" Host: x\r\n"),
    "a blank before the colon": request("X-Asked : 1"),
    "a blank in a name": request("X Asked: 1"),
    "no name": request(": 1"),
    "no colon": request("X-Asked"),
    "no value": request("X-Asked:"),
    "a blank behind a value": request("X-Asked: 1 "),
    "a name that is no text": request("X-\xe4: 1"),
    "a value that is no text": request("X-Asked: \xe4"),
    "a zero byte in a value": request("X-Asked: a\0b"),
    "a control byte in a value": request("X-Asked: a\x01b"),
    "a field twice": request("X-Asked: 1", "X-Asked: 2"),
    "too many fields": request(*(f"X-Field-{n}: {n}" for n in range(140))),
    "a field that is too long": request("X-Asked: " + "a" * LIMITS.max_header_bytes),
    "no HTTP": b"\x16\x03\x01 hello\r\n\r\n",
    "a newer HTTP": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


async def _both(pieces: list[bytes]) -> tuple[tuple[list[Told], bool], tuple[list[Told], bool]]:
    """The answers of both servers."""
    async with served() as (port, _), served(is_plain=False) as (other, _):
        return await answers(port, pieces), await answers(other, pieces)


def _understood(told: tuple[list[Told], bool]) -> tuple[list[tuple[int, bytes]], bool]:
    return [(one.status, one.body) for one in told[0]], told[1]


@pytest.mark.parametrize("case", PLAIN)
def test_what_is_plain_is_answered_here_as_aiohttp_would(case: str) -> None:
    here, there = asyncio.run(_both([PLAIN[case], LAST]))
    assert not here[0][0].is_of_aiohttp
    assert here[0][0].status == 200
    assert here[0][1].is_of_aiohttp  # of LAST
    assert _understood(here) == _understood(there)


@pytest.mark.parametrize("case", BEHIND)
def test_what_is_not_plain_is_answered_by_aiohttp(case: str) -> None:
    here, there = asyncio.run(_both([BEHIND[case], LAST]))
    assert all(one.is_of_aiohttp for one in here[0] if one.status >= 200)
    assert _understood(here) == _understood(there)
    after_plain, _ = asyncio.run(_both([request() + BEHIND[case], LAST]))
    assert _understood(after_plain) == (
        [*_understood(asyncio.run(_both([request(), LAST]))[0])[0][:1], *_understood(here)[0]],
        here[1],
    )


@given(
    st.lists(st.sampled_from([*PLAIN.values(), *BEHIND.values()]), min_size=1, max_size=3),
    st.lists(st.integers(0, 1500), max_size=4),
    st.integers(0, 600),
    st.sampled_from([b"", b"\r", b"\n", b" ", b":", b"\0", b"POST", b"\xff"]),
    st.integers(0, 3),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_bytes_that_are_cut_damaged_and_piped_are_answered_as_by_aiohttp(
    requests: list[bytes], cuts: list[int], place: int, put: bytes, gone: int
) -> None:
    sent = b"".join(requests)
    damaged = sent[:place] + put + sent[place + gone :]
    edges = [0, *sorted(cut for cut in cuts if cut < len(damaged)), len(damaged)]
    pieces = [damaged[a:b] for a, b in pairwise(edges)]
    here, there = asyncio.run(_on_wires([*pieces, LAST]))
    ours, theirs = here.answers(), there.answers()
    assert any(_are_alike(ours, theirs, start) for start in range(len(theirs) + 1))
    assert here.is_closing() == there.is_closing()


def _are_alike(ours: list[Told], theirs: list[Told], start: int) -> bool:
    """Whether answers are those of aiohttp and, from a place on, some that it does not give.

    It answers nothing of what it read together with a fault.
    """
    end = start + len(ours) - len(theirs)
    are_plain = all((one.status, one.is_of_aiohttp) == (200, False) for one in ours[start:end])
    is_rest = _taken(ours[:start] + ours[end:]) == _taken(theirs)
    return end >= start and are_plain and is_rest


async def _on_wires(pieces: list[bytes]) -> tuple[Wire, Wire]:
    """The connections of both servers, after these pieces."""
    async with served() as (_, front), served(is_plain=False) as (_, alone):
        assert front.server is not None
        assert alone.server is not None
        wires = Wire(front.server), Wire(alone.server)
        for piece in pieces:
            for wire in wires:
                await wire.sends(piece)
        return wires


def _taken(told: list[Told]) -> list[tuple[int, bytes]]:
    """Statuses, and what was understood; how a fault is worded depends on the pieces."""
    return [(one.status, one.body if one.status == 200 else b"") for one in told]


def test_a_body_in_many_pieces_is_put_together() -> None:
    body = bytes(range(256)) * 100
    whole = request(body=body)
    pieces = [whole[n : n + 1000] for n in range(0, len(whole), 1000)]
    (first, *_), _ = asyncio.run(_both([*pieces, LAST]))[0]
    assert orjson.loads(first.body)["body"].encode("latin-1") == body


def test_each_request_has_its_own_fields_and_length() -> None:
    """Though a head that repeats is not read anew."""
    seen = []

    async def noted(request: PlainRequest) -> Answer:
        seen.append((request.headers["x-asked"], request.headers["content-length"], request.body))
        return PlainReply(b"", {})

    async def run() -> None:
        async with served(noted) as (port, _):
            sent = [request(f"X-Asked: {asked}", body=body) for asked, body in wanted]
            await answers(port, [*sent, LAST])

    wanted = [("1", b"a"), ("1", b"b" * 12), ("2", b"c" * 12), ("1", b"d"), ("12", b"e" * 112)]
    asyncio.run(run())
    assert seen == [(asked, str(len(body)), body) for asked, body in wanted]


def test_requests_that_are_piped_are_answered_one_after_the_other() -> None:
    running, most = 0, 0

    async def slow(request: PlainRequest) -> Answer:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return PlainReply(request.body, {})

    async def run() -> None:
        async with served(slow) as (port, _):
            sent = b"".join(request(body=b"%d" % n) for n in range(20))
            told, _ = await answers(port, [sent, LAST], most=21)
            assert [one.body for one in told[:20]] == [b"%d" % n for n in range(20)]

    asyncio.run(run())
    assert most == 1


def test_a_client_that_hangs_up_ends_the_work_on_its_answer() -> None:
    async def run() -> None:
        begun, ended = asyncio.Event(), asyncio.Event()

        async def forever(_: PlainRequest) -> Answer:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            raise AssertionError

        async with served(forever) as (port, _):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request())
            async with asyncio.timeout(5):
                await begun.wait()
                writer.close()
                await ended.wait()

    asyncio.run(run())


def test_a_stream_comes_in_chunks_and_the_connection_goes_on() -> None:
    async def counts(request: PlainRequest) -> Answer:
        stream = await open_stream(request, {"Content-Type": "text/event-stream"})
        for piece in (b"one ", b"two "):
            await stream.write(piece)
        await stream.write_eof(b"three")
        return stream

    async def run() -> None:
        async with served(counts) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(2):
                writer.write(request())
                head = await reader.readuntil(b"\r\n\r\n")
                assert b"\r\nTransfer-Encoding: chunked\r\n" in head
                body = await reader.readuntil(b"0\r\n\r\n")
                assert body == b"4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n"
            writer.close()

    asyncio.run(run())


def test_a_stream_that_breaks_off_has_no_end() -> None:
    async def breaks(request: PlainRequest) -> Answer:
        stream = await open_stream(request, {})
        await stream.write(b"one")
        return PlainReply(b"an error", {}, 500)

    async def run() -> None:
        async with served(breaks) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request())
            assert (await reader.read()).endswith(b"\r\n\r\n3\r\none\r\n")
            writer.close()

    asyncio.run(run())


def test_a_client_that_does_not_read_is_waited_for() -> None:
    async def run() -> None:
        written = 0

        async def much(request: PlainRequest) -> Answer:
            nonlocal written
            stream = await open_stream(request, {})
            for _ in range(1000):
                await stream.write(bytes(100_000))
                written += 100_000
            return stream

        async with served(much) as (port, _):
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1000)
            writer.write(request())
            before = -1
            while before != written or not written:
                before = written
                await asyncio.sleep(0.05)
            assert written < 50_000_000
            writer.close()

    asyncio.run(run())


def test_a_header_with_a_line_break_is_never_sent() -> None:
    async def wrong(_: PlainRequest) -> Answer:
        return PlainReply(b"", {"X-Model": "a\r\nX-Other: b"})

    async def run() -> None:
        async with served(wrong) as (port, _):
            assert await answers(port, [request()]) == ([], True)

    asyncio.run(run())


def test_no_request_is_taken_while_the_server_drains() -> None:
    async def run() -> None:
        draining = False

        async with served(is_draining=lambda: draining) as (port, _):
            assert not (await answers(port, [request(), LAST]))[1]
            draining = True
            told, is_closed = await answers(port, [request() + request()])
            assert ([one.status for one in told], is_closed) == ([200], True)

    asyncio.run(run())


def test_a_server_that_ends_closes_what_is_idle_and_cuts_what_runs() -> None:
    async def run() -> None:
        begun = asyncio.Event()

        async def forever(_: PlainRequest) -> Answer:
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError

        async with served(forever) as (port, runner):
            idle, idle_writer = await asyncio.open_connection("127.0.0.1", port)
            busy, busy_writer = await asyncio.open_connection("127.0.0.1", port)
            half, half_writer = await asyncio.open_connection("127.0.0.1", port)
            busy_writer.write(request())
            half_writer.write(request()[:-1])
            await begun.wait()
            async with asyncio.timeout(5):
                await runner.cleanup()
                assert await idle.read() == await busy.read() == await half.read() == b""
            for writer in (idle_writer, busy_writer, half_writer):
                writer.close()

    asyncio.run(run())


def test_what_a_new_connection_asks_while_the_server_ends_is_answered() -> None:
    async def run() -> None:
        async with served() as (port, runner):
            new, new_writer = await asyncio.open_connection("127.0.0.1", port)
            used, used_writer = await asyncio.open_connection("127.0.0.1", port)
            used_writer.write(request())
            assert await next_answer(used) is not None
            assert runner.server is not None
            runner.server.pre_shutdown()
            async with asyncio.timeout(5):
                assert await used.read() == b""
                new_writer.write(request())
                assert b" 200 " in await new.readline()
                assert b"\r\nConnection: close\r\n" in await new.read()
            for writer in (new_writer, used_writer):
                writer.close()

    asyncio.run(run())


def test_an_idle_connection_is_closed_and_a_slow_body_is_aiohttps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> None:
        monkeypatch.setattr(plain_connection, "LOOK_SECONDS", 0.01)
        async with served() as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            whole = request(body=b"a slow body")
            writer.write(whole[:-3])
            await asyncio.sleep(0.1)
            writer.write(whole[-3:])
            told = await next_answer(reader)
            assert told is not None
            assert (told.status, told.is_of_aiohttp) == (200, True)
            assert orjson.loads(told.body)["body"] == "a slow body"
            writer.close()
        monkeypatch.setattr(plain_connection, "IDLE_SECONDS", 0.05)
        async with served() as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            async with asyncio.timeout(5):
                assert await reader.read() == b""
            writer.close()

    asyncio.run(run())


def test_what_is_sent_while_an_answer_is_made_is_not_held_without_end() -> None:
    async def run() -> None:
        gone = asyncio.Event()

        async def waits(_: PlainRequest) -> Answer:
            await gone.wait()
            return PlainReply(b"", {})

        async with served(waits) as (port, _):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request())
            with contextlib.suppress(TimeoutError):
                for _ in range(60):
                    writer.write(bytes(MOST_BYTES))
                    async with asyncio.timeout(0.3):
                        await writer.drain()
            assert writer.transport.get_write_buffer_size() > 0  # it is the sender that waits
            gone.set()
            writer.transport.abort()

    asyncio.run(run())
