"""Any embeddings endpoint that speaks OpenAI's protocol: OpenAI's, or a server of one's own."""

import base64
import binascii
import os
import re
import weakref
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import SplitResult, urlsplit

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from equirouter.arrays import Float32Array, FloatArray
from equirouter.encoders.base import Encoder, check_at_least, unit_rows
from equirouter.encoders.kept import short_digest
from equirouter.errors import ConfigError, DataError, DownloadError, EquiRouterError, PipelineError
from equirouter.extras import Need, require
from equirouter.progress import Progress

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAI

DEFAULT_BASE_URL = "https://api.openai.com/v1"
EXTRA = "encoders"
VERSION = 1
"""Version of the use of an answer here; part of the fingerprint."""

PROBE = "The quick brown fox jumps over the lazy dog, 1234567890 times."
"""A fixed text: its embedding, kept with a pipeline, shows whether the model has changed."""
SAME_MODEL = 0.999
"""Cosine of two embeddings of PROBE by one model, at least; rounding leaves 0.9999 and more."""

_CODE = re.compile(r"[a-z0-9_]{1,64}")


class _Row(BaseModel):
    index: int
    embedding: list[float] | str  # a string: base64 of little-endian float32


class _Answer(BaseModel):
    data: list[_Row]


class OpenAIEncoder(Encoder):
    """A model behind POST {base_url}/embeddings; its output at length 1.

    model: as the endpoint names it. base_url: None takes the environment variable OPENAI_BASE_URL,
    else OpenAI's. dimension: asked for as `dimensions`; None takes what the model gives, which the
    first request finds out. batch_size, batch_characters: texts and characters in one request, at
    most; a longer text goes alone. timeout: seconds for one request. max_retries: on a broken
    connection and on status 408, 409, 429 and 5xx, after a pause that doubles, with a random part,
    or the one that the answer asks for. api_key_env: the environment variable that holds the key;
    None or "" sends no key.

    The key is read when it is first needed and kept nowhere; no message holds it, or a query. A
    saved pipeline carries model and dimension only: whoever loads one says base_url again, by that
    option or OPENAI_BASE_URL, and so agrees that queries are sent there. Which endpoint it was is
    in the fingerprint.

    The weights cannot be seen, so the fingerprint is that of endpoint, model and dimension. `state`
    holds the embedding of one fixed text; after `restore` the first encode asks for it again and
    refuses a model that changed behind its name. Equal texts of one call are asked for once.
    Raises ConfigError for a value that makes no sense, and for a key, model or address that the
    endpoint refuses; DataError for texts that it refuses; DownloadError when it cannot be reached
    or its answer is not what was asked for; PipelineError when its model has changed.
    """

    name = "openai"
    saved_options = ("model", "dimension")

    def needs(self) -> tuple[Need, ...]:
        """The client library."""
        return (Need("openai", EXTRA, "ask an embeddings endpoint"),)

    @classmethod
    def lacking(cls, options: Mapping[str, object]) -> str | None:
        """Describe a missing base_url, without which queries go nowhere."""
        if options.get("base_url") or os.environ.get("OPENAI_BASE_URL"):
            return None
        return f"it sends every query to base_url, such as {DEFAULT_BASE_URL}, which is not given"

    def __init__(
        self,
        *,
        model: str | None = None,
        base_url: str | None = None,
        dimension: int | None = None,
        batch_size: int = 128,
        batch_characters: int = 100_000,
        timeout: float = 60.0,
        max_retries: int = 5,
        api_key_env: str | None = "OPENAI_API_KEY",
    ) -> None:
        if not model:
            raise ConfigError(
                f"encoder {self.name} needs a model: model='text-embedding-3-small' or another "
                "name that the endpoint knows"
            )
        check_at_least("dimension", dimension, 1)
        check_at_least("batch_size", batch_size, 1)
        check_at_least("batch_characters", batch_characters, 1)
        check_at_least("max_retries", max_retries, 0)
        _check_seconds("timeout", timeout)
        self.model = str(model)
        self.base_url = base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL
        self.batch_size = batch_size
        self.batch_characters = batch_characters
        self.timeout = timeout
        self.max_retries = max_retries
        self.api_key_env = api_key_env or None
        self._asked_dimension = dimension
        self._address = _check_address(self.base_url)
        self._kept_probe: Float32Array | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Model and dimension; neither the address nor anything about the key."""
        return {"model": self.model, "dimension": self._asked_dimension}

    @property
    def dimension(self) -> int:
        """As asked for; else as the model gives, for which the endpoint is asked once."""
        if self._asked_dimension is not None:
            return self._asked_dimension
        return len(self._probe if self._kept_probe is None else self._kept_probe)

    @cached_property
    def fingerprint(self) -> str:
        """Of host, path, model, dimension and version. The weights behind them cannot be seen."""
        parts = {
            "endpoint": self._address.netloc.lower() + self._address.path.rstrip("/"),
            "model": self.model,
            "dimension": self._asked_dimension,
            "version": VERSION,
        }
        host = self._address.netloc.lower()[:40]
        return f"{self.name}-{host}-{short_digest(parts)}"

    def state(self) -> dict[str, NDArray[Any]]:
        """The embedding of PROBE, by which `restore` knows the model again."""
        return {"probe": self._probe if self._kept_probe is None else self._kept_probe}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take back what `state` gave; the next encode compares the endpoint's model with it.

        Raises PipelineError for anything but one vector of the right dimension.
        """
        probe = np.asarray(state.get("probe", ()), dtype=np.float32)
        expected = self._asked_dimension or probe.size
        if set(state) != {"probe"} or probe.shape != (expected,) or not np.isfinite(probe).all():
            raise PipelineError(
                f"encoder {self.name} keeps one array, probe, of its dimension "
                f"({self._asked_dimension or 'any'}); found "
                f"{ {name: array.shape for name, array in state.items()} }"
            )
        self._kept_probe = probe
        return self

    def embed(
        self,
        texts: tuple[str, ...],
        images: tuple[str | None, ...],  # noqa: ARG002  # all None: this encoder reads text only
        progress: Progress,
    ) -> Float32Array:
        """Embeddings of checked texts; progress counts the distinct ones."""
        self._check_model()
        distinct = list(dict.fromkeys(texts))
        vectors = np.empty((len(distinct), self.dimension), dtype=np.float64)
        done = 0
        for batch in self._batches(distinct):
            vectors[done : done + len(batch)] = self._ask(batch, self.dimension)
            done += len(batch)
            progress("encode", done, len(distinct))
        row = {text: i for i, text in enumerate(distinct)}
        return unit_rows(vectors[[row[text] for text in texts]], encoder=self.name)

    def _batches(self, texts: list[str]) -> Iterator[list[str]]:
        """The texts in their order, as many at once as the two limits allow, one at least."""
        batch: list[str] = []
        size = 0
        for text in texts:
            full = len(batch) == self.batch_size or size + len(text) > self.batch_characters
            if batch and full:
                yield batch
                batch, size = [], 0
            batch.append(text)
            size += len(text)
        yield batch

    def _check_model(self) -> None:
        """After restore: PipelineError when the model is not the one that was kept."""
        if self._kept_probe is None:
            return
        now, kept = self._probe, self._kept_probe
        if now.shape != kept.shape or float(now @ kept) < SAME_MODEL:
            raise PipelineError(
                f"model {self.model} at {self._host} is not the one that the pipeline was trained "
                f"with: the embedding of a fixed text has changed ({kept.size} numbers then, "
                f"{now.size} now, and a cosine below {SAME_MODEL}). Train again, or use an "
                "endpoint that serves the same model"
            )

    @cached_property
    def _probe(self) -> Float32Array:
        answer = self._ask([PROBE], self._asked_dimension)
        probe: Float32Array = unit_rows(answer, encoder=self.name)[0]
        return probe

    def _ask(self, texts: list[str], dimension: int | None) -> FloatArray:
        """(B, d): one request. dimension: what must come; None takes what comes."""
        openai = require("openai", extra=EXTRA, purpose="ask an embeddings endpoint")
        asked = self._asked_dimension
        try:
            # the raw answer: the client would take one with missing or extra vectors as it is
            answer = self._client.embeddings.with_raw_response.create(
                model=self.model,
                input=texts,
                dimensions=openai.omit if asked is None else asked,
                extra_headers={"Authorization": openai.omit} if self.api_key_env is None else None,
            )
            return _vectors(answer.content, len(texts), dimension, self._host)
        except openai.APIStatusError as error:
            raise self._refusal(error, texts) from None  # the endpoint's words may quote a query
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            raise DownloadError(
                f"no answer from {self._host} after {self.max_retries} retries "
                f"({type(cause).__name__}: {cause}); check base_url={self.base_url!r}, the "
                f"network, and timeout={self.timeout:g} seconds"
            ) from None

    def _refusal(self, error: "APIStatusError", texts: list[str]) -> EquiRouterError:
        """The error for a status other than 2xx; of the endpoint's words it quotes a plain code."""
        status = error.status_code
        code = str(error.code)
        answer = f"{self._host} answered {status}" + (f" ({code})" if _CODE.fullmatch(code) else "")
        if status in (401, 403):
            return ConfigError(
                f"{answer}: it refuses the key in the environment variable {self.api_key_env}; set "
                "it to a key that may use this model, or set base_url to the endpoint it is for"
            )
        if status in (404, 405) or status < 400:
            return ConfigError(
                f"{answer}: no embeddings of model {self.model!r} at {self.base_url}; check both"
            )
        if status in (408, 409, 429) or status >= 500:
            return DownloadError(
                f"{answer}, also after {self.max_retries} retries: try again later; a smaller "
                "batch_size or more max_retries may help"
            )
        return DataError(
            f"{answer} to {len(texts)} texts, the longest of {max(map(len, texts))} characters, "
            f"for model {self.model!r} and dimension {self._asked_dimension}: shorten or leave out "
            "texts beyond the model's limit, and ask for a dimension only where the model has it"
        )

    @property
    def _host(self) -> str:
        return self._address.netloc

    @cached_property
    def _client(self) -> "OpenAI":
        openai = require("openai", extra=EXTRA, purpose="ask an embeddings endpoint")
        client: OpenAI = openai.OpenAI(
            api_key=self._key(),
            base_url=self.base_url,
            timeout=self.timeout,
            max_retries=self.max_retries,
        )
        weakref.finalize(self, client.close)  # connections stay open between calls, not longer
        return client

    def _key(self) -> str:
        if self.api_key_env is None:
            return "none"  # the client wants one; it is not sent
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise ConfigError(
                f"the environment variable {self.api_key_env} is not set: it must hold the key for "
                f"{self._host}; api_key_env names another one, or is None for an endpoint without "
                "keys"
            )
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigError(
                f"the environment variable {self.api_key_env} holds no key: it has characters that "
                "no key has"
            )
        return key


def _vectors(content: bytes, n: int, dimension: int | None, host: str) -> FloatArray:
    """(n, d) from the body of an answer, row i being the vector of text i.

    Raises DownloadError for anything but n finite vectors of one length.
    """
    wrong = f"the answer of {host} is not what an embeddings endpoint gives: "
    try:
        rows = _Answer.model_validate_json(content).data
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "body"
        raise DownloadError(f"{wrong}{place}: {first['type']}; check base_url") from None
    if sorted(row.index for row in rows) != list(range(n)):
        raise DownloadError(f"{wrong}{len(rows)} vectors, not one of each index, for {n} texts")
    vectors = [_vector(row, wrong) for row in sorted(rows, key=lambda row: row.index)]
    widths = sorted({len(vector) for vector in vectors})
    expected = dimension or widths[0]
    if widths != [expected] or not expected:
        raise DownloadError(
            f"{wrong}vectors of {widths} numbers where {dimension or 'one length'} is expected; "
            "a server that does not know `dimensions` gives its own: leave dimension out then"
        )
    matrix = np.array(vectors, dtype=np.float64)
    if not np.isfinite(matrix).all():
        raise DownloadError(f"{wrong}numbers that are not finite; the model there is damaged")
    return matrix


def _vector(row: _Row, wrong: str) -> FloatArray:
    if isinstance(row.embedding, list):
        return np.array(row.embedding, dtype=np.float64)
    try:
        content = base64.b64decode(row.embedding, validate=True)
        return np.frombuffer(content, dtype="<f4").astype(np.float64)
    except (binascii.Error, ValueError) as error:
        raise DownloadError(f"{wrong}vector {row.index} is not base64 of float32") from error


def _check_seconds(name: str, value: object) -> None:
    if not isinstance(value, int | float) or not value > 0:
        raise ConfigError(f"{name}={value!r}: seconds above 0 are expected")


def _check_address(base_url: str) -> SplitResult:
    """The parts of an address. Raises ConfigError, without repeating what may be a password."""
    expected = f"an address like {DEFAULT_BASE_URL} is expected, with http or https, and no query"
    try:
        parts = urlsplit(base_url)
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"base_url is not an address ({error}): {expected}") from error
    if parts.username is not None or parts.password is not None:
        raise ConfigError("base_url holds a name or a password: give the key by api_key_env")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(f"base_url={base_url!r}: {expected}")
    return parts
