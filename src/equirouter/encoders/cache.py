"""Embeddings kept on disk, so that a second run on the same texts encodes nothing.

A folder per encoder fingerprint holds shards: files that are written once, whole, and never changed
(so two processes need no lock, a network folder will do, and the least recently used can be deleted
as files). A shard is

    8 bytes   "EQEMB001"
    8 bytes   n rows and d numbers per row, two little-endian uint32
    n x 32    SHA-256 of what was encoded
    n x 4     CRC-32 of key and embedding, little-endian uint32
    n x 4d    embeddings, little-endian float32

A row whose checksum does not match is as good as absent, and so is a shard of the wrong size.
"""

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from equirouter.arrays import Float32Array
from equirouter.cachedir import cache_dir
from equirouter.encoders.base import Encoder, check_images, check_texts
from equirouter.encoders.kept import write_kept
from equirouter.errors import ConfigError, DataError
from equirouter.progress import Progress, silent

__all__ = ["EmbeddingCache", "encode_cached"]

MAX_BYTES = 2 * 1024**3
ROWS_PER_SHARD = 1024
"""Texts encoded between two writes: what an interrupted run keeps."""

_MAGIC = b"EQEMB001"
_HEADER = struct.Struct("<8sII")
_KEY_BYTES, _CRC_BYTES = 32, 4


class EmbeddingCache:
    """Embeddings by encoder fingerprint and SHA-256 of the query, up to max_bytes of them.

    folder: where; None takes "embeddings" in the cache folder. max_bytes: when a write goes beyond
    it, the shards used longest ago are deleted. Made for batches: every put writes one file.
    Raises ConfigError for max_bytes below 0.
    """

    def __init__(self, folder: Path | None = None, max_bytes: int = MAX_BYTES) -> None:
        if max_bytes < 0:
            raise ConfigError(f"max_bytes={max_bytes}: a size of 0 or more is expected")
        self.folder = cache_dir() / "embeddings" if folder is None else Path(folder)
        self.max_bytes = max_bytes

    def get(
        self, fingerprint: str, keys: Sequence[bytes], dimension: int
    ) -> dict[bytes, Float32Array]:
        """The embeddings that are there and undamaged, by key; each (dimension,) float32."""
        missing = set(keys)
        found: dict[bytes, Float32Array] = {}
        for path in self._shards(self._home(fingerprint)):
            if not missing:
                break
            shard = _read_shard(path)
            if shard is None or shard.dimension != dimension:
                continue
            rows = dict(shard.rows(missing))
            if rows:
                found |= rows
                missing -= rows.keys()
                _mark_used(path)
        return found

    def put(self, fingerprint: str, keys: Sequence[bytes], embeddings: Float32Array) -> None:
        """Keep (n, d) embeddings under n keys of 32 bytes; then delete what is over the limit.

        Raises OutputError when the folder cannot be written.
        """
        content = _pack(keys, embeddings)
        name = f"{hashlib.sha256(content).hexdigest()[:32]}.shard"
        write_kept(self._home(fingerprint) / name, content)
        self._delete_oldest()

    def _home(self, fingerprint: str) -> Path:
        return self.folder / hashlib.sha256(fingerprint.encode()).hexdigest()[:32]

    def _shards(self, folder: Path) -> list[Path]:
        """Shards below a folder, those used last first."""
        aged = []
        for path in folder.rglob("*.shard"):
            try:
                aged.append((path.stat().st_mtime_ns, path))
            except FileNotFoundError:  # another process made room
                continue
        return [path for _, path in sorted(aged, reverse=True)]

    def _delete_oldest(self) -> None:
        total = 0
        for path in self._shards(self.folder):
            try:
                total += path.stat().st_size
            except FileNotFoundError:
                continue
            if total > self.max_bytes:
                path.unlink(missing_ok=True)


def encode_cached(
    encoder: Encoder,
    texts: Sequence[str],
    images: Sequence[str | None] | None = None,
    *,
    cache: EmbeddingCache | None,
    progress: Progress = silent,
) -> Float32Array:
    """What encoder.encode returns, from the cache where it is there; what is not is put there.

    Each distinct query is encoded once, and kept after every ROWS_PER_SHARD queries. cache: None
    encodes everything. progress: ("encode", done, total), in distinct queries that had to be
    encoded. Raises as Encoder.encode, and OutputError when the cache cannot be written.
    """
    if cache is None:
        return encoder.encode(texts, images, progress=progress)
    texts = check_texts(texts)
    images = check_images(images, len(texts), encoder=encoder)
    keys = [_key(text, image) for text, image in zip(texts, images, strict=True)]
    known = cache.get(encoder.fingerprint, keys, encoder.dimension)
    first = {key: i for i, key in reversed(list(enumerate(keys))) if key not in known}
    missing = sorted(first.values())
    for start in range(0, len(missing), ROWS_PER_SHARD):
        rows = missing[start : start + ROWS_PER_SHARD]
        embeddings = encoder.encode(
            [texts[i] for i in rows],
            [images[i] for i in rows],
            progress=_part(progress, start, len(rows), len(missing)),
        )
        new_keys = [keys[i] for i in rows]
        cache.put(encoder.fingerprint, new_keys, embeddings)
        known |= zip(new_keys, embeddings, strict=True)
    empty = np.zeros((0, encoder.dimension), dtype=np.float32)
    return np.stack([known[key] for key in keys]) if keys else empty


def _part(progress: Progress, start: int, size: int, total: int) -> Progress:
    """Progress of one shard, as progress of the whole."""

    def part(stage: str, done: int, of: int) -> None:
        progress(stage, start + size * done // max(of, 1), total)

    return part


def _key(text: str, image: str | None) -> bytes:
    digest = hashlib.sha256(text.encode("utf-8"))
    if image is not None:
        try:
            with Path(image).open("rb") as stream:
                picture = hashlib.file_digest(stream, "sha256").digest()
        except OSError as error:
            raise DataError(f"image {image}: cannot be read: {error.strerror}") from error
        digest.update(b"\xff" + picture)  # 0xff is in no UTF-8: no text can look like this
    return digest.digest()


@dataclass(frozen=True)
class _Shard:
    """A shard in memory; offsets of its three tables follow from n_rows and dimension."""

    content: bytes
    n_rows: int
    dimension: int

    def rows(self, wanted: set[bytes]) -> Iterator[tuple[bytes, Float32Array]]:
        """The undamaged rows among the wanted ones."""
        crcs_at = _HEADER.size + self.n_rows * _KEY_BYTES
        rows_at = crcs_at + self.n_rows * _CRC_BYTES
        crcs = np.frombuffer(self.content, "<u4", self.n_rows, crcs_at)
        table = np.frombuffer(self.content, "<f4", self.n_rows * self.dimension, rows_at)
        for i, row in enumerate(table.reshape(self.n_rows, self.dimension)):
            key_at = _HEADER.size + i * _KEY_BYTES
            key = self.content[key_at : key_at + _KEY_BYTES]
            if key in wanted and _crc(key, row) == crcs[i]:
                yield key, row


def _read_shard(path: Path) -> _Shard | None:
    """The shard, or None if it is gone or not whole."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(content) < _HEADER.size:
        return None
    magic, n_rows, dimension = _HEADER.unpack_from(content)
    size = _HEADER.size + n_rows * (_KEY_BYTES + _CRC_BYTES + 4 * dimension)
    return _Shard(content, n_rows, dimension) if (magic, size) == (_MAGIC, len(content)) else None


def _pack(keys: Sequence[bytes], embeddings: Float32Array) -> bytes:
    table = np.ascontiguousarray(embeddings, dtype="<f4")
    crcs = np.array([_crc(key, row) for key, row in zip(keys, table, strict=True)], dtype="<u4")
    header = _HEADER.pack(_MAGIC, *table.shape)
    return header + b"".join(keys) + crcs.tobytes() + table.tobytes()


def _crc(key: bytes, row: Float32Array) -> int:
    return zlib.crc32(row.tobytes(), zlib.crc32(key))


def _mark_used(path: Path) -> None:
    try:
        os.utime(path)
    except OSError:  # gone, or a cache that may only be read: its order is then that of writing
        return
