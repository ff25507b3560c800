"""Decisions, of all queries that are there together: on the event loop, or in a thread beside it.

Nobody waits for more to come: an idle gateway decides a query at once, a busy one in batches.
Where a decision takes less than half a millisecond, measured when the pipeline is loaded, it is
made on the event loop itself, with those of all requests that came in the same turn: the way
through the thread takes 40 microseconds on an idle loop, and on a busy one the thread waits for
Python's lock. Where no other request is under way, one that takes up to two milliseconds is made
there too, as nobody waits meanwhile.
"""

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory

from equirouter.errors import PipelineError, UnreadableError
from equirouter.pipeline.decision import Ask, Decision
from equirouter.serve.chat import decoded_image
from equirouter.serve.plan.loading import LoadedPipeline, check_evidence, load_pipeline
from equirouter.serve.settings import PipelineSettings
from equirouter.serve.stopping import THREAD_SECONDS
from equirouter.serve.watch.prometheus import Metrics

_LOG = logging.getLogger("equirouter.serve")


@dataclass(slots=True)
class Decided:
    """A decision, the pipeline that made it, and how many were made with it."""

    decision: Decision
    loaded: LoadedPipeline
    batch: int


@dataclass(slots=True)
class _Job:
    loaded: LoadedPipeline
    ask: Ask
    image: str | None
    future: "asyncio.Future[Decided]"


class DecisionThread:
    """Answers asks with decisions of the pipeline that is loaded now.

    served: the models of the pool. Those who wait at the same time share one event loop. Raises
    PipelineError as load_pipeline; `reload` takes another pipeline, `close` ends the thread.
    """

    def __init__(self, settings: PipelineSettings, served: Sequence[str], metrics: Metrics) -> None:
        if settings.path is None:
            raise PipelineError("pipeline.path is not set: there is nothing to decide with")
        self._settings = settings
        self._served = tuple(served)
        self._metrics = metrics
        self._loaded = load_pipeline(settings, settings.path, served)
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._turn: list[_Job] = []  # that came in this turn of the loop, and are quick
        self._thread: threading.Thread | None = None
        self._reloading = asyncio.Lock()
        self.refused: str | None = None
        """Why the latest pipeline that was to be taken was not; None where it was."""

    @property
    def loaded(self) -> LoadedPipeline:
        """The pipeline that decides now."""
        return self._loaded

    @property
    def waiting(self) -> int:
        """Queries that wait for the thread."""
        return self._queue.qsize()

    async def decide(
        self, ask: Ask, image: str | None = None, loaded: LoadedPipeline | None = None
    ) -> Decided:
        """Decide one query with a pipeline, None for the one that is loaded now.

        image: a data URL, where the encoder reads images.

        If the caller is cancelled while the query waits, it is dropped. Raises whatever the
        pipeline raises, for this query alone.
        """
        loaded = loaded or self._loaded
        is_alone = self._metrics.running <= 1
        quick = loaded.lone_characters if is_alone else loaded.quick_characters
        is_quick = image is None and len(ask.query) <= quick
        if is_quick and is_alone:
            return Decided(loaded.pipeline.decide_each([ask])[0], loaded, 1)
        loop = asyncio.get_running_loop()
        job = _Job(loaded, ask, image, loop.create_future())
        if is_quick:
            if not self._turn:
                loop.call_soon(self._decide_turn)
            self._turn.append(job)
        else:
            if self._thread is None:
                self._start()
            self._queue.put(job)
        return await job.future

    async def reload(self, path: Path | None = None, *, force: bool = False) -> LoadedPipeline:
        """Load a pipeline, None from where the old one lies, try it out, and decide with it.

        The old one decides until then. Raises PipelineError, and whatever else loading raises, for
        one that is bad, and for one that rests on far less than the old one, unless forced: it is
        refused and the old one goes on.
        """
        async with self._reloading:
            path = path or self._loaded.path
            try:
                loaded = await self.load(path)
                if not force:
                    check_evidence(loaded, self._loaded)
            except Exception as error:
                self.refused = str(error)
                self._metrics.reloaded(taken=False)
                _LOG.error("the pipeline %s is refused, the old one goes on: %s", path, error)
                raise
            self._loaded, self.refused = loaded, None
            self._metrics.reloaded(taken=True)
            version = f", version {loaded.version}" if loaded.version else ""
            _LOG.info("the pipeline %s%s (%s) decides from now on", path, version, loaded.id)
            return loaded

    async def load(self, path: Path) -> LoadedPipeline:
        """Load a pipeline beside the one that decides, and try it out. Raises as load_pipeline."""
        return await asyncio.to_thread(load_pipeline, self._settings, path, self._served)

    async def close(self) -> None:
        """Decide what still waits, and end the thread, which is not waited for without end."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(thread.join, THREAD_SECONDS / 2)

    def _decide_turn(self) -> None:
        """Decide all that came in a turn of the loop."""
        jobs, self._turn = [job for job in self._turn if not job.future.cancelled()], []
        for start in range(0, len(jobs), self._settings.batch_size):
            part = jobs[start : start + self._settings.batch_size]
            self._deliver(part, self._answers(part))

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._work, name="equirouter-decide", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            jobs, is_last = self._together(job)
            if jobs:
                self._tell(jobs, self._answers(jobs))
            if is_last:
                return

    def _together(self, first: _Job) -> tuple[list[_Job], bool]:
        """The first job and those that wait behind it, without those that nobody waits for."""
        jobs, is_last = [first], False
        while len(jobs) < self._settings.batch_size:
            try:
                job = self._queue.get_nowait()
            except Empty:
                break
            if job is None:
                is_last = True
                break
            jobs.append(job)
        return [job for job in jobs if not job.future.cancelled()], is_last

    def _answers(self, jobs: Sequence[_Job]) -> list[Decided | Exception]:
        """A decision for each job, or why there is none."""
        if any(job.loaded is not jobs[0].loaded for job in jobs):  # a new pipeline, or a canary
            return self._answers_of_each(jobs)
        try:
            return list(self._decided(jobs))
        except Exception as error:
            if len(jobs) == 1:
                return [error]
            # one of them is at fault: the others must not suffer
            return [self._answers([job])[0] for job in jobs]

    def _answers_of_each(self, jobs: Sequence[_Job]) -> list[Decided | Exception]:
        """As _answers, where the jobs are of several pipelines."""
        answers: dict[int, Decided | Exception] = {}
        for loaded in {id(job.loaded): job.loaded for job in jobs}.values():
            rows = [row for row, job in enumerate(jobs) if job.loaded is loaded]
            answers |= zip(rows, self._answers([jobs[row] for row in rows]), strict=True)
        return [answers[row] for row in range(len(jobs))]

    def _decided(self, jobs: Sequence[_Job]) -> list[Decided]:
        loaded = jobs[0].loaded
        if all(job.image is None for job in jobs):
            decisions = loaded.pipeline.decide_each([job.ask for job in jobs])
        else:
            with TemporaryDirectory(prefix="equirouter-") as folder:
                asks = [_with_file(job, Path(folder) / str(n)) for n, job in enumerate(jobs)]
                decisions = loaded.pipeline.decide_each(asks)
        return [Decided(decision, loaded, len(jobs)) for decision in decisions]

    def _tell(self, jobs: Sequence[_Job], answers: Sequence[Decided | Exception]) -> None:
        loop = jobs[0].future.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._deliver, jobs, answers)

    def _deliver(self, jobs: Sequence[_Job], answers: Sequence[Decided | Exception]) -> None:
        self._metrics.batched(len(jobs))
        self._metrics.queued(self._queue.qsize())
        for job, answer in zip(jobs, answers, strict=True):
            if job.future.done():
                continue
            if isinstance(answer, Exception):
                job.future.set_exception(answer)
            else:
                job.future.set_result(answer)


def _with_file(job: _Job, file: Path) -> Ask:
    """The ask with its image as a file, which encoders read."""
    if job.image is None:
        return job.ask
    content = decoded_image(job.image)
    if content is None:
        raise UnreadableError("an image of the request is not base64 in a data URL")
    file.write_bytes(content)
    return replace(job.ask, image=str(file))
