"""The contract of every encoder: texts in, one vector of length 1 per text out."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from equirouter.arrays import Float32Array, FloatArray
from equirouter.data.cells import NO_TEXT
from equirouter.errors import ConfigError, DataError, PipelineError, UnreadableError
from equirouter.extras import Need
from equirouter.processes import WithoutCached
from equirouter.progress import Progress, silent

Name = TypeVar("Name", bound=str)


class Encoder(WithoutCached, ABC):
    """Turns queries into embeddings. A subclass says name, dimension, fingerprint and embed.

    Making one is cheap: weights are looked for when they are first needed. An encoder that learns
    from training texts sets `learns` and returns what it learned by `state`, which is saved with
    the pipeline; `restore` takes it back. One that was pickled encodes the same, on a machine with
    the same weights.
    """

    name: ClassVar[str]
    """As in the registry and on the command line."""
    saved_options: ClassVar[tuple[str, ...]] = ()
    """Those of the settings that a saved pipeline carries and gives back to the class on loading.

    A saved pipeline is data, which may come from anywhere: an option that names a host, a file, an
    environment variable or code is not among them. Whoever loads the pipeline gives it."""
    is_cheap: ClassVar[bool] = False
    """Whether an embedding takes no longer to make than to read from a cache: it is not cached."""
    is_saved_whole: ClassVar[bool] = False
    """Whether a saved pipeline has in `state` all that it needs, and looks for nothing else."""
    accepts_images: ClassVar[bool] = False
    """Whether encode reads the images; if not, every one given must be None."""

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that shape an embedding, as JSON can hold them."""
        return {}

    @classmethod
    def lacking(cls, options: Mapping[str, object]) -> str | None:  # noqa: ARG003  # most need none
        """Describe what is missing in the options of whoever loads a pipeline; None: nothing.

        An encoder that sends queries away, or fetches a model by name, does it for nobody who did
        not say where.
        """
        return None

    def needs(self) -> tuple[Need, ...]:
        """Packages beside the core, and weights, that encoding needs; by default none."""
        return ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for readers of figures made with this encoder; by default none."""
        return ()

    @property
    def learns(self) -> bool:
        """Whether fit must be called before anything can be encoded; by default not."""
        return False

    def fit(self, texts: Sequence[str]) -> Self:  # noqa: ARG002  # most encoders learn nothing
        """Learn what the settings ask for from the training texts, and nothing else. Returns self.

        The same texts give the same encoder. The fingerprint changes with what is learned.
        """
        return self

    def state(self) -> dict[str, NDArray[Any]]:
        """Learned arrays to keep with a pipeline, by name; `restore` takes them back."""
        return {}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take back what `state` gave, on an encoder with the same settings. Returns self.

        Raises PipelineError for a name that this encoder does not have.
        """
        if state:
            raise PipelineError(f"encoder {self.name} has no learned array {next(iter(state))!r}")
        return self

    def unknown_share(self, text: str) -> float | None:  # noqa: ARG002  # by default not known
        """Share of a text's tokens that the encoder has no meaning for, 0 to 1; None: cannot tell.

        1 for a text without any token.
        """
        return None

    @property
    @abstractmethod
    def dimension(self) -> int:
        """d, the length of an embedding."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A short string that changes with everything that shapes an embedding.

        That is weights, window and version. It is stored with what was trained on the embeddings,
        and it keys the cache.
        """

    def pack(self, texts: Sequence[str]) -> NDArray[Any]:
        """Few bytes per text (N, ...) of which `unpack` makes embeddings: by default float16."""
        return self.encode(texts).astype(np.float16)

    def unpack(self, packed: NDArray[Any]) -> Float32Array:
        """Embeddings (N, d) of what `pack` gave: by default those of encode to within 0.001."""
        embeddings = packed.astype(np.float32)
        embeddings /= np.sqrt(np.einsum("nd,nd->n", embeddings, embeddings))[:, None]
        return embeddings

    def of_numbers(self, packed: Mapping[str, NDArray[Any]]) -> Float32Array:
        """Embeddings (N, d) of what stands in a table in place of texts, by encoder fingerprint.

        Raises DataError where there is nothing of this encoder.
        """
        if self.fingerprint not in packed:
            raise DataError(
                "the table has no texts but numbers that encoders made of them, and none of "
                f"{self.fingerprint}: choose one of {', '.join(packed)}, or a table with texts"
            )
        return self.unpack(packed[self.fingerprint])

    @abstractmethod
    def embed(
        self, texts: tuple[str, ...], images: tuple[str | None, ...], progress: Progress
    ) -> Float32Array:
        """(N, d) unit-norm embeddings of checked input, N >= 1: what encode calls."""

    def encode(
        self,
        texts: Sequence[str],
        images: Sequence[str | None] | None = None,
        *,
        progress: Progress = silent,
    ) -> Float32Array:
        """Embed each query by what is in it, whatever the other queries are.

        texts: N strings with something in them; where there is an image, and the encoder reads
        images, a text may be empty. images: a path or None per query.
        progress: called as ("encode", done, total) after every batch; the unit is the encoder's.
        Returns (N, d) float32, each row of length 1, in the order of texts.
        Raises DataError for an empty or invalid text, with its index, for an image file that
        cannot be read, with its path, and when the encoder gives anything but finite numbers;
        ConfigError for images where the encoder reads none.
        """
        images = check_images(images, len(texts), encoder=self)
        texts = check_texts(texts, images)
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        embeddings = self.embed(texts, images, progress)
        if not math.isfinite(np.vdot(embeddings, embeddings)):  # the fastest look at all of them
            wrong = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
            if not wrong.size:
                return embeddings
            raise DataError(
                f"encoder {self.name}: the embedding of text {wrong[0]} has values that are not "
                "finite; the weights are damaged, so install or download them again"
            )
        return embeddings


def check_texts(
    texts: Sequence[str], images: Sequence[str | None] | None = None
) -> tuple[str, ...]:
    """The texts as a tuple. Raises DataError for one that is not text, or empty, with its index.

    images: one or None per text that will be read; beside one a text may be empty.
    """
    if isinstance(texts, str | bytes):
        raise DataError("texts is one string where a list of texts is expected: write [text]")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"text {i} is a {type(text).__name__} where a string is expected")
        if text.startswith(NO_TEXT):
            raise DataError(
                f"text {i} cannot be encoded ({text!r}): choose an encoder whose numbers the table "
                "has in place of texts, or a table with texts"
            )
        if (not text or text.isspace()) and (images is None or images[i] is None):
            raise UnreadableError(
                f"text {i} is empty: a router needs something to read; leave this query out"
            )
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(
                f"text {i} is not valid Unicode: character {error.start} is the lone surrogate "
                f"{text[error.start]!r}; decode the source with the encoding it was written in"
            ) from error
    return tuple(texts)


def check_images(
    images: Sequence[str | None] | None, n_texts: int, *, encoder: Encoder
) -> tuple[str | None, ...]:
    """One path or None per text. Raises DataError for a wrong number, ConfigError if unreadable."""
    if images is None:
        return (None,) * n_texts
    if len(images) != n_texts:
        raise DataError(f"{len(images)} images for {n_texts} texts: give one path or None per text")
    given = [i for i, image in enumerate(images) if image is not None]
    if given and not encoder.accepts_images:
        raise ConfigError(
            f"encoder {encoder.name} reads text only, but query {given[0]} has the image "
            f"{images[given[0]]!r}; choose an encoder that reads images, or leave them out"
        )
    return tuple(images)


def share(progress: Progress, start: int, size: int, total: int) -> Progress:
    """Progress of one part, as progress of the whole."""

    def part(stage: str, done: int, of: int) -> None:
        progress(stage, start + size * done // max(of, 1), total)

    return part


def check_at_least(name: str, value: object, lowest: int) -> None:
    """Raise ConfigError for anything but None or a whole number of `lowest` or more."""
    if value is not None and (type(value) is not int or value < lowest):
        raise ConfigError(f"{name}={value!r}: a whole number of {lowest} or more is expected")


def one_of(what: str, value: str, names: tuple[Name, ...]) -> Name:
    """The value, typed. Raises ConfigError for one that is none of the names."""
    for name in names:
        if value == name:
            return name
    raise ConfigError(f"no {what} {value!r}: one of {', '.join(names)} is expected")


def unit_rows(vectors: FloatArray | Float32Array, *, encoder: str) -> Float32Array:
    """(N, d) finite vectors, one per text, divided by their lengths.

    Raises DataError for a vector of zeros, which has no direction, with the index of its text.
    """
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    zero = np.flatnonzero(lengths == 0)
    if zero.size:
        raise DataError(
            f"encoder {encoder}: the embedding of text {zero[0]} is all zeros: the model knows "
            "none of its tokens; leave this query out, or choose another model"
        )
    return np.asarray(vectors / lengths, dtype=np.float32)
