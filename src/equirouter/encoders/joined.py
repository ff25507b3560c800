"""Two encoders side by side: their embeddings of a query joined into one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from equirouter.arrays import Float32Array
from equirouter.encoders.base import Encoder, share
from equirouter.encoders.kept import short_digest
from equirouter.encoders.lexical import LexicalEncoder
from equirouter.encoders.minilm import MiniLMEncoder
from equirouter.encoders.windows import DEFAULT_WINDOW
from equirouter.errors import PipelineError
from equirouter.extras import Need
from equirouter.progress import Progress


class JoinedEncoder(Encoder):
    """Embeddings of several encoders of text, one behind the other and scaled to length 1.

    parts: the encoders by name; every one has the same weight. The settings of two parts must not
    have a name in common. What a part learns, it learns from the same texts; in `state` its arrays
    have its name and a dot before theirs.
    """

    def __init__(self, parts: Mapping[str, Encoder]) -> None:
        self.parts = dict(parts)

    @property
    def settings(self) -> dict[str, Any]:
        """Those of all parts."""
        return {key: value for part in self.parts.values() for key, value in part.settings.items()}

    def needs(self) -> tuple[Need, ...]:
        """Those of all parts."""
        return tuple(need for part in self.parts.values() for need in part.needs())

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of all parts."""
        return tuple(note for part in self.parts.values() for note in part.notes)

    @property
    def learns(self) -> bool:
        """Whether a part does."""
        return any(part.learns for part in self.parts.values())

    def fit(self, texts: Sequence[str]) -> Self:
        """Fit every part; returns self."""
        for part in self.parts.values():
            part.fit(texts)
        return self

    def state(self) -> dict[str, NDArray[Any]]:
        """The learned arrays of the parts, under NAME.array."""
        return {
            f"{name}.{key}": array
            for name, part in self.parts.items()
            for key, array in part.state().items()
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take back what `state` gave. Raises PipelineError for an array that no part has."""
        of_part: dict[str, dict[str, NDArray[Any]]] = {name: {} for name in self.parts}
        for key, array in state.items():
            name, _, inner = key.partition(".")
            if name not in of_part:
                raise PipelineError(f"encoder {self.name} has no learned array {key!r}")
            of_part[name][inner] = array
        for name, part in self.parts.items():
            part.restore(of_part[name])
        return self

    def unknown_share(self, text: str) -> float | None:
        """The least of the parts; None where one of them cannot tell."""
        shares = [part.unknown_share(text) for part in self.parts.values()]
        known = [share for share in shares if share is not None]
        return min(known) if len(known) == len(shares) else None

    @property
    def dimension(self) -> int:
        """The sum of the parts' dimensions."""
        return sum(part.dimension for part in self.parts.values())

    @property
    def fingerprint(self) -> str:
        """Of the parts' fingerprints, in their order."""
        of_parts = [part.fingerprint for part in self.parts.values()]
        return f"{self.name}-{short_digest(of_parts)}"

    def embed(
        self, texts: tuple[str, ...], images: tuple[str | None, ...], progress: Progress
    ) -> Float32Array:
        """Embeddings of checked texts; progress counts texts, each once per part."""
        total = len(texts) * len(self.parts)
        halves = []
        for i, part in enumerate(self.parts.values()):
            part_of = share(progress, i * len(texts), len(texts), total)
            halves.append(part.embed(texts, images, part_of))
        return self.join(halves)

    def of_numbers(self, packed: Mapping[str, NDArray[Any]]) -> Float32Array:
        """Of those of the parts."""
        return self.join([part.of_numbers(packed) for part in self.parts.values()])

    def join(self, halves: Sequence[Float32Array]) -> Float32Array:
        """The embeddings of the parts, in their order, as one of length 1 (N, d)."""
        joined: Float32Array = np.concatenate(halves, axis=1)
        joined /= np.sqrt(np.float32(len(halves)))
        return joined


class LexicalMiniLMEncoder(JoinedEncoder):
    """`lexical` and `minilm` side by side: the pieces of the whole text, and a part in context.

    dimension: of the lexical half. window, weights, threads, precision, device: see MiniLMEncoder.
    Errors are theirs.
    """

    name = "lexical+minilm"

    saved_options = ("dimension", "window", "precision")

    def __init__(
        self,
        *,
        dimension: int = 2048,
        window: str = DEFAULT_WINDOW,
        weights: Path | None = None,
        threads: int | None = None,
        precision: str = "fp32",
        device: str = "cpu",
    ) -> None:
        super().__init__(
            {
                "lexical": LexicalEncoder(dimension=dimension),
                "minilm": MiniLMEncoder(
                    window=window,
                    weights=weights,
                    threads=threads,
                    precision=precision,
                    device=device,
                ),
            }
        )
