"""A pipeline with versions, followed: when another one becomes current, it is taken."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from equirouter.errors import UserError
from equirouter.pipeline.versions import CURRENT_FILE, MOVES, PipelineVersions

_LOG = logging.getLogger("equirouter.serve")

LOOK_SECONDS = 2.0


async def follow(
    folder: Path, reload: Callable[[], Awaitable[object]], *, seconds: float = LOOK_SECONDS
) -> None:
    """Reload whenever another version of the pipeline in a folder is made current; without end.

    What is refused is not tried again until the pointer changes once more. A folder without
    versions has no pointer: nothing happens then.
    """
    seen, moved = await asyncio.to_thread(_mark, folder), await asyncio.to_thread(_moves, folder)
    while True:
        await asyncio.sleep(seconds)
        mark = await asyncio.to_thread(_mark, folder)
        if mark == seen:
            continue
        try:
            before, moved = moved, await asyncio.to_thread(_moves, folder)
            seen = mark
            if moved == before:  # something was noted, and the same version is current
                continue
            await reload()
        except UserError:  # the decider has said what is wrong with it
            continue
        except Exception:
            _LOG.exception("the pipeline in %s cannot be reloaded; the old one goes on", folder)


def _moves(folder: Path) -> int:
    """How often a version was made current. Raises PipelineError for a file that is damaged."""
    return sum(event.did in MOVES for event in PipelineVersions(folder).history)


def _mark(folder: Path) -> tuple[int, int] | None:
    """Numbers that change when the pointer is replaced; None where there is none."""
    try:
        status = (folder / CURRENT_FILE).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
