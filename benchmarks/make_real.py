"""Make the embedded real outcomes from a clone of ZeroEval.

    git clone --depth 1 https://github.com/WildEval/ZeroEval
    python benchmarks/make_real.py ZeroEval

Writes src/equirouter/data/sources/real.npz and prints its SHA-256, which belongs into real.py
beside it. Of the texts only what `pack` of the encoders lexical and minilm makes of them is
written: hashed counts, from which no text can be read back in order, and embeddings as float16.
Needed again when the grader, an encoder or its default settings change.
"""

import sys
from pathlib import Path

from equirouter.data.sources.real import FILE, write_real
from equirouter.data.sources.zeroeval import ZeroEval
from equirouter.encoders import make_encoder

ENCODERS = ("lexical", "minilm")


def main(clone: Path) -> None:
    """Read, pack and write."""
    table = ZeroEval().load(clone)
    encoders = [make_encoder(name) for name in ENCODERS]
    packed = {encoder.fingerprint: encoder.pack(table.texts) for encoder in encoders}
    digest = write_real(table, packed)
    print(f"{FILE}: {FILE.stat().st_size:,} bytes, SHA-256 {digest}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
