"""The saved form of a pipeline: pipeline.json is checked field by field, the weights by digest."""

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
)

from equirouter.cost import CostModel, CostPredictor, ModelPrice, TokenCostModel
from equirouter.cost.price_table import price_from
from equirouter.cost.prices import Price
from equirouter.encoders import encoder_options, make_encoder
from equirouter.encoders.base import Encoder
from equirouter.errors import PipelineError
from equirouter.pipeline.pipeline import (
    DESCRIPTION_FILE,
    SCHEMA,
    WEIGHTS_FILE,
    Provenance,
    RoutingPipeline,
)
from equirouter.pipeline.record import ValidationRecord
from equirouter.pipeline.scoring import Scorer
from equirouter.pipeline.stage import Stage
from equirouter.policy import Baseline, Calibration, Certainty
from equirouter.policy.constraints import ModelFacts
from equirouter.routers.familiar import Familiarity
from equirouter.routers.make import registered_router
from equirouter.routers.scale import LogisticScale

__all__ = ["restore_pipeline", "stored_prices"]


def _price(given: object) -> Price:
    return price_from(given, "the price")  # a ConfigError is a ValueError, as pydantic wants it


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Facts(_Part):
    context_tokens: PositiveInt | None
    abilities: list[Literal["vision", "tools", "json"]] | None
    regions: Annotated[list[str], Field(min_length=1)] | None

    def facts(self) -> ModelFacts:
        return ModelFacts(
            self.context_tokens,
            None if self.abilities is None else frozenset(self.abilities),
            None if self.regions is None else frozenset(self.regions),
        )


class _Model(_Part):
    name: str
    price: Annotated[Price, BeforeValidator(_price)] | None
    trained_price: Annotated[Price, BeforeValidator(_price)] | None
    input_cost_share: float | None
    facts: _Facts | None

    def model_price(self) -> ModelPrice:
        return ModelPrice(self.name, self.trained_price, self.price, self.input_cost_share)


class _Encoder(_Part):
    name: str
    settings: dict[str, Any]
    fingerprint: str
    dimension: int


class _Router(_Part):
    name: str
    settings: dict[str, Any]
    scores_are: Literal["expected_performance", "ranking"]


class _CostModel(_Part):
    predicts: Literal["cost_usd", "tokens"]
    settings: dict[str, Any]


class _Policy(_Part):
    name: str
    quality: float
    confidence: float | None
    when_nothing_fits: Literal["cheapest", "refuse"]
    ood: Literal["policy", "strongest"]
    calibration: Calibration


class _Stage(_Part):
    encoder: _Encoder
    router: _Router
    cost_model: _CostModel
    scale: LogisticScale | None
    certainty: Certainty
    familiar_within: float


class _Description(_Stage):
    schema_: int = Field(alias="schema")
    package_version: str
    models: list[_Model]
    policy: _Policy
    baseline: Baseline
    data: dict[str, Any]
    split: dict[str, Any]
    test_metrics: dict[str, Any]
    weights_sha256: str


class _Version(BaseModel):
    schema_: int = Field(alias="schema")
    package_version: str


def restore_pipeline(
    folder: Path, encoder: Encoder | None, weights: str | Path | None
) -> RoutingPipeline:
    """Read a folder that RoutingPipeline.save wrote: see RoutingPipeline.load."""
    description = _read_description(folder)
    arrays = _read_weights(folder, description.weights_sha256)
    return RoutingPipeline(
        stage=_stage(folder, description, arrays, encoder, weights),
        models=tuple(model.name for model in description.models),
        calibration=description.policy.calibration,
        policy=description.policy.name,
        quality=description.policy.quality,
        confidence=description.policy.confidence,
        when_nothing_fits=description.policy.when_nothing_fits,
        ood=description.policy.ood,
        provenance=Provenance(description.data, description.split, description.test_metrics),
        model_facts={
            model.name: model.facts.facts() for model in description.models if model.facts
        },
        baseline=description.baseline,
        prices=[model.model_price() for model in description.models],
        record=ValidationRecord.restore(_part(arrays, "validation.")),
    )


def stored_prices(folder: Path) -> dict[str, Price]:
    """The prices by which a saved pipeline predicts costs; models without one are left out.

    Raises PipelineError when the folder is not a pipeline.
    """
    models = _read_description(folder).models
    return {model.name: model.price for model in models if model.price is not None}


def _stage(
    folder: Path,
    stage: _Stage,
    arrays: dict[str, Any],
    encoder: Encoder | None,
    weights: str | Path | None,
) -> Stage:
    """One stage from what is said of it and from its arrays, named without the stage's prefix."""
    said = stage.encoder
    if encoder is None:
        encoder = make_encoder(said.name, **_options(said, weights))
    if encoder.name != said.name:
        raise PipelineError(
            f"{folder}: trained with encoder {said.name}, and {encoder.name} is to show it the "
            "queries: leave the encoder to the pipeline, or train again"
        )
    encoder.restore(_part(arrays, "encoder."))
    if encoder.fingerprint != said.fingerprint:
        raise PipelineError(
            f"{folder}: trained with encoder {said.name} {said.settings} (fingerprint "
            f"{said.fingerprint}), but the encoder here has fingerprint {encoder.fingerprint}. "
            "Scores would be meaningless: use the same weights and settings, or train again"
        )
    router = registered_router(stage.router.name, stage.router.settings)
    kinds: tuple[type[CostPredictor], ...] = (CostModel, TokenCostModel)
    kind = next(kind for kind in kinds if kind.predicts == stage.cost_model.predicts)
    cost_model = kind(**stage.cost_model.settings)
    try:
        familiar = Familiarity(arrays["familiar.centres"], stage.familiar_within)
        router.restore(_part(arrays, "router."))
        cost_model.restore(_part(arrays, "cost."))
    except KeyError as error:
        raise PipelineError(f"{folder / WEIGHTS_FILE}: no array {error}") from error
    return Stage(
        encoder=encoder,
        router=router,
        router_name=stage.router.name,
        cost_model=cost_model,
        scale=stage.scale,
        scorer=Scorer.restore(_part(arrays, "scorer."), router, cost_model),
        certainty=stage.certainty,
        familiar=familiar,
    )


def _options(encoder: _Encoder, weights: str | Path | None) -> dict[str, Any]:
    """Its settings, and the folder of its weights where one is given and it takes one."""
    options = dict(encoder.settings)
    if weights is not None and "weights" in encoder_options(encoder.name):
        options["weights"] = Path(weights)
    return options


def _read_description(folder: Path) -> _Description:
    path = folder / DESCRIPTION_FILE
    content = _read(path, folder)
    try:
        version = _Version.model_validate_json(content)
        if version.schema_ != SCHEMA:
            raise PipelineError(
                f"{path}: written by equirouter {version.package_version} in format "
                f"{version.schema_}, and this one reads format {SCHEMA}: "
                f"pip install 'equirouter>={version.package_version}'"
            )
        return _Description.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"]) or "the document"
        raise PipelineError(
            f"{path}: {place}: {first['msg']}; the file is damaged or was edited, train again"
        ) from error


def _read_weights(folder: Path, expected_sha256: str) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = folder / WEIGHTS_FILE
    content = _read(path, folder)
    found = hashlib.sha256(content).hexdigest()
    if found != expected_sha256:
        raise PipelineError(
            f"{path}: SHA-256 is {found}, expected {expected_sha256} as {DESCRIPTION_FILE} says: "
            "the file is damaged or belongs to another pipeline; copy it again or train again"
        )
    try:
        return dict(load(content))
    except SafetensorError as error:
        raise PipelineError(f"{path}: not a safetensors file: {error}") from error


def _read(path: Path, folder: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PipelineError(
            f"{folder}: no pipeline there ({path.name}: {error.strerror}); "
            f"`equirouter train DATASET --out {folder}` makes one"
        ) from error


def _part(arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name[len(prefix) :]: a for name, a in arrays.items() if name.startswith(prefix)}
