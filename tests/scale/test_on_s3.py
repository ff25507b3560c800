"""Files and embeddings at addresses of S3: a server of its own, on this machine."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from equirouter.encoders.cache import EmbeddingCache
from equirouter.scale.asked_rows import Asking
from equirouter.scale.run import run_batch
from tests.encoders.test_cache import encode
from tests.scale.made import parts, write_parquet
from tests.scale.test_batch import KILLED

pytest.importorskip("s3fs")
server = pytest.importorskip("moto.server")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("small_pieces")]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty bucket; where it is, the usual variables of AWS say."""
    running = server.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    system = fsspec.filesystem("s3", skip_instance_cache=True)
    system.mkdir(f"bucket{port}")  # all servers of a process keep their buckets in one place
    yield f"s3://bucket{port}"
    running.stop()
    type(system).clear_instance_cache()


def fetched(address: str) -> dict[str, bytes]:
    """Every file of a folder there, by name."""
    system, path = fsspec.core.url_to_fs(address, skip_instance_cache=True)
    return {Path(name).name: system.cat_file(name) for name in system.ls(path, detail=False)}


def test_a_killed_run_on_s3_goes_on_and_writes_the_parts_of_one_on_disk(
    asking: Asking, folder: Path, bucket: str, tmp_path: Path
) -> None:
    local = write_parquet(tmp_path / "in.parquet", 40)
    run_batch(asking, str(local), str(tmp_path / "out"))
    system: Any = fsspec.filesystem("s3")
    system.put_file(str(local), f"{bucket}/queries/in.parquet")
    addresses = [f"{bucket}/queries", f"{bucket}/decisions/of/today"]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), *addresses],
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    whole = parts(tmp_path / "out")
    there = fetched(addresses[1])
    assert {name for name in there if name.startswith("part-")} == set([*whole][:3])
    done = run_batch(asking, *addresses)
    assert (done.rows, done.parts) == (40, len(whole))
    there = fetched(addresses[1])
    assert there.keys() == {"_batch.json", *whole}
    assert {name: there[name] for name in whole} == whole
    assert run_batch(asking, *addresses).resumed == len(whole)


def test_machines_share_embeddings_on_s3(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EQUIROUTER_SHARED_EMBEDDINGS", f"{bucket}/embeddings")
    first, asked = encode(["a", "b"], EmbeddingCache(tmp_path / "one"))
    assert asked == ["a", "b"]
    second, asked = encode(["a", "b"], EmbeddingCache(tmp_path / "two"))
    assert asked == []
    assert (second == first).all()
