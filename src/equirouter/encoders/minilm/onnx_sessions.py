"""Runs windows through a model file on ONNX Runtime: token ids in, one vector per window out.

There is no padding, so nothing has to be masked; windows of one length may be run together. On the
processor a window's vector is the same to the last bit whatever is run with it and on how many
threads: our own graph (graph.py) sees to that, and of a model from elsewhere each window is run
alone. Several runs share the cores by one Python thread each, which waits for nobody: ONNX Runtime
holds no lock of Python while it computes. On a GPU the last bits depend on how many windows there
are in a run.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, redirect_stdout
from functools import cached_property, partial
from itertools import groupby, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from equirouter.arrays import Float32Array
from equirouter.encoders.minilm.graph import HIDDEN
from equirouter.errors import ConfigError, DataError
from equirouter.processes import usable_cores

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Device: TypeAlias = Literal["cpu", "cuda", "auto"]
DEVICES: tuple[Device, ...] = get_args(Device)

_AT_ONCE = 64
"""Runs handed to the threads together; an interrupted one still finishes them."""

SHORT_TOKENS = 64
"""With its ends; some 1.5 ms on one thread."""

TOKENS_TOGETHER = 128
"""In the windows that a processor takes together: five of 22 tokens take a fifth less than one
after the other; beyond this the processor's cache is too small."""

TOKENS_ON_GPU = 2**14
"""In the windows that a GPU takes together: 64 of the longest, whose attention is 200 MB."""

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

_KNOWN_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}


class WindowSession:
    """A model of one embedding per window, or of one vector per token, whose mean is taken.

    graph: an ONNX file with the inputs input_ids and, if it has them, attention_mask and
    token_type_ids, all (B, S) int64. own: whether it is from graph.py. threads: 1 or more; None
    takes one per physical core for a long window alone, and one per usable core for many. device:
    see open_session. Raises DataError for a model of another form, ConfigError for a GPU that
    cannot be used.

    A short window is run on one thread, and so is each of several: to share one out costs more
    processor time than it saves. For a long one that is alone the model is opened once more.
    """

    def __init__(
        self,
        graph: Path,
        *,
        own: bool = False,
        threads: int | None = None,
        device: Device = "cpu",
    ) -> None:
        self._graph, self._threads = graph, threads
        self._session = open_session(graph, 1, device)
        self._inputs = [node.name for node in self._session.get_inputs()]
        is_on_gpu = _CUDA in self._session.get_providers()
        self._workers = 1 if is_on_gpu else threads or usable_cores()
        self._together = TOKENS_ON_GPU if is_on_gpu else TOKENS_TOGETHER if own else 0
        self._check(graph)

    def run(
        self, windows: Sequence[Sequence[int]], done: Callable[[int], None] | None = None
    ) -> Float32Array:
        """(n, 384) vectors of length 1, one per window of token ids with its special tokens.

        done: told how many windows are finished, from one to all of them. Long ones come first, so
        that the time shown as remaining is not too short.
        """
        vectors = np.empty((len(windows), HIDDEN), dtype=np.float32)
        order = sorted(range(len(windows)), key=lambda i: -len(windows[i]))
        longest_first = self._in_order([windows[i] for i in order])
        for n, (i, vector) in enumerate(zip(order, longest_first, strict=True), start=1):
            vectors[i] = vector
            if done is not None:
                done(n)
        return vectors

    def _in_order(self, windows: Sequence[Sequence[int]]) -> Iterator[Float32Array]:
        runs = list(self._runs(windows))
        n_workers = min(self._workers, len(runs))
        if n_workers <= 1:
            for run in runs:
                is_long = len(windows) == 1 and len(run[0]) > SHORT_TOKENS
                yield from self._run(run, self._wide if is_long else self._session)
            return
        with ExitStack() as stack:
            pool = ThreadPoolExecutor(n_workers, thread_name_prefix="equirouter-encode")
            stack.callback(pool.shutdown, cancel_futures=True)
            for start in range(0, len(runs), _AT_ONCE):
                block = runs[start : start + _AT_ONCE]
                for vectors in pool.map(self._run, block, repeat(self._session)):
                    yield from vectors

    def _runs(self, windows: Sequence[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
        """Those that run together, of one length each: no more than leaves work for all threads."""
        share = -(-len(windows) // self._workers)
        for length, group in groupby(windows, key=len):
            same, size = list(group), max(1, min(share, self._together // length))
            for start in range(0, len(same), size):
                yield same[start : start + size]

    @cached_property
    def _wide(self) -> "InferenceSession":
        """For one window on several threads."""
        return self._session if self._workers == 1 else open_session(self._graph, self._threads)

    def _run(
        self, windows: Sequence[Sequence[int]], session: "InferenceSession"
    ) -> list[Float32Array]:
        """(384,) of each of some windows of one length."""
        ids = np.array(windows, dtype=np.int64)
        feed = {
            name: ids if name == "input_ids" else np.full_like(ids, name == "attention_mask")
            for name in self._inputs
        }
        output = np.asarray(session.run(None, feed)[0], dtype=np.float32)
        return [vector if vector.ndim == 1 else _pool(vector) for vector in output]

    def _check(self, graph: Path) -> None:
        output = self._session.get_outputs()[0]
        width = output.shape[-1] if output.shape else None
        inputs = set(self._inputs)
        if not {"input_ids"} <= inputs <= _KNOWN_INPUTS or width not in (HIDDEN, None):
            raise DataError(
                f"{graph}: inputs {sorted(inputs)} and an output {output.name!r} of shape "
                f"{output.shape}; all-MiniLM-L6-v2 has {sorted(_KNOWN_INPUTS)} and {HIDDEN} "
                "numbers per token"
            )


def open_session(
    graph: Path | bytes, threads: int | None = None, device: Device = "cpu"
) -> "InferenceSession":
    """A file or the bytes of a graph on ONNX Runtime, on so many threads.

    device: "cpu"; "cuda", an NVIDIA GPU; "auto", one where it can be used, else the processor.
    Raises ConfigError for "cuda" where it cannot.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0  # 0: one per physical core
    options.inter_op_num_threads = 1  # the graph is a chain: nothing runs beside anything
    # spinning saves 15 % on idle cores, but beside other work it takes twice the processor
    # time and two to three times as long (docs/encoders.md)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    opened = partial(
        onnxruntime.InferenceSession,
        graph if isinstance(graph, bytes) else str(graph),
        options,
        # the fused operator takes four times as long as the two that it replaces
        disabled_optimizers=["SkipLayerNormFusion"],
        enable_fallback=0,  # to the processor, told on stdout
    )
    try:
        return opened(providers=[_CPU]) if device == "cpu" else _on_gpu(opened)
    except ConfigError:
        if device == "cuda":
            raise
        return opened(providers=[_CPU])


def _on_gpu(opened: "Callable[..., InferenceSession]") -> "InferenceSession":
    """A session on the GPU. Raises ConfigError that says what is in the way."""
    import onnxruntime

    if _CUDA not in onnxruntime.get_available_providers():
        raise ConfigError(
            "device 'cuda': the ONNX Runtime installed here computes on the processor only. "
            "`pip uninstall onnxruntime`, then `pip install 'onnxruntime-gpu[cuda,cudnn]'`, or use "
            "device cpu or auto"
        )
    if hasattr(onnxruntime, "preload_dlls"):  # CUDA from packages of PyPI; from 1.21 on
        with redirect_stdout(sys.stderr):  # stdout is for results
            onnxruntime.preload_dlls()
    reason = "CUDA and cuDNN were not found"
    try:
        # TF32 would leave ten bits of a number
        session = opened(providers=[(_CUDA, {"use_tf32": "0"}), _CPU])
        if _CUDA in session.get_providers():
            return session
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
    raise ConfigError(
        f"device 'cuda': ONNX Runtime cannot use a GPU here ({reason}); check that `nvidia-smi` "
        "lists one, `pip install 'onnxruntime-gpu[cuda,cudnn]'`, or use device cpu or auto"
    )


def _pool(tokens: Float32Array) -> Float32Array:
    """(S, 384) token vectors to their mean, (384,), at length 1."""
    total = tokens.sum(axis=0)
    return np.asarray(total / np.linalg.norm(total), dtype=np.float32)
