"""Scores for the answers of a collection, and the outcomes table that they make."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from equirouter.checks import ResponseCheck
from equirouter.checks.check_spec import signal_checks
from equirouter.checks.model_calls import AskingCheck
from equirouter.data.reading.files import read_file
from equirouter.data.tables import write_table
from equirouter.errors import ConfigError, DataError
from equirouter.labelling.collection_store import Collection
from equirouter.labelling.estimate import CostEstimate
from equirouter.labelling.graders.base import Grader, make_grader
from equirouter.labelling.grading import Grading, Scored
from equirouter.labelling.pool_models import CountedModels, PoolModels
from equirouter.labelling.purse import limit_in_nusd
from equirouter.labelling.table import AskedSignal
from equirouter.progress import Progress, silent
from equirouter.serve.records import usd
from equirouter.serve.settings import GatewaySettings
from equirouter.serve.settings_file import read_settings


def score(
    folder: str | Path,
    graders: Sequence[str | Grader],
    out: str | Path | None = None,
    *,
    references: str | Path | Mapping[str, str] | None = None,
    answers_by: str | None = None,
    judge: str | None = None,
    rubric: str | Path | None = None,
    labels: bool = False,
    checks: Sequence[str] = (),
    config: str | Path | None = None,
    limit_usd: float | None = None,
    concurrency: int = 8,
    progress: Progress = silent,
    spending: Callable[[float], None] = lambda _: None,
    told: Callable[[CostEstimate], None] = lambda _: None,
) -> Scored:
    """Score the answers in a folder of `collect`, and write them as an outcomes table.

    graders: names with settings, or graders; an answer has the score of the first that knows one,
    and 0 where it is empty. references: a table with query_id (or query) and reference, or a
    mapping of query_id; they count before those in the table of queries. answers_by: how final
    answers are read, for the table and the graders that compare them. judge, rubric: of graders
    that ask a model. labels: correct the scores by those of people, which count as they are where
    there are some. checks: of equirouter.checks, with their
    settings; what they say is a column signal.NAME, which plans learn from; what a model said that
    one asked is paid and kept. config: gateway.toml, None for the one that was collected with.
    limit_usd: for all that the folder has cost, of which spending hears. told: hears what models
    will cost, before the first of them is asked.
    Raises DataError, ConfigError, UnknownNameError.

    >>> from equirouter.labelling.collection_store import Collection, KeptAnswer, KeptQuery
    >>> with Collection.create("answers") as made:
    ...     made.add_queries([KeptQuery("a", 0, "2 + 2?", "{}", None, 1.0, None, None)])
    ...     for model, text in (("small", "It is 5."), ("large", "It is 4.")):
    ...         made.keep(KeptAnswer("a", model, "answered", answer=text, cost_nusd=1000))
    >>> score("answers", ["number"], references={"a": "4"}).table.performance.tolist()
    [[1.0, 0.0]]
    """
    with Collection.open(folder, writes=True) as collection:
        made, named = _made(graders, answers_by, judge, rubric, checks)
        asking = _asking(named)
        models = counted = None
        if asking or any(grader.asks_models for _, grader in made):
            settings = _pool(collection, config)
            collection.count_lost()
            counted = CountedModels(settings, collection)
            models = PoolModels(
                settings,
                collection,
                limit_nusd=limit_in_nusd(limit_usd),
                concurrency=concurrency,
                spending=spending,
            )
        work = Grading(collection, _references(references))
        for place, (name, grader) in enumerate(made):
            if grader.asks_models and counted is not None:
                told(_counted(work, made[place:], asking, counted))
                counted = None
            work.run(name, grader, models, progress)
        if counted is not None:
            told(_counted(work, (), asking, counted))
        asked: dict[str, AskedSignal] = {}
        for name, check in asking.items():
            asked |= work.asked(name, check, models, progress)
        alone = {name: kind for name, kind in named.items() if isinstance(kind, ResponseCheck)}
        extractor = answers_by or next(filter(None, (each.answers_by for _, each in made)), None)
        correction = work.corrected() if labels else None
        trouble = [] if models is None else models.trouble()
        scored = work.scored(extractor, alone, asked, Path(folder).name, trouble)
        scored.corrected = correction
        scored.spent_usd = usd(collection.spent_nusd())
        scored.stopped = None if models is None else models.stopped
        scored.given_up = {} if models is None else models.given_up
    if out is not None:
        write_table(scored.table, out)
    return scored


def estimate_score(
    folder: str | Path,
    graders: Sequence[str | Grader],
    *,
    references: str | Path | Mapping[str, str] | None = None,
    answers_by: str | None = None,
    judge: str | None = None,
    rubric: str | Path | None = None,
    checks: Sequence[str] = (),
    config: str | Path | None = None,
    progress: Progress = silent,
) -> CostEstimate:
    """The cost of what score would ask models, which are not asked; graders that are free run.

    The options are those of score. A grader that is paid is counted for all that free ones before
    it do not score. Raises DataError, ConfigError, UnknownNameError.
    """
    with Collection.open(folder) as collection:
        made, named = _made(graders, answers_by, judge, rubric, checks)
        work = Grading(collection, _references(references))
        for name, grader in made:
            if not grader.asks_models:
                work.run(name, grader, None, progress)
        asking = _asking(named)
        paid = [(name, grader) for name, grader in made if grader.asks_models]
        if not (asking or paid):
            return CostEstimate((), 0, usd(collection.spent_nusd()))
        return _counted(work, paid, asking, CountedModels(_pool(collection, config), collection))


def _made(
    graders: Sequence[str | Grader],
    answers_by: str | None,
    judge: str | None,
    rubric: str | Path | None,
    checks: Sequence[str],
) -> tuple[list[tuple[str, Grader]], dict[str, ResponseCheck | AskingCheck]]:
    """Graders under their names, and checks. Raises ConfigError."""
    _require_options(graders, answers_by, judge)
    texts = {
        "by_answer": answers_by,
        "model": judge,
        "rubric": None if rubric is None else str(rubric),
    }
    settings = {name: value for name, value in texts.items() if value is not None}
    made = [
        (spec.split(":")[0], make_grader(spec, **settings))
        if isinstance(spec, str)
        else (type(spec).__name__, spec)
        for spec in graders
    ]
    if not made:
        raise ConfigError("no grader is named: name at least one, such as exact or judge")
    return made, signal_checks(checks)


def _asking(checks: Mapping[str, ResponseCheck | AskingCheck]) -> dict[str, AskingCheck]:
    return {name: check for name, check in checks.items() if isinstance(check, AskingCheck)}


def _counted(
    work: Grading,
    graders: Sequence[tuple[str, Grader]],
    asking: Mapping[str, AskingCheck],
    models: CountedModels,
) -> CostEstimate:
    for _, grader in graders:
        if grader.asks_models:
            work.count(grader, models)
    for name, check in asking.items():
        work.asked(name, check, models, silent)
    return models.estimate()


def _require_options(
    graders: Sequence[str | Grader], answers_by: str | None, judge: str | None
) -> None:
    """Raise ConfigError for a grader without what only the user can say."""
    for name, setting, value, option in (
        ("judge", "model", judge, "who judges (--judge MODEL)"),
        ("compare", "model", judge, "who compares (--judge MODEL)"),
        ("agreement", "by_answer", answers_by, "how answers are read (--answers-by NAME)"),
    ):
        for spec in graders:
            named = isinstance(spec, str) and spec.partition(":")[0] == name
            if named and value is None and f":{setting}=" not in str(spec):
                raise ConfigError(f"{name}: say {option}, or {name}:{setting}=VALUE")


def _pool(collection: Collection, config: str | Path | None) -> GatewaySettings:
    path = config or collection.about("gateway.toml")
    if path is None:
        raise ConfigError("a judge is a model of a pool: name the gateway.toml (--config)")
    return read_settings(path)


def _references(given: str | Path | Mapping[str, str] | None) -> Mapping[str, str]:
    if isinstance(given, Mapping):
        return given
    return {} if given is None else read_references(given)


def read_references(path: str | Path) -> dict[str, str]:
    """The name or the text of a query -> its reference. Raises DataError for another table."""
    raw = read_file(Path(path))
    key = raw.find(("query_id", "query"))
    if key is None or "reference" not in raw.columns:
        raise DataError(
            f"{raw.path}: expected columns query_id (or query) and reference; found {raw.listing()}"
        )
    pairs = zip(raw.optional_texts(key), raw.optional_texts("reference"), strict=True)
    return {name: text for name, text in pairs if name is not None and text is not None}
