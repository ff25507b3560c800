"""The fits and measurements of `bench` as tasks of a Ray cluster."""

from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from equirouter.extras import require

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

TASKS_PER_CORE = 2
"""Waiting or running: what they read lies in the cluster's memory meanwhile."""


def each_on_ray(works: "Iterable[partial[Result]]") -> Iterator[Result]:
    """Do each on the cluster that Ray finds, on a core; results in their order.

    What several of them take is sent once. A task whose node is lost is done again. Raises what a
    task raises, and MissingExtraError.
    """
    ray = require("ray", extra="ray", purpose="run on a cluster")
    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level="ERROR")
    run = ray.remote(_run).options(num_cpus=1, max_retries=-1)
    limit = TASKS_PER_CORE * max(1, int(ray.cluster_resources().get("CPU", 1)))
    waiting: deque[Any] = deque()
    sent: dict[int, tuple[object, Any]] = {}
    for work in works:
        references = [_sent(argument, sent, ray) for argument in work.args]
        waiting.append(run.remote(work.func, *references))
        if len(waiting) >= limit:
            yield _result(waiting.popleft(), ray)
    while waiting:
        yield _result(waiting.popleft(), ray)


def _run(function: "Callable[..., Result]", *arguments: object) -> Result:
    return function(*arguments)


def _sent(argument: object, sent: dict[int, tuple[object, Any]], ray: Any) -> object:  # noqa: ANN401
    """A reference to an argument that is worth one; the last of each kind is kept."""
    if isinstance(argument, str | int | None):
        return argument
    if id(argument) not in sent:
        kind = type(argument)
        for key in [key for key, (kept, _) in sent.items() if type(kept) is kind]:
            del sent[key]  # of an earlier seed; tasks that wait hold their references
        sent[id(argument)] = (argument, ray.put(argument))
    return sent[id(argument)][1]


def _result(reference: Any, ray: Any) -> Any:  # noqa: ANN401
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
