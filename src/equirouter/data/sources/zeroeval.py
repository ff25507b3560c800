"""ZeroEval: what 29 models answered to 2,840 questions, graded here.

Source: Lin, "ZeroEval: A Unified Framework for Evaluating Language Models", 2024; data:
https://github.com/WildEval/ZeroEval (Apache-2.0), the folders gsm, crux and math-l5 of result_dirs.
Read at commit 8c1485edf12c6efb5f69135a562927c5ad484059.
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path

from equirouter.cost.prices import estimated_tokens
from equirouter.data.outcomes import Outcomes
from equirouter.data.sources.clones import (
    CloneAnswer,
    CloneQuery,
    clone_at,
    field,
    priced_outcomes,
    read_rows,
)
from equirouter.errors import DataError
from equirouter.progress import Progress, silent

_REPOSITORY = "https://github.com/WildEval/ZeroEval"
_QUESTION = {"gsm": "question", "crux": "question", "math-l5": "problem"}  # task -> its field
# Files of one model by two names.
_SAME_MODEL = {
    "Meta-Llama-3.1-405B-Instruct@hyperbolic": "Llama-3.1-405B-Inst@hyperbolic",
    "gemma-2-27b-it@together": "gemma-2-27b-it",
}
_DECODER = json.JSONDecoder(strict=False)  # answers have line breaks within strings
_STRING = re.compile(r'"answer"\s*:\s*"([^"]*)"')
_BARE = re.compile(r'"?answer"?\s*:\s*([^,\s]*)')
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_FRACTION = re.compile(r"(-?\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)")


class ZeroEval:
    """ZeroEval, from a clone of its repository."""

    name = "zeroeval"
    description = "ZeroEval: 2,840 questions (sums, code, mathematics), 29 models, from a clone"

    def load(self, path: Path | None = None, *, progress: Progress = silent) -> Outcomes:
        """The outcomes table of a clone: every priced model with a file of each of the three tasks.

        An answer is graded by is_correct; one that a file lacks is NaN. Raises DataError.
        """
        clone = clone_at(path, self.name, _REPOSITORY, "result_dirs") / "result_dirs"
        files = {task: _files(clone / task) for task in _QUESTION}
        models = sorted(set.intersection(*map(set, files.values())))
        questions: dict[str, CloneQuery] = {}
        answers: dict[str, dict[str, CloneAnswer]] = {model: {} for model in models}
        for done, model in enumerate(models):
            progress("read answers", done, len(models))
            for task in _QUESTION:
                _add(files[task][model], task, questions, answers[model])
        progress("read answers", len(models), len(models))
        some = sorted(set.union(*map(set, files.values())) - set(models))
        notes = [f"left out, without a file of every task: {', '.join(some)}"] if some else []
        return priced_outcomes(self.name, questions, answers, notes=notes)


def _files(folder: Path) -> dict[str, Path]:
    files = {_SAME_MODEL.get(path.stem, path.stem): path for path in sorted(folder.glob("*.json"))}
    if not files:
        raise DataError(f"{folder}: there are no .json files of answers; expected one per model")
    return files


def _add(
    path: Path, task: str, questions: dict[str, CloneQuery], answers: dict[str, CloneAnswer]
) -> None:
    """Take the rows of one file."""
    for number, row in enumerate(read_rows(path), start=1):
        name = f"{task}/{field(path, number, row, 'id', str | int)}"
        if name in answers:
            raise DataError(f"{path}: row {number}: id {row['id']!r} occurs twice")
        question = CloneQuery(field(path, number, row, _QUESTION[task], str), task)
        if questions.setdefault(name, question) != question:
            raise DataError(f"{path}: row {number}: {name} has another text than in other files")
        output = field(path, number, row, "output", list)
        prompt = field(path, number, row, "chat_history", list)
        if len(output) != 1 or not isinstance(output[0], str):
            raise DataError(f"{path}: row {number}: output is not a list of one text")
        truth = str(field(path, number, row, "answer", str | int))
        answers[name] = CloneAnswer(
            float(is_correct(task, final_answer(output[0]), truth)),
            sum(estimated_tokens(str(turn)) for turn in prompt),
            estimated_tokens(output[0]),
        )


def final_answer(output: str) -> str | None:
    r"""The answer that an output gives; None where it gives none.

    The models were asked for a JSON object with "reasoning" and "answer". The answer of the first
    object counts; where it is not JSON, what stands behind "answer"; else the last \boxed{...} at
    the end of the output.

    >>> final_answer('So: {"reasoning": "6 * 7", "answer": 42}')
    '42'
    """
    start = output.find("{")
    if start >= 0:
        try:
            document, _ = _DECODER.raw_decode(output, start)
        except (ValueError, RecursionError):
            document = None
        if isinstance(document, Mapping) and "answer" in document:
            return str(document["answer"])
    for pattern in (_STRING, _BARE):
        if match := pattern.search(output):
            return match.group(1)
    boxed = re.findall(r"\\boxed\{(\w+)\}", output) if "boxed" in output[-30:] else []
    return boxed[-1] if boxed else None


def is_correct(task: str, answer: str | None, truth: str) -> bool:
    """Whether an answer is right; one that is not there is wrong.

    crux: the same text, but for quotes around it. gsm and math-l5: the first number of both is the
    same; "$" and "," do not count, and a fraction of two numbers is their quotient.

    >>> is_correct("gsm", "$1,234.00 a year", "# 1234"), is_correct("crux", "'ab'", "ab")
    (True, True)
    """
    if answer is None:
        return False
    if task == "crux":
        return answer.strip("'\"").replace("\n", "\\n") == truth.strip("'\"")
    number = _first_number(answer)
    return number is not None and number == _first_number(truth.replace("#", ""))


def _first_number(text: str) -> float | None:
    plain = text.replace("$", "").replace(",", "").strip()
    fraction = _FRACTION.fullmatch(plain)
    if fraction and float(fraction[2]):
        return float(fraction[1]) / float(fraction[2])
    number = _NUMBER.search(plain)
    return float(number.group()) if number and math.isfinite(float(number.group())) else None
