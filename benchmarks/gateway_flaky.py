"""A provider as bad as they get: fails in every way, by chance with a seed, and keeps books.

    python benchmarks/gateway_flaky.py --port 9100 --seed 1 --books books.jsonl

Every answer that it completed is a line of the books: model, tokens, whether it streamed. Listens
on 127.0.0.1 only.
"""

import argparse
import asyncio
import gzip
import json
import random
from pathlib import Path
from typing import Any

from aiohttp import web

WAYS = {
    "ok": 64,
    "slow": 6,
    "error 500": 6,
    "busy": 4,
    "busy, retry after": 4,
    "cut": 4,
    "malformed": 3,
    "not json": 3,
    "no answer": 3,
    "huge": 1,
    "gzip": 3,
    "hang up": 2,
}
REFUSALS: dict[str, tuple[int, dict[str, str]]] = {
    "error 500": (500, {}),
    "busy": (429, {}),
    "busy, retry after": (429, {"Retry-After": "1"}),
}
BASE = {"id": "chatcmpl-1", "created": 1, "model": "flaky"}


class Flaky:
    """One provider; `rng` decides what becomes of each call."""

    def __init__(self, seed: int, books: Path) -> None:
        self.rng = random.Random(seed)  # noqa: S311  # chance, no secret
        self.books = books.open("a", buffering=1)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        way = self.rng.choices(list(WAYS), list(WAYS.values()))[0]
        n = self.rng.randint(1, 30)
        if way == "slow":
            await asyncio.sleep(self.rng.uniform(0.05, 0.8))
        if way in REFUSALS:
            status, headers = REFUSALS[way]
            document = {"error": {"message": way}}
            return web.json_response(document, status=status, headers=headers)
        if way == "hang up":
            abort(request)
            return web.Response()
        if body.get("stream"):
            return await self.stream(request, body, way, n)
        return await self.whole(request, body, way, n)

    async def whole(
        self, request: web.Request, body: dict[str, Any], way: str, n: int
    ) -> web.StreamResponse:
        if way == "not json":
            return web.Response(text="<html>gateway error</html>", content_type="text/html")
        if way == "no answer":
            return web.json_response(self.rng.choice([{}, {"choices": []}, {"html": "lost"}]))
        if way == "cut":
            return await self.cut(request)
        words = "word " * (200_000 if way == "huge" else n)
        document = BASE | {
            "object": "chat.completion",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": words},
                    "finish_reason": "stop",
                }
            ],
            "usage": usage(n),
        }
        self.write(body["model"], n, streamed=False)
        if way == "gzip":
            packed = gzip.compress(json.dumps(document).encode())
            headers = {"Content-Encoding": "gzip"}
            return web.Response(body=packed, headers=headers, content_type="application/json")
        return web.json_response(document)

    async def cut(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        answer.content_length = 1000
        await answer.prepare(request)
        await answer.write(b'{"id": "chatcmpl-1", ')
        abort(request)
        return answer

    async def stream(
        self, request: web.Request, body: dict[str, Any], way: str, n: int
    ) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        if way == "no answer":  # an error, after what carries nothing
            role = {"index": 0, "delta": {"role": "assistant", "content": ""}}
            await answer.write(b": PROCESSING\n\n" + event({"choices": [role]}))
            await answer.write(event({"error": {"message": "provider down"}}))
            return answer
        for place in range(n):
            if way == "cut" and place == n // 2:
                abort(request)
                return answer
            if way == "malformed" and place == n // 2:
                await answer.write(b"data: {not json\n\nnonsense without a colon\n\n")
            delta = {"index": 0, "delta": {"content": "word "}, "finish_reason": None}
            await answer.write(event({"choices": [delta]}))
            await asyncio.sleep(0)
        done = {"index": 0, "delta": {}, "finish_reason": "stop"}
        await answer.write(event({"choices": [done]}))
        if (body.get("stream_options") or {}).get("include_usage"):
            await answer.write(event({"choices": [], "usage": usage(n)}))
        await answer.write(b"data: [DONE]\n\n")
        await answer.write_eof()
        self.write(body["model"], n, streamed=True)
        return answer

    def write(self, model: str, n: int, *, streamed: bool) -> None:
        self.books.write(json.dumps({"model": model, "output": n, "stream": streamed}) + "\n")


def abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def usage(n: int) -> dict[str, int]:
    return {"prompt_tokens": 10, "completion_tokens": n, "total_tokens": 10 + n}


def event(part: dict[str, Any]) -> bytes:
    document = BASE | {"object": "chat.completion.chunk"} | part
    return f"data: {json.dumps(document)}\n\n".encode()


def main() -> None:
    parser = argparse.ArgumentParser(description="A provider that fails in every way.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--books", type=Path, required=True)
    options = parser.parse_args()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", Flaky(options.seed, options.books).chat)
    web.run_app(app, host="127.0.0.1", port=options.port, print=None, handler_cancellation=True)


if __name__ == "__main__":
    main()
