import hashlib
import os
from pathlib import Path

import pytest

from equirouter.encoders.kept import digest_of, forget_oldest, kept_path, write_kept


def test_the_oldest_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EQUIROUTER_CACHE_DIR", str(tmp_path))
    for age, name in enumerate(["c.onnx", "a.onnx", "b.onnx", "a.txt"]):
        path = kept_path("graphs", name)
        write_kept(path, b"content")
        os.utime(path, ns=(0, 10**9 * (10 - age)))
    forget_oldest("graphs", "*.onnx", 2)
    assert sorted(path.name for path in kept_path("graphs", "").iterdir()) == [
        "a.onnx",
        "a.txt",
        "c.onnx",
    ]
    forget_oldest("nothing here", "*", 0)


def test_a_digest_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    assert digest_of(path) == hashlib.sha256(b"one").hexdigest()
    before = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    # the same size and time: the file is not read again, which is what makes a start quick
    assert digest_of(path) == hashlib.sha256(b"one").hexdigest()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert digest_of(path) == hashlib.sha256(b"two").hexdigest()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_damaged_memory_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setenv("EQUIROUTER_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "file"
    path.write_bytes(b"one")
    digest_of(path)
    (note,) = (tmp_path / "cache").rglob("*.json")
    note.write_bytes(content)
    assert digest_of(path) == hashlib.sha256(b"one").hexdigest()
