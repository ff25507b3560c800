"""LexicalEncoder: which pieces of text a query is made of, hashed; no weights, any language."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equirouter.arrays import BoolArray, Float32Array, IntArray
from equirouter.encoders.base import Encoder, check_texts
from equirouter.errors import ConfigError
from equirouter.progress import Progress

VERSION = 1
LEAST, MOST = 64, 2**20
TEXTS_PER_REPORT = 1000
TEXTS_AT_ONCE, BYTES_AT_ONCE = 64, 8192
"""What is read together: a third of the time of one text after the other, within a core's cache."""

BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that it has an inverse modulo 2**64
INVERSE = np.uint64(pow(int(BASE), -1, 2**64))
MIX = np.uint64(0xFF51AFD7ED558CCD)
PAIR = np.uint64(31)
KINDS = {"three": 1, "four": 2, "word": 3, "pair": 4, "mark": 5}
SALT = {kind: np.uint64(number * 0xC2B2AE3D27D4EB4F % 2**64) for kind, number in KINDS.items()}

BYTES = np.arange(256)
IS_UPPER = (ord("A") <= BYTES) & (ord("Z") >= BYTES)
FOLDED = np.where(IS_UPPER, BYTES + 32, BYTES).astype(np.uint64) + np.uint64(1)
"""Of each byte, upper and lower case alike; from 1, so that a longer piece is another one."""

IS_DIGIT = (ord("0") <= BYTES) & (ord("9") >= BYTES)
IS_LOWER = (ord("a") <= BYTES) & (ord("z") >= BYTES)
IN_WORD = IS_UPPER | IS_LOWER | IS_DIGIT | (ord("_") == BYTES) | (BYTES >= 128)
IS_MARK = (BYTES > 32) & (BYTES < 127) & ~IN_WORD

Hashes = NDArray[np.uint64]


class LexicalEncoder(Encoder):
    """Counts of the pieces of the whole text, hashed into `dimension` buckets.

    The pieces are runs of 3 and of 4 bytes of UTF-8, which fill one half of the buckets, and words,
    pairs of words and punctuation, which fill the other. A bucket holds 1 + ln(count), 0 for none,
    and the vector is scaled to length 1. It reads bytes, so it reads any language and code; it
    knows no meaning: two words for one thing are two words. Nothing is learned and nothing loaded.
    Source: feature hashing, Weinberger et al. 2009.

    dimension: a power of 2 from 64. Raises ConfigError for another one.
    """

    name = "lexical"

    is_cheap = True

    saved_options = ("dimension",)

    def __init__(self, *, dimension: int = 2048) -> None:
        if not LEAST <= dimension <= MOST or dimension & (dimension - 1):
            raise ConfigError(
                f"dimension is {dimension}: expected a power of 2 from {LEAST} to {MOST}"
            )
        self._dimension = dimension
        self._powers = _powers(4096)

    @property
    def settings(self) -> dict[str, Any]:
        """The dimension."""
        return {"dimension": self._dimension}

    @property
    def dimension(self) -> int:
        """How many buckets."""
        return self._dimension

    @property
    def fingerprint(self) -> str:
        """The version of the pieces, and the dimension."""
        return f"lexical-{VERSION}-{self._dimension}"

    def embed(
        self,
        texts: tuple[str, ...],
        images: tuple[str | None, ...],  # noqa: ARG002  # refused before
        progress: Progress,
    ) -> Float32Array:
        """Unit-norm embeddings of checked texts; progress counts texts."""
        embeddings = np.empty((len(texts), self._dimension), dtype=np.float32)
        done = reported = 0
        for counts in self._counts(texts):
            rows = slice(done, done + len(counts))
            self._weights.take(counts, mode="clip", out=embeddings[rows])
            done = rows.stop
            if done - reported >= TEXTS_PER_REPORT or done == len(texts):
                progress("encode", done, len(texts))
                reported = done
        return _of_length_1(embeddings)

    def pack(self, texts: Sequence[str]) -> NDArray[Any]:
        """Counts (N, dimension) of the pieces, in the smallest type of integers that holds them."""
        counts = [row for block in self._counts(check_texts(texts)) for row in block]
        table = np.array(counts, dtype=np.int64).reshape(len(counts), self._dimension)
        return table.astype(np.min_scalar_type(table.max(initial=0)))

    def unpack(self, packed: NDArray[Any]) -> Float32Array:
        """Embeddings (N, dimension) of counts, bit for bit those of encode."""
        return _of_length_1(self._weights.take(packed, mode="clip"))

    @cached_property
    def _weights(self) -> Float32Array:
        """Of a count: 1 + ln(count), the same above 65,535; 0 of none."""
        counts = np.arange(2**16, dtype=np.float64)
        counts[1:] = 1 + np.log(counts[1:])
        return counts.astype(np.float32)

    def _counts(self, texts: Sequence[str]) -> Iterator[IntArray]:
        """How often each bucket is met, (B, dimension) for one block of texts after the other."""
        framed = [f"\n{text}\n".encode() for text in texts]
        start = 0
        while start < len(framed):
            stop, size = start + 1, len(framed[start])
            while stop < min(len(framed), start + TEXTS_AT_ONCE):
                size += len(framed[stop])
                if size > BYTES_AT_ONCE:
                    break
                stop += 1
            counts = np.bincount(
                self._buckets(framed[start:stop]), minlength=(stop - start) * self._dimension
            )
            yield counts.reshape(stop - start, self._dimension)
            start = stop

    def _buckets(self, framed: Sequence[bytes]) -> IntArray:
        """The bucket of every piece, as often as it occurs; those of text i from i * dimension."""
        raw = np.frombuffer(b"".join(framed), dtype=np.uint8).astype(np.intp)  # what take wants
        if len(raw) > len(self._powers[0]):
            self._powers = _powers(2 * len(raw))
        power, inverse = self._powers
        folded = FOLDED.take(raw)
        # the hash of a piece is BASE times that of all but its first byte, plus this (Horner)
        two = folded[1:] * BASE + folded[:-1]
        three = two[1:] * BASE + folded[:-2]
        four = three[1:] * BASE + folded[:-3]
        in_word = IN_WORD.take(raw)
        edges = (in_word[1:] != in_word[:-1]).nonzero()[0] + 1  # a text begins and ends outside
        starts = edges[::2]
        sums = np.add.reduceat(folded * power[: len(raw)], edges)
        words = sums[::2] * inverse.take(starts)
        is_mark = IS_MARK.take(raw)
        hashes = [
            three ^ SALT["three"],
            four ^ SALT["four"],
            words ^ SALT["word"],
            (words[:-1] * PAIR + words[1:]) ^ SALT["pair"],
            folded[is_mark] ^ SALT["mark"],
        ]
        offsets = None
        if len(framed) > 1:
            hashes, offsets = self._within(framed, hashes, starts, is_mark)
        runs = len(hashes[0]) + len(hashes[1])
        buckets = self._bucket(np.concatenate(hashes))
        buckets[runs:] += self._dimension // 2
        return buckets if offsets is None else buckets + offsets

    def _within(
        self, framed: Sequence[bytes], hashes: list[Hashes], starts: IntArray, is_mark: BoolArray
    ) -> tuple[list[Hashes], IntArray]:
        """Without the runs and pairs from one text into the next; the first bucket of each piece.

        starts: where words begin. is_mark: of each byte of all texts, whether it is punctuation.
        """
        offset = np.arange(len(framed)) * self._dimension
        of_byte = np.repeat(offset, list(map(len, framed)))
        of_word = of_byte[starts]
        first = [of_byte[:-2], of_byte[:-3], of_word, of_word[:-1], of_byte[is_mark]]
        for kind, last in ((0, of_byte[2:]), (1, of_byte[3:]), (3, of_word[1:])):
            inside = first[kind] == last
            hashes[kind], first[kind] = hashes[kind][inside], first[kind][inside]
        return hashes, np.concatenate(first)

    def _bucket(self, hashes: Hashes) -> IntArray:
        """Of each hash, which is overwritten: one in half of the buckets."""
        hashes *= MIX
        hashes ^= hashes >> np.uint64(29)
        hashes *= BASE
        hashes >>= np.uint64(66 - self._dimension.bit_length())  # the high bits are the best mixed
        return hashes.view(np.int64)


def _of_length_1(embeddings: Float32Array) -> Float32Array:
    embeddings /= np.sqrt(np.einsum("nd,nd->n", embeddings, embeddings))[:, None]
    return embeddings


def _powers(n: int) -> "tuple[np.ndarray[Any, np.dtype[np.uint64]], ...]":
    """BASE**i and INVERSE**i modulo 2**64 for i below n."""
    return tuple(
        np.cumprod(np.r_[np.uint64(1), np.full(n - 1, base)], dtype=np.uint64)
        for base in (BASE, INVERSE)
    )
