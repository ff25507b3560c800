import errno
import hashlib
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest
from safetensors.numpy import save

from equirouter.arrays import Float32Array
from equirouter.data import Outcomes, as_outcomes
from equirouter.data.cells import NO_TEXT
from equirouter.encoders import EmbeddingCache, Encoder, encode_cached, encode_table
from equirouter.encoders.cache import ROWS_PER_SHARD
from equirouter.encoders.joined import JoinedEncoder
from equirouter.encoders.kept import newest_first
from equirouter.errors import ConfigError, DataError, OutputError
from equirouter.progress import Progress


class Counting(Encoder):
    """A stand-in that says which texts it was asked to encode."""

    name = "counting"
    accepts_images = True

    def __init__(self, fingerprint: str = "counting-1", dimension: int = 4) -> None:
        self._fingerprint, self._dimension = fingerprint, dimension
        self.asked: list[str] = []

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def embed(
        self, texts: tuple[str, ...], images: tuple[str | None, ...], progress: Progress
    ) -> Float32Array:
        self.asked += texts
        progress("encode", len(texts), len(texts))
        rows = [
            np.random.default_rng(list((text + (image or "")).encode())).normal(size=self.dimension)
            for text, image in zip(texts, images, strict=True)
        ]
        table = np.array(rows, dtype=np.float32)
        return np.asarray(table / np.linalg.norm(table, axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture
def cache(tmp_path: Path) -> EmbeddingCache:
    return EmbeddingCache(tmp_path / "embeddings")


def shards(cache: EmbeddingCache) -> list[Path]:
    return sorted(cache.folder.rglob("*.shard"))


def encode(texts: Sequence[str], cache: EmbeddingCache | None) -> tuple[Float32Array, list[str]]:
    encoder = Counting()
    return encode_cached(encoder, texts, cache=cache), encoder.asked


def test_a_second_run_encodes_nothing_and_gives_the_same(cache: EmbeddingCache) -> None:
    texts = ["b", "a", "b", "c"]
    first, asked = encode(texts, cache)
    assert asked == ["b", "a", "c"]  # "b" once
    np.testing.assert_array_equal(first, Counting().encode(texts))
    again, asked = encode(texts, cache)
    assert asked == []
    np.testing.assert_array_equal(again, first)


def test_only_what_is_new_is_encoded(cache: EmbeddingCache) -> None:
    encode(["a", "b"], cache)
    result, asked = encode(["c", "b", "a"], cache)
    assert asked == ["c"]
    np.testing.assert_array_equal(result, Counting().encode(["c", "b", "a"]))


def test_without_a_cache_everything_is_encoded() -> None:
    result, asked = encode(["a", "a"], None)
    assert asked == ["a", "a"]
    assert result.shape == (2, 4)


def test_another_fingerprint_or_image_is_another_entry(
    cache: EmbeddingCache, tmp_path: Path
) -> None:
    encode(["a"], cache)
    other = Counting("counting-2")
    encode_cached(other, ["a"], cache=cache)
    assert other.asked == ["a"]
    picture = tmp_path / "picture.png"
    for content in (b"cat", b"dog"):  # the same path with another content is another picture
        picture.write_bytes(content)
        reader = Counting()
        encode_cached(reader, ["a"], [str(picture)], cache=cache)
        encode_cached(reader, ["a"], [str(picture)], cache=cache)
        assert reader.asked == ["a"]


def test_a_missing_image_is_named(cache: EmbeddingCache) -> None:
    with pytest.raises(DataError, match=r"image nowhere\.png: cannot be read"):
        encode_cached(Counting(), ["a"], ["nowhere.png"], cache=cache)


def test_every_single_damaged_byte_is_noticed(cache: EmbeddingCache) -> None:
    whole, _ = encode(["a", "b"], cache)
    (shard,) = shards(cache)
    content = shard.read_bytes()
    for place in range(len(content)):
        shard.write_bytes(content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :])
        result, asked = encode(["a", "b"], cache)
        np.testing.assert_array_equal(result, whole)
        assert asked, f"byte {place} was trusted"
        for path in shards(cache):
            path.unlink()


@pytest.mark.parametrize("n_bytes", [0, 5, 16, 100])
def test_a_file_cut_short_is_recomputed_and_then_kept(cache: EmbeddingCache, n_bytes: int) -> None:
    whole, _ = encode(["a", "b"], cache)
    (shard,) = shards(cache)
    shard.write_bytes(shard.read_bytes()[:n_bytes])
    for expected in (["a", "b"], []):
        result, asked = encode(["a", "b"], cache)
        assert asked == expected
        np.testing.assert_array_equal(result, whole)


def test_what_was_used_longest_ago_goes_first(cache: EmbeddingCache) -> None:
    def age(n: int) -> None:
        for path in shards(cache):
            earlier = path.stat().st_mtime - n
            os.utime(path, (earlier, earlier))

    for text in ("old", "used", "new"):
        encode([text], cache)
        age(100)
    encode(["used"], cache)  # a read counts as use
    size = shards(cache)[0].stat().st_size
    small = EmbeddingCache(cache.folder, max_bytes=2 * size)
    encode(["newest"], small)  # the fourth where there is room for two
    assert len(shards(small)) == 2
    assert encode(["used", "newest"], small)[1] == []


def test_a_cache_without_room_keeps_nothing_and_works(cache: EmbeddingCache) -> None:
    none = EmbeddingCache(cache.folder, max_bytes=0)
    assert encode(["a"], none)[1] == ["a"]
    assert shards(none) == []
    with pytest.raises(ConfigError, match="max_bytes=-1"):
        EmbeddingCache(max_bytes=-1)


def test_an_interrupted_run_keeps_whole_shards_and_counts_all(cache: EmbeddingCache) -> None:
    texts = [f"text {i}" for i in range(ROWS_PER_SHARD + 10)]
    calls: list[tuple[str, int, int]] = []

    def interrupt(stage: str, done: int, total: int) -> None:
        calls.append((stage, done, total))
        if done > ROWS_PER_SHARD:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_cached(Counting(), texts, cache=cache, progress=interrupt)
    assert calls == [
        ("encode", ROWS_PER_SHARD, ROWS_PER_SHARD + 10),
        ("encode", ROWS_PER_SHARD + 10, ROWS_PER_SHARD + 10),
    ]
    assert encode(texts, cache)[1] == texts[ROWS_PER_SHARD:]


def test_bad_texts_are_refused_before_the_cache_is_asked(cache: EmbeddingCache) -> None:
    with pytest.raises(DataError, match="text 1 is empty"):
        encode(["a", " "], cache)
    assert encode([], cache)[0].shape == (0, 4)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="EQUIROUTER_CACHE_DIR"):
        encode(["a"], EmbeddingCache(tmp_path / "file"))


def fill(folder: Path, first: int) -> None:
    """In another process: encode 300 texts, half of them those of the neighbour."""
    cache = EmbeddingCache(folder, max_bytes=30_000)  # so small that both delete all the time
    for start in range(first, first + 300, 20):
        texts = [f"text {i}" for i in range(start, start + 20)]
        np.testing.assert_array_equal(encode(texts, cache)[0], Counting().encode(texts))


def test_two_processes_may_use_it_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=fill, args=(tmp_path, first)) for first in (0, 150)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert not list(tmp_path.rglob(".*"))  # no half-written file is left


def test_thousands_of_rows_come_back_as_they_were(cache: EmbeddingCache) -> None:
    rng = np.random.default_rng(3)
    keys = [rng.bytes(32) for _ in range(5_000)]
    table = rng.normal(size=(5_000, 384)).astype(np.float32)
    for start in range(0, 5_000, 1_000):
        cache.put("many", keys[start : start + 1_000], table[start : start + 1_000])
    out = np.zeros((6_000, 384), dtype=np.float32)
    order = rng.permutation(6_000)[:5_000]
    written = cache.read_into("many", dict(zip(keys, order.tolist(), strict=True)), out)
    np.testing.assert_array_equal(out[order], table)
    np.testing.assert_array_equal(np.flatnonzero(written), np.sort(order))
    assert not out[~written].any()  # nobody else's row is touched
    other_width = np.zeros((1, 768), dtype=np.float32)
    assert not cache.read_into("many", {keys[0]: 0}, other_width).any()


def test_a_shard_without_a_wanted_key_is_not_read_to_its_end(cache: EmbeddingCache) -> None:
    encode(["a"], cache)
    encode(["b"], cache)
    by_time = sorted(shards(cache), key=lambda path: -path.stat().st_mtime_ns)
    before = [path.stat().st_mtime_ns for path in by_time]
    os.utime(by_time[0], ns=(before[0] + 10**9, before[0] + 10**9))
    encode(["a"], cache)  # "b" is looked at first, and not marked as used
    assert by_time[0].stat().st_mtime_ns == before[0] + 10**9
    assert by_time[1].stat().st_mtime_ns > before[1]


def test_writes_do_not_look_at_every_shard_every_time(
    cache: EmbeddingCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    def counted(paths: Iterable[Path]) -> list[Path]:
        nonlocal looks
        looks += 1
        return newest_first(paths)

    monkeypatch.setattr("equirouter.encoders.cache.newest_first", counted)
    rows = np.ones((1, 4), dtype=np.float32)
    for number in range(64):
        cache.put("f", [number.to_bytes(32, "big")], rows)
    assert looks == 1  # with room for 2 GiB; one look per write would be 64
    size = shards(cache)[0].stat().st_size
    small = EmbeddingCache(cache.folder, max_bytes=10 * size)
    for number in range(100, 140):
        small.put("f", [number.to_bytes(32, "big")], rows)
        assert len(shards(small)) <= 11  # one at most over what there is room for


def test_a_write_that_fails_leaves_nothing_behind(
    cache: EmbeddingCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match="No space left on device"):
        encode(["a"], cache)
    assert not [path for path in cache.folder.rglob("*") if path.is_file()]


TEXTS = ["one", "two", "three"]


def without_texts(*made: Encoder) -> Outcomes:
    """A table of the three texts, as the numbers that these encoders make of them."""
    table = as_outcomes(
        {"query_id": TEXTS, "query": TEXTS, "m": [1.0] * 3, "m|total_cost": [1.0] * 3}
    )
    return replace(
        table,
        texts=tuple(NO_TEXT + text for text in TEXTS),
        packed={encoder.fingerprint: encoder.pack(TEXTS) for encoder in made},
    )


def test_a_table_has_numbers_in_place_of_texts(cache: EmbeddingCache) -> None:
    table, encoder = without_texts(Counting("other"), Counting()), Counting()
    found = encode_table(encoder, table, cache=cache)
    np.testing.assert_allclose(found, Counting().encode(TEXTS), atol=1e-3)
    picked = encode_table(encoder, table.take([2, 0]), cache=cache)
    np.testing.assert_array_equal(picked, found[[2, 0]])
    assert encoder.asked == []
    assert shards(cache) == []
    with pytest.raises(DataError, match=r"none of counting-2: choose one of other, counting-1"):
        encode_table(Counting("counting-2"), table, cache=cache)


def test_encoders_side_by_side_take_the_numbers_of_each() -> None:
    parts = {"a": Counting("a", 4), "b": Counting("b", 6)}
    both = JoinedEncoder(parts)
    both.name = "a+b"  # type: ignore[misc]
    found = encode_table(both, without_texts(*parts.values()), cache=None)
    np.testing.assert_allclose(found, both.encode(TEXTS), atol=1e-3)
    with pytest.raises(DataError, match="none of b"):
        encode_table(both, without_texts(parts["a"]), cache=None)


def test_as_many_numbers_as_queries() -> None:
    with pytest.raises(DataError, match="packed counting-1: 2 rows for 3 ids"):
        replace(without_texts(), packed={"counting-1": np.zeros((2, 4))})


@pytest.fixture(params=["memory", "file"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An address that two machines reach."""
    yield f"memory://{tmp_path}" if request.param == "memory" else f"file://{tmp_path}/shared"
    fsspec.filesystem("memory").store.clear()


def there(shared: str) -> dict[str, bytes]:
    """What lies at the shared address, by path."""
    system, path = fsspec.core.url_to_fs(shared)
    return {name: system.cat_file(name) for name in system.find(path)}


def test_what_one_machine_encoded_another_does_not(shared: str, tmp_path: Path) -> None:
    one, two = (EmbeddingCache(tmp_path / name, shared=shared) for name in ("one", "two"))
    whole, _ = encode(["a", "b"], one)
    assert len(there(shared)) == 1
    found, asked = encode(["b", "c", "a"], two)
    assert asked == ["c"]
    np.testing.assert_array_equal(found[[2, 0]], whole)
    assert encode(["a", "b", "c"], one)[1] == []
    # both are kept on both machines: the address may be gone
    assert encode(["a", "b", "c"], EmbeddingCache(tmp_path / "two"))[1] == []
    other = Counting("counting-2")
    encode_cached(other, ["a"], cache=two)
    assert other.asked == ["a"]


def test_what_is_damaged_or_foreign_there_is_made_again(shared: str, tmp_path: Path) -> None:
    whole, _ = encode(["a", "b"], EmbeddingCache(tmp_path / "one", shared=shared))
    system, _ = fsspec.core.url_to_fs(shared)
    ((path, content),) = there(shared).items()
    folder = path.rpartition("/")[0]
    foreign = [
        b"no shard at all",
        save({"embeddings": whole}),
        save({"keys": np.zeros((2, 32), np.uint8), "embeddings": whole[:1]}),
        save({"keys": keys_of("a", "b"), "embeddings": whole * np.float32("nan")}),
    ]
    for number, (wrong, name) in enumerate(
        [(content[:-1] + b"x", path), (content[:50], path), (b"", path)]
        + [(other, f"{folder}/{hashlib.sha256(other).hexdigest()[:32]}.shard") for other in foreign]
    ):
        system.pipe_file(name, wrong)
        if name != path:
            system.rm_file(path)
        machine = EmbeddingCache(tmp_path / str(number), shared=shared)
        found, asked = encode(["a", "b"], machine)
        assert asked == ["a", "b"], wrong
        np.testing.assert_array_equal(found, whole)
        assert there(shared)[path] == content  # and is whole there again


def keys_of(*texts: str) -> np.ndarray:
    digests = b"".join(hashlib.sha256(text.encode()).digest() for text in texts)
    return np.frombuffer(digests, np.uint8).reshape(len(texts), 32)


def test_a_shared_address_is_named_by_the_environment_and_in_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("EQUIROUTER_SHARED_EMBEDDINGS", str(tmp_path / "file" / "shared"))
    with pytest.raises(DataError, match=r"file/shared/\w+: could not be read"):
        encode(["a"], EmbeddingCache(tmp_path / "one"))
    assert encode(["a"], EmbeddingCache(tmp_path / "one", shared=""))[1] == ["a"]
    with pytest.raises(ConfigError, match="no such kind of address"):
        EmbeddingCache(shared="nowhere://x")
