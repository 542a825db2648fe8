"""Rows with the same image share a look at it, and nobody can tell from their answers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fmnist_ray import load_bundle, open_results
from fmnist_ray.bundle.classifier import CellAnswers, Classifier
from fmnist_ray.config.classify import ClassifySettings
from fmnist_ray.flows import once
from fmnist_ray.flows.classify import classify
from fmnist_ray.flows.once import AnswerOnce
from fmnist_ray.images.digest import image_digests


class Counting:
    """A classifier that counts the images it looks at."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self.seen: list[object] = []

    def answer(self, cells: list[object]) -> CellAnswers:
        self.seen += [cell for cell in cells if isinstance(cell, bytes)]
        return self._classifier.answer(cells)


@pytest.fixture(scope="module")
def classifier(tiny_bundle: Path) -> Classifier:
    return load_bundle(str(tiny_bundle))


def same(left: CellAnswers, right: CellAnswers) -> bool:
    pairs = [(left.positions, right.positions), (left.logits, right.logits), (left.pixels, right.pixels)]
    pairs += [(left.features, right.features), (left.answers.probabilities, right.answers.probabilities)]
    return left.rejects == right.rejects and all(np.array_equal(*pair) for pair in pairs)


@given(data=st.data(), bounded=st.booleans())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_answers_are_those_of_looking_at_every_cell(
    classifier: Classifier, pngs: list[bytes], monkeypatch: pytest.MonkeyPatch, data: st.DataObject, bounded: bool
) -> None:
    monkeypatch.setattr(once, "_REMEMBERED_BYTES", 2_000 if bounded else 1 << 30)
    cell = st.sampled_from([*pngs[:6], b"<html>", pngs[7][:-9], None, "name"])
    batches = data.draw(st.lists(st.lists(cell, max_size=8), max_size=4))
    counting = Counting(classifier)
    answers = AnswerOnce(counting)  # type: ignore[arg-type]
    for cells in batches:
        assert same(answers.answer(cells, image_digests(cells)), classifier.answer(cells))
    cells = [cell for batch in batches for cell in batch if isinstance(cell, bytes)]
    assert answers.num_repeated == len(cells) - len(counting.seen)
    if not bounded:
        good = [cell for cell in counting.seen if cell in pngs]
        assert len(good) == len(set(good))


def test_a_run_counts_rows_of_the_same_image(
    tiny_bundle: Path, catalogue: Callable[..., Path], pngs: list[bytes], tmp_path: Path, in_process: Any
) -> None:
    cells = [pngs[0], *pngs[:20], pngs[0], b"<html>", b"<html>"]
    chosen = ClassifySettings(
        catalogue_uri=str(catalogue({"image": cells})), out_uri=str(tmp_path / "out"), bundle=str(tiny_bundle)
    )
    summary = classify(chosen, lambda: nullcontext(in_process()))
    assert (summary.num_predictions, summary.num_rejects, summary.num_repeated) == (22, 2, 3)
    results = open_results(str(tmp_path / "out"))
    assert results.report()["num_repeated"] == 3
    rows = results.predictions().select(["input_row", "label", "confidence", "status"]).to_pylist()
    assert [row["input_row"] for row in rows] == list(range(22))
    first = {(row["label"], row["confidence"], row["status"]) for row in rows if row["input_row"] in (0, 1, 21)}
    assert len(first) == 1
