"""EquiRouter: decide which language model should answer each query.

Importing the package loads no torch, no onnxruntime, no scikit-learn and opens no connection: the
public names below are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

_PUBLIC = {
    "train": "equirouter.evaluation.train",
    "benchmark": "equirouter.evaluation.benchmark",
    "collect": "equirouter.labelling.collecting",
    "score": "equirouter.labelling.scoring",
    "Results": "equirouter.evaluation.results",
    "RoutingPipeline": "equirouter.pipeline.pipeline",
    "Decision": "equirouter.pipeline.decision",
    "Ask": "equirouter.pipeline.decision",
    "Control": "equirouter.policy.base",
    "Needs": "equirouter.policy.constraints",
    "ModelFacts": "equirouter.policy.constraints",
    "Outcomes": "equirouter.data.outcomes",
    "as_outcomes": "equirouter.data",
    "import_log": "equirouter.labelling.intake.importing",
    "load_dataset": "equirouter.data",
    "merge_tables": "equirouter.data",
    "read_table": "equirouter.data.tables",
    "write_table": "equirouter.data.tables",
    "make_encoder": "equirouter.encoders",
    "make_router": "equirouter.routers",
    "EquiRouterError": "equirouter.errors",
    "UserError": "equirouter.errors",
    "ConfigError": "equirouter.errors",
    "DataError": "equirouter.errors",
    "PipelineError": "equirouter.errors",
    "MissingExtraError": "equirouter.errors",
}

__all__ = ["__version__", *_PUBLIC]

if TYPE_CHECKING:
    from equirouter.data import as_outcomes as as_outcomes
    from equirouter.data import load_dataset as load_dataset
    from equirouter.data import merge_tables as merge_tables
    from equirouter.data.outcomes import Outcomes as Outcomes
    from equirouter.data.tables import read_table as read_table
    from equirouter.data.tables import write_table as write_table
    from equirouter.encoders import make_encoder as make_encoder
    from equirouter.errors import ConfigError as ConfigError
    from equirouter.errors import DataError as DataError
    from equirouter.errors import EquiRouterError as EquiRouterError
    from equirouter.errors import MissingExtraError as MissingExtraError
    from equirouter.errors import PipelineError as PipelineError
    from equirouter.errors import UserError as UserError
    from equirouter.evaluation.benchmark import benchmark as benchmark
    from equirouter.evaluation.results import Results as Results
    from equirouter.evaluation.train import train as train
    from equirouter.labelling.collecting import collect as collect
    from equirouter.labelling.intake.importing import import_log as import_log
    from equirouter.labelling.scoring import score as score
    from equirouter.pipeline.decision import Ask as Ask
    from equirouter.pipeline.decision import Decision as Decision
    from equirouter.pipeline.pipeline import RoutingPipeline as RoutingPipeline
    from equirouter.policy.base import Control as Control
    from equirouter.policy.constraints import ModelFacts as ModelFacts
    from equirouter.policy.constraints import Needs as Needs
    from equirouter.routers import make_router as make_router


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
