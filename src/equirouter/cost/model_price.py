"""The price of a model now, compared with its price in the outcomes that were learned from."""

import math
from dataclasses import dataclass, replace

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.cost.prices import Price, costs_usd, estimated_tokens
from equirouter.errors import ConfigError

TOKENS_PER_COUNTED = (0.8, 1.25)
"""How many tokens of a model's own there may be to one that is counted by estimated_tokens."""

EXPLAINED = 0.01
"""The mean error, as a share of the mean cost, up to which a price explains costs."""


@dataclass(frozen=True)
class ModelPrice:
    """The price of a model: `now`, and `trained`, of the outcomes that were learned from.

    None is not known. input_share: the share of the prompts in the costs of those outcomes, in
    [0, 1], where only costs were known: see the function input_share.
    """

    model: str
    trained: Price | None = None
    now: Price | None = None
    input_share: float | None = None

    def known(self) -> Price:
        """The price now. Raises ConfigError where it is not known."""
        if self.now is None:
            raise ConfigError(f"model {self.model!r} has no price; state one")
        return self.now

    def factor(self) -> float:
        """The cost of a call now, as a share of its cost in the outcomes; 1 is no change.

        Where input and output price change alike, it is that ratio. Where they do not, the share of
        the input in the costs weighs the two ratios. Raises ConfigError where it cannot be said.
        """
        if self.now == self.trained:
            return 1.0
        if self.trained is None or self.now is None:
            raise ConfigError(
                f"the price of {self.model!r} in the outcomes that the pipeline learned from is "
                "not known, so the change is not known either: state what it was (--was-input, "
                "--was-output)"
            )
        ratios = self._ratios(self.trained, self.now)
        given = [ratio for ratio in ratios if ratio is not None]
        if all(math.isclose(ratio, given[0], rel_tol=1e-9) for ratio in given):
            return given[0] if given else 1.0
        if self.input_share is None:
            raise ConfigError(
                f"the prices of input and output of {self.model!r} change by different factors "
                f"({ratios[0]:g} and {ratios[1]:g}), and the outcomes that the pipeline learned "
                "from do not tell what part of a cost was for the prompt. Change both by one "
                "factor, or train on a table with input_tokens and output_tokens"
            )
        return self.input_share * (ratios[0] or 0.0) + (1 - self.input_share) * (ratios[1] or 0.0)

    def factor_range(self) -> tuple[float, float]:
        """The factor if the model counts fewer or more tokens than were counted: see input_share.

        Both ends are the factor itself where the share takes no part in it.
        """
        if self.input_share is None:
            return self.factor(), self.factor()
        ends = [
            replace(self, input_share=min(self.input_share * per, 1.0)).factor()
            for per in TOKENS_PER_COUNTED
        ]
        return min(ends), max(ends)

    def _ratios(self, trained: Price, now: Price) -> tuple[float | None, float | None]:
        """New price over old, of input and output; None where both are 0."""
        if now.tiers:
            raise ConfigError(
                f"the price of {self.model!r} has tiers, which need the length of each prompt, and "
                "the pipeline learned costs and not tokens: state one price, or train on a table "
                "with input_tokens and output_tokens"
            )
        ratios: list[float | None] = []
        for side in ("input", "output"):
            old, new = (getattr(price, f"{side}_usd_per_mtok") for price in (trained, now))
            if old == 0 and new > 0:
                raise ConfigError(
                    f"the {side} of {self.model!r} was free in the outcomes that the pipeline "
                    f"learned from, so what {new:g} USD per million tokens will cost cannot be "
                    "said; train on outcomes with costs"
                )
            ratios.append(None if old == 0 else new / old)
        return ratios[0], ratios[1]


def input_share(
    counted_tokens: FloatArray, cost_usd: FloatArray, price: Price | None
) -> float | None:
    """Which part of the costs of calls was for their prompts, in [0, 1]; None: it cannot be said.

    counted_tokens (N,): estimated_tokens of the prompts. cost_usd (N,): NaN = not known. The
    prompts' cost is counted tokens times the input price. Tokenizers differ from the count by up to
    a quarter (TOKENS_PER_COUNTED), so prompts that seem to cost up to a quarter more than the calls
    are all of their cost; beyond, the calls were given other prompts, or another price.
    """
    known = np.isfinite(cost_usd)
    total = float(cost_usd[known].sum())
    if price is None or price.tiers or total <= 0:
        return None
    share = float(counted_tokens[known].sum()) * price.input_usd_per_mtok / 1e6 / total
    return min(share, 1.0) if share * TOKENS_PER_COUNTED[0] <= 1.0 else None


def counted(texts: tuple[str, ...]) -> FloatArray:
    """estimated_tokens of each text, (N,)."""
    return np.array([estimated_tokens(text) for text in texts], dtype=np.float64)


def price_that_explains(
    tokens: tuple[FloatArray, FloatArray], cost_usd: FloatArray, published: tuple[Price, ...] = ()
) -> Price | None:
    """The price at which calls of these tokens cost what they cost; None where there is none.

    tokens: input and output (N,), cost_usd (N,), NaN = not known. The first of the published prices
    that explains the costs, up to a mean error of EXPLAINED of the mean cost; else the two numbers
    that come closest (least squares, not negative), if they do.
    """
    read, written = tokens
    known = np.isfinite(read) & np.isfinite(written) & np.isfinite(cost_usd)
    if not known.any():
        return None
    read, written, paid = read[known], written[known], cost_usd[known]
    fitted = _closest(read, written, paid)
    for price in (*published, *([] if fitted is None else [fitted])):
        missed = np.abs(costs_usd(price, read, written) - paid).mean()
        if missed <= EXPLAINED * paid.mean():
            return price
    return None


def _closest(read: FloatArray, written: FloatArray, paid: FloatArray) -> Price | None:
    """Two prices by least squares; None where the tokens do not tell them apart."""
    amounts = np.stack([read, written], axis=1) / 1e6
    used = amounts.max(axis=0) > 0
    if not used.all():  # what is never used may cost anything: as much as the other
        if not used.any():
            return None
        per_mtok = float(paid.sum() / amounts[:, used].sum())
        return Price(per_mtok, per_mtok)
    scaled = amounts / np.linalg.norm(amounts, axis=0)
    if np.linalg.cond(scaled) > 1e4:
        return None
    fitted = np.linalg.lstsq(amounts, paid)[0]
    if (fitted < 0).any():
        return None
    per_input, per_output = (float(f"{usd:.6g}") for usd in fitted)
    return Price(per_input, per_output)
