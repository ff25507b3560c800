"""Downloads, against a server on this machine that stands in for the hub."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from equirouter.data.sources.hub import HubFile, fetch
from equirouter.errors import DownloadError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONTENT = b"what the data set holds\n" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FILE = HubFile("owner/set", "table.pkl", COMMIT)


class Hub:
    """A server, what it was asked for, and where to reach it."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.status = 200
        self.ranges: list[str] = []
        self.cut_next = False
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(b"")

            def do_GET(self) -> None:
                self.answer(CONTENT)

            def answer(self, body: bytes) -> None:
                hub.requests.append(f"{self.command} {self.path}")
                is_the_file = self.path == f"/datasets/owner/set/resolve/{COMMIT}/table.pkl"
                asked = self.headers.get("Range")
                if is_the_file and body and asked is not None:
                    hub.ranges.append(asked)
                    first = int(asked.removeprefix("bytes=").split("-")[0])
                    self.send_response(206)
                    self.send_header("Content-Range", f"bytes {first}-/{len(CONTENT)}")
                    body = body[first:]
                else:
                    self.send_response(hub.status if is_the_file else 404)
                if not is_the_file:
                    body = b""
                    self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("ETag", f'"{SHA256}"')
                self.send_header("Content-Length", str(len(body or CONTENT) if is_the_file else 0))
                self.end_headers()
                if body and hub.cut_next:  # the connection breaks half way
                    hub.cut_next = False
                    body = body[: len(body) // 2]
                self.wfile.write(body)

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


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("EQUIROUTER_CACHE_DIR", str(tmp_path / "cache"))
    server = Hub()
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
    yield server
    server.stop()


def test_the_first_use_downloads_and_the_second_asks_nobody(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch(FILE)
    assert path.read_bytes() == CONTENT
    assert any(request.startswith("GET ") for request in hub.requests)
    hub.requests.clear()
    assert fetch(FILE) == path
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch(FILE) == path
    assert hub.requests == []


def test_the_digest_of_the_first_download_is_recorded(tmp_path: Path) -> None:
    fetch(FILE)
    (record,) = (tmp_path / "cache").rglob("lock.json")
    entry = json.loads(record.read_text("utf-8"))
    assert entry["sha256"] == SHA256
    assert entry["commit"] == COMMIT
    assert entry["repo"] == "owner/set"


def test_a_changed_file_in_the_cache_is_found_out() -> None:
    path = fetch(FILE)
    path.resolve().write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(DownloadError, match=r"damaged or changed\. Delete the folder") as caught:
        fetch(FILE)
    assert SHA256 in str(caught.value)


def test_the_folder_named_in_the_message_is_the_one_to_delete(tmp_path: Path) -> None:
    path = fetch(FILE)
    path.resolve().write_bytes(b"damaged")
    with pytest.raises(DownloadError) as caught:
        fetch(FILE)
    folder = Path(str(caught.value).split("Delete the folder ")[1].split(" and run")[0])
    assert folder.parent == tmp_path / "cache" / "hub"
    folder.rename(tmp_path / "away")
    assert fetch(FILE).read_bytes() == CONTENT


def test_a_file_with_another_digest_than_promised_is_refused() -> None:
    promised = HubFile("owner/set", "table.pkl", COMMIT, sha256="0" * 64)
    for _ in range(2):  # nor is it trusted the second time
        with pytest.raises(DownloadError, match="expected 0000"):
            fetch(promised)
    right = HubFile("owner/set", "table.pkl", COMMIT, SHA256)
    assert fetch(right).read_bytes() == CONTENT


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    fetch(FILE)
    (record,) = (tmp_path / "cache").rglob("lock.json")
    record.write_text("{}")
    with pytest.raises(DownloadError, match="cannot be read"):
        fetch(FILE)


def test_without_a_server_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    other = HubFile("owner/set", "missing.pkl", COMMIT)
    with pytest.raises(DownloadError) as caught:
        fetch(other)
    assert "missing.pkl of owner/set could not be downloaded" in str(caught.value)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadError) as caught:
        fetch(FILE)
    message = str(caught.value)
    assert "HF_HUB_OFFLINE is set" in message
    assert f"https://huggingface.co/datasets/owner/set/blob/{COMMIT}/table.pkl" in message
    assert "give its path" in message
    assert "HF_ENDPOINT" in message


def test_a_dead_server_is_a_download_error(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # between its many attempts
    hub.server.server_close()
    with pytest.raises(DownloadError, match=r"downloaded: .* cannot be reached .*give its path"):
        fetch(FILE)


def test_a_download_that_broke_goes_on_where_it_stopped(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # before the next attempt
    monkeypatch.setattr(
        "huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000
    )  # kept piece by piece
    hub.cut_next = True
    assert fetch(FILE).read_bytes() == CONTENT
    assert [asked.rstrip("-") for asked in hub.ranges] == [f"bytes={len(CONTENT) // 2}"]


def test_progress_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[str, int, int]] = []
    fetch(FILE, progress=lambda *step: seen.append(step))
    assert ("download table.pkl", len(CONTENT), len(CONTENT)) in seen
    assert capsys.readouterr().err == ""  # no second bar beside the caller's
    assert seen[-1] == ("check table.pkl", len(CONTENT), len(CONTENT))


def test_a_branch_is_no_commit() -> None:
    with pytest.raises(ValueError, match="40 hex digits"):
        HubFile("owner/set", "table.pkl", "main")
