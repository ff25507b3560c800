"""The saved form of a pipeline, checked field by field.

Each model below says a part of pipeline.json once, to be written and to be read. A pipeline is
data: no setting in it names a host, a file, an environment variable or code. An encoder says which
of its options are saved; the others come from whoever loads the pipeline.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
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
from equirouter.errors import DownloadError, MissingExtraError, PipelineError, UserError
from equirouter.pipeline.decision import OutOfDomain
from equirouter.pipeline.folder import (
    DESCRIPTION_FILE,
    WEIGHTS_FILE,
    digest_of_description,
    read_description,
    read_folder,
    write_folder,
)
from equirouter.pipeline.parts import PipelineParts, Provenance, ValidationRecord
from equirouter.pipeline.scorer import Scorer
from equirouter.pipeline.stage import Familiarity, Stage
from equirouter.pipeline.stored_plans import StoredPlans, arrays_of_plans
from equirouter.policy import Baseline, Calibration, Certainty
from equirouter.policy.base import WhenNothingFits
from equirouter.policy.constraints import ModelFacts, facts_to
from equirouter.policy.pool_plans import PoolPlans
from equirouter.registry import ENCODERS
from equirouter.routers.base import ScoresAre
from equirouter.routers.factors import FactorRouter
from equirouter.routers.make import registered_router
from equirouter.routers.scale import LogisticScale
from equirouter.routers.settings import check_plain

SCHEMA = 1


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


class StoredPolicy(_Part):
    """The policy in pipeline.json, and what it promises."""

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
    certainty: Certainty | None
    familiar_within: float
    policy: StoredPolicy
    baseline: Baseline
    data: dict[str, Any]
    split: dict[str, Any]
    test_metrics: dict[str, Any]
    plans: StoredPlans | None = None
    weights_sha256: str = ""

    @classmethod
    def of(cls, parts: PipelineParts) -> Self:
        stage, encoder = parts.stage, parts.stage.encoder
        return cls(
            schema=SCHEMA,
            package_version=__version__,
            models=[_Model.of(price, parts.model_facts.get(price.model)) for price in parts.prices],
            encoder=_Encoder(
                name=encoder.name,
                settings={name: encoder.settings[name] for name in encoder.saved_options},
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
            policy=StoredPolicy(
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
            plans=None if parts.plans is None else StoredPlans.of(parts.plans, parts.models),
        )

    def parts(
        self,
        stage: Stage,
        record: ValidationRecord,
        learned: NDArray[np.uint64],
        plans: PoolPlans | None,
    ) -> PipelineParts:
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
            learned=learned,
            plans=plans,
        )


class _Version(BaseModel):
    schema_: int = Field(alias="schema")
    package_version: str


def write_pipeline(parts: PipelineParts, folder: str | Path) -> Path:
    """Write the parts of a pipeline into a folder: see RoutingPipeline.save."""
    from safetensors.numpy import save

    check_plain(type(parts.stage.router), parts.stage.router.settings)
    weights = save({name: np.asarray(a, order="C") for name, a in _arrays(parts).items()})
    description = _Description.of(parts).model_dump(by_alias=True, exclude={"weights_sha256"})
    return write_folder(folder, description, weights)


def read_pipeline(
    folder: Path, encoder: Encoder | None, options: Mapping[str, object]
) -> tuple[PipelineParts, str]:
    """The parts of a pipeline, and the digest of the files: see RoutingPipeline.load.

    encoder: in place of the one that is named there. options: of the encoder, those that are not
    saved; "weights" is left out where it takes none.
    """
    content, weights = read_folder(folder)
    description = described(folder, content)
    made = _encoder(folder, description.encoder, encoder, options)
    with blamed_on(folder / WEIGHTS_FILE):
        arrays = _loaded(weights)
        made.restore(_part(arrays, "encoder."))
    _check_fingerprint(folder, description.encoder, made)
    with blamed_on(folder / WEIGHTS_FILE):
        stage = _stage(description, arrays, made)
        record = ValidationRecord.restore(_part(arrays, "validation."))
        learned = np.asarray(arrays["learned.queries"], dtype=np.uint64)
        plans = None
        if description.plans is not None:
            names = [model.name for model in description.models]
            plans = description.plans.plans(_part(arrays, "plans."), names)
    with blamed_on(folder / DESCRIPTION_FILE):
        parts = description.parts(stage, record, learned, plans)
    return parts, digest_of_description(content)


@contextmanager
def blamed_on(path: Path) -> Iterator[None]:
    """Raise what goes wrong within as a PipelineError that names the path.

    The digests rule out damage. A file may still have been written by another program, and what
    code meets in such data can be any of these. What this machine lacks is not the file's fault.
    """
    try:
        yield
    except (MissingExtraError, DownloadError):
        raise
    except UserError as error:
        words = str(error)
        raise PipelineError(words if str(path) in words else f"{path}: {words}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise PipelineError(
            f"{path}: what it holds does not fit together ({type(error).__name__}: {error}); "
            "train again"
        ) from error


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
        "learned": {"queries": parts.learned},
        "plans": arrays_of_plans(parts.plans),
        "collapse": {} if stage.collapse is None else stage.collapse.state(),
    }
    return {f"{part}.{name}": array for part, of in named.items() for name, array in of.items()}


def _stage(description: _Description, arrays: dict[str, Any], encoder: Encoder) -> Stage:
    router = registered_router(description.router.name, description.router.settings)
    kinds: tuple[type[CostPredictor], ...] = (CostModel, TokenCostModel)
    kind = next(kind for kind in kinds if kind.predicts == description.cost_model.predicts)
    cost_model = kind(**check_plain(kind, description.cost_model.settings))
    familiar = Familiarity(arrays["familiar.centres"], description.familiar_within)
    collapse = _part(arrays, "collapse.")
    router.restore(_part(arrays, "router."))
    cost_model.restore(_part(arrays, "cost."))
    shape = (cost_model.n_models, cost_model.width)
    expected = (len(description.models), description.encoder.dimension)
    if shape != expected:
        raise PipelineError(f"models and numbers per embedding are {shape}, {expected} expected")
    return Stage(
        encoder=encoder,
        router=router,
        router_name=description.router.name,
        cost_model=cost_model,
        scale=description.scale,
        scorer=Scorer.restore(_part(arrays, "scorer."), router, cost_model),
        certainty=description.certainty,
        familiar=familiar,
        collapse=FactorRouter().restore(collapse) if collapse else None,
    )


def _encoder(
    folder: Path, known: _Encoder, encoder: Encoder | None, options: Mapping[str, object]
) -> Encoder:
    """The encoder of the description, or the one given in its place; another one is refused."""
    place = folder / DESCRIPTION_FILE
    if encoder is not None and encoder.name != known.name:
        raise PipelineError(
            f"{folder}: trained with encoder {known.name}, and {encoder.name} was given: leave "
            "the encoder to the pipeline, or train again"
        )
    with blamed_on(place):
        kind: type[Encoder] = ENCODERS.load(known.name) if encoder is None else type(encoder)
    for name in known.settings:
        if name not in kind.saved_options:
            raise PipelineError(
                f"{place}: encoder.settings.{name}: a pipeline is data and cannot say this; the "
                f"encoder {known.name} takes {', '.join(kind.saved_options) or 'nothing'} from it, "
                f"and the rest from whoever loads it ({_WAYS})"
            )
    if encoder is not None:
        return encoder
    taken = encoder_options(known.name)
    given = {name: value for name, value in options.items() if name != "weights" or name in taken}
    lacking = kind.lacking(given)
    if lacking is not None:
        raise PipelineError(
            f"{folder}: its encoder is {known.name} ({known.fingerprint}), and {lacking}: that is "
            f"for whoever loads it to say ({_WAYS})"
        )
    with blamed_on(folder):
        return make_encoder(known.name, **known.settings | given)


_WAYS = (
    "--encoder-option NAME=VALUE, [pipeline.encoder_options] of the gateway, or "
    "RoutingPipeline.load(..., encoder_options={...})"
)


def _check_fingerprint(folder: Path, known: _Encoder, encoder: Encoder) -> None:
    if encoder.fingerprint != known.fingerprint:
        raise PipelineError(
            f"{folder}: trained with encoder {known.name} {known.settings} (fingerprint "
            f"{known.fingerprint}), but the encoder here has fingerprint {encoder.fingerprint}. "
            "Scores would be meaningless: use the same weights and settings, or train again"
        )


def described(folder: Path, content: bytes | None = None) -> _Description:
    """The description in a folder, or in its content. Raises PipelineError."""
    content = read_description(folder) if content is None else content
    path = folder / DESCRIPTION_FILE
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
            f"{path}: {place}: {first['msg']}; the file was written by another program, train again"
        ) from error


def _loaded(weights: bytes) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return dict(load(weights))
    except SafetensorError as error:
        raise PipelineError(f"not a safetensors file: {error}") from error


def _part(arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name[len(prefix) :]: a for name, a in arrays.items() if name.startswith(prefix)}
