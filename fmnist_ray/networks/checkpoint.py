"""The state of a training run as one safetensors file: arrays, and a JSON record in its header. No pickle anywhere."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from fmnist_ray.errors import SettingError

_RECORD = "record"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainState:
    """Everything that the next epoch needs. Random numbers are drawn anew from seed and epoch."""

    tensors: dict[str, Tensor]
    """Weights and optimiser state, by dotted names."""
    record: dict[str, Any]
    """Architecture, settings' digest, finished epochs, history, best metric."""

    def to_bytes(self) -> bytes:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}
        return safetensors.torch.save(tensors, metadata={_RECORD: json.dumps(self.record)})

    @classmethod
    def from_bytes(cls, data: bytes) -> TrainState:
        """Raises `SettingError` for bytes that are no checkpoint."""
        try:
            tensors = safetensors.torch.load(data)
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            return cls(tensors=tensors, record=json.loads(header["__metadata__"][_RECORD]))
        except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
            raise SettingError(f"This is not a training checkpoint: {error!r}.") from error


def final_weights(state: TrainState) -> dict[str, Tensor]:
    """The weights that a finished run keeps: the best epoch's, else the averaged, else the raw ones."""
    for name in ("best", "averaged", "network"):
        if weights := part(state.tensors, name):
            return weights
    raise SettingError("The checkpoint holds no weights.")


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors below `prefix.`, without it."""
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}


def prefixed(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The inverse of `part`."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State of an optimiser, named by the position of the weight it belongs to."""
    state = optimiser.state_dict()["state"]
    return {
        f"{position}.{name}": torch.as_tensor(value)
        for position, values in state.items()
        for name, value in values.items()
        if value is not None
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of `optimiser_tensors`, on an optimiser made with the same settings."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        position, _, key = name.partition(".")
        state.setdefault(int(position), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
