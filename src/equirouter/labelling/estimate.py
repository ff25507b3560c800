"""The cost of a collection, before anything is spent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev

from equirouter.labelling.pool_calls import Asker, Question, priced
from equirouter.serve.charging import cost_nusd
from equirouter.serve.plan.prompt_tokens import LIKELY
from equirouter.serve.records import Tokens, usd

MEASURED = 5
"""Answers of a model from which on its own lengths count."""
_SPREAD = 2.0
"""A model writes from half of to twice as much as another one: 90 % of the pairs of 29 models on
the embedded data set do (0.51 to 1.98 times), none of which reasons out of sight."""
_OTHER_TOKENIZER = 1.25
_LEAST_TOKENS = 10
OF_TWO_SIDES = 1.96


@dataclass(frozen=True, slots=True)
class ModelEstimate:
    """Of one model. calls: to make. input_tokens, output_tokens: of all calls, expected.

    low_usd, high_usd: an interval around usd. most_usd: the sum of the bounds. by: where the
    lengths of answers come from: "measured" on its own answers, "log", or "unknown"; of questions
    of graders "grades", what such calls came to so far, or "prompt", what they ask for. impossible:
    queries that it cannot take. batch_price_factor: what a call costs as a share of its price where
    it is asked in batches, None where it is not.
    """

    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    usd: float
    low_usd: float
    high_usd: float
    most_usd: float
    most_expensive_call_usd: float
    by: str
    impossible: int
    batch_price_factor: float | None = None


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """Of all calls to make; there: answers that are kept already."""

    models: tuple[ModelEstimate, ...]
    there: int
    spent_usd: float

    @property
    def calls(self) -> int:
        """To make, in all."""
        return sum(model.calls for model in self.models)

    def total(self, name: str) -> float:
        """The sum of a field over the models."""
        return float(sum(getattr(model, name) for model in self.models))


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths that are known.

    logged: query_id -> (input, output) tokens of the log, None where
    not known; measured: model -> output tokens of its answers here. otherwise: tokens of an answer
    where neither says, factors of an interval around it, and by what that is known.
    """

    logged: Mapping[str, tuple[int | None, int | None]] = field(default_factory=dict)
    measured: Mapping[str, Sequence[int]] = field(default_factory=dict)
    otherwise: tuple[float, float, float, str] = (300.0, 0.1, 10.0, "unknown")


def estimated(
    asker: Asker,
    model: str,
    questions: Mapping[str, Question],
    lengths: Lengths,
    batch_price_factor: float | None = None,
) -> ModelEstimate:
    """The estimate of one model's calls. questions: by query_id, those that cannot be asked too."""
    asked = {key: question for key, question in questions.items() if question.impossible is None}
    typical, low, high, by = _output(lengths, model)
    price = asker.pool.routes[model].price
    factor = batch_price_factor or 1.0
    sums = [0, 0, 0]
    bounds = [priced(question.bound.nusd, factor) for question in asked.values()]
    tokens_in = tokens_out = 0
    for key, question in asked.items():
        logged_in, logged_out = lengths.logged.get(key, (None, None))
        expected = typical if by == "measured" or logged_out is None else logged_out
        given = int(question.bound.prompt * LIKELY) if logged_in is None else logged_in
        outputs = [
            min(question.bound.output, max(_LEAST_TOKENS, int(expected * factor)))
            for factor in (1.0, low, high)
        ]
        inputs = [given, int(given / _OTHER_TOKENIZER), int(given * _OTHER_TOKENIZER)]
        for place in range(3):
            sums[place] += cost_nusd(price, Tokens(max(inputs[place], 1), outputs[place]))
        tokens_in += given
        tokens_out += outputs[0]
    return ModelEstimate(
        model,
        calls=len(asked),
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        usd=usd(sums[0]) * factor,
        low_usd=usd(sums[1]) * factor,
        high_usd=usd(sums[2]) * factor,
        most_usd=usd(sum(bounds)),
        most_expensive_call_usd=usd(max(bounds, default=0)),
        by=by,
        impossible=len(questions) - len(asked),
        batch_price_factor=batch_price_factor,
    )


def _output(lengths: Lengths, model: str) -> tuple[float, float, float, str]:
    """Output tokens of an answer, the factors of an interval around it, and by what it is known."""
    own = lengths.measured.get(model, ())
    if len(own) >= MEASURED:
        mean = max(fmean(own), 1.0)
        half = OF_TWO_SIDES * stdev(own) / len(own) ** 0.5 / mean
        return mean, max(0.0, 1.0 - half), 1.0 + half, "measured"
    logged = [tokens for _, tokens in lengths.logged.values() if tokens is not None]
    if logged:
        return fmean(logged), 1 / _SPREAD, _SPREAD, "log"
    return lengths.otherwise
