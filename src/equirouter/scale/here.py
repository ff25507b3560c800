"""The local engine: what stands by itself is done in this process, or by several of them."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from itertools import islice
from multiprocessing.connection import wait as wait_for_end
from typing import TypeVar

from equirouter.errors import WorkerError
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.scale.output_parts import Done, Work
from equirouter.scale.pieces import Piece

Result = TypeVar("Result")

WAITING_PER_PROCESS = 2


def each_here(work: Work, pieces: Iterable[Piece], n_processes: int) -> Iterator[Done]:
    """Decide the pieces, and give each part as it is written, in any order.

    Raises what Work raises, and WorkerError for a process that ended on its own.
    """
    if n_processes <= 1:
        yield from map(work, pieces)
        return
    waiting = iter(pieces)
    with processes(n_processes, _start, work) as pool:
        running: set[Future[Done]] = set()
        while True:
            free = n_processes * WAITING_PER_PROCESS - len(running)
            running |= {pool.submit(_decide, piece) for piece in islice(waiting, free)}
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()


def fits_here(works: Iterable[partial[Result]], n_processes: int) -> Iterator[Result]:
    """Do the fits and measurements of `bench`, each in a process; results in their order.

    Each process has one thread: no figure depends on how many cores there are. Raises what a work
    raises, and WorkerError for a process that ended on its own.
    """
    with _one_thread_each(), processes(n_processes, _end_with_parent) as pool:
        running: deque[Future[Result]] = deque()
        for work in works:
            running.append(pool.submit(work))
            if len(running) >= n_processes * WAITING_PER_PROCESS:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


@contextmanager
def processes(
    number: int, start: Callable[..., None], *given: object
) -> Iterator[ProcessPoolExecutor]:
    """A pool of new processes, each of which calls start(*given) first; none outlives the block.

    Raises WorkerError for a process that ended on its own.
    """
    context, others = multiprocessing.get_context("spawn"), multiprocessing.active_children()
    with ProcessPoolExecutor(number, context, initializer=start, initargs=given) as pool:
        try:
            yield pool
        except BrokenProcessPool as error:
            raise WorkerError(
                "one of the processes was ended by the system, often for lack of memory; run the "
                "same command again, with fewer --workers"
            ) from error
        except (KeyboardInterrupt, GeneratorExit):  # a fit takes longer than anyone waits
            for process in multiprocessing.active_children():
                if process not in others:
                    process.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes that start meanwhile have one thread: libraries read this once, as they load."""
    name = "OMP_NUM_THREADS"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


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
    _end_with_parent()
    on_one_thread(work.asking.pipeline)
    _given.append(work)


def _decide(piece: Piece) -> Done:
    return _given[0](piece)


def _end_with_parent() -> None:
    """A process whose parent was killed would wait for work for ever."""
    threading.Thread(target=_wait_for_its_end, daemon=True).start()


def _wait_for_its_end() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_end([parent.sentinel])
        os._exit(1)
