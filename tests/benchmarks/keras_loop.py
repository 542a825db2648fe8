"""The `keras` case of `train_speed.py`: bn_cnn and ImageDataGenerator as its report has them. Needs TensorFlow."""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from pathlib import Path

import numpy as np
from tensorflow import keras
from tensorflow.keras import layers
from tensorflow.keras.preprocessing.image import ImageDataGenerator

FOLDERS = [Path("/usr/share/datasets/fashion-mnist"), Path("~/.cache/fmnist_ray/fashion-mnist").expanduser()]


def read(name: str, header: int) -> np.ndarray:
    """Bytes of one of the four files behind its header."""
    path = next(folder / name for folder in FOLDERS if (folder / name).exists())
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)


def network() -> keras.Model:
    """Conv-BN-pool twice, Conv-BN, Dense128, dropout, softmax."""
    model = keras.Sequential([layers.Input((28, 28, 1))])
    for width, pool in ((32, True), (64, True), (128, False)):
        model.add(layers.Conv2D(width, 3, activation="relu"))
        model.add(layers.BatchNormalization())
        if pool:
            model.add(layers.MaxPooling2D())
    for layer in (layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dropout(0.5)):
        model.add(layer)
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=54_000)
    count = parser.parse_args().images
    pixels = read("train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28, 1)[:count] / 255.0
    labels = read("train-labels-idx1-ubyte.gz", 8)[:count]
    changes = ImageDataGenerator(rotation_range=10, width_shift_range=0.1, height_shift_range=0.1, zoom_range=0.1)
    model, started = network(), 0.0
    for _ in range(2):
        started = time.perf_counter()
        model.fit(changes.flow(pixels, labels, batch_size=64), epochs=1, verbose=0)
    figures = {"images_per_s": count / (time.perf_counter() - started)}
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
