"""MATH-Vision: questions of mathematics about pictures, and which models answered them right.

Source: Wang et al., "Measuring Multimodal Mathematical Reasoning with MATH-Vision Dataset", 2024,
arXiv:2402.14804; data: https://github.com/mathllm/MATH-V (MIT), the folders data, images and
outputs. Read at commit a1f5cc3add200c0cd080fad463e500f44ef1fb41.
"""

from pathlib import Path

from equirouter.cost.prices import estimated_tokens
from equirouter.data.outcomes import Outcomes
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

_REPOSITORY = "https://github.com/mathllm/MATH-V"
_IMAGE_TOKENS = 576  # of every picture and model, as LLaVA-1.5 has: the files do not say
_BLIND = ("Text Only", "Caption", "Random-Chance")  # files of models that were given no picture


class MathVision:
    """MATH-Vision, from a clone of its repository."""

    name = "mathv"
    description = "MATH-Vision: 3,040 questions about pictures, 13 models, from a clone"

    def load(self, path: Path | None = None, *, progress: Progress = silent) -> Outcomes:
        """The outcomes table of a clone: every priced model that was shown the pictures.

        Performance is `correct` of the files, 1 or 0. Tasks are the subjects. Raises DataError.
        """
        clone = clone_at(path, self.name, _REPOSITORY, "outputs")
        questions = _questions(clone)
        files = {
            file.stem: file
            for file in sorted((clone / "outputs").rglob("*.jsonl"))
            if not any(word in file.stem for word in _BLIND)
        }
        answers = read_each(files, _answers, questions, progress)
        return priced_outcomes(
            self.name,
            questions,
            answers,
            price_names={model: model.removesuffix("-CoT") for model in answers},
            notes=(f"a picture is taken as {_IMAGE_TOKENS} tokens",),
            image_root=clone.absolute(),
        )


def _questions(clone: Path) -> dict[str, CloneQuery]:
    path = clone / "data" / "test.jsonl"
    if not path.is_file():
        raise DataError(f"{path}: the file of the questions is not there")
    questions: dict[str, CloneQuery] = {}
    missing: list[str] = []
    for number, row in enumerate(read_rows(path), start=1):
        image = field(path, number, row, "image", str)
        options = field(path, number, row, "options", list)
        text = field(path, number, row, "question", str)
        if any(option not in list("ABCDE") for option in options):  # else they are in the picture
            text = "\n".join([text, *(f"({chr(65 + i)}) {o}" for i, o in enumerate(options))])
        name = field(path, number, row, "id", str)
        questions[name] = CloneQuery(text, field(path, number, row, "subject", str), image)
        if not (clone / image).is_file():
            missing.append(image)
    if missing:
        raise DataError(
            f"{clone}: {len(missing)} of {len(questions)} pictures are missing, first {missing[0]}"
        )
    return questions


def _answers(path: Path, questions: dict[str, CloneQuery]) -> dict[str, CloneAnswer]:
    answers: dict[str, CloneAnswer] = {}
    for number, row in enumerate(read_rows(path), start=1):
        name = field(path, number, row, "id", str)
        if name not in questions or name in answers:
            what = "occurs twice" if name in answers else "is not among the questions"
            raise DataError(f"{path}: row {number}: id {name!r} {what}")
        answers[name] = CloneAnswer(
            float(field(path, number, row, "correct", bool)),
            estimated_tokens(questions[name].text) + _IMAGE_TOKENS,
            estimated_tokens(field(path, number, row, "response", str)),
        )
    return answers
