"""What ships: the default bundle, and the state of its training to go on from."""

from __future__ import annotations

from importlib import resources

import safetensors.torch
import torch

from fmnist_ray.bundle.format import WEIGHTS, read_bundle
from fmnist_ray.networks.checkpoint import TrainState, final_weights
from fmnist_ray.networks.recipes import find_recipe


def test_the_default_bundle_holds_what_its_training_state_ended_with() -> None:
    recipe, shipped = find_recipe("default"), resources.files("fmnist_ray") / "bundles"
    place = shipped / "default-training" / f"{recipe.architecture}-{recipe.digest()}"
    [checkpoint] = [entry for entry in place.iterdir() if entry.name.startswith("checkpoint_20")]
    state = TrainState.from_bytes((checkpoint / "state.safetensors").read_bytes())
    assert state.record["settings"] == recipe.digest()
    assert len(state.record["history"]) == recipe.epochs
    weights, expected = final_weights(state), safetensors.torch.load(read_bundle("default").files[WEIGHTS])
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
