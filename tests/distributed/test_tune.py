"""A search on Ray Tune: every trial reports, the hopeless stop early, the same search is not run twice."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from fmnist_ray.config.train import TrainSettings
from fmnist_ray.distributed.session import connect
from fmnist_ray.distributed.tune import SearchPlace, search_on_ray
from fmnist_ray.errors import ClusterError
from fmnist_ray.networks.data import LabelledImages
from fmnist_ray.networks.job import TrainingJob

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings(r"ignore:.*:Warning:ray\..*")]

BASE = TrainSettings(architecture="ann", epochs=4, batch_size=32)


def rows(count: int) -> LabelledImages:
    """Two classes: a bright upper or lower half."""
    labels = np.arange(count) % 2
    pixels = np.random.default_rng(0).integers(0, 100, (count, 1, 28, 28), dtype=np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[0, 14 * label : 14 * label + 14] += 20
    return LabelledImages(pixels=pixels, labels=labels)


def test_trials_report_fail_and_stop_one_by_one_and_are_not_run_again(tmp_path: Path) -> None:
    changes = [{"learning_rate": 1e-3}, {"learning_rate": 1e-8}, {"architecture_args": {"depth": 3}}]
    jobs = [
        TrainingJob(settings=dataclasses.replace(BASE, **change), num_labels=2, train=rows(128), validation=rows(40))
        for change in changes
    ]
    place = SearchPlace(storage_uri=str(tmp_path), first_stop=1)
    with connect(num_cpus=2):
        with pytest.raises(ClusterError, match="A trial needs 3 CPU"):
            search_on_ray(jobs, dataclasses.replace(place, cpus_per_trial=3))
        found = search_on_ray(jobs, place)
        again = search_on_ray(jobs, place)
    (good, no_failure), (slow, _), (_, failure) = found
    assert no_failure is None
    assert len(good) == 4
    assert good[-1] > 0.9
    assert len(slow) <= 4
    assert failure is not None
    assert "can't take the arguments" in failure
    assert again == found
