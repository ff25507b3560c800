"""The sentences above everything else: the setting and the main result."""

from equirouter.evaluation.measured import Measured
from equirouter.evaluation.results import Results
from equirouter.report.tables import counted_queries
from equirouter.report.wording import count

__all__ = ["headline"]


def headline(results: Results) -> list[str]:
    """The setting and the main result in two or three sentences.

    Which router reaches 98 % of the strongest model's mean performance in every seed at the lowest
    cost, and whether its interval is clear of the `task` anchor's, which reads no query.
    """
    dataset, strongest = results.dataset, results.strongest
    what = (
        f"{count(len(results.routers), 'router')} chose among {count(dataset.n_models, 'model')} "
        f"for queries of {dataset.name} ({dataset.n_queries:,} queries, "
        f"{count(len(results.protocol.seeds), 'seed')}; {counted_queries(results)})."
    )
    costs = {name: router.cost_at_quality[0.98] for name, router in results.routers.items()}
    reached = {name: cost.everywhere for name, cost in costs.items() if cost.everywhere is not None}
    some_missed = any(cost.count for cost in costs.values())
    if not reached:
        where = " in every seed" if some_missed else ""
        return [what, f"No router reached 98 % of the mean performance of {strongest}{where}."]
    among = " of those that do so in every seed" if some_missed else ""
    name = min(reached, key=lambda router: (reached[router], router))
    return [
        what,
        f"{name} reaches 98 % of the mean performance of {strongest}, the strongest model, at the "
        f"lowest cost{among}: {_share(costs[name])} of what {strongest} costs.",
        _against_task(results, costs[name]),
    ]


def _against_task(results: Results, cost: Measured) -> str:
    if "task" not in results.anchors:
        return "The task anchor was not measured, so this does not show that queries are read."
    task = results.anchors["task"].cost_at_quality[0.98]
    who = "The task anchor, which knows a query's task and reads no text,"
    if task.count:
        return f"{who} gets there in {task.n_reached} of {task.n_seeds} seeds only."
    if task.mean is None:
        return f"{who} does not get there."
    needs = f"{who} needs {_share(task)}"
    if cost.low is None or cost.high is None or task.low is None or task.high is None:
        return f"{needs}; an interval is missing, so the two cannot be told apart."
    if cost.high < task.low:
        return f"{needs}: the intervals do not overlap, so reading the queries pays here."
    if cost.low > task.high:
        return f"{needs}: less, and the intervals do not overlap. Knowing the task is enough here."
    return f"{needs}: the intervals overlap, so this is no proof that reading the queries pays."


def _share(cost: Measured) -> str:
    """A cost as a percentage with its interval."""

    def percent(value: float) -> str:
        return f"{100 * value:.1f} %"

    if cost.mean is None:
        return "/"
    if cost.low is None or cost.high is None:
        return percent(cost.mean)
    return f"{percent(cost.mean)} (95 % interval {percent(cost.low)} to {percent(cost.high)})"
