"""Bytes that a provider may send, over a socket: what is an answer, and what is none."""

import asyncio

import pytest

from equirouter.errors import UpstreamError
from tests.serve.call.client.providers import asked, calling, sending

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def head(*lines: bytes, status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([status, *lines, b"", b""])


def hello(*lines: bytes) -> bytes:
    return head(*lines, b"Content-Length: 5") + b"hello"


WHOLE = {
    "a length": HELLO,
    "names in any case": b"HTTP/1.1 200 OK\r\ncOnTeNt-LeNgTh: 5\r\n\r\nhello",
    "no space behind a colon": b"HTTP/1.1 200 OK\r\nContent-Length:5\r\n\r\nhello",
    "spaces and tabs around a value": head(b"Content-Length:\t 5 \t") + b"hello",
    "no reason": head(b"Content-Length: 5", status=b"HTTP/1.1 200") + b"hello",
    "an empty reason": head(b"Content-Length: 5", status=b"HTTP/1.1 200 ") + b"hello",
    "an odd reason": head(b"Content-Length: 5", status=b"HTTP/1.1 200 \x01\xff") + b"hello",
    "a length with zeros before it": head(b"Content-Length: 0005") + b"hello",
    "an empty value": hello(b"X-Any:"),
    "a control character": hello(b"X-Any: a\x01b"),
    "bytes that are not UTF-8": hello(b"X-Any: \xff\xfe"),
    "a colon in a value": hello(b"X-Any: a:b: c"),
    "a header twice": hello(b"X-Any: 1", b"x-any: 2"),
    "250 headers": hello(*(b"X-%d: y" % number for number in range(250))),
    "a head of 60 KB": hello(b"X-Any: " + b"y" * 60_000),
    "one chunk": CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
    "a chunk per letter": CHUNKED
    + b"".join(b"1\r\n%c\r\n" % byte for byte in b"hello")
    + b"0\r\n\r\n",
    "a size with zeros before it": CHUNKED + b"00005\r\nhello\r\n000\r\n\r\n",
    "an extension of a chunk": CHUNKED + b'5;a="b c"\r\nhello\r\n0;end\r\n\r\n',
    "spaces behind a size": CHUNKED + b"5 \t\r\nhello\r\n0\r\n\r\n",
    "trailers": CHUNKED + b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-More: \r\n\r\n",
    "chunks in capitals": head(b"TRANSFER-ENCODING: Chunked") + b"5\r\nhello\r\n0\r\n\r\n",
    "status 100 before it": head(status=b"HTTP/1.1 100 Continue") + HELLO,
    "status 103 before it": head(b"Link: </a>", status=b"HTTP/1.1 103 Early Hints") + HELLO,
    "both before it": head(status=b"HTTP/1.1 100") + head(status=b"HTTP/1.1 103") + HELLO,
    "a length that goes with status 100": head(b"Content-Length: 9", status=b"HTTP/1.1 100")
    + HELLO,
    "HTTP/1.0 with a length": head(b"Content-Length: 5", status=b"HTTP/1.0 200 OK") + b"hello",
    "HTTP/1.0 in chunks": head(b"Transfer-Encoding: chunked", status=b"HTTP/1.0 200 OK")
    + b"5\r\nhello\r\n0\r\n\r\n",
    "Connection: close": hello(b"Connection: close"),
    "bytes behind its end": HELLO + b"HTTP/1.1 200 OK\r\n",
}
TO_THE_END = {
    "HTTP/1.1 to the end of the connection": head() + b"hello",
    "HTTP/1.0 to the end of the connection": head(status=b"HTTP/1.0 200 OK") + b"hello",
    "though it is to be kept": head(b"Connection: keep-alive") + b"hello",
}
WITHOUT_A_BODY = {
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
    "204 with a length": (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204),
    "204 with a body all the same": (b"HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\nhello", 204),
    "304 with the length that it would have": (b"HTTP/1.1 304 X\r\nContent-Length: 7\r\n\r\n", 304),
    "a length of 0": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200),
    "an empty body in chunks": (CHUNKED + b"0\r\n\r\n", 200),
    "a status nobody knows": (b"HTTP/1.1 799 What\r\nContent-Length: 0\r\n\r\n", 799),
}
NO_ANSWER = {
    "two lengths": head(b"Content-Length: 5", b"Content-Length: 6") + b"hello!",
    "one length twice": head(b"Content-Length: 5", b"Content-Length: 5") + b"hello",
    "a list of lengths": head(b"Content-Length: 5, 5") + b"hello",
    "a negative length": head(b"Content-Length: -5") + b"hello",
    "a length with a sign": head(b"Content-Length: +5") + b"hello",
    "a hexadecimal length": head(b"Content-Length: 0x5") + b"hello",
    "a fraction of a length": head(b"Content-Length: 5.0") + b"hello",
    "a length of nothing": head(b"Content-Length:") + b"hello",
    "a length in other digits": head("Content-Length: ٥".encode()) + b"hello",
    "a length without bounds": head(b"Content-Length: " + b"9" * 20) + b"hello",
    "a length and chunks": hello(b"Transfer-Encoding: chunked"),
    "chunks and a length": head(b"Transfer-Encoding: chunked", b"Content-Length: 15")
    + b"5\r\nhello\r\n0\r\n\r\n",
    "another transfer coding": head(b"Transfer-Encoding: gzip, chunked") + b"5\r\nhello\r\n",
    "no transfer coding": head(b"Transfer-Encoding: identity") + b"hello",
    "chunks in chunks": head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "a coding that only looks like chunks": head(b"Transfer-Encoding: \x0bchunked") + b"0\r\n\r\n",
    "a folded header": hello(b"X-Any: a", b" b"),
    "a header folded with a tab": hello(b"X-Any: a", b"\tContent-Length: 6"),
    "a bare line feed in a head": b"HTTP/1.1 200 OK\r\nX: y\nContent-Length: 5\r\n\r\nhello",
    "a bare carriage return": hello(b"X-Any: a\rContent-Length: 6"),
    "a zero byte": hello(b"X-Any: a\0b"),
    "a zero byte in the reason": head(status=b"HTTP/1.1 200 \0") + b"hello",
    "a space before a colon": head(b"Content-Length : 5") + b"hello",
    "a space before a name": head(b" Content-Length: 5") + b"hello",
    "no name": hello(b": x"),
    "a name of two words": hello(b"X Any: x"),
    "a line without a colon": hello(b"X-Any"),
    "HTTP/2": head(b"Content-Length: 5", status=b"HTTP/2 200 OK") + b"hello",
    "a status of two digits": head(status=b"HTTP/1.1 20 OK"),
    "a status of four digits": head(status=b"HTTP/1.1 2000 OK"),
    "a status that begins with 0": head(status=b"HTTP/1.1 020 OK"),
    "a status in words": head(status=b"HTTP/1.1 OK"),
    "no space before the status": head(status=b"HTTP/1.1200 OK"),
    "an empty line before it": b"\r\n" + HELLO,
    "another protocol": b"220 mail.example ESMTP\r\n\r\n",
    "another protocol without an end": b"SSH-2.0-OpenSSH_9\r\n",
    "a switch of protocols": head(b"Upgrade: websocket", status=b"HTTP/1.1 101 Switching"),
    "300 headers": hello(*(b"X-%d: y" % number for number in range(300))),
    "a head without an end": b"HTTP/1.1 200 OK\r\nX-Any: " + b"y" * 70_000,
    "status 100 without an end": head(b"X-Any: " + b"y" * 900, status=b"HTTP/1.1 100") * 80,
    "a size that is no number": CHUNKED + b"hello\r\n",
    "a negative size": CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
    "a size with 0x": CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    "an empty size": CHUNKED + b"\r\nhello\r\n0\r\n\r\n",
    "a size without bounds": CHUNKED + b"f" * 17 + b"\r\n",
    "a space before a size": CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n",
    "a bare line feed behind a size": CHUNKED + b"5\nhello\r\n0\r\n\r\n",
    "nothing between two chunks": CHUNKED + b"5\r\nhello0\r\n\r\n",
    "a bare line feed between two chunks": CHUNKED + b"5\r\nhello\n0\r\n\r\n",
    "a chunk that is longer than its size": CHUNKED + b"4\r\nhello\r\n0\r\n\r\n",
    "an extension without an end": CHUNKED + b"5;" + b"a" * 2000,
    "a zero byte in an extension": CHUNKED + b"5;a\0\r\nhello\r\n0\r\n\r\n",
    "a folded trailer": CHUNKED + b"0\r\nX: a\r\n b\r\n\r\n",
    "a trailer without a colon": CHUNKED + b"0\r\nhello\r\n\r\n",
    "trailers without an end": CHUNKED + b"0\r\n" + b"X: y\r\n" * 4000,
}
CUT = {
    "before a byte": b"",
    "in a status": b"HTTP/1.1 20",
    "in a head": b"HTTP/1.1 200 OK\r\nContent-",
    "before the end of a head": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
    "behind status 100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "before a body": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    "in a body": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
    "before a chunk": CHUNKED,
    "in a size": CHUNKED + b"5",
    "in a chunk": CHUNKED + b"5\r\nhel",
    "behind a chunk": CHUNKED + b"5\r\nhello\r\n",
    "behind the last size": CHUNKED + b"5\r\nhello\r\n0\r\n",
    "in a trailer": CHUNKED + b"5\r\nhello\r\n0\r\nX: y\r\n",
}


@pytest.mark.parametrize("raw", WHOLE.values(), ids=WHOLE)
def test_an_answer_is_read_though_the_connection_stays_open(raw: bytes) -> None:
    async def run() -> None:
        async with calling(sending(raw), total_seconds=60) as upstream:
            assert await asked(upstream) == (200, b"hello")

    asyncio.run(run())


@pytest.mark.parametrize("raw", TO_THE_END.values(), ids=TO_THE_END)
def test_an_answer_without_a_length_ends_with_its_connection(raw: bytes) -> None:
    async def run() -> None:
        async with calling(sending(raw, ends=True)) as upstream:
            assert await asked(upstream) == (200, b"hello")

    asyncio.run(run())


@pytest.mark.parametrize(("raw", "status"), WITHOUT_A_BODY.values(), ids=WITHOUT_A_BODY)
def test_an_answer_without_a_body_ends_with_its_head(raw: bytes, status: int) -> None:
    async def run() -> None:
        async with calling(sending(raw), total_seconds=60) as upstream:
            assert await asked(upstream) == (status, b"")

    asyncio.run(run())


@pytest.mark.parametrize("raw", NO_ANSWER.values(), ids=NO_ANSWER)
def test_what_can_be_read_in_two_ways_is_no_answer(raw: bytes) -> None:
    """It is refused at once: the provider keeps the connection open."""

    async def run() -> None:
        async with calling(sending(raw), total_seconds=60) as upstream:
            with pytest.raises(UpstreamError) as failed:
                await asked(upstream)
            assert (failed.value.outcome, failed.value.may_cost) == ("broken", True)

    asyncio.run(run())


@pytest.mark.parametrize("raw", CUT.values(), ids=CUT)
def test_an_answer_that_is_cut_is_none(raw: bytes) -> None:
    async def run() -> None:
        async with calling(sending(raw, ends=True)) as upstream:
            with pytest.raises(UpstreamError, match="the connection ended") as failed:
                await asked(upstream)
            assert (failed.value.outcome, failed.value.may_cost) == ("broken", True)

    asyncio.run(run())


def test_headers_are_read_in_lower_case_and_what_comes_twice_is_joined() -> None:
    raw = hello(b"X-Any:  1 ", b"Content-Type: text/plain", b"x-aNY: 2")

    async def run() -> None:
        async with calling(sending(raw)) as upstream:
            answer = await upstream.post("/chat/completions", b"{}")
            assert answer.headers == {
                "x-any": "1, 2",
                "content-type": "text/plain",
                "content-length": "5",
            }

    asyncio.run(run())


def test_an_answer_to_head_has_no_body_whatever_its_length_says() -> None:
    async def run() -> None:
        raw = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
        async with calling(sending(raw, HELLO), total_seconds=60) as upstream:
            answer = await upstream.send("HEAD", "/files/a", b"", {})
            assert (answer.status, await answer.read(100)) == (200, b"")
            assert await asked(upstream) == (200, b"hello")  # over the same connection

    asyncio.run(run())
