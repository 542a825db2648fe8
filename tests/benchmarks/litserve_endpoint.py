"""The endpoint that one would write with LitServe: its batching and its worker process, the same network.

    uv run --with litserve python tests/benchmarks/litserve_endpoint.py PORT [BUNDLE]

Images come as base64 in JSON: LitServe reads JSON or a form, and would send a form's files to the worker as objects.
"""

from __future__ import annotations

import os
import sys
from base64 import b64decode
from typing import Any

import litserve

from fmnist_ray.bundle.classifier import load_bundle


class Api(litserve.LitAPI):
    """Whatever waits within a millisecond goes together."""

    def setup(self, device: str) -> None:
        bundle = sys.argv[2] if len(sys.argv) > 2 else "default"
        self.classifier = load_bundle(bundle, runtime="cpu", num_threads=os.cpu_count())

    def decode_request(self, request):  # JSON; a type here would tell LitServe to read it otherwise
        return [b64decode(image) for image in request["images"]]

    def batch(self, inputs: list[list[bytes]]) -> list[list[bytes]]:
        return inputs

    def predict(self, requests: list[list[bytes]]) -> list[dict[str, Any]]:
        found = self.classifier.answer([image for images in requests for image in images])
        labels = [self.classifier.labels[label_id] for label_id in found.label_ids]
        confidences = found.confidences.tolist()
        answers = []
        for images in requests:
            size = len(images)
            answers.append({"labels": labels[:size], "confidences": confidences[:size]})
            del labels[:size], confidences[:size]
        return answers

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


if __name__ == "__main__":
    api = Api(max_batch_size=64, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu", fast_queue=True)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
