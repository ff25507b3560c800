"""Pipelines: what is saved, loaded, and decides.

pipeline.py     RoutingPipeline: decide, save, load
decision.py     a question to a pipeline, and its answer: a model, or a plan to ask more than one
parts.py        what a pipeline is made of, the validation queries among it
walk.py         from scores and predicted costs to decisions, in arrays
stage.py        encoder, router and cost model, from texts to scores and predicted costs
scorer.py       router and cost model as one ONNX graph, run for one query and for a million
evidence.py     what a pipeline's promise rests on
stored.py       the saved form, checked field by field
stored_plans.py the same of plans
folder.py       the two files: every byte under a digest, replaced together
versions.py     versions of a pipeline beside each other, one of them current, and their history
"""

from equirouter.pipeline.decision import Ask, AskModel, Choices, Decision, QueryPlan, Serve
from equirouter.pipeline.parts import Provenance
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.pipeline.versions import PipelineVersions

__all__ = [
    "Ask",
    "AskModel",
    "Choices",
    "Decision",
    "PipelineVersions",
    "Provenance",
    "QueryPlan",
    "RoutingPipeline",
    "Serve",
]
