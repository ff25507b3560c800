"""Journal of a run: its question and its written parts, to go on after a stop or a kill."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from equirouter import __version__
from equirouter.errors import OutputError
from equirouter.places import Place
from equirouter.scale.output_parts import Done
from equirouter.scale.pieces import Piece

NAME = "_batch.json"
SECONDS_BETWEEN_WRITES = 2.0

_WHAT = {
    "pipeline_sha256": "another pipeline",
    "input": "other input files, or the same ones as they were then",
    "version": "another version of equirouter",
}


class Journal:
    """The file _batch.json of an output folder.

    asked: all that shapes the parts, as JSON can hold it. A run that was asked anything else than
    the one before is refused: parts of two runs would stand beside each other.
    Raises OutputError for such a folder, and for one with files that no run wrote.
    """

    def __init__(self, output: Place, asked: Mapping[str, Any]) -> None:
        self._place = output.under(NAME)
        self._asked = json.loads(json.dumps({"version": __version__, **asked}))
        self._written = 0.0
        self.done: dict[int, Done] = {}
        self._sizes = output.sizes()
        if NAME in self._sizes:
            self._read()
        elif self._sizes:
            raise OutputError(
                f"{output}: there are files of something else, such as {min(self._sizes)}; name "
                "another folder, or one that does not exist"
            )

    def remaining(self, pieces: list[Piece]) -> tuple[list[Piece], list[Piece]]:
        """Pieces whose part is not there, and those whose part is not as it was written.

        Both are to be decided.
        """
        missing, damaged = [], []
        for piece in pieces:
            done = self.done.get(piece.number)
            if done is None:
                missing.append(piece)
            elif self._sizes.get(piece.part) != done.size_bytes:
                damaged.append(piece)
                del self.done[piece.number]
        return missing, damaged

    def add(self, done: Done) -> None:
        """Note a part that is written; the file is at most some seconds behind."""
        self.done[done.number] = done
        if time.monotonic() - self._written > SECONDS_BETWEEN_WRITES:
            self.write()

    def write(self, *, finished: bool = False) -> None:
        """Write all that is known."""
        parts = [asdict(self.done[number]) for number in sorted(self.done)]
        document = {"asked": self._asked, "finished": finished, "parts": parts}
        with self._place.written() as stream:
            stream.write(json.dumps(document).encode())
        self._written = time.monotonic()

    def _read(self) -> None:
        with self._place.open() as stream:
            content = stream.read()
        try:
            document = json.loads(content)
            before = document["asked"]
            self.done = {part["number"]: Done(**part) for part in document["parts"]}
        except (ValueError, KeyError, TypeError) as error:
            raise OutputError(
                f"{self._place}: this is not what a run wrote; name another folder"
            ) from error
        for name in self._asked | before:
            if before.get(name) != self._asked.get(name):
                was, now = (_said(asked.get(name)) for asked in (before, self._asked))
                what = _WHAT.get(name, f"{name} {was}, not {now}")
                raise OutputError(
                    f"{self._place}: the run that began here was asked with {what}; repeat it as "
                    "it was, or name another folder"
                )


def _said(value: object) -> str:
    """A setting in words; of several only those that were given."""
    if not isinstance(value, dict):
        return repr(value)
    given = (f"{name.rstrip('_')} {part}" for name, part in value.items() if part is not None)
    return ", ".join(given) or "none"
