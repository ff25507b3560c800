"""Files take the place of old ones only when they are whole."""

import errno
import os
from pathlib import Path

import pytest

from equirouter.errors import OutputError
from equirouter.output import atomic_write, make_folder, reserved_folder


def test_text_is_utf8_with_unix_line_ends(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a.txt") as stream:
        stream.write("é\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9\n"


def write_half(target: Path, error: Exception) -> None:
    with atomic_write(target) as stream:
        stream.write("half")
        raise error


@pytest.mark.parametrize(
    ("error", "raised", "words"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            OutputError,
            r"results\.json: could not be written: No space left",
        ),
        (ValueError("unrelated"), ValueError, "unrelated"),
    ],
)
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: Exception, raised: type[Exception], words: str
) -> None:
    target = tmp_path / "results.json"
    target.write_text("good")
    with pytest.raises(raised, match=words):
        write_half(target, error)
    assert target.read_text() == "good"
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_a_missing_folder_or_a_folder_of_that_name_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="could not be written"),
        atomic_write(tmp_path / "no" / "a.txt"),
    ):
        pass
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError, match="taken"), atomic_write(tmp_path / "taken"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_others_may_read_what_was_written(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a.txt") as stream:
        stream.write("x")
    plain = tmp_path / "b.txt"
    plain.write_text("x")
    assert (tmp_path / "a.txt").stat().st_mode == plain.stat().st_mode


def test_a_folder_where_a_file_is_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="no folder can be made"):
        make_folder(tmp_path / "file" / "below")


@pytest.mark.parametrize(("written", "left"), [((), []), (("b/file",), ["b"])])
def test_a_folder_reserved_for_work_that_fails_is_taken_away_unless_it_holds_something(
    written: tuple[str, ...], left: list[str], tmp_path: Path
) -> None:
    def work() -> None:
        with reserved_folder(tmp_path / "a" / "b") as folder:
            assert folder.is_dir()
            for name in written:
                (tmp_path / "a" / name).write_text("x")
            raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        work()
    assert [one.name for one in tmp_path.glob("a/*")] == left
    assert (tmp_path / "a").exists() == bool(left)


def test_a_folder_that_was_there_stays_and_so_does_one_whose_work_is_done(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="refused"), reserved_folder(tmp_path):
        raise ValueError("refused")
    with reserved_folder(tmp_path / "done"):
        pass
    assert (tmp_path / "done").is_dir()


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "far" / "file.txt")
    for text in ("new", "newer"):
        with atomic_write(link) as stream:
            stream.write(text)
        assert link.is_symlink()
        assert (tmp_path / "far" / "file.txt").read_text("utf-8") == text
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["file.txt"]


def test_nothing_takes_the_place_of_a_pipe_or_a_device(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OutputError, match="a pipe or a device"), atomic_write(pipe):
        pass
    assert pipe.is_fifo()
