"""A pretend provider in a thread: chat completions by a rule, and a gateway.toml that uses it."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

Body = dict[str, Any]


@dataclass
class Provider:
    """url: its base. answer: body -> text, or (status, document, headers). seen: what came in."""

    answer: Callable[[Body], Any]
    url: str = ""
    seen: list[Body] = field(default_factory=list)
    most_at_once: int = 0
    seconds: float = 0.0
    usage: Callable[[Body], tuple[int, int]] = lambda _: (20, 10)
    _now: int = 0

    @property
    def models(self) -> list[str]:
        return [body["model"] for body in self.seen]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        self.seen.append(body)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            if self.seconds:
                await asyncio.sleep(self.seconds)
            given = self.answer(body)
            if asyncio.iscoroutine(given):
                given = await given
        finally:
            self._now -= 1
        if isinstance(given, tuple):
            status, document, headers = given
            return web.json_response(document, status=status, headers=headers)
        return web.json_response(completion(given, *self.usage(body)))


def completion(
    text: str | Mapping[str, Any], tokens_in: int = 20, tokens_out: int = 10, finish: str = "stop"
) -> Body:
    """A chat completion; a mapping is its message, with finish_reason taken out of it."""
    message = {"content": text} if isinstance(text, str) else dict(text)
    finish = message.pop("finish_reason", finish)
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "theirs",
        "choices": [
            {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
        ],
        "usage": {
            "prompt_tokens": tokens_in,
            "completion_tokens": tokens_out,
            "total_tokens": tokens_in + tokens_out,
        },
    }


def failure(status: int, code: str = "oops", **headers: str) -> tuple[int, Body, dict[str, str]]:
    """An error in OpenAI's form."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, {"error": {"message": f"no: {code}", "code": code}}, named


@contextmanager
def provider(
    answer: Callable[[Body], Any], routes: Iterable[web.RouteDef] = ()
) -> Iterator[Provider]:
    """A running one. routes: others that it has, beside chat completions."""
    made = Provider(answer)
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stop = asyncio.Event()

    async def serve() -> None:
        app = web.Application()
        app.router.add_routes(routes)
        app.router.add_post("/v1/{tail:.*}", made.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def write_gateway(folder: Path, url: str, models: Mapping[str, str], more: str = "") -> Path:
    """gateway.toml with these models, name -> settings; 1 and 2 USD per million tokens."""
    lines = [f'[upstreams.pretend]\nbase_url = "{url}"\n', more]
    for name, settings in models.items():
        price = "" if "price" in settings else "price = { input = 1.0, output = 2.0 }\n"
        lines.append(f'[models."{name}"]\nupstream = "pretend"\n{price}{settings}\n')
    lines.append("[retries]\nbackoff_seconds = 0.001\n")
    path = folder / "gateway.toml"
    path.write_text("\n".join(lines), "utf-8")
    return path


def write_queries(folder: Path, texts: list[str], **columns: list[Any]) -> Path:
    """A table of queries q0, q1, ... as JSON lines."""
    path = folder / "queries.jsonl"
    rows = [
        {
            "query_id": f"q{row}",
            "query": text,
            **{name: cells[row] for name, cells in columns.items()},
        }
        for row, text in enumerate(texts)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def until(what: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something that happens in another process."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
