"""The baseline: the same catalogue and the same network as Ray's documentation would have one write it.

    python tests/benchmarks/plain_pipeline.py CATALOGUE OUT BUNDLE [--settings plain|tuned]

`read_parquet -> map_batches(decode with Pillow) -> map_batches(fp32 torch actors) -> write_parquet`. "plain" has Ray's
defaults wherever they work; "tuned" has what a careful user finds with Ray's dashboard and torch's tuning guide.

Both: actors reserve half a CPU each (two whole ones on two CPUs leave none to read with, and the pipeline hangs), run
torch with one thread each, in evaluation and inference mode, on batches of 256 images (from 64 to 256 cost the same,
1,024 take twice as long, since every layer's output is memory that the kernel has to give and take back, and a whole
block does not fit in memory); no dashboard, no progress bars, nothing reported.

Only "tuned": blocks of 8 MiB (of the default 128 MiB, all pixels of 60,000 images are one block, and one actor has all
the work), and the channels-last layout (CPU time per image of bn_cnn: 0.13 ms, without it 0.23 ms).

`RAY_DATA_PARQUET_FOOTER_NUM_ACTORS` keeps its default, as it does for whoever has not read Ray's source.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
from typing import Any

import numpy as np
import ray
import ray.data
import torch
from PIL import Image
from safetensors.torch import load

from fmnist_ray.bundle.format import WEIGHTS, read_bundle
from fmnist_ray.networks.architectures import build_network

_BOTH: dict[str, Any] = {"batch_size": 256, "num_cpus_per_actor": 0.5}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {**_BOTH, "decode_batch_size": None, "block_mib": None, "channels_last": False},
    "tuned": {**_BOTH, "decode_batch_size": 1024, "block_mib": 8, "channels_last": True},
}
"""None is Ray's default."""

Batch = dict[str, np.ndarray]


def decode(batch: Batch) -> Batch:
    """Pixels uint8 [n, 1, 28, 28] of encoded images."""
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(cell))) for cell in batch["image"]])
    return {"product_id": batch["product_id"], "pixels": pixels[:, None]}


def decode_photos(batch: Batch) -> Batch:
    """Pixels uint8 [n, 1, 28, 28] of photos of any size: decoded in full, grey, shrunk."""
    images = (Image.open(io.BytesIO(cell)).convert("L").resize((28, 28)) for cell in batch["image"])
    return {"product_id": batch["product_id"], "pixels": np.stack([np.asarray(image) for image in images])[:, None]}


class TorchClassifier:
    """An actor of Ray Data: the bundle's network, in torch."""

    def __init__(self, bundle_uri: str, *, channels_last: bool) -> None:
        torch.set_num_threads(1)
        bundle = read_bundle(bundle_uri)
        spec = bundle.spec
        network = build_network(
            spec.architecture,
            num_labels=len(spec.labels),
            channels=spec.preparation.channels,
            size=spec.preparation.size,
            **spec.architecture_args,
        )
        network.load_state_dict(load(bundle.files[WEIGHTS]))
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self._network = network.eval().to(memory_format=layout)
        self._temperature = spec.temperature

    def __call__(self, batch: Batch) -> Batch:
        with torch.inference_mode():
            logits, _ = self._network(torch.tensor(batch["pixels"]))
            confidences, label_ids = torch.softmax(logits / self._temperature, dim=1).max(dim=1)
        return {
            "product_id": batch["product_id"],
            "label_id": label_ids.numpy().astype(np.int16),
            "confidence": confidences.numpy(),
        }


def main() -> None:
    arguments = _arguments()
    cores = os.cpu_count() or 1
    ray.init(
        address="local",
        num_cpus=cores,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=arguments.temp_dir,
    )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    settings = SETTINGS[arguments.settings]
    if settings["block_mib"] is not None:
        context.target_max_block_size = settings["block_mib"] << 20
    decoder = decode_photos if arguments.photos else decode
    (
        ray.data.read_parquet(arguments.catalogue)
        .map_batches(decoder, batch_size=settings["decode_batch_size"], batch_format="numpy")
        .map_batches(
            TorchClassifier,
            fn_constructor_args=(arguments.bundle,),
            fn_constructor_kwargs={"channels_last": settings["channels_last"]},
            batch_size=settings["batch_size"],
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=cores),
            num_cpus=settings["num_cpus_per_actor"],
        )
        .write_parquet(arguments.out)
    )
    ray.shutdown()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Classify a catalogue as Ray's documentation would.")
    parser.add_argument("catalogue")
    parser.add_argument("out")
    parser.add_argument("bundle")
    parser.add_argument("--settings", choices=SETTINGS, default="plain")
    parser.add_argument("--photos", action="store_true", help="images are photos, not 28x28 already")
    parser.add_argument("--temp-dir", help="where Ray keeps its session")
    return parser.parse_args()


if __name__ == "__main__":
    main()
