"""The saved form of a pipeline: pipeline.json is checked field by field, the weights by digest.

Each model below says a part of pipeline.json once, to be written and to be read.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
)

from equirouter import __version__
from equirouter.cost import CostModel, CostPredictor, ModelPrice, TokenCostModel
from equirouter.cost.price_table import price_from, price_to
from equirouter.cost.prices import Price
from equirouter.encoders import encoder_options, make_encoder
from equirouter.encoders.base import Encoder
from equirouter.errors import PipelineError
from equirouter.output import atomic_write, make_folder
from equirouter.pipeline.decision import OutOfDomain
from equirouter.pipeline.parts import PipelineParts, Provenance
from equirouter.pipeline.record import ValidationRecord
from equirouter.pipeline.scoring import Scorer
from equirouter.pipeline.stage import Familiarity, Stage
from equirouter.policy import Baseline, Calibration, Certainty
from equirouter.policy.base import WhenNothingFits
from equirouter.policy.constraints import ModelFacts, facts_to
from equirouter.routers.base import ScoresAre
from equirouter.routers.make import registered_router
from equirouter.routers.scale import LogisticScale

__all__ = ["DESCRIPTION_FILE", "SCHEMA", "read_pipeline", "stored_prices", "write_pipeline"]

SCHEMA = 1
DESCRIPTION_FILE = "pipeline.json"
WEIGHTS_FILE = "weights.safetensors"


def _price(given: object) -> Price:
    if isinstance(given, Price):
        return given
    return price_from(given, "the price")  # a ConfigError is a ValueError, as pydantic wants it


_StoredPrice = Annotated[Price, BeforeValidator(_price), PlainSerializer(price_to)]
_StoredFacts = Annotated[ModelFacts, PlainSerializer(facts_to)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Model(_Part):
    name: str
    price: _StoredPrice | None
    trained_price: _StoredPrice | None
    input_cost_share: float | None
    facts: _StoredFacts | None

    @classmethod
    def of(cls, price: ModelPrice, facts: ModelFacts | None) -> Self:
        return cls(
            name=price.model,
            price=price.now,
            trained_price=price.trained,
            input_cost_share=price.input_share,
            facts=facts,
        )

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
    scores_are: ScoresAre


class _CostModel(_Part):
    predicts: Literal["cost_usd", "tokens"]
    settings: dict[str, Any]


class _Policy(_Part):
    name: str
    quality: float
    confidence: float | None
    when_nothing_fits: WhenNothingFits
    ood: OutOfDomain
    calibration: Calibration


class _Description(_Part):
    schema_: int = Field(alias="schema")
    package_version: str
    models: list[_Model]
    encoder: _Encoder
    router: _Router
    cost_model: _CostModel
    scale: LogisticScale | None
    certainty: Certainty
    familiar_within: float
    policy: _Policy
    baseline: Baseline
    data: dict[str, Any]
    split: dict[str, Any]
    test_metrics: dict[str, Any]
    weights_sha256: str

    @classmethod
    def of(cls, parts: PipelineParts, weights_sha256: str) -> Self:
        stage, encoder = parts.stage, parts.stage.encoder
        return cls(
            schema=SCHEMA,
            package_version=__version__,
            models=[_Model.of(price, parts.model_facts.get(price.model)) for price in parts.prices],
            encoder=_Encoder(
                name=encoder.name,
                settings=encoder.settings,
                fingerprint=encoder.fingerprint,
                dimension=encoder.dimension,
            ),
            router=_Router(
                name=stage.router_name,
                settings=stage.router.settings,
                scores_are=stage.router.scores_are,
            ),
            cost_model=_CostModel(
                predicts=stage.cost_model.predicts, settings=stage.cost_model.settings
            ),
            scale=stage.scale,
            certainty=stage.certainty,
            familiar_within=stage.familiar.threshold,
            policy=_Policy(
                name=parts.policy,
                quality=parts.quality,
                confidence=parts.confidence,
                when_nothing_fits=parts.when_nothing_fits,
                ood=parts.ood,
                calibration=parts.calibration,
            ),
            baseline=parts.baseline,
            data=dict(parts.provenance.data),
            split=dict(parts.provenance.split),
            test_metrics=dict(parts.provenance.test_metrics),
            weights_sha256=weights_sha256,
        )

    def parts(self, stage: Stage, record: ValidationRecord) -> PipelineParts:
        return PipelineParts(
            stage=stage,
            models=tuple(model.name for model in self.models),
            calibration=self.policy.calibration,
            baseline=self.baseline,
            record=record,
            policy=self.policy.name,
            quality=self.policy.quality,
            confidence=self.policy.confidence,
            when_nothing_fits=self.policy.when_nothing_fits,
            ood=self.policy.ood,
            provenance=Provenance(self.data, self.split, self.test_metrics),
            model_facts={model.name: model.facts for model in self.models if model.facts},
            prices=[model.model_price() for model in self.models],
        )


class _Version(BaseModel):
    schema_: int = Field(alias="schema")
    package_version: str


def write_pipeline(parts: PipelineParts, folder: str | Path) -> Path:
    """Write the parts of a pipeline into a folder: see RoutingPipeline.save."""
    from safetensors.numpy import save

    weights = save({name: np.asarray(a, order="C") for name, a in _arrays(parts).items()})
    folder = make_folder(folder)
    with atomic_write(folder / WEIGHTS_FILE, "wb") as binary:
        binary.write(weights)
        binary.flush()  # a full disk is known of before the description is replaced
        with atomic_write(folder / DESCRIPTION_FILE) as text:
            description = _Description.of(parts, hashlib.sha256(weights).hexdigest())
            document = description.model_dump(by_alias=True)
            text.write(json.dumps(document, indent=2, allow_nan=False) + "\n")
    return folder


def read_pipeline(
    folder: Path, encoder: Encoder | None, weights: str | Path | None
) -> PipelineParts:
    """Read a folder that write_pipeline wrote: see RoutingPipeline.load."""
    description = _read_description(folder)
    arrays = _read_weights(folder, description.weights_sha256)
    stage = _stage(folder, description, arrays, encoder, weights)
    return description.parts(stage, ValidationRecord.restore(_part(arrays, "validation.")))


def stored_prices(folder: Path) -> dict[str, Price]:
    """The prices by which a saved pipeline predicts costs; models without one are left out.

    Raises PipelineError when the folder is not a pipeline.
    """
    models = _read_description(folder).models
    return {model.name: model.price for model in models if model.price is not None}


def _arrays(parts: PipelineParts) -> dict[str, Any]:
    """All that was learned, and the validation queries, by name."""
    stage = parts.stage
    named: dict[str, Mapping[str, Any]] = {
        "router": stage.router.state(),
        "cost": stage.cost_model.state(),
        "encoder": stage.encoder.state(),
        "scorer": stage.scorer.state(),
        "familiar": {"centres": stage.familiar.centres},
        "validation": parts.record.arrays(),
    }
    return {f"{part}.{name}": array for part, of in named.items() for name, array in of.items()}


def _stage(
    folder: Path,
    description: _Description,
    arrays: dict[str, Any],
    encoder: Encoder | None,
    weights: str | Path | None,
) -> Stage:
    """The stage, from its description and its arrays."""
    router = registered_router(description.router.name, description.router.settings)
    kinds: tuple[type[CostPredictor], ...] = (CostModel, TokenCostModel)
    kind = next(kind for kind in kinds if kind.predicts == description.cost_model.predicts)
    cost_model = kind(**description.cost_model.settings)
    encoder = _encoder(folder, description.encoder, _part(arrays, "encoder."), encoder, weights)
    try:
        familiar = Familiarity(arrays["familiar.centres"], description.familiar_within)
        router.restore(_part(arrays, "router."))
        cost_model.restore(_part(arrays, "cost."))
    except KeyError as error:
        raise PipelineError(f"{folder / WEIGHTS_FILE}: no array {error}") from error
    return Stage(
        encoder=encoder,
        router=router,
        router_name=description.router.name,
        cost_model=cost_model,
        scale=description.scale,
        scorer=Scorer.restore(_part(arrays, "scorer."), router, cost_model),
        certainty=description.certainty,
        familiar=familiar,
    )


def _encoder(
    folder: Path,
    known: _Encoder,
    arrays: dict[str, Any],
    encoder: Encoder | None,
    weights: str | Path | None,
) -> Encoder:
    """The encoder of the description, or the one given in its place; another one is refused."""
    if encoder is None:
        encoder = make_encoder(known.name, **_options(known, weights))
    if encoder.name != known.name:
        raise PipelineError(
            f"{folder}: trained with encoder {known.name}, and {encoder.name} was given: leave "
            "the encoder to the pipeline, or train again"
        )
    encoder.restore(arrays)
    if encoder.fingerprint != known.fingerprint:
        raise PipelineError(
            f"{folder}: trained with encoder {known.name} {known.settings} (fingerprint "
            f"{known.fingerprint}), but the encoder here has fingerprint {encoder.fingerprint}. "
            "Scores would be meaningless: use the same weights and settings, or train again"
        )
    return encoder


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
