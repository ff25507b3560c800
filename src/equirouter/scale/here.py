"""The local engine: pieces decided in this process, or by a process per core where that pays."""

import multiprocessing
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.connection import wait as wait_for_end

from equirouter.errors import WorkerError
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.scale.output_parts import Done, Work
from equirouter.scale.pieces import Piece

WAITING_PER_PROCESS = 2


def each_here(work: Work, pieces: Iterable[Piece], n_processes: int) -> Iterator[Done]:
    """Decide the pieces, and give each part as it is written, in any order.

    Raises what Work raises, and WorkerError for a process that ended on its own.
    """
    if n_processes <= 1:
        yield from map(work, pieces)
        return
    waiting = iter(pieces)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_processes, context, initializer=_start, initargs=(work,)) as pool:
        running: set[Future[Done]] = set()
        try:
            while True:
                free = n_processes * WAITING_PER_PROCESS - len(running)
                running |= {pool.submit(_decide, piece) for piece in islice(waiting, free)}
                if not running:
                    return
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        except BrokenProcessPool as error:
            raise WorkerError(
                "a process that decided was ended by the system, often for lack of memory; run the "
                "same command again, with fewer --workers"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def on_one_thread(pipeline: RoutingPipeline) -> None:
    """Let a pipeline that has decided nothing yet use one thread; decisions stay the same."""
    pipeline.stage.scorer.threads = 1
    encoder = pipeline.stage.encoder
    for part in (encoder, *getattr(encoder, "parts", {}).values()):
        if hasattr(part, "threads"):
            part.threads = 1


_given: list[Work] = []
"""What a process of the pool has to do, once it has started."""


def _start(work: Work) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    on_one_thread(work.asking.pipeline)
    _given.append(work)


def _decide(piece: Piece) -> Done:
    return _given[0](piece)


def _end_with_parent() -> None:
    """A process whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_end([parent.sentinel])
        os._exit(1)
