"""Near duplicates and likely label errors: planted ones are found, and little else."""

from __future__ import annotations

import numpy as np
import pytest

from fmnist_ray.reports.duplicates import near_duplicates
from fmnist_ray.reports.label_errors import likely_errors, out_of_fold, principal_map


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Smooth images, no two alike."""
    coarse = np.random.default_rng(0).integers(0, 256, (300, 7, 7)).astype(np.float32)
    return np.asarray(np.kron(coarse, np.ones((1, 4, 4)))[:, None], np.uint8)


def brute_force(images: np.ndarray, others: np.ndarray, similarity: float) -> set[tuple[int, int]]:
    table = np.corrcoef(images.reshape(len(images), -1), others.reshape(len(others), -1))
    return {(int(a), int(b)) for a, b in np.argwhere(table[: len(images), len(images) :] >= similarity)}


def test_planted_pairs_are_found(images: np.ndarray) -> None:
    changed = images.copy()
    changed[7] = np.clip(images[3].astype(int) + np.random.default_rng(1).integers(-9, 10, (1, 28, 28)), 0, 255)
    changed[250] = images[100] // 2 + 40  # another light
    found = near_duplicates(changed, similarity=0.97)
    assert {(pair.first, pair.second) for pair in found} == {(3, 7), (100, 250)}
    assert found[0].similarity == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("similarity", [0.5, 0.6])
def test_agrees_with_comparing_all(images: np.ndarray, similarity: float) -> None:
    """The bound that skips pairs loses none."""
    own = {(pair.first, pair.second) for pair in near_duplicates(images, similarity=similarity)}
    assert own == {(a, b) for a, b in brute_force(images, images, similarity) if a < b}
    across = {(pair.first, pair.second) for pair in near_duplicates(images[:90], images[90:], similarity=similarity)}
    assert across == brute_force(images[:90], images[90:], similarity)


def test_blank_images_resemble_nothing() -> None:
    assert near_duplicates(np.full((5, 1, 28, 28), 77, np.uint8), similarity=0.9) == []


def test_wrong_labels_are_suspect() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 4, 2_000)
    features = (np.eye(4)[truth] * 5 + generator.normal(0, 1, (2_000, 4))).astype(np.float32)
    given = truth.copy()
    wrong = generator.choice(2_000, 40, replace=False)
    given[wrong] = (truth[wrong] + 1) % 4
    probabilities = out_of_fold(features, given, seed=0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    suspects = likely_errors(probabilities, given)
    found = {suspect.row for suspect in suspects[:40]}
    assert len(found & set(wrong.tolist())) >= 36
    assert all(suspect.likely_id == truth[suspect.row] for suspect in suspects if suspect.row in wrong)
    assert len(suspects) < 60


def test_the_map_shows_the_widest_directions() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(0, [5, 3, 0.1, 0.1], (500, 4)).astype(np.float32)
    places, shares = principal_map(features)
    assert np.abs(np.corrcoef(places[:, 0], features[:, 0])[0, 1]) > 0.99
    assert shares[0] > shares[1] > 0.2
    assert sum(shares) > 0.99
