"""Held-out rows: what a bundle's heads say of labelled images that none of them was fitted on."""

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
class HeldOut:
    """All that thresholds, label sets and alarms are derived from, whatever is promised later."""

    label_ids: NDArray[np.int16]
    """[N]: the truth"""
    logits: Floats
    """[N, K]"""
    svm_scores: Floats | None = None
    """[N, scores], of a bundle with an SVM"""
    features: NDArray[np.float16]
    """[N, width], for the scores of an SVM that is fitted later"""
    novelty: Floats
    """[N]: how strange each row is; see `decisions.novelty`"""
    quality: Floats
    """[N, measures]: how good each photo is; see `images.quality`"""

    def __post_init__(self) -> None:
        num_rows = len(self.label_ids)
        for field in dataclasses.fields(self):
            array = getattr(self, field.name)
            if array is not None and len(array) != num_rows:
                raise BundleError(f"Held-out rows have {len(array)} {field.name} for {num_rows} labels.")

    def take(self, rows: NDArray[np.int64]) -> HeldOut:
        """Some of the rows, by their numbers."""
        return HeldOut(
            label_ids=self.label_ids[rows],
            logits=self.logits[rows],
            svm_scores=None if self.svm_scores is None else self.svm_scores[rows],
            features=self.features[rows],
            novelty=self.novelty[rows],
            quality=self.quality[rows],
        )

    def to_bytes(self) -> bytes:
        """`heldout.safetensors`."""
        arrays = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return save({name: np.ascontiguousarray(array) for name, array in arrays.items() if array is not None})

    @classmethod
    def from_bytes(cls, data: bytes) -> HeldOut:
        """The inverse of `to_bytes`; `BundleError` where `data` holds something else."""
        try:
            return cls(**load(data))
        except (SafetensorError, TypeError) as error:
            raise BundleError(f"heldout.safetensors does not hold a bundle's held-out rows: {error}.") from error
