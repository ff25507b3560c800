"""RouterBench: 36,497 queries of 86 tasks, what 11 models scored on each, and what it cost.

Source: Hu et al., "RouterBench: A Benchmark for Multi-LLM Routing System", 2024, arXiv:2403.12031;
data at https://huggingface.co/datasets/withmartian/routerbench.
"""

from pathlib import Path
from typing import ClassVar

from equirouter.answers import make_extractor
from equirouter.data.outcomes import Outcomes
from equirouter.data.sources.by_name import with_note_on_missing
from equirouter.data.sources.hub import HubFile, fetch
from equirouter.data.tables import read_table
from equirouter.progress import Progress, silent

_REPO = "withmartian/routerbench"
_COMMIT = "784021482c3f320c6619ed4b3bb3b41a21424fcb"  # of 27 March 2024
# The digests of the wide files are those that several published analyses of them state. For the raw
# file none was found: its digest is recorded when it is first downloaded, and checked from then on.
_SHA256_0SHOT = "ba4f77f19517610a707c374e99322d7750c30fc4ae7ff5527888595a1e65d36d"
_SHA256_5SHOT = "fbd7d3d16fba2759a18fa0ad44409d3e0e92ba80d03d90827eed1a6d084c9ffe"


class _RouterBench:
    """One file of RouterBench, from the hub or from a copy of it."""

    name: ClassVar[str]
    description: ClassVar[str]
    files: ClassVar[tuple[HubFile]]

    def __init__(self, *, answers_by: str | None = None) -> None:
        """answers_by: the extractor that reads answers out of the responses, see read_table."""
        self.answers_by = None if answers_by is None else make_extractor(answers_by).spec

    def load(self, path: Path | None = None, *, progress: Progress = silent) -> Outcomes:
        """The outcomes table, from the hub or from path: the pickle, or it as parquet or CSV.

        path may be the folder that holds the pickle. Rows with missing values stay, as NaN.
        Raises DataError for a file that is not such a table, DownloadError when it cannot be had.
        """
        (file,) = self.files
        if path is None:
            path = fetch(file, progress=progress)
        elif path.is_dir():
            path = path / file.filename
        progress(f"read {path.name}", 0, 1)
        outcomes = read_table(path, name=self.name, answers_by=self.answers_by)
        progress(f"read {path.name}", 1, 1)
        return with_note_on_missing(outcomes)


class RouterBench5Shot(_RouterBench):
    """Prompts with five worked examples before the question: the file behind the paper's Table 1.

    Table 1's peak score of about 0.80 points to it: GPT-4 has 0.78 on the 0-shot file.
    """

    name = "routerbench-5shot"
    description = "RouterBench, five examples in each prompt: 36,511 rows, 11 models, 163 MB"
    files = (HubFile(_REPO, "routerbench_5shot.pkl", _COMMIT, _SHA256_5SHOT),)


class RouterBench0Shot(_RouterBench):
    """Prompts with the question alone."""

    name = "routerbench-0shot"
    description = "RouterBench, the question alone: 36,497 rows, 11 models, 95 MB"
    files = (HubFile(_REPO, "routerbench_0shot.pkl", _COMMIT, _SHA256_0SHOT),)


class RouterBenchRaw(_RouterBench):
    """The 5-shot data as published first: one row per query and model, with the answers."""

    name = "routerbench-raw"
    description = "RouterBench, the 5-shot data with all answers: 401,467 rows, 11 models, 1.1 GB"
    files = (HubFile(_REPO, "routerbench_raw.pkl", _COMMIT),)
