"""The body of a chat completion as far as the gateway reads it.

That is enough to decide, to bound the cost and to refuse nonsense. Everything else in the body is
the upstream's business and is passed on as it came.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from equirouter.serve.records import Endpoint
from equirouter.serve.refusals import wrong_field
from equirouter.serve.settings import LimitSettings

VIRTUAL = "equirouter/"
_WITHOUT_SLASH = "equirouter-"  # some clients take what is before a slash for a provider
MOST_CHOICES = 128
_NAMES = "model messages input instructions prompt n max_tokens max_completion_tokens"
_NAMES += " max_output_tokens stream stream_options tools functions response_format text"
_NAMES += " modalities background previous_response_id conversation service_tier equirouter"
_NAMES += " system metadata output_config"
_READ = frozenset(_NAMES.split())
LONGEST_MODEL = 512  # it is logged, and said in answers


@dataclass(slots=True)
class ChatRequest:
    """A request for an answer, as far as the gateway reads it.

    body: the parsed document. messages: the conversation in the form of chat completions, also
    where the request was of another form. n: answers asked for. max_output_tokens: limit for one
    answer, None where the request sets none. needs: of "vision", "tools", "json" and "audio" what
    a model must be able to do. include_usage: whether the client wants the usage of a stream.
    service_tier: as asked for. kept_elsewhere: what belongs to the prompt and only the provider
    has. unpriced: what it asks for that no price of tokens covers. caches: whether it asks the
    provider to write to a cache, in fields that messages do not have.
    """

    body: dict[str, Any]
    model: str
    messages: list[dict[str, Any]]
    endpoint: Endpoint = "chat.completions"
    stream: bool = False
    include_usage: bool = False
    n: int = 1
    max_output_tokens: int | None = None
    needs: frozenset[str] = frozenset()
    service_tier: str | None = None
    kept_elsewhere: tuple[str, ...] = ()
    unpriced: tuple[str, ...] = ()
    caches: bool = False

    @property
    def is_virtual(self) -> bool:
        """Whether the model's name asks for a decision."""
        return self.model.startswith(VIRTUAL)


def chat_request(
    body: object, limits: LimitSettings, endpoint: Endpoint = "chat.completions"
) -> ChatRequest:
    """Read the body of a chat completion. Raises GatewayError 400 that names the field."""
    if not isinstance(body, dict):
        raise wrong_field(None, body, "a JSON object")
    messages = listed_messages(body, limits)
    kinds: set[str] = set()
    for place, message in enumerate(messages):
        _check_message(message, place, kinds)
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise wrong_field("stream_options", options, "an object")
    return ChatRequest(
        body=body,
        model=checked_model(body),
        messages=messages,
        endpoint=endpoint,
        stream=flagged(body, "stream"),
        include_usage=bool(options and options.get("include_usage")),
        n=counted(body, "n", MOST_CHOICES) or 1,
        # a provider may go by either of them
        max_output_tokens=max(
            counted(body, "max_completion_tokens") or 0, counted(body, "max_tokens") or 0
        )
        or None,
        needs=_needs(body, kinds),
        service_tier=named_tier(body),
        kept_elsewhere=tuple(_references(messages)),
        unpriced=unpriced(body),
    )


def listed_messages(body: dict[str, Any], limits: LimitSettings) -> list[Any]:
    """The list of messages, not too many. Raises GatewayError 400."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise wrong_field("messages", messages, "a list of at least one message")
    if len(messages) > limits.max_messages:
        raise wrong_field("messages", len(messages), f"at most {limits.max_messages} of them")
    return messages


def checked_model(body: dict[str, Any]) -> str:
    """The model that is asked for. Raises GatewayError 400 where none is.

    Also for a field whose name differs from one that the gateway reads by capitals only: some
    providers take "Model" for "model", and would be asked for what was never checked.
    """
    for name in body:
        if name not in _READ and name.casefold() in _READ:
            raise wrong_field(name, body[name], f"{name.casefold()}, spelled exactly so")
    model = body.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= LONGEST_MODEL:
        raise wrong_field("model", model, "the name of a model, such as equirouter/auto")
    if model.startswith(_WITHOUT_SLASH):
        return VIRTUAL + model.removeprefix(_WITHOUT_SLASH)
    return model


def _check_message(message: object, place: int, kinds: set[str]) -> None:
    """Check the form of a message; what it has beside text is added to kinds."""
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise wrong_field(f"messages[{place}]", message, 'an object with a "role"')
    content = message.get("content")
    if content is None or isinstance(content, str):
        return
    field = f"messages[{place}].content"
    if not isinstance(content, list):
        raise wrong_field(field, content, "a text, a list of parts, or null")
    for number, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise wrong_field(f"{field}[{number}]", part, 'an object with a "type"')
        if part["type"] == "image_url":
            kinds.add("vision")
        elif part["type"] == "input_audio":
            kinds.add("audio")


def _needs(body: dict[str, Any], kinds: set[str]) -> frozenset[str]:
    needs = kinds
    if body.get("tools") or body.get("functions"):
        needs.add("tools")
    form = body.get("response_format")
    if isinstance(form, dict) and form.get("type") in ("json_object", "json_schema"):
        needs.add("json")
    modalities = body.get("modalities")
    if isinstance(modalities, list) and "audio" in modalities:
        needs.add("audio")
    return frozenset(needs) if needs else _NOTHING


_NOTHING: frozenset[str] = frozenset()


# Run by the client, or nothing but a form of the answer; whatever else a tool is, the provider runs
# it, adds what it finds to the prompt, and charges for the search, the session or the picture.
_RUN_BY_THE_CLIENT = frozenset(
    (
        "function",
        "custom",
        "namespace",
        "local_shell",
        "apply_patch",
        "computer",
        "computer_use_preview",
    )
)
_UNPRICED = ("web_search_options", "plugins", "models", "speed")


def unpriced(body: dict[str, Any]) -> tuple[str, ...]:
    """Names of all that a request asks for and tokens times the price of its model do not cover.

    Tools that the provider runs, OpenRouter's plugins and other models, Anthropic's fast mode.
    """
    asked = [name for name in _UNPRICED if body.get(name) is not None]
    tools = body.get("tools")
    if tools and isinstance(tools, list):
        kinds = {str(tool.get("type")) for tool in tools if isinstance(tool, dict)}
        asked += [f"tools of type {kind[:60]}" for kind in sorted(kinds - _RUN_BY_THE_CLIENT)]
    return tuple(asked)


def named_tier(body: dict[str, Any]) -> str | None:
    """The service tier that is asked for, None where none is. Raises GatewayError 400."""
    tier = body.get("service_tier")
    if tier is not None and not isinstance(tier, str):
        raise wrong_field("service_tier", tier, "the name of a service tier, such as default")
    return tier or None


def _references(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The parts of messages that only the provider has: files by id, its own answers in sound."""
    for message in messages:
        if isinstance(message.get("audio"), dict):
            yield "audio"
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            file = part.get("file")
            if isinstance(file, dict) and file.get("file_data") is None:
                yield "file_id"


def counted(body: dict[str, Any], name: str, most: int = 2**31) -> int | None:
    """A whole number of at least 1, None where it is absent. Raises GatewayError 400."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
        raise wrong_field(name, value, f"a whole number from 1 to {most}")
    return value


def flagged(body: dict[str, Any], name: str) -> bool:
    """A truth value, false where it is absent. Raises GatewayError 400."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise wrong_field(name, value, "true or false")
    return bool(value)


def decoded_image(data_url: str) -> bytes | None:
    """The bytes of an image in a data URL, None if it is not base64."""
    import binascii
    from base64 import b64decode

    head, comma, data = data_url.partition(",")
    if not comma or not head.endswith(";base64"):
        return None
    try:
        return b64decode(data, validate=True)
    except binascii.Error:
        return None
