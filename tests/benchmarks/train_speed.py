"""How fast one epoch of training is, beside the loops that one would write, all with the network and augmentation of
`bn_cnn` as its report describes them (Adam, rotation 10, shifts and zoom 0.1; batches of 64 unless it is said).

    uv run python tests/benchmarks/train_speed.py [--repeats 3] [--images 54000] [--keras-python PATH]

- ours: the package's loop in one process; `ours_256` with batches of 256, which the package's own recipe has, and
  `ours_f32` without bf16.
- ray: the same through Ray Train with one worker, for its start-up and the whole command; what it costs an epoch,
  `ray_overhead.py` measures more closely.
- torch: a plain float32 PyTorch loop with per-image torchvision transforms in DataLoader workers.
- keras: Keras with ImageDataGenerator, where PATH is a Python that has TensorFlow.

Every case is a process of its own; they take turns (A B C A B C ...). Run it on a machine that does nothing else: the
load before each run is in the results, which go to `results/train_speed.json` beside this script.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "train_speed.json"
EPOCHS = 2
"""The first one warms up, the last one counts."""


def main() -> None:
    arguments = _arguments()
    if arguments.case:
        _say(json.dumps(CASES[arguments.case](arguments.images)))
        return
    runs: dict[str, list[dict[str, Any]]] = {}
    for _ in range(arguments.repeats):
        for case in (*CASES, *(["keras"] if arguments.keras_python else [])):
            load = os.getloadavg()[0]
            figures = _run(case, arguments)
            runs.setdefault(case, []).append({"load_before": round(load, 2), **figures})
            _say(f"{case}: {figures['images_per_s']:,.0f} images/s (load {load:.1f})")
    medians = {case: statistics.median(run["images_per_s"] for run in found) for case, found in runs.items()}
    ratios = {case: medians["ours"] / speed for case, speed in medians.items()}
    facts = {"processor": platform.processor(), "cpus": os.cpu_count(), "images": arguments.images}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**facts, "medians": medians, "ours_by": ratios, "runs": runs}, indent=2) + "\n")
    for case, speed in medians.items():
        _say(f"{case:10} {speed:8,.0f} images/s   ours is {ratios[case]:.2f} times as fast")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _run(case: str, arguments: argparse.Namespace) -> dict[str, Any]:
    script = [sys.executable, __file__, "--case", case]
    if case == "keras":
        script = [arguments.keras_python, str(HERE / "keras_loop.py")]
    done = subprocess.run([*script, "--images", str(arguments.images)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{case} failed:\n{done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _job(num_images: int, **changes: Any) -> Any:
    import numpy as np

    from fmnist_ray.flows.training_data import load_training_data
    from fmnist_ray.networks.job import TrainingJob
    from fmnist_ray.networks.recipes import find_recipe

    settings = dataclasses.replace(find_recipe("keras-bn"), epochs=EPOCHS, **changes)
    data = load_training_data(settings)
    train = data.train.take(np.arange(min(num_images, len(data.train.labels))))
    return TrainingJob(settings=settings, num_labels=10, train=train, validation=data.validation)


def _ours(num_images: int, **changes: Any) -> dict[str, Any]:
    from fmnist_ray.networks.job import train_here

    state = train_here(_job(num_images, **changes), lambda metrics: None)
    return {"images_per_s": state.record["history"][-1]["images_per_s"]}


def _ray(num_images: int) -> dict[str, Any]:
    from fmnist_ray.distributed.session import connect
    from fmnist_ray.distributed.train import TrainingPlace, train_on_ray

    ends: list[float] = []
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, connect():
        state = train_on_ray(
            _job(num_images),
            TrainingPlace(storage_uri=folder),
            lambda metrics: ends.append(time.perf_counter()),
        )
    epoch = state.record["history"][-1]
    return {
        "images_per_s": epoch["images_per_s"],
        "start_s": ends[0] - started - num_images / state.record["history"][0]["images_per_s"],
        "epoch_s": ends[-1] - ends[-2],
        "command_s": time.perf_counter() - started,
    }


def _torch(num_images: int) -> dict[str, Any]:
    import numpy as np
    import torch
    from torch.utils.data import DataLoader, Dataset
    from torchvision.transforms import v2

    from fmnist_ray.datasets.fashion_mnist import load_split
    from fmnist_ray.networks.architectures import build_network

    pixels, labels = (array[:num_images] for array in load_split("train"))
    change = v2.Compose(
        [v2.ToImage(), v2.RandomAffine(10, translate=(0.1, 0.1), scale=(0.9, 1.1)), v2.ToDtype(torch.float32)]
    )

    class Images(Dataset[Any]):
        def __len__(self) -> int:
            return len(labels)

        def __getitem__(self, row: int) -> Any:
            return change(np.ascontiguousarray(pixels[row][:, :, None])), int(labels[row])

    network = build_network("bn_cnn", num_labels=10, channels=1, size=28)
    optimiser = torch.optim.Adam(network.parameters())
    loader = DataLoader(Images(), batch_size=64, shuffle=True, num_workers=2, persistent_workers=True)
    started = 0.0
    for _ in range(EPOCHS):
        started = time.perf_counter()
        for batch, targets in loader:
            logits, _ = network(batch)
            loss = torch.nn.functional.cross_entropy(logits, targets)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return {"images_per_s": len(labels) / (time.perf_counter() - started)}


CASES: dict[str, Callable[[int], dict[str, Any]]] = {
    "ours": _ours,
    "ours_256": lambda images: _ours(images, batch_size=256),
    "ours_f32": lambda images: _ours(images, precision="f32"),
    "ray": _ray,
    "torch": _torch,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--images", type=int, default=54_000)
    parser.add_argument("--keras-python", help="a Python that has TensorFlow")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
