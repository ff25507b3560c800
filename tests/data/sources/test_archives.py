"""Files in folders, tars and zips."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from equirouter.data.sources.archives import members, unpack_tar
from equirouter.errors import DataError


def tar(path: Path, *entries: tuple[str, bytes | None]) -> Path:
    """An archive; an entry without content is a link to /etc."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc"
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def test_only_what_is_wanted_is_read(tmp_path: Path) -> None:
    for name in ("a/1.json", "b/2.json", "b/3.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    read = list(members(tmp_path, ".json", lambda parts: parts[0] == "b"))
    assert [(member.parts, member.content) for member in read] == [(("b", "2.json"), b"b/2.json")]
    packed = tar(tmp_path / "x.tgz", ("a/1.json", b"1"), ("b/2.json", b"2"), ("b/l.json", None))
    assert [m.content for m in members(packed, ".json", lambda parts: parts[0] == "b")] == [b"2"]


@pytest.fixture(params=["with filters", "without"], autouse=True)
def python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is, and as before 3.11.4, which has no filters of tars."""
    if request.param == "without":
        monkeypatch.delattr("tarfile.data_filter", raising=False)


def test_a_tar_is_unpacked_once(tmp_path: Path) -> None:
    packed = tar(tmp_path / "images.tar.gz", ("MMStar/0.jpg", b"a picture"))
    folder = unpack_tar(packed, tmp_path / "images")
    assert (folder / "MMStar" / "0.jpg").read_bytes() == b"a picture"
    packed.unlink()
    assert unpack_tar(packed, tmp_path / "images") == folder


@pytest.mark.parametrize(
    "entry", [("../outside.jpg", b"x"), ("a/../../outside.jpg", b"x"), ("l", None)]
)
def test_nothing_is_unpacked_outside_the_folder(
    tmp_path: Path, entry: tuple[str, bytes | None]
) -> None:
    packed = tar(tmp_path / "images.tar.gz", ("ok.jpg", b"x"), entry)
    with pytest.raises(DataError, match="could not be unpacked"):
        unpack_tar(packed, tmp_path / "inner" / "images")
    assert not (tmp_path / "inner" / "images").exists()
    assert not (tmp_path / "inner" / "outside.jpg").exists()


def test_a_damaged_tar_leaves_no_folder(tmp_path: Path) -> None:
    packed = tar(tmp_path / "images.tar.gz", ("0.jpg", b"x" * 100_000))
    packed.write_bytes(packed.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"images\.tar\.gz: could not be unpacked"):
        unpack_tar(packed, tmp_path / "images")
    assert not (tmp_path / "images").exists()


@pytest.mark.parametrize(
    ("method", "old", "new"),
    [
        (zipfile.ZIP_LZMA, b"\x09\x04\x05\x00\x5d", b"\x09\x04\x05\x00\xff"),  # its settings
        (zipfile.ZIP_STORED, b"\xc3\xa9.json", b"\xff\xff.json"),
        (
            zipfile.ZIP_STORED,
            b"PK\x01\x02\x14\x03\x14\0\0\x08\0\0",
            b"PK\x01\x02\x14\x03\x14\0\0\x08\x63\0",
        ),
        (
            zipfile.ZIP_STORED,
            b"PK\x01\x02\x14\x03\x14\0\0\x08",
            b"PK\x01\x02\x14\x03\x14\0\x01\x08",
        ),
    ],
    ids=["settings", "name", "method", "password"],
)
def test_a_zip_that_cannot_be_read_is_named(
    tmp_path: Path, method: int, old: bytes, new: bytes
) -> None:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("\u00e9.json", "[1, 2]" * 9)
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    with pytest.raises(DataError, match=r"data\.zip: the archive is damaged, or cannot be read"):
        list(members(path, ".json", lambda _: True))
