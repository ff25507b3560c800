"""Published data sets on the command line: fetched from a server on this machine, or a copy."""

import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from equirouter.data.sources.hub import HubFile
from equirouter.registry import DATASETS
from tests.cli.invoke import invoke
from tests.data.sources import test_llmrouterbench, test_mixinstruct, test_mmrbench, test_routereval


class Hub:
    """A server that has some files of data sets, and the paths it was asked for."""

    def __init__(self, files: Mapping[HubFile, bytes]) -> None:
        contents = {
            f"/datasets/{file.repo}/resolve/{file.commit}/{file.filename}": (file.commit, content)
            for file, content in files.items()
        }
        self.asked: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(with_body=False)

            def do_GET(self) -> None:
                self.answer(with_body=True)

            def answer(self, *, with_body: bool) -> None:
                hub.asked.append(self.path)
                commit, content = contents.get(self.path, ("", b""))
                self.send_response(200 if commit else 404)
                self.send_header("X-Repo-Commit", commit)
                self.send_header("ETag", f'"{sha256(content).hexdigest()}"')
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if with_body:
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def mixinstruct(folder: Path) -> Path:
    rows = [
        test_mixinstruct.row(
            f"{task}/{number}",
            test_mixinstruct.candidate("flan-t5-xxl", "x" * 50, bartscore=-float(number % 5)),
            test_mixinstruct.candidate("mpt-7b", "y", bartscore=-2.5),
            text=f"{task} question {number}",
        )
        for task in ("dolly_15k", "sharegpt", "unified_chip2")
        for number in range(15)
    ]
    return test_mixinstruct.written(folder, rows).parent


def llmrouterbench(folder: Path) -> Path:
    for dataset in ("aime", "gpqa", "hle"):
        for model, right in (("gpt-5", 1), ("glm-4.6", 0)):
            records = [
                test_llmrouterbench.record(i, right or i % 2, origin_query=f"{dataset} {i}")
                for i in range(15)
            ]
            test_llmrouterbench.write(folder, f"{dataset}/test/{model}", records)
    return folder


def mmrbench(folder: Path) -> Path:
    rows = []
    for task in ("MathVerse", "MMStar", "OCRBench"):
        (folder / task).mkdir()
        for n in range(15):
            (folder / task / f"{n}.jpg").write_bytes(b"a picture")
            outcomes = [str(n % 2), "0.01", "", "1", "0.02", ""]
            rows.append([f"{task}_{n}", f"{task} question {n}", "3", *outcomes])
    return test_mmrbench.copy(folder, rows)


def routereval(folder: Path) -> Path:
    for name in ("arc", "gsm8k", "mmlu"):
        content = test_routereval.benchmark(test_routereval.MODELS, 15)
        content |= test_routereval.own_prompts(name, 15)
        test_routereval.write(folder, name, content)
    return folder


COPIES = {
    "mmr-bench": mmrbench,
    "mixinstruct": mixinstruct,
    "llmrouterbench": llmrouterbench,
    "routereval": routereval,
}


def packed(folder: Path, file: HubFile) -> bytes:
    """A file of the hub, made of a local copy."""
    if (folder / file.filename).is_file():
        return (folder / file.filename).read_bytes()
    stream = io.BytesIO()
    if file.filename.endswith(".zip"):
        with zipfile.ZipFile(stream, "w") as archive:
            for path in folder.iterdir():
                archive.write(path, f"router_dataset/{path.name}")
    else:
        with tarfile.open(fileobj=stream, mode="w:gz") as tar:
            tar.add(folder, ".")
    return stream.getvalue()


@pytest.fixture(params=COPIES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def copy(name: str, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    folder.mkdir()
    return COPIES[name](folder)


@pytest.fixture
def hub(name: str, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub has what was made here; no digest is promised for that."""
    made = DATASETS.load(name)
    files = tuple(HubFile(file.repo, file.filename, file.commit) for file in made().files)
    monkeypatch.setattr(made, "files", property(lambda _: files))
    monkeypatch.setenv("EQUIROUTER_CACHE_DIR", str(tmp_path / "cache"))
    server = Hub({file: packed(copy, file) for file in files})
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
    yield server
    server.stop()


def described(*arguments: object) -> dict[str, Any]:
    ran = invoke("data", *arguments, "--json", "--quiet")
    assert ran.code == 0, ran.err
    found: dict[str, Any] = json.loads(ran.out)
    return found


def test_fetch_downloads_once_and_the_copy_is_the_same(name: str, copy: Path, hub: Hub) -> None:
    fetched = described("fetch", name)
    assert fetched["n_queries"] in (45, 51)
    hub.asked.clear()
    assert described("describe", name) == fetched
    assert hub.asked == []
    local = described("describe", f"{name}:path={copy}")
    if name != "mmr-bench":  # whose images lie elsewhere
        assert local == fetched


def test_fetch_without_a_network_says_the_way_out(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> str:
        raise ConnectionError("no route to the hub")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    ran = invoke("data", "fetch", name, "--quiet")
    assert ran.code == 2
    file = DATASETS.load(name)().files[0]
    assert f"{file.filename} of {file.repo} could not be downloaded" in ran.err
    assert "give its path, NAME:path=FILE" in ran.err


@pytest.mark.parametrize("split", ["in-domain", "ood"])
def test_bench_runs_on_a_local_copy(name: str, copy: Path, tmp_path: Path, split: str) -> None:
    options = ["--encoder", "toy", "--routers", "knn:k=3", "--seeds", 1, "--resamples", 0]
    out = ["--split", split, "--out", tmp_path / "out"]
    text_only = ":images=false" if name == "mmr-bench" else ""  # as the toy encoder is
    ran = invoke("bench", f"{name}{text_only}:path={copy}", *options, *out, "--json")
    assert ran.code == 0, ran.err
    results = json.loads((tmp_path / "out" / "results.json").read_text("utf-8"))
    assert results["dataset"]["name"] == name
    assert results["protocol"]["split"] == split
    assert 0 < results["routers"]["knn:k=3"]["peak_score"]["mean"] <= 1


def test_convert_writes_the_table(name: str, copy: Path, tmp_path: Path) -> None:
    # beside its images a table names them as the data set does, so that it is the same table
    target = (copy if name == "mmr-bench" else tmp_path) / "t.parquet"
    ran = invoke("data", "convert", f"{name}:path={copy}", target)
    assert ran.code == 0, ran.err
    local = described("describe", f"{name}:path={copy}")
    assert described("describe", target)["fingerprint"] == local["fingerprint"]


def test_a_split_by_tasks_needs_several(tmp_path: Path) -> None:
    content = test_routereval.benchmark(test_routereval.MODELS, 30)
    test_routereval.write(tmp_path, "arc", content)
    spec = f"routereval:data=arc:path={tmp_path}"
    ran = invoke("bench", spec, "--encoder", "toy", "--split", "ood", "--routers", "knn")
    assert ran.code == 2
    assert "a split by whole tasks needs at least 3 tasks, found 1: 'arc'" in ran.err


def test_wrong_settings_are_the_users_to_fix(name: str, tmp_path: Path) -> None:
    for spec, message in (
        (f"{name}:paht=x", "did you mean 'path'?"),
        (f"{name}:path={tmp_path / 'nowhere'}", "nowhere"),
        (f"{name}:path=", "path is empty"),
    ):
        ran = invoke("data", "describe", spec)
        assert ran.code == 2
        assert message in ran.err
