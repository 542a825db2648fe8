"""The endpoint that one would write without `fmnist_ray serve`: FastAPI under uvicorn, the same network, no limits.

    python tests/benchmarks/plain_endpoint.py PORT [BUNDLE]

As usual, handlers are plain functions, which FastAPI runs on its threads, and each request is a batch of its own.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import uvicorn
from fastapi import Body, FastAPI, File

from fmnist_ray.bundle.classifier import Classifier, load_bundle


def build(classifier: Classifier) -> FastAPI:
    app = FastAPI()

    def answer(images: list[bytes]) -> dict[str, Any]:
        found = classifier.answer(images)
        labels = [classifier.labels[label_id] for label_id in found.label_ids]
        return {"labels": labels, "confidences": found.confidences.tolist()}

    @app.post("/one")
    def one(image: Annotated[bytes, Body(media_type="image/png")]) -> dict[str, Any]:
        return answer([image])

    @app.post("/many")
    def many(images: Annotated[list[bytes], File()]) -> dict[str, Any]:
        return answer(images)

    return app


if __name__ == "__main__":
    loaded = load_bundle(sys.argv[2] if len(sys.argv) > 2 else "default", num_threads=os.cpu_count())
    uvicorn.run(build(loaded), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
