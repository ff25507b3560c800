"""Saved pipelines changed by hand, with digests that are right: as somebody else would write them.

Written here a second time, from docs/files.md and not from the code.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file, save


def change_description(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Alter pipeline.json in place and end it with the digest that it must have."""
    path = folder / "pipeline.json"
    document = json.loads(path.read_text("utf-8"))
    del document["sha256"]
    change(document)
    text = json.dumps(document, indent=2).removesuffix("\n}")
    digest = hashlib.sha256(text.encode()).hexdigest()
    path.write_bytes(f'{text},\n  "sha256": "{digest}"\n}}\n'.encode())


def change_arrays(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Alter weights.safetensors in place, and the digest in pipeline.json."""
    path = folder / "weights.safetensors"
    arrays = load_file(path)
    change(arrays)
    content = save(arrays)
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    change_description(folder, lambda document: document.update(weights_sha256=digest))
