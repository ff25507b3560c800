"""The document of a results.json as `equirouter bench` writes it, from a small simulation."""

from functools import lru_cache
from typing import Any

import numpy as np

from equirouter.arrays import FloatArray, IntArray
from equirouter.evaluation.results import Results

Document = dict[str, Any]

# name, accuracy, USD per query: of the size that RouterBench has
MODELS = (
    ("mistralai/mistral-7b-chat", 0.56, 0.00005),
    ("WizardLM/WizardLM-13B-V1.2", 0.57, 0.00008),
    ("mistralai/mixtral-8x7b-chat", 0.67, 0.00014),
    ("meta/code-llama-instruct-34b-chat", 0.55, 0.00018),
    ("zero-one-ai/Yi-34B-Chat", 0.72, 0.00019),
    ("meta/llama-2-70b-chat", 0.60, 0.00021),
    ("claude-instant-v1", 0.64, 0.00024),
    ("gpt-3.5-turbo-1106", 0.69, 0.00025),
    ("claude-v1", 0.66, 0.00215),
    ("claude-v2", 0.62, 0.00242),
    ("gpt-4-1106-preview", 0.82, 0.00330),
)
NAMES = [name for name, _, _ in MODELS]
STRONGEST, CHEAPEST = NAMES[-1], NAMES[0]
N_QUERIES, N_POINTS, SEEDS = 1000, 100, [42, 43, 44]
QUALITIES = ("1.02", "1.00", "0.99", "0.98", "0.95", "0.90")
ROUTERS = {"mlp": 0.12, "equirouter": 0.02, "knn": 0.06}  # noise of their scores
ANCHORS = ("oracle", "random", "strongest", "cheapest", "task")


made = Results.model_validate
"""Results from a document."""


def miss(entry: Document, metric: str, n_seeds: int = 1, quality: str | None = None) -> None:
    """Let the first n_seeds of the seeds miss a metric; its mean stays as it is."""
    values = entry[metric]["per_seed"]
    for index in range(n_seeds):
        if quality is None:
            values[index] = None
        else:
            values[index][quality] = None


def rename(document: Document, old: str, new: str) -> None:
    """Give a router another name wherever it stands."""
    for group in ("routers", "curves", "calibration", "paired"):
        document[group][new] = document[group].pop(old)
    for others in document["paired"].values():
        others[new] = others[old]


@lru_cache(maxsize=1)
def build_document() -> Document:
    """Results of five anchors and three routers, three seeds; mlp never reaches the strongest."""
    rng = np.random.default_rng(0)
    accuracy = np.array([model[1] for model in MODELS])
    ability = np.log(accuracy / (1 - accuracy))
    task = rng.normal(0.0, 0.6, size=(8, len(NAMES)))[rng.integers(0, 8, N_QUERIES)]
    chance = 1 / (1 + np.exp(-2.0 * (ability + task + rng.normal(0, 1.5, (N_QUERIES, 1)))))
    performance = (rng.random(chance.shape) < chance).astype(float)  # (N, K)
    cost_usd = np.array([model[2] for model in MODELS]) * rng.lognormal(0, 0.5, (N_QUERIES, 1))
    scores = {
        "oracle": performance - 1e-3 * cost_usd,
        "random": rng.random(chance.shape),
        "strongest": np.tile(accuracy, (N_QUERIES, 1)),
        "cheapest": -cost_usd,
        "task": 1 / (1 + np.exp(-2.0 * (ability + task))),
    }
    for name, noise in ROUTERS.items():
        scores[name] = chance + rng.normal(0, noise, chance.shape)
    budgets = np.linspace(cost_usd.min(), cost_usd.max(), N_POINTS)
    curves = {name: _curve(score, performance, cost_usd, budgets) for name, score in scores.items()}
    entries = {name: _entry(curve, performance, cost_usd, rng) for name, curve in curves.items()}
    entries["mlp"]["qnc"] = _measured(None, rng)
    return {
        "schema": 1,
        "dataset": {
            "name": "routerbench-5shot",
            "n_queries": 36_511,
            "n_models": len(NAMES),
            "models": NAMES,
            "fingerprint": "9f" * 32,
        },
        "protocol": {
            "split": "in-domain",
            "ratios": [3, 1, 6],
            "seeds": SEEDS,
            "policy": "budget",
            "budgets": N_POINTS,
            "read_at": "every change of a decision",
            "encoder": "minilm",
            "window": "head+tail",
            "encoder_settings": {"window": "head+tail"},
            "encoder_fingerprint": "minilm-1",
            "encoder_notes": [],
            "nauc": "paper",
            "resamples": 1000,
        },
        "anchors": {name: entries[name] for name in ANCHORS},
        "routers": {name: entries[name] for name in ROUTERS},
        "curves": curves,
        "outcomes": _description(performance, cost_usd),
        "reference": {"per_seed": [STRONGEST] * 3, "as_strong": [[STRONGEST]] * 3},
        "cost_model": {"mse": 1.3e-7, "relative_error": dict.fromkeys(NAMES, 0.081)},
        "visibility": {
            "share": 0.41,
            "n_duplicates": 14_970,
            "warning": "41.0 % of the queries have the embedding of another query although their "
            "texts differ: choose --window tail or head+tail",
        },
        "left_out": {
            "incomplete_test_queries": 9,
            "measured_test_queries": 21_898,
            "per_seed": [9, 8, 9],
        },
        "split_hashes": {str(seed): f"{seed:02x}" * 16 for seed in SEEDS},
        "versions": {"equirouter": "0.1.0", "numpy": "2.4.0", "torch": "2.13.0"},
        "published": {
            "source": "Table 1, RouterBench",
            "rows": {
                "knn": {"nauc": 0.7541, "qnc": 0.9381, "peak_score": 0.8038, "rci": 0.7847},
                "embedllm": {"nauc": 0.7427, "qnc": None, "peak_score": 0.8027, "rci": 0.7869},
            },
        },
        "paired": {
            name: {other: _paired(entries[name], entries[other]) for other in entries}
            for name in ROUTERS
        },
        "calibration": {name: _calibration(rng) for name in ROUTERS},
        "checks": {},
        "command": ["equirouter", "bench", "routerbench-5shot", "--routers", "equirouter,mlp,knn"],
    }


def _curve(
    scores: FloatArray, performance: FloatArray, cost_usd: FloatArray, budgets: FloatArray
) -> Document:
    rows = np.arange(len(scores))
    chosen = [_choose(scores, cost_usd, budget) for budget in budgets]
    shares = np.array([np.bincount(one, minlength=len(NAMES)) for one in chosen]) / len(rows)
    wasteful = [  # a rough stand-in for RCI: a cheaper model did as well
        ((performance >= performance[rows, one][:, None])
         & (cost_usd < cost_usd[rows, one][:, None])).any(axis=1).mean()
        for one in chosen
    ]  # fmt: skip
    return {
        "point": budgets.tolist(),
        "performance": [float(performance[rows, one].mean()) for one in chosen],
        "cost_usd": [float(cost_usd[rows, one].mean()) for one in chosen],
        "rci": [float(value) for value in wasteful],
        "call_share": {name: shares[:, k].tolist() for k, name in enumerate(NAMES)},
        "calls": None,
        "rounds": None,
        "escalated": None,
        "wrongly_accepted": None,
        "output_tokens_p50": None,
        "output_tokens_p95": None,
    }


def _choose(scores: FloatArray, cost_usd: FloatArray, budget: float) -> IntArray:
    allowed = np.where(cost_usd <= budget, scores, -np.inf)
    chosen = np.where(np.isinf(allowed).all(axis=1), cost_usd.argmin(axis=1), allowed.argmax(1))
    return np.asarray(chosen, dtype=np.int64)


def _entry(
    curve: Document, performance: FloatArray, cost_usd: FloatArray, rng: np.random.Generator
) -> Document:
    x, y = np.array(curve["cost_usd"]), np.array(curve["performance"])
    width = x[-1] - x[0]
    area = float(np.trapezoid(y, x) / width) if width > 0 else float(y[-1])
    target, reference = performance[:, -1].mean(), cost_usd[:, -1].mean()
    costs: dict[str, float | None] = {}
    for quality in QUALITIES:
        reached = x[y >= float(quality) * target]
        costs[quality] = float(min([1.0, *(reached / reference)]))
    shares = {name: values[-1] for name, values in curve["call_share"].items()}
    return {
        "nauc": _measured(area, rng),
        "nauc_common": _measured(area, rng),
        "nauc_orbit": _measured(area, rng),
        "peak_score": _measured(float(y.max()), rng),
        "peak_cost_usd": _measured(float(x[y.argmax()]), rng),
        "peak_quality": _measured(float(y.max() / target), rng),
        "qnc": _measured(
            float((x[y >= target] / reference).min()) if y.max() >= target else None, rng, skew=2.0
        ),
        "rci": _measured(curve["rci"][-1], rng),
        "rci_mean": _measured(float(np.mean(curve["rci"])), rng),
        "rci_orbit": _measured(curve["rci"][-1], rng),
        "rci_at_quality": _map(dict.fromkeys(QUALITIES, 0.5), rng),
        "cost_at_quality": _map(costs, rng),
        "strongest_share": _measured(shares[STRONGEST], rng),
        "call_share": _map(shares, rng),
        "fit_seconds": _measured(12.4, rng),
        "predict_us_per_query": _measured(8.1, rng),
        "n_parameters": _measured(1_834_241.0, rng),
    }


def _measured(mean: float | None, rng: np.random.Generator, skew: float = 1.0) -> Document:
    """A mean with an interval of about 1 %, longer above by the factor skew."""
    if mean is None:
        return {"mean": None, "low": None, "high": None, "per_seed": [None] * len(SEEDS)}
    half = 0.01 * abs(mean) * (0.5 + rng.random())
    return {
        "mean": mean,
        "low": mean - half,
        "high": mean + skew * half,
        "per_seed": [mean] * len(SEEDS),
    }


def _map(means: dict[str, float | None], rng: np.random.Generator) -> Document:
    parts = {key: _measured(mean, rng) for key, mean in means.items()}
    whole = {name: {key: part[name] for key, part in parts.items()} for name in ("low", "high")}
    return {"mean": means, **whole, "per_seed": [dict(means) for _ in SEEDS]}


def _calibration(rng: np.random.Generator) -> Document:
    bins = [0.1, 0.5, 0.9]
    errors = ("calibration_error", "uncalibrated_error", "squared_error")
    return {name: _measured(0.1, rng) for name in errors} | {"predicted": bins, "observed": bins}


def _paired(router: Document, other: Document) -> Document:
    costs, others = (entry["cost_at_quality"]["mean"] for entry in (router, other))
    differences: Document = {
        "cost_at_quality": {
            key: _about(costs[key] - others[key]) for key in ("0.98", "0.95", "0.90")
        }
    }
    for metric in ("nauc", "nauc_common", "peak_score", "rci"):
        differences[metric] = _about(router[metric]["mean"] - other[metric]["mean"])
    return differences


def _about(mean: float) -> Document:
    return {"mean": mean, "low": mean - 0.006, "high": mean + 0.006}


def _description(performance: FloatArray, cost_usd: FloatArray) -> Document:
    return {
        "name": "routerbench-5shot",
        "n_queries": 36_511,
        "n_models": len(NAMES),
        "n_tasks": 86,
        "n_complete": 36_497,
        "n_equal": 12,
        "n_nearly_equal": 30,
        "fingerprint": "9f" * 32,
        "missing_performance": 14,
        "missing_cost": 14,
        "known_answers": None,
        "no_answer": None,
        "n_logged": 0,
        "task_sizes": {"mmlu": 14_042},
        "model_descriptions": None,
        "models": NAMES,
        "mean_performance": performance.mean(axis=0).tolist(),
        "mean_cost_usd": cost_usd.mean(axis=0).tolist(),
        "strongest": STRONGEST,
        "as_strong": [STRONGEST],
        "cheapest": CHEAPEST,
        "tie_rate": 0.957,
        "oracle_performance": 0.9641,
        "oracle_cost_usd": 0.00021,
        "oracle_call_share": [
            0.276,
            0.229,
            0.168,
            0.03,
            0.145,
            0.02,
            0.043,
            0.029,
            0.02,
            0.02,
            0.02,
        ],
        "notes": ["14 rows lack the outcome of some model."],
    }
