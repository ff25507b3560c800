"""The gateway with all its real parts, on a store of its own, behind a fake provider."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from equirouter.serve.http.gateway import Gateway
from equirouter.serve.run.assembly import open_gateway
from equirouter.serve.run.server import make_runner
from tests.serve.fake_upstream import FakeUpstream, fake_upstream
from tests.serve.gateways import settings_for


@dataclass
class Assembled:
    """A gateway that runs. http: a client whose paths are the gateway's."""

    url: str
    upstream: FakeUpstream
    gateway: Gateway
    runner: web.AppRunner
    http: aiohttp.ClientSession

    async def ask(
        self, method: str, path: str, *, key: str | None = None, **options: Any
    ) -> tuple[int, Any]:
        """Status and document of an answer."""
        headers: Mapping[str, str] = {} if key is None else {"Authorization": f"Bearer {key}"}
        headers = {**headers, **options.pop("headers", {})}
        async with self.http.request(method, path, headers=headers, **options) as response:
            is_json = response.content_type == "application/json"
            return response.status, await (response.json() if is_json else response.text())

    async def chat(self, *, key: str | None = None, model: str = "a", **body: Any) -> Any:
        """Status and document of a chat completion."""
        content = {"model": model, "messages": [{"role": "user", "content": "Hi"}], **body}
        return await self.ask("POST", "/v1/chat/completions", key=key, json=content)

    async def new_key(self, *, by: str | None = None, **asked: Any) -> str:
        """Make a key over HTTP."""
        status, document = await self.ask(
            "POST", "/admin/keys", key=by, json={"name": "k", **asked}
        )
        assert status == 201, document
        secret: str = document["key"]
        return secret


@asynccontextmanager
async def assembled(folder: Path, **sections: Any) -> AsyncIterator[Assembled]:
    """A gateway as `equirouter serve` puts it together."""
    store = {"url": f"sqlite:///{folder / 'gateway.db'}", "flush_ms": 1}
    store |= sections.pop("store", {})
    async with fake_upstream() as upstream:
        settings = settings_for(upstream.url, store=store, **sections)
        async with open_gateway(settings) as gateway:
            runner = make_runner(gateway)
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                url = f"http://127.0.0.1:{runner.addresses[0][1]}"
                async with aiohttp.ClientSession(url) as http:
                    yield Assembled(url, upstream, gateway, runner, http)
            finally:
                await runner.cleanup()
