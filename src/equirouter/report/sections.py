"""A diagnosis as a text for a terminal or a bug report."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any, TypeVar

from equirouter.evaluation.diagnosis.contents import Diagnosis, PairFinding
from equirouter.report.advice import advice
from equirouter.report.blocks import (
    Block,
    FactRows,
    Heading,
    NumberedRows,
    Rows,
    as_markdown,
    as_text,
)
from equirouter.words import count, number, percent, signed

MOST_TASKS = 15

_Item = TypeVar("_Item")


def _table(items: Iterable[_Item], *columns: tuple[str, Callable[[_Item], str]]) -> Rows:
    """A row per item, a cell per column: its head, and how an item stands in it."""
    rows = tuple(tuple(cell(item) for _, cell in columns) for item in items)
    return Rows(tuple(head for head, _ in columns), rows)


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """Plain text; it holds names of models and tasks and no query."""
    return as_text(_blocks(diagnosis))


def diagnosis_markdown(diagnosis: Diagnosis) -> str:
    """Markdown, with the names of models and tasks escaped."""
    return as_markdown(_blocks(diagnosis))


def diagnosis_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """All figures, and the advice, as JSON can hold them."""
    document = asdict(diagnosis)
    document["table"]["margins"] = {
        f"{level:g}": share for level, share in diagnosis.table.margins.items()
    }
    for router in (*document["routers"], *document["anchors"]):
        router["share_at"] = [
            {"budget_usd": budget, "strongest_share": share}
            for budget, share in router["share_at"].items()
        ]
    return {"schema": 1, **document, "advice": advice(diagnosis)}


def _blocks(diagnosis: Diagnosis) -> list[Block]:
    return [
        Heading(f"Diagnosis of {diagnosis.setup.name}", level=1),
        _facts(diagnosis),
        *_warnings(diagnosis),
        *_outcomes(diagnosis),
        *_encoder(diagnosis),
        *_noise(diagnosis),
        *_routers(diagnosis),
        *_in_sample(diagnosis),
        *_own(diagnosis),
        *_check(diagnosis),
        *_tasks(diagnosis),
        Heading("What to do"),
        NumberedRows(tuple(advice(diagnosis)) or ("Nothing needs to change.",)),
    ]


def _facts(diagnosis: Diagnosis) -> Block:
    setup = diagnosis.setup
    window = "" if setup.window is None else f", window {setup.window}"
    pairs = [
        ("versions", ", ".join(f"{name} {version}" for name, version in setup.versions.items())),
        (
            "data set",
            f"{setup.name}: {count(setup.n_queries, 'query')} ({setup.n_complete:,} with every "
            f"outcome), {count(setup.n_models, 'model')}, {count(setup.n_tasks, 'task')}; "
            f"fingerprint {setup.fingerprint[:16]}",
        ),
        ("encoder", f"{setup.encoder}{window}; fingerprint {setup.encoder_fingerprint}"),
        (
            "split",
            f"{setup.split}, seed {setup.seed}: {setup.train_queries:,} train, "
            f"{setup.validation_queries:,} validation, {setup.test_queries:,} test queries; hash "
            f"{setup.split_hash[:16]}",
        ),
    ]
    if setup.pipeline is not None:
        where = (
            "trained on this table; measured on the test part of its own split"
            if setup.trained_here
            else "trained on another table, which may have held queries of this one"
        )
        pairs.append(("pipeline", f"{setup.pipeline}: {where}"))
    return FactRows(tuple(pairs))


def _warnings(diagnosis: Diagnosis) -> list[Block]:
    if not diagnosis.warnings:
        return []
    return [Heading("Warnings about the table"), NumberedRows(diagnosis.warnings)]


def _outcomes(diagnosis: Diagnosis) -> list[Block]:
    table = diagnosis.table
    levels = ", ".join(
        f"{percent(share)} at most {level:g}" for level, share in table.margins.items()
    )
    return [
        Heading("Outcomes: ties, margins, and what the oracle calls"),
        (
            f"Margin of the best model over the second-best (Eq. 4), share of queries: {levels}. "
            f"All models score the same on {percent(table.all_alike)}."
        ),
        (
            f"{table.strongest}, the strongest model, is the only best one on "
            f"{percent(table.need.alone)} of the queries, one of several on "
            f"{percent(table.need.matched)}, and beaten on {percent(table.need.beaten)}."
        ),
        (
            f"The oracle scores {number(table.oracle_performance)} at "
            f"{percent(table.oracle_relative_cost)} of the strongest model's cost."
        ),
        _table(
            sorted(diagnosis.models, key=lambda model: -model.performance),
            ("model", lambda model: model.name),
            ("performance", lambda model: number(model.performance)),
            ("cost, USD", lambda model: f"{model.cost_usd:.3g}"),
            ("oracle", lambda model: percent(model.oracle_share)),
            ("cost error", lambda model: percent(model.cost_error)),
        ),
    ]


def _encoder(diagnosis: Diagnosis) -> list[Block]:
    visible = diagnosis.visibility
    return [
        Heading("What the encoder sees"),
        (
            f"{visible.n_duplicates:,} of {count(visible.n_queries, 'query')} "
            f"({percent(visible.share)}) have the embedding of a query with another text."
        ),
    ]


def _noise(diagnosis: Diagnosis) -> list[Block]:
    top = max(diagnosis.noise, key=lambda each: each.strongest_share)
    return [
        Heading("The oracle with noise on its labels"),
        _table(
            diagnosis.noise,
            ("sigma", lambda each: f"{each.sigma:g}"),
            ("calls to strongest", lambda each: percent(each.strongest_share)),
            ("performance", lambda each: number(each.performance)),
            ("RCI", lambda each: number(each.rci)),
        ),
        (
            f"Noise takes the oracle's calls to {diagnosis.table.strongest} from "
            f"{percent(diagnosis.noise[0].strongest_share)} to {percent(top.strongest_share)} at "
            f"most; by chance alone it would be {percent(1 / diagnosis.setup.n_models)}."
        ),
    ]


def _routers(diagnosis: Diagnosis) -> list[Block]:
    measured = (*diagnosis.anchors, *diagnosis.routers)
    free = diagnosis.text_free.get("0.98", "text-free")
    return [
        Heading("Where routers collapse"),
        _table(
            measured,
            ("router", lambda router: router.name),
            ("nAUC", lambda router: number(router.nauc)),
            ("RCI", lambda router: number(router.rci)),
            ("calls", lambda router: percent(router.strongest_share)),
            ("50 % from", lambda router: _from(router.half_from_usd)),
            ("90 % from", lambda router: _from(router.ninety_from_usd)),
        ),
        (
            "calls: share of the queries sent to the strongest model at the largest budget; "
            "50 % from, 90 % from: the budget in USD from which on it stays above that."
        ),
        _table(
            measured,
            ("router", lambda router: router.name),
            ("budget", lambda router: percent(router.budget_cost_at_98)),
            ("utility", lambda router: percent(router.utility_cost_at_98)),
            ("nAUC minus task", lambda router: signed(router.nauc_minus_task)),
            (
                f"utility minus {free}",
                lambda router: signed(router.cost_minus_text_free.get("0.98")),
            ),
        ),
        (
            "budget, utility: cost at 98 % of the strongest model's performance as a share of its "
            "cost, by policy. The last columns are 95 % intervals on the same resamples of the "
            "test queries; the last one is against the anchor that needs the least of those that "
            "read no text."
        ),
    ]


def _from(budget_usd: float | None) -> str:
    return "never" if budget_usd is None else f"{budget_usd:.3g}"


def _in_sample(diagnosis: Diagnosis) -> list[Block]:
    return [
        Heading("Fitted and measured on the same queries"),
        _table(
            diagnosis.in_sample,
            ("router", lambda each: each.name),
            ("strongest, in-sample", lambda each: percent(each.in_sample_share)),
            ("held out", lambda each: percent(each.held_out_share)),
            ("nAUC, in-sample", lambda each: number(each.in_sample_nauc)),
            ("held out", lambda each: number(each.held_out_nauc)),
        ),
        "Calls to the strongest model at the largest budget, and nAUC.",
    ]


def _own(diagnosis: Diagnosis) -> list[Block]:
    own = diagnosis.own
    if own is None:
        return []
    shares = sorted(own.call_share.items(), key=lambda item: -item[1])
    calls = ", ".join(f"{model} {percent(share)}" for model, share in shares if share > 0)
    refused = "" if not own.refused else f" {count(own.refused, 'query')} were refused."
    return [
        Heading("The pipeline's own decisions"),
        (
            f"{own.router}, quality {own.quality:g} by {own.setting} {own.value:.6g}: performance "
            f"{number(own.performance)}, {percent(own.relative_performance)} of the strongest "
            f"model's, at {percent(own.relative_cost)} of its cost; RCI {number(own.rci)}. Calls: "
            f"{calls or 'none'}.{refused}"
        ),
    ]


def _check(diagnosis: Diagnosis) -> list[Block]:
    check = diagnosis.check
    if check is None:
        return []
    heading = Heading("Would comparing two answers pay")
    if not check.pairs:
        return [heading, NumberedRows(check.notes)]
    return [
        heading,
        _table(
            check.pairs,
            ("pair", _named),
            ("cost", lambda pair: percent(pair.relative_cost)),
            ("agree", lambda pair: percent(pair.agreed)),
            ("then right", lambda pair: number(pair.performance_agreed)),
            ("strongest's", lambda pair: number(pair.strongest_agreed)),
            ("router", lambda pair: number(pair.router_auc)),
            ("agreement", lambda pair: number(pair.agreement_auc)),
            ("beyond", lambda pair: number(pair.beyond_router_auc)),
        ),
        (
            "cost: of both calls, as a share of the strongest model's. then right: performance of "
            "the better one where both agree, and the strongest model's there. router, agreement: "
            "AUC of telling whether the better one is right; beyond: of the agreement among "
            "queries that the router scores alike, where 0.5 knows nothing. Models of one family "
            "share their errors."
        ),
        _table(
            check.costs,
            ("quality", lambda at: f"{at.quality:.0%}"),
            ("routing", lambda at: percent(at.routing)),
            ("rule", lambda at: percent(at.rule)),
            ("learned", lambda at: percent(at.learned)),
            ("taken", lambda at: at.taken),
            ("saved", lambda at: signed(at.saved)),
        ),
        (
            f"Least cost of all calls on {count(check.n_queries, 'query')} that nothing had "
            "learned from, as a share of the strongest model's: of one model per query, of the "
            "agreement rule, of learned plans, and which of them is taken; saved: 95 % interval of "
            "routing's cost minus that of what is taken price by price."
        ),
    ]


def _named(pair: PairFinding) -> str:
    return " and ".join(pair.models) + (f" (both {pair.family})" if pair.family else "")


def _tasks(diagnosis: Diagnosis) -> list[Block]:
    shown = diagnosis.tasks[:MOST_TASKS]
    where = "at its own operating point" if diagnosis.own is not None else "at the largest budget"
    left = len(diagnosis.tasks) - len(shown)
    more = f" The {left} smallest tasks are left out; --json has them." if left else ""
    return [
        Heading(f"Tasks: {diagnosis.tasks_of} {where}"),
        _table(
            shown,
            ("task", lambda task: task.task),
            ("queries", lambda task: f"{task.n_queries:,}"),
            ("calls", lambda task: percent(task.strongest_share)),
            ("oracle", lambda task: percent(task.oracle_strongest_share)),
            ("RCI", lambda task: number(task.rci)),
        ),
        "calls, oracle: share of the queries that each sends to the strongest model.",
        _table(
            shown,
            ("task: performance", lambda task: task.task),
            ("router", lambda task: number(task.performance)),
            ("strongest", lambda task: number(task.strongest_performance)),
            ("best", lambda task: number(task.best_performance)),
            ("oracle", lambda task: number(task.oracle_performance)),
        ),
        f"best: the model of the highest mean on the task.{more}",
    ]
