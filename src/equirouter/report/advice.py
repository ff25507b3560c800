"""Advice on a diagnosis: each rule looks at certain figures."""

import math
from collections.abc import Callable

from equirouter.evaluation.diagnosis.contents import (
    CostsSaved,
    Diagnosis,
    Interval,
    RouterFinding,
    TrainedHere,
)
from equirouter.words import count, first_of, number, percent, signed, usd

MANY_TIES = 0.5
RARELY_NEEDED = 0.1
COLLAPSED = 0.9
"""Share of calls to the strongest model from which a router has stopped choosing."""

SAME_COLLAPSE = 0.8
"""In-sample share over held-out share from which unseen queries do not explain the collapse."""

LARGE_COST_ERROR = 0.3
NOTABLE = 0.02
"""Difference in cost, as a share of the strongest model's, that is worth a change of policy."""

WIDE = 0.01
"""Half-width of an interval of nAUC above which the test part is too small: the paper's routers
differ by less."""


def advice(diagnosis: Diagnosis) -> list[str]:
    """One or two sentences per rule that applies: the figures, and what to do."""
    return [sentence for rule in _RULES if (sentence := rule(diagnosis)) is not None]


def _visibility(diagnosis: Diagnosis) -> str | None:
    return diagnosis.visibility.warning


def _incomplete(diagnosis: Diagnosis) -> str | None:
    missing = diagnosis.setup.n_queries - diagnosis.setup.n_complete
    if missing <= 0.05 * diagnosis.setup.n_queries:
        return None
    return (
        f"{count(missing, 'query')} of {diagnosis.setup.n_queries:,} lack an outcome and are not "
        "measured: run the models that are missing there, or the figures speak of the others only."
    )


def _promise(diagnosis: Diagnosis) -> str | None:
    own = diagnosis.own
    if own is None:
        return None
    if own.relative_performance is None:
        return "The pipeline refused every query of the test part: its budget fits no model here."
    noise = 2 * diagnosis.setup.standard_error
    if own.relative_performance >= own.quality - noise:
        return None
    cause = (
        "train with more validation queries or a higher --confidence"
        if diagnosis.setup.trained_here
        else "it was trained on another table: train it on this one"
    )
    return (
        f"The pipeline should keep {own.quality:g} of the strongest model's performance but keeps "
        f"{number(own.relative_performance)} here: {cause}."
    )


def _collapse(diagnosis: Diagnosis) -> str | None:
    anchors = {anchor.name: anchor for anchor in diagnosis.anchors}
    oracle = anchors["oracle"].strongest_share
    collapsed = [
        router
        for router in diagnosis.routers
        if router.strongest_share >= COLLAPSED and oracle < COLLAPSED / 2
    ]
    if not collapsed:
        return None
    names = ", ".join(
        f"{router.name} ({percent(router.strongest_share)}, from {usd(router.ninety_from_usd)} on)"
        for router in collapsed
    )
    return (
        f"Collapse: at the largest budget {names} call {diagnosis.table.strongest} for at least "
        f"{100 * COLLAPSED:.0f} % of the queries, the oracle for {percent(oracle)}. Budgets above "
        "that buy hardly a choice: set a lower one, or a quality target, which stays where choices "
        "are made."
    )


def _in_sample(diagnosis: Diagnosis) -> str | None:
    held_out = [each for each in diagnosis.in_sample if each.held_out_share >= 0.5]
    if not held_out:
        return None
    less = [e for e in held_out if e.in_sample_share < SAME_COLLAPSE * e.held_out_share]
    as_much = ", ".join(_both_shares(each) for each in held_out if each not in less)
    strongest = diagnosis.table.strongest
    if not less:
        return (
            f"On the very queries they were fitted on, routers call {strongest} as "
            f"much: {as_much}. Unseen queries are not the cause, so more rows alone will not cure "
            "it; another policy or other features may."
        )
    return (
        f"On the queries they were fitted on, routers call {strongest} less: "
        f"{', '.join(_both_shares(each) for each in less)}. They do not carry over what they "
        "learned: more training rows, or a simpler router, may help."
        + (f" Others call it as much there: {as_much}." if as_much else "")
    )


def _both_shares(each: TrainedHere) -> str:
    here, unseen = percent(each.in_sample_share), percent(each.held_out_share)
    return f"{each.name} {here} (unseen queries {unseen})"


def _text_free(diagnosis: Diagnosis) -> str | None:
    """Whether a router needs less for some quality than the best that reads no text."""
    paying = [router for router in diagnosis.routers if _pays_at(router)]
    if paying:
        names = "; ".join(f"{router.name} {_costs_at(diagnosis, router)}" for router in paying)
        return f"Reading the query pays: cost minus that of the best anchor without text, {names}."
    known = [router for router in diagnosis.routers if any(router.cost_minus_text_free.values())]
    if not known:
        return None
    best = min(known, key=lambda router: (router.utility_cost_at_98 or 0.0, router.name))
    return (
        "No router is clearly cheaper at equal quality than what reads no text: "
        f"{best.name}, the best, {_costs_at(diagnosis, best)}. Give the router other features "
        "(--encoder, --window) or more rows, or route by what is cheap: by task, or by means."
    )


def _check(diagnosis: Diagnosis) -> str | None:
    """Whether comparing answers pays, at the quality where it saves the most."""
    check = diagnosis.check
    if check is None:
        return None
    saved = {at: _saved(at) for at in check.costs if at.taken != "routing"}
    if not saved:
        why = check.notes[-1] if check.notes else "at no quality it costs less than one model"
        return f"Comparing the answers of two cheap models is not shown to pay here: {why}."
    at = max(saved, key=lambda each: saved[each])
    sure = at.saved is not None and at.saved[0] > 0
    family = [pair for pair in check.pairs if pair.family is not None]
    others = (
        f" {' and '.join(family[0].models)} are of one family and share their errors: a pair of "
        "two makers tells more."
        if len(family) == len(check.pairs)
        else ""
    )
    return (
        f"Comparing the answers of two cheap models {'pays' if sure else 'may pay'} here: "
        f"{at.quality:.0%} of the strongest model's performance costs "
        f"{percent(1.0 if at.routing is None else at.routing)} of its cost by one "
        f"model per query and {saved[at]:.3f} less by "
        f"{'the agreement rule' if at.taken == 'rule' else 'learned plans'} (95 % interval of what "
        f"is saved: {signed(at.saved)}). `equirouter train` takes them there.{others}"
    )


def _saved(at: CostsSaved) -> float:
    """Saving of the taken way over one model per query, as a share of the strongest's cost."""
    usual, taken = (1.0 if cost is None else cost for cost in (at.routing, _taken_cost(at)))
    return usual - taken


def _taken_cost(at: CostsSaved) -> float | None:
    return at.rule if at.taken == "rule" else at.learned


def _pays_at(router: RouterFinding) -> list[str]:
    """The qualities that it has for clearly less."""
    return [
        level
        for level, interval in router.cost_minus_text_free.items()
        if interval is not None and interval[1] < 0
    ]


def _costs_at(diagnosis: Diagnosis, router: RouterFinding) -> str:
    """The differences in cost at the qualities that it pays at, or at all of them."""
    levels = _pays_at(router) or list(router.cost_minus_text_free)
    return ", ".join(
        f"{signed(router.cost_minus_text_free[level])} at {100 * float(level):.0f} % against "
        f"{diagnosis.text_free[level]}"
        for level in levels
    )


def _small(diagnosis: Diagnosis) -> str | None:
    widths = [_half_width(router.nauc_minus_task) for router in diagnosis.routers]
    known = [width for width in widths if width is not None]
    if not known or min(known) <= WIDE:
        return None
    rows = diagnosis.setup.n_queries * (min(known) / WIDE) ** 2
    return (
        f"The test part is small: with {count(diagnosis.setup.test_queries, 'query')} only "
        f"differences in nAUC above {min(known):.3f} can be told. For {WIDE:g} about {rows:,.0f} "
        "rows are needed."
    )


def _half_width(interval: Interval) -> float | None:
    return None if interval is None else (interval[1] - interval[0]) / 2


def _ties(diagnosis: Diagnosis) -> str | None:
    rate = diagnosis.table.margins[0.0]
    if rate < MANY_TIES:
        return None
    return (
        f"On {percent(rate)} of the queries the two best models score the same, so most choices "
        "decide what is paid and not what is got: compare routers by the cost at a quality, not by "
        f"nAUC or RCI alone. {_policy(diagnosis)}"
    )


def _policy(diagnosis: Diagnosis) -> str:
    """Which policy needs less for 98 %, by the router for which the two differ in its favour."""
    both = [
        (router.utility_cost_at_98, router.budget_cost_at_98, router.name)
        for router in diagnosis.routers
        if router.utility_cost_at_98 is not None and router.budget_cost_at_98 is not None
    ]
    if not both:
        return "The strongest model is free, so no policy saves anything."
    utility, budget, name = min(both)
    costs = (
        f"{name} has 98 % of the strongest model's performance at {percent(utility)} of its "
        f"cost under --policy utility and at {percent(budget)} under budgets"
    )
    if utility <= budget - NOTABLE:
        return f"Prefer the utility policy: {costs}."
    if utility >= budget + NOTABLE:
        return f"Budgets are the better control here: {costs}."
    return f"The policy matters little here: {costs}."


def _rarely_needed(diagnosis: Diagnosis) -> str | None:
    table = diagnosis.table
    if table.need.alone >= RARELY_NEEDED:
        return None
    return (
        f"{table.strongest} is the only best model on {percent(table.need.alone)} of the queries; "
        f"without it the oracle would score {number(table.oracle_without_strongest)} in place of "
        f"{number(table.oracle_performance)}. Most of its cost could be saved by a router that "
        "knew when: look at lower quality targets too, and at the pool without it."
    )


def _costs(diagnosis: Diagnosis) -> str | None:
    wrong = [
        f"{model.name} ({percent(model.cost_error)})"
        for model in diagnosis.models
        if model.cost_error is not None and model.cost_error > LARGE_COST_ERROR
    ]
    if not wrong:
        return None
    return (
        f"Predicted costs are far off for {', '.join(wrong)} on average, so a budget per call lets "
        "through what it should not: leave room below a hard limit, or train on more rows."
    )


def _tasks(diagnosis: Diagnosis) -> str | None:
    worse = [
        task
        for task in diagnosis.tasks
        if task.performance < task.strongest_performance - 2 * _error(task.n_queries)
    ]
    if not worse:
        return None
    names = [
        f"{task.task} ({number(task.performance)} against {number(task.strongest_performance)})"
        for task in worse
    ]
    return (
        f"{diagnosis.tasks_of} scores clearly less than {diagnosis.table.strongest} on "
        f"{first_of(names)}: a higher quality target, or more training rows of such queries, would "
        "help there."
    )


def _wrong_strongest(diagnosis: Diagnosis) -> str | None:
    blind = [
        task
        for task in diagnosis.tasks
        if task.strongest_share > 0.5
        and task.best_performance > task.strongest_performance + 2 * _error(task.n_queries)
    ]
    if not blind:
        return None
    names = [
        f"{task.task} ({diagnosis.models[task.best_model].name} {number(task.best_performance)}, "
        f"{diagnosis.table.strongest} {number(task.strongest_performance)})"
        for task in blind
    ]
    return (
        f"{diagnosis.tasks_of} sends most of these tasks to {diagnosis.table.strongest} although "
        f"another model is better on them: {first_of(names)}. Check these outcomes, then route by "
        "task there."
    )


def _error(n_queries: int) -> float:
    return 0.5 / math.sqrt(n_queries)  # the largest standard error of a mean within [0, 1]


_RULES: tuple[Callable[[Diagnosis], str | None], ...] = (
    _visibility,
    _promise,
    _collapse,
    _in_sample,
    _text_free,
    _check,
    _small,
    _ties,
    _rarely_needed,
    _tasks,
    _wrong_strongest,
    _costs,
    _incomplete,
)
