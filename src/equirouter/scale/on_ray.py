"""The engine of a cluster: Ray Data, with one loaded pipeline per actor.

Only numbers of pieces go through Ray. An actor reads its piece and writes its part itself, so both
must be at addresses that every node reaches. What an actor or a node was at when it is lost,
another does again: a part is whole or not there, and the same whoever writes it.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from equirouter.errors import EquiRouterError
from equirouter.extras import require
from equirouter.scale.here import on_one_thread
from equirouter.scale.output_parts import Done, Work
from equirouter.scale.pieces import Piece

if TYPE_CHECKING:
    from numpy.typing import NDArray

WAITING_PER_ACTOR = 2
"""So that no actor waits for the driver."""


def each_on_ray(
    work: Work, pieces: Sequence[Piece], actors: tuple[int, int], gpus: float = 0.0
) -> Iterator[Done]:
    """Decide the pieces on the cluster that Ray finds, or one of this machine.

    actors: at least and at most so many; their number follows the work. gpus: of each. Parts come
    as they are written. Raises what Work raises, and MissingExtraError.
    """
    ray = require("ray", extra="ray", purpose="run on a cluster")
    data = require("ray.data", extra="ray", purpose="run on a cluster")
    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level="ERROR")
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    least, most = actors
    rows = data.from_items(
        [{"piece": number} for number in range(len(pieces))], override_num_blocks=len(pieces)
    ).map_batches(
        Actor,
        batch_size=None,
        compute=data.ActorPoolStrategy(
            min_size=least, max_size=most, max_tasks_in_flight_per_actor=WAITING_PER_ACTOR
        ),
        num_cpus=1,
        num_gpus=gpus or None,
        fn_constructor_args=[ray.put(work), ray.put(list(pieces))],
    )
    for row in rows.iter_rows():
        if row["error"] is not None:
            raise _ERRORS.get(row["error"], EquiRouterError)(row["message"])
        yield Done(row["number"], row["n_rows"], row["size_bytes"], row["sha256"])


class Actor:
    """A process of the cluster with a pipeline of its own."""

    def __init__(self, work: Any, pieces: Any) -> None:  # noqa: ANN401  # or references to them
        import ray

        self._work: Work = ray.get(work) if isinstance(work, ray.ObjectRef) else work
        own = ray.get(pieces) if isinstance(pieces, ray.ObjectRef) else pieces
        self._pieces: Sequence[Piece] = own
        on_one_thread(self._work.asking.pipeline)

    def __call__(self, batch: "dict[str, NDArray[Any]]") -> dict[str, list[Any]]:
        """Decide pieces: a row for each part, or for what went wrong."""
        rows = [self._decided(self._pieces[int(number)]) for number in batch["piece"]]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def _decided(self, piece: Piece) -> dict[str, Any]:
        row: dict[str, Any] = {"error": None, "message": ""}
        try:
            done = self._work(piece)
        except EquiRouterError as error:  # Ray would do it again, and tell it as its own
            row |= {"error": type(error).__name__, "message": str(error)}
            done = Done(piece.number, 0, 0, "")
        return row | vars(done)


def _kinds(kind: type[EquiRouterError]) -> dict[str, type[EquiRouterError]]:
    named = {kind.__name__: kind}
    for below in kind.__subclasses__():
        named |= _kinds(below)
    return named


_ERRORS = _kinds(EquiRouterError)
