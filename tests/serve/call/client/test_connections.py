"""Which connection a call goes over, and what ends it: over sockets of 127.0.0.1."""

import asyncio
import errno
import resource
import select
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from equirouter.errors import UpstreamError
from equirouter.serve.call.client.pool import HttpClient
from equirouter.serve.call.upstream import HttpUpstream
from tests.serve.call.client.providers import (
    OK,
    Handler,
    asked,
    calling,
    provider,
    request,
    sending,
    upstream_of,
)

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Counted:
    """A handler that counts its connections and requests. ended: set when the client hangs up."""

    def __init__(self, *answers: bytes) -> None:
        self.connections = 0
        self.requests: list[tuple[bytes, bytes]] = []
        self.ended = asyncio.Event()
        self._answers = list(answers)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer each request with the next answer; "" is the end of the connection."""
        self.connections += 1
        self._writer = writer
        try:
            while True:
                self.requests.append(await request(reader))
                answer = self._answers.pop(0)
                if not answer:
                    return
                writer.write(answer)
        finally:
            self.ended.set()

    def write(self, more: bytes) -> None:
        """Over the latest connection."""
        self._writer.write(more)

    def cut(self) -> None:
        """End the latest connection."""
        self._writer.close()


def run_with(handler: Handler, check: Callable[[HttpUpstream], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(20), calling(handler, total_seconds=15) as upstream:
            await check(upstream)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        (OK, 1),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n", 1),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: Keep-Alive\r\n\r\nok", 1),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x, CLOSE\r\n\r\nok", 2),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 2),
        (OK + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", 2),
        (OK + b"\r\n", 2),
    ],
)
def test_a_connection_is_kept_where_both_sides_are_at_the_end(
    answer: bytes, connections: int
) -> None:
    handler = Counted(answer, OK)

    async def check(upstream: HttpUpstream) -> None:
        assert await asked(upstream) == (200, b"ok")
        assert await asked(upstream) == (200, b"ok")
        assert handler.connections == connections

    run_with(handler, check)


def test_calls_at_once_have_connections_of_their_own_which_are_kept() -> None:
    handler = Counted(*[OK] * 20)

    async def check(upstream: HttpUpstream) -> None:
        for _ in range(2):
            await asyncio.gather(*(asked(upstream) for _ in range(10)))
        assert handler.connections == 10

    run_with(handler, check)


def test_what_comes_unasked_ends_a_kept_connection() -> None:
    """An answer to nobody must not become that of the next request."""
    sent = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(OK)
        await more.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad")
        await reader.read()
        sent.set()

    async def check(upstream: HttpUpstream) -> None:
        assert await asked(upstream) == (200, b"ok")
        more.set()
        await sent.wait()  # the client has hung up
        assert await asked(upstream) == (200, b"ok")

    more = asyncio.Event()
    run_with(handler, check)


def test_a_connection_that_the_provider_has_closed_is_not_used() -> None:
    """Even before the loop has heard of it: a POST on it would be lost, and is not sent twice."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(2):
            peer, _ = listener.accept()
            peer.recv(65536)
            peer.sendall(OK)
            go_on.wait()
            peer.close()
            closed.set()

    go_on, closed = threading.Event(), threading.Event()
    thread = threading.Thread(target=serve)
    thread.start()

    async def run() -> None:
        async with HttpClient() as client:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
            upstream = upstream_of(client, url, total_seconds=15)
            assert await asked(upstream) == (200, b"ok")
            go_on.set()
            closed.wait()  # the loop stands still meanwhile
            assert await asked(upstream) == (200, b"ok")

    with listener:
        asyncio.run(run())
        thread.join()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_what_may_be_sent_twice_is_where_a_kept_connection_just_ended(method: str) -> None:
    handler = Counted(OK, b"", OK)

    async def check(upstream: HttpUpstream) -> None:
        await asked(upstream)
        answer = await upstream.send(method, "/files/a", b"", {})
        assert answer.status == 200
        answer.close()
        assert (len(handler.requests), handler.connections) == (3, 2)

    run_with(handler, check)


@pytest.mark.parametrize(
    ("method", "answers", "calls"),
    [
        ("POST", [OK, b""], 2),  # the provider may have begun
        ("GET", [OK, b"HTTP/1.1 200 OK\r\nConte", b""], 2),  # it has answered, if only a little
        ("GET", [b""], 1),  # it was a new connection
    ],
)
def test_nothing_else_is_sent_twice(method: str, answers: list[bytes], calls: int) -> None:
    handler = Counted(*answers)

    async def broken(upstream: HttpUpstream) -> UpstreamError:
        with pytest.raises(UpstreamError) as failed:
            await upstream.send(method, "/files", b"{}", {})
        return failed.value

    async def check(upstream: HttpUpstream) -> None:
        if calls == 2:
            await asked(upstream)
        asking = asyncio.ensure_future(broken(upstream))
        if len(answers) == 3:
            while len(handler.requests) < 2:
                await asyncio.sleep(0)
            handler.cut()
        error = await asking
        assert (error.outcome, error.may_cost) == ("broken", True)
        assert len(handler.requests) == calls

    run_with(handler, check)


def test_an_answer_that_comes_before_all_was_sent_is_read_and_the_connection_is_cut() -> None:
    ended = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nlong")
        await asyncio.sleep(0)
        while await reader.read(1 << 20):
            pass
        ended.set()

    async def check(upstream: HttpUpstream) -> None:
        assert await asked(upstream, bytes(50_000_000)) == (413, b"long")
        await ended.wait()

    run_with(handler, check)


def test_a_long_request_arrives_as_it_was_sent() -> None:
    handler = Counted(OK)
    body = bytes(range(256)) * 20_000

    async def check(upstream: HttpUpstream) -> None:
        assert await asked(upstream, body) == (200, b"ok")
        assert handler.requests[0][1] == body

    run_with(handler, check)


def test_a_provider_waits_while_nobody_reads_what_it_sends() -> None:
    size = 0
    is_full = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal size
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 64000000\r\n\r\n")
        while size < 64_000_000:
            writer.write(bytes(1_000_000))
            size += 1_000_000
            draining = asyncio.ensure_future(writer.drain())
            if not (await asyncio.wait([draining], timeout=0.3))[0]:
                is_full.set()
            await draining
        await reader.read()

    async def check(upstream: HttpUpstream) -> None:
        answer = await upstream.post("/chat/completions", b"{}")
        await is_full.wait()
        assert size < 32_000_000  # what the sockets of both sides hold, and no more
        assert len(await answer.read(100_000_000)) == 64_000_000

    run_with(handler, check)


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nX-", STREAM, STREAM + b"5\r\nhel"])
def test_a_call_that_is_given_up_cuts_its_connection(begun: bytes) -> None:
    handler = Counted(begun or b"HTTP/1.1 100 Continue\r\n\r\n")

    async def call(upstream: HttpUpstream) -> None:
        answer = await upstream.post("/chat/completions", b"{}")
        try:
            while await answer.chunk():
                pass
        finally:
            answer.close()

    async def check(upstream: HttpUpstream) -> None:
        calling = asyncio.ensure_future(call(upstream))
        while not handler.requests:
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await handler.ended.wait()

    run_with(handler, check)


def test_closing_an_answer_after_its_end_leaves_the_connection_to_the_next_call() -> None:
    handler = Counted(OK, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", OK)

    async def check(upstream: HttpUpstream) -> None:
        first = await upstream.post("/chat/completions", b"{}")
        assert await first.read(10) == b"ok"
        second = await upstream.post("/chat/completions", b"{}")
        assert await second.chunk() == b"hel"
        first.close()
        handler.write(b"lo")
        assert await second.chunk() == b"lo"
        assert handler.connections == 1

    run_with(handler, check)


def test_what_came_before_a_stream_broke_is_read_first() -> None:
    async def check(upstream: HttpUpstream) -> None:
        answer = await upstream.post("/chat/completions", b"{}")
        assert await answer.chunk() == b"hello"
        with pytest.raises(UpstreamError, match="in the middle"):
            await answer.chunk()

    run_with(sending(STREAM + b"5\r\nhello\r\n", ends=True), check)


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: "])
def test_a_head_that_does_not_come_in_time_is_a_timeout(begun: bytes) -> None:
    async def run() -> None:
        async with calling(sending(begun), total_seconds=0.05) as upstream:
            with pytest.raises(UpstreamError) as failed:
                await asked(upstream)
            assert (failed.value.outcome, failed.value.may_cost) == ("timeout", True)

    asyncio.run(run())


def test_a_body_that_does_not_end_in_time_is_a_timeout_behind_what_came() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(STREAM + b"2\r\nok\r\n")
        while not reader.at_eof():
            writer.write(b"1\r\n.\r\n")
            await writer.drain()
            await asyncio.sleep(0.005)

    async def run() -> None:
        async with calling(drip, total_seconds=0.1) as upstream:
            answer = await upstream.post("/chat/completions", b"{}")
            assert (await answer.chunk()).startswith(b"ok")
            with pytest.raises(UpstreamError) as failed:
                await answer.read(1_000_000)
            assert failed.value.outcome == "timeout"

    asyncio.run(run())


def test_the_earliest_of_many_ends_is_kept_to() -> None:
    """One timer serves all calls, whatever order their ends have."""

    async def timed(client: HttpClient, url: str, seconds: float) -> float:
        clock = asyncio.get_running_loop().time
        began = clock()
        with pytest.raises(UpstreamError):
            await asked(upstream_of(client, url, total_seconds=seconds))
        return clock() - began

    async def run() -> None:
        async with provider(sending(b"")) as url, HttpClient() as client:
            limits = [0.3, 0.1, 0.2, 0.05, 0.25]
            took = await asyncio.gather(*(timed(client, url, limit) for limit in limits))
        for limit, seconds in zip(limits, took, strict=True):
            assert limit - 0.01 <= seconds < limit + 0.2

    asyncio.run(run())


def test_a_kept_connection_is_closed_after_half_a_minute() -> None:
    handler = Counted(OK)

    async def run() -> None:
        loop, passed = asyncio.get_running_loop(), 0.0
        clock = loop.time
        loop.time = lambda: clock() + passed  # type: ignore[method-assign]
        async with calling(handler) as upstream:
            await asked(upstream)
            passed = 29.0
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not handler.ended.is_set()
            passed = 31.0
            await asyncio.wait_for(handler.ended.wait(), 10)

    with asyncio.Runner() as runner:  # uvloop's clock cannot be set
        runner.run(run())


def test_a_client_that_is_closed_ends_its_calls() -> None:
    async def run() -> None:
        async with provider(sending(b"")) as url:
            async with HttpClient() as client:
                asking = asyncio.ensure_future(asked(upstream_of(client, url)))
                await asyncio.sleep(0.05)
            with pytest.raises(UpstreamError, match="the gateway stops"):
                await asking

    asyncio.run(run())


def test_a_provider_that_speaks_first_is_no_http_server() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9\r\n")
        await reader.read()

    async def check(upstream: HttpUpstream) -> None:
        for _ in range(3):
            with pytest.raises(UpstreamError) as failed:
                await asked(upstream)
            # it depends on who is first
            assert failed.value.outcome in ("connect", "broken")

    run_with(handler, check)


def test_nobody_there_is_not_connected_to_and_costs_nothing() -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        async with HttpClient() as client:
            with pytest.raises(UpstreamError, match=f"no connection to 127.0.0.1:{port}") as failed:
                await asked(upstream_of(client, f"http://127.0.0.1:{port}/v1"))
        assert (failed.value.outcome, failed.value.may_cost) == ("connect", False)

    asyncio.run(run())


@contextmanager
def deaf() -> Iterator[int]:
    """A port of 127.0.0.1 that takes no further connection, and refuses none."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = []
        for _ in range(8):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(address)
            waiting.append(one)
        _, accepted, _ = select.select([], waiting, [], 0.2)
        assert len(accepted) < len(waiting)
        yield address[1]
        for one in waiting:
            one.close()


def test_a_name_that_cannot_be_is_not_connected_to() -> None:
    async def run() -> None:
        async with HttpClient() as client:
            with pytest.raises(UpstreamError, match=r"no connection to a\.\.b:80") as failed:
                await asked(upstream_of(client, "http://a..b/v1"))
        assert failed.value.outcome == "connect"

    asyncio.run(run())


def test_a_connection_that_takes_too_long_is_a_failure_to_connect() -> None:
    async def run() -> None:
        with deaf() as port:
            async with HttpClient() as client:
                url = f"http://127.0.0.1:{port}/v1"
                with pytest.raises(UpstreamError, match=r"within 0\.05 s") as failed:
                    await asked(upstream_of(client, url, connect_seconds=0.05))
        assert (failed.value.outcome, failed.value.may_cost) == ("connect", False)

    asyncio.run(run())


def test_the_next_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """One refuses, one does not answer, one is right."""

    async def run() -> None:
        async with provider(sending(OK)) as url, HttpClient() as client:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                refusing = listener.getsockname()[1]
            with deaf() as port:
                ports = [refusing, port, int(url.split(":")[2].split("/")[0])]
                found = [
                    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", one)) for one in ports
                ]

                async def addresses(*asked_for: Any, **_: Any) -> Any:
                    assert asked_for == ("provider.test", 80)
                    return found

                monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", addresses)
                upstream = upstream_of(client, "http://provider.test/v1", connect_seconds=10)
                assert await asked(upstream) == (200, b"ok")

    with asyncio.Runner() as runner:  # nor can the names that uvloop knows
        runner.run(run())


def test_no_file_handle_left_is_no_fault_of_the_provider() -> None:
    async def run() -> None:
        async with calling(Counted(OK)) as upstream:
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            probe = socket.socket()
            resource.setrlimit(resource.RLIMIT_NOFILE, (probe.fileno(), limits[1]))
            try:
                with pytest.raises(UpstreamError, match="ulimit -n") as failed:
                    await asked(upstream)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
                probe.close()
        assert (failed.value.outcome, failed.value.retry_seconds) == ("refused", 1.0)
        assert isinstance(failed.value.__cause__, OSError)
        assert failed.value.__cause__.errno == errno.EMFILE

    asyncio.run(run())


def test_a_line_break_in_a_header_is_not_sent() -> None:
    handler = Counted(OK)

    async def check(upstream: HttpUpstream) -> None:
        for value in ("a\r\nx-more: b", "a\nb", "a\0b"):
            with pytest.raises(UpstreamError, match="'x-trace'"):
                await upstream.post("/chat/completions", b"{}", {"x-trace": value})
        assert handler.requests == []

    run_with(handler, check)


def test_a_request_has_its_headers_once_and_a_target_that_cannot_end_it() -> None:
    handler = Counted(OK, OK)

    async def run() -> None:
        async with provider(handler) as url, HttpClient() as client:
            upstream = upstream_of(
                client, url, headers={"X-Team": "größe", "User-Agent": "own"}, query={"v": "1 2"}
            )
            await upstream.send("GET", "/files?after=a b\r\nx&n=%2F", b"", {"x-trace": "t"})
            await asked(upstream, b"{}")
            host = url.split("/")[2].encode()
            first, second = (head.split(b"\r\n") for head, _ in handler.requests)
            common = [b"host: " + host, b"accept-encoding: identity"]
            common += [b"content-type: application/json", b"user-agent: own"]
            assert first[0] == b"GET /v1/files?after=a%20b%0D%0Ax&n=%2F&v=1+2 HTTP/1.1"
            assert first[1:] == [*common, b"x-trace: t", "x-team: größe".encode(), b"", b""]
            assert second[0] == b"POST /v1/chat/completions?v=1+2 HTTP/1.1"
            team = "x-team: größe".encode()
            assert second[1:] == [*common, team, b"Content-Length: 2", b"", b""]

    asyncio.run(run())
