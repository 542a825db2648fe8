"""What runs a bundle's network: OpenVINO on CPUs, without torch in the process, and torch on GPUs.

Both score blocks of few fixed sizes, the last one padded, so that a row's scores do not depend on its neighbours.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fmnist_ray.bundle.format import GRAPH, WEIGHTS, BundleSpec
from fmnist_ray.config.classify import Precision, Runtime
from fmnist_ray.errors import BundleError, ClusterError, SettingError
from fmnist_ray.heads.svm import SvmHead

if TYPE_CHECKING:
    from fmnist_ray.networks.network import Network

_CPU_BLOCKS = (16, 8, 4, 2)
"""Rows that are scored together: as many as fit, then what is left in smaller blocks. 16 is within 4 % of the fastest
size for a plain and a residual CNN, in f32 and bf16, and the others give the same bits (tried with nine architectures);
one row by itself does not, since oneDNN multiplies a vector otherwise than a matrix."""
_GPU_BLOCKS = (512,)
SVM_SCORES = "svm_scores"
"""Output of the graph of a bundle with an SVM."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What the network says of N images."""

    logits: np.ndarray
    """float32 [N, labels]"""
    features: np.ndarray
    """float32 [N, width]: the layer before the logits, or the one that was asked for"""
    svm: np.ndarray | None
    """float32 [N, scores] of the bundle's SVM, where it has one"""


class Scorer(Protocol):
    """A loaded network."""

    def score(self, pixels: np.ndarray) -> Scores:
        """Scores of `pixels` uint8 [N, channels, size, size], for any N."""


def choose_runtime() -> Runtime:
    """`gpu` where this machine has a CUDA device, else `cpu`. Imports torch only where there is an NVIDIA driver."""
    if shutil.which("nvidia-smi") is None:
        return "cpu"
    import torch

    return "gpu" if torch.cuda.is_available() else "cpu"


def check_precision(precision: Precision, capabilities: Sequence[str]) -> None:
    """Refuse what OpenVINO would silently compute in another precision, as `capabilities` of the processor tell."""
    if precision == "bf16" and "BF16" not in capabilities:
        raise ClusterError(
            "Precision bf16 was asked for, but this machine's processor can't compute in it: use --precision f32, "
            "or machines with AVX512_BF16 or AMX."
        )


class OpenVinoRuntime:
    """The bundle's ONNX graph on CPU threads. Its input is `pixels` uint8 [batch, channels, size, size], its outputs
    are `logits`, `features` and, with an SVM, `svm_scores`. Safe to use from several threads.

    `layer` names a tensor of the graph to give in place of `features`; `SettingError` lists them where it is none.
    """

    def __init__(self, graph: bytes, *, precision: Precision, num_threads: int, layer: str | None = None) -> None:
        openvino = _import_openvino()
        core = openvino.Core()
        check_precision(precision, core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        try:
            model = core.read_model(graph)
            if layer is not None:
                _add_output(model, layer)
            scores = [name for output in model.outputs for name in output.get_names() if name == SVM_SCORES]
            self._outputs = ["logits", layer or "features", *scores]
            for name in self._outputs:
                model.output(name)  # raises where there is none
            self._compile = functools.partial(_compiled, core, model, _cpu_options(precision, num_threads))
            self._models = {_CPU_BLOCKS[0]: self._compile(_CPU_BLOCKS[0])}
        except RuntimeError as error:
            raise BundleError(f"{GRAPH} is no ONNX graph from pixels to logits and features: train it anew.") from error

    def score(self, pixels: np.ndarray) -> Scores:
        """See `Scorer`."""
        requests: dict[int, Any] = {}

        def score_block(block: np.ndarray) -> list[np.ndarray]:
            size = len(block)
            if size not in requests:
                if size not in self._models:  # only now, since it takes 0.1 s
                    self._models[size] = self._compile(size)
                requests[size] = self._models[size].create_infer_request()
            results = requests[size].infer([block], share_inputs=True, share_outputs=True)
            return [results[output] for output in self._outputs]

        return _score_blocks(pixels, _CPU_BLOCKS, score_block)


class TorchRuntime:
    """The bundle's network in torch, for CUDA devices."""

    def __init__(
        self, spec: BundleSpec, weights: bytes, *, precision: Precision, device: str, svm: bytes | None = None
    ) -> None:
        import torch

        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ClusterError("The GPU runtime was asked for, but torch finds no CUDA device: use --runtime cpu.")
        self._network = load_network(spec, weights).to(device)
        self._device = torch.device(device)
        self._precision = precision
        self._svm = None if svm is None else _torch_head(svm, self._device)

    def score(self, pixels: np.ndarray) -> Scores:
        """See `Scorer`."""
        import torch

        autocast = torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == "bf16")
        exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)  # f32 means all its bits

        def score_block(block: np.ndarray) -> list[np.ndarray]:
            outputs = list(self._network(torch.from_numpy(block).to(self._device)))
            if self._svm is not None:
                outputs.append(self._svm(outputs[1].float()))
            return [output.float().cpu().numpy() for output in outputs]

        with torch.inference_mode(), exact, autocast:
            return _score_blocks(pixels, _GPU_BLOCKS, score_block)


def _torch_head(data: bytes, device: Any) -> Callable[[Any], Any]:
    """The SVM's scores [N, scores] of features [N, width], in torch."""
    import torch

    arrays = dataclasses.asdict(SvmHead.from_bytes(data))
    head = {name: torch.from_numpy(array.copy()).to(device) for name, array in arrays.items()}

    def scores(features: Any) -> Any:
        inputs = (features - head["mean"]) / head["scale"]
        if len(head["centres"]):
            products = inputs @ head["centres"].T
            squared = (inputs**2).sum(1, keepdim=True) + (head["centres"] ** 2).sum(1) - 2 * products
            inputs = torch.exp(-head["gamma"] * squared)
        return inputs @ head["weights"] + head["intercept"]

    return scores


def _add_output(model: Any, layer: str) -> None:
    try:
        model.add_outputs(layer)
    except RuntimeError as error:
        tensors = (output for node in model.get_ordered_ops() for output in node.outputs())
        floats = {name for output in tensors if _per_image(output) for name in output.get_names()}
        raise SettingError(f"{GRAPH} has no layer {layer!r}; it has {', '.join(sorted(floats))}.") from error


def _per_image(output: Any) -> bool:
    """Whether a tensor has one entry for each image."""
    shape = output.get_partial_shape()
    return bool(shape.rank.is_static and shape.rank.get_length() > 1 and shape[0].is_dynamic)


def load_network(spec: BundleSpec, weights: bytes) -> Network:
    """The bundle's network in torch, on the CPU, in evaluation mode."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    from fmnist_ray.networks.architectures import build_network

    size, channels = spec.preparation.size, spec.preparation.channels
    network = build_network(
        spec.architecture, num_labels=len(spec.labels), channels=channels, size=size, **spec.architecture_args
    )
    try:
        network.load_state_dict(load(weights))
    except (SafetensorError, RuntimeError) as error:
        raise BundleError(f"{WEIGHTS} does not hold the weights of {spec.architecture}: train it anew.") from error
    return network.eval()


def _import_openvino() -> Any:
    """OpenVINO with its telemetry package hidden: it would write to the home folder and call out."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None makes its import fail, cleanly
    import openvino

    return openvino


def _cpu_options(precision: Precision, num_threads: int) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": precision,
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": num_threads,
        "ENABLE_CPU_PINNING": False,  # several workers on one machine would all be pinned to its first cores
    }


def _compiled(core: Any, model: Any, options: dict[str, Any], num_rows: int) -> Any:
    """The model for blocks of `num_rows`."""
    sized = model.clone()
    shape = sized.input("pixels").partial_shape
    shape[0] = num_rows
    sized.reshape({"pixels": shape})
    return core.compile_model(sized, "CPU", options)


def _score_blocks(
    pixels: np.ndarray, sizes: Sequence[int], score_block: Callable[[np.ndarray], list[np.ndarray]]
) -> Scores:
    """Score in blocks of the given sizes, the largest first; rows that fill not even the smallest are filled up."""
    num_rows = len(pixels)
    scored: list[list[np.ndarray]] = []
    start = 0
    while start < max(num_rows, 1):
        size = next((size for size in sizes if size <= num_rows - start), sizes[-1])
        block = np.ascontiguousarray(pixels[start : start + size])
        start += size
        num_missing = size - len(block)
        if num_missing:
            block = np.concatenate([block, np.zeros((num_missing, *pixels.shape[1:]), np.uint8)])
        scored.append([np.array(output, np.float32) for output in score_block(block)])
    logits, features, *svm = (np.concatenate(parts)[:num_rows] for parts in zip(*scored, strict=True))
    return Scores(logits, features.reshape(num_rows, math.prod(features.shape[1:])), svm[0] if svm else None)
