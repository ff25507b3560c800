"""A pretend provider's batches: files in, files out, as in OpenAI's API."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.labelling.pretend import Body, completion


@dataclass
class PretendBatches:
    """Works a batch off when it is asked how far that is.

    answer: body -> text, (status, document, headers), or None for a call that the end cuts off.
    status: of a batch that is asked for. refused: path of a request -> the status it gets.
    lose_reply: a batch is made, and whoever asked for it never hears so.
    """

    answer: Callable[[Body], Any]
    status: str = "completed"
    refused: dict[str, int] = field(default_factory=dict)
    lose_reply: bool = False
    hold_reply: bool = False
    errors: list[Body] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    made: list[Body] = field(default_factory=list)
    polls: int = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/files", self._upload),
            web.get("/v1/files/{id}/content", self._content),
            web.post("/v1/batches", self._create),
            web.get("/v1/batches", self._list),
            web.get("/v1/batches/{id}", self._state),
        ]

    def sent(self, place: int = 0) -> list[Body]:
        """The calls of a batch, as they came."""
        lines = self.files[self.made[place]["input_file_id"]].splitlines()
        return [json.loads(line) for line in lines]

    def _refusal(self, request: web.Request) -> web.Response | None:
        status = self.refused.get(request.path.removeprefix("/v1"))
        if status is None:
            return None
        return web.json_response({"error": {"message": "no"}}, status=status)

    async def _upload(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        form = await request.post()
        assert form["purpose"] == "batch"
        upload = form["file"]
        assert isinstance(upload, web.FileField)
        name = self._keep(upload.file.read())
        return web.json_response({"id": name, "object": "file", "purpose": "batch"})

    def _keep(self, content: bytes) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name

    async def _content(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request)
        return refusal or web.Response(body=self.files[request.match_info["id"]])

    async def _create(self, request: web.Request) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        wanted = json.loads(await request.read())
        assert wanted["endpoint"] == "/v1/chat/completions"
        assert wanted["completion_window"] == "24h"
        batch: Body = {"id": f"batch_{len(self.made)}", "object": "batch", "status": "validating"}
        batch |= {"input_file_id": wanted["input_file_id"], "created_at": 2_000_000_000}
        self.made.append(batch)
        while self.hold_reply:
            await asyncio.sleep(0.01)
        if self.lose_reply:
            self.lose_reply = False
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(batch)

    async def _list(self, request: web.Request) -> web.Response:
        """Two a page, the latest first."""
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        latest = self.made[::-1]
        after = request.query.get("after")
        names = [batch["id"] for batch in latest]
        begin = 0 if after is None else names.index(after) + 1
        page = latest[begin : begin + 2]
        return web.json_response({"data": page, "has_more": begin + 2 < len(latest)})

    async def _state(self, request: web.Request) -> web.Response:
        self.polls += 1
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        batch = next(one for one in self.made if one["id"] == request.match_info["id"])
        if batch["status"] == "validating" and self.status != "in_progress":
            batch |= {"status": self.status, **self._worked_off(batch)}
        return web.json_response(batch)

    def _worked_off(self, batch: Body) -> Body:
        if self.status == "failed":
            return {"errors": {"object": "list", "data": self.errors}, "output_file_id": None}
        answered: list[Body] = []
        others: list[Body] = []
        for line in map(json.loads, self.files[batch["input_file_id"]].splitlines()):
            given = self.answer(line["body"])
            row = {"id": "batch_req_1", "custom_id": line["custom_id"], "error": None}
            if given is None:
                error = {"code": "batch_expired", "message": "not executed in time"}
                others.append(row | {"response": None, "error": error})
            elif isinstance(given, tuple):
                response = {"status_code": given[0], "request_id": "r", "body": given[1]}
                others.append(row | {"response": response})
            else:
                response = {
                    "status_code": 200,
                    "request_id": "r",
                    "body": completion(given, 20, 10),
                }
                answered.append(row | {"response": response})
        answered.reverse()  # no order is promised
        files = {"output_file_id": answered, "error_file_id": others}
        return {
            name: self._keep("".join(json.dumps(row) + "\n" for row in rows).encode())
            for name, rows in files.items()
            if rows
        } | {"request_counts": {"total": 0, "completed": len(answered), "failed": len(others)}}
