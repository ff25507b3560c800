"""Help texts in groups, with examples: plain text, so that `--help` loads nothing more.

And what a shell completes where an option takes names.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from typer.core import TyperCommand, TyperGroup

from equirouter.registry import Registry

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

COMMANDS: Mapping[str, Mapping[str, str]] = {
    "Measure": {
        "bench": "measure routers on a data set: table, results, report",
        "diagnose": "say why routing collapses on a data set, and what to do",
        "report": "print the table and write the report of a run again",
        "paper": "the paper's tables and figures, and which claims hold",
        "data": "list, fetch, import, convert and describe data sets",
        "routers": "list the routers, show the settings of one",
    },
    "Decide": {
        "train": "fit a router, its costs and promises, and save them",
        "route": "decide which model answers a query, or every one of a file",
        "models": "list, price, add and remove the models of a pipeline",
        "pipeline": "list, compare and promote the versions of a pipeline",
        "retrain": "learn from the log, and promote what passes the gate",
        "batch": "decide the queries of files of any size",
        "export": "write a pipeline's decision as ONNX",
    },
    "Collect outcomes": {
        "collect": "ask every model what one of them was asked",
        "score": "score the answers, and write an outcomes table",
        "review": "open a page on which people score answers",
        "start": "make a pipeline without scores: the agreement rule",
    },
    "Serve": {
        "serve": "run an OpenAI-compatible endpoint that routes each request",
        "keys": "make, list and revoke the gateway's API keys",
        "log": "use what the gateway logged",
        "status": "how the gateway stands: version, alarms, money",
    },
}
"""Heading -> command -> summary; one that is named nowhere stands under "Commands"."""

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "Data": ("models", "exclude_models", "performance_range", "answers_by"),
    "What reads the queries": (
        "encoder",
        "window",
        "precision",
        "encoder_option",
        "weights",
        "embeddings",
    ),
    "Protocol": ("split", "seeds", "seed", "resamples", "device", "refit"),
    "Output": ("out", "intervals", "texts", "as_json", "quiet", "help"),
}
"""Heading -> parameters of commands; one that is named nowhere stands under "Options"."""

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "equirouter": (
        "equirouter bench                          measure routers on real outcomes",
        "equirouter train outcomes.csv --out DIR   fit a pipeline",
        'equirouter route DIR "2 + 2?"             decide',
        "equirouter serve gateway.toml             an OpenAI-compatible endpoint",
    ),
    "bench": (
        "equirouter bench outcomes.csv --encoder lexical --routers factors,knn",
        "equirouter bench --models gpt-4o-2024-08-06,gpt-4o-mini-2024-07-18 --seeds 1",
        "equirouter bench simulated --routers my_router.py:MyRouter --out runs/mine",
    ),
    "train": (
        "equirouter train outcomes.csv --out pipeline",
        "equirouter train real --encoder lexical --quality 0.95 --out pipeline",
    ),
    "route": (
        'equirouter route pipeline "Who wrote Faust?" --budget 0.002',
        "equirouter route pipeline - --quality 0.98 < queries.jsonl > decisions.jsonl",
    ),
    "batch": (
        "equirouter batch pipeline queries.parquet decisions/ --quality 0.95",
        "equirouter batch pipeline s3://bucket/queries s3://bucket/decisions --engine ray",
    ),
    "diagnose": (
        "equirouter diagnose outcomes.csv",
        "equirouter diagnose outcomes.csv --pipeline pipeline --out runs/diagnosis",
    ),
    "report": ("equirouter report runs/real-in-domain",),
    "paper": (
        "equirouter paper table1 fig2 --dataset simulated",
        "equirouter paper all --dataset routerbench-5shot",
    ),
    "serve": (
        "equirouter serve --example > gateway.toml",
        "equirouter serve gateway.toml --check",
    ),
    "export": ("equirouter export pipeline --out decision.onnx",),
}
"""Command -> command lines that work, or say by their names what has to be put there."""


class _WithExamples:
    """Examples at the end of a help text."""

    def format_epilog(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        """Write the examples."""
        examples = EXAMPLES.get(str(ctx.info_name), ())
        if examples:
            with formatter.section("Examples"):
                for example in examples:
                    formatter.write(f"{'':{formatter.current_indent}}{example}\n")


class GroupedCommand(_WithExamples, TyperCommand):
    """A command whose options stand under headings, with examples at the end."""

    def format_options(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        """Write arguments and options."""
        _write_parameters(self, ctx, formatter, OPTIONS)


class GroupedGroup(_WithExamples, TyperGroup):
    """The commands under headings, with examples at the end."""

    def format_options(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        """Write the commands, then the options."""
        self.format_commands(ctx, formatter)
        _write_parameters(self, ctx, formatter, {})

    def format_commands(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        """Write the commands, one line each."""
        shown = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        width = max(map(len, shown))
        summaries = {
            name: summary for group in COMMANDS.values() for name, summary in group.items()
        }
        for heading, names in _grouped(shown, COMMANDS, "Commands"):
            rows = []
            for name in names:
                command = shown[name]
                own = command.get_short_help_str(formatter.width - 6 - width) if command else ""
                rows.append((name.ljust(width), summaries.get(name, own)))
            with formatter.section(heading):
                formatter.write_dl(rows)


def _grouped(
    names: Iterable[str], headings: Mapping[str, Iterable[str]], rest: str
) -> list[tuple[str, list[str]]]:
    """(heading, names) in the order of the headings; the rest comes first."""
    known = {name for group in headings.values() for name in group}
    names = list(names)
    groups = [(rest, [name for name in names if name not in known])]
    groups += [
        (head, [name for name in group if name in names]) for head, group in headings.items()
    ]
    return [(heading, group) for heading, group in groups if group]


def _write_parameters(
    command: "TyperCommand | TyperGroup",
    ctx: "Context",
    formatter: "HelpFormatter",
    headings: Mapping[str, Iterable[str]],
) -> None:
    records = {
        str(parameter.name): (parameter.param_type_name, record)
        for parameter in command.get_params(ctx)
        if (record := parameter.get_help_record(ctx)) is not None
    }
    arguments = [record for kind, record in records.values() if kind == "argument"]
    if arguments:
        with formatter.section("Arguments"):
            formatter.write_dl(arguments)
    options = [name for name, (kind, _) in records.items() if kind != "argument"]
    for heading, names in _grouped(options, headings, "Options"):
        with formatter.section(heading):
            formatter.write_dl([records[name][1] for name in names])


def names_of(registry: Registry) -> Callable[[str], list[str]]:
    """Names that a shell offers for an option of registered names, also behind a comma."""

    def offered(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        names = (name for name in registry.names() if name.startswith(last))
        return [f"{before}{comma}{name}" for name in names]

    return offered
