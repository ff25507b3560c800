"""A provider that makes answers up, to try the gateway without a key: `python pretend_provider.py`.

It speaks enough of OpenAI's API: chat completions, streaming and not, with usage. More expensive
models of the simulated pool answer at greater length. Standard library only; listens on 127.0.0.1.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = ("a", "made", "up", "answer", "that", "says", "nothing", "of", "what", "was", "asked")
RNG = random.Random()  # noqa: S311  # what it makes up is no secret


class Pretend(BaseHTTPRequestHandler):
    """One request. Answers are of random length, and a little late, as a model's are."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer a chat completion."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = json.dumps(body["messages"])
        length = RNG.randint(15, 60 if "gpt-4" in body["model"] else 30)
        words = [RNG.choice(WORDS) for _ in range(length)]
        usage = {"prompt_tokens": len(text) // 4, "completion_tokens": length}
        usage["total_tokens"] = sum(usage.values())
        time.sleep(RNG.uniform(0.05, 0.2))
        if body.get("stream"):
            self._stream(body, words, usage)
        else:
            self._document(body, words, usage)

    def _document(self, body: dict[str, Any], words: list[str], usage: dict[str, int]) -> None:
        message = {"role": "assistant", "content": " ".join(words)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = json.dumps(_base(body, "chat.completion") | {"choices": [choice], "usage": usage})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def _stream(self, body: dict[str, Any], words: list[str], usage: dict[str, int]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for event in _events(body, words, usage):
            self.wfile.write(f"data: {event}\n\n".encode())
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def _base(body: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": body["model"]}


def _events(body: dict[str, Any], words: list[str], usage: dict[str, int]) -> Iterator[str]:
    base = _base(body, "chat.completion.chunk")
    for word in words:
        yield json.dumps(base | {"choices": [{"index": 0, "delta": {"content": f"{word} "}}]})
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    yield json.dumps(base | {"choices": [end]})
    if body.get("stream_options", {}).get("include_usage"):
        yield json.dumps(base | {"choices": [], "usage": usage})
    yield "[DONE]"


def main() -> None:
    """Answer until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9100)
    server = ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Pretend)
    print(f"pretending on http://127.0.0.1:{server.server_port}/v1", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
