"""Requests of coding agents by the Messages API: long loops of tools, at any upstream of a pool."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from equirouter.serve.http.requests import messages_request
from equirouter.serve.plan.prompt_tokens import prompt_tokens
from equirouter.serve.plan.sessions import Sessions, is_tool_loop
from equirouter.serve.records import RequestControl
from equirouter.serve.settings import LimitSettings, SessionSettings
from tests.serve.assembled import assembled
from tests.serve.planners import Planned

EPHEMERAL = {"cache_control": {"type": "ephemeral"}}
EDIT = {"name": "Edit", "description": "Edits a file", "input_schema": {"type": "object"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}


def turn(number: int, *, last: bool = False) -> list[dict[str, Any]]:
    """A call of a tool and its result; the last block of a request is marked for the cache."""
    call = {"type": "tool_use", "id": f"toolu_{number}", "name": "Edit", "input": {"line": number}}
    thought = {"type": "thinking", "thinking": "Then line by line.", "signature": "c2ln"}
    result = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": "done"}
    return [
        {"role": "assistant", "content": [thought, call]},
        {"role": "user", "content": [result | (EPHEMERAL if last else {})]},
    ]


def agent(turns: int, **more: Any) -> dict[str, Any]:
    """What a coding agent sends after so many turns of its loop."""
    bill = f"x-anthropic-billing-header: cc_version=2.1; cch={turns:05x};"
    reminder = "<system-reminder>The date is new.</system-reminder>"
    asked: dict[str, Any] = {"type": "text", "text": "Fix the test."}
    return {
        "model": "equirouter/auto",
        "max_tokens": 32_000,
        "system": [
            {"type": "text", "text": bill},
            {"type": "text", "text": "You write code.", **EPHEMERAL},
        ],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": reminder},
                    asked | (EPHEMERAL if turns == 0 else {}),
                ],
            },
            *[one for n in range(turns) for one in turn(n, last=n == turns - 1)],
        ],
        "tools": [EDIT],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "metadata": {"user_id": "user_" + "0" * 150},
        "stream": False,
        **more,
    }


def test_a_loop_is_one_session_though_marks_and_headers_change() -> None:
    sessions = Sessions(SessionSettings(), secret=b"s" * 32)
    chats = [messages_request(agent(turns), LimitSettings()) for turns in (0, 1, 20)]
    ids = {sessions.id_of(chat.messages, RequestControl(), None) for chat in chats}
    assert len(ids) == 1
    assert [is_tool_loop(chat.messages) for chat in chats] == [False, True, True]
    assert all(prompt_tokens(chat).caches for chat in chats)
    other = messages_request(agent(0, system="You review code."), LimitSettings())
    assert sessions.id_of(other.messages, RequestControl(), None) not in ids


def test_a_loop_at_an_upstream_with_chat_completions_only(tmp_path: Path) -> None:
    async def run() -> None:
        async with assembled(tmp_path) as here:
            for turns in (0, 3, 60):
                status, said = await here.ask("POST", "/v1/messages", json=agent(turns, model="a"))
                assert status == 200, said
                sent = here.upstream.seen[-1].body
                roles = [message["role"] for message in sent["messages"]]
                assert roles == ["system", "user", *["assistant", "tool"] * turns]
                assert sent["messages"][0]["content"] == "You write code."
                assert sent["reasoning_effort"] == "high"
                unsent = {"metadata", "thinking", "context_management", "cache_control"}
                assert not unsent & sent.keys()

    asyncio.run(run())


def removed(planned: Planned, *models: str, **more: Any) -> dict[str, str]:
    chat = messages_request(agent(1, **more), planned.settings.limits)
    feasible = planned.planner._feasible
    bounds = feasible.bounds(models, chat, prompt_tokens(chat))
    found = feasible.removed(models, bounds, chat, RequestControl(), None)
    return {name: removal.text for name, removal in found.items()}


def test_a_model_that_would_lose_a_tool_answers_only_where_no_other_can() -> None:
    native = {"base_url": "https://here.example/v1", "messages": True}
    planned = Planned(None, upstreams={"here": native}, models={"large": {"upstream": "here"}})
    reason = "its upstream has no /v1/messages, and is not sent tools.web_search_20250305"
    assert removed(planned, "small", "large", tools=[EDIT, SEARCH]) == {"small": reason}
    assert removed(planned, "small", tools=[EDIT, SEARCH]) == {}
    assert removed(planned, "small", "large") == {}
    reason = "its upstream has no /v1/messages, and a chat completion has no mcp_servers"
    found = removed(planned, "small", "large", mcp_servers=[{"name": "x"}])
    assert found == {"small": reason}


@pytest.mark.parametrize(("tools", "status"), [([EDIT], 200), ([EDIT, SEARCH], 400)])
def test_under_a_budget_no_search_is_run_that_nobody_bounds(
    tmp_path: Path, tools: list[Any], status: int
) -> None:
    async def run() -> None:
        async with assembled(tmp_path, upstream={"messages": True}) as here:
            admin = await here.new_key(is_admin=True)
            key = await here.new_key(by=admin, budget_usd=1.0)
            body = agent(1, model="a", tools=tools)
            found, said = await here.ask(
                "POST", "/v1/messages", json=body, headers={"x-api-key": key}
            )
            assert found == status, said
            if status == 200:
                assert here.upstream.seen[0].body == {**body, "model": "a-theirs"}
            else:
                assert said["type"] == "error"
                assert "web_search_20250305" in said["error"]["message"]
            found, said = await here.ask("POST", "/v1/messages", json=body)
            assert (found, said["error"]["type"]) == (401, "authentication_error")

    asyncio.run(run())
