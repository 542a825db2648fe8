"""A fitted SVM as plain arrays: what a bundle holds, and what every runtime computes. No scikit-learn here."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fmnist_ray.errors import BundleError

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class SvmHead:
    """Standardise, compare with centres where there are any, weigh: linear SVM, Nystroem and RBF are all of this form.

    With z = (features - mean) / scale and k = exp(-gamma |z - centre|^2) for every centre, the scores are
    `k @ weights + intercept`; without centres, `z @ weights + intercept`.
    """

    mean: Floats
    """[width]"""
    scale: Floats
    """[width]; never 0"""
    centres: Floats
    """[n, width]: Nystroem's landmarks, or the support vectors; n is 0 for a linear SVM"""
    gamma: Floats
    """[1]"""
    weights: Floats
    """[n, scores]; [width, scores] for a linear SVM"""
    intercept: Floats
    """[scores]"""

    def __post_init__(self) -> None:
        width, num_inputs = len(self.mean), len(self.centres) or len(self.mean)
        shapes = {
            "scale": (width,),
            "centres": (len(self.centres), width),
            "gamma": (1,),
            "weights": (num_inputs, len(self.intercept)),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise BundleError(f"The SVM's {name} have shape {getattr(self, name).shape}; expected {shape}.")

    @property
    def num_scores(self) -> int:
        """One for each class, or for each pair of classes."""
        return len(self.intercept)

    def scores(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Decision values [N, scores] of `features` [N, width], in double precision."""
        inputs = (np.asarray(features, np.float64) - self.mean) / self.scale
        if len(self.centres):
            centres = self.centres.astype(np.float64)
            squared = (inputs**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1) - 2 * inputs @ centres.T
            inputs = np.exp(-self.gamma * squared)
        scores: NDArray[np.float64] = inputs @ self.weights + self.intercept
        return scores

    def to_bytes(self) -> bytes:
        """`svm.safetensors`."""
        return save({field.name: np.ascontiguousarray(getattr(self, field.name)) for field in dataclasses.fields(self)})

    @classmethod
    def from_bytes(cls, data: bytes) -> SvmHead:
        """The inverse of `to_bytes`; `BundleError` where `data` holds something else."""
        try:
            return cls(**load(data))
        except (SafetensorError, TypeError, AttributeError) as error:
            raise BundleError(f"svm.safetensors does not hold the arrays of an SVM: {error}.") from error
