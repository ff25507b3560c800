"""The paper's own figures, so that they can stand beside measured ones.

Source: Guannan Lai and Han-Jia Ye, "When Routing Collapses: On the Degenerate Convergence of LLM
Routers" (arXiv preprint), Table 1 (in-domain split) and Table A1 (out-of-domain split).
"""

from dataclasses import dataclass

from equirouter.data.split import SplitKind

__all__ = ["Published", "PublishedRow", "published_for"]

PAPER = (
    'Lai and Ye, "When Routing Collapses: On the Degenerate Convergence of LLM Routers" '
    "(arXiv preprint)"
)


@dataclass(frozen=True)
class PublishedRow:
    """One router on one benchmark, as printed.

    nauc, peak_score: higher is better. qnc: cost at the
    strongest model's performance, as a share of its cost, None for "/" (never reached); rci, in
    [0, 1]: lower is better for both.
    """

    nauc: float
    qnc: float | None
    peak_score: float
    rci: float


@dataclass(frozen=True)
class Published:
    """One benchmark's half of a table.

    source: paper, table and benchmark, in words. rows: the name the router has (or would have) in
    equirouter -> its figures, in the paper's order.
    """

    source: str
    rows: dict[str, PublishedRow]


def published_for(dataset_name: str, split: SplitKind = "in-domain") -> Published | None:
    """The paper's figures for a data set, or None if it was not measured there.

    dataset_name: a name that starts with "routerbench" or "mmr-bench", in any case, with or without
    hyphens. The figures are for the whole benchmark: beside a part of it they give the direction,
    not the level.
    """
    for benchmark, (title, tables) in _BENCHMARKS.items():
        if dataset_name.lower().replace("-", "").startswith(benchmark):
            table = "Table 1" if split == "in-domain" else "Table A1"
            return Published(f"{PAPER}, {table}, {title}", tables[split])
    return None


def _table(*rows: tuple[str, float, float | None, float, float]) -> dict[str, PublishedRow]:
    return {_NAMES[row[0]]: PublishedRow(*row[1:]) for row in rows}


_NAMES = {
    "kNNRouter": "knn",
    "MLPRouter": "mlp",
    "EmbedLLM": "embedllm",
    "GraphRouter": "graphrouter",
    "MIRT": "mirt",
    "NIRT": "nirt",
    "AvengersPro": "avengerspro",
    "CausalRouter": "causal",
    "EquiRouter": "equirouter",
    "EquiRouter w/o joint feature": "equirouter-without-joint-feature",
    "EquiRouter w/o ranking loss": "equirouter-without-ranking-loss",
}

# columns as printed: nAUC, QNC, P_s, RCI
_ROUTERBENCH = _table(
    ("kNNRouter", 0.7541, 0.9381, 0.8038, 0.7847),
    ("MLPRouter", 0.7448, 1.0000, 0.8035, 0.7871),
    ("EmbedLLM", 0.7427, None, 0.8027, 0.7869),
    ("GraphRouter", 0.7477, 0.9470, 0.8038, 0.7867),
    ("MIRT", 0.7483, None, 0.8032, 0.7870),
    ("NIRT", 0.7465, 0.9987, 0.8036, 0.7872),
    ("AvengersPro", 0.7555, None, 0.8033, 0.7810),
    ("CausalRouter", 0.7055, 0.9954, 0.8043, 0.7571),
    ("EquiRouter", 0.7712, 0.7731, 0.8041, 0.6911),
    ("EquiRouter w/o joint feature", 0.7549, 0.9154, 0.8037, 0.7043),
    ("EquiRouter w/o ranking loss", 0.7623, 0.9637, 0.8045, 0.7325),
)

_MMRBENCH = _table(
    ("kNNRouter", 0.6959, 0.9895, 0.7416, 0.7895),
    ("MLPRouter", 0.6815, 1.0000, 0.7384, 0.7819),
    ("EmbedLLM", 0.6863, None, 0.7369, 0.7546),
    ("GraphRouter", 0.6214, 1.0000, 0.7384, 0.7819),
    ("MIRT", 0.6904, 0.9995, 0.7417, 0.7828),
    ("NIRT", 0.6974, 0.9815, 0.7454, 0.7840),
    ("AvengersPro", 0.7007, None, 0.7362, 0.7280),
    ("CausalRouter", 0.6914, 1.0517, 0.7442, 0.7140),
    ("EquiRouter", 0.7059, 0.8784, 0.7430, 0.6949),
    ("EquiRouter w/o joint feature", 0.7041, 0.9395, 0.7415, 0.7025),
    ("EquiRouter w/o ranking loss", 0.7044, 0.9752, 0.7437, 0.7135),
)

_ROUTERBENCH_OOD = _table(
    ("kNNRouter", 0.7502, 1.0000, 0.8116, 0.7270),
    ("MLPRouter", 0.7532, 1.0000, 0.8116, 0.7270),
    ("EmbedLLM", 0.7467, None, 0.8023, 0.7305),
    ("GraphRouter", 0.6771, 1.0000, 0.8116, 0.7270),
    ("MIRT", 0.7491, 0.9888, 0.8119, 0.7254),
    ("NIRT", 0.7491, 1.0000, 0.8116, 0.7270),
    ("AvengersPro", 0.7524, None, 0.7967, 0.7349),
    ("CausalRouter", 0.7524, None, 0.8105, 0.7694),
    ("EquiRouter", 0.7560, 0.9568, 0.8117, 0.7064),
)

_MMRBENCH_OOD = _table(
    ("kNNRouter", 0.6694, None, 0.7284, 0.7684),
    ("MLPRouter", 0.6394, None, 0.6470, 0.8138),
    ("EmbedLLM", 0.6324, None, 0.6850, 0.7945),
    ("GraphRouter", 0.5864, None, 0.7032, 0.7960),
    ("MIRT", 0.6635, None, 0.7320, 0.7894),
    ("NIRT", 0.6232, None, 0.7023, 0.7754),
    ("AvengersPro", 0.6410, None, 0.6736, 0.7640),
    ("CausalRouter", 0.6464, None, 0.7305, 0.8116),
    ("EquiRouter", 0.6701, 0.9847, 0.7363, 0.7249),
)

_BENCHMARKS: dict[str, tuple[str, dict[SplitKind, dict[str, PublishedRow]]]] = {
    "routerbench": ("RouterBench", {"in-domain": _ROUTERBENCH, "ood": _ROUTERBENCH_OOD}),
    "mmrbench": ("MMR-Bench", {"in-domain": _MMRBENCH, "ood": _MMRBENCH_OOD}),
}
