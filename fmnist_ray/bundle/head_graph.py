"""One graph for both heads: the SVM's nodes behind the network's features."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fmnist_ray.bundle.runtimes import SVM_SCORES
from fmnist_ray.heads.svm import SvmHead

SVM_NODES = "svm/"
"""What every name that is added starts with, so that a head can be taken off again."""


def join_head(graph: bytes, head: SvmHead) -> bytes:
    """The ONNX graph with a third output `svm_scores` [batch, scores]; a head that it had is replaced."""
    model = onnx.load_from_string(without_head(graph))
    nodes, arrays = _kernel_nodes(head) if len(head.centres) else _linear_nodes(head)
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(array, np.float32), SVM_NODES + name)
        for name, array in arrays.items()
    )
    output = helper.make_tensor_value_info(SVM_SCORES, TensorProto.FLOAT, ["batch", head.num_scores])
    model.graph.output.append(output)
    onnx.checker.check_model(model)
    joined: bytes = model.SerializeToString()
    return joined


def without_head(graph: bytes) -> bytes:
    """The graph of the network alone."""
    model = onnx.load_from_string(graph)
    for entries, name_of in (
        (model.graph.node, lambda node: node.name),
        (model.graph.initializer, lambda array: array.name),
        (model.graph.output, lambda output: SVM_NODES if output.name == SVM_SCORES else ""),
    ):
        kept = [entry for entry in entries if not name_of(entry).startswith(SVM_NODES)]
        del entries[:]
        entries.extend(kept)
    bare: bytes = model.SerializeToString()
    return bare


def _linear_nodes(head: SvmHead) -> tuple[list[Any], dict[str, np.ndarray]]:
    """The standardisation is worked into the weights: one product."""
    scale = head.scale.astype(np.float64)
    weights = head.weights / scale[:, None]
    arrays = {"weights": weights, "intercept": head.intercept - head.mean @ weights}
    return [_node("MatMul", "features", "weights", to="weighed"), _node("Add", "weighed", "intercept", to=None)], arrays


def _kernel_nodes(head: SvmHead) -> tuple[list[Any], dict[str, np.ndarray]]:
    """exp(2 gamma z c - gamma |c|^2 - gamma |z|^2), weighed."""
    gamma, centres = float(head.gamma[0]), head.centres.astype(np.float64)
    arrays = {
        "mean": head.mean,
        "inverse_scale": 1 / head.scale.astype(np.float64),
        "centres": 2 * gamma * centres.T,
        "centre_norms": -gamma * (centres**2).sum(axis=1),
        "minus_gamma": np.full(len(head.mean), -gamma)[:, None],
        "weights": head.weights,
        "intercept": head.intercept,
    }
    nodes = [
        _node("Sub", "features", "mean", to="centred"),
        _node("Mul", "centred", "inverse_scale", to="z"),
        _node("MatMul", "z", "centres", to="products"),
        _node("Add", "products", "centre_norms", to="partial"),
        _node("Mul", "z", "z", to="squares"),
        _node("MatMul", "squares", "minus_gamma", to="norms"),
        _node("Add", "partial", "norms", to="exponents"),
        _node("Exp", "exponents", to="kernel"),
        _node("MatMul", "kernel", "weights", to="weighed"),
        _node("Add", "weighed", "intercept", to=None),
    ]
    return nodes, arrays


def _node(kind: str, *inputs: str, to: str | None) -> Any:
    """A node between tensors of the head; its first input may be the network's features, and `to` None the output."""
    names = [name if name == "features" else SVM_NODES + name for name in inputs]
    output = SVM_SCORES if to is None else SVM_NODES + to
    return helper.make_node(kind, names, [output], name=f"{SVM_NODES}{kind}-{to or SVM_SCORES}")
