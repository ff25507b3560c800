import os
from pathlib import Path

import pytest

from equirouter.encoders.kept import forget_oldest, kept_path, write_kept


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
