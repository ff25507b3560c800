"""The parameters of a request as a model takes them: some left out, some under another name.

parameter_table.toml beside this file knows the usual models; the settings of a model add to it.
What models refused of late is remembered for a while: a request that one refuses may suit the next.
It only changes the order in which models are tried: nobody is shut out by a wrong guess.
"""

import logging
import re
import time
import tomllib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from equirouter.errors import UpstreamError
from equirouter.serve.chat import ChatRequest
from equirouter.serve.records import Plan
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


_LOG = logging.getLogger("equirouter.serve")

MOST_PER_MODEL = 32
SECONDS = 3600.0
_STATUSES = frozenset({400, 404, 422})
_LONGEST_MESSAGE = 4000
_MOST_NAMES = 100  # of one request that are looked for
# One limit, which requests and providers have under several names.
_LIMITS = frozenset({"max_tokens", "max_completion_tokens", "max_output_tokens"})
_SAME = ({"response_format", "text"}, {"verbosity", "text"}, {"reasoning_effort", "reasoning"})
_NEVER = frozenset({"model", "messages", "input", "stream", "equirouter"})
_OF_EVERY_MESSAGE = frozenset({"role", "content", "type", "text"})
_ROLES = frozenset({"user", "assistant", "system", "developer", "tool", "body"})
_ABILITIES = {
    "vision": re.compile(r"\b(?:images?|image_url|vision|multi-?modal)\b", re.IGNORECASE),
    "audio": re.compile(r"\b(?:audio|input_audio)\b", re.IGNORECASE),
    "tools": re.compile(r"\b(?:tools?|functions?|function[ _-]calling)\b", re.IGNORECASE),
    "json": re.compile(r"\b(?:response_format|json_schema|json_object|json mode)\b", re.IGNORECASE),
}
# As opposed to a value that is out of range, which the client could mend.
_FOR_GOOD = re.compile(
    r"unsupported|not (?:currently |yet )?(?:support|permitted|allowed|accepted)|n't support|"
    r"only (?:be )?support|that support|deprecated|unrecogni[sz]ed|unknown|unexpected|"
    r"extra_forbidden|extra inputs|not a multi-?modal",
    re.IGNORECASE,
)
_PLACE = re.compile(r"loc['\"]?\s*:\s*[\[(]([^\])]*)[\])]")
_STEP = re.compile(r"[A-Za-z_]\w*")
_PATH = re.compile(r"\b[A-Za-z_]\w*(?:\[\w*\]|\.\w+)+")


class RefusedParameters:
    """Parameters refused of late, by model; so few that it stays small. clock: in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refused: dict[str, OrderedDict[str, float]] = {}

    def names_one(self, model: str, failed: UpstreamError, chat: ChatRequest) -> bool:
        """Whether a model refused a parameter of the request, which is then remembered."""
        if failed.status not in _STATUSES:
            return False
        name, is_lasting = refused_parameter(failed.body, chat)
        if name is not None and is_lasting:
            self._note(model, name)
        return name is not None

    def last(self, plan: Plan, chat: ChatRequest) -> Plan:
        """The plan with those at the end that refused what this request has."""
        if len(plan.candidates) < 2 or not self._refused:
            return plan
        candidates = sorted(
            plan.candidates, key=lambda candidate: self._refuses(candidate.model, chat)
        )
        return replace(plan, candidates=tuple(candidates))

    def document(self) -> dict[str, list[str]]:
        """The parameters by model, as JSON."""
        named = {model: list(self._current(model)) for model in self._refused}
        return {model: names for model, names in named.items() if names}

    def _refuses(self, model: str, chat: ChatRequest) -> bool:
        return any(_uses(chat, name) for name in self._current(model))

    def _current(self, model: str) -> Iterator[str]:
        oldest = self._clock() - SECONDS
        return (name for name, at in self._refused.get(model, {}).items() if at > oldest)

    def _note(self, model: str, name: str) -> None:
        refused = self._refused.setdefault(model, OrderedDict())
        if name not in set(self._current(model)):
            _LOG.warning(
                "%s refuses %s: for an hour, requests that have it go to other models first; "
                "models.%s can drop or rename it, or state the model's abilities",
                model,
                name,
                model,
            )
        refused[name] = self._clock()
        refused.move_to_end(name)
        if len(refused) > MOST_PER_MODEL:
            refused.popitem(last=False)


def refused_parameter(body: bytes, chat: ChatRequest) -> tuple[str | None, bool]:
    """The parameter of a request that a provider's error names, None for none.

    An ability stands for what needs it: "vision". The second: whether the model does not know the
    parameter, or the ability, as opposed to its value.
    """
    param, code, message = _said(body)
    for_good = _FOR_GOOD.search(f"{code} {message}") is not None
    for place in _places(param, message):
        name = _used(place, chat)
        if name is not None:
            return name, for_good
    if for_good:
        for ability, words in _ABILITIES.items():
            if ability in chat.needs and words.search(f"{param} {message}"):
                return ability, True
    for name in _named_in(message, chat):
        return name, for_good
    return None, False


def _said(body: bytes) -> tuple[str, str, str]:
    """The param, the code and the message of an error, each "" where it has none."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "", "", ""
    details = document.get("error", document) if isinstance(document, dict) else document
    if isinstance(details, list) and details:  # as Google wraps it
        details = details[0].get("error") if isinstance(details[0], dict) else None
    if not isinstance(details, dict):
        return "", "", str(details)[:_LONGEST_MESSAGE]
    message = details.get("message") or details.get("detail") or details.get("msg")
    text = message if isinstance(message, str) else orjson.dumps(message).decode()
    param, code = details.get("param"), details.get("code")
    return str(param or "")[:200], str(code or "")[:200], text[:_LONGEST_MESSAGE]


def _places(param: str, message: str) -> Iterable[list[str]]:
    """Places that an error points at, as steps into the request."""
    if param:
        yield _STEP.findall(param)
    for place in _PLACE.findall(message):
        yield _STEP.findall(place)
    for path in _PATH.findall(message):
        yield _STEP.findall(path)


def _used(place: list[str], chat: ChatRequest) -> str | None:
    """The part of the request that is meant; a message as such is none."""
    steps = [step for step in place if step not in _ROLES]
    if not steps:
        return None
    if steps[0] not in _NEVER:
        return steps[0] if _uses(chat, steps[0]) else None
    name = ".".join(steps)
    is_parameter = len(steps) > 2 and steps[-1] not in _OF_EVERY_MESSAGE
    return name if is_parameter and _uses(chat, name) else None


def _uses(chat: ChatRequest, name: str) -> bool:
    """Whether a request has that parameter, or needs that ability."""
    if name in chat.needs or name in _LIMITS:  # every request is sent with a limit
        return True
    same = next((names for names in _SAME if name in names), (name,))
    return any(has(chat.body, parameter) for parameter in same)


def _named_in(message: str, chat: ChatRequest) -> Iterator[str]:
    """The parameters of the request that a message speaks of, and not only uses as a word."""
    names: Mapping[str, Any] = {**chat.body, **dict.fromkeys(_LIMITS)}
    for name in list(names)[-_MOST_NAMES:]:
        word = re.escape(name)
        if name in _NEVER or name not in message:
            continue
        patterns = (
            rf"['\"`]{word}['\"`]",
            rf"\b(?:parameter|argument|field|property|supplied)s?:? {word}\b",
            rf"\b{word}\b (?:parameter|argument|field|is not|is deprecated|are not)",
            rf"support(?:s|ed|ing)? (?:for |the )?{word}\b",
            rf"\b{word}\b" if "_" in name else "(?!)",
        )
        if any(re.search(pattern, message) for pattern in patterns):
            yield name
