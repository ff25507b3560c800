"""Models with random weights, some kilobytes each, and pictures, made without a network.

Everything heavy is imported inside, so that tests can skip where the packages are missing.
"""

import string
from importlib import import_module
from pathlib import Path
from typing import Any

WIDTH = 32
MAX_TOKENS = 64
CLIP_WIDTH = 24
CLIP_SIZE = 32

_LETTERS = string.ascii_letters + string.digits + string.punctuation
_VOCABULARY = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *_LETTERS,
    *(f"##{letter}" for letter in _LETTERS),
    *"水为什么会结冰？",
]


def tiny_bert(folder: Path, *, seed: int = 0) -> Path:
    """Mean over the tokens of two layers of BERT; it has a prompt named query, not the default."""
    transformers = import_module("transformers")
    import_module("torch").manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=len(_VOCABULARY),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=MAX_TOKENS,
        initializer_range=0.5,
    )
    return _save(folder, transformers.BertModel(config), pooling="mean")


def tiny_qwen(folder: Path) -> Path:
    """The last token of two layers of Qwen3, padded on the left, with weights in 16 bits."""
    transformers = import_module("transformers")
    import_module("torch").manual_seed(0)
    config = transformers.Qwen3Config(
        vocab_size=len(_VOCABULARY),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=64,
        max_position_embeddings=MAX_TOKENS,
        initializer_range=0.5,
    )
    model = transformers.Qwen3Model(config).bfloat16()
    return _save(folder, model, pooling="lasttoken", padding_side="left")


def tiny_clip(folder: Path, *, seed: int = 0, **image_processor: Any) -> Path:
    """CLIP of two layers per tower in the layout of the hub; it reads letters one by one."""
    transformers = import_module("transformers")
    processing = import_module("transformers.models.clip.image_processing_pil_clip")
    import_module("torch").manual_seed(seed)
    symbols = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256))]
    symbols += [chr(256 + i) for i in range(256 - len(symbols))]  # one for each byte
    tokens = [
        *symbols,
        *(f"{symbol}</w>" for symbol in symbols),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    layers = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4}
    layers |= {"intermediate_size": 64}
    ends = {"bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513}
    config = transformers.CLIPConfig(
        text_config={**layers, **ends, "vocab_size": len(tokens), "max_position_embeddings": 77},
        vision_config={**layers, "image_size": CLIP_SIZE, "patch_size": 8},
        projection_dim=CLIP_WIDTH,
        initializer_factor=4.0,
    )
    square = {"height": CLIP_SIZE, "width": CLIP_SIZE}
    options = {"size": {"shortest_edge": CLIP_SIZE}, "crop_size": square, **image_processor}
    processor = transformers.CLIPProcessor(
        image_processor=processing.CLIPImageProcessorPil(**options),
        tokenizer=transformers.CLIPTokenizer(
            vocab={token: i for i, token in enumerate(tokens)}, merges=[]
        ),
    )
    transformers.CLIPModel(config).eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def write_picture(path: Path, seed: int, size: tuple[int, int] = (50, 40)) -> str:
    """Noise in blocks, as PNG."""
    import numpy as np
    from PIL import Image

    blocks = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).save(path)
    return str(path)


def _save(folder: Path, model: Any, *, pooling: str, padding_side: str = "right") -> Path:
    library = import_module("sentence_transformers")
    kinds = import_module("sentence_transformers.sentence_transformer.modules")
    parts = folder.with_name(f"{folder.name}-parts")
    model.save_pretrained(parts)
    _tokenizer(padding_side).save_pretrained(parts)
    transformer = kinds.Transformer(str(parts), max_seq_length=MAX_TOKENS)
    modules = [transformer, kinds.Pooling(WIDTH, pooling)]
    whole = library.SentenceTransformer(modules=modules, device="cpu", prompts={"query": "find: "})
    whole.save(str(folder), create_model_card=False)
    return folder


def _tokenizer(padding_side: str) -> Any:
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers.models import WordPiece

    ids = {token: i for i, token in enumerate(_VOCABULARY)}
    tokenizer = Tokenizer(WordPiece(ids, unk_token="[UNK]"))  # noqa: S106  # no password
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"])
    )
    special = {
        f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")
    }
    return import_module("transformers").PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, padding_side=padding_side, **special
    )
