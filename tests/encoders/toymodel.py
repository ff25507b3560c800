"""A model with the interface of all-MiniLM-L6-v2 and a vocabulary of 30 pieces, in a folder."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from equirouter.arrays import Float32Array

WIDTH = 384
PIECES = [
    *("[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *("!", ",", "-", ".", "?", "[", "]", "1", "2", "a", "b", "c", "水"),
    *("the", "cat", "sat", "dog", "ice", "##s", "##er", "##a", "##1", "cats", "iced"),
]


def id_of(piece: str) -> int:
    return PIECES.index(piece)


def toy_vectors() -> Float32Array:
    """(30, 384): what the model says of each piece, whatever is beside it."""
    drawn = np.random.default_rng(0).normal(size=(len(PIECES), WIDTH))
    return np.asarray(drawn, dtype=np.float32)


def toy_tokenizer() -> bytes:
    special = [piece for piece in PIECES if piece[0] == "[" and piece[1:2].isupper()]
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": id_of(token),
                "special": True,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
            }
            for token in special
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {piece: i for i, piece in enumerate(PIECES)},
        },
    }
    return json.dumps(content).encode()


def write_toy_model(folder: Path) -> Path:
    ids, mask, out = "input_ids", "attention_mask", "last_hidden_state"
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", ids], [out])],
        "toy",
        [helper.make_tensor_value_info(n, TensorProto.INT64, ["b", "s"]) for n in (ids, mask)],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, ["b", "s", WIDTH])],
        [numpy_helper.from_array(toy_vectors(), "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "tokenizer.json").write_bytes(toy_tokenizer())
    return folder
