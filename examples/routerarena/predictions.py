"""Enter RouterArena: its prompts for `equirouter batch`, and the decisions as the arena's file.

    python predictions.py prompts      # dataset/router_data.json -> prompts.jsonl
    equirouter batch pipelines/mine prompts.jsonl decided --column prompt
    python predictions.py predictions  # decided -> router_inference/predictions/mine.json

Run it in a clone of https://github.com/RouteWorks/RouterArena (as it was in November 2025).
"""

import json
import sys
from pathlib import Path

UNKNOWN = {"generated_result": None, "cost": None, "accuracy": None}
"""What the arena fills in when it asks the models."""


def write_prompts() -> None:
    """What is asked, a line each."""
    entries = json.loads(Path("dataset/router_data.json").read_text("utf-8"))
    with Path("prompts.jsonl").open("w", encoding="utf-8") as lines:
        for entry in entries:
            prompt = entry.get("prompt_formatted") or entry["prompt"]
            print(json.dumps({"global index": entry["global index"], "prompt": prompt}), file=lines)


def write_predictions() -> None:
    """The chosen model of each prompt, in the arena's form."""
    predictions = []
    for part in sorted(Path("decided").glob("part-*.jsonl")):
        for row in map(json.loads, part.read_text("utf-8").splitlines()):
            asked = {name: row[name] for name in ("global index", "prompt")}
            predictions.append(asked | {"prediction": row["model"]} | UNKNOWN)
    text = json.dumps(predictions, ensure_ascii=False, indent=2)
    Path("router_inference/predictions/mine.json").write_text(text, "utf-8")


if __name__ == "__main__":
    {"prompts": write_prompts, "predictions": write_predictions}[sys.argv[1]]()
