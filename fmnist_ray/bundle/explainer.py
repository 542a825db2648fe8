"""Where a bundle looks when it answers: heat maps over its model input, for the command and the endpoint."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.bundle.classifier import Classifier, open_classifier
from fmnist_ray.bundle.format import WEIGHTS, Bundle
from fmnist_ray.bundle.runtimes import load_network
from fmnist_ray.config.explain import Method
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.errors import BundleError, ImageRejected
from fmnist_ray.images.encode import encode_png
from fmnist_ray.images.heat import overlay_picture
from fmnist_ray.images.occlusion import occlusion_map
from fmnist_ray.images.prepare import prepare_batch

if TYPE_CHECKING:
    from fmnist_ray.networks.network import Network


class Explainer:
    """A bundle whose golden rows were answered as expected, and its network in torch, which is loaded when a map first
    needs its gradients. Not safe to use from several threads."""

    def __init__(self, bundle: Bundle, *, limits: ImageLimits | None = None) -> None:
        self.classifier: Classifier = open_classifier(bundle, limits=limits)
        self._bundle = bundle

    @cached_property
    def network(self) -> Network:
        """The bundle's network; `BundleError` where it has no weights, since it is a compressed one."""
        if WEIGHTS not in self._bundle.files:
            raise BundleError(
                f"Bundle {self._bundle.uri} has no {WEIGHTS}, whose gradients are needed: explain the bundle that it "
                "was compressed from, or use --method occlusion."
            )
        return load_network(self._bundle.spec, self._bundle.files[WEIGHTS])

    def maps(self, method: Method, pixels: NDArray[np.uint8], label_ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """A map [n, size, size] in 0..1 of the evidence for a label, for model input [n, channels, size, size].
        `SettingError` for a network that the method can't look into."""
        if method == "occlusion":
            found = [
                occlusion_map(self._score_of(int(label)), image) for label, image in zip(label_ids, pixels, strict=True)
            ]
            return np.stack(found)
        from fmnist_ray.networks.saliency import grad_cam, gradient_map

        return (grad_cam if method == "grad-cam" else gradient_map)(self.network, pixels, label_ids)

    def overlay(
        self, image: bytes, method: Method = "grad-cam", label_id: int | None = None, *, side: int = 224
    ) -> tuple[bytes, int]:
        """One encoded image as the network gets it, under its map, as a PNG of `side` pixels; and the label that is
        explained: the given one, or the one that the bundle answers. `ImageRejected` where the image can't be used."""
        prepared = prepare_batch([image], self.classifier.spec.preparation, self.classifier.limits)
        for reject in prepared.rejects:
            raise ImageRejected(reject.reason, reject.detail)
        explained = int(self.classifier.assess(prepared.pixels).label_ids[0]) if label_id is None else label_id
        [values] = self.maps(method, prepared.pixels, np.array([explained]))
        return encode_png(overlay_picture(prepared.pixels[0], values, side)), explained

    def _score_of(self, label_id: int) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
        return lambda images: self.classifier.assess(images).probabilities[:, label_id]
