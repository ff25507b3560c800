"""Packages that fitting needs beside the core: found out before any work, and said all at once."""

from collections.abc import Iterable, Sequence

from equirouter.arrays import Float32Array
from equirouter.data.outcomes import Outcomes
from equirouter.data.sources.by_name import is_encoded, needs_of_dataset
from equirouter.encoders.base import Encoder
from equirouter.extras import Need, check_needs
from equirouter.routers import make_router
from equirouter.words import listed

_LIBRARIES = {"torch": "torch", "sklearn": "scikit-learn"}
"""What the routers of this package are fitted with, by import name."""


def reader(encoder: Encoder, outcomes: Outcomes, embeddings: Float32Array | None) -> Encoder | None:
    """The encoder; None where it reads no text: the embeddings (N, d) or the table's are there."""
    return encoder if embeddings is None and outcomes.packed is None else None


def check_what_fits(
    routers: Sequence[str],
    encoder: Encoder | None = None,
    *,
    dataset: str = "",
    cost_network: bool = False,
    more: Iterable[Need] = (),
) -> None:
    """Raise MissingExtraError, naming all of it, where something is missing for a run.

    routers: as make_router takes them. encoder: None where the embeddings are there already.
    dataset: as load_dataset takes it, where it is still to be opened. cost_network: costs are
    predicted by the paper's network as well. more: what is needed beside these.
    """
    users: dict[str, list[str]] = {}
    for spec in routers:
        for module in make_router(spec).fitted_with:
            users.setdefault(module, []).append(spec)
    if cost_network:
        users.setdefault("torch", []).insert(0, "the cost model of the paper")
    needs = [
        Need(
            module,
            "train" if module in _LIBRARIES else "",  # else what another package's router needs
            f"fit {listed(of)}",
            shown=_LIBRARIES.get(module, ""),
        )
        for module, of in users.items()
    ]
    if encoder is not None and not is_encoded(dataset):
        needs += encoder.needs()
    check_needs([*needs, *needs_of_dataset(dataset), *more])
