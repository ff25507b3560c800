"""The parameters of a request as a model takes them: some left out, some under another name.

parameter_table.toml beside this file knows the usual models; the settings of a model add to it.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from equirouter.serve.settings import GatewaySettings

_Body = dict[str, Any]
_TABLE = Path(__file__).with_name("parameter_table.toml")


@dataclass(frozen=True, slots=True)
class Fitting:
    """Changes of a request for one model.

    lacks: abilities that it is known not to have. system_prompt: put before its instructions.
    """

    drop: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    set: Mapping[str, Any] = field(default_factory=dict)
    lacks: frozenset[str] = frozenset()
    system_prompt: str | None = None

    def applied(self, body: _Body, *, is_message: bool = False) -> tuple[_Body, list[str]]:
        """The body as the model takes it, and what of it was lost.

        is_message: whether it is one of the Messages API.
        """
        lost = []
        for name in self.drop:
            before, body = body, without(body, name.split("."))
            if body is not before:
                lost.append(name)
        for name, value in self.set.items():
            if body.get(name) not in (None, value):
                lost.append(name)
            body = {**body, name: value}
        for old, new in self.rename.items():
            if old in body:
                value = body[old]
                body = {name: other for name, other in body.items() if name != old}
                body.setdefault(new, value)
        if self.system_prompt is not None:
            body = _instructed(body, self.system_prompt, is_message=is_message)
        return body, lost


def _instructed(body: _Body, text: str, *, is_message: bool) -> _Body:
    """The request with instructions before its own, of any of the three APIs."""
    if is_message:
        own = body.get("system") or []
        blocks = [{"type": "text", "text": own}] if isinstance(own, str) else own
        return {**body, "system": [{"type": "text", "text": text}, *blocks]}
    if isinstance(body.get("messages"), list):
        return {**body, "messages": [{"role": "system", "content": text}, *body["messages"]]}
    given = body.get("instructions")
    return {**body, "instructions": f"{text}\n\n{given}" if given else text}


def fitting(model: str, settings: GatewaySettings) -> Fitting:
    """Changes for a model of the pool: by the table, and by its settings before that."""
    given = settings.models[model]
    upstream = settings.upstreams[given.upstream]
    name = (given.upstream_model or model).rpartition("/")[2]
    host = urlsplit(upstream.base_url).hostname or ""
    rules = [rule for rule in shipped_rules() if _holds(rule, name, host)]
    if not given.known_parameters:
        rules = []
    rename: dict[str, str] = {}
    for rule in rules:
        rename |= rule.get("rename", {})
    drop = [name for rule in rules for name in rule.get("drop", ())]
    kept = given.rename.keys() | given.set.keys()  # the settings have another use for these
    return Fitting(
        drop=tuple(dict.fromkeys((*sorted(given.drop), *(n for n in drop if n not in kept)))),
        rename={**rename, **given.rename},
        set=given.set,
        system_prompt=given.system_prompt,
        lacks=frozenset(ability for rule in rules for ability in rule.get("lacks", ())),
    )


@cache
def shipped_rules() -> Sequence[Mapping[str, Any]]:
    """The rules of the package's table, in its order."""
    rules: Sequence[Mapping[str, Any]] = tomllib.loads(_TABLE.read_text("utf-8"))["rules"]
    return rules


def _holds(rule: Mapping[str, Any], name: str, host: str) -> bool:
    def matches(patterns: Sequence[str]) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in patterns)

    return (
        host in rule.get("hosts", (host,))
        and matches(rule.get("models", ("*",)))
        and not matches(rule.get("except", ()))
    )


def has(body: Mapping[str, Any], name: str) -> bool:
    """Whether a request has a parameter, which dots lead to."""
    return without(body, name.split(".")) is not body


def without(value: Any, path: Sequence[str]) -> Any:  # noqa: ANN401  # any JSON
    """The document without what the path leads to; the same object where there is none of it."""
    if isinstance(value, list):
        items = [without(item, path) for item in value]
        is_same = all(new is old for new, old in zip(items, value, strict=True))
        return value if is_same else items
    if not isinstance(value, dict) or value.get(path[0]) is None:
        return value
    if len(path) == 1:
        return {name: inner for name, inner in value.items() if name != path[0]}
    inner = without(value[path[0]], path[1:])
    return value if inner is value[path[0]] else {**value, path[0]: inner}
