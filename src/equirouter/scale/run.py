"""A run over files: planned, taken up where it was stopped, done by an engine, written down."""

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Literal

from equirouter.errors import ConfigError
from equirouter.places import place_of
from equirouter.policy.constraints import facts_to
from equirouter.processes import usable_cores
from equirouter.progress import Progress, silent
from equirouter.scale.asked_rows import Asking
from equirouter.scale.here import each_here
from equirouter.scale.journal import Journal
from equirouter.scale.output_parts import Done, Work
from equirouter.scale.pieces import InputFile, Piece, cut, find_files, lines_of

Engine = Literal["local", "ray"]

PROCESSES_FROM_SECONDS = 5.0
"""Of work on one core: starting a process takes about a second."""

CLUSTER_FROM_SECONDS = 60.0
"""Of work on this machine: Ray and its actors take some ten seconds to start."""

ROWS_TO_MEASURE = 512


@dataclass(frozen=True)
class Summary:
    """Summary of a run. resumed: parts that were there already. workers: processes or actors."""

    output: str
    rows: int
    parts: int
    resumed: int
    engine: Engine
    workers: int
    seconds: float


def run_batch(
    asking: Asking,
    source: str,
    output: str,
    *,
    keep: tuple[str, ...] | None = None,
    engine: Engine = "local",
    workers: tuple[int, int] | None = None,
    gpus: float = 0.0,
    say: Callable[[str], None] = lambda _: None,
    progress: Progress = silent,
) -> Summary:
    """Decide every query of a file or folder; the decisions are parts in a folder.

    keep: fields of a row that are written beside its decision, None for all. workers: processes or
    actors, at least and at most; None: as many as pay here, one per core of the cluster there.
    Raises DataError for input that cannot be read, with file and row; OutputError for an output
    that belongs to something else; ConfigError for a pipeline that was not loaded from a folder.
    """
    began = time.monotonic()
    source_place, output_place = place_of(source), place_of(output)
    if output_place.lies_in(source_place):
        raise ConfigError(f"{output}: this is in the input folder {source}; name another place")
    files = find_files(source_place)
    journal = Journal(output_place, _asked(asking, files, keep))
    pieces = cut(files, asking, keep)
    missing, damaged = journal.remaining(pieces)
    for piece in damaged:
        say(f"{output_place.under(piece.part)}: not as it was written, made again")
    left = sorted(missing + damaged, key=lambda piece: piece.number)
    resumed = len(pieces) - len(left)
    work = Work(asking, output_place, keep)
    chosen, least, most = _crew(work, left, engine, workers, say) if left else (engine, 0, 0)
    journal.write(finished=not left)
    try:
        for done in _decided(work, left, chosen, (least, most), gpus):
            journal.add(done)
            progress("decide", len(journal.done), len(pieces))
    finally:
        journal.write(finished=len(journal.done) == len(pieces))
    output_place.remove_unfinished("part-")
    return Summary(
        output=str(output_place),
        rows=sum(done.n_rows for done in journal.done.values()),
        parts=len(pieces),
        resumed=resumed,
        engine=chosen,
        workers=most,
        seconds=time.monotonic() - began,
    )


def _decided(
    work: Work, pieces: list[Piece], engine: Engine, workers: tuple[int, int], gpus: float
) -> Iterator[Done]:
    if not pieces:
        return iter(())
    if engine == "local":
        return each_here(work, pieces, workers[1])
    from equirouter.scale.on_ray import each_on_ray

    return each_on_ray(work, pieces, workers, gpus)


def _crew(
    work: Work,
    pieces: list[Piece],
    engine: Engine,
    workers: tuple[int, int] | None,
    say: Callable[[str], None],
) -> tuple[Engine, int, int]:
    """The engine that pays, and how many of its workers at least and at most."""
    cores = usable_cores()
    seconds = _expected_seconds(work, pieces)
    if engine == "ray":
        if seconds / cores >= CLUSTER_FROM_SECONDS:
            least, most = workers or (1, len(pieces))
            return "ray", least, most
        say(
            f"about {seconds / cores:.0f} s of work on this machine: a cluster takes as long to "
            "start as it would save, so it is done here"
        )
        workers = None
    if workers is None:
        n_processes = cores if seconds >= PROCESSES_FROM_SECONDS else 1
        workers = (n_processes, n_processes)
    return "local", min(workers[0], len(pieces)), min(workers[1], len(pieces))


def _expected_seconds(work: Work, pieces: list[Piece]) -> float:
    """The time that one core takes for the pieces, by that of the first rows."""
    work.decide(pieces[0], io.BytesIO(), 1)  # models and graphs are opened
    began = time.process_time()
    n_rows = work.decide(pieces[0], io.BytesIO(), ROWS_TO_MEASURE)
    seconds = time.process_time() - began
    measured = n_rows
    if pieces[0].kind == "jsonl":
        measured = sum(len(line) for _, line in islice(lines_of(pieces[0]), n_rows))
    # pieces of the other kind count as if they were as long to decide
    whole = min(pieces[0].stop - pieces[0].start, max(measured, 1))
    return seconds * (pieces[0].stop - pieces[0].start) / whole * len(pieces)


def _asked(asking: Asking, files: list[InputFile], keep: tuple[str, ...] | None) -> dict[str, Any]:
    pipeline = asking.pipeline
    if pipeline.digest is None:
        raise ConfigError("the pipeline was made here: save it, and give the one that load returns")
    return {
        "pipeline_sha256": pipeline.digest,
        "control": asdict(asking.control),
        "needs": {
            name: sorted(value) if isinstance(value, frozenset) else value
            for name, value in vars(asking.needs).items()
        },
        "text": asking.text,
        "keep": keep,
        "input": [asdict(file) for file in files],
        "model_facts": {name: facts_to(facts) for name, facts in pipeline.model_facts.items()},
    }
