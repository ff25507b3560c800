"""Embeddings kept on disk, so that a second run on the same texts encodes nothing.

A folder per encoder fingerprint holds shards: files that are written once, whole, and never changed
(so two processes need no lock, a network folder will do, and the least recently used can be deleted
as files). A shard is a safetensors file with `keys`, (n, 32) uint8, the SHA-256 of what was
encoded, and `embeddings`, (n, d) float32. It is named by the SHA-256 of its content: one that is
not what its name says is as good as absent. So machines can share shards at any address of fsspec.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from equirouter.arrays import BoolArray, Float32Array
from equirouter.data.outcomes import Outcomes
from equirouter.encoders.base import Encoder, check_images, check_texts, share
from equirouter.encoders.kept import newest_first, write_kept
from equirouter.errors import ConfigError, DataError
from equirouter.output import cache_dir
from equirouter.progress import Progress, silent

if TYPE_CHECKING:
    from equirouter.places import Place

SHARED_VARIABLE = "EQUIROUTER_SHARED_EMBEDDINGS"

MAX_BYTES = 2 * 1024**3
ROWS_PER_SHARD = 1024
"""Texts encoded between two writes; an interrupted run keeps those written."""


class EmbeddingCache:
    """Embeddings by encoder fingerprint and SHA-256 of the query, up to max_bytes of them.

    folder: where; None takes "embeddings" in the cache folder. max_bytes: when a write goes beyond
    it, the shards used longest ago are deleted. Made for batches: every put writes one file.
    shared: an address of fsspec, such as s3://bucket/embeddings, where other machines keep theirs;
    None takes EQUIROUTER_SHARED_EMBEDDINGS, "" is none. What is not in the folder is looked for
    there, and every put writes there too; nothing is deleted there.
    Raises ConfigError for max_bytes below 0, and for an address of an unknown kind.
    """

    def __init__(
        self,
        folder: Path | None = None,
        max_bytes: int = MAX_BYTES,
        *,
        shared: str | None = None,
    ) -> None:
        if max_bytes < 0:
            raise ConfigError(f"max_bytes={max_bytes}: a size of 0 or more is expected")
        self.folder = cache_dir() / "embeddings" if folder is None else Path(folder)
        self.max_bytes = max_bytes
        self.shared = _shared(os.environ.get(SHARED_VARIABLE, "") if shared is None else shared)
        self._until_look = 0  # bytes: a look at every shard after every write would be quadratic

    def read_into(
        self, fingerprint: str, rows: Mapping[bytes, int], out: Float32Array
    ) -> BoolArray:
        """Copy the embeddings that are there and undamaged into their rows of out (N, d) float32.

        rows: key -> row of out. Returns (N,), True for the rows that were written. Beyond out, the
        memory is that of one shard; of shards here without a wanted key only the keys are read.
        Raises DataError when the shared place cannot be read.
        """
        written = np.zeros(len(out), dtype=bool)
        left = len(rows)
        for path in newest_first(self._home(fingerprint).rglob("*.shard")):
            if not left:
                break
            n_read = _read_shard(path, rows, out, written)
            if n_read:
                left -= n_read
                with suppress(OSError):  # gone, or a cache that may only be read
                    os.utime(path)
        if left and self.shared is not None:
            self._fetch(self.shared, self._home(fingerprint), rows, out, written)
        return written

    def _fetch(
        self,
        shared: "Place",
        home: Path,
        rows: Mapping[bytes, int],
        out: Float32Array,
        written: BoolArray,
    ) -> None:
        """Copy what other machines wrote, and keep the shards that were used here as well."""
        there = shared.under(home.name)
        with there.errors():
            names = sorted(there.sizes())
        for name in names:
            if written.sum() == len(rows):
                return
            path = home / name
            if path.suffix != ".shard" or path.exists():
                continue
            content = there.under(name).content()  # None: deleted there meanwhile
            if content is not None and _copy_wanted(content, path.stem, rows, out, written):
                self._keep(path, content)

    def put(self, fingerprint: str, keys: Sequence[bytes], embeddings: Float32Array) -> None:
        """Keep (n, d) embeddings under n keys of 32 bytes; then delete what is over the limit.

        Raises OutputError when the folder or the shared place cannot be written.
        """
        from safetensors.numpy import save

        key_bytes = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), -1)
        table = np.ascontiguousarray(embeddings, dtype=np.float32)
        content = save({"keys": key_bytes, "embeddings": table})
        path = self._home(fingerprint) / f"{_name_of(content)}.shard"
        if self.shared is not None:
            with self.shared.under(path.parent.name).under(path.name).written() as stream:
                stream.write(content)
        self._keep(path, content)

    def _keep(self, path: Path, content: bytes) -> None:
        write_kept(path, content)
        self._until_look -= len(content)
        if self._until_look < 0:
            self._delete_oldest()

    def _home(self, fingerprint: str) -> Path:
        return self.folder / hashlib.sha256(fingerprint.encode()).hexdigest()[:32]

    def _delete_oldest(self) -> None:
        total = kept = 0
        for path in newest_first(self.folder.rglob("*.shard")):
            try:
                total += path.stat().st_size
            except FileNotFoundError:
                continue
            if total > self.max_bytes:
                path.unlink(missing_ok=True)
            else:
                kept = total
        # Other processes write too: look again when half of the room that was left is filled.
        self._until_look = (self.max_bytes - kept) // 2


def encode_cached(
    encoder: Encoder,
    texts: Sequence[str],
    images: Sequence[str | None] | None = None,
    *,
    cache: EmbeddingCache | None,
    progress: Progress = silent,
) -> Float32Array:
    """Embed as encoder.encode does; take from the cache what it has, and put the rest there.

    Each distinct query is encoded once, and kept after every ROWS_PER_SHARD queries. cache: None
    encodes everything, and so does an encoder that is cheap. progress: ("encode", done, total), in
    distinct queries that had to be encoded. Raises as Encoder.encode, and OutputError when the
    cache cannot be written.
    """
    if cache is None or encoder.is_cheap:
        return encoder.encode(texts, images, progress=progress)
    images = check_images(images, len(texts), encoder=encoder)
    texts = check_texts(texts, images)
    keys = [_key(text, image) for text, image in zip(texts, images, strict=True)]
    first: dict[bytes, int] = {}  # the first row of each distinct query
    source = np.array([first.setdefault(key, row) for row, key in enumerate(keys)], dtype=np.int64)
    out = np.empty((len(keys), encoder.dimension), dtype=np.float32)
    known = cache.read_into(encoder.fingerprint, first, out)
    missing = [row for row in first.values() if not known[row]]
    for start in range(0, len(missing), ROWS_PER_SHARD):
        rows = missing[start : start + ROWS_PER_SHARD]
        embeddings = encoder.encode(
            [texts[i] for i in rows],
            [images[i] for i in rows],
            progress=share(progress, start, len(rows), len(missing)),
        )
        cache.put(encoder.fingerprint, [keys[i] for i in rows], embeddings)
        out[rows] = embeddings
    repeated = np.flatnonzero(source != np.arange(len(source)))
    out[repeated] = out[source[repeated]]
    return out


def encode_table(
    encoder: Encoder,
    outcomes: Outcomes,
    *,
    cache: EmbeddingCache | None,
    progress: Progress = silent,
) -> Float32Array:
    """Embeddings (N, d) of all queries of a table: of its texts, or of the numbers in their place.

    An encoder of text reads the texts alone of a table with images. Raises as encode_cached, and
    DataError where a table without texts has no numbers of this encoder.
    """
    if outcomes.packed is not None:
        return encoder.of_numbers(outcomes.packed)
    images = outcomes.images if encoder.accepts_images else None
    return encode_cached(encoder, outcomes.texts, images, cache=cache, progress=progress)


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


def _read_shard(
    path: Path, rows: Mapping[bytes, int], out: Float32Array, written: BoolArray
) -> int:
    """Copy the embeddings of wanted keys into out and mark them; how many there were.

    A shard that is gone, damaged, or of another width has none.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as shard:
            keys = shard.get_tensor("keys")
        content = path.read_bytes() if _wanted(keys, rows, written) else b""
    except (FileNotFoundError, SafetensorError):  # another process made room; or it is damaged
        return 0
    return _copy_wanted(content, path.stem, rows, out, written)


def _copy_wanted(
    content: bytes, name: str, rows: Mapping[bytes, int], out: Float32Array, written: BoolArray
) -> int:
    """Copy wanted embeddings from the content of a file, which may be anything; how many."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if _name_of(content) != name:
        return 0
    try:
        shard = load(content)
        keys, table = shard["keys"], shard["embeddings"]
    except (SafetensorError, KeyError):
        return 0
    if table.shape != (len(keys), out.shape[1]) or not np.isfinite(table).all():
        return 0
    place_of = _wanted(keys, rows, written)
    targets = list(place_of)
    out[targets] = table[list(place_of.values())]
    written[targets] = True
    return len(targets)


def _wanted(
    keys: NDArray[np.uint8], rows: Mapping[bytes, int], written: BoolArray
) -> dict[int, int]:
    """By row that is not written yet: its place in the shard, the last of a key held twice."""
    asked = ((rows.get(key.tobytes()), place) for place, key in enumerate(keys))
    return {row: place for row, place in asked if row is not None and not written[row]}


def _shared(address: str) -> "Place | None":
    from equirouter.places import place_of

    return place_of(address) if address else None


def _name_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
