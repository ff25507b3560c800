"""AlpacaEval: instructions, and how often a judge preferred a model's answer to a reference's.

Source: Li et al., "AlpacaEval: An Automatic Evaluator of Instruction-following Models", 2023, and
Dubois et al., arXiv:2404.04475; data: https://github.com/tatsu-lab/alpaca_eval (Apache-2.0), the
annotations in results. Read at commit cd543a149df89434d8a54582c0151c0b945c3d20.
"""

import hashlib
import math
import re
from pathlib import Path

from equirouter.cost.prices import estimated_tokens
from equirouter.data.outcomes import Outcomes
from equirouter.data.sources.by_name import check_choice
from equirouter.data.sources.clones import (
    CloneAnswer,
    CloneQuery,
    clone_at,
    field,
    priced_outcomes,
    read_each,
    read_rows,
)
from equirouter.errors import DataError
from equirouter.progress import Progress, silent

_REPOSITORY = "https://github.com/tatsu-lab/alpaca_eval"
_FOLDERS = {"gpt4-turbo": "weighted_alpaca_eval_gpt4_turbo", "gpt4": "alpaca_eval_gpt4"}
_STYLE = re.compile(r"_(concise|verbose)$")  # a model asked for short or long answers


class AlpacaEval:
    """AlpacaEval, from a clone of its repository.

    judge: whose preferences are the performance. "gpt4-turbo" (default): AlpacaEval 2, a
    probability, against gpt4_1106_preview; "gpt4": AlpacaEval 1, 0, 0.5 or 1, against
    text_davinci_003. Raises ConfigError for another.
    """

    description = "AlpacaEval: 805 instructions, a judge's preference, by model, from a clone"

    def __init__(self, *, judge: str = "gpt4-turbo") -> None:
        self.judge = check_choice("judge", judge, tuple(_FOLDERS))

    @property
    def name(self) -> str:
        """The name, and the judge if it is not the default."""
        return "alpacaeval" if self.judge == "gpt4-turbo" else f"alpacaeval-{self.judge}"

    def load(self, path: Path | None = None, *, progress: Progress = silent) -> Outcomes:
        """The outcomes table of a clone: every model with annotations of the judge and a price.

        Performance is how far the judge prefers the model's answer, 0 to 1. An instruction that a
        model lacks, and a preference of null, are NaN. Tasks are the collections that the
        instructions are from. Raises DataError.
        """
        folder = clone_at(path, self.name, _REPOSITORY, "results") / "results"
        files = sorted(folder.glob(f"*/{_FOLDERS[self.judge]}/annotations.json"))
        if not files:
            raise DataError(
                f"{folder}: there is no MODEL/{_FOLDERS[self.judge]}/annotations.json in it"
            )
        questions: dict[str, CloneQuery] = {}
        by_model = {file.parents[1].name: file for file in files}
        answers = read_each(by_model, _answers, questions, progress)
        base_names = {model: _STYLE.sub("", model) for model in answers}
        return priced_outcomes(self.name, questions, answers, price_names=base_names)


def _answers(path: Path, questions: dict[str, CloneQuery]) -> dict[str, CloneAnswer]:
    """The answers of one model; its questions join those known."""
    answers: dict[str, CloneAnswer] = {}
    for number, row in enumerate(read_rows(path), start=1):
        text = field(path, number, row, "instruction", str)
        task = field(path, number, row, "dataset", str)
        name = f"{task}/{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        if name in answers:
            raise DataError(f"{path}: row {number}: the instruction occurs twice: {text[:60]!r}")
        questions.setdefault(name, CloneQuery(text, task))
        answers[name] = CloneAnswer(
            _preference(path, number, row.get("preference")),
            estimated_tokens(text),
            estimated_tokens(field(path, number, row, "output_2", str)),
        )
    return answers


def _preference(path: Path, number: int, value: object) -> float:
    """From 1, the reference is better, to 2, the model is; 0 is a draw; as 0 to 1."""
    if value is None:
        return math.nan
    if not isinstance(value, int | float) or not (value == 0 or 1 <= value <= 2):
        raise DataError(
            f"{path}: row {number}: preference is {value!r}, expected 1 to 2, 0 for a draw, or null"
        )
    return 0.5 if value == 0 else float(value) - 1
