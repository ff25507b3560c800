"""Every setting of gateway.toml, checked. Secrets are named here, never written."""

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from equirouter.errors import ConfigError
from equirouter.serve.learning_settings import (
    CanarySettings,
    ExploreSettings,
    RetrainSettings,
    ShadowSettings,
)
from equirouter.serve.setting_types import (
    CascadeSettings,
    Count,
    FilePath,
    ModelParameters,
    PassedHeader,
    Positive,
    PriceSettings,
    SettingsSection,
)
from equirouter.serve.watch_settings import (
    CollapseSettings,
    DriftSettings,
    LogSettings,
    TelemetrySettings,
)


class ServerSettings(SettingsSection):
    """Where and how the gateway listens."""

    host: str = "127.0.0.1"
    """Address to listen on; without keys the gateway serves this machine only."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port to listen on; 0 takes a free one."""
    workers: Count = 1
    """Processes that share the port; budgets, rates and metrics are exact over all of them."""
    shutdown_seconds: Positive = 30.0
    """How long running requests may go on after SIGTERM; the process ends at most 20 s later."""
    cors_origins: frozenset[str] = frozenset()
    """Origins of pages that may call the API from a browser, such as "https://app.example", or "*"
    for all that have a key; none: no page."""
    answer_model: Literal["upstream", "pool"] = "upstream"
    """Model name in answers: the upstream's own or, with "pool", the name in the pool."""


class PipelineSettings(SettingsSection):
    """Which pipeline decides, and which part of a conversation it reads."""

    path: FilePath | None = None
    """Folder from `equirouter train`; without one only requests that name a model are served."""
    weights: FilePath | None = None
    """Folder with the encoder's weights; none: the installed package, or what the pipeline
    carries."""
    encoder_options: Mapping[str, str | int | float | bool] = {}
    """Further options of the encoder, which no pipeline carries: base_url and api_key_env of
    openai, model of sentence-transformers."""
    scope: Literal["last_user", "conversation", "first_user"] = "last_user"
    """Which part of a conversation is routed on."""
    window_turns: Count = 8
    """How many of the last messages "conversation" reads."""
    on_router_failure: Literal["strongest", "cheapest", "refuse"] = "strongest"
    """Which model answers when no decision can be made."""
    when_nothing_fits: Literal["cheapest", "refuse"] | None = None
    """What happens when no model is predicted to fit the budget; none: the pipeline's own rule."""
    batch_size: Count = 16
    """Most queries that are decided together; none waits for a batch to fill."""
    threads: Count | None = None
    """Threads of the encoder for a long query alone; none: the encoder's own choice."""
    ignored_models: frozenset[str] = frozenset()
    """Models of the pipeline that are not served; any other that is missing in the pool is an
    error."""
    spend_usd: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Mean cost in USD of requests to equirouter/auto that set no operating point; none: the
    pipeline's own operating point."""


class UpstreamSettings(SettingsSection):
    """An OpenAI-compatible provider."""

    base_url: str = ""
    """Address with the version, as https://api.openai.com/v1; needed unless kind is "litellm"."""
    kind: Literal["openai", "litellm"] = "openai"
    """How it is called: by OpenAI's API, or through LiteLLM's SDK."""
    api_key_env: str | None = None
    """Environment variable that holds the provider's key."""
    api_key_file: FilePath | None = None
    """File that holds the provider's key."""
    auth: Literal["bearer", "api-key", "x-api-key", "none"] = "bearer"
    """How the key is sent: as a bearer token, or in Azure's "api-key" or Anthropic's "x-api-key"
    header."""
    headers: Mapping[str, str] = {}
    """Further headers, without secrets."""
    pass_headers: frozenset[PassedHeader] = frozenset()
    """Headers of the client that it is sent, such as "x-trace-id"; with messages also
    anthropic-version and anthropic-beta."""
    query: Mapping[str, str] = {}
    """Further query parameters, such as Azure's api-version."""
    region: str | None = None
    """Where data are processed, under a name of your choice."""
    responses: bool = False
    """Whether it has /responses; if not, such requests are translated to chat completions."""
    messages: bool = False
    """Whether it has Anthropic's /messages; if not, they are translated to chat completions."""
    embeddings: bool = True
    """Whether it has /embeddings."""
    pass_through: bool = False
    """Whether /v1/completions, moderations, audio, images, files and batches are passed on to
    it."""
    stream_usage: bool = True
    """Whether it can be asked for the usage of a stream (stream_options.include_usage)."""
    charge_reported_cost: bool = False
    """Whether a call is charged what the provider reports that it cost (usage.cost), in place of
    tokens times price."""
    batch_price_factor: Annotated[float, Field(gt=0, le=1)] | None = None
    """What a call in a batch costs, as a share of its price (0.5); none: no `collect --batch`."""
    max_concurrency: Count | None = None
    """Most calls at once; none: no limit."""
    requests_per_minute: Count | None = None
    """Most calls in a minute; none: no limit."""
    connect_seconds: Positive = 5.0
    """Longest time to connect."""
    first_byte_seconds: Positive = 60.0
    """Longest time until the answer of a stream begins."""
    total_seconds: Positive = 600.0
    """Longest time for the whole answer; an answer in one piece begins when it is complete."""
    breaker_failures: Count = 5
    """Failures in a row that open the circuit."""
    breaker_seconds: Positive = 10.0
    """How long the circuit stays open before one call is let through to try."""

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
        for name in ("pass_through", "batch_price_factor"):
            if getattr(self, name) and self.kind != "openai":
                raise ValueError(f'{name} needs kind = "openai"')
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
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise ConfigError(
                f"the environment variable {self.api_key_env} is not set; it should hold the key "
                f"for {self.base_url or 'the provider'}"
            )
        return key


class ModelSettings(ModelParameters):
    """A model of the pool, under the name by which the pipeline knows it."""

    upstream: str
    """Which upstream serves it."""
    upstream_model: str | None = None
    """Its name at the upstream; none: the same name."""
    kind: Literal["chat", "embedding"] = "chat"
    """Models of kind "embedding" serve /v1/embeddings only."""
    price: PriceSettings | None = None
    """See below; none: the pipeline's unless that is 0, else the one of the package's table."""
    context_tokens: Count | None = None
    """Most tokens of prompt and answer together; none: not known."""
    max_output_tokens: Count = 4096
    """Longest answer where the request does not say; bounds the reserved cost."""
    image_tokens: Count = 1600
    """Most tokens that one image counts; GPT-4o mini counts up to 50,000."""
    abilities: frozenset[Literal["vision", "tools", "json", "audio"]] | None = None
    """What it can do; none: not known."""


class RetrySettings(SettingsSection):
    """How often a request is tried again before the first byte of its answer."""

    max_attempts: Count = 3
    """Calls of upstreams for one request."""
    same_model: Count = 2
    """How many of them may go to the same model, where no other is left."""
    backoff_seconds: Positive = 0.25
    """First pause, doubled each time, with jitter."""
    max_wait_seconds: Positive = 5.0
    """Longest pause, and longest Retry-After respected."""


class SessionSettings(SettingsSection):
    """Conversations stay with a model where a switch would cost more than it brings."""

    enabled: bool = True
    """Whether a conversation stays with its model where a switch would cost more than it brings."""
    detect: bool = True
    """Whether requests without a session are grouped by their first messages."""
    switch_cost: Literal["cache", "none", "always-stay"] = "cache"
    """What a switch costs: "cache" counts what the provider's prompt cache saves; "none" routes
    every message again, "always-stay" only the first."""
    ttl_seconds: Positive = 3600.0
    """How long a session is remembered."""
    max_sessions: Count = 100_000
    """How many are remembered, in each worker."""


class LimitSettings(SettingsSection):
    """Limits on what a client may send and on what an upstream may answer."""

    regions: frozenset[str] | None = None
    """Allowed regions of upstreams; every upstream must then state its region; none: any."""
    max_body_bytes: Count = 20 * 1024 * 1024
    """Longest body of a request."""
    body_seconds: Positive = 120.0
    """Longest time for a body to arrive; else a 408."""
    max_header_bytes: Count = 16 * 1024
    """Longest line of a header."""
    max_messages: Count = 2048
    """Most messages of a conversation."""
    max_json_depth: Count = 64
    """How deep a body may be nested."""
    max_json_values: Count = 500_000
    """Most values in a body, counted by commas and opening brackets before it is parsed; else a
    413. Reading that many takes up to 0.2 s."""
    max_answer_bytes: Count = 64 * 1024 * 1024
    """Longest answer of an upstream, unpacked; a longer stream ends with an error."""


class KeySettings(SettingsSection):
    """Whether requests need a key of the gateway."""

    required: bool | None = None
    """Whether a request needs a key; none: from the first key on, for good."""
    fail: Literal["closed", "open"] = "closed"
    """While the store is unreachable "closed" answers 503, "open" serves and charges later."""


class MoneySettings(SettingsSection):
    """Charges for calls whose cost is not known, and calls that a budget cannot bound."""

    charge_unknown: Literal["estimate", "bound", "nothing"] = "estimate"
    """Charge for a call whose usage nobody saw, as the client hung up, it timed out or the provider
    reported none: an estimate, the most that it could cost, or nothing."""
    unbounded: Literal["refuse", "serve"] = "refuse"
    """Whether requests whose cost has no bound that is known, such as those with tools that the
    provider runs, are refused under a budget, or served, though they may exceed it."""


class StoreSettings(SettingsSection):
    """Where keys, money and the decision log are kept."""

    url: str = "sqlite:///equirouter-gateway.db"
    """sqlite:///FILE or postgresql://HOST/DATABASE (extra serve)."""
    url_env: str | None = None
    """Environment variable that holds the URL, with its password."""
    flush_ms: Positive = 100.0
    """How long log entries may wait to be written together."""
    queue: Count = 10_000
    """Most that may wait; further ones are dropped and counted."""
    retention_days: Count | None = None
    """How long the log is kept; none: for good."""
    durability: Literal["process", "power"] = "process"
    """What reservations survive on SQLite: a killed process, or with "power" a loss of power, which
    waits for the disk."""


class GatewaySettings(SettingsSection):
    """The whole of gateway.toml."""

    server: ServerSettings = ServerSettings()
    pipeline: PipelineSettings = PipelineSettings()
    upstreams: Annotated[dict[str, UpstreamSettings], Field(min_length=1)]
    models: Annotated[dict[str, ModelSettings], Field(min_length=1)]
    retries: RetrySettings = RetrySettings()
    sessions: SessionSettings = SessionSettings()
    retrain: RetrainSettings = RetrainSettings()
    canary: CanarySettings = CanarySettings()
    limits: LimitSettings = LimitSettings()
    keys: KeySettings = KeySettings()
    money: MoneySettings = MoneySettings()
    store: StoreSettings = StoreSettings()
    log: LogSettings = LogSettings()
    cascade: CascadeSettings = CascadeSettings()
    explore: ExploreSettings = ExploreSettings()
    shadow: ShadowSettings = ShadowSettings()
    collapse: CollapseSettings = CollapseSettings()
    drift: DriftSettings = DriftSettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for name, model in self.models.items():
            if model.upstream not in self.upstreams:
                raise ValueError(
                    f"models.{name}: upstream {model.upstream!r} is not one of "
                    f"{', '.join(self.upstreams)}"
                )
            _check_model(name, model, self.upstreams[model.upstream])
        for setting, is_set, purpose in (
            ("cascade.enabled", self.cascade.enabled, "with plans"),
            ("pipeline.spend_usd", self.pipeline.spend_usd is not None, "to decide"),
            ("retrain.every", self.retrain.every is not None, "with versions"),
            ("canary.version", self.canary.version is not None, "with versions"),
        ):
            if is_set and self.pipeline.path is None:
                raise ValueError(f"{setting} needs a pipeline {purpose}: set pipeline.path")
        for setting, models in (
            ("explore.except_models", self.explore.except_models),
            ("shadow.models", self.shadow.models),
        ):
            unknown = sorted(models - self.models.keys())
            if unknown:
                raise ValueError(f"{setting}: no model {', '.join(unknown)}")
        if self.limits.regions is not None:
            for name, upstream in self.upstreams.items():
                if upstream.region is None:
                    raise ValueError(
                        f"upstreams.{name}: no region is set, and limits.regions says where data "
                        "may go; set it, to one of those or to another that is then never called"
                    )
        return self

    _file: Path | None = None

    @property
    def file(self) -> Path | None:
        """Where they were read from; None for settings made in Python."""
        return self._file

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the gateway."""
        if self.server.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.server.host).is_loopback
        except ValueError:
            return False


def _check_model(name: str, model: ModelSettings, upstream: UpstreamSettings) -> None:
    """Raise ValueError for a name, or for settings of a model that its upstream rules out."""
    wrong = None
    if model.kind == "embedding" and not upstream.embeddings:
        wrong = f"kind is embedding, and upstreams.{model.upstream} says embeddings = false"
    elif model.system_prompt is not None and model.kind == "embedding":
        wrong = "system_prompt is for models that chat"
    elif name.startswith(("equirouter/", "equirouter-")):
        wrong = "names that begin with equirouter/ or equirouter- are the virtual models"
    if wrong is not None:
        raise ValueError(f"models.{name}: {wrong}")
