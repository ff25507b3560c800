"""The floor: a proxy that passes all through. Starlette on uvicorn, aiohttp's client.

    python benchmarks/gateway_passthrough.py --port 8001 --upstream http://127.0.0.1:9000

Needs starlette and uvicorn, which equirouter does not: pip install starlette
uvicorn[standard].
"""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

STREAMED = b'"stream": true'


def make_app(upstream: str) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            app.state.session = session
            yield

    async def forward(request: Request) -> Response:
        body = await request.body()
        session: aiohttp.ClientSession = request.app.state.session
        headers = {"content-type": "application/json"}
        answer = await session.post(upstream + request.url.path, data=body, headers=headers)
        kind = answer.headers["content-type"]
        if STREAMED not in body:
            async with answer:
                whole = await answer.read()
            return Response(whole, status_code=answer.status, media_type=kind)

        async def chunks() -> AsyncIterator[bytes]:
            async with answer:
                async for chunk in answer.content.iter_any():
                    yield chunk

        return StreamingResponse(chunks(), status_code=answer.status, media_type=kind)

    path = "/v1/chat/completions"
    return Starlette(routes=[Route(path, forward, methods=["POST"])], lifespan=lifespan)


def main() -> None:
    parser = argparse.ArgumentParser(description="A proxy that passes all through.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    options = parser.parse_args()
    app = make_app(options.upstream)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
