"""Seconds from typing `equirouter --help` to its end, as a whole process: median of several.

python benchmarks/bench_startup.py [runs]
"""

import subprocess
import sys
from statistics import median
from time import perf_counter

TARGET_SECONDS = 0.3
COMMANDS = (["--help"], ["bench", "--help"])


def seconds(arguments: list[str]) -> float:
    start = perf_counter()
    subprocess.run(
        [sys.executable, "-m", "equirouter", *arguments], stdout=subprocess.DEVNULL, check=True
    )
    return perf_counter() - start


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for arguments in COMMANDS:
        seconds(arguments)  # once without counting: the first run compiles and fills the disk cache
        taken = [seconds(arguments) for _ in range(runs)]
        shown = " ".join(["equirouter", *arguments])
        target = f", target {TARGET_SECONDS} s" if arguments == ["--help"] else ""
        print(
            f"{shown:24} {median(taken):.2f} s median of {runs}, "
            f"{min(taken):.2f} to {max(taken):.2f}{target}"
        )


if __name__ == "__main__":
    main()
