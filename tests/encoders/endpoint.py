"""A stand-in for an embeddings endpoint: a server on 127.0.0.1, and vectors made by hashing."""

import base64
import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, TypeAlias

import numpy as np

from equirouter.arrays import FloatArray

WIDTH = 24


@dataclass(frozen=True)
class Reply:
    """What is sent once in place of embeddings. cut: only a part of the body, then the end."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


Change: TypeAlias = Callable[[dict[str, Any]], object]
"""Alters the answer, in place."""


def vector(text: str, width: int = WIDTH, salt: str = "") -> FloatArray:
    """Some vector of a text, not of length 1; another salt is another model."""
    seed = int.from_bytes(hashlib.sha256((salt + text).encode()).digest()[:8], "little")
    drawn = np.random.default_rng(seed).normal(size=width)
    return drawn.astype(np.float32).astype(np.float64)


class Endpoint:
    """The running server. `next_replies` are sent first, then embeddings altered by `change`."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.next_replies: deque[Reply] = deque()
        self.change: Change | None = None
        self.salt = ""
        self.url = ""

    @property
    def inputs(self) -> list[list[str]]:
        """The texts of each request."""
        return [body["input"] for _, _, body in self.requests]

    def reply(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Reply:
        self.requests.append((path, headers, body))
        if self.next_replies:
            return self.next_replies.popleft()
        width = body.get("dimensions", WIDTH)
        answer = {
            "object": "list",
            "model": body["model"],
            "data": [
                {
                    "object": "embedding",
                    "index": i,
                    "embedding": _written(vector(text, width, self.salt), body),
                }
                for i, text in enumerate(body["input"])
            ],
            "usage": {"prompt_tokens": 1, "total_tokens": 1},
        }
        if self.change is not None:
            self.change(answer)
        return Reply(body=json.dumps(answer).encode())


def _written(values: FloatArray, body: dict[str, Any]) -> object:
    if body.get("encoding_format") == "base64":
        return base64.b64encode(values.astype("<f4").tobytes()).decode()
    return values.tolist()


@contextmanager
def running_endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            headers = {name.title(): value for name, value in self.headers.items()}
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            reply = endpoint.reply(self.path, headers, body)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)
            self.close_connection = reply.cut

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    endpoint.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield endpoint
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
