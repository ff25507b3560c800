"""gateway.toml: every setting of the gateway, checked. Secrets are named here, never written."""

import ipaddress
import os
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from equirouter.errors import ConfigError
from equirouter.serve.complaints import in_words

__all__ = [
    "CollapseSettings",
    "GatewaySettings",
    "KeySettings",
    "LimitSettings",
    "LogSettings",
    "ModelSettings",
    "PipelineSettings",
    "RetrySettings",
    "ServerSettings",
    "SessionSettings",
    "StoreSettings",
    "TelemetrySettings",
    "UpstreamSettings",
    "read_settings",
]

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(_Section):
    """Where the gateway listens.

    workers: processes that share the port. shutdown_seconds: how long running requests may go on
    after SIGTERM. answer_model: what answers give as their model: the upstream's own words, or the
    name in the pool.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    workers: Count = 1
    shutdown_seconds: Positive = 30.0
    answer_model: Literal["upstream", "pool"] = "upstream"


class PipelineSettings(_Section):
    """Which pipeline decides, and on what.

    path: a folder from `equirouter train`; None routes nothing: only named models are served.
    weights: folder of the encoder's weights. scope: which part of a conversation is read.
    window_turns: with scope "conversation", the last so many messages. on_router_failure: who
    answers when no decision can be made. when_nothing_fits: what happens when no model is within
    the budget; None is the pipeline's own rule. batch_size: most queries that are decided together.
    threads: of one run of the encoder; None is the encoder's own choice. ignored_models: models of
    the pipeline that are not served; any other that the pool lacks is an error. spend_usd: what
    requests to equirouter/auto that set nothing of their own are to cost on average, in USD; None
    leaves them to the pipeline's own operating point.
    """

    path: Path | None = None
    weights: Path | None = None
    scope: Literal["last_user", "conversation", "first_user"] = "last_user"
    window_turns: Count = 8
    on_router_failure: Literal["strongest", "cheapest", "refuse"] = "strongest"
    when_nothing_fits: Literal["cheapest", "refuse"] | None = None
    batch_size: Count = 16
    threads: Count | None = None
    ignored_models: frozenset[str] = frozenset()
    spend_usd: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class UpstreamSettings(_Section):
    """An OpenAI-compatible provider.

    base_url: with the version, such as https://api.openai.com/v1. api_key_env, api_key_file: where
    its key is. auth: how it is sent: as a bearer token, or as Azure's api-key header. headers:
    further ones, without secrets. kind "litellm" calls the provider through LiteLLM's SDK. regions:
    where data may be processed. responses, embeddings: whether it has these endpoints.
    max_concurrency, requests_per_minute: None for no limit. breaker_failures: failures in a row
    that open the circuit, for breaker_seconds. first_byte_seconds: until a stream begins; what is
    not streamed begins when it is complete, and has total_seconds. stream_usage: whether it can be
    asked for the usage of a stream (stream_options.include_usage).
    """

    base_url: str = ""
    kind: Literal["openai", "litellm"] = "openai"
    api_key_env: str | None = None
    api_key_file: Path | None = None
    auth: Literal["bearer", "api-key", "none"] = "bearer"
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    region: str | None = None
    responses: bool = False
    embeddings: bool = True
    stream_usage: bool = True
    max_concurrency: Count | None = None
    requests_per_minute: Count | None = None
    connect_seconds: Positive = 5.0
    first_byte_seconds: Positive = 60.0
    total_seconds: Positive = 600.0
    breaker_failures: Count = 5
    breaker_seconds: Positive = 10.0

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "openai":
            parts = urlsplit(self.base_url)
            if parts.username or parts.password:
                raise ValueError("base_url has a password in it: use api_key_env")
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(
                    f"base_url is {self.base_url!r}: expected something like "
                    "https://api.openai.com/v1"
                )
        if self.api_key_env and self.api_key_file:
            raise ValueError("api_key_env and api_key_file exclude each other")
        return self

    def secret(self) -> str | None:
        """The provider's key, None where none is named. Raises ConfigError if it is not there."""
        if self.api_key_file is not None:
            try:
                return self.api_key_file.read_text("utf-8").strip()
            except OSError as error:
                raise ConfigError(
                    f"api_key_file {self.api_key_file}: {error.strerror or error}"
                ) from error
        if self.api_key_env is None:
            return None
        found = os.environ.get(self.api_key_env, "").strip()
        if not found:
            raise ConfigError(
                f"the environment variable {self.api_key_env} is not set; it should hold the key "
                f"for {self.base_url or 'the provider'}"
            )
        return found


class PriceSettings(_Section):
    """USD per million tokens; None: as input or output."""

    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]
    cached_input: Annotated[float, Field(ge=0)] | None = None
    cache_write: Annotated[float, Field(ge=0)] | None = None
    reasoning: Annotated[float, Field(ge=0)] | None = None
    audio_input: Annotated[float, Field(ge=0)] | None = None
    audio_output: Annotated[float, Field(ge=0)] | None = None


class ModelSettings(_Section):
    """A model of the pool, under the name by which the pipeline knows it.

    upstream: who serves it. upstream_model: its name there, None for the same name. price: None is
    the pipeline's, else that of the package's table. context_tokens: prompt and answer together.
    max_output_tokens: what an answer can have at most where the request does not say; it bounds
    the cost. image_tokens: what one image counts at most. abilities: None: not known, nothing is
    ruled out. kind "embedding" is for /v1/embeddings only.
    """

    upstream: str
    upstream_model: str | None = None
    kind: Literal["chat", "embedding"] = "chat"
    price: PriceSettings | None = None
    context_tokens: Count | None = None
    max_output_tokens: Count = 4096
    image_tokens: Count = 1600
    abilities: frozenset[Literal["vision", "tools", "json", "audio"]] | None = None


class RetrySettings(_Section):
    """What happens before the first byte. max_attempts: calls of upstreams for one request.

    same_model: how many of them may go to the model that just failed (429 and 5xx with a short
    Retry-After). backoff_seconds: first pause, doubled each time, with jitter; max_wait_seconds:
    longest pause, and longest Retry-After that is waited for.
    """

    max_attempts: Count = 3
    same_model: Count = 2
    backoff_seconds: Positive = 0.25
    max_wait_seconds: Positive = 5.0


class SessionSettings(_Section):
    """Conversations stay with a model where a switch would cost more than it brings.

    detect: a request without a session belongs to the one with the same first messages.
    switch_cost: "cache" counts the provider's prompt cache: what the cached part of the prompt
    would cost uncached with the new model.
    """

    enabled: bool = True
    detect: bool = True
    switch_cost: Literal["cache", "none", "always-stay"] = "cache"
    ttl_seconds: Positive = 3600.0
    max_sessions: Count = 100_000


class LimitSettings(_Section):
    """Limits on what a client may send, and on what an upstream may answer (max_answer_bytes).

    regions: where data may go, by the regions of the upstreams, each of which must then say its
    own; models elsewhere are never called. None for anywhere. body_seconds: within which a body
    must have arrived. max_json_values: in a body, by its commas and brackets, counted before it is
    parsed: very many small values take seconds.
    """

    regions: frozenset[str] | None = None
    max_body_bytes: Count = 20 * 1024 * 1024
    body_seconds: Positive = 120.0
    max_header_bytes: Count = 16 * 1024
    max_messages: Count = 2048
    max_json_depth: Count = 64
    max_json_values: Count = 500_000
    max_answer_bytes: Count = 64 * 1024 * 1024


class KeySettings(_Section):
    """required: whether a request needs a key of the gateway. None: as soon as the store has one.

    fail: what happens while the store cannot be asked: "closed" answers 503.
    """

    required: bool | None = None
    fail: Literal["closed", "open"] = "closed"


class StoreSettings(_Section):
    """Where keys, money and the decision log are kept.

    url: sqlite:///FILE or postgresql://HOST/DB; url_env: the variable that holds it, with its
    password. flush_ms: how long log entries may wait; queue: most that may wait before they are
    dropped and counted. retention_days: None keeps all. durability: what money that is reserved
    outlives on SQLite: a killed "process", or a loss of "power", which waits for the disk before
    every group of calls; PostgreSQL is as durable as it is configured.
    """

    url: str = "sqlite:///equirouter-gateway.db"
    url_env: str | None = None
    flush_ms: Positive = 100.0
    queue: Count = 10_000
    retention_days: Count | None = None
    durability: Literal["process", "power"] = "process"


class LogSettings(_Section):
    """level, format: of stderr. log_texts: whether prompts and answers are kept."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "json"
    log_texts: bool = False


class CollapseSettings(_Section):
    """The alarm for routing collapse: the strongest model's share against what was expected.

    window: decisions whose share is shown; minimum: fewer raise no alarm. tolerance: how far the
    share may be above the expected one. false_alarm_every: while it is not, so many decisions of a
    class pass, on average at least, before one alarm.
    """

    window: Count = 500
    minimum: Count = 50
    tolerance: Annotated[float, Field(ge=0, le=1)] = 0.1
    false_alarm_every: Count = 100_000


class TelemetrySettings(_Section):
    """What can be looked at. otel: traces, set by the OTEL_* variables.

    metrics, dashboard: whether they are served. metrics_open: whether /metrics may be read without
    the admin key from another machine. metrics_by_key: whether the ids of keys are a label.
    """

    metrics: bool = True
    metrics_open: bool = False
    metrics_by_key: bool = False
    dashboard: bool = True
    otel: bool = False


class GatewaySettings(_Section):
    """The whole of gateway.toml."""

    server: ServerSettings = ServerSettings()
    pipeline: PipelineSettings = PipelineSettings()
    upstreams: Annotated[dict[str, UpstreamSettings], Field(min_length=1)]
    models: Annotated[dict[str, ModelSettings], Field(min_length=1)]
    retries: RetrySettings = RetrySettings()
    sessions: SessionSettings = SessionSettings()
    limits: LimitSettings = LimitSettings()
    keys: KeySettings = KeySettings()
    store: StoreSettings = StoreSettings()
    log: LogSettings = LogSettings()
    collapse: CollapseSettings = CollapseSettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for name, model in self.models.items():
            if model.upstream not in self.upstreams:
                raise ValueError(
                    f"models.{name}: upstream {model.upstream!r} is not one of "
                    f"{', '.join(self.upstreams)}"
                )
            if model.kind == "embedding" and not self.upstreams[model.upstream].embeddings:
                raise ValueError(
                    f"models.{name}: kind is embedding, and upstreams.{model.upstream} says "
                    "embeddings = false"
                )
            if name.startswith("equirouter/"):
                raise ValueError(f"models.{name}: names under equirouter/ are the virtual models")
        if self.pipeline.spend_usd is not None and self.pipeline.path is None:
            raise ValueError("pipeline.spend_usd needs a pipeline to decide: set pipeline.path")
        if self.limits.regions is not None:
            for name, upstream in self.upstreams.items():
                if upstream.region is None:
                    raise ValueError(
                        f"upstreams.{name}: no region is set, and limits.regions says where data "
                        "may go; set it, to one of those or to another that is then never called"
                    )
        return self

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the gateway."""
        if self.server.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.server.host).is_loopback
        except ValueError:
            return False


def read_settings(path: str | Path) -> GatewaySettings:
    """Read gateway.toml; paths in it are relative to its folder.

    Raises ConfigError, which names the setting, what was found and what was expected.
    """
    path = Path(path)
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    try:
        settings = GatewaySettings.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{path}: {in_words(GatewaySettings, error)}") from error
    return _absolute(settings, path.parent)


def _absolute(settings: GatewaySettings, folder: Path) -> GatewaySettings:
    """The same settings with paths that do not depend on where the process was started."""
    pipeline = settings.pipeline
    upstreams = {
        name: one
        if one.api_key_file is None
        else one.model_copy(update={"api_key_file": folder / one.api_key_file})
        for name, one in settings.upstreams.items()
    }
    return settings.model_copy(
        update={
            "pipeline": pipeline.model_copy(
                update={
                    "path": None if pipeline.path is None else folder / pipeline.path,
                    "weights": None if pipeline.weights is None else folder / pipeline.weights,
                }
            ),
            "upstreams": upstreams,
            "store": settings.store.model_copy(
                update={"url": _absolute_url(settings.store.url, folder)}
            ),
        }
    )


def _absolute_url(url: str, folder: Path) -> str:
    """The same URL, the file of a SQLite database relative to the folder."""
    kind, slashes, path = url.partition(":///")
    if not (slashes and kind == "sqlite" and path) or Path(path).is_absolute():
        return url
    return f"{kind}:///{(folder / path).absolute()}"
