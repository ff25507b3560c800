"""`equirouter serve` as processes: start, stop, workers, and who is let in."""

import asyncio
import gzip
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from equirouter.serve.money.api_keys import create_key
from equirouter.serve.money.store.migrate import migrate
from equirouter.serve.money.store.store import connected
from equirouter.serve.settings_file import read_settings
from tests.serve import fake_upstream as fake

BODY = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def config(folder: Path, url: str, **server: Any) -> Path:
    """A gateway.toml in a folder."""
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in server.items())
    path = folder / "gateway.toml"
    path.write_text(
        f"""
[server]
port = 0
{lines}
[store]
url = "sqlite:///{folder / "gateway.db"}"
[upstreams.u]
base_url = "{url}"
[models.m]
upstream = "u"
price = {{ input = 1, output = 2 }}
"""
    )
    return path


async def key_of(path: Path, **limits: Any) -> str:
    """A new key of the gateway with these settings."""
    async with connected(read_settings(path).store) as database:
        await migrate(database)
        return (await database.write(create_key, "k", **limits))[0]


class Served:
    """A running gateway's process. url: where it answers. said: lines of its stderr."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.url = ""
        self.said: list[str] = []

    async def line(self, part: str) -> str:
        """The next line on stderr that has a part."""
        assert self.process.stderr is not None
        async with asyncio.timeout(60):
            while line := (await self.process.stderr.readline()).decode():
                self.said.append(line)
                if part in line:
                    return line
        raise AssertionError(f"no {part!r} in {self.said}")

    async def ended(self) -> int:
        """Its exit code, when it has ended."""
        assert self.process.stderr is not None
        async with asyncio.timeout(60):
            self.said += (await self.process.stderr.read()).decode().splitlines()
            return await self.process.wait()

    def children(self) -> list[int]:
        """The ids of its workers."""
        pid = self.process.pid
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(one) for one in found.split()]


async def started(path: Path, *options: str) -> asyncio.subprocess.Process:
    """The gateway's process, which does not serve yet."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", "-m", "equirouter", "serve", str(path), *options),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")},
    )


@asynccontextmanager
async def serving(path: Path, *options: str) -> AsyncIterator[Served]:
    """The gateway as a process, until it is told to stop."""
    process = await started(path, *options)
    served = Served(process)
    try:
        line = await served.line("serving on ")
        served.url = line.split("serving on ")[1].split()[0]
        yield served
    finally:
        if process.returncode is None:
            process.terminate()
            await served.ended()


async def ask(url: str, **changes: Any) -> int:
    """The status of a request on a connection of its own."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        http.post(f"{url}/v1/chat/completions", json={**BODY, **changes}) as response,
    ):
        await response.read()
        return response.status


def test_running_requests_are_finished_on_sigterm(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            fake.fake_upstream() as upstream,
            serving(config(tmp_path, upstream.url)) as served,
        ):
            go = asyncio.Event()
            upstream.answers("m", fake.silent(go))
            running = asyncio.ensure_future(ask(served.url))
            while not upstream.seen:
                await asyncio.sleep(0.001)
            served.process.terminate()
            await served.line("stopping")
            with pytest.raises(aiohttp.ClientConnectorError):
                await ask(served.url)
            go.set()
            assert await running == 200
            assert await served.ended() == 0

    asyncio.run(run())


def test_requests_that_take_too_long_are_cut_off_at_the_end(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            fake.fake_upstream() as upstream,
            serving(config(tmp_path, upstream.url, shutdown_seconds=0.05)) as served,
        ):
            upstream.answers("m", fake.silent())
            running = asyncio.ensure_future(ask(served.url))
            while not upstream.seen:
                await asyncio.sleep(0.001)
            served.process.send_signal(signal.SIGINT)
            with pytest.raises(aiohttp.ClientError):
                await running
            assert await served.ended() == 0

    asyncio.run(run())


def test_workers_share_the_port_and_one_that_dies_is_replaced(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            fake.fake_upstream() as upstream,
            serving(config(tmp_path, upstream.url, workers=2)) as served,
        ):
            before = served.children()
            assert len(before) == 2
            assert {await ask(served.url) for _ in range(20)} == {200}
            os.kill(before[0], signal.SIGKILL)
            await served.line("another takes its place")
            while len(served.children()) < 2 or before[0] in served.children():
                await asyncio.sleep(0.001)
            assert before[1] in served.children()
            served.process.terminate()
            assert await served.ended() == 0
            with pytest.raises(ProcessLookupError):
                os.kill(before[1], 0)

    asyncio.run(run())


def test_a_worker_hears_every_signal_that_a_process_of_its_own_would(tmp_path: Path) -> None:
    """Retraining and scoring wait for SIGCHLD, which the parent blocks for itself."""

    async def run() -> None:
        async with (
            fake.fake_upstream() as upstream,
            serving(config(tmp_path, upstream.url, workers=2)) as served,
        ):
            for pid in served.children():
                status = Path(f"/proc/{pid}/status").read_text()
                blocked = next(line for line in status.splitlines() if line.startswith("SigBlk"))
                assert int(blocked.split()[1], 16) == 0

    asyncio.run(run())


def test_a_worker_that_cannot_start_again_does_not_end_those_that_serve(tmp_path: Path) -> None:
    async def run() -> None:
        key = tmp_path / "key"
        key.write_text("sk-theirs")
        async with fake.fake_upstream() as upstream:
            path = config(tmp_path, upstream.url, workers=2)
            there = f'base_url = "{upstream.url}"'
            path.write_text(path.read_text().replace(there, f'{there}\napi_key_file = "{key}"'))
            async with serving(path) as served:
                first, second = served.children()
                key.unlink()
                os.kill(first, signal.SIGKILL)
                await served.line("the others serve on")
                assert served.children() == [second]
                assert await ask(served.url) == 200
                key.write_text("sk-theirs")
                while len(served.children()) < 2:
                    await asyncio.sleep(0.01)
                served.process.terminate()
                assert await served.ended() == 0

    asyncio.run(run())


@pytest.mark.parametrize("workers", [1, 2])
def test_sighup_reloads_in_every_worker_and_ends_none(tmp_path: Path, workers: int) -> None:
    async def run() -> None:
        async with (
            fake.fake_upstream() as upstream,
            serving(config(tmp_path, upstream.url, workers=workers)) as served,
        ):
            before = served.children()
            served.process.send_signal(signal.SIGHUP)
            for _ in range(workers):
                await served.line("nothing is reloaded: pipeline.path is not set")
            assert await ask(served.url) == 200
            assert served.children() == before

    asyncio.run(run())


@pytest.mark.parametrize("workers", [1, 2])
def test_sighup_while_it_starts_waits_until_it_serves(tmp_path: Path, workers: int) -> None:
    async def run() -> None:
        async with fake.fake_upstream() as upstream:
            path = config(tmp_path, upstream.url, workers=workers)
            served = Served(await started(path))
            while not (tmp_path / "gateway.db").exists():  # the store is what it opens last
                await asyncio.sleep(0.001)
            served.process.send_signal(signal.SIGHUP)
            url = (await served.line("serving on ")).split("serving on ")[1].split()[0]
            await served.line("nothing is reloaded")
            assert await ask(url) == 200
            served.process.terminate()
            assert await served.ended() == 0

    asyncio.run(run())


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            fake.fake_upstream() as upstream,
            serving(config(tmp_path, upstream.url, workers=2)) as served,
        ):
            workers = served.children()
            served.process.kill()
            await served.ended()
            for pid in workers:
                while _is_alive(pid):
                    await asyncio.sleep(0.001)

    asyncio.run(run())


def test_without_keys_nobody_else_is_answered(tmp_path: Path) -> None:
    async def run() -> None:
        path = config(tmp_path, "http://127.0.0.1:9/v1", host="0.0.0.0")  # noqa: S104
        async with serving(path) as served:
            assert served.url.startswith("http://127.0.0.1:")
            assert any("listens on 127.0.0.1 and not on 0.0.0.0" in line for line in served.said)

    asyncio.run(run())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_that_is_taken_is_said(tmp_path: Path, workers: int) -> None:
    async def run() -> None:
        async with fake.fake_upstream() as upstream:
            port = int(upstream.url.split(":")[2].split("/")[0])
            path = config(tmp_path, upstream.url, workers=workers)
            path.write_text(path.read_text().replace("port = 0", f"port = {port}"))
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "equirouter", "serve", str(path)),
                stderr=asyncio.subprocess.PIPE,
            )
            _, said = await process.communicate()
            assert process.returncode == 2
            assert f"cannot listen on 127.0.0.1:{port}" in said.decode()

    asyncio.run(run())


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # whoever adopted it may be slow to take note of its end
    return " Z " not in Path(f"/proc/{pid}/stat").read_text()


def test_a_header_that_is_too_long_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(config(tmp_path, "http://127.0.0.1:9/v1")) as served:
            port = int(served.url.rsplit(":", 1)[1])
            for length, status in ((10_000, b" 200 "), (20_000, b" 400 ")):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                long = b"x-padding: " + b"x" * length
                writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n" + long + b"\r\n\r\n")
                assert status in await reader.readline()
                writer.close()

    asyncio.run(run())


DESCRIBED = [  # headers about the body, and what the answer is
    (["Content-Encoding: gzip"], 415),
    (["Content-Encoding: identity", "Content-Encoding: gzip"], 400),
    (["Content-Encoding: gzip", "Content-Encoding: identity"], 400),
    (["Content-Encoding: identity", "content-encoding: identity"], 400),
    (["Content-Encoding: identity, gzip"], 415),
    (["Content-Encoding: gzip, identity"], 415),
    (["Content-Encoding:"], 415),
    (["Content-Type: application/json", "Content-Type: text/plain"], 400),
    (["Content-Encoding: identity"], 200),
    (["Content-Encoding: Identity"], 200),
]


def test_a_body_that_could_be_read_in_two_ways_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            fake.fake_upstream() as upstream,
            serving(config(tmp_path, upstream.url)) as served,
        ):
            port = int(served.url.rsplit(":", 1)[1])
            for lines, status in DESCRIBED:
                body = json.dumps(BODY).encode()
                if any("gzip" in line for line in lines):
                    body = gzip.compress(body)
                head = ["POST /v1/chat/completions HTTP/1.1", "Host: localhost", *lines]
                head += ["Connection: close", f"Content-Length: {len(body)}", "", ""]
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write("\r\n".join(head).encode() + body)
                assert f" {status} " in (await reader.readline()).decode(), lines
                await reader.read()
                writer.close()
            assert len(upstream.seen) == 2

    asyncio.run(run())


def test_what_a_client_sends_wrong_does_not_fill_the_log(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            fake.fake_upstream() as upstream,
            serving(config(tmp_path, upstream.url)) as served,
        ):
            for wrong in ({"Content-Encoding": "gzip"}, {"Host": "["}):
                async with (
                    aiohttp.ClientSession(headers=wrong) as http,
                    http.post(f"{served.url}/v1/chat/completions", data=b"{}") as sent,
                ):
                    assert sent.status in (403, 415)
            served.process.terminate()
            await served.ended()
        assert not [line for line in served.said if "Traceback" in line or "error" in line]

    asyncio.run(run())
