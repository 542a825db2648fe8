"""A trained network as files: an ONNX graph that every runtime reads, and its weights."""

from __future__ import annotations

import warnings

import safetensors.torch
import torch
from torch import Tensor

from fmnist_ray.networks.network import Network

INPUT = "pixels"
OUTPUTS = ("logits", "features")


def export_onnx(network: Network, *, size: int) -> bytes:
    """The graph: `pixels` uint8 [batch, channels, size, size] to `logits` and `features`, batch of any size."""
    network = network.eval().to("cpu").to(memory_format=torch.contiguous_format)
    example = torch.zeros(2, network.channels, size, size, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations, nothing that a user could act on
        program = torch.onnx.export(
            network,
            (example,),
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            optimize=True,
            verbose=False,
        )
    assert program is not None
    graph: bytes = program.model_proto.SerializeToString()
    return graph


def export_weights(network: Network) -> bytes:
    """All weights and buffers as safetensors; `network.load_state_dict(safetensors.torch.load(data))` restores them."""
    tensors: dict[str, Tensor] = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    return safetensors.torch.save(tensors)
