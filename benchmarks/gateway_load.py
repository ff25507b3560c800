"""Load on an HTTP endpoint, from a process of its own: so many connections, each in a closed loop.

    python benchmarks/gateway_load.py --port 8080 --concurrency 64 --seconds 3 --bodies bodies.jsonl

Every request has the next body of the file, so that no two that run at once need be the same.
Prints one JSON document: requests per second, latency to the last byte and to the first byte of the
body (percentiles, ms), the number of answers by status. Reads HTTP/1.1 straight from the socket, so
that the client costs little. With several `--host` the connections go to them in turn.
"""

import argparse
import asyncio
import json
import math
import re
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import uvloop

LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.IGNORECASE)


class Client(asyncio.Protocol):
    """One kept-alive connection that asks again as soon as it has its answer."""

    def __init__(self, requests: Iterator[bytes], run: "Run") -> None:
        self.requests = requests
        self.run = run
        self.transport: Any = None
        self.read = b""
        self.body_at = -1
        self.length: int | None = None
        self.started = 0.0
        self.first = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.read, self.body_at, self.length, self.first = b"", -1, None, 0.0
        self.started = time.perf_counter()
        self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        self.read += data
        if self.body_at < 0:
            end = self.read.find(b"\r\n\r\n")
            if end < 0:
                return
            self.body_at = end + 4
            head = self.read[:end]
            match = LENGTH.search(head)
            self.length = int(match.group(1)) if match else None
            if match is None and CHUNKED.search(head) is None:
                self.run.broken += 1
                self.transport.close()
                return
        if not self.first and len(self.read) > self.body_at:
            self.first = time.perf_counter()
        if self.length is not None:
            done = len(self.read) >= self.body_at + self.length
        else:
            done = self.read.endswith(b"0\r\n\r\n")
        if done:
            now = time.perf_counter()
            status = int(self.read[9:12])
            self.run.note(status, now - self.started, (self.first or now) - self.started, self.read)
            if self.run.over(now):
                self.transport.close()
            else:
                self.ask()

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None or not self.run.over(time.perf_counter()):
            self.run.broken += 1
        self.run.closed()


class Run:
    """Measurements of one load. Answers of the first warm_up seconds are not counted."""

    def __init__(self, concurrency: int, warm_up: float, seconds: float) -> None:
        now = time.perf_counter()
        self.begin, self.end = now + warm_up, now + warm_up + seconds
        self.left = concurrency
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.total: list[float] = []
        self.first: list[float] = []
        self.statuses: dict[int, int] = {}
        self.by_second: dict[int, dict[int, int]] = {}  # answers by status, from the begin on
        self.broken = 0
        self.answered = 0  # those of the warm-up, too
        self.sample = b""

    def note(self, status: int, total: float, first: float, answer: bytes) -> None:
        self.answered += 1
        second = math.floor(time.perf_counter() - self.begin)
        if second < 0:
            return
        answers = self.by_second.setdefault(second, {})
        answers[status] = answers.get(status, 0) + 1
        self.total.append(total)
        self.first.append(first)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status != 200 and not self.sample:
            self.sample = answer[:2000]

    def over(self, now: float) -> bool:
        return now >= self.end

    def closed(self) -> None:
        self.left -= 1
        if self.left == 0 and not self.done.done():
            self.done.set_result(None)


def percentiles(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    ordered = sorted(seconds)
    at = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    last = len(ordered) - 1
    return {name: ordered[min(last, int(share * len(ordered)))] * 1e3 for name, share in at.items()}


def request_of(body: bytes, options: argparse.Namespace) -> bytes:
    lines = [
        f"POST {options.path} HTTP/1.1",
        f"host: 127.0.0.1:{options.port}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *options.header,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def load(options: argparse.Namespace) -> dict[str, Any]:
    bodies = Path(options.bodies).read_bytes().splitlines()
    requests = cycle([request_of(body, options) for body in bodies])
    run = Run(options.concurrency, options.warm_up, options.seconds)
    loop = asyncio.get_running_loop()
    for i in range(options.concurrency):
        host = options.host[i % len(options.host)]
        await loop.create_connection(lambda: Client(requests, run), host, options.port)
    async with asyncio.timeout(options.warm_up + options.seconds + 30):
        await run.done
    return {
        "requests_per_second": len(run.total) / options.seconds,
        "latency_ms": percentiles(run.total),
        "first_byte_ms": percentiles(run.first),
        "statuses": run.statuses,
        "by_second": run.by_second,
        "answered": run.answered,
        "broken": run.broken,
        "sample": run.sample.decode("utf-8", "replace"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Load on an HTTP endpoint.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", nargs="+", default=["127.0.0.1"])
    parser.add_argument("--path", default="/v1/chat/completions")
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--warm-up", type=float, default=0.5)
    parser.add_argument("--bodies", required=True, help="A file with a JSON body a line.")
    parser.add_argument("--header", action="append", default=[], help="NAME: VALUE")
    print(json.dumps(uvloop.run(load(parser.parse_args()))))


if __name__ == "__main__":
    main()
