"""The routers of the paper's tables: which are measured, and their labels in figures."""

from equirouter.registry import ROUTERS

EQUIROUTER = "equirouter:original"
"""What the authors' toolbox does: the claims and the published row are held against it."""

AS_WRITTEN = "equirouter:paper"
"""Eq. 8 as the paper writes it, with the settings of App. A.2."""

WITHOUT_JOINT_FEATURE = f"{EQUIROUTER}:joint_feature=false"
WITHOUT_RANKING_LOSS = f"{EQUIROUTER}:loss=mse"
"""The ablations of Table 1."""

_ABLATIONS = {
    WITHOUT_JOINT_FEATURE: "equirouter-without-joint-feature",
    WITHOUT_RANKING_LOSS: "equirouter-without-ranking-loss",
}
_LABELS = {
    EQUIROUTER: "equirouter (authors)",
    AS_WRITTEN: "equirouter (Eq. 8)",
    WITHOUT_JOINT_FEATURE: "w/o joint feature",
    WITHOUT_RANKING_LOSS: "w/o ranking loss",
}


def paper_routers() -> list[str]:
    """Every registered router, then the authors' EquiRouter, its ablations, and the paper's."""
    registered = [name for name, kind in ROUTERS.load_all().items() if not kind.is_anchor]
    return [*registered, EQUIROUTER, *_ABLATIONS, AS_WRITTEN]


def is_equirouter(spec: str) -> bool:
    """Whether a spec is of the paper's own router, with any settings."""
    return spec.partition(":")[0] == "equirouter"


def label_of(spec: str) -> str:
    """The label of a router in a figure, where its whole spec would be too long."""
    return _LABELS.get(spec, spec)


def published_name(spec: str) -> str | None:
    """The name of the router in `published_for` whose figures a spec should give; None: of none.

    The paper's EquiRouter is that of its authors' toolbox, not the default.
    """
    if spec == EQUIROUTER:
        return "equirouter"
    if is_equirouter(spec):
        return _ABLATIONS.get(spec)
    return spec
