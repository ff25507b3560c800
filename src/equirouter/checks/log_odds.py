"""How sure the model was of its words."""

import math
from dataclasses import dataclass

from equirouter.checks.base import Response, ResponseCheck


@dataclass(kw_only=True, eq=False)
class LogProbabilityCheck(ResponseCheck):
    """The mean probability of a token: the exponential of the mean log-probability.

    Not known where the provider gives none. Source: Malinin and Gales 2021 (length-normalised
    likelihood of a sequence).
    """

    def __call__(self, response: Response) -> float | None:
        """Of all tokens of the text."""
        known = [value for value in response.log_probs or () if value <= 0]
        return math.exp(math.fsum(known) / len(known)) if known else None
