"""`equirouter retrain`: a challenger from the gateway's log, promoted if it passes the gate."""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from equirouter.cli.common import JsonOption, QuietOption, print_json, refuse, say
from equirouter.cli.gateway.keys import ConfigArgument, with_store
from equirouter.words import number_of

if TYPE_CHECKING:
    from equirouter.arrays import IntArray
    from equirouter.data.outcomes import Outcomes
    from equirouter.evaluation.promotion.retrain import Challenge
    from equirouter.serve.learning_settings import RetrainSettings
    from equirouter.serve.settings import GatewaySettings

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


def retrain(
    config: ConfigArgument, as_json: JsonOption = False, quiet: QuietOption = False
) -> None:
    """Train a version on retrain.table and the log, and make it current if it passes the gate.

    Where canary.version is "latest", the gateway first tries it beside the current one.

    Half of the latest queries that have an outcome of every model and are new to the current
    version are held out, and both versions are compared on them. A version that does not pass is
    kept but not current; the exit code is then 3, and so it is if too little is new.
    """
    from equirouter.serve.settings_file import read_settings

    settings = read_settings(config)
    limit_process(settings.retrain)
    from equirouter.errors import ConfigError
    from equirouter.evaluation.promotion.retrain import settled
    from equirouter.pipeline.versions import PipelineVersions, retraining

    if settings.pipeline.path is None:
        raise ConfigError(f"{config}: pipeline.path is not set: there is nothing to train again")
    versions = PipelineVersions(settings.pipeline.path)
    with retraining(versions.folder):
        over = versions.adopt()
        try:
            made = _challenge(config, settings, versions.path())
        except MemoryError as error:
            raise ConfigError(
                f"{config}: retrain.memory_gb is {settings.retrain.memory_gb:g}, and the training "
                "needs more: set a higher one, or train where the gateway does not run"
            ) from error
        is_tried = settings.canary.version == "latest"
        version = settled(made, versions, over=over, how="retrain", is_tried=is_tried)
    if as_json:
        print_json(
            {
                "pipeline": str(versions.folder),
                "current": versions.current,
                "challenger": version,
                "comparison": None if made.comparison is None else made.comparison.document(),
                "objections": list(made.verdict.objections),
            }
        )
    elif not quiet and made.comparison is not None:
        from equirouter.cli.pipeline import print_comparison

        print_comparison(made.comparison, (str(over), version))
    if made.verdict.passes:
        if not quiet:
            now = f"tried as a canary beside {over}" if is_tried else f"current, it was {over}"
            say(f"{versions.folder}: {version} is {now}")
        return
    refuse(f"{over} is still served, {version} is not: {made.verdict.why}", as_json=as_json)


def limit_process(settings: "RetrainSettings") -> None:
    """Leave the machine to the gateway: fewer threads, less memory, the others first.

    Before NumPy and torch are loaded, which read the number of threads then.
    """
    for name in THREADS:
        os.environ[name] = str(settings.threads)
    if hasattr(os, "nice"):
        os.nice(10)
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    most = int(settings.memory_gb * 2**30)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or hard > most:
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def _challenge(config: Path, settings: "GatewaySettings", folder: Path) -> "Challenge":
    """The challenger of the pipeline in a folder, on all that is known now."""
    from equirouter.encoders.cache import EmbeddingCache
    from equirouter.errors import GateRefusedError
    from equirouter.evaluation.promotion.gate import Gate
    from equirouter.evaluation.promotion.retrain import (
        challenge,
        new_queries,
        promised_on,
        trained_like,
        worth,
    )
    from equirouter.pipeline.pipeline import RoutingPipeline

    options = dict(settings.pipeline.encoder_options)
    weights = settings.pipeline.weights
    champion = RoutingPipeline.load(folder, weights=weights, encoder_options=options)
    gate = Gate(settings.retrain.margin, settings.retrain.minimum_rows)
    table = _known(config, settings)
    latest = new_queries(table, champion)
    n = math.floor(worth(table, latest))
    if n < gate.minimum_rows:
        of_log = f", as {len(latest)} of a log with propensities tell" if n < len(latest) else ""
        raise GateRefusedError(
            f"{number_of(n, 'query', 'queries')} with an outcome of every model are new to the "
            f"current version{of_log}, and {gate.minimum_rows} are needed (retrain.minimum_rows); "
            "answers of other models ([shadow] with score), or more exploration, bring them"
        )
    cache = EmbeddingCache()

    def fit(rows: "IntArray") -> RoutingPipeline:
        return trained_like(champion, table.take(rows), encoder_options=options, cache=cache)

    def promise(made: RoutingPipeline, held_out: "Outcomes") -> RoutingPipeline:
        strongest = champion.baseline.strongest
        return promised_on(made, held_out, strongest=strongest, cache=cache)

    return challenge(champion, table, fit, latest=latest, gate=gate, promise=promise, cache=cache)


def _known(config: Path, settings: "GatewaySettings") -> "Outcomes":
    """The outcomes of the base table and of the log, the log's in the order of time and last."""
    from equirouter.data.tables import read_table
    from equirouter.errors import DataError
    from equirouter.evaluation.promotion.retrain import with_log
    from equirouter.serve.money.log_export import export_log

    read, base = settings.pipeline, settings.retrain.table
    try:
        log = with_store(
            config,
            lambda connection, _: export_log(
                connection,
                scope=read.scope,
                window_turns=read.window_turns,
                key_share=settings.retrain.key_share,
            ),
            writes=False,
        )
    except DataError as error:  # the log has nothing to learn from yet
        if base is None:
            raise
        say(f"note: {base} alone is learned from: {error}")
        return read_table(base)
    for key in log.capped:
        say(
            f"note: the latest {key.counted} of {key.given} ratings of {key.name} count, beside "
            "those of the other keys (retrain.key_share; 1 lets all count)"
        )
    return log.table if base is None else with_log(read_table(base), log.table)
