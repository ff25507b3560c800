"""Whether the encoder sees what tells the queries apart, and can read their language."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from equirouter.arrays import Float32Array, IntArray
from equirouter.encoders.base import Encoder
from equirouter.errors import DataError

WARN_ABOVE = 0.05
"""Share of queries that look like another one, above which a user is warned."""

MANY_UNKNOWN = 0.2
"""Share of a text's tokens from which it counts as not read."""

WARN_FROM = 0.01
"""Share of the texts from which a user is warned."""

_HEAD = 1000
_FOREIGN = 0.1

_TOLERANCE = 1e-5
"""Largest difference in any coordinate of what counts as the same vector: the same window encoded
in two batches differs by about 1e-7, two different windows by 1e-3 and more."""


@dataclass(frozen=True)
class Visibility:
    """How many queries cannot be told from another one by their embedding."""

    share: float
    """n_duplicates / n_queries, in [0, 1]; 0 is best."""
    n_duplicates: int
    """Queries with the embedding of a query with another text or image; repetition is no loss."""
    n_queries: int
    n_images: int = 0
    """Of the duplicates, those that have an image."""

    @property
    def warning(self) -> str | None:
        """A warning with the way out; None when the share is at most 5 %."""
        if self.share <= WARN_ABOVE:
            return None
        if 2 * self.n_images > self.n_duplicates:
            return (
                f"{self.n_duplicates} of {self.n_queries} queries ({self.share:.0%}) have the same "
                f"embedding as another query, and {self.n_images} of them have an image: where "
                "only the images tell queries apart, the encoder must read them, as --encoder "
                "vision does"
            )
        return (
            f"{self.n_duplicates} of {self.n_queries} queries ({self.share:.0%}) have the same "
            "embedding as a query with another text: the encoder does not see what tells them "
            "apart, so a router can only learn their kind. Prompts that begin alike, as few-shot "
            "prompts do, need --window head+tail or --window tail"
        )


def duplicate_share(
    embeddings: Float32Array, texts: Sequence[str], images: Sequence[str | None] | None = None
) -> Visibility:
    """The share of queries whose embedding is that of another, different query.

    embeddings: (N, d). texts: the N texts that were embedded. images: paths of the N images, or
    None where a query has none; two paths are two images. No query at all gives a share of 0.
    Raises DataError when the numbers of rows and texts differ.
    """
    if len(embeddings) != len(texts):
        raise DataError(f"{len(embeddings)} embeddings for {len(texts)} texts: one each is needed")
    images = [None] * len(texts) if images is None else images
    members: dict[int, set[tuple[str, str | None]]] = {}
    groups = [int(group) for group in _groups(np.asarray(embeddings, dtype=np.float32))]
    for group, text, image in zip(groups, texts, images, strict=True):
        members.setdefault(group, set()).add((text, image))
    alike = [row for row, group in enumerate(groups) if len(members[group]) > 1]
    n_queries = len(texts)
    n_images = sum(images[row] is not None for row in alike)
    return Visibility(len(alike) / max(n_queries, 1), len(alike), n_queries, n_images)


def _groups(embeddings: Float32Array) -> IntArray:
    """(N,): a group number per row, the same for rows that are equal within the tolerance.

    Rows are sorted by their projection on one direction, in which equal rows are neighbours, so
    that only neighbours are compared: N log N. Rounding and hashing would part equal rows whose
    coordinates lie at the edge of a rounding step.
    """
    n_queries, dimension = embeddings.shape
    if n_queries == 0:
        return np.zeros(0, dtype=np.int64)
    direction = np.sqrt(np.arange(1.0, dimension + 1.0)) % 1.0 - 0.5  # any without a pattern
    order = np.argsort(embeddings @ direction, kind="stable")
    starts = np.ones(n_queries, dtype=np.int64)  # 1 where a row differs from the one before it
    for block in range(1, n_queries, 4096):  # blocks bound the memory of the difference
        rows = order[block : block + 4096]
        before = order[block - 1 : block - 1 + len(rows)]
        gap = np.abs(embeddings[rows] - embeddings[before]).max(axis=1)
        starts[block : block + len(rows)] = gap > _TOLERANCE
    groups = np.empty(n_queries, dtype=np.int64)
    groups[order] = np.cumsum(starts)
    return groups


def unread_texts(encoder: Encoder, texts: Sequence[str]) -> list[int]:
    """Positions of the texts of which the encoder does not know a fifth of the tokens or more.

    The first 1,000 characters of a text are looked at, and only where a tenth of them or more is
    not ASCII: plain ASCII has no unknown tokens. [] for an encoder that cannot tell.
    """
    unread = []
    for i, text in enumerate(texts):
        if text.isascii():
            continue
        head = text[:_HEAD]
        if len(head) - len(head.encode("ascii", "ignore")) < _FOREIGN * len(head):
            continue
        share = encoder.unknown_share(head)
        if share is None:
            break
        if share >= MANY_UNKNOWN:
            unread.append(i)
    return unread


def unread_warning(
    encoder: Encoder, texts: Sequence[str], query_ids: Sequence[str]
) -> tuple[str, ...]:
    """A warning where one text in a hundred or more is not read; else ()."""
    unread = unread_texts(encoder, texts)
    if not unread or len(unread) < WARN_FROM * len(texts):
        return ()
    return (
        f"of {len(unread)} of {len(texts)} queries (the first is {query_ids[unread[0]]!r}) the "
        f"encoder {encoder.name} does not know a fifth of the tokens or more: it was not made for "
        "their language, and a router cannot tell them apart; choose an encoder that reads it "
        "(--encoder sentence-transformers --encoder-option model=NAME, or openai)",
    )
