"""A bundle's graph in 8 bits: weights per output channel, activations by their range on real images.

Post-training quantisation by ONNX Runtime's tools (Jacob et al., arXiv 1712.05877). Convolutions and dense layers are
quantised; preparation, additions, and the nodes of an SVM stay in 32 bits.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from fmnist_ray.bundle.head_graph import SVM_NODES
from fmnist_ray.errors import SettingError

_OPERATORS = ["Conv", "Gemm", "MatMul"]
_BATCH = 50


def quantised(graph: bytes, pixels: NDArray[np.uint8]) -> bytes:
    """The ONNX graph with 8-bit convolutions and dense layers, their ranges those of `pixels` uint8 [N, channels, size,
    size]: some hundred images like those to come. `SettingError` without the extra."""
    tools, prepare = _library()
    with tempfile.TemporaryDirectory() as folder, _quiet():
        given, folded, written = (Path(folder) / f"{name}.onnx" for name in ("given", "folded", "written"))
        given.write_bytes(graph)
        prepare(str(given), str(folded), skip_symbolic_shape=True)
        names = [node.name for node in onnx.load(folded).graph.node]
        tools.quantize_static(
            str(folded),
            str(written),
            _Images(pixels),
            quant_format=tools.QuantFormat.QDQ,
            op_types_to_quantize=_OPERATORS,
            nodes_to_exclude=[name for name in names if name.startswith(SVM_NODES)],
            per_channel=True,
            activation_type=tools.QuantType.QInt8,
            weight_type=tools.QuantType.QInt8,
        )
        return written.read_bytes()


class _Images:
    """Batches of images as ONNX Runtime's calibration asks for them."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._starts = iter(range(0, len(pixels), _BATCH))
        self._pixels = pixels

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """The next batch; None after the last."""
        start = next(self._starts, None)
        return None if start is None else {"pixels": self._pixels[start : start + _BATCH]}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice that the tools log for those who skipped a step."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _library() -> tuple[Any, Any]:
    """ONNX Runtime's quantisation, and what folds and names a graph's nodes before it."""
    try:
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise SettingError("bundle compress needs the extra: pip install 'fmnist-ray[compress]'.") from error
    return quantization, quant_pre_process
